//! A trace: one message on each line, as send-batch takes it, with `queue` and `at`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::arrivals::{Arrivals, Arriving, QueueArrivals};
use super::unknown;
use crate::cli::Session;
use crate::cli::exit::Failure;
use crate::cli::progress::Progress;
use crate::domain::limit::COST_MAX;
use crate::domain::message::Details;
use crate::domain::policy::QueuePolicy;
use crate::domain::time::parse_rfc3339;
use crate::domain::units::parse_duration_or_seconds;
use crate::domain::zone::NamedZone;

const BUFFER_BYTES: usize = 1 << 20;
/// After so many rows the progress is shown.
const ROWS_BETWEEN: u64 = 50_000;

/// What of a row matters; the payload and all else is passed over.
#[derive(Deserialize)]
struct TraceRow<'a> {
    #[serde(borrow)]
    queue: Cow<'a, str>,
    #[serde(borrow)]
    at: Cow<'a, str>,
    #[serde(default)]
    delay: Option<LengthText<'a>>,
    #[serde(default, borrow)]
    due_at: Option<Cow<'a, str>>,
    #[serde(default)]
    ttl: Option<LengthText<'a>>,
    #[serde(default, borrow)]
    expires_at: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    must_dispatch_by: Option<Cow<'a, str>>,
    #[serde(default)]
    cost: Option<f64>,
    #[serde(default, borrow)]
    group: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    #[serde(default, borrow)]
    time_zone: Option<Cow<'a, str>>,
}

/// A length of time, as `90s` or as seconds.
#[derive(Deserialize)]
#[serde(untagged)]
enum LengthText<'a> {
    Seconds(u64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl LengthText<'_> {
    fn ms(&self) -> Result<u64, String> {
        match self {
            Self::Seconds(seconds) => Ok(seconds.saturating_mul(1000)),
            Self::Text(text) => parse_duration_or_seconds(text),
        }
    }
}

/// Reads all rows. Virtual time begins at the first of them.
pub(super) fn read(file: &Path, all: &mut Arrivals, session: &mut Session) -> Result<(), Failure> {
    let shown = file.display().to_string();
    let cannot = |error: std::io::Error| Failure::usage(format!("cannot read {shown}: {error}"));
    let opened = File::open(file).map_err(cannot)?;
    let size = opened.metadata().map(|it| it.len()).unwrap_or(0);
    let mut source = BufReader::with_capacity(BUFFER_BYTES, opened);
    let mut progress = Progress::new(&session.screen, size);
    let (mut line, mut number, mut bytes, mut first_ms) = (Vec::new(), 0_u64, 0_u64, None);
    let mut hours = RecipientCache::default();
    loop {
        line.clear();
        let read = source.read_until(b'\n', &mut line).map_err(cannot)?;
        if read == 0 {
            break;
        }
        number += 1;
        bytes += read as u64;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let at_ms = take(&line, all, &mut hours)
            .map_err(|why| Failure::usage(format!("{shown}, line {number}: {why}")))?;
        first_ms = Some(first_ms.map_or(at_ms, |first: u64| first.min(at_ms)));
        if number.is_multiple_of(ROWS_BETWEEN) {
            progress.show(bytes, &format!("{number} rows read"), &mut session.screen)?;
        }
    }
    progress.clear();
    let none = || Failure::usage(format!("{shown} has no rows; expected one message on each line"));
    all.from_ms = first_ms.ok_or_else(none)?;
    Ok(())
}

/// Takes one row; returns when it comes.
fn take(line: &[u8], all: &mut Arrivals, hours: &mut RecipientCache) -> Result<u64, String> {
    let row: TraceRow<'_> = serde_json::from_slice(line).map_err(|error| {
        format!("{error}; expected a message with \"queue\" and \"at\" (RFC 3339)")
    })?;
    let moment =
        |name: &str, text: &str| parse_rfc3339(text).map_err(|why| format!("{name}: {why}"));
    let length = |name: &str, length: &Option<LengthText<'_>>| match length {
        Some(length) => length.ms().map(Some).map_err(|why| format!("{name}: {why}")),
        None => Ok(None),
    };
    let later = |name: &str, text: &Option<Cow<'_, str>>| match text {
        Some(text) => moment(name, text).map(Some),
        None => Ok(None),
    };
    let at_ms = moment("at", &row.at)?;
    let due_ms = match (length("delay", &row.delay)?, later("due_at", &row.due_at)?) {
        (Some(delay_ms), _) => at_ms.saturating_add(delay_ms),
        (None, Some(due_ms)) => due_ms.max(at_ms),
        (None, None) => at_ms,
    };
    let ttl_ms = length("ttl", &row.ttl)?.map(|ttl_ms| at_ms.saturating_add(ttl_ms));
    let ends = [ttl_ms, later("expires_at", &row.expires_at)?];
    let by = later("must_dispatch_by", &row.must_dispatch_by)?;
    let expires_ms = ends.into_iter().chain([by]).flatten().min();
    if all.queue(&row.queue).is_none() {
        return Err(unknown(&row.queue, &all.settings));
    }
    let Some(queue) = all.queue(&row.queue) else { return Ok(at_ms) };
    let keys = if queue.has_keys() { keys(queue, &row) } else { String::new() };
    let due_ms = hours.first_ms(&queue.policy, row.time_zone.as_deref(), due_ms)?;
    let cost = row.cost.unwrap_or(1.0);
    if !(1.0..=f64::from(COST_MAX)).contains(&cost) {
        return Err(format!("cost: found {cost}, expected a whole number, 1 to {COST_MAX}"));
    }
    queue.add(&Arriving { due_ms, expires_ms, keys: &keys, cost, messages: 1.0 });
    Ok(at_ms)
}

/// The values of all keys that the queue goes by, as one text.
fn keys(queue: &QueueArrivals, row: &TraceRow<'_>) -> String {
    let policy = &queue.policy;
    let of_limits = policy.keyed_limits().filter_map(|rule| rule.per.as_ref());
    let order = policy.ordering.as_ref().map(|it| &it.by);
    let fair = policy.fairness.as_ref().map(|it| &it.by);
    let mut text = String::new();
    for key in of_limits.chain(order).chain(fair) {
        let name = key.to_string();
        let value = match name.strip_prefix("labels.") {
            Some(label) => row.labels.as_ref().and_then(|labels| labels.get(label)),
            None => row.group.as_ref(),
        };
        text.push_str(value.map_or("", |value| value));
        text.push('\0');
    }
    text
}

/// When recipients may be reached, by zone and minute: most rows share both.
#[derive(Default)]
struct RecipientCache(HashMap<(String, u64), u64>);

impl RecipientCache {
    fn first_ms(
        &mut self,
        policy: &QueuePolicy,
        zone: Option<&str>,
        due_ms: u64,
    ) -> Result<u64, String> {
        let Some(hours) = &policy.recipient_hours else { return Ok(due_ms) };
        let key = (format!("{} {}", policy.name, zone.unwrap_or("")), due_ms / 60_000);
        if let Some(first_ms) = self.0.get(&key) {
            return Ok((*first_ms).max(due_ms));
        }
        let time_zone = match zone {
            Some(name) => {
                Some(name.parse::<NamedZone>().map_err(|error| format!("time_zone: {error}"))?)
            }
            None => None,
        };
        let details = Details { time_zone, ..Details::default() };
        let first_ms = hours.first_ms(&details, due_ms);
        self.0.insert(key, first_ms);
        Ok(first_ms)
    }
}
