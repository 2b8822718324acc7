//! Every alert that can be provoked within a minute, provoked: a real daemon is brought into trouble, and
//! a real Prometheus evaluates the shipped rules on what it scrapes.
//!
//! Needs the program `prometheus`; `make test-all` installs it and runs these.

use std::collections::BTreeSet;

use http::Method;
use rustix::process::Signal;
use serde_json::json;

use super::PROVOKED;
use crate::support::prometheus::Prometheus;
use crate::support::redis::RedisOptions;
use crate::support::{
    Answer, Cluster, Collector, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, eventually,
    queue_toml,
};

/// How many evaluations show that a rule is quiet.
const QUIET: usize = 4;

/// Waits until these alerts fire; then nothing else does, and each says what it is about.
async fn only(prometheus: &Prometheus, alerts: &[&str]) {
    for alert in alerts {
        assert!(PROVOKED.contains(alert), "{alert} is not in the list");
        let firing = prometheus.fires(alert).await;
        let words = firing["annotations"]["summary"].as_str().expect("a summary");
        assert!(!words.contains("<no value>"), "{alert} names a label that is not there: {words}");
    }
    let firing = prometheus.firing_after(1).await;
    assert_eq!(firing, alerts.iter().map(|&alert| alert.to_owned()).collect::<BTreeSet<_>>());
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_healthy_daemon_alerts_nobody_and_a_closed_window_neither() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    // Open for an hour, twelve hours from now.
    let hour = (jiff::Timestamp::now().as_second() / 3600 + 12) % 24;
    let open = format!("{{ from = \"{hour:02}:00\", to = \"{:02}:00\" }}", hour + 1);
    let closed = format!("window = {{ time_zone = \"UTC\", open = [{open}] }}");
    let config = queue_toml(QUEUE, &downstream, "")
        + &queue_toml("night", &downstream, &closed)
        + &queue_toml("idle", &downstream, "");
    let daemon = Daemon::start(&redis, config).await;
    daemon.post("/v1/queues/idle/pause", &json!({ "reason": "not in use" })).await.expect(200);
    daemon.send("night", &json!({ "payload": "waits for its window" })).await;
    let prometheus = Prometheus::watching(&daemon).await;

    let id = daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    daemon.wait_final(&id).await;

    assert_eq!(prometheus.firing_after(QUIET).await, BTreeSet::new());
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_daemon_that_ended_is_down() {
    let mut scene = Scene::start("").await;
    let prometheus = Prometheus::watching(&scene.daemon).await;
    scene.daemon.sigterm().await;
    only(&prometheus, &["TidegateDown"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn redis_that_is_away_is_store_down_until_it_is_back() {
    let mut scene = Scene::start("").await;
    let prometheus = Prometheus::watching(&scene.daemon).await;

    scene.redis.kill9().await;
    only(&prometheus, &["TidegateStoreDown"]).await;

    scene.redis.restart().await;
    prometheus.ends("TidegateStoreDown").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn redis_that_evicts_is_unfit_until_it_is_set_back() {
    let scene = Scene::start("").await;
    let prometheus = Prometheus::watching(&scene.daemon).await;

    scene.redis.cli::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    only(&prometheus, &["TidegateStoreUnfit"]).await;

    scene.redis.cli::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    prometheus.ends("TidegateStoreUnfit").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn redis_that_somebody_empties_is_an_alert() {
    let scene = Scene::start("").await;
    let prometheus = Prometheus::watching(&scene.daemon).await;

    scene.redis.cli::<()>(&["FLUSHALL"]).await;
    only(&prometheus, &["TidegateStoreErased"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn redis_that_flushes_too_seldom_is_not_durable_until_it_is_set_back() {
    let scene = Scene::start("").await;
    let prometheus = Prometheus::watching(&scene.daemon).await;

    scene.redis.cli::<()>(&["CONFIG", "SET", "appendfsync", "everysec"]).await;
    only(&prometheus, &["TidegateNotDurable"]).await;

    scene.redis.cli::<()>(&["CONFIG", "SET", "appendfsync", "always"]).await;
    prometheus.ends("TidegateNotDurable").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_full_redis_keeps_schedules_and_streams_waiting() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let config = queue_toml(QUEUE, &downstream, "")
        + "[inbox]\nenabled = true\n\
           [schedules.tick]\nqueue = \"jobs\"\nevery = \"500ms\"\npayload = 1\ncatch_up = \"all\"\n";
    let daemon = Daemon::start(&redis, config).await;
    let prometheus = Prometheus::watching(&daemon).await;
    downstream.wait_for(1).await;

    redis.cli::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    prometheus.fires("TidegateStoreFull").await;
    redis.cli::<()>(&["CONFIG", "SET", "maxmemory", "1gb"]).await;
    let stream = "tidegate:inbox:jobs";
    redis.cli::<String>(&["XADD", stream, "*", "payload", "1"]).await;
    redis.cli::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;

    only(&prometheus, &["TidegateStoreFull", "TidegateScheduleLate", "TidegateInboxLate"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_step_of_the_clock_is_an_alarm_until_the_operator_resumes() {
    let (redis, downstream) =
        tokio::join!(RedisOptions::default().with_faults().start(), Downstream::start());
    let config =
        "[redis]\nclock_settle = \"10m\"\n".to_owned() + &queue_toml(QUEUE, &downstream, "");
    let daemon = Daemon::start(&redis, config).await;
    let prometheus = Prometheus::watching(&daemon).await;

    redis.faults().step_clock(60_000);
    only(&prometheus, &["TidegateClockAlarm"]).await;

    assert_eq!(daemon.cli(&["clock", "resume"]).await.code, 0);
    prometheus.ends("TidegateClockAlarm").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn redis_that_came_back_with_less_is_a_rollback() {
    let options = RedisOptions::default().with_faults().set("appendfsync", "everysec");
    let (mut redis, downstream) = tokio::join!(options.start(), Downstream::start());
    let config = queue_toml(QUEUE, &downstream, "");
    let daemon = Daemon::with(config).redis(&redis).durability("everysec").start().await;
    let prometheus = Prometheus::watching(&daemon).await;
    let flushes = redis.faults().flushes();
    eventually("it flushes", async || redis.faults().flushes() >= flushes + 2).await;

    redis.faults().slow_fsync(60_000);
    eventually("a flush hangs", async || redis.faults().is_flushing()).await;
    for number in 0..20 {
        daemon.send(QUEUE, &json!({ "payload": number, "delay": "1h" })).await;
    }
    redis.power_cut().await;
    redis.faults().slow_fsync(0);
    redis.restart().await;

    prometheus.fires("TidegateRollback").await;
    prometheus.ends("TidegateStoreDown").await;
    only(&prometheus, &["TidegateRollback"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn indexes_that_somebody_spoiled_are_faults() {
    let scene = Scene::start("").await;
    let prometheus = Prometheus::watching(&scene.daemon).await;
    let later = json!({ "payload": "later", "delay": "1h", "ttl": "2h" });
    scene.daemon.send(QUEUE, &later).await;

    scene.redis.cli::<()>(&["DEL", "{tidegate:jobs.0}:expiry"]).await;

    scene.daemon.cli(&["doctor", "--repair"]).await;
    only(&prometheus, &["TidegateIndexFaults"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_downstream_that_answers_500_is_failing_until_it_answers_well() {
    let scene = Scene::start("retry = { initial = \"100ms\", jitter = 0.0 }").await;
    scene.downstream.always(Answer::status(500));
    let prometheus = Prometheus::watching(&scene.daemon).await;
    let id = scene.send(1).await;

    only(&prometheus, &["TidegateDownstreamFailing"]).await;

    scene.downstream.always(Answer::ok());
    scene.step(&id, "run", &json!({})).await;
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    prometheus.ends("TidegateDownstreamFailing").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn refused_credentials_shut_the_gate_and_good_ones_open_it() {
    let scene = Scene::start("").await;
    scene.downstream.always(Answer::status(401));
    scene.send(1).await;
    let prometheus = Prometheus::watching(&scene.daemon).await;

    only(&prometheus, &["TidegateGateShut"]).await;

    scene.downstream.always(Answer::ok());
    scene.queue_step("resume", &json!({})).await;
    scene.wait_count("delivered", 1).await;
    prometheus.ends("TidegateGateShut").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_pause_matters_once_messages_wait_behind_it() {
    let scene = Scene::start("").await;
    scene.queue_step("pause", &json!({ "reason": "forgotten" })).await;
    let prometheus = Prometheus::watching(&scene.daemon).await;
    assert_eq!(prometheus.firing_after(QUIET).await, BTreeSet::new());

    scene.send(1).await;
    only(&prometheus, &["TidegatePausedLong"]).await;

    scene.queue_step("resume", &json!({})).await;
    prometheus.ends("TidegatePausedLong").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_queue_from_which_nobody_claims_is_stuck() {
    let redis = RedisServer::start().await;
    let daemon = Daemon::start(&redis, "[queues.jobs.downstream]\ntype = \"pull\"\n").await;
    let prometheus = Prometheus::watching(&daemon).await;
    daemon.send(QUEUE, &json!({ "payload": 1 })).await;
    only(&prometheus, &["TidegateQueueStuck"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn messages_that_leave_seconds_after_their_time_are_late() {
    let scene = Scene::start("").await;
    let prometheus = Prometheus::watching(&scene.daemon).await;
    let soon = json!({ "payload": 1, "delay": "1s" });
    let ids = [scene.daemon.send(QUEUE, &soon).await, scene.daemon.send(QUEUE, &soon).await];

    scene.redis.signal(Signal::STOP);
    tokio::time::sleep(std::time::Duration::from_secs(8)).await;
    scene.redis.signal(Signal::CONT);

    for id in ids {
        assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    }
    prometheus.fires("TidegateLate").await;
    prometheus.ends("TidegateStoreDown").await;
    only(&prometheus, &["TidegateLate"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn many_dead_letters_are_reported_and_those_deleted_early_too() {
    let scene = Scene::start("retention.dead_max_messages = 4").await;
    scene.downstream.always(Answer::status(422));
    let prometheus = Prometheus::watching(&scene.daemon).await;
    scene.send_numbers(20).await;
    only(&prometheus, &["TidegateMessagesDie", "TidegateDeadPruned"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_backlog_that_refuses_messages_is_full() {
    let scene = Scene::start("backlog = { max_messages = 1 }").await;
    let gate = Gate::new();
    scene.downstream.always(Answer::ok().held_by(&gate));
    scene.send(1).await;
    scene.wait_count("leased", 1).await;
    let prometheus = Prometheus::watching(&scene.daemon).await;
    let path = format!("/v1/queues/{QUEUE}/messages");
    let refuse = async || {
        for number in 0.. {
            scene.daemon.post(&path, &json!({ "payload": number })).await.expect(429);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = refuse() => {}
        () = only(&prometheus, &["TidegateBacklogFull"]) => {}
    }
    gate.release();
    scene.wait_count("delivered", 1).await;
    prometheus.ends("TidegateBacklogFull").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_refused_reload_is_reported_until_one_succeeds() {
    let scene = Scene::start("").await;
    let prometheus = Prometheus::watching(&scene.daemon).await;
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, "concurency = 1"));
    only(&prometheus, &["TidegateReloadFailed"]).await;

    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, "concurrency = 1"));
    prometheus.ends("TidegateReloadFailed").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn spans_that_no_collector_takes_are_reported() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let collector = Collector::start().await;
    collector.server.always(Answer::status(400));
    let config = queue_toml(QUEUE, &downstream, "") + &collector.toml(1.0);
    let daemon = Daemon::start(&redis, config).await;
    let prometheus = Prometheus::watching(&daemon).await;
    let send = async || loop {
        daemon.send(QUEUE, &json!({ "payload": 1 })).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    tokio::select! {
        () = send() => {}
        () = only(&prometheus, &["TidegateTracesLost"]) => {}
    }
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn what_may_have_arrived_waits_for_a_decision() {
    let scene = Scene::start("on_uncertain = \"park\"").await;
    scene.downstream.once(Answer::reset());
    let prometheus = Prometheus::watching(&scene.daemon).await;
    let id = scene.send(1).await;

    only(&prometheus, &["TidegateUncertain"]).await;

    scene.step(&id, "resolve", &json!({ "as": "delivered", "reason": "it is there" })).await;
    prometheus.ends("TidegateUncertain").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_callback_host_that_does_not_answer_is_reported() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let hung = Downstream::start().await;
    hung.always(Answer::reset());
    let callback = format!("callback.url = {:?}", hung.url("/hook"));
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, &callback)).await;
    let prometheus = Prometheus::watching(&daemon).await;
    for number in 0..10 {
        daemon.send(QUEUE, &json!({ "payload": number })).await;
    }
    prometheus.fires("TidegateCallbacksFail").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn a_host_that_messages_name_and_that_does_not_answer_is_reported() {
    let (redis, hung) = tokio::join!(RedisServer::start(), Downstream::start());
    hung.always(Answer::reset());
    let url = hung.url("/hook");
    let host = url.trim_start_matches("http://").trim_end_matches("/hook");
    let config = format!(
        "[queues.{QUEUE}.downstream]\nurl = \"message\"\nhosts = [{host:?}]\n[queues.{QUEUE}.retry]\ninitial = \"1s\"\n"
    );
    let daemon = Daemon::start(&redis, config).await;
    let prometheus = Prometheus::watching(&daemon).await;
    for number in 0..10 {
        daemon.send(QUEUE, &json!({ "payload": number, "url": url })).await;
    }
    prometheus.fires("TidegateHostsFail").await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn streams_show_what_was_rejected_and_what_belongs_to_no_queue() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    redis.cli::<String>(&["XADD", "tidegate:inbox:jbos", "*", "payload", "1"]).await;
    let config = queue_toml(QUEUE, &downstream, "") + "[inbox]\nenabled = true\n";
    let daemon = Daemon::start(&redis, config).await;
    let prometheus = Prometheus::watching(&daemon).await;
    redis.cli::<String>(&["XADD", "tidegate:inbox:jobs", "*", "paylod", "1"]).await;
    only(&prometheus, &["TidegateInboxRejected", "TidegateInboxStray"]).await;
}

#[tokio::test]
#[ignore = "needs prometheus: make test-all"]
async fn an_event_that_one_queue_cannot_take_is_incomplete() {
    let (cluster, downstream) = tokio::join!(Cluster::start(), Downstream::start());
    let (namespace, number) = crate::topics::fan_out::apart(&cluster).await;
    let config = queue_toml("stock", &downstream, "")
        + &queue_toml("sms", &downstream, "")
        + "[topics.order_paid]\nqueues = [\"stock\", \"sms\"]\n";
    let daemon = Daemon::with(config)
        .cluster(&cluster)
        .environment("TIDEGATE__REDIS__NAMESPACE", &namespace)
        .start()
        .await;
    let prometheus = Prometheus::watching(&daemon).await;
    let full = cluster.nodes()[number].cli::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    full.await;
    let path = "/v1/queues/sms/messages";
    eventually("sms is full", async || {
        daemon.post(path, &json!({ "payload": 0 })).await.status == 503
    })
    .await;

    let headers = [("Content-Type", "application/json")];
    let body = json!({ "payload": 1 }).to_string();
    let published =
        daemon.http().send(Method::POST, "/v1/topics/order_paid/messages", &headers, body);
    published.await.expect(201);

    only(&prometheus, &["TidegateStoreFull", "TidegateTopicIncomplete"]).await;
    cluster.nodes()[number].cli::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    prometheus.ends("TidegateTopicIncomplete").await;
}
