//! Reading the streams of many shards as one: in the order of their moments, complete up to one of them.
//!
//! A step's entry carries the moment at which Redis began it, and is there before Redis says a later time.
//! So whoever asks a server for its time and then for entries has all that are older than that time. What
//! is younger waits for the next look. Refuses to know who listens.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use redis::{Value, cmd};
use ulid::Ulid;

use super::Events;
use crate::domain::change::{Change, Place, Position, QueueChange, What};
use crate::domain::id::{MessageId, ULID_BYTES};
use crate::domain::state::State;
use crate::store::StoreError;
use crate::store::queue::{Queue, Shard};
use crate::store::record;

/// Entries of a shard in one look; each holds up to a hundred changes.
const ENTRIES_MAX: usize = 64;
/// A stream whose last entry is so far ahead of its server's clock saw the clock step back.
const STEPPED_MS: u64 = 5000;

/// Where the reading of each shard goes on, by its tag: the first id that is wanted, as XRANGE takes it.
pub(super) type Cursors = HashMap<String, String>;

/// The next changes, in order.
#[derive(Debug, Default)]
pub(super) struct ReadWindow {
    pub(super) changes: Vec<Change>,
    /// Everything before this moment has been read.
    pub(super) until_ms: u64,
    /// Whether there is more to read now.
    pub(super) more: bool,
}

/// Names and values of an entry.
type ChangeFields = Vec<(Bytes, Bytes)>;

/// What a look at one shard showed.
#[derive(Debug)]
struct Look {
    now_ms: u64,
    /// Moment, step and fields.
    entries: Vec<(u64, u64, ChangeFields)>,
}

impl Look {
    fn read(replies: Vec<Value>) -> Option<Self> {
        let mut replies = replies.into_iter();
        let (seconds, micros): (u64, u64) = redis::from_redis_value(replies.next()?).ok()?;
        let entries: Vec<(String, ChangeFields)> = redis::from_redis_value(replies.next()?).ok()?;
        let entries = entries.into_iter().map(|(id, fields)| {
            let (ms, step) = id.split_once('-')?;
            Some((ms.parse().ok()?, step.parse().ok()?, fields))
        });
        Some(Self {
            now_ms: seconds * 1000 + micros / 1000,
            entries: entries.collect::<Option<_>>()?,
        })
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    /// Nothing older than this is missing. `None`: by this server's clock nothing can be told, as it
    /// stepped back; what is there is taken as it comes.
    fn complete_until_ms(&self) -> Option<u64> {
        let (first, last) = (self.entries.first(), self.entries.last());
        let (first_ms, last_ms) = (first.map_or(0, |e| e.0), last.map_or(0, |e| e.0));
        if last_ms > self.now_ms + STEPPED_MS || (self.is_full() && first_ms == last_ms) {
            return None;
        }
        Some(if self.is_full() { last_ms.min(self.now_ms) } else { self.now_ms })
    }
}

impl Events {
    /// Reads on in all of these shards; the cursors follow.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the cursors stay.
    pub(super) async fn changes_since(
        &self,
        shards: &[(Arc<Queue>, Arc<Shard>)],
        cursors: &mut Cursors,
    ) -> Result<ReadWindow, StoreError> {
        let bare: Vec<_> = shards.iter().map(|(_, shard)| Arc::clone(shard)).collect();
        let replies = self
            .wire
            .read_each(&bare, &|shard| {
                let from = cursors.get(shard.tag()).map_or("+", String::as_str);
                let mut range = cmd("XRANGE");
                range.arg(shard.key("events")).arg(from).arg("+").arg("COUNT").arg(ENTRIES_MAX);
                vec![cmd("TIME"), range]
            })
            .await?;
        let looks: Option<Vec<Look>> = replies.into_iter().map(Look::read).collect();
        let looks = looks.ok_or_else(|| {
            StoreError::Reply("the stream of a shard's changes cannot be read".to_owned())
        })?;
        let until_ms = looks.iter().filter_map(Look::complete_until_ms).min();
        let until_ms = until_ms.or_else(|| looks.iter().map(|look| look.now_ms).min()).unwrap_or(0);
        let mut window =
            ReadWindow { until_ms, more: looks.iter().any(Look::is_full), ..ReadWindow::default() };
        for ((queue, shard), look) in shards.iter().zip(looks) {
            let takes_all = look.complete_until_ms().is_none();
            for (ms, step, fields) in look.entries {
                if ms >= until_ms && !takes_all {
                    break;
                }
                cursors.insert(shard.tag().to_owned(), format!("({ms}-{step}"));
                window.changes.extend(changes_of(queue, shard, (ms, step), &fields));
            }
        }
        window.changes.sort_by(|a, b| a.at.cmp(&b.at));
        Ok(window)
    }
}

fn changes_of(
    queue: &Queue,
    shard: &Shard,
    (ms, step): (u64, u64),
    fields: &[(Bytes, Bytes)],
) -> Vec<Change> {
    let name = &queue.policy.name;
    let mut changes = Vec::new();
    let mut add = |what: What| {
        let number = u16::try_from(changes.len()).unwrap_or(u16::MAX);
        let place = Place { queue: name.clone(), shard: shard.number, step, number };
        changes.push(Change { at: Position { ms, place: Some(place) }, queue: name.clone(), what });
    };
    for (field, value) in fields {
        match field.as_ref() {
            b"m" => {
                for told in value.chunks_exact(ULID_BYTES + 1) {
                    let ulid = std::str::from_utf8(&told[..ULID_BYTES]).unwrap_or_default();
                    // What a newer version tells is passed over.
                    if let (Ok(ulid), Some(state)) =
                        (Ulid::from_string(ulid), state_of(told[ULID_BYTES]))
                    {
                        add(What::Message(MessageId { queue: name.clone(), ulid }, state));
                    }
                }
            }
            // A queue with several shards is paused in each of them.
            b"q" if shard.number == 0 => {
                let is_it = |change: &QueueChange| change.as_str().as_bytes() == value;
                if let Some(change) = QueueChange::ALL.into_iter().find(is_it) {
                    add(What::Queue(change));
                }
            }
            _ => {}
        }
    }
    changes
}

/// The state that a change names; `None`: a letter of a newer version (see `lua/include/events.lua`).
fn state_of(letter: u8) -> Option<State> {
    b"srLUAXDEC".contains(&letter).then(|| record::state_of(letter, letter == b's'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(now_ms: u64, moments: impl IntoIterator<Item = u64>) -> Look {
        let entries = moments.into_iter().map(|ms| (ms, 0, Vec::new())).collect();
        Look { now_ms, entries }
    }

    #[test]
    fn what_a_server_may_still_add_to_is_left_for_the_next_look() {
        assert_eq!(look(100, [90, 100]).complete_until_ms(), Some(100));
        assert_eq!(look(100, []).complete_until_ms(), Some(100));
        let page = 1..=ENTRIES_MAX as u64;
        assert_eq!(look(1000, page.clone()).complete_until_ms(), Some(ENTRIES_MAX as u64));
        assert_eq!(look(50, page).complete_until_ms(), Some(50));
    }

    #[test]
    fn a_clock_that_stepped_back_holds_nothing_up() {
        assert_eq!(look(100, [100 + STEPPED_MS + 1]).complete_until_ms(), None);
        assert_eq!(look(100, [90; ENTRIES_MAX]).complete_until_ms(), None);
    }
}
