//! The details of a message as they stand in its record: compact JSON, empty for the common case.
//!
//! Written once at intake, opaque to the scripts. Short names, since every message carries them. Owns how
//! much room they may take, so that every way in refuses what would not fit, the configuration too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::callback::{CallbackOn, CallbackWish};
use super::limit::Cost;
use super::message::{Details, PayloadKind, RetryOverride};
use super::message_target::MessageTarget;
use super::zone::NamedZone;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct PackedDetails {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<char>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    c: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    h: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    g: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    l: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    i: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<PackedRetry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<PackedCallback>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    z: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    q: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    w: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct PackedCallback {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    u: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    o: Option<u8>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct PackedRetry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    i: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    f: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    j: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    a: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s: Option<Vec<u64>>,
}

/// Most bytes that details can take in a record: their length stands there in two bytes.
pub const DETAILS_BYTES_MAX: usize = 65_535;
/// What is left free for what Tidegate adds: the headers that name a topic's event or a schedule's tick,
/// the label of a schedule, and the key of an inbox entry.
const ADDED_BYTES: usize = 512;
/// Most bytes that the details that a producer gives may take in a record.
pub const GIVEN_BYTES_MAX: usize = DETAILS_BYTES_MAX - ADDED_BYTES;

/// Checks that there is room in a record for the details that a producer gives.
///
/// # Errors
/// A sentence that names how much there is and how much is allowed.
pub fn check_room(details: &Details) -> Result<(), String> {
    match write_details(details).len() {
        0..=GIVEN_BYTES_MAX => Ok(()),
        bytes => Err(format!(
            "everything beside the payload takes {bytes} bytes, more than {GIVEN_BYTES_MAX}; shorten headers or labels"
        )),
    }
}

/// As they stand in a record.
#[must_use]
pub fn write_details(details: &Details) -> Vec<u8> {
    let packed = PackedDetails {
        k: match details.kind {
            PayloadKind::Json => None,
            PayloadKind::Text => Some('t'),
            PayloadKind::Raw => Some('b'),
        },
        c: details.content_type.clone(),
        h: details.headers.clone(),
        g: details.group.clone(),
        l: details.labels.clone(),
        i: details.idempotency_key.clone(),
        r: details.retry.as_ref().map(|retry| PackedRetry {
            n: retry.max_attempts,
            i: retry.initial_ms,
            f: retry.factor,
            m: retry.max_ms,
            j: retry.jitter,
            a: retry.max_age_ms,
            s: retry.schedule_ms.clone(),
        }),
        b: details.callback.as_ref().map(|callback| PackedCallback {
            u: callback.url.as_ref().map(ToString::to_string),
            o: callback.on.map(CallbackOn::bits),
        }),
        t: details.timeout_ms,
        u: Some(details.cost).filter(|cost| *cost != Cost::default()).map(Cost::units),
        x: details.collapse_key.clone(),
        z: details.time_zone.as_ref().map(|zone| zone.name().to_owned()),
        q: details.ignores_recipient_hours,
        w: details.target.as_ref().map(|target| target.url().to_string()),
        m: details.target.as_ref().and_then(MessageTarget::method).map(ToString::to_string),
    };
    if packed == PackedDetails::default() {
        return Vec::new();
    }
    serde_json::to_vec(&packed).unwrap_or_default()
}

fn read_callback(packed: PackedCallback) -> Result<CallbackWish, String> {
    let url = packed.u.map(|url| url.parse()).transpose();
    let url = url.map_err(|error| format!("a record's callback url: {error}"))?;
    Ok(CallbackWish { url, on: packed.o.map(CallbackOn::of_bits) })
}

fn read_target(url: Option<&str>, method: Option<&str>) -> Result<Option<MessageTarget>, String> {
    let Some(url) = url else { return Ok(None) };
    let url = url.parse().map_err(|error| format!("a record's url: {error}"))?;
    let method = method.map(str::parse).transpose();
    let method = method.map_err(|error| format!("a record's method: {error}"))?;
    Ok(Some(MessageTarget::new(url, method)))
}

fn read_zone(name: &str) -> Result<NamedZone, String> {
    name.parse().map_err(|error| format!("a record's time zone: {error}"))
}

fn read_cost(units: u16) -> Result<Cost, String> {
    Cost::new(units.into()).ok_or_else(|| format!("a record's cost: {units} is out of bounds"))
}

/// What [`write_details`] wrote.
///
/// # Errors
/// When it is not that.
pub fn read_details(raw: &[u8]) -> Result<Details, String> {
    let packed: PackedDetails = if raw.is_empty() {
        PackedDetails::default()
    } else {
        serde_json::from_slice(raw).map_err(|error| format!("a record's details: {error}"))?
    };
    Ok(Details {
        must_dispatch_ms: None,
        kind: match packed.k {
            Some('t') => PayloadKind::Text,
            Some('b') => PayloadKind::Raw,
            _ => PayloadKind::Json,
        },
        content_type: packed.c,
        headers: packed.h,
        group: packed.g,
        labels: packed.l,
        idempotency_key: packed.i,
        retry: packed.r.map(|retry| RetryOverride {
            max_attempts: retry.n,
            initial_ms: retry.i,
            factor: retry.f,
            max_ms: retry.m,
            jitter: retry.j,
            max_age_ms: retry.a,
            schedule_ms: retry.s,
        }),
        callback: packed.b.map(read_callback).transpose()?,
        timeout_ms: packed.t,
        cost: packed.u.map(read_cost).transpose()?.unwrap_or_default(),
        collapse_key: packed.x,
        time_zone: packed.z.as_deref().map(read_zone).transpose()?,
        ignores_recipient_hours: packed.q,
        target: read_target(packed.w.as_deref(), packed.m.as_deref())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_message_carries_no_details() {
        assert!(write_details(&Details::default()).is_empty());
        assert_eq!(read_details(b"").unwrap(), Details::default());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_numbers() {
        let with = |bytes: usize| Details {
            headers: vec![("x-a".to_owned(), "v".repeat(bytes))],
            ..Details::default()
        };
        let around = write_details(&with(0)).len();
        assert_eq!(check_room(&with(GIVEN_BYTES_MAX - around)), Ok(()));
        let why = check_room(&with(GIVEN_BYTES_MAX - around + 1)).unwrap_err();
        assert!(why.contains(&format!("more than {GIVEN_BYTES_MAX}")), "{why}");
    }

    #[test]
    fn everything_reads_back() {
        let details = Details {
            must_dispatch_ms: None,
            kind: PayloadKind::Raw,
            content_type: Some("image/png".into()),
            headers: vec![("x-a".into(), "1".into())],
            group: Some("order-42".into()),
            labels: [("shop".to_owned(), "eu".to_owned())].into(),
            idempotency_key: Some("k".into()),
            retry: Some(RetryOverride {
                max_attempts: Some(3),
                factor: Some(1.5),
                schedule_ms: Some(vec![1, 2]),
                ..RetryOverride::default()
            }),
            callback: Some(CallbackWish {
                url: Some("https://h/x?y=1".parse().unwrap()),
                on: Some(CallbackOn::USUAL),
            }),
            timeout_ms: Some(1500),
            cost: Cost::new(3).unwrap(),
            collapse_key: Some("article-7".into()),
            time_zone: Some("Asia/Shanghai".parse().unwrap()),
            ignores_recipient_hours: true,
            target: Some(MessageTarget::new(
                "https://h/y?z=1".parse().unwrap(),
                Some(http::Method::PUT),
            )),
        };
        assert_eq!(read_details(&write_details(&details)).unwrap(), details);
    }
}
