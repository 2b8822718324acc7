//! Recipients' hours at the claim: whoever cannot be reached is put off, takes nothing and stands in nobody's way.

use jiff::Timestamp;
use tidegate::domain::message::NewMessage;
use tidegate::domain::state::State;
use tidegate::store::Verb;

use super::ground::{Ground, on_each};
use super::node::{HOUR_MS, Node, bodies, message};

on_each!(
    a_closed_recipient_is_put_off_and_takes_no_unit,
    a_lost_lease_of_a_closed_recipient_is_put_off_too,
    in_lanes_a_closed_recipient_holds_up_nobody,
);

const HERE: &str = "UTC";
const THERE: &str = "Asia/Tokyo";
/// Japan has one time the whole year.
const AHEAD_MS: u64 = 9 * HOUR_MS;

fn to(zone: &str, body: &str) -> NewMessage {
    let mut message = message(body);
    message.details.time_zone = Some(zone.parse().expect("a zone"));
    message
}

/// Hours around the present time of day of [`HERE`]: [`THERE`] is closed, and opens at the moment that is returned, ms.
async fn hours(ground: &Ground) -> (String, u64) {
    let minute_ms = ground.now_ms().await / 60_000 * 60_000;
    let time = |at_ms: u64| {
        let at = Timestamp::from_millisecond(at_ms.cast_signed()).expect("a moment");
        at.strftime("%H:%M").to_string()
    };
    let (from_ms, to_ms) = (minute_ms - HOUR_MS, minute_ms + HOUR_MS);
    let hours = format!("from = \"{}\", to = \"{}\"", time(from_ms), time(to_ms));
    let line = format!("recipient_hours = {{ open = [{{ {hours} }}] }}\n");
    (line, from_ms + 24 * HOUR_MS - AHEAD_MS)
}

/// A node for which everybody can be reached, which takes in what is due at once, and one that keeps the hours.
async fn nodes(ground: &Ground, queue: &str) -> (Node, Node) {
    let before = ground.node_shaped(queue, |policy| policy.recipient_hours = None).await;
    (before, ground.node(queue).await)
}

async fn assert_put_off(node: &Node, id: &tidegate::domain::id::MessageId, opens_ms: u64) {
    let message = node.get(id).await;
    assert_eq!((message.state, message.due_at_ms), (State::Scheduled, opens_ms), "{message:?}");
}

async fn a_closed_recipient_is_put_off_and_takes_no_unit(ground: Ground) {
    let (hours, opens_ms) = hours(&ground).await;
    let (before, node) =
        nodes(&ground, &format!("{hours}limits = [{{ quota = \"10/month\" }}]")).await;
    let closed = before.send(to(THERE, "closed")).await;
    let open = before.send(to(HERE, "open")).await;

    let taken = node.take(5).await;

    assert_eq!(bodies(&taken), ["open"]);
    assert_put_off(&node, &closed, opens_ms).await;
    let put_off = node.get(&closed).await;
    assert_eq!((put_off.window_holds, put_off.attempts), (1, 0));
    node.end(Verb::Ack, &taken[0].lease).await;
    assert_eq!(node.state(&open).await, State::Delivered);
    ground.assert_sound(&node).await;
}

async fn a_lost_lease_of_a_closed_recipient_is_put_off_too(ground: Ground) {
    let (hours, opens_ms) = hours(&ground).await;
    // A node for which everybody can be reached claims it, and is lost.
    let hasty = ground.node_shaped("", |policy| policy.lease_ms = 1).await;
    let id = hasty.send(to(THERE, "lost")).await;
    let lost = hasty.take_one().await;
    let node = ground.node(&hours).await;
    ground.passes(ground.now_ms().await + 1).await;
    let reaped = node.store.messages.reap(&node.queue, node.shard()).await.unwrap();
    assert_eq!(reaped.reaped, 1);
    assert_eq!(node.state(&id).await, State::Ready);

    assert!(node.take(1).await.is_empty());

    assert_put_off(&node, &id, opens_ms).await;
    let put_off = node.get(&id).await;
    assert_eq!((put_off.rescues, put_off.window_holds), (1, 1));
    assert_eq!(
        node.settle_one(Verb::Retry, &lost).await,
        tidegate::store::Verdict::Stale,
        "its node comes too late"
    );
    ground.assert_sound(&node).await;
}

async fn in_lanes_a_closed_recipient_holds_up_nobody(ground: Ground) {
    let (hours, opens_ms) = hours(&ground).await;
    let (before, node) =
        nodes(&ground, &format!("{hours}ordering = \"group\"\nconcurrency = 8")).await;
    let of = |zone: &str, group: &str, body: &str| {
        let mut message = to(zone, body);
        message.details.group = Some(group.to_owned());
        message
    };
    let closed = before.send(of(THERE, "a", "a1")).await;
    before.send(of(HERE, "b", "b1")).await;
    before.send(of(HERE, "b", "b2")).await;

    let mut taken = node.take(5).await;
    if taken.is_empty() {
        taken = node.take(5).await;
    }

    assert_eq!(bodies(&taken), ["b1"]);
    node.end(Verb::Ack, &taken[0].lease).await;
    assert_eq!(bodies(&node.take(5).await), ["b2"]);
    assert_put_off(&node, &closed, opens_ms).await;
    ground.assert_sound(&node).await;
}
