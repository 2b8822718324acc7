//! A callback: one call to whoever wants to know, once its host takes calls.
//!
//! Owns the order of what a callback waits for: its host, then a permit of the queue's rate, so that
//! those whose host takes nothing use none. What the host says of itself is its own affair: it shuts no
//! gate that others stand at.

use std::time::Duration;

use rand::Rng as _;
use tokio::time::Instant;

use super::breaker::{Entry, HostSlot, Hosts, News, Said, later_ms};
use super::decide::Action;
use super::exchange::{Exchanges, Outcomes, Tried, error_of};
use super::permits::permit;
use super::single;
use crate::domain::callback::{NoTarget, host_of};
use crate::domain::endpoint::HttpDownstream;
use crate::domain::message::Attempt;
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::policy::Downstream;
use crate::domain::retry::{GiveUp, RetryPolicy};
use crate::store::Claimed;
use crate::telemetry::QueueLabel;

/// Sends a callback, or says when it may be tried again.
pub(super) async fn run(
    exchanges: &Exchanges,
    hosts: &Hosts,
    message: Claimed,
    held: bool,
    outcomes: &Outcomes,
) {
    let (action, attempt) = match target(exchanges, &message) {
        Ok(target) => call(exchanges, hosts, &message, &target, held, outcomes.paused_ms).await,
        Err(why) => no_target(exchanges, &message, &why, outcomes.paused_ms),
    };
    outcomes.settle(vec![outcomes.of(&message, action, attempt)], true).await;
}

fn target(exchanges: &Exchanges, message: &Claimed) -> Result<HttpDownstream, NoTarget> {
    let url = message.details.callback.as_ref().and_then(|wish| wish.url.as_ref());
    match &exchanges.queue.policy.downstream {
        Downstream::Callbacks(callback) => callback.target(url),
        Downstream::Http(_) | Downstream::Null | Downstream::Pull => Err(NoTarget::Unknown),
    }
}

/// The configuration may come to name a url again; a host that may not be called is not waited for.
fn no_target(
    exchanges: &Exchanges,
    message: &Claimed,
    why: &NoTarget,
    paused_ms: u64,
) -> (Action, Option<Attempt>) {
    let now_ms = exchanges.store.clock().now_ms();
    let answer = Answer::NotSent { error: why.to_string(), is_local: false };
    let mut tried = exchanges.judge(message.is_in_doubt, now_ms, answer);
    if matches!(why, NoTarget::NotAllowed(_)) {
        tried.outcome = Outcome::Refused;
    }
    let action = exchanges.action_of(message, &tried, tried.outcome, paused_ms);
    (action, Some(exchanges.attempt_of(message, &tried)))
}

async fn call(
    exchanges: &Exchanges,
    hosts: &Hosts,
    message: &Claimed,
    target: &HttpDownstream,
    held: bool,
    paused_ms: u64,
) -> (Action, Option<Attempt>) {
    let host = host_of(&target.url);
    let slot = match enter(exchanges, hosts, &host).await {
        Ok(slot) => slot,
        Err(Closed::Stopping) => return (Action::Release, None),
        Err(Closed::Later(why, least)) => {
            let why = format!("{host} takes no callbacks: {why}");
            return (postpone(exchanges, message, least, why, paused_ms), None);
        }
    };
    if !has_permit(exchanges, hosts, message).await {
        return (Action::Release, None);
    }
    slot.begin(Instant::now());
    exchanges.store.note_start(&exchanges.queue.policy, message, held, &exchanges.lateness);
    let mut tried = send(exchanges, message, target).await;
    if tried.outcome == Outcome::Accepted {
        // What a callback leads to is nobody's business here: it was taken.
        tried.outcome = Outcome::Delivered;
    }
    let retry = message.details.retry_policy(&exchanges.queue.policy.retry);
    let said = said(tried.outcome, &retry);
    let pause = said.and_then(|said| slot.learn(said, Instant::now()));
    let queue = &exchanges.queue.policy.name;
    let label = QueueLabel { queue: queue.to_string() };
    exchanges.store.metrics().callback_hosts.get_or_create(&label).set(hosts.left_alone());
    match said.and_then(|said| slot.news(said, pause)) {
        Some(News::LeftAlone) => {
            let error = error_of(&tried.answer);
            tracing::warn!(%queue, host, pause = ?pause.unwrap_or_default(), error, "a callback host is left alone: its calls fail; it is tried now and then");
        }
        Some(News::Back) => tracing::info!(%queue, host, "a callback host takes calls again"),
        None => {}
    }
    let attempt = exchanges.attempt_of(message, &tried);
    let action = match tried.outcome {
        Outcome::Throttled { .. } | Outcome::Denied => {
            let why = format!("{host} takes no callbacks: {}", tried.outcome.as_str());
            match postpone(exchanges, message, pause.unwrap_or_default(), why, paused_ms) {
                // The answer tells.
                Action::Postpone { delay_ms, .. } => Action::Postpone { delay_ms, reason: None },
                other => other,
            }
        }
        outcome => match exchanges.action_of(message, &tried, outcome, paused_ms) {
            // Five such in a row are the host's affair, and its breaker knows of them.
            Action::Bury { word, reason, .. } => Action::Bury { word, reason, suspect: false },
            other => other,
        },
    };
    (action, Some(attempt))
}

async fn send(exchanges: &Exchanges, message: &Claimed, target: &HttpDownstream) -> Tried {
    match exchanges.transport.towards(target) {
        Ok(way) => single::call(exchanges, message, &way).await,
        Err(error) => {
            let (now_ms, _) = exchanges.times();
            let answer = Answer::NotSent { error: error.to_string(), is_local: false };
            exchanges.judge(message.is_in_doubt, now_ms, answer)
        }
    }
}

/// What an outcome says of the host, beside the message; `None`: nothing.
fn said(outcome: Outcome, retry: &RetryPolicy) -> Option<Said> {
    Some(match outcome {
        Outcome::Delivered | Outcome::Accepted | Outcome::Refused => Said::Well,
        Outcome::Retry | Outcome::Unknown | Outcome::Suspect => Said::Failed,
        Outcome::Throttled { retry_after_ms } => Said::TooFast(retry.obeyed_ms(retry_after_ms)),
        Outcome::Denied => Said::Denied,
        Outcome::Hindered => return None,
    })
}

/// Why no slot was had.
enum Closed {
    Stopping,
    Later(&'static str, Duration),
}

/// A slot at the host; one that comes free soon is waited for.
async fn enter(exchanges: &Exchanges, hosts: &Hosts, host: &str) -> Result<HostSlot, Closed> {
    loop {
        match hosts.enter(host, Instant::now()) {
            Entry::Go(slot) => return Ok(slot),
            Entry::Later(why, least) => return Err(Closed::Later(why, least)),
            Entry::Soon(freed, until) => tokio::select! {
                () = exchanges.stop.cancelled() => return Err(Closed::Stopping),
                () = freed.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            },
        }
    }
}

/// A permit of the queue's rate, where it has one, and a lease that lasts.
async fn has_permit(exchanges: &Exchanges, hosts: &Hosts, message: &Claimed) -> bool {
    let may_start = || exchanges.in_flight.may_start(&message.lease);
    if exchanges.queue.policy.rate.is_none() {
        return may_start();
    }
    // In order of arrival.
    let _pace = tokio::select! {
        () = exchanges.stop.cancelled() => return false,
        pace = hosts.pace.lock() => pace,
    };
    let lasts = || if may_start() { Ok(()) } else { Err(()) };
    permit(&exchanges.store, &exchanges.queue, &exchanges.stop, lasts).await.is_ok()
}

/// Back for later, as if not tried; but not for ever.
fn postpone(
    exchanges: &Exchanges,
    message: &Claimed,
    least: Duration,
    why: String,
    paused_ms: u64,
) -> Action {
    let retry = message.details.retry_policy(&exchanges.queue.policy.retry);
    let now_ms = exchanges.store.clock().now_ms();
    if retry.is_too_old(exchanges.age_ms(message, now_ms, paused_ms)) {
        let (word, reason) = (GiveUp::TooOld.word(), GiveUp::TooOld.reason(message.attempt, &why));
        return Action::Bury { word, reason, suspect: false };
    }
    // What an earlier attempt said is kept instead.
    let reason = (message.attempt == 1).then_some(why);
    Action::Postpone { delay_ms: later_ms(least, message.throttles, rand::rng().random()), reason }
}
