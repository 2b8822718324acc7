//! The audit of a queue with keys: each structure of the lanes is broken by hand, told, mended, and then everything goes.
//!
//! Owns one kind of damage for each thing that docs/lanes.md says an audit can check. Random damage at random moments is
//! the business of `lanes/damage.py`; what holds of records and their other indexes that of `audit`.

use std::collections::BTreeSet;

use redis::{Cmd, FromRedisValue, Value, cmd};
use tidegate::domain::index_fault::Fault;
use tidegate::domain::message::NewMessage;
use tidegate::domain::state::State;
use tidegate::store::{Claimed, Verb, assembled_scripts};

use super::audit::{audit, kinds};
use super::ground::Ground;
use super::node::{Node, With as _, message};

const LINES: &str = "concurrency = 100\nordering = \"labels.order\"\nfairness = \"labels.tenant\"\n\
    limits = [{ concurrency = 1, per = \"labels.to\" }, { concurrency = 2, per = \"labels.tenant\" }]";
/// Messages of a scene: three of each of six keys of order, one of each of two others, and one of none.
const SENT: usize = 21;

type Bytes = Vec<u8>;

/// A queue in which four calls are in flight, lanes are parked behind their recipients, both shares are full and one of them
/// is held, and a third one is free.
struct Scene {
    ground: Ground,
    node: Node,
    leased: Vec<Claimed>,
}

fn labelled(body: &str, order: Option<&str>, tenant: &str, to: &str) -> NewMessage {
    let sent = message(body).label("tenant", tenant).label("to", to);
    match order {
        Some(order) => sent.label("order", order),
        None => sent,
    }
}

impl Scene {
    async fn set() -> Self {
        let ground = Ground::in_memory().await;
        let node = ground.node(LINES).await;
        for round in 0..3 {
            for key in 0..6 {
                let [order, tenant, to] =
                    [format!("k{key}"), format!("t{}", key % 2), format!("to{}", key % 3)];
                node.send(labelled(&format!("{key}.{round}"), Some(&order), &tenant, &to)).await;
            }
        }
        let mut leased = node.take(50).await;
        assert_eq!(leased.len(), 3, "one for each recipient");
        for (key, to, tenant) in [("k6", "to6", "t0"), ("k7", "to7", "t1")] {
            node.send(labelled(key, Some(key), tenant, to)).await;
        }
        leased.extend(node.take(50).await);
        assert_eq!(leased.len(), 4, "two for each share");
        node.send(labelled("free", None, "t9", "to9")).await;
        let scene = Self { ground, node, leased };
        assert_eq!(audit(&scene.node, false).await, [], "nothing is broken yet");
        scene
    }

    async fn raw<T: FromRedisValue>(&self, command: &str, name: &str, rest: &[&[u8]]) -> T {
        let mut call: Cmd = cmd(command);
        call.arg(self.ground.key(name));
        for arg in rest {
            call.arg(*arg);
        }
        self.ground.raw(&call).await
    }

    async fn change(&self, command: &str, name: &str, rest: &[&[u8]]) {
        let _reply: Value = self.raw(command, name, rest).await;
    }

    /// A member of a sorted set of the lanes.
    async fn member(&self, name: &str) -> Bytes {
        let members: Vec<Bytes> = self.raw("ZRANGE", name, &[b"0", b"-1"]).await;
        members.first().unwrap_or_else(|| panic!("nothing stands in {name}")).clone()
    }

    /// The first lane in this state, and its head.
    async fn lane(&self, state: u8) -> (Bytes, Bytes) {
        let heads: Vec<(Bytes, Bytes)> = self.raw("HGETALL", "heads", &[]).await;
        heads.into_iter().find(|(_, head)| head[0] == state).expect("a lane is in this state")
    }

    /// What was broken is told as these kinds, changes nothing until it is mended, and then everything goes.
    async fn heals(self, expected: &[Fault]) {
        let told = audit(&self.node, false).await;
        let found: BTreeSet<_> = kinds(&told).iter().map(|fault| fault.as_str()).collect();
        for fault in expected {
            assert!(found.contains(fault.as_str()), "{} is not told: {told:?}", fault.as_str());
        }
        assert!(told.iter().all(|finding| !finding.mended));

        let mended = audit(&self.node, true).await;

        assert!(mended.iter().all(|finding| finding.mended), "{mended:?}");
        assert_eq!(audit(&self.node, false).await, [], "mended before: {mended:?}");
        self.drains().await;
    }

    async fn drains(self) {
        let Self { ground, node, leased } = self;
        let mut met: BTreeSet<_> = leased.iter().map(|claimed| claimed.lease.ulid).collect();
        for claimed in &leased {
            // One whose call has ended already is told so.
            node.settle_one(Verb::Ack, &claimed.lease).await;
        }
        for _ in 0..100 {
            for claimed in node.take(50).await {
                assert!(met.insert(claimed.lease.ulid), "{} goes twice", claimed.lease.ulid);
                node.end(Verb::Ack, &claimed.lease).await;
            }
        }
        assert_eq!(met.len(), SENT, "everything goes");
        let counts = node.counts().await;
        assert_eq!((counts.of(State::Ready), counts.of(State::Leased)), (0, 0));
        assert_eq!(audit(&node, false).await, []);
        let left: Vec<(Bytes, Bytes)> = ground.raw(cmd("HGETALL").arg(ground.key("heads"))).await;
        assert_eq!(left, [], "no lane is left");
    }
}

#[tokio::test]
async fn what_stands_in_no_lane_comes_in_anew() {
    for state in *b"op" {
        let scene = Scene::set().await;
        let (lane, _) = scene.lane(state).await;
        scene.change("HDEL", "heads", &[&lane]).await;
        scene.heals(&[Fault::Stray]).await;
    }
    let scene = Scene::set().await;
    let member = scene.member("rest").await;
    scene.change("ZREM", "rest", &[&member]).await;
    let elsewhere = [b"no lane!", &member[8..]].concat();
    scene.change("ZADD", "rest", &[b"0", &elsewhere]).await;
    scene.heals(&[Fault::Stray]).await;
}

#[tokio::test]
async fn a_lane_stands_where_its_head_says() {
    for name in ["open", "parked"] {
        let scene = Scene::set().await;
        let member = scene.member(name).await;
        scene.change("ZREM", name, &[&member]).await;
        scene.heals(&[Fault::Lane]).await;
    }
    // It says that it is open, and stands behind a limit.
    let scene = Scene::set().await;
    let (lane, mut head) = scene.lane(b'p').await;
    head[0] = b'o';
    scene.change("HSET", "heads", &[&lane, &head]).await;
    scene.heals(&[Fault::Lane, Fault::Stray]).await;
    // It knows of nobody behind it, and cannot be read.
    let scene = Scene::set().await;
    let (lane, mut head) = scene.lane(b'p').await;
    head[2] = 0;
    scene.change("HSET", "heads", &[&lane, &head]).await;
    let (lane, head) = scene.lane(b'o').await;
    scene.change("HSET", "heads", &[&lane, &head[..30]]).await;
    scene.heals(&[Fault::Lane]).await;
}

/// As a node does it that does not know of the keys yet.
async fn ack_plainly(scene: &Scene, claimed: &Claimed) {
    let scripts = assembled_scripts();
    let (_, text, keys) =
        scripts.iter().find(|(name, ..)| name == "ack.plain").expect("there is one");
    let mut call = cmd("EVAL");
    call.arg(text).arg(keys.len());
    for key in keys {
        let name = ["ready", "turns"]
            .iter()
            .fold(key.clone(), |name, stem| name.replace(&format!("{stem}_"), &format!("{stem}:")));
        call.arg(scene.ground.key(&name.replace("callbacks_", "callbacks:")));
    }
    let lease = &claimed.lease;
    call.arg("").arg(60_000).arg(lease.token.as_bytes()).arg(lease.ulid.to_string()).arg("{}");
    let reply: Vec<Value> = scene.ground.raw(&call).await;
    assert_eq!(reply[2], Value::Int(0), "the verdict is ok: {reply:?}");
}

#[tokio::test]
async fn a_lane_that_a_node_without_keys_left_busy_goes_on() {
    let scene = Scene::set().await;
    for claimed in &scene.leased {
        ack_plainly(&scene, claimed).await;
    }
    assert_eq!(
        scene.node.take(50).await.len(),
        1,
        "all keys but one wait for calls that have ended"
    );
    // That one has no order, and is not asked about again.
    let scene = Scene::set().await;
    for claimed in &scene.leased {
        ack_plainly(&scene, claimed).await;
    }
    scene.heals(&[Fault::Busy, Fault::Held]).await;
}

#[tokio::test]
async fn a_free_lane_is_found_by_claims() {
    let scene = Scene::set().await;
    scene.node.end(Verb::Ack, &scene.leased[0].lease).await;
    let (lane, _) = scene.lane(b'f').await;
    scene.change("ZREM", "waits", &[&[&[0], &lane[..]].concat()]).await;
    scene.heals(&[Fault::Busy]).await;
}

#[tokio::test]
async fn a_key_of_a_limit_waits_as_long_as_it_holds_something() {
    let scene = Scene::set().await;
    let member = scene.member("parked").await;
    scene.change("ZREM", "waits", &[&member[..9]]).await;
    scene.heals(&[Fault::Blocker]).await;

    let scene = Scene::set().await;
    let nobody = [&scene.member("parked").await[..1], b"nobody!!"].concat();
    scene.change("ZADD", "waits", &[b"9000000000000000", &nobody]).await;
    scene.heals(&[Fault::Blocker, Fault::HeldKeys]).await;

    // The calls of a share have ended, and nobody has said so.
    let scene = Scene::set().await;
    let [open, waits]: [Vec<Bytes>; 2] = [
        scene.raw("ZRANGE", "open", &[b"0", b"-1"]).await,
        scene.raw("ZRANGE", "waits", &[b"0", b"-1"]).await,
    ];
    let holds_a_share = |blocker: &Bytes| open.iter().any(|lane| lane[1..9] == blocker[1..]);
    let blocker = waits.into_iter().find(holds_a_share).expect("a share is held");
    scene.change("HDEL", "flight", &[&blocker]).await;
    scene.heals(&[Fault::Blocker, Fault::Flight]).await;
}

#[tokio::test]
async fn a_lane_that_was_let_go_is_open() {
    let scene = Scene::set().await;
    let member = scene.member("parked").await;
    let lent = [&member[28..], &[0; 15]].concat();
    scene.change("HSET", "lent", &[&member[..9], &lent]).await;
    scene.heals(&[Fault::Lent]).await;
}

#[tokio::test]
async fn a_share_has_a_turn_while_something_of_it_may_go() {
    let scene = Scene::set().await;
    let flow = scene.member("turns:0").await;
    scene.change("ZREM", "turns:0", &[&flow]).await;
    scene.heals(&[Fault::Turn]).await;

    let scene = Scene::set().await;
    scene.change("ZADD", "turns:0", &[b"0", b"nobody!!"]).await;
    scene.heals(&[Fault::Turn]).await;

    let scene = Scene::set().await;
    let flow = scene.member("turns:0").await;
    scene.change("ZADD", "tags", &[b"5", &flow]).await;
    scene.heals(&[Fault::Turn]).await;
}

#[tokio::test]
async fn calls_in_flight_are_those_of_leases() {
    let scene = Scene::set().await;
    let flight: Vec<(Bytes, u64)> = scene.raw("HGETALL", "flight", &[]).await;
    scene.change("HINCRBY", "flight", &[&flight[0].0, b"7"]).await;
    scene.change("HDEL", "flight", &[&flight[1].0]).await;
    scene.heals(&[Fault::Flight]).await;
}

#[tokio::test]
async fn what_a_lease_gives_back_belongs_to_a_lease() {
    let scene = Scene::set().await;
    let rest = scene.member("rest").await;
    scene.change("HSET", "held", &[&rest[18..], b"cut"]).await;
    let leased = scene.leased[0].lease.ulid.to_string();
    let held: Bytes = scene.raw("HGET", "held", &[leased.as_bytes()]).await;
    scene.change("HSET", "held", &[leased.as_bytes(), &[&[0; 8], &held[8..]].concat()]).await;
    let told = audit(&scene.node, false).await;
    let members: BTreeSet<_> =
        told.iter().map(|finding| finding.member.as_bytes().to_vec()).collect();
    assert_eq!(members, [rest[18..].to_vec(), leased.into_bytes()].into());
    scene.heals(&[Fault::Held]).await;
}

#[tokio::test]
async fn the_keys_that_a_limit_holds_are_counted() {
    let scene = Scene::set().await;
    let id = scene.member("parked").await[0];
    scene.change("HINCRBY", "meta", &[format!("held:{id}").as_bytes(), b"5"]).await;
    scene.heals(&[Fault::HeldKeys]).await;
}
