//! A call to the host that a message names: its own url, or whoever wants to be told (a callback).
//!
//! Owns the order of what it waits for: its host, then a permit of the queue's limits, so that
//! those whose host takes nothing use none. What the host says of itself is its own affair: it shuts no
//! gate that others stand at.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use super::breaker::{Admission, HostNews, HostSign, HostSlot, Hosts, later_ms};
use super::exchange::{Began, Exchanges, Tried, error_of};
use crate::domain::callback::NoTarget;
use crate::domain::endpoint::HttpDownstream;
use crate::domain::message::Attempt;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::policy::Downstream;
use crate::domain::retry::{GiveUp, RetryPolicy};
use crate::domain::settlement::Settlement;
use crate::domain::url_hosts::host_key;
use crate::store::Claimed;
use crate::telemetry::QueueLabel;

/// A place at a host, and the way there.
#[derive(Debug)]
pub(super) struct HostCall<'a> {
    hosts: &'a Hosts,
    slot: HostSlot,
    host: String,
    target: HttpDownstream,
}

/// Why a message does not leave: what becomes of it instead, and what is kept of that.
pub(super) type Stays = Box<(Settlement, Option<Attempt>)>;

/// The configuration may come to name a url again; a host that may not be called is not waited for.
fn no_target(exchanges: &Exchanges, message: &Claimed, why: &NoTarget, paused_ms: u64) -> Stays {
    let began = match exchanges.begins() {
        Ok(began) => began,
        Err(stays) => return Box::new((stays, None)),
    };
    let answer = Answer::NotSent { error: why.to_string(), is_local: false };
    let mut tried = exchanges.judge(message.is_in_doubt, began, answer);
    if !matches!(why, NoTarget::Unknown) {
        tried.outcome = Outcome::Refused;
    }
    let settlement = exchanges.settlement_of(message, &tried, tried.outcome, paused_ms);
    let attempt = exchanges.attempt_of(message, &tried, &settlement);
    Box::new((settlement, Some(attempt)))
}

/// Waits for what such a message waits for: its host, then a permit.
pub(super) async fn enter<'a>(
    exchanges: &Exchanges,
    hosts: &'a Hosts,
    message: &Claimed,
    paused_ms: u64,
) -> Result<(Began, HostCall<'a>), Stays> {
    let target = exchanges.queue.policy.downstream.target(&message.details);
    let target = match target.and_then(|it| it.ok_or(NoTarget::Unknown)) {
        Ok(target) => target,
        Err(why) => return Err(no_target(exchanges, message, &why, paused_ms)),
    };
    let host = host_key(&target.url);
    let slot = match slot_at(exchanges, hosts, &host).await {
        Ok(slot) => slot,
        Err(Closed::Stopping) => return Err(Box::new((Settlement::Release, None))),
        Err(Closed::Later(why, least)) => {
            let words = HostWords::of(&exchanges.queue.policy.downstream);
            let why = format!("{host} takes no {}: {why}", words.messages);
            return Err(Box::new((postpone(exchanges, message, least, why, paused_ms), None)));
        }
    };
    let began =
        permitted(exchanges, hosts, message).await.map_err(|stays| Box::new((stays, None)))?;
    slot.begin(began.at);
    Ok((began, HostCall { hosts, slot, host, target }))
}

impl HostCall<'_> {
    /// Makes the call.
    pub(super) async fn call(
        &self,
        exchanges: &Exchanges,
        part: &[Claimed],
        began: Began,
    ) -> Tried {
        let mut tried = match exchanges.transport.towards(&self.target) {
            Ok(way) => exchanges.call(part, began, &way, None).await,
            Err(error) => {
                let answer = Answer::NotSent { error: error.to_string(), is_local: false };
                exchanges.judge(part.iter().any(|message| message.is_in_doubt), began, answer)
            }
        };
        let is_callback = exchanges.queue.policy.downstream.is_for_callbacks();
        if is_callback && tried.outcome == Outcome::Accepted {
            // What a callback leads to is nobody's business here: it was taken.
            tried.outcome = Outcome::Delivered;
        }
        tried
    }

    /// What follows for the message, once its host is judged by the answer.
    pub(super) fn settlement_of(
        &self,
        exchanges: &Exchanges,
        message: &Claimed,
        tried: &Tried,
        paused_ms: u64,
    ) -> Settlement {
        let pause = self.learn(exchanges, message, tried);
        match tried.outcome {
            Outcome::Throttled { .. } | Outcome::Withheld { .. } | Outcome::Denied => {
                let (host, words) = (&self.host, HostWords::of(&exchanges.queue.policy.downstream));
                let why = format!("{host} takes no {}: {}", words.messages, tried.outcome.as_str());
                match postpone(exchanges, message, pause.unwrap_or_default(), why, paused_ms) {
                    // The answer tells.
                    Settlement::Postpone { delay_ms, .. } => {
                        Settlement::Postpone { delay_ms, reason: None }
                    }
                    other => other,
                }
            }
            outcome => match exchanges.settlement_of(message, tried, outcome, paused_ms) {
                // Five such in a row are the host's affair, and its breaker knows of them.
                Settlement::Bury { word, reason, .. } => {
                    Settlement::Bury { word, reason, suspect: false }
                }
                other => other,
            },
        }
    }

    /// Tells the breaker what the answer shows of the host; returns for how long it is left alone.
    fn learn(&self, exchanges: &Exchanges, message: &Claimed, tried: &Tried) -> Option<Duration> {
        let retry = message.details.retry_policy(&exchanges.queue.policy.retry);
        // An address that may not be called says nothing of its host.
        let is_made = !matches!(tried.answer, Answer::NotAllowed { .. });
        let said = said(tried.outcome, &retry).filter(|_| is_made);
        let pause = said.and_then(|said| self.slot.learn(said, Instant::now()));
        let (queue, host) = (&exchanges.queue.policy.name, &self.host);
        let label = QueueLabel { queue: queue.to_string() };
        let left_alone = self.hosts.left_alone();
        let metrics = &exchanges.store.metrics().queue;
        let is_callback = exchanges.queue.policy.downstream.is_for_callbacks();
        let gauge = if is_callback {
            &metrics.callback_hosts_left_alone
        } else {
            &metrics.hosts_left_alone
        };
        gauge.get_or_create(&label).set(left_alone);
        let words = HostWords::of(&exchanges.queue.policy.downstream);
        match said.and_then(|said| self.slot.news(said, pause)) {
            Some(HostNews::LeftAlone) => {
                let error = error_of(&tried.answer);
                tracing::warn!(%queue, host, pause = ?pause.unwrap_or_default(), error, "calls to a {} fail; its {} wait, and single calls try it again", words.host, words.messages);
            }
            Some(HostNews::Back) => {
                tracing::info!(%queue, host, "calls to a {} succeed again", words.host);
            }
            None => {}
        }
        pause
    }
}

/// How logs and reasons name what is called and what waits for it.
struct HostWords {
    host: &'static str,
    messages: &'static str,
}

impl HostWords {
    const fn of(downstream: &Downstream) -> Self {
        if downstream.is_for_callbacks() {
            Self { host: "callback host", messages: "callbacks" }
        } else {
            Self { host: "host", messages: "messages" }
        }
    }
}

/// What an outcome says of the host, beside the message; `None`: nothing.
fn said(outcome: Outcome, retry: &RetryPolicy) -> Option<HostSign> {
    Some(match outcome {
        Outcome::Delivered | Outcome::Accepted | Outcome::Refused => HostSign::Well,
        Outcome::Retry | Outcome::Unknown | Outcome::Suspect => HostSign::Failed,
        Outcome::Throttled { retry_after_ms } | Outcome::Withheld { retry_after_ms } => {
            HostSign::TooFast(retry.obeyed_ms(retry_after_ms))
        }
        Outcome::Denied => HostSign::Denied,
        Outcome::Hindered => return None,
    })
}

/// Why no slot was had.
enum Closed {
    Stopping,
    Later(&'static str, Duration),
}

/// A slot at the host; one that comes free soon is waited for.
async fn slot_at(exchanges: &Exchanges, hosts: &Hosts, host: &str) -> Result<HostSlot, Closed> {
    loop {
        match hosts.enter(host, Instant::now()) {
            Admission::Go(slot) => return Ok(slot),
            Admission::Later(why, least) => return Err(Closed::Later(why, least)),
            Admission::Soon(freed, until) => tokio::select! {
                () = exchanges.stop.cancelled() => return Err(Closed::Stopping),
                () = freed.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            },
        }
    }
}

/// The last look, once there is a permit of the queue's limits, where it has any.
async fn permitted(
    exchanges: &Exchanges,
    hosts: &Hosts,
    message: &Claimed,
) -> Result<Began, Settlement> {
    let part = std::slice::from_ref(message);
    if !exchanges.queue.policy.has_wide_limits() {
        return exchanges.last_look(part, false);
    }
    // In order of arrival.
    let _pace = tokio::select! {
        () = exchanges.stop.cancelled() => return Err(Settlement::Release),
        pace = hosts.pace.lock() => pace,
    };
    exchanges.permitted(part).await
}

/// Back for later, as if not tried; but not for ever.
fn postpone(
    exchanges: &Exchanges,
    message: &Claimed,
    least: Duration,
    why: String,
    paused_ms: u64,
) -> Settlement {
    let retry = message.details.retry_policy(&exchanges.queue.policy.retry);
    let now_ms = exchanges.store.clock().now_ms();
    let is_too_old = |now_ms| retry.is_too_old(exchanges.age_ms(message, now_ms, paused_ms));
    if now_ms.is_some_and(is_too_old) {
        let (word, reason) = (GiveUp::TooOld.word(), GiveUp::TooOld.reason(message.attempt, &why));
        return Settlement::Bury { word, reason, suspect: false };
    }
    // What an earlier attempt said is kept instead.
    let reason = (message.attempt == 1).then_some(why);
    Settlement::Postpone {
        delay_ms: later_ms(least, message.throttles, rand::rng().random()),
        reason,
    }
}
