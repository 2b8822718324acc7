//! The body that gives a key of a queue something at run time.
//!
//! Owns its fields. Refuses to know what fits a queue (see `domain::keys`).

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::fields::{Fields, Shape, pairs, pointer};
use super::problem::{Fault, Problem};
use super::values::{number, string, whole};
use crate::domain::keys::{
    KeyPart, KeyRules, KeySettings, LimitValue, WEIGHT_MAX, WEIGHT_MIN, Weight,
};
use crate::domain::limit::{CALLS_MAX, LimitName};

pub(super) static KEY: Shape = Shape { known: &["weight", "limits"], later: &[] };
pub(super) static LIMIT: Shape = Shape { known: &["rate", "quota", "concurrency"], later: &[] };

/// What a body gives a key; all of it has to fit the queue.
pub(super) fn settings(body: &[u8], rules: &KeyRules) -> Result<KeySettings, Problem> {
    let mut fields = Fields::of_body(body, &KEY)?;
    let weight = fields.read_as("weight", |raw| {
        let number = number(raw, f64::from(WEIGHT_MIN) / 1000.0..=f64::from(WEIGHT_MAX) / 1000.0)?;
        Weight::of_number(number).map_err(|error| error.to_string())
    });
    let (limits, faults) = match fields.read_as("limits", pairs) {
        Some(pairs) => limits(pairs),
        None => Default::default(),
    };
    for fault in faults {
        fields.note(fault);
    }
    let is_empty = fields.raw("weight").is_none()
        && fields.raw("limits").is_none_or(|raw| pairs(raw).is_ok_and(|pairs| pairs.is_empty()));
    if is_empty {
        fields.note(Fault::new(
            "",
            "found neither a weight nor a limit, expected for example {\"weight\": 5} (--weight 5) or {\"limits\": {\"per_to\": {\"rate\": \"2/min\"}}} (--limit per_to=2/min); to take from a key what it was given, delete it",
        ));
    }
    let settings = KeySettings { weight, limits };
    for found in settings.without_effect(rules) {
        fields.note(Fault::new(place_of(&found.part), found.why));
    }
    fields.finish()?;
    Ok(settings)
}

/// Limits by their names, and what is wrong with them.
fn limits(pairs: Vec<(String, &RawValue)>) -> (BTreeMap<LimitName, LimitValue>, Vec<Fault>) {
    let (mut limits, mut faults) = (BTreeMap::new(), Vec::new());
    for (name, raw) in pairs {
        let at = pointer("/limits", &name);
        let name: LimitName = match name.parse() {
            Ok(name) => name,
            Err(error) => {
                faults.push(Fault::new(at, error_text(error)));
                continue;
            }
        };
        match limit(raw, &at) {
            Ok(_) if limits.contains_key(&name) => {
                faults.push(Fault::new(at, format!("duplicate field \"{name}\"; give it once")));
            }
            Ok(value) => drop(limits.insert(name, value)),
            Err(found) => faults.extend(found),
        }
    }
    (limits, faults)
}

/// One of `rate`, `quota` and `concurrency`.
fn limit(raw: &RawValue, at: &str) -> Result<LimitValue, Vec<Fault>> {
    let read = Fields::within(raw, &LIMIT, at);
    let mut fields = read.map_err(|error| vec![Fault::new(at, error)])?;
    let given = LIMIT.known.iter().filter(|name| fields.raw(name).is_some()).count();
    let rate = fields
        .read_as("rate", |raw| string(raw)?.parse().map(LimitValue::Rate).map_err(error_text));
    let quota = fields
        .read_as("quota", |raw| string(raw)?.parse().map(LimitValue::Quota).map_err(error_text));
    let concurrency = fields.read_as("concurrency", |raw| {
        let calls = whole(raw, 1..=u64::from(CALLS_MAX))?;
        u32::try_from(calls).map(LimitValue::Concurrency).map_err(error_text)
    });
    if given != 1 {
        let detail = format!(
            "found {}, expected one of rate, quota and concurrency, for example {{\"rate\": \"2/min\"}} (--limit NAME=2/min)",
            if given == 0 { "none of them" } else { "more than one of them" }
        );
        fields.note(Fault::new(at, detail));
    }
    let value = rate.or(quota).or(concurrency);
    let faults = fields.into_faults();
    value.filter(|_| faults.is_empty()).ok_or(faults)
}

fn error_text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Where a part lies in a body.
pub(super) fn place_of(part: &KeyPart) -> String {
    match part {
        KeyPart::Weight => "/weight".to_owned(),
        KeyPart::Limit { name, .. } => pointer("/limits", name.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::{LimitKind, LimitRule, LimitUnit};

    fn rules() -> KeyRules {
        let per = Some("labels.to".parse().unwrap());
        let rule = |kind: LimitKind| LimitRule {
            name: kind.default_name(per.as_ref()),
            kind,
            unit: LimitUnit::Messages,
            per: per.clone(),
            shared: false,
            cap: None,
        };
        let limits = vec![
            rule(LimitKind::Rate { rate: "1/min".parse().unwrap(), burst: 1 }),
            rule(LimitKind::Quota("5/day".parse().unwrap())),
            rule(LimitKind::Concurrency(2)),
        ];
        KeyRules { fair_by: "labels.tenant".parse().ok(), limits }
    }

    #[test]
    fn a_body_gives_a_weight_and_limits() {
        let body = br#"{"weight": 0.5, "limits": {"per_to": {"rate": "2/min"}, "per_to_day": {"quota": "9/d"}, "per_to_concurrency": {"concurrency": 3}}}"#;
        let read = settings(body, &rules()).unwrap();
        assert_eq!(read.weight.map(Weight::thousandths), Some(500));
        assert_eq!(read.limits.len(), 3);
        assert!(
            settings(
                br#"{"weight": null, "limits": {"per_to": {"rate": "2/s", "quota": null}}}"#,
                &rules()
            )
            .is_ok()
        );
    }

    #[test]
    fn each_fault_is_told_at_its_place() {
        for (body, place, part) in [
            ("{}", "", "found neither a weight nor a limit"),
            (r#"{"limits": {}}"#, "", "found neither a weight nor a limit"),
            (r#"{"weight": 0}"#, "/weight", "found 0, expected a number, 0.01 to 1000"),
            (r#"{"weight": 1.0005}"#, "/weight", "at most three digits behind the point"),
            (r#"{"weight": "5"}"#, "/weight", "expected a number"),
            (r#"{"wieght": 5}"#, "/wieght", "did you mean \"weight\"?"),
            (r#"{"limits": 5}"#, "/limits", "found 5, expected"),
            (r#"{"limits": {"per_to": "2/min"}}"#, "/limits/per_to", "expected"),
            (r#"{"limits": {"per_to": {}}}"#, "/limits/per_to", "found none of them"),
            (
                r#"{"limits": {"per_to": {"rate": "2/min", "concurrency": 2}}}"#,
                "/limits/per_to",
                "found more than one of them",
            ),
            (
                r#"{"limits": {"per_to": {"rate": "fast"}}}"#,
                "/limits/per_to/rate",
                "\"fast\" is not a valid rate",
            ),
            (
                r#"{"limits": {"per_to": {"quota": "9/day"}}}"#,
                "/limits/per_to",
                "is a rate, and this is a quota",
            ),
            (
                r#"{"limits": {"per_to_day": {"quota": "9/week"}}}"#,
                "/limits/per_to_day",
                "is a quota for each day, and this one is for each week",
            ),
            (
                r#"{"limits": {"per_to_concurrency": {"concurrency": 0}}}"#,
                "/limits/per_to_concurrency/concurrency",
                "expected a whole number, 1 to 100000",
            ),
            (
                r#"{"limits": {"other": {"rate": "2/min"}}}"#,
                "/limits/other",
                "has no limit \"other\"; its limits with per are \"per_to\" (rate)",
            ),
            (
                r#"{"limits": {"A b": {"rate": "2/min"}}}"#,
                "/limits/A b",
                "is not a valid limit name",
            ),
        ] {
            let problem = settings(body.as_bytes(), &rules()).unwrap_err();
            let fault = &problem.faults()[0];
            assert_eq!(fault.pointer, place, "{body}: {}", fault.detail);
            assert!(fault.detail.contains(part), "{body}: {}", fault.detail);
        }
        let both = br#"{"weight": 0, "limits": {"per_to": {"rate": "fast"}}}"#;
        assert_eq!(settings(both, &rules()).unwrap_err().faults().len(), 2);
    }
}
