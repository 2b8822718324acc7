//! Why a proxy leads nowhere, in a sentence for people.
//!
//! Owns the words for what a proxy says, with the remedy. Refuses to know connections.

use std::error::Error;
use std::fmt;

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a proxy leads nowhere, for people.
#[derive(Debug)]
pub(super) struct ProxyError {
    /// Name and port of the proxy.
    pub(super) place: String,
    /// What went wrong there.
    pub(super) trouble: Trouble,
}

/// What goes wrong with a proxy.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no connection to the proxy itself.
    Unreachable { words: String, error: BoxError },
    /// The connection to it broke off.
    BrokeOff { words: String, error: BoxError },
    /// It closed without an answer.
    Closed,
    /// Its answer is none of a proxy.
    NotHttp,
    /// It makes no tunnel.
    Refused { status: u16, server: String },
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = &self.place;
        match &self.trouble {
            Trouble::Unreachable { words, .. } => {
                write!(f, "the proxy {proxy} cannot be reached: {words}")
            }
            Trouble::BrokeOff { words, .. } => write!(f, "the proxy {proxy} broke off: {words}"),
            Trouble::Closed => {
                write!(f, "the proxy {proxy} closed the connection without an answer")
            }
            Trouble::NotHttp => write!(
                f,
                "the proxy {proxy} does not answer as a proxy does; check downstream.proxy"
            ),
            Trouble::Refused { status: status @ (401 | 407), .. } => write!(
                f,
                "the proxy {proxy} asks for other credentials ({status}); put user and password into downstream.proxy"
            ),
            Trouble::Refused { status: status @ (403 | 405), server } => write!(
                f,
                "the proxy {proxy} does not allow a connection to {server} ({status}); allow it there"
            ),
            Trouble::Refused { status: status @ (500 | 502..=504), server } => {
                write!(f, "the proxy {proxy} does not reach {server} ({status})")
            }
            Trouble::Refused { status, server } => {
                write!(f, "the proxy {proxy} refuses a connection to {server} ({status})")
            }
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.trouble {
            Trouble::Unreachable { error, .. } | Trouble::BrokeOff { error, .. } => Some(&**error),
            Trouble::Closed | Trouble::NotHttp | Trouble::Refused { .. } => None,
        }
    }
}
