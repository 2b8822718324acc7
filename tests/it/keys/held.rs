//! How long a key waits for the message ahead: until a decision, until it is accepted or final, or until it is
//! skipped.

use std::time::Duration;

use serde_json::{Value, json};

use super::assert_sound;
use super::calls::{
    assert_at_once, assert_first_attempts_in_order, assert_in_order, calls, message, numbers, of,
};
use crate::support::{Answer, Gate, QUEUE, Scene, Stalls};

fn placed(number: usize) -> Value {
    message(number, &[("order", "k")])
}

fn pending() -> Answer {
    Answer::status(202).header("Tidegate-Receipt", "pending")
}

async fn receipt(scene: &Scene, id: &str, status: &str) {
    let said = json!({ "id": id, "status": status });
    scene.daemon.post(&format!("/v1/queues/{QUEUE}/receipts"), &said).await.expect(200);
}

#[tokio::test]
async fn a_message_whose_outcome_is_unknown_holds_its_key_until_it_is_resolved() {
    let lines =
        "ordering = \"labels.order\"\non_uncertain = \"park\"\ndownstream.timeout = \"500ms\"";
    let scene = Scene::start(lines).await;
    for (first, decision) in [(0, "delivered"), (10, "resend"), (20, "dead")] {
        let before = scene.downstream.requests().len();
        scene.downstream.once(Answer::reset());
        let sent = [placed(first), placed(first + 1)];
        let ids = scene.send_all(&sent).await;
        scene.wait_state(&ids[0], "uncertain").await;
        // The others go on meanwhile.
        let free = scene.daemon.send(QUEUE, &message(first + 2, &[("order", "free")])).await;
        assert_eq!(scene.daemon.wait_final(&free).await["state"], "delivered");
        let held = json!({ "held_by": ["order"], "blocked_by": [{ "id": ids[0] }] });
        scene.wait_members(&ids[1], &held).await;

        scene.step(&ids[0], "resolve", &json!({ "as": decision, "reason": "looked" })).await;

        assert_eq!(scene.daemon.wait_final(&ids[1]).await["state"], "delivered");
        let seen = of(&calls(&scene.downstream.requests()[before..]), "order", "k");
        let first = first as u64;
        let expected: &[u64] =
            if decision == "resend" { &[first, first, first + 1] } else { &[first, first + 1] };
        assert_eq!(numbers(&seen), expected, "{decision}");
        assert_at_once(&seen, 1);
    }
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn the_next_goes_when_the_one_ahead_is_accepted() {
    let scene = Scene::start("ordering = \"labels.order\"").await;
    scene.downstream.always(pending().after(Duration::from_millis(20)));

    let ids = scene.send_all(&(0..6).map(placed).collect::<Vec<_>>()).await;

    scene.wait_count("accepted", 6).await;
    assert_in_order(&calls(&scene.downstream.requests()));
    for id in &ids {
        receipt(&scene, id, "delivered").await;
    }
    scene.wait_count("delivered", 6).await;
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn where_order_waits_for_the_end_the_next_goes_when_the_receipt_has_come() {
    let lines = "ordering = { by = \"labels.order\", until = \"final\" }";
    let scene = Scene::start(lines).await;
    scene.downstream.always(pending());
    let ids = scene.send_all(&(0..4).map(placed).collect::<Vec<_>>()).await;

    for (at, status) in ["delivered", "dead", "delivered", "delivered"].into_iter().enumerate() {
        scene.wait_state(&ids[at], "accepted").await;
        assert_eq!(scene.downstream.requests().len(), at + 1);
        if let Some(next) = ids.get(at + 1) {
            let held = json!({ "held_by": ["order"], "blocked_by": [{ "id": ids[at] }] });
            scene.wait_members(next, &held).await;
        }
        receipt(&scene, &ids[at], status).await;
    }

    scene.wait_count("delivered", 3).await;
    assert_in_order(&calls(&scene.downstream.requests()));
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_message_that_fails_for_longer_than_stall_is_skipped_and_goes_on_by_itself() {
    let lines = "ordering = { by = \"labels.order\", stall = \"1s\" }\nretry = { initial = \"300ms\", factor = 1.0, jitter = 0.0 }\nconcurrency = 8";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let heals_after = 8;
    scene.downstream.answer_with(move |request| {
        let fails = request.json()["n"] == 0 && request.attempt() < heals_after;
        Answer::status(if fails { 500 } else { 200 }).after(Duration::from_millis(20))
    });

    let ids = scene.send_all(&[placed(0), placed(1), placed(2)]).await;

    assert_eq!(scene.daemon.wait_final(&ids[0]).await["state"], "delivered");
    let seen = calls(&scene.downstream.requests());
    assert_at_once(&seen, 1);
    assert_first_attempts_in_order(&seen);
    let next = seen.iter().find(|call| call.number == 1).expect("it was sent");
    let waited = next.at - seen[0].at;
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    let stalled = stalls.sum_between(seen[0].at, next.at, Duration::ZERO);
    assert!(waited <= Duration::from_millis(1500) + stalled, "{waited:?}");
    let last = seen.last().expect("a call");
    assert_eq!((last.number, last.attempt), (0, u64::from(heals_after)), "it went on by itself");
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn an_unknown_outcome_that_nobody_decides_is_skipped_after_stall() {
    let lines = "ordering = { by = \"labels.order\", stall = \"1s\" }\non_uncertain = \"park\"";
    let scene = Scene::start(lines).await;
    scene.downstream.once(Answer::reset());
    let ids = scene.send_all(&[placed(0), placed(1)]).await;

    assert_eq!(scene.daemon.wait_final(&ids[1]).await["state"], "delivered");
    let seen = calls(&scene.downstream.requests());
    let waited = seen[1].at - seen[0].at;
    assert!((1000..2500).contains(&waited.as_millis()), "{waited:?}");

    // A later decision to send it again takes no second place beside another message of the key.
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    scene.daemon.send(QUEUE, &placed(2)).await;
    scene.downstream.wait_for(3).await;
    scene.step(&ids[0], "resolve", &json!({ "as": "resend", "reason": "again" })).await;
    let held = json!({ "held_by": ["order"], "state": "ready" });
    scene.wait_members(&ids[0], &held).await;
    gate.release();
    scene.wait_count("delivered", 3).await;
    assert_at_once(&calls(&scene.downstream.requests()), 1);
    assert_sound(&scene.daemon).await;
}
