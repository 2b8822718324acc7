//! The fields of a message that are objects: what it changes in its queue's retry policy, and whom to call of its outcome.

use http::Method;

use super::LONG_MS;
use super::given::{Given, Shape, Source};
use crate::domain::callback::{CallbackOn, CallbackWish, FINAL_WORDS_MAX, parse_url};
use crate::domain::message::{DELAY_MS_MAX, RetryOverride};
use crate::domain::message_target::{METHODS, MessageTarget};
use crate::domain::retry::{ATTEMPTS_MAX, FACTOR_MAX, SCHEDULE_MAX};

/// The fields of `retry`.
pub static RETRY: Shape = Shape {
    known: &["max_attempts", "initial", "factor", "max", "jitter", "max_age", "schedule"],
    later: &[],
};

/// The fields of `callback`.
pub static CALLBACK: Shape = Shape { known: &["url", "on"], later: &[] };

/// `retry` of a message, within the bounds of the configuration.
pub(super) fn retry<S: Source>(source: &mut S) -> RetryOverride {
    fn delay<G: Given>(given: &G) -> Result<u64, G::Wrong> {
        given.duration_ms(1..=DELAY_MS_MAX)
    }
    let retry = RetryOverride {
        max_attempts: source.read("max_attempts", |given| given.whole(1..=ATTEMPTS_MAX)),
        initial_ms: source.read("initial", delay),
        factor: source.read("factor", |given| given.number(1.0..=FACTOR_MAX)),
        max_ms: source.read("max", delay),
        jitter: source.read("jitter", |given| given.number(0.0..=1.0)),
        max_age_ms: source.read("max_age", |given| given.duration_ms(1..=LONG_MS)),
        schedule_ms: source.read("schedule", schedule),
    };
    if let (Some(initial_ms), Some(max_ms)) = (retry.initial_ms, retry.max_ms)
        && initial_ms > max_ms
    {
        let why = "shorter than initial; expected the longest delay, at least initial";
        source.fault("max", why.to_owned());
    }
    if retry.schedule_ms.is_some() {
        for name in ["initial", "factor"] {
            if source.get(name).is_some() {
                let why =
                    "has no effect beside schedule, which names every delay; leave one of them out";
                source.fault(name, why.to_owned());
            }
        }
    }
    retry
}

fn schedule<G: Given>(given: &G) -> Result<Vec<u64>, G::Wrong> {
    let delays = given.list(SCHEDULE_MAX)?;
    if delays.is_empty() {
        let why = "found no delay, expected for example [\"5s\", \"5m\"]";
        return Err(given.wrong(why.to_owned()));
    }
    delays.iter().map(|delay| delay.duration_ms(1..=DELAY_MS_MAX)).collect()
}

/// `url` and `method` of a message.
pub(super) fn target<S: Source>(source: &mut S) -> Option<MessageTarget> {
    let url = source.read("url", |given| {
        parse_url(&given.text()?).map_err(|why| given.wrong(format!("the url {why}")))
    });
    let method = source.read("method", |given| {
        let word = given.text()?;
        let known = METHODS.iter().find(|method| method.as_str() == word);
        known.cloned().ok_or_else(|| {
            let words: Vec<&str> = METHODS.iter().map(Method::as_str).collect();
            given.wrong(format!("found {word:?}, expected one of {}", words.join(", ")))
        })
    });
    if source.get("method").is_some() && source.get("url").is_none() {
        let why = "has no effect without url; leave it out, or give the url that it is for";
        source.fault("method", why.to_owned());
    }
    url.map(|url| MessageTarget::new(url, method))
}

/// `callback` of a message.
pub(super) fn callback<S: Source>(source: &mut S) -> CallbackWish {
    CallbackWish {
        url: source.read("url", |given| {
            parse_url(&given.text()?).map_err(|why| given.wrong(format!("the url {why}")))
        }),
        on: source.read("on", |given| {
            given.list(FINAL_WORDS_MAX)?.iter().try_fold(CallbackOn::NONE, |on, word| {
                on.with(&word.text()?).map_err(|why| given.wrong(why))
            })
        }),
    }
}
