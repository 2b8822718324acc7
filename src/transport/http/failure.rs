//! What went wrong on the wire, in a sentence for people.
//!
//! Owns the words: short, without secrets, without the language we are written in. Refuses to
//! decide what it means for the message (see `exchange` in `http`).

use std::error::Error;
use std::io;
use std::iter;
use std::time::Duration;

use super::dns::NameNotFound;
use super::egress_guard::AddressRefused;
use super::handover::WireError;
use super::proxy_failure::ProxyError;
use super::tls_failure;
use super::two::NotShared;
use super::version_failure::{self, VersionError};
use crate::domain::units::format_duration;
use crate::transport::shortage;

/// The sentence for the first cause that says something to people.
pub(super) fn sentence(error: &(dyn Error + 'static)) -> String {
    causes(error).find_map(known).unwrap_or_else(|| "the exchange broke off".to_owned())
}

/// Whether this machine could not do its part: it is short of open files, memory or local ports.
pub(super) fn is_local(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        if let Some(name) = cause.downcast_ref::<NameNotFound>() {
            return name.is_local();
        }
        cause.downcast_ref::<io::Error>().is_some_and(shortage::is_met)
    })
}

/// Whether the address is one that messages may not name.
pub(super) fn is_not_allowed(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(<dyn Error>::is::<AddressRefused>)
}

/// What TLS on the other side says against us, if that is what went wrong.
pub(super) fn refusal_by_tls(error: &(dyn Error + 'static)) -> Option<String> {
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>())?;
    tls_failure::is_refusal(tls).then(|| tls_failure::sentence(tls))
}

/// The deadline as it was, such as `15s`: the call started moments after it was set, so round up.
pub(super) fn span(of: Duration) -> String {
    let ms = u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
    let step_ms = if ms >= 1000 { 100 } else { 10 };
    format_duration(ms.div_ceil(step_ms).max(1).saturating_mul(step_ms))
}

/// An error and what is behind it. What an `io::Error` wraps is not among its sources.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

fn known(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(name) = error.downcast_ref::<NameNotFound>() {
        Some(name.to_string())
    } else if let Some(refused) = error.downcast_ref::<AddressRefused>() {
        Some(refused.to_string())
    } else if let Some(proxy) = error.downcast_ref::<ProxyError>() {
        Some(proxy.to_string())
    } else if let Some(wire) = error.downcast_ref::<WireError>() {
        Some(wire.to_string())
    } else if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        Some(tls_failure::sentence(tls))
    } else if let Some(version) = error.downcast_ref::<VersionError>() {
        Some(version.to_string())
    } else if let Some(shared) = error.downcast_ref::<NotShared>() {
        Some(shared.to_string())
    } else if let Some(two) = error.downcast_ref::<h2::Error>() {
        version_failure::sentence(two).or_else(|| two.get_io().and_then(io_sentence))
    } else if let Some(http) = error.downcast_ref::<hyper::Error>() {
        http_sentence(http).map(str::to_owned)
    } else if let Some(io) = error.downcast_ref::<io::Error>() {
        io_sentence(io)
    } else {
        None
    }
}

fn http_sentence(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse_too_large() {
        Some("the headers of the answer are too large")
    } else if error.is_parse() {
        Some("the answer is not HTTP")
    } else if error.is_incomplete_message() {
        Some("the connection was closed before an answer came")
    } else {
        None
    }
}

fn io_sentence(error: &io::Error) -> Option<String> {
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => "connection closed by the other side",
        io::ErrorKind::TimedOut => "connection timed out",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable => "network unreachable",
        io::ErrorKind::AddrNotAvailable => "no free local address or port for a connection",
        // Most others speak for themselves ("Too many open files"); wrappers have more behind them.
        _ if error.get_ref().is_some() => return None,
        _ => return Some(error.to_string()),
    };
    Some(words.to_owned())
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn causes_are_found_behind_wrappers() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(sentence(&io::Error::other(refused)), "connection refused");
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let words = sentence(&wrapped);
        assert!(words.starts_with("TLS: certificate not trusted: "), "{words}");
        assert_eq!(sentence(&io::Error::other("x")), "the exchange broke off");
        let full = io::Error::from_raw_os_error(24);
        assert!(is_local(&io::Error::other(io::Error::from_raw_os_error(24))));
        assert!(!is_local(&io::Error::other("x")));
        assert!(sentence(&full).starts_with("Too many open files"), "{}", sentence(&full));
    }

    #[test]
    fn spans_read_as_they_were_configured() {
        assert_eq!(span(Duration::from_micros(14_999_480)), "15s");
        assert_eq!(span(Duration::from_micros(1_499_900)), "1s500ms");
        assert_eq!(span(Duration::from_micros(248_900)), "250ms");
        assert_eq!(span(Duration::ZERO), "10ms");
    }
}
