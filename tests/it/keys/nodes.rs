//! Nodes that die with messages of keys in their hands.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::assert_sound;
use super::calls::{assert_first_attempts_in_order, assert_in_order, calls, message, of};
use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Downstream, QUEUE, RedisServer, Stalls, within};

const LEASE: Duration = Duration::from_millis(5500);
/// What the promise adds to a lease.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// A queue whose calls say by their path which node makes them.
fn toml(downstream: &Downstream, node: usize, lines: &str) -> String {
    let url = downstream.url(&format!("/n{node}"));
    format!(
        "[queues.{QUEUE}]\nlease = \"5500ms\"\ndownstream = {{ url = \"{url}\", timeout = \"500ms\" }}\n{lines}\n"
    )
}

#[tokio::test]
async fn the_keys_of_a_killed_node_rest_until_its_lease_ends_and_no_other_key_does() {
    const KEYS: usize = 4;
    let lines = "concurrency = 16\nordering = \"labels.order\"\nlimits = [{ concurrency = 1, per = \"labels.order\" }]";
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let stalls = Stalls::watch();
    let start = |node| Daemon::start(&redis, toml(&downstream, node, lines));
    let (first, second) = tokio::join!(start(0), start(1));
    let mut nodes = [first, second];
    // One call of a key is never answered: whoever makes it dies with it.
    let (tell, mut struck) = watch::channel(None);
    downstream.answer_with(move |request| {
        let payload = request.json();
        let is_late = payload["labels"]["order"] == "k0" && payload["n"].as_u64() >= Some(12);
        if is_late && tell.borrow().is_none() {
            tell.send_replace(Some((request.path.clone(), request.arrived)));
            return Answer::silence();
        }
        Answer::ok().after(Duration::from_millis(15))
    });
    let one = |number: usize| message(number, &[("order", &format!("k{}", number % KEYS))]);
    let sent: Vec<_> = (0..40 * KEYS).map(one).collect();
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    nodes[0].post(&path, &serde_json::json!(sent)).await.expect(200);

    let (victim, at) = within("a call is not answered", struck.wait_for(Option::is_some))
        .await
        .expect("the script lives")
        .clone()
        .expect("there is one");
    let victim = usize::from(victim == "/n1");
    nodes[victim].kill9().await;
    let survivor = &nodes[1 - victim];
    let asked = Instant::now();
    let free = survivor.send(QUEUE, &message(1000, &[("order", "free")])).await;
    assert_eq!(survivor.wait_final(&free).await["state"], "delivered");
    let allowed = Duration::from_secs(2) + 5 * stalls.worst();
    assert!(asked.elapsed() < allowed, "{:?}", asked.elapsed());

    poll_until("everything is delivered", async || {
        (survivor.counts(QUEUE).await["delivered"] == 40 * KEYS + 1).then_some(())
    })
    .await;
    let seen = calls(&downstream.requests());
    for key in 0..KEYS {
        let seen = of(&seen, "order", &format!("k{key}"));
        assert_in_order(&seen);
        assert_first_attempts_in_order(&seen);
    }
    let of_key = of(&seen, "order", "k0");
    let after = of_key.iter().find(|call| call.at > at).expect("the key went on");
    assert_eq!((after.attempt, &after.path), (2, &format!("/n{}", 1 - victim)));
    let rested = after.at - at;
    assert!(rested + Duration::from_secs(1) >= LEASE, "{rested:?}");
    assert!(rested <= LEASE + BACK_WITHIN + stalls.worst(), "{rested:?}");
    assert_sound(survivor).await;
}
