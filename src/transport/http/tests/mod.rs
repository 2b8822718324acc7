//! Exchanges with scripted servers on real sockets.

mod answers;
mod bounds;
mod connections;
mod early;
mod endings;
mod failures;
mod heads;
mod identity;
mod proxies;
mod secure;
mod server;
mod tokens;
mod two;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::endpoint::HttpDownstream;
use crate::domain::outcome::Answer;
use crate::domain::policy::Downstream;
use crate::domain::protocol::Protocol;
use crate::transport::{Call, HttpParts, Transport, TransportError};

/// More time than any exchange that succeeds needs, on a busy machine too.
const PATIENCE_MS: u64 = 20_000;

fn downstream(url: &str) -> HttpDownstream {
    HttpDownstream { timeout_ms: PATIENCE_MS, ..HttpDownstream::of(url) }
}

/// The way to a downstream that is called.
fn way_to(downstream: &Downstream) -> Result<Transport, TransportError> {
    Transport::new(downstream).map(|way| way.expect("it is called"))
}

fn transport_to(at: SocketAddr) -> Transport {
    way_to(&Downstream::Http(downstream(&format!("http://{at}/hook?a=1")))).unwrap()
}

fn call(body: &'static str) -> Call {
    call_within(body, PATIENCE_MS)
}

fn call_within(body: &'static str, timeout_ms: u64) -> Call {
    Call {
        id: "sms_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        content_type: "application/json".to_owned(),
        message_headers: Vec::new(),
        http: HttpParts::default(),
        facts: vec![("Tidegate-Queue", "sms".to_owned())],
        body: Bytes::from_static(body.as_bytes()),
        now_ms: 1_763_640_000_000,
        deadline: Instant::now() + Duration::from_millis(timeout_ms),
        response_bytes_max: 4096,
    }
}

/// An answer whose body came to its end, or why it did not.
fn answered(status: u16, body: &'static str, missing: Option<&str>) -> Answer {
    Answer::Answered {
        protocol: Protocol::Http,
        status,
        retry_after_ms: None,
        content_type: None,
        encoding: None,
        body: Bytes::from_static(body.as_bytes()),
        pending: None,
        missing: missing.map(str::to_owned),
    }
}

fn status_of(answer: &Answer) -> u16 {
    match answer {
        Answer::Answered { status, .. } => *status,
        _ => panic!("no answer: {answer:?}"),
    }
}
