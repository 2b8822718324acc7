//! The kinds of downstream: the one place that says how they differ.
//!
//! Whoever has to tell them apart asks here what one can do, and not which one it is. Refuses to know how they are configured
//! (see `config`) and how they are called (see `transport`), which have one list of them each.

use url::Url;

use super::{QueuePolicy, Unfit};
use crate::domain::callback::{CallbackPolicy, NoTarget};
use crate::domain::endpoint::HttpDownstream;
use crate::domain::message::Details;
use crate::domain::message_target::{MessageTarget, MessageUrls};
use crate::domain::units::format_duration;

/// The slow receiver.
#[derive(Debug, Clone, PartialEq)]
pub enum Downstream {
    /// HTTP calls.
    Http(HttpDownstream),
    /// HTTP calls, each to the url that its message brings.
    MessageUrls(MessageUrls),
    /// Takes everything at once and sends nothing.
    Null,
    /// Workers come and claim.
    Pull,
    /// Whoever wants to know what became of messages: each callback has its address.
    Callbacks(CallbackPolicy),
}

/// What a kind of downstream can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether this program calls it: it may ask for fewer calls, and each call has a connection.
    pub is_called: bool,
    /// Whether workers come and claim.
    pub is_pulled: bool,
    /// Whether one call may carry several messages.
    pub takes_batches: bool,
    /// Whether each message has a host of its own: what an answer says of its sender holds for that host alone.
    pub is_by_host: bool,
    /// Whether each message brings the url it goes to.
    pub brings_urls: bool,
}

const CALLED: Capabilities = Capabilities {
    is_called: true,
    is_pulled: false,
    takes_batches: true,
    is_by_host: false,
    brings_urls: false,
};

impl Downstream {
    /// What it can do.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        match self {
            Self::Http(_) => CALLED,
            Self::MessageUrls(_) => {
                Capabilities { takes_batches: false, is_by_host: true, brings_urls: true, ..CALLED }
            }
            Self::Callbacks(_) => Capabilities { takes_batches: false, is_by_host: true, ..CALLED },
            // A dry run takes what the queue takes otherwise.
            Self::Null => Capabilities { is_called: false, ..CALLED },
            Self::Pull => {
                Capabilities { is_called: false, is_pulled: true, takes_batches: false, ..CALLED }
            }
        }
    }

    /// Whether nothing is sent: what asks for more than a kind can do is let through, as it is for the time after a dry run.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether callbacks are what is sent.
    #[must_use]
    pub const fn is_for_callbacks(&self) -> bool {
        matches!(self, Self::Callbacks(_))
    }

    /// The longest one whole exchange may take, in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        match self {
            Self::Http(http) | Self::MessageUrls(MessageUrls { http, .. }) => http.timeout_ms,
            Self::Null | Self::Pull => 0,
            Self::Callbacks(callback) => callback.timeout_ms,
        }
    }

    /// How calls are made, where the configuration says it: to its own url, or to those that messages bring.
    #[must_use]
    pub const fn http(&self) -> Option<&HttpDownstream> {
        match self {
            Self::Http(http) | Self::MessageUrls(MessageUrls { http, .. }) => Some(http),
            Self::Null | Self::Pull | Self::Callbacks(_) => None,
        }
    }

    /// Where a message with these details goes, if that is not the same for all: the url that it brings, or that of its callback.
    ///
    /// # Errors
    /// Why it may go nowhere.
    pub fn target(&self, details: &Details) -> Result<Option<HttpDownstream>, NoTarget> {
        match self {
            Self::MessageUrls(urls) => urls.target(details.target.as_ref()).map(Some),
            Self::Callbacks(callback) => callback.target(own_url_of(details)).map(Some),
            Self::Http(_) | Self::Null | Self::Pull => Ok(None),
        }
    }
}

/// The url that a callback itself names.
fn own_url_of(details: &Details) -> Option<&Url> {
    details.callback.as_ref().and_then(|wish| wish.url.as_ref())
}

impl QueuePolicy {
    pub(super) fn check_timeout(&self, timeout_ms: Option<u64>) -> Result<(), Unfit> {
        let (Some(timeout_ms), name) = (timeout_ms, &self.name) else { return Ok(()) };
        let most_ms = self.downstream.timeout_ms();
        if self.downstream.capabilities().is_pulled {
            return Err(Unfit::Timeout(format!(
                "has no effect in the queue \"{name}\", whose workers say how long they need; leave it out"
            )));
        }
        if self.downstream.is_dry_run() || timeout_ms <= most_ms {
            return Ok(());
        }
        let [found, most] = [timeout_ms, most_ms].map(format_duration);
        Err(Unfit::Timeout(format!(
            "found {found}, expected at most {most}, the downstream.timeout of the queue \"{name}\""
        )))
    }

    /// Whether a message that names this target, or none, may be sent from here.
    pub(super) fn check_target(&self, target: Option<&MessageTarget>) -> Result<(), Unfit> {
        let name = &self.name;
        let checked = match (&self.downstream, target) {
            (Downstream::MessageUrls(urls), Some(target)) => {
                urls.why_unfit(target).map_or(Ok(()), Err)
            }
            (Downstream::MessageUrls(_), None) => Err(format!(
                "missing; each message of the queue \"{name}\" brings its own (downstream.url = \"message\"): give it in the message, or by --to URL"
            )),
            // A dry run takes what the queue takes otherwise.
            (Downstream::Null, _) | (_, None) => Ok(()),
            (_, Some(_)) => Err(format!(
                "has no effect in the queue \"{name}\", whose messages do not bring their own url; leave it out, or use a queue with downstream.url = \"message\""
            )),
        };
        checked.map_err(Unfit::Url)
    }
}
