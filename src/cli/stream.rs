//! Answers that come line by line while the daemon works.
//!
//! Owns the cutting into lines. Refuses to know what a line means.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::client::{Client, Target};
use super::exit::{Exit, Failure};
use crate::domain::human::lasting;

/// How long the daemon may stay silent between two pieces of an answer.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Most bytes of one answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The lines of an answer.
pub(crate) struct Lines {
    body: Limited<Incoming>,
    piece: Vec<u8>,
    at: usize,
}

impl Client {
    /// Asks for an answer of JSON lines.
    pub(crate) async fn lines(&self, method: Method, target: &Target) -> Result<Lines, Failure> {
        let body = Limited::new(self.open(method, target).await?, ANSWER_BYTES_MAX);
        Ok(Lines { body, piece: Vec::new(), at: 0 })
    }
}

impl Lines {
    /// The next line; `None` after the last.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        loop {
            if let Some(length) = self.piece[self.at..].iter().position(|byte| *byte == b'\n') {
                let line = &self.piece[self.at..self.at + length];
                let value = serde_json::from_slice(line).map_err(|error| {
                    Failure::new(Exit::Failure, format!("a line makes no sense: {error}"))
                })?;
                self.at += length + 1;
                return Ok(Some(value));
            }
            self.piece.drain(..self.at);
            self.at = 0;
            let Some(more) = self.more().await? else { return Ok(None) };
            self.piece.extend_from_slice(&more);
        }
    }

    async fn more(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let frame = frame.map_err(|_| {
                let silence = lasting(SILENCE_MAX);
                Failure::new(Exit::TimedOut, format!("the daemon said nothing for {silence}"))
            })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                Failure::new(Exit::Unreachable, format!("the answer broke off: {error}"))
                    .next("try again; `tidegate queues` tells whether the daemon is there")
            })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }
}
