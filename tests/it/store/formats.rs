//! Records of both versions: what a message has stays with it through every step that writes it again, optional fields
//! as well that no version knows yet, and so does its version. What nodes write is in `tests/it/formats.rs`.

use bytes::Bytes;
use redis::cmd;
use tidegate::domain::id::MessageId;
use tidegate::domain::limit::Cost;
use tidegate::domain::message::{Details, When};
use tidegate::domain::receipt::{Receipt, ReceiptOf, ReceiptSaid};
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{Changed, Decision, Edit, RECORD_VERSION, Verb};

use super::ground::Ground;
use super::node::{HOUR_MS, Node, With, ended, message};

const CALLBACK: &str = "callback = { url = \"http://127.0.0.1:9/\", on = [\"delivered\", \"dead\", \"expired\", \"cancelled\"] }";
/// Every step that writes a message again, and the state that it leads to.
const STEPS: [(&str, State); 18] = [
    ("claim", State::Leased),
    ("renew", State::Leased),
    ("release", State::Ready),
    ("hold", State::Ready),
    ("retry", State::Scheduled),
    ("bury", State::Dead),
    ("park", State::Uncertain),
    ("resolve", State::Ready),
    ("ack", State::Delivered),
    ("accept", State::Accepted),
    ("receive", State::Delivered),
    ("reap", State::Ready),
    ("due", State::Scheduled),
    ("payload", State::Scheduled),
    ("expire", State::Expired),
    ("cancel", State::Cancelled),
    ("requeue", State::Ready),
    ("purge", State::Cancelled),
];
const RECORD_HEADER_BYTES: usize = 22;
const STATE_HEADER_BYTES: usize = 87;

fn cost(units: u32) -> Cost {
    Cost::new(units).expect("it is within bounds")
}

/// A message with a group, a label and a cost in a namespace that is raised after it was taken in.
struct Scene {
    ground: Ground,
    node: Node,
    hasty: Node,
    id: MessageId,
}

impl Scene {
    /// `ends_plainly`: nobody is called back.
    async fn new(version: u8, ends_plainly: bool) -> Self {
        let ground = Ground::in_memory().await.of_version(version).await;
        let lines = if ends_plainly { "" } else { CALLBACK };
        let before = ground.node(lines).await;
        let labels = [("shop".to_owned(), "eu".to_owned())].into();
        let (group, cost) = (Some("g".to_owned()), cost(3));
        let details = Details { group, labels, cost, ..Details::default() };
        let mut sent = message("m");
        sent.details = Details { kind: sent.details.kind, ..details };
        let id = before.send(sent).await;
        ground.raise_to(RECORD_VERSION).await;
        let node = ground.node(lines).await;
        let hasty = ground.node_shaped(lines, |policy| policy.lease_ms = 1).await;
        Self { ground, node, hasty, id }
    }

    async fn stored(&self, structure: &str) -> Vec<u8> {
        let (key, field) = (self.ground.key(structure), self.id.ulid.to_string());
        self.ground.raw::<Option<_>>(cmd("HGET").arg(key).arg(field)).await.unwrap_or_default()
    }

    async fn store(&self, structure: &str, raw: &[u8]) {
        let (key, field) = (self.ground.key(structure), self.id.ulid.to_string());
        self.ground.raw::<()>(cmd("HSET").arg(key).arg(field).arg(raw)).await;
    }

    async fn step(&self, step: &str) {
        let Self { ground, node, hasty, id } = self;
        let messages = &node.store.messages;
        let ends = async |verb| node.end(verb, &node.take_one().await).await;
        let edit = async |edit: Edit| {
            assert_eq!(messages.reschedule(id, &edit).await.unwrap(), Changed::Done);
        };
        match step {
            "claim" => drop(node.take_one().await),
            "renew" => ends(Verb::Renew).await,
            "release" => ends(Verb::Release).await,
            "hold" => ends(Verb::Defer).await,
            "retry" => ends(Verb::Retry).await,
            "bury" => ends(Verb::Bury).await,
            "park" => ends(Verb::Park).await,
            "resolve" => {
                ends(Verb::Park).await;
                messages.resolve(id, Decision::Resend, None).await.unwrap();
            }
            "ack" => ends(Verb::Ack).await,
            "accept" => {
                let accept = Settlement::Accept { reference: None };
                node.settle_as(&[ended(&node.take_one().await, "accepted", accept)]).await;
            }
            "receive" => {
                Box::pin(self.step("accept")).await;
                let of = ReceiptOf::Id(id.clone());
                let receipt = Receipt { of, said: ReceiptSaid::Delivered, detail: None };
                messages.receive(&node.queue, &receipt).await.unwrap();
            }
            "reap" => {
                hasty.take_one().await;
                ground.passes(ground.now_ms().await + 2).await;
                messages.reap(&hasty.queue, hasty.shard()).await.unwrap();
            }
            "due" => edit(Edit { due: Some(When::After(HOUR_MS)), ..Edit::default() }).await,
            "payload" => {
                edit(Edit { due: Some(When::After(HOUR_MS)), ..Edit::default() }).await;
                let payload = Some(Bytes::from_static(b"another"));
                edit(Edit { payload, ..Edit::default() }).await;
            }
            "expire" => {
                let expires = Some(Some(When::After(1)));
                edit(Edit { expires, ..Edit::default() }).await;
                ground.passes(ground.now_ms().await + 2).await;
                messages.expire(&node.queue, node.shard()).await.unwrap();
            }
            "cancel" => drop(messages.cancel(id).await.unwrap()),
            "requeue" => {
                messages.cancel(id).await.unwrap();
                messages.requeue(id).await.unwrap();
            }
            "purge" => drop(messages.purge(&node.name, State::Ready, 9).await.unwrap()),
            other => panic!("{other}"),
        }
    }
}

/// Adds a field that no version knows yet to a record or a state entry; returns its optional fields.
fn with_unknown_field(raw: &[u8], header_bytes: usize, tail: u8) -> (Vec<u8>, Vec<u8>) {
    let (header, rest) = raw.split_at(header_bytes);
    let is_record = header_bytes == RECORD_HEADER_BYTES;
    let mut header = header.to_vec();
    let old = fields_of(raw, header_bytes);
    let rest = &rest[old.len()..];
    let known = if old.is_empty() { &[][..] } else { &old[3..] };
    let field = [tail, 0, 255, tail];
    let length = u16::try_from(known.len() + field.len()).unwrap().to_be_bytes();
    let presence = 64 + old.first().copied().unwrap_or(0);
    let fields = [&[presence], length.as_slice(), known, &field].concat();
    if is_record {
        header[1] |= 4;
    } else {
        header[23] |= 128;
    }
    ([header.as_slice(), &fields, rest].concat(), fields)
}

/// The optional fields of a record or a state entry.
fn fields_of(raw: &[u8], header_bytes: usize) -> Vec<u8> {
    let is_there = match header_bytes {
        RECORD_HEADER_BYTES => raw[1] & 4 != 0,
        _ => raw[23] & 128 != 0,
    };
    if raw[0] < 3 || !is_there {
        return Vec::new();
    }
    let length = usize::from(u16::from_be_bytes([raw[header_bytes + 1], raw[header_bytes + 2]]));
    raw[header_bytes..header_bytes + 3 + length].to_vec()
}

/// Takes a step with a message of this version; `is_touched`: it has a state entry before.
async fn assert_carried(step: &str, after: State, version: u8, is_touched: bool) {
    let case = format!("{step}, version {version}, touched: {is_touched}");
    let scene = Scene::new(version, step == "ack").await;
    if is_touched {
        scene.step("release").await;
    }
    let (mut record, mut state) = (scene.stored("records").await, scene.stored("states").await);
    assert_eq!((record[0], !state.is_empty()), (version, is_touched), "{case}");
    let (mut record_fields, mut state_fields) = (Vec::new(), Vec::new());
    if version == 3 {
        (record, record_fields) = with_unknown_field(&record, RECORD_HEADER_BYTES, b'r');
        scene.store("records", &record).await;
        if is_touched {
            (state, state_fields) = with_unknown_field(&state, STATE_HEADER_BYTES, b's');
            scene.store("states", &state).await;
        }
    }

    scene.step(step).await;

    let (record, state) = (scene.stored("records").await, scene.stored("states").await);
    assert_eq!((record[0], state[0]), (version, version), "{case}");
    assert_eq!(fields_of(&record, RECORD_HEADER_BYTES), record_fields, "{case}");
    assert_eq!(fields_of(&state, STATE_HEADER_BYTES), state_fields, "{case}");
    let found = scene.node.get(&scene.id).await;
    assert_eq!((found.state, found.reason.as_deref()), (after, found.reason.as_deref()), "{case}");
    assert_eq!(found.details.labels.get("shop").map(String::as_str), Some("eu"), "{case}");
    assert_eq!(found.details.cost, cost(3), "{case}");
    assert_eq!(found.payload.is_none(), after == State::Delivered, "{case}");
    scene.ground.assert_sound(&scene.node).await;
    let is_called_back = !matches!(
        after,
        State::Leased | State::Ready | State::Scheduled | State::Uncertain | State::Accepted
    ) && step != "ack";
    let callbacks: Vec<Vec<u8>> =
        scene.ground.raw(cmd("HVALS").arg(scene.ground.key("callbacks:records"))).await;
    // Cancelled and requeued: that it was cancelled is told all the same.
    assert_eq!(callbacks.len(), usize::from(is_called_back || step == "requeue"), "{case}");
    for callback in callbacks {
        assert_eq!(callback[0], version, "{case}");
        let holds = |part: &[u8]| callback.windows(part.len().max(1)).any(|held| held == part);
        assert!(record_fields.is_empty() || holds(&record_fields), "{case}");
        assert!(state_fields.is_empty() || holds(&state_fields), "{case}");
    }
}

#[tokio::test]
async fn a_message_keeps_its_version_and_fields_that_nobody_knows_through_every_step() {
    for (step, after) in STEPS {
        for (version, is_touched) in [(2, false), (2, true), (3, false), (3, true)] {
            assert_carried(step, after, version, is_touched).await;
        }
    }
}

/// What is cut is nobody's to change, and is shown as what it is.
#[tokio::test]
async fn fields_that_are_cut_leave_a_message_as_it_is() {
    let scene = Scene::new(3, true).await;
    let (whole, _) = with_unknown_field(&scene.stored("records").await, RECORD_HEADER_BYTES, b'r');
    for bytes in [RECORD_HEADER_BYTES + 2, RECORD_HEADER_BYTES + 5] {
        let cut = &whole[..bytes];
        scene.store("records", cut).await;
        scene.node.store.messages.cancel(&scene.id).await.unwrap();
        let edit = Edit { priority: Some(3), ..Edit::default() };
        scene.node.store.messages.reschedule(&scene.id, &edit).await.unwrap();
        assert_eq!(scene.stored("records").await, cut);
        let found = scene.node.get(&scene.id).await;
        assert!(found.reason.is_some_and(|why| why.contains("cannot be read")), "{bytes}");
    }
    scene.store("records", &whole).await;
    scene.node.end(Verb::Ack, &scene.node.take_one().await).await;
}

#[tokio::test]
async fn the_key_table_is_written_at_intake_and_costs_a_plain_message_nothing() {
    let ground = Ground::in_memory().await;
    let node = ground.node("").await;
    let plain = node.send(message("m").priority(1)).await;
    let mut keyed = message("m");
    keyed.details.group = Some("order-42".to_owned());
    keyed.details.labels = [("shop".to_owned(), "eu".to_owned())].into();
    let keyed = node.send(keyed).await;
    let record = async |id: &MessageId| -> Vec<u8> {
        ground.raw(cmd("HGET").arg(ground.key("records")).arg(id.ulid.to_string())).await
    };
    let (plain, keyed) = (record(&plain).await, record(&keyed).await);
    assert_eq!((plain[0], plain[1]), (3, 0));
    assert_eq!(&plain[RECORD_HEADER_BYTES..], b"\0\x09{\"k\":\"t\"}m");
    let table = [2, 0, 21, 2, 0, 0, 0x3b, 0xf8, 0xb1, 0x57, 0xc4, 0x23, 0x8e, 0xef];
    let shop = [0x8d, 0x90, 0x4d, 0x02, 0x82, 0x94, 0x1a, 0xaf, 0x2d, 0x69];
    assert_eq!((keyed[0], keyed[1]), (3, 4));
    assert_eq!(fields_of(&keyed, RECORD_HEADER_BYTES), [&table[..], &shop[..]].concat());
}

/// The function of the scripts that reads the cost, on its own.
fn record_cost_script() -> String {
    let text = include_str!("../../../src/store/lua/include/record.lua");
    let from = text.find("local function record_cost").expect("it is there");
    let function = &text[from..][..text[from..].find("\nend\n").expect("it ends") + 5];
    format!(
        "local RECORD_VERSION_OLDEST, RECORD_HEADER_BYTES = {}, {RECORD_HEADER_BYTES}\n{function}\
         return record_cost(redis.call('HGET', KEYS[1], ARGV[1]))",
        RECORD_VERSION - 1
    )
}

#[tokio::test]
async fn scripts_find_the_cost_and_a_message_that_costs_one_pays_nothing_for_it() {
    for version in [RECORD_VERSION - 1, RECORD_VERSION] {
        let ground = Ground::in_memory().await.of_version(version).await;
        let node = ground.node("").await;
        for (units, is_keyed, field) in [
            (1, false, &[][..]),
            (1, true, &[2, 0, 11, 1]),
            (2, false, &[1, 0, 2, 0, 2]),
            (10_000, true, &[3, 0, 13, 0x27, 0x10, 1]),
        ] {
            let mut sent = message("m");
            sent.details.cost = cost(units);
            sent.details.group = is_keyed.then(|| "g".to_owned());
            let id = node.send(sent).await;
            assert_eq!(node.get(&id).await.details.cost, cost(units));
            let (key, ulid) = (ground.key("records"), id.ulid.to_string());
            let record: Vec<u8> = ground.raw(cmd("HGET").arg(&key).arg(&ulid)).await;
            let eval = cmd("EVAL").arg(record_cost_script()).arg(1).arg(&key).arg(&ulid).clone();
            let found: u32 = ground.raw(&eval).await;
            let fields = fields_of(&record, RECORD_HEADER_BYTES);
            if version == RECORD_VERSION {
                assert_eq!((record[1] & 4 != 0, found), (!field.is_empty(), units));
                assert!(fields.starts_with(field), "{fields:?}");
            } else {
                assert_eq!(
                    (fields, found),
                    (Vec::new(), 1),
                    "the version before has no such field"
                );
            }
        }
    }
}
