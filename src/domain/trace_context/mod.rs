//! To which trace a message belongs: the headers `traceparent` and `tracestate`.
//!
//! Owns how they are read and written, by W3C Trace Context Level 1 (<https://www.w3.org/TR/trace-context-1/>). Refuses to know
//! what is recorded of a trace (see `telemetry`).

use std::fmt;
use std::str::FromStr;

use super::details::check_room;
use super::message::{Details, HEADERS_MAX};

/// The header that names the trace and the caller's span.
pub const TRACEPARENT: &str = "traceparent";
/// The header with what tracing systems of their own makers keep beside it.
pub const TRACESTATE: &str = "tracestate";

/// Length of a `traceparent` of version 00, in bytes.
const LENGTH: usize = 55;
/// A header of a later version up to this length is passed on as it is, in bytes.
const PASSED_BYTES_MAX: usize = 128;
/// Most entries of a `tracestate`.
const ENTRIES_MAX: usize = 32;
/// What is passed on of a `tracestate`, in bytes: as much as everybody has to.
const STATE_BYTES_MAX: usize = 512;
/// Entries longer than this go first where a `tracestate` is too long, in bytes.
const LONG_ENTRY_BYTES: usize = 128;
/// Longest key of an entry, and longest value, in bytes.
const ENTRY_PART_BYTES_MAX: usize = 256;
/// Up to so many bytes of headers and labels, a trace context surely fits into a record beside them.
const SURELY_FITS_BYTES: usize = 8 * 1024;

/// The id of a trace: 16 bytes, never all zero.
pub type TraceId = [u8; 16];
/// The id of a span: 8 bytes, never all zero.
pub type SpanId = [u8; 8];

/// A span of a trace, as the header `traceparent` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    span: SpanId,
    is_sampled: bool,
}

/// The span of a message's attempt, which its downstream is told of, below the span that the message came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptSpan {
    /// The span of its way in.
    pub parent: TraceParent,
    /// Its own.
    pub own: TraceParent,
}

impl AttemptSpan {
    /// Begins a span below the one that the headers name, and names it there in its place. `None`: they name none that is
    /// recorded.
    #[must_use]
    pub fn begin(headers: &mut [(String, String)], span: SpanId) -> Option<Self> {
        let parent = TraceParent::of(headers).filter(TraceParent::is_sampled)?;
        let own = parent.child(span);
        let named = headers.iter_mut().find(|(name, _)| name == TRACEPARENT);
        named.map(|(_, value)| {
            *value = own.to_string();
            Self { parent, own }
        })
    }
}

/// The header is not one that the standard allows: it is ignored, as the standard asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTraceParent;

impl TraceParent {
    /// The first span of a new, recorded trace. `None`: an id is all zero, which the standard forbids.
    #[must_use]
    pub fn root(trace: TraceId, span: SpanId) -> Option<Self> {
        let is_valid = trace != TraceId::default() && span != SpanId::default();
        is_valid.then_some(Self { trace, span, is_sampled: true })
    }

    /// Another span of the same trace. An id of zero, which the standard forbids, becomes 1.
    #[must_use]
    pub fn child(self, span: SpanId) -> Self {
        let span = if span == SpanId::default() { 1_u64.to_be_bytes() } else { span };
        Self { span, ..self }
    }

    /// The trace.
    #[must_use]
    pub const fn trace(&self) -> TraceId {
        self.trace
    }

    /// The span.
    #[must_use]
    pub const fn span(&self) -> SpanId {
        self.span
    }

    /// Whether its caller may have recorded it, so that what follows is to be recorded too.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// What the headers of a message name; `None`: nothing, or nothing valid.
    #[must_use]
    pub fn of(headers: &[(String, String)]) -> Option<Self> {
        value_of(headers, TRACEPARENT)?.parse().ok()
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (u128::from_be_bytes(self.trace), u64::from_be_bytes(self.span));
        write!(f, "00-{trace:032x}-{span:016x}-{:02x}", u8::from(self.is_sampled))
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_at_checked(LENGTH).ok_or(InvalidTraceParent)?;
        let mut fields = head.split(|byte| *byte == b'-');
        let mut next = || fields.next().ok_or(InvalidTraceParent);
        let [version] = hex(next()?)?;
        let (trace, span, [flags]) = (hex(next()?)?, hex(next()?)?, hex(next()?)?);
        // Version ff is none. What a later version adds stands behind another hyphen; version 00 has nothing there.
        let is_known = match version {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        if !is_known || trace == TraceId::default() || span == SpanId::default() {
            return Err(InvalidTraceParent);
        }
        Ok(Self { trace, span, is_sampled: flags & 1 == 1 })
    }
}

/// Bytes from lower-case hexadecimal digits, exactly so many.
fn hex<const N: usize>(text: &[u8]) -> Result<[u8; N], InvalidTraceParent> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(InvalidTraceParent),
    };
    if text.len() != 2 * N {
        return Err(InvalidTraceParent);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

/// The trace context of a request, as it is passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceHeaders {
    parent: String,
    state: Option<String>,
}

impl TraceHeaders {
    /// What the headers of a request say: all values of `traceparent`, and all of `tracestate`, in their order. `None`: there is
    /// no valid `traceparent`, and `tracestate` means nothing without it.
    #[must_use]
    pub fn read<'a>(
        parents: impl IntoIterator<Item = &'a str>,
        states: impl IntoIterator<Item = &'a str>,
    ) -> Option<Self> {
        let mut parents = parents.into_iter();
        let (parent, None) = (parents.next()?, parents.next()) else { return None };
        let read: TraceParent = parent.parse().ok()?;
        let is_short = parent.len() <= PASSED_BYTES_MAX && parent.is_ascii();
        let parent = if is_short { parent.to_owned() } else { read.to_string() };
        Some(Self { parent, state: state_of(states) })
    }

    /// Puts the context among the headers of a message that has no `traceparent` of its own, if there is room for it: a trace
    /// is never a reason to refuse a message.
    pub fn carry(&self, details: &mut Details) {
        if value_of(&details.headers, TRACEPARENT).is_some() {
            return;
        }
        put(details, TRACEPARENT, &self.parent);
        let Some(state) = &self.state else { return };
        if value_of(&details.headers, TRACESTATE).is_none() {
            put(details, TRACESTATE, state);
        }
    }
}

/// Removes what a message's own headers have of a trace context that the standard does not allow: it asks to ignore that.
pub fn drop_invalid(details: &mut Details) {
    let Some(parent) = value_of(&details.headers, TRACEPARENT) else { return };
    let is_parent = parent.parse::<TraceParent>().is_ok();
    let state = value_of(&details.headers, TRACESTATE);
    let is_state = state.is_none_or(|state| state_of([state]).is_some());
    if !is_parent || !is_state {
        details.headers.retain(|(name, _)| {
            (is_parent || name != TRACEPARENT) && (is_parent && is_state || name != TRACESTATE)
        });
    }
}

/// The headers of a trace context among those of a message.
#[must_use]
pub fn among(headers: &[(String, String)]) -> Vec<(String, String)> {
    let is_context = |name: &str| name == TRACEPARENT || name == TRACESTATE;
    headers.iter().filter(|(name, _)| is_context(name)).cloned().collect()
}

/// Names this span in the headers of a message, in place of the one before it. False: there is no room, and nothing is changed.
pub fn name_span(details: &mut Details, span: TraceParent) -> bool {
    match details.headers.iter_mut().find(|(name, _)| name == TRACEPARENT) {
        Some((_, value)) => {
            *value = span.to_string();
            true
        }
        None => put(details, TRACEPARENT, &span.to_string()),
    }
}

/// Whether the headers of a message have a `traceparent`, valid or not.
#[must_use]
pub fn is_named(headers: &[(String, String)]) -> bool {
    value_of(headers, TRACEPARENT).is_some()
}

fn value_of<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Adds a header; false: there is no room, and nothing is changed.
fn put(details: &mut Details, name: &str, value: &str) -> bool {
    if details.headers.len() >= HEADERS_MAX {
        return false;
    }
    details.headers.push((name.to_owned(), value.to_owned()));
    let pairs = details.headers.iter().map(|(name, value)| name.len() + value.len());
    let labels = details.labels.iter().map(|(name, value)| name.len() + value.len());
    let fits =
        pairs.chain(labels).sum::<usize>() < SURELY_FITS_BYTES || check_room(details).is_ok();
    if !fits {
        details.headers.pop();
    }
    fits
}

/// A `tracestate` from all headers of that name. `None`: there is none, or an entry is not valid, and then the standard asks
/// to drop all of them.
fn state_of<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut entries: Vec<&str> = Vec::new();
    for entry in values.into_iter().flat_map(|value| value.split(',')) {
        let entry = entry.trim_matches([' ', '\t']);
        // An empty entry is allowed, and means nothing.
        if entry.is_empty() {
            continue;
        }
        let key = key_of(entry)?;
        if entries.len() == ENTRIES_MAX || entries.iter().any(|known| key_of(known) == Some(key)) {
            return None;
        }
        entries.push(entry);
    }
    let length = |entries: &[&str]| entries.iter().map(|entry| entry.len() + 1).sum::<usize>();
    while length(&entries) > STATE_BYTES_MAX + 1 {
        let long = entries.iter().rposition(|entry| entry.len() > LONG_ENTRY_BYTES);
        entries.remove(long.unwrap_or(entries.len() - 1));
    }
    (!entries.is_empty()).then(|| entries.join(","))
}

/// The key of a valid entry `key=value`.
fn key_of(entry: &str) -> Option<&str> {
    let (key, value) = entry.split_once('=')?;
    let is_letter =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let begins = key.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_key = begins
        && key.len() <= ENTRY_PART_BYTES_MAX
        && key.bytes().all(is_letter)
        && key.bytes().filter(|byte| *byte == b'@').count() <= 1;
    let is_value = (1..=ENTRY_PART_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=');
    (is_key && is_value).then_some(key)
}

#[cfg(test)]
mod tests;
