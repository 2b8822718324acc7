//! `[queues.<name>.downstream.tls]`: whom to trust, and as whom to call.
//!
//! Owns that the files can be used: they are read here, at the start and at each reload, and what is wrong with one is
//! told with the key that names it. Refuses to know connections. Whether a certificate has expired, time decides and not
//! the configuration: see `config::certificates`.

use std::path::Path;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Form, Kind, Shown, custom, settings};
use crate::domain::access::{PemFile, TlsPolicy};
use crate::domain::endpoint::Secret;

const SECTION: &str = "queues.NAME.downstream.tls";
/// The largest file that is read, in bytes: the system's own list of authorities has some 200 KB.
const FILE_BYTES_MAX: u64 = 1 << 20;

settings! {
    struct Tls in "queues.NAME.downstream.tls" of TlsPolicy {
        /// A file with the certificates of the authorities that count for this downstream, in place of the system's.
        ca: Option<PemFile> =
            pem_file().unset_means("the system's authorities").example("\"erp-ca.pem\""),
            |it| it.ca.clone();
        /// A file with the client certificate, and behind it what stands between it and its authority. Needs `key`.
        certificate: Option<PemFile> = pem_file().unset_means("none").example("\"me.pem\""),
            |it| it.certificate.clone();
        /// A file with the private key of the client certificate, without a passphrase.
        key: Option<PemFile> = pem_file().unset_means("none").example("\"me.key\""), |it| it.key.clone();
    }
}

/// The whole table.
pub(super) fn table() -> impl Kind<Value = TlsPolicy> {
    let shown = |it: &TlsPolicy| Shown::Table(Tls::shown(it));
    custom("a table with `ca`, `certificate` and `key`", read, shown)
        .shown_as(Form::Section(SECTION))
}

fn read(field: &Field<'_>) -> Read<TlsPolicy> {
    field.section(&[], |section| {
        let it = Tls::of(section);
        let (ca, certificate, key) = (it.ca?, it.certificate?, it.key?);
        match (&certificate, &key) {
            (Some(_), None) => {
                return Err(section.wrong(
                    "key",
                    "is missing; set it to the file with the private key of the certificate",
                ));
            }
            (None, Some(_)) => {
                return Err(section.wrong(
                    "certificate",
                    "is missing; set it to the file with the certificate of the key, or remove key",
                ));
            }
            (Some(certificate), Some(key)) => check_identity(section, certificate, key)?,
            (None, None) if ca.is_none() => {
                return Err(field.wrong("is empty; set ca, or certificate and key, or remove tls"));
            }
            (None, None) => {}
        }
        if let Some(ca) = &ca {
            check_authorities(section, ca)?;
        }
        Ok(TlsPolicy { ca, certificate, key })
    })
}

/// A file by its path; relative paths start in the folder of the configuration.
fn pem_file() -> impl Kind<Value = PemFile> {
    custom("a path", read_file, |it: &PemFile| it.path.as_str().into())
}

fn read_file(field: &Field<'_>) -> Read<PemFile> {
    let written = field.raw_text().unwrap_or_default().to_owned();
    let path = field.parse(|text| {
        if text.trim().is_empty() {
            return Err("is empty; expected the path of a file, for example \"erp-ca.pem\"".into());
        }
        if text.contains("-----BEGIN") {
            return Err("holds what should stand in a file; expected the path of the file".into());
        }
        Ok(text.to_owned())
    })?;
    let read = read_text(&field.context().base().join(path));
    let text = read.map_err(|why| field.wrong(format!("the file {written} {why}")))?;
    Ok(PemFile { path: written, text: Secret::new(text) })
}

fn read_text(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| {
        format!("cannot be read ({error}); create it, or make it readable for the daemon's user")
    };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err("is larger than 1MiB; expected certificates or a key in PEM".to_owned());
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| {
        "is not text; expected PEM: convert it, for example with openssl x509 -inform der -in FILE -out FILE.pem"
            .to_owned()
    })
}

/// The certificates in a file, at least one.
fn certificates(file: &PemFile) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(file.text.expose().as_bytes()).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!(
            "the file {} has no certificate; expected PEM, which begins with -----BEGIN CERTIFICATE-----",
            file.path
        )),
        Err(error) => Err(format!("the file {} is not valid PEM ({error})", file.path)),
    }
}

fn check_authorities(section: &Section<'_>, ca: &PemFile) -> Read<()> {
    let certificates = certificates(ca).map_err(|why| section.wrong("ca", why))?;
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates.into_iter().enumerate() {
        roots.add(certificate).map_err(|error| {
            let number = at + 1;
            section.wrong(
                "ca",
                format!("certificate {number} in the file {} cannot be used ({error})", ca.path),
            )
        })?;
    }
    Ok(())
}

/// The key can be read, and belongs to the certificate.
fn check_identity(section: &Section<'_>, certificate: &PemFile, key: &PemFile) -> Read<()> {
    let chain = certificates(certificate).map_err(|why| section.wrong("certificate", why))?;
    let text = key.text.expose();
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| {
        let path = &key.path;
        section.wrong("key", if text.contains("ENCRYPTED") {
            format!("the key in the file {path} has a passphrase, which nobody is here to type; write it without one: openssl pkey -in FILE -out FILE.plain")
        } else {
            format!("the file {path} has no private key; expected PEM, which begins with -----BEGIN PRIVATE KEY-----")
        })
    })?;
    match CertifiedKey::from_der(chain, private, &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(Error::InconsistentKeys(_)) => Err(section.wrong(
            "key",
            format!(
                "the key in the file {} does not belong to the certificate in {}; set the pair that was made together, the client's own certificate first in its file",
                key.path, certificate.path
            ),
        )),
        Err(Error::InvalidCertificate(error)) => Err(section.wrong(
            "certificate",
            format!("the certificate in the file {} cannot be used ({error:?}); expected an X.509 certificate of version 3, as `openssl x509 -req` makes one with -extfile", certificate.path),
        )),
        Err(error) => Err(section.wrong(
            "key",
            format!(
                "the key in the file {} cannot be used ({error}); expected RSA of 2048 bits or more, or a curve: P-256, P-384 or Ed25519",
                key.path
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{queue_errors, settings_of};
    use crate::config::{Sources, load, render};
    use crate::domain::policy::Downstream;

    const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/http/tests/certs");
    const HTTPS: &str = "[queues.q.downstream]\nurl = \"https://h\"\n";

    #[test]
    fn what_is_in_force_is_shown_by_the_paths_alone() {
        let text = format!(
            "{HTTPS}tls = {{ ca = \"{CERTS}/localhost.pem\", certificate = \"{CERTS}/localhost.pem\", key = \"{CERTS}/localhost.key\" }}"
        );
        let settings = settings_of(&text);
        let shown = render(&settings);
        assert_eq!(settings_of(&shown), settings, "{shown}");
        assert!(!format!("{shown}{settings:?}").contains("BEGIN"), "{shown}");
    }

    #[test]
    fn paths_start_in_the_folder_of_the_configuration_and_a_changed_file_is_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tidegate.toml");
        std::fs::write(&file, format!("{HTTPS}tls = {{ ca = \"erp/${{CA}}\" }}")).unwrap();
        std::fs::create_dir(dir.path().join("erp")).unwrap();
        let ca = dir.path().join("erp/ca.pem");
        let pem = std::fs::read_to_string(format!("{CERTS}/localhost.pem")).unwrap();
        std::fs::write(&ca, &pem).unwrap();
        let environment = [("CA".to_owned(), "ca.pem".to_owned())].into();
        let sources = Sources { file: Some(file), environment, ..Sources::default() };
        let before = load(&sources).unwrap();
        let Downstream::Http(http) = &before.queues.values().next().unwrap().downstream else {
            panic!()
        };
        let ca_read = http.access.tls.as_ref().unwrap().ca.as_ref().unwrap();
        assert_eq!((ca_read.path.as_str(), ca_read.text.expose()), ("erp/${CA}", pem.as_str()));
        std::fs::write(&ca, format!("# of another year\n{pem}")).unwrap();
        assert_ne!(load(&sources).unwrap(), before);
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_the_remedy() {
        let pem = format!("{CERTS}/localhost.pem");
        let key = format!("{CERTS}/localhost.key");
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let der = write("der", &[0x30, 0x82, 0xff]);
        let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let broken = write("broken", broken.as_bytes());
        let locked = write("locked", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2\n");
        let other = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGKWgsMQYHL9QyTiA1JWq+t5vaOmTjWuD7ccyJKdaG0a\n-----END PRIVATE KEY-----\n";
        let other = write("other", other.as_bytes());
        for (tls, part) in [
            ("{}".to_owned(), "downstream.tls: is empty; set ca"),
            (format!("{{ certificate = \"{pem}\" }}"), "tls.key: is missing; set it to the file"),
            (format!("{{ key = \"{key}\" }}"), "tls.certificate: is missing"),
            ("{ ca = \"nowhere.pem\" }".to_owned(), "tls.ca: the file nowhere.pem cannot be read"),
            (format!("{{ ca = \"{key}\" }}"), "has no certificate; expected PEM"),
            (format!("{{ ca = \"{der}\" }}"), "is not text; expected PEM: convert it"),
            (format!("{{ ca = \"{broken}\" }}"), "tls.ca: certificate 1 in the file"),
            (
                "{ ca = \"-----BEGIN CERTIFICATE-----\" }".to_owned(),
                "expected the path of the file",
            ),
            (format!("{{ certificate = \"{pem}\", key = \"{pem}\" }}"), "tls.key: the file"),
            (
                format!("{{ certificate = \"{pem}\", key = \"{locked}\" }}"),
                "has a passphrase, which nobody is here to type",
            ),
            (
                format!("{{ certificate = \"{pem}\", key = \"{other}\" }}"),
                "does not belong to the certificate in",
            ),
            (format!("{{ cert = \"{pem}\" }}"), "tls.cert: unknown key"),
        ] {
            let error = queue_errors(&format!("{HTTPS}tls = {tls}"));
            assert!(error.contains(part), "{tls}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
