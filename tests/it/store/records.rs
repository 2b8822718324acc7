//! What the scripts pack reads back, whatever the values: records, and state entries at the ends of
//! their fields.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tidegate::domain::limit::{COST_MAX, Cost};
use tidegate::domain::message::{Details, NewMessage, PayloadKind, When};
use tidegate::store::{Lease, Verb};
use tokio::runtime::Builder;

use super::ground::Ground;
use super::node::message;

const MOMENT_MAX: u64 = (1 << 48) - 1;

fn details() -> impl Strategy<Value = Details> {
    let kind = prop::sample::select(vec![PayloadKind::Json, PayloadKind::Text, PayloadKind::Raw]);
    let text = "[ -~\n\\PC]{0,20}";
    let map = |most| prop::collection::btree_map("[a-z]{1,8}", text, 0..most);
    (
        kind,
        prop::option::of(text),
        map(4),
        prop::option::of(text),
        map(4),
        prop::option::of("\\PC{1,20}"),
        prop_oneof![Just(1), 1..=u32::from(COST_MAX)],
    )
        .prop_map(|(kind, content_type, headers, group, labels, idempotency_key, cost)| {
            Details {
                target: None,
                must_dispatch_ms: None,
                kind,
                content_type,
                headers: BTreeMap::into_iter(headers).collect(),
                group,
                labels,
                idempotency_key,
                retry: None,
                callback: None,
                timeout_ms: None,
                cost: Cost::new(cost).expect("it is within bounds"),
                collapse_key: None,
                time_zone: Some("Asia/Shanghai".parse().unwrap()),
                ignores_recipient_hours: true,
            }
        })
}

fn new_message() -> impl Strategy<Value = NewMessage> {
    let payload = prop::collection::vec(any::<u8>(), 0..3000);
    let moment =
        || prop_oneof![0..=1_u64, 1_700_000_000_000..=1_900_000_000_000_u64, Just(MOMENT_MAX)];
    (payload, details(), moment(), prop::option::of(moment()), 0..10_u8, any::<[u8; 16]>())
        .prop_map(|(payload, details, due_ms, expires_ms, priority, fingerprint)| NewMessage {
            payload: Bytes::from(payload),
            details,
            due: When::At(due_ms),
            expires: expires_ms.map(When::At),
            priority,
            fingerprint,
        })
}

#[test]
fn whatever_is_handed_over_reads_back() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ground = runtime.block_on(Ground::in_memory());
    let node = runtime.block_on(ground.node("priority_levels = 10"));
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    let cases = AtomicU32::new(0);
    let read_back = runner.run(&new_message(), |mut sent| {
        // Another case (or a shrunk one) with the same key would be taken for a repeat.
        let case = cases.fetch_add(1, Ordering::Relaxed);
        let key = &mut sent.details.idempotency_key;
        *key = key.take().map(|key| format!("{key}{case}"));
        let (found, accepted) = runtime.block_on(async {
            let accepted = node.try_send(sent.clone()).await;
            let accepted = accepted.expect("no key comes twice");
            (node.get(&accepted.id).await, accepted)
        });
        prop_assert_eq!(found.payload, Some(sent.payload));
        prop_assert_eq!(found.details, sent.details);
        prop_assert_eq!(When::At(found.due_at_ms), sent.due);
        prop_assert_eq!(found.due_at_ms, accepted.due_at_ms);
        let expires = sent.expires.filter(|expires| *expires != When::At(0));
        prop_assert_eq!(found.expires_at_ms.map(When::At), expires);
        prop_assert_eq!(found.priority, sent.priority);
        Ok(())
    });
    read_back.unwrap_or_else(|error| panic!("{error}"));
}

/// The numbers of a state entry, in its order.
#[derive(Debug, Clone)]
struct Entry {
    version: u8,
    /// Optional fields that no version knows yet.
    fields: Vec<u8>,
    flags: u8,
    band: u8,
    epoch: u16,
    due_ms: u64,
    expires_ms: u64,
    attempts: u16,
    throttles: u32,
    holds: u32,
    rescues: u8,
    first_ms: u64,
    paused_ms: u64,
    tail: Vec<u8>,
}

fn entry() -> impl Strategy<Value = Entry> {
    let moment =
        || prop_oneof![Just(0), 1_700_000_000_000..=1_900_000_000_000_u64, Just(MOMENT_MAX)];
    let times = (moment(), moment(), moment(), moment());
    let counts = (any::<u16>(), any::<u32>(), 0..u32::MAX, any::<u8>());
    let tail = prop::collection::vec(any::<u8>(), 0..200);
    let field = prop::collection::vec(any::<u8>(), 0..300);
    let shape = prop_oneof![
        Just((2, Vec::new())),
        Just((3, Vec::new())),
        field.prop_map(|field| {
            let length = u16::try_from(field.len()).unwrap().to_be_bytes();
            (3, [&[64], length.as_slice(), &field].concat())
        })
    ];
    (shape, 0..2_u8, 0..10_u8, 0..4096_u16, times, counts, tail).prop_map(
        |(
            (version, fields),
            flags,
            band,
            epoch,
            times,
            (attempts, throttles, holds, rescues),
            tail,
        )| Entry {
            version,
            fields,
            flags,
            band,
            epoch,
            due_ms: times.0,
            expires_ms: times.1,
            attempts,
            throttles,
            holds,
            rescues,
            first_ms: times.2,
            paused_ms: times.3,
            tail,
        },
    )
}

impl Entry {
    fn pack(&self, letter: u8, token: &str) -> Vec<u8> {
        let mut raw = vec![self.version, letter];
        raw.extend(token.as_bytes());
        raw.extend([self.flags, self.band + if self.fields.is_empty() { 0 } else { 128 }]);
        raw.extend(self.epoch.to_be_bytes());
        raw.extend(&self.due_ms.to_be_bytes()[2..]);
        raw.extend(&self.expires_ms.to_be_bytes()[2..]);
        raw.extend(self.attempts.to_be_bytes());
        raw.extend(self.throttles.to_be_bytes());
        raw.extend(self.holds.to_be_bytes());
        raw.push(self.rescues);
        raw.extend(&self.first_ms.to_be_bytes()[2..]);
        raw.extend(&self.paused_ms.to_be_bytes()[2..]);
        raw.extend(" ".repeat(20).as_bytes());
        raw.extend([0; 6]);
        raw.extend(&self.fields);
        raw.extend(&self.tail);
        raw
    }
}

#[test]
fn every_field_of_a_state_entry_survives_a_step() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let ground = runtime.block_on(Ground::in_memory());
    let node = runtime.block_on(ground.node("priority_levels = 10\nconcurrency = 1000"));
    let token = "T".repeat(20);
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    let survives = runner.run(&entry(), |entry| {
        let (after, expected) = runtime.block_on(async {
            let id = node.send(message("m")).await;
            let taken = node.take_one().await;
            let lease = Lease { token: token.clone(), ..taken };
            let ulid = id.ulid.to_string();
            let raw = entry.pack(b'L', &token);
            ground
                .raw::<()>(redis::cmd("HSET").arg(ground.key("states")).arg(&ulid).arg(raw))
                .await;

            node.end(Verb::Park, &lease).await;

            let get = redis::cmd("HGET").arg(ground.key("states")).arg(&ulid).clone();
            let after: Vec<u8> = ground.raw(&get).await;
            let found = node.get(&id).await;
            let counts =
                [u32::from(entry.attempts), entry.throttles, entry.holds, entry.rescues.into()];
            let told = [found.attempts, found.throttles, found.window_holds, found.rescues];
            assert_eq!(told, counts);
            assert_eq!(
                (found.due_at_ms, found.expires_at_ms.unwrap_or(0)),
                (entry.due_ms, entry.expires_ms)
            );
            (after, entry.pack(b'U', &token))
        });
        // The tail is the step's own.
        let before_tail = 87 + entry.fields.len();
        prop_assert_eq!(&after[..before_tail], &expected[..before_tail]);
        Ok(())
    });
    survives.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn last_words_that_cannot_be_read_leave_a_message_in_doubt() {
    let ground = Ground::in_memory().await;
    let node = ground.node("").await;
    let id = node.send(message("m")).await;
    let field = id.ulid.to_string();
    for (tail, is_in_doubt) in [
        ("", false),
        ("{}", false),
        (r#"{"r":"say \"u\":true"}"#, false),
        (r#"{"u":true}"#, true),
        (r#"{"r":"cut"#, true),
        ("\u{1}\u{2}", true),
    ] {
        let lease = node.take_one().await;
        node.end(Verb::Release, &lease).await;
        let get = redis::cmd("HGET").arg(ground.key("states")).arg(&field).clone();
        let mut entry: Vec<u8> = ground.raw(&get).await;
        entry.truncate(87);
        entry.extend(tail.as_bytes());
        ground.raw::<()>(redis::cmd("HSET").arg(ground.key("states")).arg(&field).arg(entry)).await;

        let claimed = node.take(1).await.pop().expect("it is ready");

        assert_eq!(claimed.is_in_doubt, is_in_doubt, "{tail}");
        node.end(Verb::Release, &claimed.lease).await;
    }
}
