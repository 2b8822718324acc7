//! The audit: whatever is broken by hand is found and mended, and nothing is found where all is well.
//!
//! Owns the breaking: each kind of fault past the scripts, at the bare keys, by a seeded choice. What
//! "well" means is the full scan's business (see `scan`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use redis::{Cmd, cmd};
use tidegate::domain::index_fault::Fault;
use tidegate::domain::message::When;
use tidegate::domain::state::State;
use tidegate::store::{Audit, IndexFinding, Verb};

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, Node, With, message};

const GONE: &str = "01JD3A9PX2M7Q8R4T6V0W1Y2Z3";
const ZSETS: [&str; 9] = [
    "due",
    "leased",
    "uncertain",
    "accepted",
    "delivered",
    "dead",
    "expired",
    "cancelled",
    "expiry",
];

/// Looks the whole first shard through.
pub(super) async fn audit(node: &Node, mends: bool) -> Vec<IndexFinding> {
    let mut audit = Audit::new(Arc::clone(&node.queue), Arc::clone(node.shard()), mends);
    let mut findings = Vec::new();
    while !audit.is_done() {
        findings.extend(node.store.audits.step(&mut audit).await.expect("Redis is there"));
    }
    let (looked, total) = audit.progress();
    assert!(looked <= total);
    findings
}

pub(super) fn kinds(findings: &[IndexFinding]) -> Vec<Fault> {
    findings.iter().map(|finding| finding.fault).collect()
}

/// Messages in every state, touched and untouched, with and without ttl.
async fn seed(ground: &Ground, node: &Node, random: &mut StdRng) {
    for round in 0..4 {
        for number in 0..6 {
            let mut sent =
                message(&format!("{round}.{number}")).priority(9 * random.random_range(0..2));
            if random.random_bool(0.4) {
                sent = sent.expires(When::After(4 * HOUR_MS));
            }
            if random.random_bool(0.4) {
                sent = sent.due(When::After(random.random_range(1..=3) * HOUR_MS));
            }
            node.send(sent).await;
        }
        let leases: Vec<_> = node.take(4).await.into_iter().map(|c| c.lease).collect();
        let verbs = [Verb::Ack, Verb::Bury, Verb::Park, Verb::Retry, Verb::Release, Verb::Renew];
        for lease in &leases {
            node.end(*verbs.choose(random).expect("some"), lease).await;
        }
    }
    let brief = node.send(message("brief").expires(When::After(1)).due(When::After(0))).await;
    ground.passes(ground.now_ms().await + 2).await;
    node.store.messages.expire(&node.queue, node.shard()).await.expect("Redis is there");
    assert_eq!(node.state(&brief).await, State::Expired);
    // An entry left behind in a ready list is no fault.
    let withdrawn = node.send(message("withdrawn")).await;
    node.store.messages.cancel(&withdrawn).await.expect("Redis is there");
    ground.assert_sound(node).await;
}

async fn one_of(ground: &Ground, command: &Cmd, random: &mut StdRng) -> Option<String> {
    let all: Vec<String> = ground.raw(command).await;
    all.choose(random).cloned()
}

/// Breaks something at the bare keys; says what.
async fn break_one(ground: &Ground, random: &mut StdRng) -> String {
    let zset = *ZSETS.choose(random).expect("some");
    let key = |name: &str| ground.key(name);
    let band = format!("ready:{}", 9 * random.random_range(0..2));
    let due_ms = ground.now_ms().await + HOUR_MS;
    let member = one_of(ground, cmd("ZRANGE").arg(key(zset)).arg(0).arg(-1), random).await;
    let record = one_of(ground, cmd("HKEYS").arg(key("records")), random).await.expect("some");
    let entry = one_of(ground, cmd("LRANGE").arg(key(&band)).arg(0).arg(-1), random).await;
    let [gone_entry, old_entry] = [format!("{GONE}000"), format!("{record}0Zo")];
    let mut commands = match (random.random_range(0..12), member, entry) {
        (0 | 1, Some(member), _) => vec![cmd("ZREM").arg(key(zset)).arg(member).clone()],
        (2 | 11, _, Some(entry)) => vec![cmd("LREM").arg(key(&band)).arg(1).arg(entry).clone()],
        (3, _, Some(entry)) => vec![cmd("RPUSH").arg(key(&band)).arg(entry).clone()],
        (4, ..) => vec![cmd("ZADD").arg(key("due")).arg(due_ms).arg(old_entry).clone()],
        (5, ..) => {
            let gone = if zset == "due" { gone_entry } else { GONE.to_owned() };
            vec![cmd("ZADD").arg(key(zset)).arg(due_ms).arg(gone).clone()]
        }
        (6, ..) if zset != "due" => {
            vec![cmd("ZADD").arg(key(zset)).arg(due_ms).arg(record).clone()]
        }
        (7, ..) => vec![
            cmd("HSET").arg(key("states")).arg(GONE).arg("a state").clone(),
            cmd("HSET").arg(key("history")).arg(GONE).arg("a past").clone(),
        ],
        (8, Some(member), _) => {
            let add = ["expiry", "due"].contains(&zset).then_some(due_ms * 2);
            add.map(|ms| cmd("ZADD").arg(key(zset)).arg(ms).arg(member).clone())
                .into_iter()
                .collect()
        }
        (9, ..) => {
            vec![cmd("HSET").arg(key("meta")).arg("stale").arg(7).arg("largest").arg(1).clone()]
        }
        (10, ..) => vec![
            cmd("HDEL").arg(key("records")).arg(record).clone(),
            cmd("RPUSH").arg(key(&band)).arg(gone_entry).clone(),
        ],
        _ => vec![cmd("RPUSH").arg(key(&band)).arg("nonsense").clone()],
    };
    for command in &mut commands {
        let _reply: redis::Value = ground.raw(command).await;
    }
    let words = commands
        .iter()
        .map(|c| String::from_utf8_lossy(&c.get_packed_command()).replace("\r\n", " "));
    words.collect::<Vec<_>>().join(" ; ")
}

/// Everything that waits is delivered, each once.
async fn deliver_all(ground: &Ground, node: &Node) {
    for state in [State::Uncertain, State::Dead] {
        node.store.messages.requeue_all(&node.name, state, 1000).await.expect("Redis is there");
    }
    let waits: BTreeSet<_> = node
        .store
        .messages
        .list(&node.name, State::Scheduled, 1000, None)
        .await
        .expect("Redis is there")
        .messages
        .into_iter()
        .map(|message| message.id)
        .collect();
    for id in &waits {
        let now = tidegate::store::Edit { due: Some(When::After(0)), ..Default::default() };
        node.store.messages.reschedule(id, &now).await.expect("Redis is there");
    }
    let counts = node.counts().await;
    let (ready, leased) = (counts.of(State::Ready), counts.of(State::Leased));
    let mut met = BTreeSet::new();
    loop {
        let claimed = node.take(100).await;
        if claimed.is_empty() && node.counts().await.of(State::Ready) == 0 {
            break;
        }
        for one in claimed {
            assert!(met.insert(one.lease.ulid), "{} was handed out twice", one.lease.ulid);
            node.end(Verb::Ack, &one.lease).await;
        }
    }
    assert_eq!(met.len() as u64, ready);
    let counts = node.counts().await;
    assert_eq!((counts.of(State::Ready), counts.of(State::Scheduled)), (0, 0));
    assert_eq!(counts.of(State::Leased), leased);
    ground.assert_sound(node).await;
}

#[tokio::test]
async fn whatever_is_broken_is_found_and_mended() {
    for seed_number in 0..12 {
        let mut random = StdRng::seed_from_u64(seed_number);
        let ground = Ground::in_memory().await;
        let node = ground.node("concurrency = 1000\npriority_levels = 10").await;
        seed(&ground, &node, &mut random).await;
        assert_eq!(audit(&node, false).await, [], "seed {seed_number}");
        let mut broken = Vec::new();
        for _ in 0..random.random_range(1..12) {
            broken.push(break_one(&ground, &mut random).await);
        }
        println!("seed {seed_number}: {broken:#?}");

        let told = audit(&node, false).await;
        let mended = audit(&node, true).await;

        println!("told {:?}, mended {:?}", kinds(&told), kinds(&mended));
        assert!(told.iter().all(|finding| !finding.mended));
        assert!(mended.iter().all(|finding| finding.mended));
        assert_eq!(audit(&node, false).await, []);
        ground.assert_sound(&node).await;
        deliver_all(&ground, &node).await;
    }
}

/// Past the scripts.
async fn raw(ground: &Ground, words: &[&str], name: &str, rest: &[&str]) {
    let _reply: redis::Value =
        ground.raw(cmd(words[0]).arg(&words[1..]).arg(ground.key(name)).arg(rest)).await;
}

async fn each_kind_is_named_and_mended(ground: Ground) {
    let node = ground.node("concurrency = 1000").await;
    let [waits, stands_twice, brief] = [
        node.send(message("waits")).await,
        node.send(message("twice")).await,
        node.send(message("brief").due(When::After(HOUR_MS)).expires(When::After(2 * HOUR_MS)))
            .await,
    ]
    .map(|id| id.ulid.to_string());
    let mended =
        |fault, member: &str| IndexFinding { fault, member: member.to_owned(), mended: true };

    raw(&ground, &["LREM"], "ready:0", &["1", &format!("{waits}000")]).await;
    assert_eq!(node.counts().await.of(State::Ready), 1, "nothing would ever move it");
    let found = audit(&node, true).await;
    assert_eq!(found, [mended(Fault::Unplaced, &format!("{waits}000"))]);

    raw(&ground, &["RPUSH"], "ready:0", &[&format!("{stands_twice}000")]).await;
    assert_eq!(node.counts().await.of(State::Ready), 3);
    let found = audit(&node, true).await;
    assert_eq!(found[0], mended(Fault::Duplicate, &format!("{stands_twice}000")));
    assert_eq!(kinds(&found), [Fault::Duplicate, Fault::Count]);
    assert_eq!(node.counts().await.of(State::Ready), 2);

    raw(&ground, &["ZREM"], "expiry", &[&brief]).await;
    assert_eq!(audit(&node, true).await, [mended(Fault::Expiry, &brief)]);
    raw(&ground, &["ZADD"], "due", &["1", &format!("{brief}000")]).await;
    let found = audit(&node, true).await;
    assert_eq!(found, [mended(Fault::Misplaced, &format!("{brief}000"))]);
    assert_eq!(node.promote().await, 0, "an early due time was put right");
    raw(&ground, &["ZADD"], "due", &["1", "nonsense"]).await;
    assert_eq!(audit(&node, true).await, [mended(Fault::Misplaced, "nonsense")]);
    raw(&ground, &["HSET"], "states", &[GONE, "x"]).await;
    assert_eq!(audit(&node, true).await, [mended(Fault::Leftover, GONE)]);
    raw(&ground, &["HSET"], "meta", &["largest", "10"]).await;
    assert_eq!(kinds(&audit(&node, true).await), [Fault::Largest]);
    raw(&ground, &["HSET"], "meta", &["stale", "-3"]).await;
    assert_eq!(kinds(&audit(&node, true).await), [Fault::Count]);
    ground.assert_sound(&node).await;

    let lease = node.take_one().await;
    raw(&ground, &["ZREM"], "leased", &[&lease.ulid.to_string()]).await;
    assert_eq!(kinds(&audit(&node, false).await), [Fault::Unplaced], "told, not touched");
    assert_eq!(kinds(&audit(&node, true).await), [Fault::Unplaced]);
    let deadline_ms: u64 =
        ground.raw(cmd("ZSCORE").arg(ground.key("leased")).arg(lease.ulid.to_string())).await;
    let lease_ms = node.queue.policy.lease_ms;
    assert!((deadline_ms - lease_ms).abs_diff(ground.now_ms().await) < 5000, "the reaper finds it");
    assert_eq!(audit(&node, true).await, []);
    ground.assert_sound(&node).await;
}

on_each!(each_kind_is_named_and_mended);

#[tokio::test]
async fn what_cannot_be_read_is_told_and_left_alone_and_nothing_behind_it_waits() {
    let ground = Ground::in_memory().await;
    let node = ground.node("concurrency = 1000").await;
    let ids = [
        node.send(message("cut record")).await,
        node.send(message("of a newer version")).await,
        node.send(message("cut state")).await,
        node.send(message("well")).await,
    ];
    let [cut, newer, state, _] = ids.each_ref().map(|id| id.ulid.to_string());
    let field = async |name: &str, ulid: &str| -> Vec<u8> {
        ground.raw(cmd("HGET").arg(ground.key(name)).arg(ulid)).await
    };
    let set = async |name: &str, ulid: &str, raw: &[u8]| {
        let _new: i64 = ground.raw(cmd("HSET").arg(ground.key(name)).arg(ulid).arg(raw)).await;
    };
    set("records", &cut, b"\x02").await;
    let mut record = field("records", &newer).await;
    record[0] += 1;
    set("records", &newer, &record).await;
    set("states", &state, b"\x02w").await;
    let records: Vec<(String, Vec<u8>)> =
        ground.raw(cmd("HGETALL").arg(ground.key("records"))).await;

    // Readings show them, or at least do not fail.
    assert_eq!(node.counts().await.of(State::Ready), 4);
    let page = node.store.messages.list(&node.name, State::Ready, 100, None).await.unwrap();
    assert!(page.messages.iter().any(|message| message.id == ids[3]));
    let shown = node.get(&ids[0]).await;
    assert!(shown.reason.is_some_and(|reason| reason.contains("cannot be read")));

    // The one that can be read goes, and operators' steps leave the others alone.
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.extend(node.take(100).await);
    }
    assert_eq!(taken.iter().map(|claimed| claimed.lease.ulid).collect::<Vec<_>>(), [ids[3].ulid]);
    for id in &ids[..3] {
        let changed = node.store.messages.cancel(id).await.unwrap();
        assert_eq!(changed, tidegate::store::Changed::NotFound);
    }
    assert_eq!(node.promote().await, 0);
    assert_eq!(node.store.messages.expire(&node.queue, node.shard()).await.unwrap().moved, 0);

    for mends in [false, true] {
        let found = audit(&node, mends).await;
        let members: BTreeSet<_> = found.iter().map(|f| f.member.as_str()).collect();
        assert_eq!(kinds(&found), [Fault::Unreadable; 3], "{found:?}");
        assert_eq!(members, BTreeSet::from([cut.as_str(), &newer, &state]));
        assert!(found.iter().all(|finding| !finding.mended));
    }
    let after: Vec<(String, Vec<u8>)> = ground.raw(cmd("HGETALL").arg(ground.key("records"))).await;
    assert_eq!(after, records, "not a byte was touched");

    // Once they can be read again, they are put back and go.
    record[0] -= 1;
    set("records", &newer, &record).await;
    assert_eq!(
        kinds(&audit(&node, true).await).iter().filter(|f| **f == Fault::Unplaced).count(),
        1
    );
    assert_eq!(node.take_one().await.ulid, ids[1].ulid);
}

/// Every verb at once, from two nodes, while the whole is looked through again and again.
#[tokio::test]
async fn nothing_is_found_under_load() {
    let ground = Ground::in_memory().await;
    let [node, other] =
        [ground.node("concurrency = 1000").await, ground.node("concurrency = 1000").await];
    let (rounds, enough) = (10, 5);
    let audits = AtomicUsize::new(0);
    // Longer than a page of the walk.
    node.store.messages.schedule(&node.name, vec![message("before"); 2500]).await.expect("a queue");
    let work = async |node: &Node, seed: u64| {
        let mut random = StdRng::seed_from_u64(seed);
        let verbs = [Verb::Ack, Verb::Ack, Verb::Retry, Verb::Release, Verb::Bury, Verb::Park];
        // However fast the machine is at one and slow at the other, both happen side by side.
        for round in 0.. {
            if round >= rounds && audits.load(Relaxed) >= enough {
                break;
            }
            let due = When::After(random.random_range(0..4));
            let sent = message("m").due(due).expires(When::After(HOUR_MS));
            let sent =
                node.store.messages.schedule(&node.name, vec![sent; 100]).await.expect("a queue");
            node.store
                .messages
                .cancel(&sent[0].as_ref().expect("taken in").id)
                .await
                .expect("Redis is there");
            node.promote().await;
            let leases: Vec<_> = node.take(120).await.into_iter().map(|c| c.lease).collect();
            for part in leases.chunks(20) {
                node.settle(*verbs.choose(&mut random).expect("some"), part).await;
            }
            let soon = tidegate::store::Edit { due: Some(When::After(0)), ..Default::default() };
            let page = node
                .store
                .messages
                .list(&node.name, State::Scheduled, 20, None)
                .await
                .expect("there");
            for message in page.messages {
                node.store.messages.reschedule(&message.id, &soon).await.expect("Redis is there");
            }
        }
    };
    let auditing = async {
        loop {
            assert_eq!(audit(&node, audits.load(Relaxed) % 2 == 1).await, []);
            audits.fetch_add(1, Relaxed);
        }
    };
    tokio::select! {
        _ = async { tokio::join!(work(&node, 1), work(&other, 2)) } => {}
        () = auditing => {}
    }
    assert_eq!(audit(&node, true).await, []);
    ground.assert_sound(&node).await;
}
