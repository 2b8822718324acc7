//! Receipts: accepted now, told later, in any order with our own bookkeeping.

use tidegate::domain::id::MessageId;
use tidegate::domain::message::Message;
use tidegate::domain::receipt::ReceiptSaid::{self, Dead, Delivered};
use tidegate::domain::receipt::{Receipt, ReceiptOf};
use tidegate::domain::settlement::Settlement;
use tidegate::domain::state::State;
use tidegate::store::{Changed, Lease, Received, Verb, Verdict};

use super::ground::{Ground, on_each};
use super::node::{Node, WISH, With as _, ended, message};

on_each!(
    a_receipt_closes_what_was_accepted,
    by_reference_from_any_shard,
    a_receipt_that_is_faster_than_the_acceptance_is_applied_with_it,
    a_receipt_that_is_faster_decides_however_the_attempt_ends,
    a_receipt_never_undoes_a_final_state,
    a_late_word_on_what_waits_again,
    a_late_acceptance_ends_the_waiting,
    a_late_success_delivers_what_another_copy_had_accepted,
    no_receipt_in_time_is_as_the_queue_says,
    a_key_waits_for_a_missing_receipt_no_longer_than_its_stall,
    references_go_with_their_messages_and_kept_receipts_with_time,
    kept_receipts_are_bounded,
    what_is_off_is_found_and_mended,
);

fn receipt(of: ReceiptOf, said: ReceiptSaid) -> Receipt {
    Receipt { of, said, detail: Some(format!("it \"says\" {}", said.as_str())) }
}

async fn by_id(node: &Node, id: &MessageId, said: ReceiptSaid) -> Received {
    let told = receipt(ReceiptOf::Id(id.clone()), said);
    node.store.messages.receive(&node.queue, &told).await.expect("Redis is there")
}

async fn by_ref(node: &Node, reference: &str, said: ReceiptSaid) -> Received {
    let told = receipt(ReceiptOf::Reference(reference.to_owned()), said);
    node.store.messages.receive(&node.queue, &told).await.expect("Redis is there")
}

async fn accept(node: &Node, lease: &Lease, reference: Option<&str>) -> Verdict {
    let accept = Settlement::Accept { reference: reference.map(str::to_owned) };
    node.settle_as(&[ended(lease, "accepted", accept)]).await[0]
}

/// A message that the downstream accepted under this name.
async fn accepted(node: &Node, reference: Option<&str>) -> (MessageId, Lease) {
    let id = node.send(message("m")).await;
    let lease = node.take_one().await;
    assert_eq!(accept(node, &lease, reference).await, Verdict::Ok);
    (id, lease)
}

fn words(message: &Message) -> (State, Option<&str>, Option<&str>) {
    (message.state, message.decided_by.as_deref(), message.reason.as_deref())
}

async fn a_receipt_closes_what_was_accepted(ground: Ground) {
    let node = ground.node("").await;
    for (said, state, other) in
        [(Delivered, State::Delivered, Dead), (Dead, State::Dead, Delivered)]
    {
        let (id, lease) = accepted(&node, Some("A-1")).await;
        let waits = node.get(&id).await;
        assert_eq!((waits.state, waits.reference.as_deref()), (State::Accepted, Some("A-1")));
        assert!(waits.accepted_at_ms.is_some() && waits.payload.is_some());
        assert_eq!(accept(&node, &lease, Some("A-1")).await, Verdict::Already);
        assert_eq!(
            node.store.messages.cancel(&id).await.unwrap(),
            Changed::WrongState(State::Accepted)
        );

        assert_eq!(by_id(&node, &id, said).await, Received::Closed(id.clone()));

        let word = format!("it \"says\" {}", said.as_str());
        let closed = node.get(&id).await;
        assert_eq!(words(&closed), (state, Some("receipt"), Some(&*word)));
        assert_eq!(closed.last_attempt.expect("kept").outcome, "accepted");
        assert_eq!(by_id(&node, &id, said).await, Received::Already(id.clone()));
        assert_eq!(by_ref(&node, "A-1", said).await, Received::Already(id.clone()));
        assert_eq!(by_id(&node, &id, other).await, Received::Contradicts(Some(state)));
        ground.assert_sound(&node).await;
    }
    let unknown = MessageId { queue: node.name.clone(), ulid: ulid::Ulid::from_parts(1, 1) };
    assert_eq!(by_id(&node, &unknown, Delivered).await, Received::Unknown);
}

async fn by_reference_from_any_shard(ground: Ground) {
    let node = ground.node("shards = 3").await;
    for n in 0..6 {
        node.send(message(&format!("m{n}"))).await;
    }
    let mut held = Vec::new();
    for _ in 0..60 {
        // As the rounds do: a wake-up may have been lost.
        node.queue.look_everywhere();
        held.extend(node.claim(WISH).await.messages);
    }
    assert_eq!(held.len(), 6);
    for (n, claimed) in held.iter().enumerate() {
        let (name, id) = (format!("R{n}"), node.id(&claimed.lease));
        if n % 2 == 0 {
            // Before any shard knows it.
            assert_eq!(by_ref(&node, &name, Dead).await, Received::Kept);
            assert_eq!(by_ref(&node, &name, Dead).await, Received::Kept, "repeated");
            assert_eq!(by_ref(&node, &name, Delivered).await, Received::Contradicts(None));
        }
        assert_eq!(accept(&node, &claimed.lease, Some(&name)).await, Verdict::Ok);
        let expected =
            if n % 2 == 0 { Received::Already(id.clone()) } else { Received::Closed(id.clone()) };
        assert_eq!(by_ref(&node, &name, Dead).await, expected, "{name}");
        assert_eq!(node.state(&id).await, State::Dead);
    }
    ground.assert_sound(&node).await;
}

async fn a_receipt_that_is_faster_than_the_acceptance_is_applied_with_it(ground: Ground) {
    let node = ground.node("").await;
    for (by_reference, said, state) in [
        (false, Delivered, State::Delivered),
        (true, Delivered, State::Delivered),
        (false, Dead, State::Dead),
        (true, Dead, State::Dead),
    ] {
        let id = node.send(message("m")).await;
        let lease = node.take_one().await;
        let name = format!("{by_reference}{said:?}");
        let kept = if by_reference {
            by_ref(&node, &name, said).await
        } else {
            by_id(&node, &id, said).await
        };
        assert_eq!((kept, node.state(&id).await), (Received::Kept, State::Leased));
        ground.assert_sound(&node).await;

        assert_eq!(accept(&node, &lease, Some(&name)).await, Verdict::Ok);

        let closed = node.get(&id).await;
        assert_eq!((closed.state, closed.decided_by.as_deref()), (state, Some("receipt")));
        assert_eq!(accept(&node, &lease, Some(&name)).await, Verdict::Already);
        assert_eq!(by_ref(&node, &name, said).await, Received::Already(id));
        ground.assert_sound(&node).await;
    }
}

async fn a_receipt_that_is_faster_decides_however_the_attempt_ends(ground: Ground) {
    let node = ground.node("").await;
    for verb in [Verb::Retry, Verb::Park, Verb::Bury] {
        let id = node.send(message("m")).await;
        let lease = node.take_one().await;
        assert_eq!(by_id(&node, &id, Delivered).await, Received::Kept);

        assert_eq!(node.settle_one(verb, &lease).await, Verdict::Ok);

        assert_eq!(node.state(&id).await, State::Delivered, "{verb:?}");
        assert_eq!(node.settle_one(verb, &lease).await, Verdict::Already);
        ground.assert_sound(&node).await;
    }
    // The node is lost before it hears the answer.
    let hasty = ground.node_shaped("", |policy| policy.lease_ms = 1).await;
    let id = hasty.send(message("m")).await;
    drop(hasty.take_one().await);
    assert_eq!(by_id(&node, &id, Delivered).await, Received::Kept);
    ground.passes(ground.now_ms().await + 1).await;
    hasty.store.messages.reap(&hasty.queue, hasty.shard()).await.unwrap();
    assert_eq!(node.state(&id).await, State::Delivered);
    ground.assert_sound(&node).await;
}

async fn a_receipt_never_undoes_a_final_state(ground: Ground) {
    let node = ground.node("").await;
    for (verb, state, fits) in
        [(Verb::Ack, State::Delivered, Delivered), (Verb::Bury, State::Dead, Dead)]
    {
        let id = node.send(message("m")).await;
        let lease = node.take_one().await;
        node.end(verb, &lease).await;
        let other = if fits == Delivered { Dead } else { Delivered };
        assert_eq!(by_id(&node, &id, fits).await, Received::Already(id.clone()));
        assert_eq!(by_id(&node, &id, other).await, Received::Contradicts(Some(state)));
    }
    let id = node.send(message("m")).await;
    let never = by_id(&node, &id, Delivered).await;
    assert_eq!(never, Received::Contradicts(Some(State::Ready)), "it was never sent");
    node.store.messages.cancel(&id).await.unwrap();
    let gone = by_id(&node, &id, Delivered).await;
    assert_eq!(gone, Received::Contradicts(Some(State::Cancelled)));
}

async fn a_late_word_on_what_waits_again(ground: Ground) {
    let node = ground.node("").await;
    let id = node.send(message("m")).await;
    let lease = node.take_one().await;
    node.end(Verb::Retry, &lease).await;
    let waits = by_id(&node, &id, Dead).await;
    assert_eq!(waits, Received::Contradicts(Some(State::Scheduled)), "it is tried again");
    assert_eq!(by_id(&node, &id, Delivered).await, Received::Closed(id.clone()));
    assert_eq!(node.promote().await, 0);

    for said in [Delivered, Dead] {
        let id = node.send(message("m")).await;
        let lease = node.take_one().await;
        node.end(Verb::Park, &lease).await;
        assert_eq!(by_id(&node, &id, said).await, Received::Closed(id.clone()));
        ground.assert_sound(&node).await;
    }
}

async fn a_late_acceptance_ends_the_waiting(ground: Ground) {
    let node = ground.node("").await;
    let hasty = ground.node_shaped("", |policy| policy.lease_ms = 1).await;
    for taken_by_another in [false, true] {
        let id = hasty.send(message("m")).await;
        let lease = hasty.take_one().await;
        ground.passes(ground.now_ms().await + 1).await;
        hasty.store.messages.reap(&hasty.queue, hasty.shard()).await.unwrap();
        if !taken_by_another {
            assert_eq!(accept(&hasty, &lease, Some("late")).await, Verdict::Late);
            assert_eq!(node.state(&id).await, State::Accepted);
            assert!(node.take(1).await.is_empty(), "it is not sent a second time");
        } else {
            let second = node.take_one().await;
            assert_eq!(accept(&hasty, &lease, Some("first")).await, Verdict::Stale);
            assert_eq!(accept(&node, &second, Some("second")).await, Verdict::Ok);
            // Either copy's receipt is a receipt for the message.
            assert_eq!(by_ref(&node, "first", Delivered).await, Received::Closed(id.clone()));
            assert_eq!(by_ref(&node, "second", Delivered).await, Received::Already(id));
        }
        ground.assert_sound(&node).await;
    }
}

async fn no_receipt_in_time_is_as_the_queue_says(ground: Ground) {
    for (word, state) in
        [("uncertain", State::Uncertain), ("dead", State::Dead), ("delivered", State::Delivered)]
    {
        let lines = format!("receipts = {{ timeout = \"200ms\", on_timeout = \"{word}\" }}");
        let node = ground.node(&lines).await;
        let (id, _) = accepted(&node, Some(word)).await;
        assert_eq!(node.store.messages.lapse(&node.queue, node.shard()).await.unwrap(), (0, false));
        ground.passes(ground.now_ms().await + 200).await;

        assert_eq!(node.store.messages.lapse(&node.queue, node.shard()).await.unwrap(), (1, false));

        let lapsed = node.get(&id).await;
        assert_eq!(words(&lapsed), (state, Some("timeout"), Some("no receipt within 200ms")));
        ground.assert_sound(&node).await;
        let late = by_ref(&node, word, Delivered).await;
        match state {
            State::Uncertain => assert_eq!(late, Received::Closed(id)),
            State::Delivered => assert_eq!(late, Received::Already(id)),
            other => assert_eq!(late, Received::Contradicts(Some(other))),
        }
    }
}

async fn a_key_waits_for_a_missing_receipt_no_longer_than_its_stall(ground: Ground) {
    let ordering = "ordering = { by = \"labels.order\", until = \"final\", stall = \"300ms\" }";
    let lines =
        format!("{ordering}\nreceipts = {{ timeout = \"200ms\", on_timeout = \"uncertain\" }}");
    let node = ground.node(&lines).await;
    let [ahead, behind] = [
        node.send(message("ahead").label("order", "k")).await,
        node.send(message("behind").label("order", "k")).await,
    ];
    let lease = node.take_one().await;
    assert_eq!((lease.ulid, accept(&node, &lease, None).await), (ahead.ulid, Verdict::Ok));
    ground.passes(ground.now_ms().await + 500).await;
    assert!(node.take(1).await.is_empty(), "it waits for the receipt, and not for the stall");

    assert_eq!(node.store.messages.lapse(&node.queue, node.shard()).await.unwrap(), (1, false));

    let lapsed_ms = ground.now_ms().await;
    let next = loop {
        if let Some(claimed) = node.take(1).await.pop() {
            break claimed.lease.ulid;
        }
        let waited_ms = ground.now_ms().await - lapsed_ms;
        assert!(waited_ms < 5000, "the key waits for a decision");
        ground.passes(ground.now_ms().await + 20).await;
    };
    assert_eq!(next, behind.ulid);
    let waited_ms = ground.now_ms().await - lapsed_ms;
    assert!(waited_ms + 100 >= 300, "skipped after {waited_ms} ms");
    assert_eq!(node.state(&ahead).await, State::Uncertain);
    ground.assert_sound(&node).await;
}

async fn a_late_success_delivers_what_another_copy_had_accepted(ground: Ground) {
    let node = ground.node("").await;
    let hasty = ground.node_shaped("", |policy| policy.lease_ms = 1).await;
    let id = hasty.send(message("m")).await;
    let lease = hasty.take_one().await;
    ground.passes(ground.now_ms().await + 1).await;
    hasty.store.messages.reap(&hasty.queue, hasty.shard()).await.unwrap();
    let second = node.take_one().await;
    assert_eq!(accept(&node, &second, None).await, Verdict::Ok);
    assert_eq!(accept(&hasty, &lease, None).await, Verdict::Stale);

    assert_eq!(hasty.settle_one(Verb::Ack, &lease).await, Verdict::Late);

    assert_eq!(node.state(&id).await, State::Delivered);
    assert_eq!(by_id(&node, &id, Delivered).await, Received::Already(id));
    ground.assert_sound(&node).await;
}

/// As if all looks were due.
async fn look_now(ground: &Ground, node: &Node) {
    let key = ground.key("looks");
    let members: Vec<String> = ground.raw(redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1)).await;
    for member in members {
        let _: u64 = ground.raw(redis::cmd("ZADD").arg(&key).arg(1).arg(member)).await;
    }
    node.store.messages.lapse(&node.queue, node.shard()).await.unwrap();
}

async fn references_go_with_their_messages_and_kept_receipts_with_time(ground: Ground) {
    let node = ground.node("").await;
    let (id, _) = accepted(&node, Some("R")).await;
    assert_eq!(by_ref(&node, "nobody's", Dead).await, Received::Kept);
    look_now(&ground, &node).await;
    ground.assert_sound(&node).await;
    let looks: Vec<String> =
        ground.raw(redis::cmd("ZRANGE").arg(ground.key("looks")).arg(0).arg(-1)).await;
    assert_eq!(looks, ["rR"], "the kept receipt went, the reference stays");

    assert_eq!(by_ref(&node, "R", Delivered).await, Received::Closed(id.clone()));
    look_now(&ground, &node).await;
    assert_eq!(by_ref(&node, "R", Delivered).await, Received::Already(id));
    node.store.messages.purge(&node.name, State::Delivered, 10).await.unwrap();
    look_now(&ground, &node).await;

    for name in ["refs", "early", "looks"] {
        let there: u64 = ground.raw(redis::cmd("EXISTS").arg(ground.key(name))).await;
        assert_eq!(there, 0, "{name}");
    }
}

async fn kept_receipts_are_bounded(ground: Ground) {
    let node = ground.node("").await;
    let mut fill = redis::cmd("HSET");
    fill.arg(ground.key("early"));
    for n in 0..10_000 {
        fill.arg(format!("#{n}")).arg("D");
    }
    let _: u64 = ground.raw(&fill).await;

    assert_eq!(by_ref(&node, "one more", Delivered).await, Received::Full);
    assert_eq!(by_ref(&node, "77", Delivered).await, Received::Kept, "one of those");
}

async fn what_is_off_is_found_and_mended(ground: Ground) {
    let node = ground.node("").await;
    let (id, _) = accepted(&node, Some("R")).await;
    for (spoil, mended) in [
        (redis::cmd("ZREM").arg(ground.key("accepted")).arg(id.ulid.to_string()).clone(), 1),
        (redis::cmd("ZREM").arg(ground.key("looks")).arg("rR").clone(), 1),
        (redis::cmd("ZADD").arg(ground.key("looks")).arg(9).arg("egone").clone(), 1),
        (redis::cmd("ZADD").arg(ground.key("probes")).arg(9).arg(id.ulid.to_string()).clone(), 1),
        (
            redis::cmd("ZADD").arg(ground.key("uncertain")).arg(9).arg(id.ulid.to_string()).clone(),
            1,
        ),
    ] {
        let _: u64 = ground.raw(&spoil).await;
        let mut audit = tidegate::store::Audit::new(node.queue.clone(), node.shard().clone(), true);
        let mut found = Vec::new();
        while !audit.is_done() {
            found.extend(node.store.audits.step(&mut audit).await.unwrap());
        }
        assert_eq!(found.iter().filter(|finding| finding.mended).count(), mended, "{found:?}");
        ground.assert_sound(&node).await;
    }
    assert_eq!(by_ref(&node, "R", Dead).await, Received::Closed(id));
}
