//! `[queues.<name>.retry]`: when to try again, and when to give up.

use super::kinds::{LONG_MS, duration, number, whole};
use super::reader::{Field, Read, Section};
use crate::domain::retry::RetryPolicy;

/// Most attempts that may be asked for: a bound against a slip of the finger.
const ATTEMPTS_MAX: u32 = 1_000_000;
/// The steepest curve.
const FACTOR_MAX: f64 = 1000.0;
/// The longest delay, in milliseconds: as long as a message may be delayed at all.
const DELAY_MS_MAX: u64 = 366 * 86_400_000;

pub(super) fn default() -> RetryPolicy {
    RetryPolicy {
        max_attempts: 10,
        initial_ms: 5000,
        factor: 2.0,
        max_ms: 3_600_000,
        jitter: 0.2,
        max_age_ms: 86_400_000,
        schedule_ms: None,
        safe_statuses: Vec::new(),
    }
}

pub(super) fn read(field: &Field<'_>) -> Read<RetryPolicy> {
    read_over(field, &default())
}

/// The same with other defaults.
pub(super) fn read_over(field: &Field<'_>, default: &RetryPolicy) -> Read<RetryPolicy> {
    field.section(&[], |section| {
        let delay = duration(1..=DELAY_MS_MAX);
        let max_attempts =
            section.read_or("max_attempts", default.max_attempts, whole(1..=ATTEMPTS_MAX));
        let initial = section.read("initial", &delay);
        let factor = section.read_or("factor", default.factor, number(1.0..=FACTOR_MAX));
        let max = section.read("max", &delay);
        let jitter = section.read_or("jitter", default.jitter, number(0.0..=1.0));
        let max_age = section.read_or("max_age", default.max_age_ms, duration(1..=LONG_MS));
        let schedule = section.read("schedule", schedule);
        let safe_statuses =
            section.read_or("safe_statuses", Vec::new(), |field| field.list(safe_status));
        one_curve(section)?;
        let (initial_ms, max_ms) = ends(section, default, initial?, max?)?;
        Ok(RetryPolicy {
            max_attempts: max_attempts?,
            initial_ms,
            factor: factor?,
            max_ms,
            jitter: jitter?,
            max_age_ms: max_age?,
            schedule_ms: schedule?,
            safe_statuses: safe_statuses?,
        })
    })
}

/// First and longest delay; a default gives way to what is set.
fn ends(
    section: &Section<'_>,
    default: &RetryPolicy,
    initial_ms: Option<u64>,
    max_ms: Option<u64>,
) -> Read<(u64, u64)> {
    match (initial_ms, max_ms) {
        (Some(initial_ms), Some(max_ms)) if initial_ms > max_ms => Err(section
            .wrong("max", "is shorter than initial; expected the longest delay, at least initial")),
        (Some(initial_ms), Some(max_ms)) => Ok((initial_ms, max_ms)),
        (Some(initial_ms), None) => Ok((initial_ms, default.max_ms.max(initial_ms))),
        (None, Some(max_ms)) => Ok((default.initial_ms.min(max_ms), max_ms)),
        (None, None) => Ok((default.initial_ms, default.max_ms)),
    }
}

/// `max` may stand beside a schedule: it also caps what a downstream asks for by `Retry-After`.
fn one_curve(section: &Section<'_>) -> Read<()> {
    if section.field("schedule").is_none() {
        return Ok(());
    }
    match ["initial", "factor"].into_iter().find(|key| section.field(key).is_some()) {
        None => Ok(()),
        Some(key) => Err(section.wrong(
            key,
            "has no effect beside schedule, which names every delay; remove one of them",
        )),
    }
}

fn schedule(field: &Field<'_>) -> Read<Vec<u64>> {
    let delays = field.list(duration(1..=DELAY_MS_MAX))?;
    if delays.is_empty() {
        return Err(field
            .wrong("found an empty list, expected delays, for example [\"5s\", \"5m\", \"30m\"]"));
    }
    Ok(delays)
}

/// Only these are ever in doubt.
fn safe_status(field: &Field<'_>) -> Read<u16> {
    let status = whole(100..=599u16)(field)?;
    if status == 408 || status >= 500 {
        Ok(status)
    } else {
        Err(field.wrong(format!(
            "found {status}, expected 408 or 500 to 599: no other status is taken for unknown"
        )))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::default;
    use crate::config::testing::{queue_errors, queue_of};
    use crate::domain::retry::RetryPolicy;

    fn retry(text: &str) -> RetryPolicy {
        queue_of(&format!("[queues.q.retry]\n{text}")).retry.clone()
    }

    #[test]
    fn every_key_is_read() {
        assert_eq!(retry(""), default());
        assert_eq!(
            retry(
                "max_attempts = 3\ninitial = \"1s\"\nfactor = 3\nmax = \"9s\"\njitter = 0\nmax_age = \"7d\"\nsafe_statuses = [408, 503]"
            ),
            RetryPolicy {
                max_attempts: 3,
                initial_ms: 1000,
                factor: 3.0,
                max_ms: 9000,
                jitter: 0.0,
                max_age_ms: 604_800_000,
                schedule_ms: None,
                safe_statuses: vec![408, 503],
            }
        );
        let by_schedule = retry("schedule = [\"5s\", \"5m\"]\nmax = \"1m\"");
        assert_eq!(by_schedule.schedule_ms, Some(vec![5000, 300_000]));
        assert_eq!(by_schedule.max_ms, 60_000);
    }

    #[test]
    fn a_default_gives_way() {
        assert_eq!(retry("max = \"1s\"").initial_ms, 1000);
        assert_eq!(retry("initial = \"2h\"").max_ms, 7_200_000);
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("max_attempts = 0", "found 0, expected a whole number from 1 to"),
            ("max_attempts = -1", "found -1, expected a whole number from 1 to"),
            ("max_attempts = 1.5", "found 1.5, expected a whole number"),
            ("factor = 0.9", "queues.q.retry.factor: found 0.9, expected a number from 1 to"),
            ("factor = nan", "expected a number from 1 to"),
            ("jitter = 1.1", "found 1.1, expected a number from 0 to 1"),
            ("jitter = \"much\"", "found \"much\", expected a number from 0 to 1"),
            ("initial = \"0s\"", "found \"0s\", expected 1ms to 366d"),
            ("initial = \"2s\"\nmax = \"1s\"", "queues.q.retry.max: is shorter than initial"),
            ("schedule = []", "found an empty list"),
            ("schedule = [\"5s\", \"x\"]", "queues.q.retry.schedule[1]: \"x\" is no duration"),
            ("schedule = [\"5s\"]\nfactor = 2", "has no effect beside schedule"),
            ("safe_statuses = [404]", "found 404, expected 408 or 500 to 599"),
            ("attempts = 3", "queues.q.retry.attempts: unknown key; expected one of max_attempts"),
        ] {
            let error = queue_errors(&format!("[queues.q.retry]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn values_read_back(attempts in 1u32..1000, initial_ms in 1u64..100_000, more_ms in 0u64..100_000, jitter in 0.0f64..=1.0) {
            let max_ms = initial_ms + more_ms;
            let read = retry(&format!(
                "max_attempts = {attempts}\ninitial = \"{initial_ms}ms\"\nmax = \"{max_ms}ms\"\njitter = {jitter:?}"
            ));
            prop_assert_eq!((read.max_attempts, read.initial_ms, read.max_ms, read.jitter), (attempts, initial_ms, max_ms, jitter));
        }
    }
}
