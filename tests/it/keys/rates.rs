//! A rate for each value of a key, beside a rate and a quota of the whole queue, exact over nodes.

use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{assert_paced, assert_used, calls, message, of, units, with};
use super::{assert_sound, is_so_unless_void, others, unless_void};
use crate::limits::stacked::limit;
use crate::support::{QUEUE, Scene, Stalls, eventually, within};

/// Messages to so many keys in turns, with costs of 1 to `largest` in turns.
fn costly(count: usize, keys: usize, largest: usize) -> Vec<Value> {
    let one = |number: usize| {
        let from = format!("f{}", number % keys);
        let cost = 1 + (number / keys + number) % largest;
        with(message(number, &[("from", &from)]), "cost", cost)
    };
    (0..count).map(one).collect()
}

/// The limit of the keys binds, not the rate of the queue.
async fn each_key_is_paced(nodes: usize) {
    const KEYS: usize = 6;
    let lines = "rate = \"1000/s\"\nconcurrency = 32\nlimits = [{ rate = \"10/s\", per = \"labels.from\" }, { name = \"contract\", quota = \"100000/month\" }]";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let _others = others(&scene, lines, nodes - 1).await;
    let sent = costly(KEYS * 17, KEYS, 5);

    scene.send_all(&sent).await;

    let seen = calls(&scene.downstream.wait_for(sent.len()).await);
    scene.wait_count("delivered", sent.len()).await;
    assert_paced(&stalls, &seen, 1000.0, 1);
    for key in 0..KEYS {
        let seen = of(&seen, "from", &format!("f{key}"));
        assert_eq!(seen.len(), 17);
        assert_paced(&stalls, &seen, 10.0, 1);
        assert_used(&stalls, &seen, 10.0, 1);
    }
    assert_eq!(limit(&scene.daemon, "contract").await["used"], units(&seen));
    let shown = limit(&scene.daemon, "per_from").await;
    let of_queue = ["kind", "value", "per", "shared"].map(|name| shown[name].clone());
    assert_eq!(json!(of_queue), json!(["rate", "10/s", "labels.from", false]));
    let of_one = ["used", "left", "resets_at", "next_at"].map(|name| shown[name].clone());
    assert_eq!(json!(of_one), json!([null, null, null, null]));
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn each_key_has_its_rate_wholly_and_no_more() {
    each_key_is_paced(1).await;
}

#[tokio::test]
async fn each_key_has_its_rate_wholly_and_no_more_over_three_nodes() {
    each_key_is_paced(3).await;
}

#[tokio::test]
async fn the_rate_of_the_queue_is_used_wholly_while_its_keys_are_held_in_turns() {
    const KEYS: usize = 36;
    let lines =
        "rate = \"60/s\"\nconcurrency = 32\nlimits = [{ rate = \"5/s\", per = \"labels.from\" }]";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let _others = others(&scene, lines, 2).await;
    let mut sent = costly(KEYS * 5, KEYS, 3);
    // All of a key, then all of the next: those that were accepted first are always held, and the others go by.
    sent.sort_by_key(|message| message["labels"]["from"].to_string());

    // All of them stand there before the first one leaves.
    scene.queue_step("pause", &json!({ "reason": "until all are there" })).await;
    scene.send_all(&sent).await;
    scene.queue_step("resume", &json!({})).await;

    let seen = calls(&scene.downstream.wait_for(sent.len()).await);
    assert_paced(&stalls, &seen, 60.0, 1);
    for key in 0..KEYS {
        assert_paced(&stalls, &of(&seen, "from", &format!("f{key}")), 5.0, 1);
    }
    // Twelve keys use it wholly. At the end too few are left.
    assert_used(&stalls, &seen[..KEYS * 3], 60.0, 1);
}

#[tokio::test]
async fn a_burst_is_of_each_key() {
    let lines = "limits = [{ rate = \"5/s\", burst = 4, per = \"labels.to\" }]";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let one = |number: usize| {
        message(number, &[("to", if number.is_multiple_of(2) { "a" } else { "b" })])
    };
    let sent: Vec<_> = (0..24).map(one).collect();

    scene.send_all(&sent).await;

    let seen = calls(&scene.downstream.wait_for(24).await);
    for key in ["a", "b"] {
        let seen = of(&seen, "to", key);
        assert_paced(&stalls, &seen, 5.0, 4);
        assert_used(&stalls, &seen, 5.0, 4);
        let burst = seen[3].at - seen[0].at;
        let lost = stalls.may_cost(seen[0].at, seen[3].at, Duration::from_millis(200));
        assert!(burst <= Duration::from_millis(100) + lost, "{burst:?}");
    }
}

#[tokio::test]
async fn two_limits_by_different_keys_hold_both() {
    let lines = "limits = [{ rate = \"10/s\", per = \"labels.from\" }, { rate = \"5/s\", burst = 2, per = \"labels.to\" }]";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let one = |number: usize| {
        let (from, to) = (format!("f{}", number % 3), format!("t{}", number / 3 % 6));
        message(number, &[("from", &from), ("to", &to)])
    };
    let sent: Vec<_> = (0..108).map(one).collect();

    scene.send_all(&sent).await;

    let seen = calls(&scene.downstream.wait_for(108).await);
    for key in 0..3 {
        assert_paced(&stalls, &of(&seen, "from", &format!("f{key}")), 10.0, 1);
    }
    for key in 0..6 {
        assert_paced(&stalls, &of(&seen, "to", &format!("t{key}")), 5.0, 2);
    }
    // 36 of each sender take 3.5 s alone, 18 of each recipient 3.2 s.
    let took = seen[107].at - seen[0].at;
    assert!(took <= Duration::from_secs(6), "{took:?}");
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_message_that_one_limit_holds_takes_nothing_of_the_others() {
    unless_void(one_limit_holds_and_the_others_do_not).await;
}

async fn one_limit_holds_and_the_others_do_not() -> bool {
    let lines = "rate = \"50/s\"\nlimits = [{ rate = \"1/min\", per = \"labels.to\" }, { name = \"contract\", quota = \"100/month\" }, { concurrency = 2, per = \"labels.customer\" }, { quota = \"31/month\", per = \"labels.customer\" }]";
    let stalls = Stalls::watch();
    let scene = Scene::start(lines).await;
    let held = |number: usize| message(number, &[("to", "x"), ("customer", "c")]);
    let ids = scene.send_all(&(0..20).map(held).collect::<Vec<_>>()).await;
    let delivered = async |count: u64| {
        let is_so = async || scene.daemon.counts(QUEUE).await["delivered"] == count;
        is_so_unless_void(&scene, "they are delivered", is_so).await
    };
    if !delivered(1).await {
        return false;
    }

    let free = |number: usize| message(number, &[("to", &format!("t{number}")), ("customer", "c")]);
    scene.send_all(&(20..50).map(free).collect::<Vec<_>>()).await;

    if !delivered(31).await {
        return false;
    }
    let seen = calls(&scene.downstream.requests());
    assert_eq!(of(&seen, "to", "x").len(), 1);
    assert_paced(&stalls, &seen, 50.0, 1);
    assert_eq!(limit(&scene.daemon, "contract").await["used"], 31);
    // Its two limits hold the other messages of the recipient now, and the quota of the customer does not let go.
    let held = json!({ "held_by": ["limit:per_to", "limit:per_customer_month"], "state": "ready" });
    scene.wait_members(&ids[19], &held).await;
    assert_eq!(limit(&scene.daemon, "per_to").await["held_keys"], 1);
    assert_eq!(limit(&scene.daemon, "contract").await["held_keys"], 0);
    assert_sound(&scene.daemon).await;
    true
}

/// The numbers of the design: a second at a time, over nodes that join and leave.
#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn rates_hold_and_are_used_while_nodes_join_and_leave() {
    const KEYS: usize = 100;
    const SECONDS: usize = 66;
    let lines = "rate = \"50/s\"\nconcurrency = 64\nlimits = [{ rate = \"1/s\", per = \"labels.from\" }, { name = \"contract\", quota = \"5000/day\" }]";
    let stalls = Stalls::watch();
    let mut scene = Scene::start(lines).await;
    let mut nodes = others(&scene, lines, 2).await;
    let sent = costly(KEYS * 14, KEYS, 5);

    scene.send_all(&sent).await;

    let began = scene.downstream.wait_for(1).await[0].arrived;
    for second in (3..SECONDS as u64).step_by(6) {
        tokio::time::sleep_until(began + Duration::from_secs(second)).await;
        let node = match second / 6 % 3 {
            0 => &mut scene.daemon,
            1 => &mut nodes[0],
            _ => &mut nodes[1],
        };
        assert_eq!(node.sigterm().await, 0);
        tokio::time::sleep_until(began + Duration::from_secs(second + 3)).await;
        within("a node joins again", node.restart()).await;
    }

    let seen = calls(&scene.downstream.requests());
    assert_paced(&stalls, &seen, 50.0, 1);
    for key in 0..KEYS {
        assert_paced(&stalls, &of(&seen, "from", &format!("f{key}")), 1.0, 1);
    }
    // In the first second messages come in still.
    for second in 1..SECONDS as u64 {
        let from = began + Duration::from_secs(second);
        let until = from + Duration::from_secs(1);
        let within = |at| at >= from && at < until;
        let in_second: Vec<_> = seen.iter().filter(|call| within(call.at)).cloned().collect();
        // A call of five units may have been counted in the second before.
        let used = units(&in_second);
        let lost = stalls.may_cost(from, until, Duration::from_millis(100));
        let least = 49.0 - 5.0 - 50.0 * lost.as_secs_f64();
        assert!(used as f64 >= least, "{used} units in second {second}; stalls may cost {lost:?}");
    }
    assert_used(&stalls, &seen, 50.0, 1);
    let used = limit(&scene.daemon, "contract").await["used"].as_u64().expect("a quota has used");
    let started = units(&calls(&scene.downstream.requests()));
    // What is claimed and waits for its slot has its units already.
    assert!(used.abs_diff(started) <= 40, "{used} and {started}");
    let counts = scene.daemon.counts(QUEUE).await;
    assert_eq!(counts["dead"], 0);
}

/// What the store has forgotten may have started: nobody has a burst before it has grown anew.
#[tokio::test]
async fn after_a_rollback_no_key_has_a_burst() {
    let lines = "limits = [{ rate = \"120/min\", burst = 6, per = \"labels.from\" }]";
    let stalls = Stalls::watch();
    let mut scene = Scene::start(lines).await;
    scene.send_all(&[message(0, &[("from", "old")])]).await;
    scene.wait_count("delivered", 1).await;
    let began = tokio::time::Instant::now();
    scene.redis.restart().await;
    let restarted = "Redis restarted; no acknowledged message is missing";
    eventually("it was looked at", async || scene.daemon.log().contains(restarted)).await;
    eventually("it is back", async || scene.daemon.get("/readyz").await.status == 200).await;

    let sent: Vec<_> = (0..6).map(|number| message(number, &[("from", "new")])).collect();
    scene.send_all(&sent).await;

    let seen = calls(&scene.downstream.wait_for(sent.len() + 1).await);
    let seen = of(&seen, "from", "new");
    // From the rollback on the burst grows again, by two units a second: all of it is there only after 2.5 s.
    let grown_ms = u64::try_from((seen[0].at - began).as_millis()).expect("not for ages");
    assert_paced(&stalls, &seen, 2.0, 1 + grown_ms.div_ceil(500));
    scene.wait_count("delivered", sent.len() + 1).await;
    assert_sound(&scene.daemon).await;
}
