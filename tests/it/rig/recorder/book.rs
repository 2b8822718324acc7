//! What the recorder writes down: calls, callbacks and questions, each in a log of its own.
//!
//! Owns the logs and what has been booked; whatever leaves for a caller is written first. Refuses to know
//! queues beyond their number.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tidegate::domain::time::parse_rfc3339;

use super::{ARRIVALS, HOOK, LATER, Mood, PROBES, ROUGH, TOLD};
use crate::rig::history::{Answer, Arrival, Life, Probe, Told, body_hash};
use crate::rig::payload::key_in;
use crate::support::clocks::wall_us;
use crate::support::downstream::Request;

/// The header by which a daemon says which life of which node it is.
const LIFE: &str = "rig-life";
/// The header of a schedule's messages.
const NOMINAL: &str = "tidegate-nominal-at";

pub(super) struct Book {
    arrivals: File,
    told: File,
    probes: File,
    calls: u64,
    pub(super) mood: Mood,
    seed: u64,
    /// Ids of what was done, see [`Answer`].
    booked: HashSet<String>,
}

/// What a call gets.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) answer: Answer,
    pub(super) after_ms: u64,
    /// The head's first line and further headers, where the answer is that it was taken.
    pub(super) taken: String,
}

impl Given {
    pub(super) fn at_once() -> Self {
        Self { answer: Answer::Taken, after_ms: 0, taken: "200 OK".to_owned() }
    }
}

impl Book {
    pub(super) fn open(folder: &Path, seed: u64) -> Self {
        let log = |name: &str| {
            let log = File::options().create(true).append(true).open(folder.join(name));
            log.expect("the folder is ours")
        };
        let [arrivals, told, probes] = [ARRIVALS, TOLD, PROBES].map(log);
        let booked = HashSet::new();
        Self { arrivals, told, probes, calls: 0, mood: Mood::GOOD, seed, booked }
    }

    /// Writes a request down; says what it gets.
    pub(super) fn write(&mut self, request: &Request) -> Given {
        if request.path == HOOK {
            return self.hear(request);
        }
        let words: Vec<_> = request.path.trim_start_matches('/').split('/').collect();
        match words[..] {
            ["asked", id] => self.tell(id),
            [door, queue] => self.take(request, queue.parse().expect("a number"), door),
            _ => panic!("nobody is at {}", request.path),
        }
    }

    fn draw(&mut self) -> (u64, Answer, u64) {
        let call = self.calls;
        self.calls += 1;
        let (answer, after_ms) = self.mood.answer(self.seed, call);
        (call, answer, after_ms)
    }

    /// A call with messages. Taken means accepted at the door [`LATER`], where the rig says more; at the door [`ROUGH`] many
    /// calls fail.
    fn take(&mut self, request: &Request, queue: usize, door: &str) -> Given {
        let later = door == LATER;
        let (call, answer, after_ms) = self.draw();
        let is_rough = door == ROUGH && self.mood != Mood::GOOD;
        let answer = if is_rough && call.is_multiple_of(8) { Answer::Failed } else { answer };
        // A 200 would be the last word.
        let answer = if later && answer == Answer::Garbage { Answer::Taken } else { answer };
        let at_us = wall_us();
        let is_booked = || self.booked.contains(request.id());
        // What it took once it does not refuse.
        let answer = if answer == Answer::Refused && is_booked() { Answer::Taken } else { answer };
        let nominal_ms = request.header(NOMINAL).and_then(|text| parse_rfc3339(text).ok());
        let arrival = |id: String, attempt: u32, body: &[u8]| Arrival {
            at_us,
            call,
            queue,
            id,
            key: nominal_ms.or_else(|| key_in(body)),
            attempt,
            body_hash: body_hash(body),
            by: life(request),
            answer,
            answer_at_us: at_us + after_ms * 1000,
        };
        let mut arrivals = Vec::new();
        if request.header("tidegate-batch-id").is_some() {
            let items: Vec<Item<'_>> = serde_json::from_slice(&request.body).expect("a batch");
            for item in items {
                arrivals.push(arrival(item.id, item.attempt, item.payload.get().as_bytes()));
            }
        } else {
            arrivals.push(arrival(request.id().to_owned(), request.attempt(), &request.body));
        }
        append(&mut self.arrivals, &arrivals);
        if answer.is_booking() {
            self.booked.extend(arrivals.into_iter().map(|arrival| arrival.id));
        }
        let taken = match later {
            true => format!(
                "202 Accepted\r\nTidegate-Receipt: pending\r\nTidegate-Ref: {}",
                reference(call)
            ),
            false => "200 OK".to_owned(),
        };
        Given { answer, after_ms, taken }
    }

    /// A callback.
    fn hear(&mut self, request: &Request) -> Given {
        let (_, answer, after_ms) = self.draw();
        let event: Value = serde_json::from_slice(&request.body).expect("an event");
        let text = |name: &str| event[name].as_str().expect("an event is whole").to_owned();
        let kind = text("type");
        let state = kind.strip_prefix("tidegate.message.").expect("a final state").to_owned();
        let told = Told { at_us: wall_us(), id: text("id"), subject: text("subject"), state };
        assert_eq!(told.id, request.id(), "the call says whose it is");
        append(&mut self.told, &[told]);
        // Five silences in a row, and a host is left alone for 30 s; and nobody is turned away for good.
        let answer = match answer {
            Answer::Refused | Answer::Silence => Answer::Taken,
            Answer::TakenSilence => Answer::TakenUnsaid,
            other => other,
        };
        Given { answer, after_ms, ..Given::at_once() }
    }

    /// A question about a message.
    fn tell(&mut self, id: &str) -> Given {
        let found = self.booked.contains(id);
        append(&mut self.probes, &[Probe { at_us: wall_us(), id: id.to_owned(), found }]);
        let taken = if found { "200 OK" } else { "404 No" };
        Given { taken: taken.to_owned(), ..Given::at_once() }
    }
}

/// The downstream's own name for what it accepted in a call.
pub(crate) fn reference(call: u64) -> String {
    format!("ref-{call}")
}

/// A line for each, in one write.
fn append<T: Serialize>(log: &mut File, all: &[T]) {
    let mut lines = Vec::new();
    for one in all {
        serde_json::to_writer(&mut lines, one).expect("plain data");
        lines.push(b'\n');
    }
    log.write_all(&lines).expect("the disk takes the log");
}

#[derive(serde::Deserialize)]
struct Item<'a> {
    id: String,
    attempt: u32,
    #[serde(borrow)]
    payload: &'a RawValue,
}

fn life(request: &Request) -> Life {
    let text = request.header(LIFE).expect("every daemon of a run says which life it is");
    let (node, boot) = text.split_once('.').expect("node.boot");
    Life { node: node.parse().expect("a number"), boot: boot.parse().expect("a number") }
}
