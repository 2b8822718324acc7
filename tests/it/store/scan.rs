//! The full scan: reads every structure of a shard past the scripts and tells what does not agree.
//!
//! Owns its own reading of the packed state entry, apart from the store's, so that the two check one
//! another. Refuses to know which step led here.

use std::collections::{BTreeMap, HashMap};

use super::ground::Ground;
use super::node::Node;

const PLACES: [(&str, u8); 7] = [
    ("leased", b'L'),
    ("uncertain", b'U'),
    ("accepted", b'A'),
    ("delivered", b'D'),
    ("dead", b'X'),
    ("expired", b'E'),
    ("cancelled", b'C'),
];

/// What decides where a message must stand.
#[derive(Debug)]
struct Stand {
    letter: u8,
    band: u8,
    epoch: u64,
    due_ms: u64,
    expires_ms: u64,
}

impl Stand {
    fn of_record(raw: &[u8]) -> Self {
        let (due_ms, expires_ms) = (number(&raw[3..9]), number(&raw[9..15]));
        Self { letter: b'w', band: raw[2] / 16, epoch: 0, due_ms, expires_ms }
    }

    fn of_entry(raw: &[u8]) -> Self {
        Self {
            letter: raw[1],
            // The rest says whether optional fields follow.
            band: raw[23] % 128,
            epoch: number(&raw[24..26]),
            due_ms: number(&raw[26..32]),
            expires_ms: number(&raw[32..38]),
        }
    }

    /// Its entry in due and ready.
    fn entry(&self, ulid: &str) -> String {
        let epoch = [self.epoch / 64, self.epoch % 64]
            .map(|digit| char::from(u8::try_from(digit + 48).expect("below 112")));
        format!("{ulid}{}{}{}", self.band, epoch[0], epoch[1])
    }
}

/// Everything in one shard.
struct Shard {
    records: HashMap<String, Vec<u8>>,
    states: HashMap<String, Vec<u8>>,
    history: HashMap<String, Vec<u8>>,
    zsets: BTreeMap<&'static str, HashMap<String, u64>>,
    ready: Vec<Vec<String>>,
    /// References and kept receipts, each as it is looked at.
    kept: Vec<String>,
    looks: Vec<String>,
    stale: i64,
    /// Which weighing this is, whether it has met all, and its two sums.
    weighing: [Option<i64>; 4],
}

/// What the scan counted, in the order of `State::ALL`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) by_state: [u64; 9],
    pub(super) stale: i64,
}

impl Ground {
    /// Every message is in exactly one place, and every count is true; over all shards.
    pub(super) async fn assert_sound(&self, node: &Node) -> Scan {
        let mut total = Scan::default();
        for shard in &node.queue.shards {
            let scan = self.read_shard(shard.number).await.check();
            for (sum, count) in total.by_state.iter_mut().zip(scan.by_state) {
                *sum += count;
            }
            total.stale += scan.stale;
        }
        assert_eq!(
            node.counts().await.by_state,
            total.by_state,
            "counts differ from the full scan"
        );
        total
    }

    async fn read_shard(&self, number: u16) -> Shard {
        let key = |name: &str| self.key_of(number, name);
        let mut zsets = BTreeMap::new();
        for name in ["due", "expiry", "probes"].into_iter().chain(PLACES.map(|(name, _)| name)) {
            let range =
                redis::cmd("ZRANGE").arg(key(name)).arg(0).arg(-1).arg("WITHSCORES").clone();
            zsets.insert(name, self.raw::<HashMap<String, u64>>(&range).await);
        }
        let mut ready = Vec::new();
        for band in 0..10 {
            let range =
                redis::cmd("LRANGE").arg(key(&format!("ready:{band}"))).arg(0).arg(-1).clone();
            ready.push(self.raw(&range).await);
        }
        let stale: Option<i64> = self.raw(redis::cmd("HGET").arg(key("meta")).arg("stale")).await;
        let refs: Vec<String> = self.raw(redis::cmd("HKEYS").arg(key("refs"))).await;
        let early: Vec<String> = self.raw(redis::cmd("HKEYS").arg(key("early"))).await;
        let kept = refs.iter().map(|name| format!("r{name}"));
        let mut kept: Vec<String> =
            kept.chain(early.iter().map(|field| format!("e{field}"))).collect();
        let mut looks: Vec<String> =
            self.raw(redis::cmd("ZRANGE").arg(key("looks")).arg(0).arg(-1)).await;
        kept.sort();
        looks.sort();
        let mut sums = redis::cmd("HMGET");
        sums.arg(key("meta")).arg(&["weighing", "weigh_at", "weight_delivered", "weight_dead"]);
        let sums: Vec<Option<String>> = self.raw(&sums).await;
        let sums = sums.into_iter().map(|sum| sum.map(|sum| sum.parse().unwrap_or(0)));
        Shard {
            weighing: sums.collect::<Vec<_>>().try_into().expect("four"),
            kept,
            looks,
            records: self.raw(redis::cmd("HGETALL").arg(key("records"))).await,
            states: self.raw(redis::cmd("HGETALL").arg(key("states"))).await,
            history: self.raw(redis::cmd("HGETALL").arg(key("history"))).await,
            zsets,
            ready,
            stale: stale.unwrap_or(0),
        }
    }
}

impl Shard {
    fn check(self) -> Scan {
        let mut scan = Scan::default();
        let mut stands = HashMap::new();
        for (ulid, record) in &self.records {
            let stand = match self.states.get(ulid) {
                Some(entry) => Stand::of_entry(entry),
                None => Stand::of_record(record),
            };
            let at = self.place_of(ulid, &stand);
            scan.by_state[at] += 1;
            stands.insert(ulid.as_str(), stand);
        }
        for ulid in self.states.keys().chain(self.history.keys()) {
            assert!(
                stands.contains_key(ulid.as_str()),
                "{ulid} has a state or a past and no record"
            );
        }
        for (name, members) in &self.zsets {
            for member in members.keys() {
                assert!(stands.contains_key(&member[..26]), "{member} in {name} has no record");
            }
        }
        self.check_weights();
        assert_eq!(self.kept, self.looks, "what is kept of receipts is looked at");
        let entries = self.ready.iter().map(Vec::len).sum::<usize>();
        let stale =
            i64::try_from(entries).expect("few") - i64::try_from(scan.by_state[1]).expect("few");
        assert_eq!(self.stale, stale, "stale entries counted, stale entries there");
        scan.stale = stale;
        scan
    }

    /// The sums are what those weigh that this weighing has met, and in the end these are all.
    fn check_weights(&self) {
        let [Some(weighing), weigh_at, delivered, dead] = self.weighing else {
            assert_eq!(self.weighing, [None; 4], "nothing is left of a weighing");
            return;
        };
        let mut sums = [0, 0];
        for (ulid, entry) in &self.states {
            let Some(kind) = [&b"DEC"[..], b"X"].iter().position(|kind| kind.contains(&entry[1]))
            else {
                assert_eq!(entry[22] / 4 % 4, 0, "{ulid} is not final and weighed");
                continue;
            };
            if i64::from(entry[22] / 4 % 4) == weighing {
                let past = self.history.get(ulid).map_or(0, Vec::len);
                sums[kind] += self.records[ulid].len() + entry.len() + past;
            } else {
                assert!(weigh_at.is_some(), "{ulid} is final and was never weighed");
            }
        }
        let sums = sums.map(|sum| i64::try_from(sum).ok());
        assert_eq!([delivered, dead], sums, "weights of final messages");
    }

    /// The index in `State::ALL` of the one place where it stands.
    fn place_of(&self, ulid: &str, stand: &Stand) -> usize {
        let mut places = Vec::new();
        let entry = stand.entry(ulid);
        let waits = stand.letter == b'w';
        for (member, score) in self.zsets["due"].iter().filter(|(m, _)| m.starts_with(ulid)) {
            assert_eq!((member, *score), (&entry, stand.due_ms), "what due says of {stand:?}");
            places.push(0);
        }
        for (band, list) in self.ready.iter().enumerate() {
            for found in list.iter().filter(|found| **found == entry && waits) {
                assert_eq!(band, usize::from(stand.band), "{found} is in the wrong band");
                places.push(1);
            }
        }
        for (at, (name, letter)) in PLACES.iter().enumerate() {
            if self.zsets[name].contains_key(ulid) {
                assert_eq!(
                    *letter, stand.letter,
                    "{ulid} is in {name}, and its state is {stand:?}"
                );
                places.push(at + 2);
            }
        }
        assert_eq!(places.len(), 1, "{ulid} stands in {places:?}; its state is {stand:?}");
        assert_eq!(places[0] < 2, waits, "{ulid} stands in {places:?}; its state is {stand:?}");
        let is_asked_about = self.zsets["probes"].contains_key(ulid);
        assert!(!is_asked_about || stand.letter == b'U', "{ulid} is in probes: {stand:?}");
        let expiry = (waits && stand.expires_ms > 0).then_some(stand.expires_ms);
        assert_eq!(
            self.zsets["expiry"].get(ulid).copied(),
            expiry,
            "what expiry says of {stand:?}"
        );
        places[0]
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
