//! What went wrong with the version of HTTP, in a sentence for people, with the remedy.
//!
//! Owns the words. Refuses to know connections.

use h2::{Error, Reason};

/// Why a connection does not speak the version that is required. Nothing was sent over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum VersionError {
    /// TLS was agreed, but not HTTP/2.
    #[error(
        "the other side does not offer HTTP/2, which downstream.http = \"2\" requires; set downstream.http = \"auto\""
    )]
    NotOffered,
    /// A proxy would have to pass requests on.
    #[error(
        "a proxy takes requests for http:// by HTTP/1.1, and downstream.http = \"2\" requires HTTP/2; call https://, or set downstream.http = \"auto\""
    )]
    Forwarded,
}

/// What ended an exchange over HTTP/2, but for the connection itself.
pub(super) fn sentence(error: &Error) -> Option<String> {
    let reason = error.reason()?;
    let name = name(reason);
    Some(match () {
        () if reason == Reason::HTTP_1_1_REQUIRED => {
            "the other side wants HTTP/1.1 for this; set downstream.http = \"1.1\"".to_owned()
        }
        () if error.is_remote() && error.is_go_away() => {
            format!("the other side ended the connection ({name})")
        }
        () if error.is_remote() => format!("the other side ended the exchange ({name})"),
        () => {
            format!("the answer breaks the rules of HTTP/2, or its headers are too large ({name})")
        }
    })
}

/// The name of a reason as RFC 9113 writes it.
fn name(reason: Reason) -> String {
    // Its own form is the name, with the number where there is none.
    format!("{reason:?}")
}
