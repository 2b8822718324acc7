//! A downstream that fails, and a gate that its answers shut: logged once when it begins and once when it ends.
//!
//! Owns the words of the log, and that all shards of a queue know what one of them found out. What counts
//! as what is decided where attempts are settled (`lua/include/trouble.lua`). Refuses to know attempts.

use bytes::Bytes;
use serde::Deserialize;

use super::Messages;
use crate::domain::failing::Sign;
use crate::domain::time::rfc3339;
use crate::domain::units::format_duration;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::redis::script::{Call, call, fields};

/// Longest error that is kept for the whole queue, in characters.
const ERROR_CHARS_MAX: usize = 300;

/// Something that a script's call has changed, and that this node is to log.
#[derive(Debug, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Report {
    Failing {
        since_ms: f64,
        attempts: u64,
        error: String,
    },
    Recovered {
        since_ms: f64,
        attempts: u64,
    },
    Shut {
        kind: String,
        error: String,
        until_ms: f64,
    },
    Opened,
    /// Counted, and not logged.
    Superseded {
        messages: u64,
    },
}

/// What the attempts of a call show together, in the scripts' form: each attempt's sign and its error.
pub(in crate::store) fn row_of<'a>(
    attempts: impl Iterator<Item = (Sign, Option<&'a str>)>,
) -> Vec<u8> {
    let (mut is_answered, mut failed, mut last_error) = (false, 0, None);
    for (sign, error) in attempts {
        is_answered |= sign == Sign::Answered;
        if sign == Sign::Failed {
            (failed, last_error) = (failed + 1, error);
        }
    }
    if failed == 0 && !is_answered {
        return Vec::new();
    }
    let error: String = last_error.unwrap_or_default().chars().take(ERROR_CHARS_MAX).collect();
    let mark = if is_answered { 'a' } else { '-' };
    format!("{mark}{failed}:{error}").into_bytes()
}

impl Messages {
    /// Logs what a call has changed, and tells the other shards. What cannot be told them now, their own
    /// attempts show.
    pub(in crate::store) async fn take_reports(
        &self,
        queue: &Queue,
        shard: &Shard,
        reports: &[u8],
    ) {
        if reports.is_empty() {
            return;
        }
        for report in read(reports) {
            let mut is_news = true;
            if let Some(call) = report.spread_call() {
                // Home first: whoever changes it is the one who logs.
                for other in queue.shards.iter().filter(|other| other.number != shard.number) {
                    match self.spread(other, &call).await {
                        Ok(found) => is_news &= other.number != HOME || !found.is_empty(),
                        Err(error) => {
                            tracing::debug!(queue = %queue.policy.name, %error, "a shard does not know yet how the downstream does");
                        }
                    }
                }
            }
            if is_news {
                report.log(queue, self.wire.clock().now_ms());
            }
        }
    }

    async fn spread(&self, shard: &Shard, call: &Call) -> Result<Vec<Report>, StoreError> {
        let mut reply = self.wire.call(shard, call).await?;
        fields!(reply as Spread; reports: Bytes);
        Ok(read(&reports))
    }
}

/// The shard whose word decides who logs.
const HOME: u16 = 0;

fn read(reports: &[u8]) -> Vec<Report> {
    if reports.is_empty() {
        return Vec::new();
    }
    serde_json::from_slice(reports).unwrap_or_else(|error| {
        tracing::error!(%error, "a report of a script cannot be read; please report this");
        Vec::new()
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "moments, as Lua writes them"
)]
const fn ms(moment: f64) -> u64 {
    moment as u64
}

impl Report {
    /// How the other shards are told; a gate is shut in each of them already.
    fn spread_call(&self) -> Option<Call> {
        let call = |what: &str, attempts: Option<u64>, since_ms: Option<u64>, error: &str| {
            call!(Spread, what = what, attempts = attempts, since_ms = since_ms, error = error)
        };
        match self {
            Self::Failing { since_ms, attempts, error } => {
                Some(call("failing", Some(*attempts), Some(ms(*since_ms)), error))
            }
            Self::Recovered { .. } => Some(call("answered", None, None, "")),
            Self::Shut { .. } | Self::Opened | Self::Superseded { .. } => None,
        }
    }

    fn log(&self, queue: &Queue, now_ms: Option<u64>) {
        let (metrics, queue) = (&queue.metrics, &queue.policy.name);
        match self {
            Self::Superseded { messages } => metrics.superseded(*messages),
            Self::Failing { since_ms, attempts, error } => {
                let since = rfc3339(ms(*since_ms));
                tracing::warn!(%queue, attempts, since, error, "the downstream is failing: its last attempts got no answer, 408 or 5xx; messages are tried again later");
            }
            Self::Recovered { since_ms, attempts } => {
                let lasted_ms = now_ms.map(|now_ms| now_ms.saturating_sub(ms(*since_ms)));
                let lasted = lasted_ms.map(format_duration);
                tracing::info!(%queue, attempts, lasted, "the downstream answers again; `tidegate retry` sends at once what waits for another attempt");
            }
            Self::Shut { kind, error, until_ms } if kind == "throttle" => {
                let until = rfc3339(ms(*until_ms));
                tracing::warn!(%queue, error, until, "the gate is shut: the downstream asks for fewer calls, or no token for it can be got");
            }
            Self::Shut { error, until_ms, .. } => {
                let until = rfc3339(ms(*until_ms));
                tracing::error!(%queue, error, until, "the gate is shut: the downstream, or the proxy before it, refuses our credentials or our address; correct downstream.url, downstream.headers or downstream.proxy and reload, or open the gate with `tidegate resume`");
            }
            Self::Opened => {
                tracing::info!(%queue, "the gate is open: the downstream takes messages again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_lua_writes_them() {
        let text = br#"[{"what":"failing","since_ms":1.7951e+12,"attempts":3,"error":"refused"},{"what":"recovered","since_ms":1795251600000,"attempts":9},{"what":"shut","kind":"alarm","error":"status 401","until_ms":1795251600000},{"what":"opened"},{"what":"superseded","messages":2}]"#;
        assert_eq!(read(text).len(), 5);
        assert!(read(b"").is_empty() && read(b"[{}]").is_empty());
    }
}
