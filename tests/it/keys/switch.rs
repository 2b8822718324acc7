//! Another structure while messages wait and go: by a reload, by several nodes, and by nodes that disagree.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::calls::{assert_in_order, assert_shares, calls, message, numbers, of};
use super::lanes::sizes;
use super::{assert_sound, is_so_unless_void, unless_void};
use crate::limits::stacked::limit;
use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Gate, QUEUE, Scene, eventually, queue_toml};

const QUICK: &str = "retry = { initial = \"200ms\", factor = 1.0, jitter = 0.0 }";

/// The structures that a queue is switched through.
const NONE: &str = "";
const ORDERED: &str = "ordering = \"labels.order\"";
const SHARED: &str = "fairness = \"labels.tenant\"\npriority_levels = 2";
const LIMITED: &str = "limits = [{ rate = \"100/s\", per = \"labels.tenant\" }, { concurrency = 2, per = \"labels.order\" }]";
const EVERYTHING: &str = "ordering = \"labels.order\"\nfairness = \"labels.tenant\"\npriority_levels = 3\naging = \"1s\"\nlimits = [{ rate = \"100/s\", per = \"labels.to\" }, { concurrency = 5, per = \"labels.tenant\" }]";

const KEYS: usize = 30;

fn keyed(number: usize) -> Value {
    let (order, tenant) = (format!("k{}", number % KEYS), format!("t{}", number % 3));
    let mut message = message(number, &[("order", &order), ("tenant", &tenant), ("to", &order)]);
    message["priority"] = json!(number % 4);
    message
}

fn reload(daemon: &Daemon, scene: &Scene, lines: &str) {
    daemon.sighup(&queue_toml(QUEUE, &scene.downstream, lines));
}

/// Waits until the last message of each key waits for the one ahead of it, or has gone: order holds from then on.
async fn wait_ordered(daemon: &Daemon, last: &[String]) {
    for id in last {
        eventually("a message names the one ahead", async || {
            let message = daemon.message(id).await;
            let waits = message["state"] == "ready" || message["state"] == "scheduled";
            !waits || message["blocked_by"].as_array().is_some_and(|ahead| !ahead.is_empty())
        })
        .await;
    }
}

#[tokio::test]
async fn switches_back_and_forth_under_load_lose_nothing_and_repeat_nothing() {
    const COUNT: usize = KEYS * 30;
    let with_rate = |lines: &str| format!("{QUICK}\nconcurrency = 32\nrate = \"150/s\"\n{lines}");
    let scene = Scene::start(&with_rate(NONE)).await;
    let other = scene.another_daemon(&with_rate(NONE)).await;
    // Some have begun when the structure changes.
    scene.downstream.answer_with(|request| {
        let number = request.json()["n"].as_u64().expect("a number");
        let fails = number.is_multiple_of(11) && request.attempt() == 1;
        Answer::status(if fails { 500 } else { 200 }).after(Duration::from_millis(10))
    });
    let mut ids = scene.send_all(&(0..COUNT / 2).map(keyed).collect::<Vec<_>>()).await;

    let steps = [ORDERED, EVERYTHING, LIMITED, NONE, SHARED, LIMITED, ORDERED];
    for (step, lines) in steps.iter().enumerate() {
        scene.downstream.wait_for(60 + step * 60).await;
        for daemon in [&scene.daemon, &other] {
            reload(daemon, &scene, &with_rate(lines));
        }
        if step == 2 {
            let rest: Vec<_> = (COUNT / 2..COUNT).map(keyed).collect();
            ids.extend(scene.send_all(&rest).await);
        }
    }
    wait_ordered(&scene.daemon, &ids[COUNT - KEYS..]).await;
    let from = tokio::time::Instant::now();

    scene.wait_count("delivered", COUNT).await;
    let seen = calls(&scene.downstream.requests());
    let came: BTreeSet<_> = seen.iter().map(|call| (call.number, call.attempt)).collect();
    assert_eq!(came.len(), seen.len(), "none came twice");
    let expected = COUNT + COUNT.div_ceil(11);
    assert_eq!(seen.len(), expected, "each came, and those that failed once more");
    let mut ordered = 0;
    for key in 0..KEYS {
        let mut of_key = of(&seen, "order", &format!("k{key}"));
        // What was on its way then, several of a key perhaps, is of the structure before.
        let busy_until = of_key.iter().filter(|call| call.at < from).filter_map(|it| it.answered);
        let from = busy_until.max().unwrap_or(from).max(from);
        of_key.retain(|call| call.at >= from);
        let first: Vec<_> = of_key.iter().filter(|call| call.attempt == 1).cloned().collect();
        assert_in_order(&first);
        ordered += first.len();
    }
    assert!(ordered > 100, "enough has come since: {ordered}");
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn what_waits_in_a_queue_without_keys_goes_by_the_keys_that_it_gets_and_back() {
    let scene = Scene::start(NONE).await;
    scene.queue_step("pause", &json!({})).await;
    let ids = scene.send_all(&(0..KEYS * 10).map(keyed).collect::<Vec<_>>()).await;
    assert_eq!(sizes(&scene.redis).await, [].into());

    reload(&scene.daemon, &scene, EVERYTHING);
    wait_ordered(&scene.daemon, &ids[KEYS * 9..]).await;
    scene.queue_step("resume", &json!({})).await;

    scene.wait_count("delivered", KEYS * 10).await;
    let seen = calls(&scene.downstream.requests());
    assert_eq!(seen.len(), KEYS * 10);
    for key in 0..KEYS {
        assert_in_order(&of(&seen, "order", &format!("k{key}")));
    }
    assert_sound(&scene.daemon).await;

    // And back: nothing of the lanes stays, though they are full when it begins.
    scene.queue_step("pause", &json!({})).await;
    scene.send_all(&(1000..1000 + KEYS * 10).map(keyed).collect::<Vec<_>>()).await;
    reload(&scene.daemon, &scene, NONE);
    eventually("the lanes are gone", async || sizes(&scene.redis).await.is_empty()).await;
    assert_eq!(scene.daemon.counts(QUEUE).await["ready"], KEYS * 10);
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", KEYS * 20).await;
    assert_eq!(scene.downstream.requests().len(), KEYS * 20);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn of_two_nodes_with_different_files_the_latest_proposal_is_in_force() {
    let lines = |ordering: &str| format!("concurrency = 8\nordering = \"{ordering}\"");
    let scene = Scene::start(&lines("labels.order")).await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    let of_key = |key: &str, first: usize| {
        (first..first + 3).map(|n| message(n, &[("order", key)])).collect::<Vec<_>>()
    };
    let in_flight = |key: &str| of(&calls(&scene.downstream.requests()), "order", key).len();

    scene.send_all(&of_key("a", 0)).await;
    scene.downstream.wait_for(1).await;
    // A node that starts proposes what its file says: no order.
    let other = scene.another_daemon(&lines("none")).await;
    eventually("all three are on their way", async || in_flight("a") == 3).await;
    let reports = async |daemon: &Daemon| {
        let told = daemon.cli(&["doctor", "--quick"]).await.stdout;
        told.contains(QUEUE) && told.contains("ordering")
    };
    eventually("the other one follows and says so", async || reports(&scene.daemon).await).await;
    assert!(!reports(&other).await);

    // A reload proposes anew, although the file is the same.
    reload(&scene.daemon, &scene, &lines("labels.order"));
    eventually("now the other one reports", async || reports(&other).await).await;
    let ids = scene.send_all(&of_key("b", 10)).await;
    let held = json!({ "held_by": ["order"], "blocked_by": [{ "id": ids[0] }] });
    scene.wait_members(&ids[2], &held).await;
    assert_eq!(in_flight("b"), 1);
    assert!(!reports(&scene.daemon).await);
    gate.release();
    scene.wait_count("delivered", 6).await;
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn a_higher_limit_of_keys_holds_at_once_for_what_waits() {
    unless_void(a_higher_limit_holds_at_once).await;
}

async fn a_higher_limit_holds_at_once() -> bool {
    let limits = |rate: &str, quota: u64, concurrency: u64| {
        format!(
            "concurrency = 16\nlimits = [{{ rate = \"{rate}\", per = \"labels.to\" }}, {{ quota = \"{quota}/month\", per = \"labels.from\" }}, {{ concurrency = {concurrency}, per = \"labels.customer\" }}]"
        )
    };
    let scene = Scene::start(&limits("1/min", 2, 1)).await;
    let gate = Gate::new();
    scene.downstream.answer_with({
        let gate = gate.clone();
        move |request| {
            let is_held = request.json()["labels"]["customer"] == "c";
            if is_held { Answer::ok().held_by(&gate) } else { Answer::ok() }
        }
    });
    let paced = (0..3).map(|number| {
        message(
            number,
            &[("to", "x"), ("from", &format!("f{number}")), ("customer", &format!("x{number}"))],
        )
    });
    let counted = (10..15).map(|number| {
        message(
            number,
            &[("to", &format!("t{number}")), ("from", "f"), ("customer", &format!("x{number}"))],
        )
    });
    let beside = (20..23).map(|number| {
        message(
            number,
            &[("to", &format!("t{number}")), ("from", &format!("f{number}")), ("customer", "c")],
        )
    });
    scene.send_all(&paced.chain(counted).chain(beside).collect::<Vec<_>>()).await;
    let first_came = async || scene.downstream.requests().len() == 1 + 2 + 1;
    if !is_so_unless_void(&scene, "what the limits let start came", first_came).await {
        return false;
    }
    scene.wait_count("ready", 2 + 3 + 2).await;

    reload(&scene.daemon, &scene, &limits("20/s", 4, 3));

    // By the limits before it would take a minute.
    let seen = calls(&scene.downstream.wait_for(3 + 4 + 3).await);
    assert_eq!(of(&seen, "from", "f").len(), 4);
    gate.release();
    scene.wait_count("delivered", 10).await;
    let held = limit(&scene.daemon, "per_from_month").await;
    assert_eq!((&held["value"], &held["held_keys"]), (&json!("4/month"), &json!(1)));
    assert_sound(&scene.daemon).await;
    true
}

#[tokio::test]
async fn state_is_kept_under_the_name_of_a_limit() {
    let scene =
        Scene::start("limits = [{ name = \"mine\", quota = \"2/month\", per = \"labels.to\" }]")
            .await;
    let to = |number| message(number, &[("to", "a")]);
    let ids = scene.send_all(&(0..6).map(to).collect::<Vec<_>>()).await;
    scene.wait_count("delivered", 2).await;

    // Another order and one limit more reset nothing.
    let both = "limits = [{ quota = \"100/month\" }, { rate = \"50/s\", per = \"labels.from\" }, { name = \"mine\", quota = \"3/month\", per = \"labels.to\" }]";
    reload(&scene.daemon, &scene, both);
    scene.wait_count("delivered", 3).await;
    scene.wait_members(&ids[5], &json!({ "held_by": ["limit:mine"] })).await;

    // Another name begins anew.
    reload(&scene.daemon, &scene, &both.replace("mine", "yours").replace("3/month", "2/month"));
    scene.wait_count("delivered", 5).await;
    scene.wait_members(&ids[5], &json!({ "held_by": ["limit:yours"] })).await;
    // What is sent at once may come in the other way round.
    let mut came = numbers(&calls(&scene.downstream.requests()));
    came.sort_unstable();
    assert_eq!(came, [0, 1, 2, 3, 4]);
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn another_key_of_a_limit_holds_for_what_waits() {
    let lines = |per: &str| {
        format!("limits = [{{ name = \"l\", quota = \"2/month\", per = \"labels.{per}\" }}]")
    };
    let scene = Scene::start(&lines("to")).await;
    let one = |number: usize| {
        message(number, &[("to", "a"), ("from", if number < 6 { "one" } else { "two" })])
    };
    scene.send_all(&(0..12).map(one).collect::<Vec<_>>()).await;
    scene.wait_count("delivered", 2).await;
    scene.wait_count("ready", 10).await;

    reload(&scene.daemon, &scene, &lines("from"));

    // By the new key two senders have two each; what was counted of the old one may count or not.
    poll_until("the second sender has its two", async || {
        let seen = calls(&scene.downstream.requests());
        (of(&seen, "from", "two").len() == 2).then_some(())
    })
    .await;
    scene.wait_count("leased", 0).await;
    let seen = calls(&scene.downstream.requests());
    assert!((2..=4).contains(&of(&seen, "from", "one").len()), "{:?}", numbers(&seen));
    assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn new_weights_hold_for_what_waits() {
    let lines = |weight: u64| {
        format!(
            "rate = \"250/s\"\nconcurrency = 32\nfairness = {{ by = \"labels.tenant\", weights = {{ a = {weight} }} }}"
        )
    };
    let scene = Scene::start(&lines(1)).await;
    let one = |number: usize| message(number, &[("tenant", ["a", "b"][number % 2])]);
    scene.send_all(&(0..2000).map(one).collect::<Vec<_>>()).await;
    scene.downstream.wait_for(200).await;

    reload(&scene.daemon, &scene, &lines(4));

    eventually("the new weight is in force", async || {
        let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
        queue["policy"]["fairness"]["weights"]["a"] == 4.0
    })
    .await;
    let from = scene.downstream.requests().len() + 50;
    let seen = calls(&scene.downstream.wait_for(from + 400).await);
    assert_shares(&seen[..190], "tenant", &[("a", 0.5), ("b", 0.5)]);
    assert_shares(&seen[from..from + 400], "tenant", &[("a", 0.8), ("b", 0.2)]);
}
