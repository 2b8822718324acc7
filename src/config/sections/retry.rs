//! `[queues.<name>.retry]`: when to try again, and when to give up.

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{
    Bounds, Form, Kind, LONG_MS, Shown, custom, duration, list, number, settings, whole,
};
use crate::domain::message::DELAY_MS_MAX;
use crate::domain::outcome::OnUncertain;
use crate::domain::retry::{ATTEMPTS_MAX, FACTOR_MAX, RetryPolicy};
use crate::domain::units::format_duration;

/// Statuses that say something of the sender, and so concern every message of the queue: no list
/// changes what they mean.
const OF_THE_SENDER: [u16; 3] = [401, 407, 429];

settings! {
    struct Retry in "queues.NAME.retry" of RetryPolicy {
        /// After this many attempts the message is dead. Throttles (429) do not count. Without it, only `max_age` ends the
        /// attempts; with it, whichever of the two is reached first.
        max_attempts: Option<u32> =
            whole(1..=ATTEMPTS_MAX).unset_means("none").example("10"), |it| it.max_attempts;
        /// These delays instead of `initial`, `factor` and `max`; the last one repeats.
        schedule: Option<Vec<u64>> =
            delays().unset_means("none").example("[\"5s\", \"5m\", \"30m\"]"),
            |it| it.schedule_ms.clone();
        /// The delay after the first attempt.
        initial: Option<u64> = duration(1..=DELAY_MS_MAX).unset_is(RetryPolicy::default().initial_ms).at_times_without_effect(),
            |it| it.schedule_ms.is_none().then_some(it.initial_ms);
        /// Each further delay is this many times longer.
        factor: Option<f64> = number(1.0..=FACTOR_MAX).unset_is(RetryPolicy::default().factor).at_times_without_effect(),
            |it| it.schedule_ms.is_none().then_some(it.factor);
        /// The longest delay.
        max: Option<u64> =
            duration(1..=DELAY_MS_MAX).unset_is(RetryPolicy::default().max_ms), |it| Some(it.max_ms);
        /// The longest `Retry-After` that is obeyed; a longer one is shortened to this.
        throttle_max: Option<u64> =
            duration(1..=DELAY_MS_MAX).unset_is(RetryPolicy::default().throttle_max_ms),
            |it| Some(it.throttle_max_ms);
        /// The share by which a delay is made longer or shorter at random.
        jitter: Option<f64> =
            number(0.0..=1.0).unset_is(RetryPolicy::default().jitter), |it| Some(it.jitter);
        /// The message is dead this long after its first attempt. Time in which the queue is paused or its window is closed
        /// does not count.
        max_age: Option<u64> =
            duration(1..=LONG_MS).unset_is(RetryPolicy::default().max_age_ms), |it| Some(it.max_age_ms);
        /// With `on_uncertain = "park"` or `"probe"`: statuses such as `502` with which this downstream certainly did
        /// nothing, so that the message may be sent again.
        safe_statuses: Vec<u16> = list(status("408 or 500 to 599", safe_status)).or(Vec::new()),
            |it| it.safe_statuses.clone();
        /// Statuses after which this queue tries again (an attempt, with backoff), whatever the
        /// [table of outcomes](outcomes.md) says, such as `[404, 409]`. With `park` and `probe`, put 408 and 5xx into
        /// `safe_statuses` instead.
        retry_statuses: Vec<u16> = list(status("400 to 599", listed_status)).or(Vec::new()),
            |it| it.retry_statuses.clone();
        /// Statuses that this queue takes as a refusal, whatever the table of outcomes says, such as `[501]`.
        dead_statuses: Vec<u16> = list(status("400 to 599", listed_status)).or(Vec::new()),
            |it| it.dead_statuses.clone();
    }
}

/// `on_uncertain` is the queue's: it decides which statuses leave an outcome unknown.
pub(in crate::config) fn read(
    field: &Field<'_>,
    on_uncertain: Read<OnUncertain>,
) -> Read<RetryPolicy> {
    read_over(field, &RetryPolicy::default(), on_uncertain)
}

/// The same with other defaults.
pub(in crate::config) fn read_over(
    field: &Field<'_>,
    default: &RetryPolicy,
    on_uncertain: Read<OnUncertain>,
) -> Read<RetryPolicy> {
    field.section(&[], |section| {
        let it = Retry::of(section);
        let lists = [it.safe_statuses, it.retry_statuses, it.dead_statuses];
        let statuses = statuses(section, lists, on_uncertain);
        one_curve(section)?;
        let (initial_ms, max_ms) = ends(section, default, it.initial?, it.max?)?;
        let [safe_statuses, retry_statuses, dead_statuses] = statuses?;
        Ok(RetryPolicy {
            max_attempts: it.max_attempts?.or(default.max_attempts),
            initial_ms,
            factor: it.factor?.unwrap_or(default.factor),
            max_ms,
            throttle_max_ms: it.throttle_max?.unwrap_or(default.throttle_max_ms),
            jitter: it.jitter?.unwrap_or(default.jitter),
            max_age_ms: it.max_age?.unwrap_or(default.max_age_ms),
            schedule_ms: it.schedule?,
            safe_statuses,
            retry_statuses,
            dead_statuses,
        })
    })
}

/// The lists of statuses, `safe_statuses` first; each status stands in one of them at most.
fn statuses(
    section: &Section<'_>,
    [safe, retry, dead]: [Read<Vec<u16>>; 3],
    on_uncertain: Read<OnUncertain>,
) -> Read<[Vec<u16>; 3]> {
    let (safe, retry, dead) = (safe?, retry?, dead?);
    for (key, statuses, others) in [
        ("retry_statuses", &retry, [("safe_statuses", &safe), ("dead_statuses", &dead)]),
        ("dead_statuses", &dead, [("safe_statuses", &safe), ("retry_statuses", &retry)]),
    ] {
        for (other, listed) in others {
            if let Some(status) = statuses.iter().find(|status| listed.contains(status)) {
                let why =
                    format!("names {status}, and so does {other}; remove it from one of them");
                return Err(section.wrong(key, why));
            }
        }
    }
    let chosen = on_uncertain?;
    match retry.iter().find(|status| chosen.is_at_most_once() && leaves_doubt(**status)) {
        Some(status) => Err(section.wrong(
            "retry_statuses",
            format!(
                "names {status}, which leaves the outcome unknown with on_uncertain = \"{}\"; where it surely did nothing, name it in safe_statuses instead",
                chosen.as_str()
            ),
        )),
        None => Ok([safe, retry, dead]),
    }
}

/// Whether a status may come from somebody on the way who does not know whether the request arrived.
const fn leaves_doubt(status: u16) -> bool {
    status == 408 || status >= 500
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

/// `max` may stand beside a schedule: it also bounds the time between two probes.
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

fn delays() -> impl Kind<Value = Vec<u64>> {
    let read = |field: &Field<'_>| {
        let each = duration(1..=DELAY_MS_MAX);
        let delays = field.list(|item| each.read(item))?;
        if delays.is_empty() {
            return Err(field.wrong(
                "found an empty list, expected delays, for example [\"5s\", \"5m\", \"30m\"]",
            ));
        }
        Ok(delays)
    };
    custom("a list of durations, each `1ms` to `366d`", read, |delays: &Vec<u64>| {
        Shown::List(delays.iter().map(|delay_ms| format_duration(*delay_ms).into()).collect())
    })
    .shown_as(Form::List(Box::new(Form::Plain(Bounds::Duration(1..=DELAY_MS_MAX)))))
}

fn status(accepted: &'static str, read: fn(&Field<'_>) -> Read<u16>) -> impl Kind<Value = u16> {
    custom(accepted, read, |status: &u16| Shown::Whole((*status).into()))
        .shown_as(Form::Plain(Bounds::Whole(400..=599)))
}

/// Only these are ever in doubt.
fn safe_status(field: &Field<'_>) -> Read<u16> {
    let status = whole(100..=599u16).read(field)?;
    if leaves_doubt(status) {
        Ok(status)
    } else {
        Err(field.wrong(format!(
            "found {status}, expected 408 or 500 to 599: no other status is taken for unknown"
        )))
    }
}

fn listed_status(field: &Field<'_>) -> Read<u16> {
    let status = whole(400..=599u16).read(field)?;
    if OF_THE_SENDER.contains(&status) {
        return Err(field.wrong(format!(
            "found {status}, which shuts the queue's gate for all its messages and is never one message's outcome; remove it"
        )));
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::config::testing::{queue_errors, queue_of};
    use crate::domain::retry::RetryPolicy;

    fn retry(text: &str) -> RetryPolicy {
        queue_of(&format!("[queues.q.retry]\n{text}")).retry.clone()
    }

    #[test]
    fn every_key_is_read() {
        assert_eq!(retry(""), RetryPolicy::default());
        assert_eq!(
            retry(
                "max_attempts = 3\ninitial = \"1s\"\nfactor = 3\nmax = \"9s\"\njitter = 0\nmax_age = \"7d\"\nsafe_statuses = [408, 503]\nthrottle_max = \"2h\"\nretry_statuses = [409, 423]\ndead_statuses = [501]"
            ),
            RetryPolicy {
                max_attempts: Some(3),
                initial_ms: 1000,
                factor: 3.0,
                max_ms: 9000,
                throttle_max_ms: 7_200_000,
                jitter: 0.0,
                max_age_ms: 604_800_000,
                schedule_ms: None,
                safe_statuses: vec![408, 503],
                retry_statuses: vec![409, 423],
                dead_statuses: vec![501],
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
            (
                "schedule = [\"5s\", \"x\"]",
                "queues.q.retry.schedule[1]: \"x\" is not a valid duration",
            ),
            ("schedule = [\"5s\"]\nfactor = 2", "has no effect beside schedule"),
            ("safe_statuses = [404]", "found 404, expected 408 or 500 to 599"),
            ("retry_statuses = [399]", "found 399, expected a whole number from 400 to 599"),
            ("dead_statuses = [600]", "found 600, expected a whole number from 400 to 599"),
            (
                "retry_statuses = [401]",
                "retry_statuses[0]: found 401, which shuts the queue's gate",
            ),
            ("dead_statuses = [400, 407]", "dead_statuses[1]: found 407, which shuts"),
            ("dead_statuses = [429]", "found 429, which shuts"),
            (
                "retry_statuses = [409]\ndead_statuses = [409]",
                "queues.q.retry.retry_statuses: names 409, and so does dead_statuses",
            ),
            (
                "safe_statuses = [503]\ndead_statuses = [503]",
                "queues.q.retry.dead_statuses: names 503, and so does safe_statuses",
            ),
            (
                "safe_statuses = [503]\nretry_statuses = [503]",
                "names 503, and so does safe_statuses",
            ),
            (
                "throttle_max = \"0s\"",
                "queues.q.retry.throttle_max: found \"0s\", expected 1ms to 366d",
            ),
            ("attempts = 3", "queues.q.retry.attempts: unknown key; expected one of max_attempts"),
        ] {
            let error = queue_errors(&format!("[queues.q.retry]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn where_nothing_is_sent_twice_statuses_in_doubt_are_no_plain_retries() {
        for chosen in ["park", "probe"] {
            for status in [408, 500, 599] {
                let error = queue_errors(&format!(
                    "on_uncertain = \"{chosen}\"\nprobe.url = \"http://h/{{id}}\"\n[queues.q.retry]\nretry_statuses = [409, {status}]"
                ));
                let part = format!(
                    "queues.q.retry.retry_statuses: names {status}, which leaves the outcome unknown with on_uncertain = \"{chosen}\""
                );
                assert!(error.contains(&part) && error.contains("safe_statuses"), "{error}");
            }
        }
        let parks = queue_of(
            "on_uncertain = \"park\"\n[queues.q.retry]\nretry_statuses = [409]\ndead_statuses = [500]",
        );
        assert_eq!(
            (&*parks.retry.retry_statuses, &*parks.retry.dead_statuses),
            (&[409][..], &[500][..])
        );
        assert_eq!(retry("retry_statuses = [503]").retry_statuses, [503]);
    }

    proptest! {
        #[test]
        fn values_read_back(attempts in 1u32..1000, initial_ms in 1u64..100_000, more_ms in 0u64..100_000, jitter in 0.0f64..=1.0) {
            let max_ms = initial_ms + more_ms;
            let read = retry(&format!(
                "max_attempts = {attempts}\ninitial = \"{initial_ms}ms\"\nmax = \"{max_ms}ms\"\njitter = {jitter:?}"
            ));
            prop_assert_eq!((read.max_attempts, read.initial_ms, read.max_ms, read.jitter), (Some(attempts), initial_ms, max_ms, jitter));
        }
    }
}
