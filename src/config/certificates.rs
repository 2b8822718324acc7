//! Certificates of the configuration whose time is over, or has not come.
//!
//! Owns the reading of a certificate's validity. A configuration with such a certificate is still a valid one: the daemon
//! starts with it, as every other queue can go on, and says so.

use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::load::Problem;
use super::settings::Settings;
use crate::domain::access::{PemFile, TlsPolicy};
use crate::domain::policy::QueuePolicy;
use crate::domain::time::rfc3339;

/// A certificate that is not valid at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFault {
    /// The setting that names its file.
    pub key: String,
    /// What is wrong, as a part of a sentence.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

/// The certificates that are not valid at this moment, each with its setting and the remedy.
#[must_use]
pub fn certificates_out_of_date(settings: &Settings, now_ms: u64) -> Vec<Problem> {
    let of_queue = |policy: &QueuePolicy| {
        let told = |fault: CertificateFault| {
            let origin = policy.origins.of(&fault.key).map(ToOwned::to_owned).unwrap_or_default();
            let message = format!("{}; {}", fault.what, fault.remedy);
            Problem { origin, key: fault.key, message }
        };
        certificates_of_queue(policy, now_ms).into_iter().map(told).collect::<Vec<_>>()
    };
    settings.queues.values().flat_map(|policy| of_queue(policy)).collect()
}

/// Those of one queue.
#[must_use]
pub fn certificates_of_queue(policy: &QueuePolicy, now_ms: u64) -> Vec<CertificateFault> {
    let Some(http) = policy.downstream.http() else { return Vec::new() };
    let Some(TlsPolicy { ca, certificate, .. }) = &http.access.tls else { return Vec::new() };
    let files = [("certificate", certificate, false), ("ca", ca, true)];
    let fault = |(key, file, is_any_enough): (&str, &Option<PemFile>, bool)| {
        let (what, remedy) = fault_of(file.as_ref()?, is_any_enough, now_ms)?;
        let key = format!("queues.{}.downstream.tls.{key}", policy.name);
        Some(CertificateFault { key, what, remedy })
    };
    files.into_iter().filter_map(fault).collect()
}

/// What is wrong with the dates of a file's certificates. Of authorities one that is valid is enough: lists of them keep
/// old ones for long. Of a client's own the first one counts.
fn fault_of(file: &PemFile, is_any_enough: bool, now_ms: u64) -> Option<(String, &'static str)> {
    let certificates = CertificateDer::pem_slice_iter(file.text.expose().as_bytes());
    let mut dates = certificates.flatten().map(|it| dates_of(&it, now_ms));
    let first = dates.next()?;
    if first == Dates::Good || (is_any_enough && dates.any(|it| it == Dates::Good)) {
        return None;
    }
    let path = &file.path;
    match first {
        Dates::Early(from_ms) => Some((
            format!(
                "the certificate in the file {path} is valid only from {} on",
                rfc3339(from_ms)
            ),
            "check the clock of this machine, or wait",
        )),
        Dates::Expired(at_ms) => Some((
            format!("the certificate in the file {path} expired at {}", rfc3339(at_ms)),
            "put a new one into the file, then reload (SIGHUP)",
        )),
        Dates::Good | Dates::Unknown => None,
    }
}

/// How a moment stands to the dates of a certificate; moments in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dates {
    Good,
    /// Valid from then on.
    Early(u64),
    /// Valid until then.
    Expired(u64),
    /// The certificate cannot be read.
    Unknown,
}

/// The check of TLS itself, which begins with the dates: that no authority is known comes after them.
fn dates_of(certificate: &CertificateDer<'_>, now_ms: u64) -> Dates {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return Dates::Unknown };
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now_ms));
    let nobody = RootCertStore::empty();
    let known = ring::default_provider().signature_verification_algorithms;
    let checked = verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, known.all);
    match checked {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Dates::Expired(not_after.as_secs().saturating_mul(1000))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => Dates::Early(not_before.as_secs().saturating_mul(1000)),
        Ok(()) | Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Dates::Good,
        Err(_) => Dates::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::load_with;

    const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/http/tests/certs");

    fn of(text: &str) -> Vec<String> {
        let text = format!("[queues.q.downstream]\nurl = \"https://h\"\ntls = {text}");
        let settings = load_with(&text, &[], &[]).unwrap_or_else(|errors| panic!("{errors}"));
        let at_2000 = certificates_out_of_date(&settings, 946_684_800_000);
        let at_9999 = certificates_out_of_date(&settings, 253_370_764_800_000);
        at_2000.iter().chain(&at_9999).map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_valid_is_named_with_its_date_and_the_remedy() {
        let faults = of(&format!(
            "{{ ca = \"{CERTS}/localhost.pem\", certificate = \"{CERTS}/localhost.pem\", key = \"{CERTS}/localhost.key\" }}"
        ));
        assert_eq!(faults.len(), 4, "{faults:?}");
        let early = "queues.q.downstream.tls.certificate: the certificate in the file";
        assert!(
            faults[0].contains(early) && faults[0].contains("is valid only from 20"),
            "{faults:?}"
        );
        assert!(faults[3].contains("downstream.tls.ca: "), "{faults:?}");
        assert!(faults[3].contains("expired at ") && faults[3].contains("(SIGHUP)"), "{faults:?}");
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_cannot_be_read_is_unknown() {
        let whole = std::fs::read(format!("{CERTS}/localhost.pem")).unwrap();
        let whole = CertificateDer::from_pem_slice(&whole).unwrap();
        assert_ne!(dates_of(&whole, 946_684_800_000), Dates::Unknown);
        assert_eq!(dates_of(&CertificateDer::from(vec![0x30, 3, 1]), 0), Dates::Unknown);
        for at in 0..whole.len() {
            dates_of(&CertificateDer::from(&whole[..at]), 0);
            let mut spoiled = whole.to_vec();
            spoiled[at] ^= 0xff;
            dates_of(&CertificateDer::from(spoiled), 0);
        }
    }

    #[test]
    fn queues_whose_messages_bring_their_own_url_are_looked_at_too() {
        let text = format!(
            "[queues.q.downstream]\nurl = \"message\"\nhosts = [\"*\"]\ntls = {{ ca = \"{CERTS}/localhost.pem\" }}"
        );
        let settings = load_with(&text, &[], &[]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(certificates_out_of_date(&settings, 253_370_764_800_000).len(), 1);
    }
}
