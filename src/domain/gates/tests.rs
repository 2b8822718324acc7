//! Every gate at its edges, and what follows for those who ask all of them.

use proptest::prelude::*;
use ulid::Ulid;

use super::*;
use crate::config::testing;
use crate::domain::callback::CallbackOn;
use crate::domain::id::{MessageId, new_ulid};
use crate::domain::limit::LimitRule;
use crate::domain::message::{Details, Message, Probes};
use crate::domain::policy::Downstream;
use crate::domain::window::{Dates, Hours, OpeningRule, Window};

/// 12:00 UTC on a Thursday.
const NOW_MS: u64 = 1_763_640_000_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

const BATCH: &str = "batch = { max_items = 3, max_bytes = \"1B\" }";

fn policy() -> QueuePolicy {
    testing::policy("q", "")
}

/// Open every day between these times of day, in UTC.
fn open(hours: &[(&str, &str)], min_remaining_ms: u64) -> QueuePolicy {
    let rule = |(from, to): &(&str, &str)| {
        let days = "mon-sun".parse().unwrap();
        OpeningRule::new(days, Hours::new(from.parse().unwrap(), to.parse().unwrap()).unwrap())
    };
    let rules = hours.iter().map(rule).collect();
    let window = Window::new("UTC", rules, Dates::default(), min_remaining_ms).unwrap();
    QueuePolicy { window: Some(window), ..policy() }
}

/// A message of the queue `q` in this state, which nothing has happened to.
pub(in crate::domain) fn message(state: State) -> Message {
    Message {
        id: MessageId { queue: "q".parse().unwrap(), ulid: Ulid::from_parts(NOW_MS, 1) },
        state,
        payload: None,
        details: Details::default(),
        created_at_ms: NOW_MS,
        due_at_ms: NOW_MS + 5000,
        expires_at_ms: None,
        priority: 0,
        superseded: 0,
        waits_for_older: false,
        older: None,
        callback: CallbackOn::NONE,
        attempts: 0,
        throttles: 0,
        window_holds: 0,
        rescues: 0,
        last_attempt: None,
        final_at_ms: None,
        reason: None,
        probes: None,
        reference: None,
        accepted_at_ms: None,
        decided_by: None,
        is_edited: false,
        waited: None,
    }
}

fn in_flight(calls_in_flight: u64) -> ShardLoad {
    ShardLoad { calls_in_flight, ..ShardLoad::default() }
}

fn of_shards(policy: &QueuePolicy, shards: &[ShardLoad]) -> Gates {
    of_load(policy, QueueLoad { shards: shards.to_vec(), ..QueueLoad::default() })
}

fn of_load(policy: &QueuePolicy, load: QueueLoad) -> Gates {
    let snapshot = Snapshot { load: Some(load), ..Snapshot::default() };
    gates(policy, &snapshot, Some(NOW_MS))
}

fn held_by(gates: &Gates, state: State) -> Vec<String> {
    gates.of_message(&message(state)).held().iter().map(HeldGate::to_string).collect()
}

/// A rate as Redis keeps it.
fn arrives(arrival_us: u64) -> KeptLimit {
    KeptLimit { standing: format!("{arrival_us}.00"), debt: String::new() }
}

fn held(until_ms: Option<u64>, why: Why) -> GateState {
    GateState::Held { until_ms, why }
}

#[test]
fn an_idle_queue_holds_nothing_but_what_is_not_due() {
    let idle = of_load(&policy(), QueueLoad::default());
    assert_eq!(idle, Gates { now_ms: idle.now_ms, ..Gates::OPEN });
    assert_eq!(of_shards(&policy(), &[in_flight(0)]).latest(), GateState::OPEN);
    assert_eq!(held_by(&idle, State::Scheduled), ["due"]);
    let due = idle.of_message(&message(State::Scheduled)).of(Gate::Due);
    assert_eq!(due, held(Some(NOW_MS + 5000), Why::NotDue));
    for state in State::ALL.into_iter().filter(|state| *state != State::Scheduled) {
        assert!(held_by(&idle, state).is_empty(), "{state}");
    }
}

#[test]
fn what_was_tried_waits_for_its_next_attempt() {
    let idle = of_load(&policy(), QueueLoad::default());
    let tried = Message { attempts: 2, ..message(State::Scheduled) };
    let held: Vec<_> = idle.of_message(&tried).held().iter().map(HeldGate::to_string).collect();
    assert_eq!(held, ["retry"]);
    let state = idle.of_message(&tried).of(Gate::Retry);
    assert_eq!(state, self::held(Some(NOW_MS + 5000), Why::NextAttempt));
}

#[test]
fn workers_hold_what_nothing_else_holds() {
    let pulled = QueuePolicy { downstream: Downstream::Pull, ..policy() };
    let held = |gates: &Gates, state| {
        let message = message(state);
        let gates = gates.of_message(&message).with_workers(&message);
        gates.held().iter().map(HeldGate::to_string).collect::<Vec<_>>()
    };
    let idle = of_load(&pulled, QueueLoad::default());
    assert_eq!(held(&idle, State::Ready), ["workers"]);
    assert_eq!(held(&idle, State::Scheduled), ["due"]);
    assert!(held(&idle, State::Leased).is_empty());
    assert_eq!(held(&of_shards(&pulled, &[in_flight(16)]), State::Ready), ["concurrency"]);
    assert!(held(&of_load(&policy(), QueueLoad::default()), State::Ready).is_empty());
}

fn keys(limits: &[(&str, Option<u64>)], has_turn: bool) -> KeyHold {
    let limits = limits.iter().map(|(name, until_ms)| (name.parse().unwrap(), *until_ms));
    KeyHold { limits: limits.collect(), ahead: None, has_turn }
}

fn held_with(keys: &KeyHold, gates: &Gates) -> Vec<String> {
    let gates = gates.of_message(&message(State::Ready)).with_keys(keys);
    gates.held().iter().map(HeldGate::to_string).collect()
}

#[test]
fn keys_add_their_gates_in_the_documented_order() {
    let mut policy = policy();
    policy.limits = vec![LimitRule::own_rate("1/s".parse().unwrap(), 1)];
    policy.batch = testing::queue_of(BATCH).batch;
    let limits = vec![arrives(NOW_MS * 1000 + 1)];
    let all = of_load(&policy, QueueLoad { limits, shards: vec![in_flight(16)] });
    let used = [("per_to", Some(NOW_MS + 5)), ("per_customer_concurrency", None)];
    let ahead = Some(MessageId { queue: "q".parse().unwrap(), ulid: Ulid::from_parts(1, 1) });
    let held_fully = KeyHold { ahead, ..keys(&used, false) };
    assert_eq!(
        held_with(&held_fully, &all),
        [
            "limit:rate",
            "limit:per_to",
            "limit:per_customer_concurrency",
            "concurrency",
            "order",
            "batch"
        ]
    );
    assert_eq!(
        held_with(&keys(&[], false), &all),
        ["limit:rate", "concurrency", "fairness", "batch"]
    );
    // What waits for its key has no turn to wait for.
    assert_eq!(held_with(&keys(&used[..1], false), &Gates::OPEN), ["limit:per_to"]);
    assert!(held_with(&keys(&[], true), &Gates::OPEN).is_empty());
    let one = Gates::OPEN.with_keys(&keys(&used[..1], true));
    assert_eq!(one.of(Gate::Limit), held(Some(NOW_MS + 5), Why::KeyUsed));
}

#[test]
fn a_queue_is_held_by_keys_where_all_that_is_ready_is() {
    let holds = |held_by_keys| ShardLoad { ready: 3, held_by_keys, ..ShardLoad::default() };
    let of = |shards: &[ShardLoad]| {
        let gates = of_shards(&policy(), shards);
        (gates.of(Gate::Limit).is_held(), gates.of(Gate::Order).is_held())
    };
    assert_eq!(of(&[holds(Some(HeldByKeys::Limits))]), (true, false));
    assert_eq!(of(&[holds(Some(HeldByKeys::Order))]), (false, true));
    assert_eq!(of(&[holds(Some(HeldByKeys::Order)), holds(None)]), (false, false));
    // Of a single message, what is so for all of them says nothing.
    let gates = of_shards(&policy(), &[holds(Some(HeldByKeys::Order))]);
    assert!(held_by(&gates, State::Ready).is_empty());
}

#[test]
fn every_gate_that_holds_is_named_in_the_documented_order() {
    let mut policy = open(&[("01:00", "04:00")], 30_000);
    policy.limits = vec![LimitRule::own_rate("1/s".parse().unwrap(), 1)];
    policy.batch = testing::queue_of(BATCH).batch;
    let load = QueueLoad { limits: vec![arrives(NOW_MS * 1000 + 1)], shards: vec![in_flight(16)] };
    let snapshot = Snapshot {
        pause: Some(PauseEnd::Resume),
        throttled_until_ms: Some(NOW_MS + 1),
        load: Some(load),
        call_ms: 0,
    };
    let all = gates(&policy, &snapshot, Some(NOW_MS));
    assert_eq!(
        held_by(&all, State::Ready),
        ["pause", "window", "throttled", "limit:rate", "concurrency", "batch"]
    );
    // Limit, concurrency and batch let messages through one by one.
    assert_eq!(held_by(&all, State::Scheduled), ["due", "pause", "window", "throttled"]);
    for state in [State::Leased, State::Uncertain, State::Dead] {
        assert!(held_by(&all, state).is_empty(), "{state}");
    }
    let mut asked = message(State::Uncertain);
    asked.probes = Some(Probes { next_at_ms: Some(NOW_MS + 7), ..Probes::default() });
    let asked = all.of_message(&asked);
    assert_eq!(asked.held(), [HeldGate { gate: Gate::Probe, limit: None }]);
    assert_eq!(asked.of(Gate::Probe), held(Some(NOW_MS + 7), Why::ToBeProbed));
    let order: Vec<_> = all.iter().map(|(gate, _)| gate).collect();
    assert_eq!(order, Gate::ALL);
}

#[test]
fn a_pause_holds_until_its_end_or_until_somebody_ends_it() {
    let paused = |pause| {
        gates(&policy(), &Snapshot { pause: Some(pause), ..Snapshot::default() }, Some(NOW_MS))
    };
    assert_eq!(paused(PauseEnd::Resume).of(Gate::Pause), held(None, Why::Paused));
    let timed = paused(PauseEnd::At(NOW_MS + 9)).of(Gate::Pause);
    assert_eq!(timed, held(Some(NOW_MS + 9), Why::Paused));
}

#[test]
fn the_limit_holds_until_its_slot() {
    let mut policy = policy();
    policy.limits = vec![LimitRule::own_rate("1/s".parse().unwrap(), 1)];
    let at = |policy: &QueuePolicy, arrival_us| {
        of_load(policy, QueueLoad { limits: vec![arrives(arrival_us)], ..QueueLoad::default() })
            .of(Gate::Limit)
    };
    assert_eq!(at(&policy, NOW_MS * 1000), GateState::OPEN);
    assert_eq!(at(&policy, NOW_MS * 1000 + 1), held(Some(NOW_MS + 1), Why::NextSlot));
    // A leftover of a clock that has stepped back holds no longer than any node reaches ahead.
    let leftover = at(&policy, (NOW_MS + DAY_MS) * 1000);
    assert_eq!(leftover, held(Some(NOW_MS + 3000), Why::NextSlot));
    policy.limits = vec![LimitRule::own_rate("1/s".parse().unwrap(), 2)];
    assert_eq!(at(&policy, NOW_MS * 1000 + 1_000_000), GateState::OPEN);
    assert_eq!(at(&policy, NOW_MS * 1000 + 1_000_001), held(Some(NOW_MS + 1), Why::NextSlot));
}

#[test]
fn concurrency_holds_when_every_call_is_in_flight() {
    let at = |calls| of_shards(&policy(), &[in_flight(calls)]).of(Gate::Concurrency);
    assert_eq!(at(15), GateState::OPEN);
    assert_eq!(at(16), held(None, Why::CallsInFlight));
}

/// A message of a queue with so many shards that lies in this one.
fn message_of_shard(shard: u16, shards: u16) -> Message {
    let mut message = message(State::Ready);
    message.id.ulid = new_ulid(NOW_MS, shard, shards, 7);
    message
}

#[test]
fn a_shard_that_is_full_holds_its_own_messages_and_no_others() {
    let policy = QueuePolicy { shards: 3, ..policy() };
    assert_eq!(concurrency_of_shard(&policy), 5, "16 calls among three shards");
    // Ten calls in flight are fewer than sixteen, and yet nothing of the second shard may start.
    let ready = |calls_in_flight| ShardLoad { ready: 1, ..in_flight(calls_in_flight) };
    let gates = of_shards(&policy, &[ready(4), ready(5), ready(1)]);
    let held_by = |shard| {
        let gates = gates.of_message(&message_of_shard(shard, 3));
        gates.held().iter().map(|held| held.gate).collect::<Vec<_>>()
    };
    assert_eq!((held_by(0), held_by(1), held_by(2)), (vec![], vec![Gate::Concurrency], vec![]));
    assert_eq!(gates.of(Gate::Concurrency), GateState::OPEN, "the queue sends");
    // What is ready lies in full shards only: the queue does not send, whatever the others could take.
    let stuck = of_shards(&policy, &[in_flight(0), ready(5), in_flight(0)]);
    assert_eq!(stuck.of(Gate::Concurrency), held(None, Why::CallsInFlight));
    // Fifteen are all that three shards let through of sixteen.
    let full = of_shards(&policy, &[ready(5); 3]);
    assert_eq!(full.of(Gate::Concurrency), held(None, Why::CallsInFlight));
}

#[test]
fn more_shards_than_calls_get_one_call_each() {
    let policy = QueuePolicy { shards: 64, concurrency: 16, ..policy() };
    assert_eq!(concurrency_of_shard(&policy), 1);
}

#[test]
fn a_batch_gathers_in_its_own_shard() {
    let mut policy = QueuePolicy { shards: 2, ..policy() };
    policy.batch = testing::queue_of(BATCH).batch;
    let ready = |ready, oldest_ready_age_ms| ShardLoad {
        ready,
        oldest_ready_age_ms,
        ..ShardLoad::default()
    };
    // Four are ready, which would fill a batch; but none of the shards has three.
    let gates = of_shards(&policy, &[ready(2, 1000), ready(2, 4000)]);
    let of = |shard| gates.of_message(&message_of_shard(shard, 2)).of(Gate::Batch);
    assert_eq!(of(0), held(Some(NOW_MS + 4000), Why::BatchGathers));
    assert_eq!(of(1), held(Some(NOW_MS + 1000), Why::BatchGathers));
    assert_eq!(gates.of(Gate::Batch), of(1), "the queue waits for the first of them");
}

#[test]
fn a_batch_gathers_until_it_is_full_or_old() {
    let mut policy = policy();
    policy.batch = testing::queue_of(BATCH).batch;
    let of = |ready, oldest_ready_age_ms| {
        let load = ShardLoad { ready, oldest_ready_age_ms, ..ShardLoad::default() };
        of_shards(&policy, &[load]).of(Gate::Batch)
    };
    assert_eq!(of(2, 1000), held(Some(NOW_MS + 4000), Why::BatchGathers));
    assert_eq!(of(3, 0), GateState::OPEN);
    assert_eq!(of(2, 5000), GateState::OPEN);
}

#[test]
fn a_window_is_open_until_too_little_is_left_for_a_call() {
    let at = |policy: &QueuePolicy, call_ms, now_ms| {
        let snapshot = Snapshot { call_ms, ..Snapshot::default() };
        gates(policy, &snapshot, Some(now_ms)).of(Gate::Window)
    };
    let policy = open(&[("11:00", "13:00")], 30_000);
    let closes_at_ms = NOW_MS + HOUR_MS;
    let before_ms = closes_at_ms - 30_000;
    assert_eq!(at(&policy, 0, NOW_MS), GateState::Open { before_ms: Some(before_ms) });
    assert_eq!(at(&policy, 0, before_ms - 1), GateState::Open { before_ms: Some(before_ms) });
    // Within this millisecond less than 30 s are left: what may start before it must not start in it.
    let tomorrow_ms = NOW_MS + DAY_MS - HOUR_MS;
    let closing = held(Some(tomorrow_ms), Why::WindowCloses { closes_at_ms });
    assert_eq!(at(&policy, 0, before_ms), closing);
    assert_eq!(at(&policy, 0, closes_at_ms - 1), closing);
    let closed = held(Some(tomorrow_ms), Why::WindowClosed { opens_at_ms: Some(tomorrow_ms) });
    assert_eq!(at(&policy, 0, closes_at_ms), closed);
    // A probe that may take longer needs more.
    let longer = at(&policy, 60_000, NOW_MS);
    assert_eq!(longer, GateState::Open { before_ms: Some(closes_at_ms - 60_000) });
    assert!(at(&policy, 60_000, closes_at_ms - 60_000).is_held());
}

#[test]
fn a_window_opens_for_calls_when_it_stays_open_long_enough() {
    let policy = open(&[("14:00", "14:00:20"), ("15:00", "16:00")], 30_000);
    let state = gates(&policy, &Snapshot::default(), Some(NOW_MS)).latest();
    let why = Why::WindowClosed { opens_at_ms: Some(NOW_MS + 2 * HOUR_MS) };
    assert_eq!(state, held(Some(NOW_MS + 3 * HOUR_MS), why));
}

#[test]
fn without_a_known_time_a_window_lets_nothing_through() {
    let window = open(&[("00:00", "23:00")], 0);
    let unknown = held(None, Why::TimeUnknown);
    assert_eq!(gates(&window, &Snapshot::default(), None).latest(), unknown);
    assert_eq!(gates(&policy(), &Snapshot::default(), None).latest(), GateState::OPEN);
}

#[test]
fn a_sender_goes_by_the_gate_that_opens_last() {
    let policy = open(&[("14:00", "15:00")], 0);
    let with = |pause, throttled_until_ms| {
        let snapshot = Snapshot { pause, throttled_until_ms, ..Snapshot::default() };
        match gates(&policy, &snapshot, Some(NOW_MS)).latest() {
            GateState::Held { until_ms, .. } => until_ms,
            open @ GateState::Open { .. } => panic!("{open:?}"),
        }
    };
    assert_eq!(with(None, Some(NOW_MS + 1)), Some(NOW_MS + 2 * HOUR_MS));
    assert_eq!(with(None, Some(NOW_MS + DAY_MS)), Some(NOW_MS + DAY_MS));
    assert_eq!(with(Some(PauseEnd::Resume), Some(NOW_MS + DAY_MS)), None);
}

proptest! {
    /// What the gate says of another moment is what it says at that moment.
    #[test]
    fn a_window_keeps_its_word(
        from_min in 0u64..1380, minutes in 1u64..60, needs_ms in 0u64..60_000, now_ms in NOW_MS..NOW_MS + 3 * DAY_MS,
    ) {
        let clock = |min: u64| format!("{:02}:{:02}", min / 60, min % 60);
        let policy = open(&[(&clock(from_min), &clock(from_min + minutes))], needs_ms.min(59_999));
        let at = |now_ms| gates(&policy, &Snapshot::default(), Some(now_ms)).latest();
        match at(now_ms) {
            GateState::Open { before_ms } => {
                let before_ms = before_ms.unwrap();
                prop_assert!(!at(before_ms - 1).is_held() && at(before_ms).is_held());
            }
            GateState::Held { until_ms, .. } => {
                let until_ms = until_ms.unwrap();
                prop_assert!(until_ms > now_ms && !at(until_ms).is_held() && at(until_ms - 1).is_held());
            }
        }
    }
}
