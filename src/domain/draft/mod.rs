//! The draft of a message: what a producer may say of it, whichever way it comes in.
//!
//! Owns the fields, their bounds, and what must hold between them; over HTTP, in a row of a batch, in an entry of the inbox,
//! as an event of a topic and as the message of a schedule they are read here. Refuses to know how a value is
//! written (see [`given`]) and what a queue allows.

pub mod given;
mod nested;

pub use self::nested::{CALLBACK, RETRY};

use std::collections::BTreeMap;

use bytes::Bytes;

use self::given::{Given, Shape, Source};
use super::callback::CallbackWish;
use super::depth::{DEPTH_MAX, is_too_deep};
use super::headers::{check_charset, check_content_type, check_header};
use super::limit::{COST_MAX, Cost};
use super::message::{
    DELAY_MS_MAX, Details, HEADERS_MAX, LABEL_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, PRIORITY_MAX,
    PayloadKind, RetryOverride, TIMEOUT_MS_MAX, When, check_name,
};
use super::zone::NamedZone;

/// Longest time that a message may name: ten years, in milliseconds.
pub const LONG_MS: u64 = 10 * 366 * 86_400_000;

/// The fields that say what is sent and how, in whatever is sent: a message, an event, what a schedule sends.
pub const CONTENT: [&str; 14] = [
    "payload",
    "payload_base64",
    "content_type",
    "headers",
    "labels",
    "group",
    "priority",
    "ttl",
    "retry",
    "timeout",
    "cost",
    "collapse_key",
    "url",
    "method",
];

/// The fields that a message alone has: it is sent once, at a time, to somebody somewhere, and somebody waits for it.
const ONCE: [&str; 8] = [
    "delay",
    "due_at",
    "expires_at",
    "must_dispatch_by",
    "idempotency_key",
    "callback",
    "time_zone",
    "recipient_hours",
];
/// The word of `recipient_hours`.
pub const IGNORE: &str = "ignore";

/// Everything that a message may have.
pub static MESSAGE: Shape =
    Shape { known: &joined::<14, 8, 22>(CONTENT, ONCE), later: &["window"] };

/// Two lists of names as one.
#[must_use]
pub const fn joined<const A: usize, const B: usize, const ALL: usize>(
    first: [&'static str; A],
    second: [&'static str; B],
) -> [&'static str; ALL] {
    let mut all = [""; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < A { first[at] } else { second[at - A] };
        at += 1;
    }
    all
}

/// A payload on its way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// As it leaves.
    pub bytes: Bytes,
    /// What it is.
    pub kind: PayloadKind,
    /// What the downstream is told that it is; `None` means `application/json`.
    pub content_type: Option<String>,
}

/// What is sent and how, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// What is sent.
    pub payload: Bytes,
    /// How, without what a message alone has.
    pub details: Details,
    /// From 0 to [`PRIORITY_MAX`].
    pub priority: u8,
    /// How long after it was due it is of use, in milliseconds.
    pub ttl_ms: Option<u64>,
}

/// A message, checked, as it was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What is sent and how, with key and callback.
    pub content: Content,
    /// When it is due; `None`: at once.
    pub due: Option<When>,
    /// When it is of no use any more.
    pub expires: Option<When>,
}

/// Reads a message.
///
/// `now_ms` is where its delays begin; `key`: an idempotency key that came beside it. `None`: there is no payload, which was
/// noted. Where anything was noted, what is returned is not a message yet.
pub fn message<S: Source>(source: &mut S, now_ms: u64, key: Option<&str>) -> Option<Draft> {
    let content = content(source);
    let due = due(source, now_ms);
    let expires = expires(source, content.as_ref().and_then(|content| content.ttl_ms));
    check_order(source, due, expires, now_ms);
    let must_dispatch_ms = must_dispatch(source, due, now_ms);
    let expires = earlier(expires, must_dispatch_ms, now_ms);
    let key = idempotency_key(source, key);
    let callback = callback(source);
    let time_zone = source.read("time_zone", |given| {
        let text = given.text()?;
        text.parse::<NamedZone>().map_err(|error| given.wrong(error.to_string()))
    });
    let ignores_hours = source.read("recipient_hours", |given| {
        let word = given.text()?;
        if word == IGNORE {
            return Ok(true);
        }
        Err(given.wrong(format!("found {word:?}, expected \"{IGNORE}\"")))
    });
    let mut content = content?;
    content.details.time_zone = time_zone;
    content.details.ignores_recipient_hours = ignores_hours.unwrap_or(false);
    content.details.idempotency_key = key;
    content.details.must_dispatch_ms = must_dispatch_ms;
    content.details.callback = callback;
    Some(Draft { content, due, expires })
}

/// Reads what is sent and how. `None`: there is no payload, which was noted.
pub fn content<S: Source>(source: &mut S) -> Option<Content> {
    let content_type = source.read("content_type", content_type);
    let payload = payload(source, content_type);
    let headers = headers(source);
    let labels = labels(source);
    let group = source.read("group", name);
    let priority = priority(source);
    let ttl_ms = source.read("ttl", |given| given.duration_ms(1..=LONG_MS));
    let retry = source.within("retry", &RETRY, |inner| nested::retry(inner));
    let timeout_ms = source.read("timeout", |given| given.duration_ms(1..=TIMEOUT_MS_MAX));
    let cost = source.read("cost", |given| given.whole(1..=u32::from(COST_MAX)));
    let cost = cost.and_then(Cost::new);
    let collapse_key = source.read("collapse_key", name);
    let target = nested::target(source);
    let Payload { bytes, kind, content_type } = payload?;
    let details = Details {
        kind,
        content_type,
        headers,
        group,
        labels,
        idempotency_key: None,
        // One that changes nothing is as good as none.
        retry: retry.filter(|retry| *retry != RetryOverride::default()),
        callback: None,
        timeout_ms,
        cost: cost.unwrap_or_default(),
        collapse_key,
        target,
        time_zone: None,
        ignores_recipient_hours: false,
        must_dispatch_ms: None,
    };
    Some(Content { payload: bytes, details, priority: priority.unwrap_or(0), ttl_ms })
}

/// `delay` or `due_at`, at most 366 days after `now_ms`.
pub fn due<S: Source>(source: &mut S, now_ms: u64) -> Option<When> {
    let after = source.read("delay", |given| given.duration_ms(0..=DELAY_MS_MAX));
    let at = source.read("due_at", |given| match given.moment_ms()? {
        at_ms if at_ms <= now_ms.saturating_add(DELAY_MS_MAX) => Ok(at_ms),
        _ => Err(given.wrong("expected at most 366 days from now".to_owned())),
    });
    if source.get("delay").is_some() && source.get("due_at").is_some() {
        source.fault("due_at", "give delay or due_at, not both".to_owned());
    }
    after.map(When::After).or(at.map(When::At))
}

/// From 0, the default and the lowest, to [`PRIORITY_MAX`].
pub fn priority<S: Source>(source: &mut S) -> Option<u8> {
    let priority = source.read("priority", |given| given.whole(0..=u32::from(PRIORITY_MAX)))?;
    u8::try_from(priority).ok()
}

/// `ttl`, which was read already, or `expires_at`.
fn expires<S: Source>(source: &mut S, ttl_ms: Option<u64>) -> Option<When> {
    let at = source.read("expires_at", Given::moment_ms);
    if source.get("ttl").is_some() && source.get("expires_at").is_some() {
        source.fault("expires_at", "give ttl or expires_at, not both".to_owned());
    }
    ttl_ms.map(When::After).or(at.map(When::At))
}

/// Until when it has to leave.
fn must_dispatch<S: Source>(source: &mut S, due: Option<When>, now_ms: u64) -> Option<u64> {
    let by_ms = source.read("must_dispatch_by", Given::moment_ms)?;
    if by_ms <= due.map_or(now_ms, |due| due.at_ms(now_ms).max(now_ms)) {
        let why =
            "it would be over before the message is due; expected a moment after its due time";
        source.fault("must_dispatch_by", why.to_owned());
    }
    Some(by_ms)
}

/// The earlier end of both.
fn earlier(expires: Option<When>, must_dispatch_ms: Option<u64>, now_ms: u64) -> Option<When> {
    match (expires, must_dispatch_ms) {
        (Some(expires), Some(by_ms)) if expires.at_ms(now_ms) <= by_ms => Some(expires),
        (_, Some(by_ms)) => Some(When::At(by_ms)),
        (expires, None) => expires,
    }
}

fn check_order<S: Source>(source: &mut S, due: Option<When>, expires: Option<When>, now_ms: u64) {
    let Some(expires) = expires else { return };
    // What was due before now is due now.
    let due_ms = due.map_or(now_ms, |due| due.at_ms(now_ms).max(now_ms));
    if expires.at_ms(now_ms) <= due_ms {
        let (name, why) = match source.get("ttl").is_some() {
            true => (
                "ttl",
                "it would expire before it is due, as ttl counts from now; expected a ttl that is longer than the time until it is due",
            ),
            false => {
                ("expires_at", "it would expire before it is due; expected a moment after due_at")
            }
        };
        source.fault(name, why.to_owned());
    }
}

fn idempotency_key<S: Source>(source: &mut S, beside: Option<&str>) -> Option<String> {
    match (source.read("idempotency_key", name), beside) {
        (Some(key), Some(beside)) if key != beside => {
            let why =
                "differs from the header Idempotency-Key; give one of them, or the same twice";
            source.fault("idempotency_key", why.to_owned());
            None
        }
        (key, beside) => key.or_else(|| beside.map(str::to_owned)),
    }
}

fn callback<S: Source>(source: &mut S) -> Option<CallbackWish> {
    source.within("callback", &CALLBACK, |inner| nested::callback(inner))
}

/// The payload, with what holds for it whichever way it came; what is wrong with it is noted.
pub fn payload<S: Source>(source: &mut S, content_type: Option<String>) -> Option<Payload> {
    let payload = source.payload(content_type)?;
    if payload.kind == PayloadKind::Raw {
        return Some(payload);
    }
    let Ok(text) = std::str::from_utf8(&payload.bytes) else {
        source.fault("payload", "is not valid UTF-8".to_owned());
        return None;
    };
    if payload.kind == PayloadKind::Json && is_too_deep(text) {
        let why = format!("nested deeper than {DEPTH_MAX} levels; {}", S::AS_BYTES);
        source.fault("payload", why);
        return None;
    }
    if let Some(content_type) = &payload.content_type
        && let Err(why) = check_charset(content_type, &payload.bytes)
    {
        source.fault("content_type", format!("{why}; or {}", S::AS_BYTES));
        return None;
    }
    Some(payload)
}

fn headers<S: Source>(source: &mut S) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, given) in entries(source, "headers", HEADERS_MAX) {
        let lower = name.to_ascii_lowercase();
        let checked = given.text().and_then(|value| {
            check_header(&name, &value).map_err(|why| given.wrong(why))?;
            if headers.iter().any(|(known, _)| *known == lower) {
                let why = format!("header \"{name}\" is given twice; give it once");
                return Err(given.wrong(why));
            }
            Ok(value)
        });
        match checked {
            Ok(value) => headers.push((lower, value)),
            Err(wrong) => source.note("headers", Some(&name), wrong),
        }
    }
    headers
}

fn labels<S: Source>(source: &mut S) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (label, given) in entries(source, "labels", LABELS_MAX) {
        match label_value(&label, &given, &labels) {
            Ok(value) => drop(labels.insert(label, value)),
            Err(wrong) => source.note("labels", Some(&label), wrong),
        }
    }
    labels
}

fn label_value<G: Given>(
    label: &str,
    given: &G,
    known: &BTreeMap<String, String>,
) -> Result<String, G::Wrong> {
    check_name(label, LABEL_BYTES_MAX)
        .map_err(|why| given.wrong(format!("the label's name: {why}")))?;
    let value = given.text()?;
    if value.len() > NAME_BYTES_MAX {
        let bytes = value.len();
        return Err(given.wrong(format!("found {bytes} bytes, expected up to {NAME_BYTES_MAX}")));
    }
    if known.contains_key(label) {
        return Err(given.wrong("given twice; give it once".to_owned()));
    }
    Ok(value)
}

fn entries<S: Source>(source: &mut S, name: &'static str, most: usize) -> Vec<(String, S::Given)> {
    let entries = source.read(name, |given| {
        let entries = given.pairs()?;
        match entries.len() {
            found if found > most => {
                Err(given.wrong(format!("found {found} entries, expected up to {most}")))
            }
            _ => Ok(entries),
        }
    });
    entries.unwrap_or_default()
}

fn content_type<G: Given>(given: &G) -> Result<String, G::Wrong> {
    let text = name(given)?;
    check_content_type(&text).map_err(|why| given.wrong(why))?;
    Ok(text)
}

/// A key, a group or a content type.
fn name<G: Given>(given: &G) -> Result<String, G::Wrong> {
    let text = given.text()?;
    check_name(&text, NAME_BYTES_MAX).map_err(|why| given.wrong(why))?;
    Ok(text)
}
