//! What went wrong with TLS, in a sentence for people, with the remedy where we have one.
//!
//! Owns the words. Refuses to know connections.

use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

use crate::domain::time::rfc3339;

const NO_VERSION: &str =
    "TLS: the other side speaks no TLS that is still safe; it must offer TLS 1.2 or 1.3";
const NO_CERTIFICATE: &str =
    "TLS: the other side asks for a client certificate; set certificate and key in downstream.tls";

/// The sentence.
pub(super) fn sentence(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(certificate) => of_certificate(certificate),
        Error::InvalidMessage(_) => {
            "TLS: the other side does not speak TLS; check scheme and port of the url".to_owned()
        }
        Error::PeerIncompatible(why) => match format!("{why:?}") {
            why if why.contains("Tls1") => NO_VERSION.to_owned(),
            why => format!("TLS: the other side and we have nothing in common ({why})"),
        },
        Error::AlertReceived(alert) => of_alert(*alert),
        other => format!("TLS: {other}"),
    }
}

/// Whether the other side does not accept us. It says so before it hands anything on that came from us.
pub(super) const fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::NoCertificate
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::HandshakeFailure
                | AlertDescription::DecryptError
        )
    )
}

/// What is wrong with the certificate of the other side.
fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "TLS: certificate not trusted: no authority that counts here has issued it; if the authority is your own, name the file with its certificate in downstream.tls.ca"
                .to_owned()
        }
        CertificateError::Expired => "TLS: the certificate of the other side has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("TLS: the certificate of the other side expired at {}", moment(*not_after))
        }
        CertificateError::NotValidYet => {
            "TLS: the certificate of the other side is not valid yet; check the clock of this machine"
                .to_owned()
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "TLS: the certificate of the other side is valid only from {} on; check the clock of this machine",
            moment(*not_before)
        ),
        CertificateError::NotValidForName => {
            "TLS: the certificate is for another name than that in the url".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = names(presented);
            let expected = expected.to_str();
            format!("TLS: the certificate is for {names}, not for {expected}, which the url names")
        }
        CertificateError::Revoked => "TLS: the certificate of the other side is revoked".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "TLS: certificate not trusted: it is not one for servers".to_owned()
        }
        // The library has no word of its own for this one.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "TLS: certificate not trusted: it is marked as an authority (CA:TRUE), and a server needs one that an authority has issued; make a certificate with basicConstraints=CA:FALSE, signed by it"
                .to_owned()
        }
        other => format!("TLS: certificate not accepted ({other})"),
    }
}

/// What the other side says against us.
fn of_alert(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => NO_CERTIFICATE,
        AlertDescription::CertificateExpired => {
            "TLS: the other side says that our certificate has expired; put a new one into downstream.tls.certificate, then reload"
        }
        AlertDescription::CertificateRevoked => {
            "TLS: the other side says that our certificate is revoked; put another one into downstream.tls.certificate, then reload"
        }
        AlertDescription::UnknownCA => {
            "TLS: the other side does not trust whoever issued our certificate; set the one that it expects in downstream.tls.certificate"
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => {
            "TLS: the other side does not accept our certificate, or asks for one; set the one that it expects in downstream.tls.certificate"
        }
        AlertDescription::HandshakeFailure => {
            "TLS: the other side refuses the handshake: it may ask for a client certificate (downstream.tls.certificate), or offer no cipher that is still safe"
        }
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => NO_VERSION,
        AlertDescription::UnrecognisedName => {
            "TLS: the other side does not know the name in the url; check it"
        }
        AlertDescription::NoApplicationProtocol => {
            "TLS: the other side offers no version of HTTP that downstream.http allows; set downstream.http = \"auto\""
        }
        other => return format!("TLS: the other side ends the handshake ({other:?})"),
    };
    words.to_owned()
}

/// The names in a certificate, as many as a sentence takes.
fn names(presented: &[String]) -> String {
    const SHOWN_MAX: usize = 3;
    // They come as `DnsName("erp.example")`.
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_matches(|c| matches!(c, '(' | ')' | '"')).to_owned()
    };
    let mut shown: Vec<_> = presented.iter().take(SHOWN_MAX).map(bare).collect();
    if presented.len() > SHOWN_MAX {
        shown.push("others".to_owned());
    }
    if shown.is_empty() { "no name".to_owned() } else { shown.join(", ") }
}

fn moment(at: UnixTime) -> String {
    let ms = u64::try_from(Duration::from_secs(at.as_secs()).as_millis()).unwrap_or(u64::MAX);
    rfc3339(ms)
}

#[cfg(test)]
mod tests {
    use rustls::PeerIncompatible;
    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn each_trouble_has_words_and_a_remedy() {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(1_795_176_000));
        let expired = CertificateError::ExpiredContext { time: at, not_after: at };
        let expected = ServerName::try_from("erp.example").unwrap();
        let presented = vec!["DnsName(\"old.example\")".to_owned()];
        let other_name = CertificateError::NotValidForNameContext { expected, presented };
        for (error, part) in [
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "downstream.tls.ca"),
            (Error::InvalidCertificate(expired), "expired at 2026-11-20T12:00:00.000Z"),
            (
                Error::InvalidCertificate(other_name),
                "is for old.example, not for erp.example, which",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
                "TLS 1.2 or 1.3",
            ),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), "TLS 1.2 or 1.3"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "asks for a client"),
            (Error::AlertReceived(AlertDescription::UnknownCA), "does not trust whoever issued"),
        ] {
            let words = sentence(&error);
            assert!(words.starts_with("TLS: ") && words.contains(part), "{words}");
        }
    }

    #[test]
    fn only_a_word_against_us_is_a_refusal() {
        assert!(is_refusal(&Error::AlertReceived(AlertDescription::CertificateRequired)));
        for other in [
            Error::AlertReceived(AlertDescription::CloseNotify),
            Error::AlertReceived(AlertDescription::InternalError),
            Error::InvalidCertificate(CertificateError::UnknownIssuer),
        ] {
            assert!(!is_refusal(&other), "{other:?}");
        }
    }
}
