//! `retry` of a message: what it changes in its queue's retry policy, within the configuration's
//! bounds.

use serde_json::value::RawValue;

use super::fields::{Fields, Shape};
use super::problem::Fault;
use super::values::{LONG_MS, duration, list, number, whole};
use crate::domain::message::{
    DELAY_MS_MAX, RETRY_ATTEMPTS_MAX, RETRY_DELAYS_MAX, RETRY_FACTOR_MAX, RetryOverride,
};

pub(super) static SHAPE: Shape = Shape {
    known: &["max_attempts", "initial", "factor", "max", "jitter", "max_age", "schedule"],
    later: &[],
};

/// The override in `raw`, which lies at `/retry`.
pub(super) fn read(raw: &RawValue) -> Result<RetryOverride, Vec<Fault>> {
    let mut fields = Fields::within(raw, &SHAPE, "/retry")
        .map_err(|detail| vec![Fault::new("/retry", detail)])?;
    let delay = |raw| duration(raw, 1..=DELAY_MS_MAX);
    let attempts =
        fields.read_as("max_attempts", |raw| whole(raw, 1..=u64::from(RETRY_ATTEMPTS_MAX)));
    let retry = RetryOverride {
        max_attempts: attempts.and_then(|count| u32::try_from(count).ok()),
        initial_ms: fields.read_as("initial", delay),
        factor: fields.read_as("factor", |raw| number(raw, 1.0..=RETRY_FACTOR_MAX)),
        max_ms: fields.read_as("max", delay),
        jitter: fields.read_as("jitter", |raw| number(raw, 0.0..=1.0)),
        max_age_ms: fields.read_as("max_age", |raw| duration(raw, 1..=LONG_MS)),
        schedule_ms: fields.read_as("schedule", schedule),
    };
    if let (Some(initial_ms), Some(max_ms)) = (retry.initial_ms, retry.max_ms)
        && initial_ms > max_ms
    {
        fields.fault("max", "shorter than initial; expected the longest delay, at least initial");
    }
    if retry.schedule_ms.is_some() {
        for name in ["initial", "factor"] {
            if fields.raw(name).is_some() {
                let why =
                    "has no effect beside schedule, which names every delay; leave one of them out";
                fields.fault(name, why);
            }
        }
    }
    let faults = fields.into_faults();
    if faults.is_empty() { Ok(retry) } else { Err(faults) }
}

fn schedule(raw: &RawValue) -> Result<Vec<u64>, String> {
    let delays = list(raw, RETRY_DELAYS_MAX)?;
    if delays.is_empty() {
        return Err("found no delay, expected for example [\"5s\", \"5m\"]".to_owned());
    }
    delays.into_iter().map(|raw| duration(raw, 1..=DELAY_MS_MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(json: &str) -> Vec<String> {
        let faults = read(serde_json::from_str(json).unwrap()).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn every_field_is_read() {
        let json = r#"{"max_attempts": 3, "max": "9s", "jitter": 0, "max_age": 60, "schedule": ["5s", 300]}"#;
        let retry = read(serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!(
            retry,
            RetryOverride {
                max_attempts: Some(3),
                max_ms: Some(9000),
                jitter: Some(0.0),
                max_age_ms: Some(60_000),
                schedule_ms: Some(vec![5000, 300_000]),
                ..RetryOverride::default()
            }
        );
    }

    #[test]
    fn faults_carry_their_place() {
        assert_eq!(pointers("5"), ["/retry"]);
        assert_eq!(
            pointers(r#"{"atempts": 1, "max_attempts": 0, "factor": 0.5, "jitter": 2}"#),
            ["/retry/atempts", "/retry/max_attempts", "/retry/factor", "/retry/jitter"]
        );
        assert_eq!(pointers(r#"{"initial": "2s", "max": "1s"}"#), ["/retry/max"]);
        assert_eq!(pointers(r#"{"schedule": ["1s"], "factor": 2}"#), ["/retry/factor"]);
        assert_eq!(pointers(r#"{"schedule": []}"#), ["/retry/schedule"]);
        assert_eq!(pointers(r#"{"schedule": ["0s"]}"#), ["/retry/schedule"]);
    }
}
