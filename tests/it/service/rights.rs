//! The Redis user that a daemon is: with the rights that docs/configuration.md lists all of it works, and
//! what is refused is said with the remedy, at the start (exit 5) and later.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::daemon::DaemonOptions;
use crate::support::redis::RedisOptions;
use crate::support::wait::poll_until;
use crate::support::{Answer, Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml};

/// The rule as the page gives it, for the namespace that it names.
fn rule() -> Vec<String> {
    let page = include_str!("../../../docs/configuration.md");
    let line = page.lines().find_map(|line| line.strip_prefix("ACL SETUSER tidegate "));
    line.expect("the page has the rule").split(' ').map(str::to_owned).collect()
}

async fn set_user(redis: &RedisServer, rules: &[&str]) {
    redis.cli::<()>(&[&["ACL", "SETUSER", "tidegate"], rules].concat()).await;
}

/// A server with a user of exactly these rights.
async fn server_with_user() -> RedisServer {
    let redis = RedisOptions::default().on_tcp().start().await;
    let rule = rule();
    let rule: Vec<&str> = rule.iter().map(String::as_str).collect();
    assert_eq!(rule[..2], ["on", ">PASSWORD"]);
    set_user(&redis, &rule).await;
    redis
}

fn as_user(redis: &RedisServer, password: &str, config: String) -> DaemonOptions {
    let url = format!("redis://tidegate:{password}@127.0.0.1:{}", redis.port());
    Daemon::with(config).redis_at(&url)
}

const OTHERS: &str = r#"
[queues.pulled.downstream]
type = "pull"
[queues.many]
shards = 2
rate = "1000/s"
batch = { max_items = 5, max_wait = "50ms" }
downstream.type = "null"
[topics.paid]
queues = ["many", "pulled"]
[schedules.often]
queue = "many"
every = "1s"
payload = 1
[inbox]
enabled = true
"#;

#[tokio::test]
async fn with_the_rights_of_the_page_everything_works() {
    let redis = server_with_user().await;
    let downstream = Downstream::start().await;
    let hooks = downstream.url("/hooks");
    let lines = format!(
        "retry.initial = \"50ms\"\ncallback = {{ url = \"{hooks}\", on = [\"delivered\", \"dead\"] }}"
    );
    let config = queue_toml(QUEUE, &downstream, &lines) + OTHERS;
    let daemon = as_user(&redis, "PASSWORD", config).start().await;
    downstream.once(Answer::status(500));

    // Intake, a retry, the outcome, a callback, a wait over pub/sub.
    let id = daemon.send(QUEUE, &json!({ "payload": 1, "idempotency_key": "k" })).await;
    assert_eq!(daemon.wait_final(&id).await["attempts"], 2);
    eventually("it is called back", async || {
        downstream.requests().iter().any(|request| request.path == "/hooks")
    })
    .await;
    // Steps of an operator on a message that waits, and one that dies.
    let later = daemon.send(QUEUE, &json!({ "payload": 2, "delay": "1h", "ttl": "5h" })).await;
    let path = format!("/v1/messages/{later}");
    daemon.patch(&path, &json!({ "delay": "2h" })).await.expect(200);
    daemon.delete(&path).await.expect(200);
    downstream.once(Answer::status(422));
    let dead = daemon.send(QUEUE, &json!({ "payload": 3 })).await;
    assert_eq!(daemon.wait_final(&dead).await["state"], "dead");
    daemon.get(&format!("/v1/queues/{QUEUE}/messages?state=dead")).await.expect(200);
    let all = json!({ "action": "requeue", "queue": QUEUE, "state": "dead", "all": true });
    daemon.post("/v1/operations", &all).await.expect(202);
    eventually("the operation requeues it", async || {
        daemon.message(&dead).await["state"] == "delivered"
    })
    .await;
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &json!({ "reason": "x" })).await.expect(200);
    daemon.post(&format!("/v1/queues/{QUEUE}/resume"), &json!({})).await.expect(200);
    daemon.get("/v1/actions").await.expect(200);

    // A topic, a pull queue, batches over two shards, the ticks of a schedule.
    let paid = daemon.post("/v1/topics/paid/messages", &json!({ "payload": 4 })).await;
    paid.expect(201);
    let claimed = daemon
        .post("/v1/queues/pulled/claim", &json!({ "max": 1, "wait": "5s" }))
        .await
        .expect(200)
        .json();
    let (id, token) = (&claimed["messages"][0]["id"], &claimed["messages"][0]["token"]);
    let settled = json!([{ "id": id, "token": token, "as": "delivered" }]);
    let settled = daemon.post("/v1/queues/pulled/settle", &settled).await.expect(200).json();
    assert_eq!(settled["results"][0]["verdict"], "ok");
    eventually("the schedule ticks", async || {
        daemon.counts("many").await["delivered"].as_u64() >= Some(3)
    })
    .await;

    takes_the_inbox_in(&redis, &downstream).await;
    finds_nothing_wrong(&daemon).await;
    let denied: Vec<redis::Value> = redis.cli(&["ACL", "LOG"]).await;
    let denied: Vec<String> = denied.iter().map(|entry| format!("{entry:?}")).collect();
    let others: Vec<_> = denied.iter().filter(|entry| !entry.contains("client|setinfo")).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// An entry of the inbox, and one that cannot be taken.
async fn takes_the_inbox_in(redis: &RedisServer, downstream: &Downstream) {
    let stream = format!("tidegate:inbox:{QUEUE}");
    redis.cli::<String>(&["XADD", &stream, "*", "payload", "\"in\""]).await;
    redis.cli::<String>(&["XADD", &stream, "*", "nothing", "x"]).await;
    eventually("it is taken in", async || {
        downstream.requests().iter().any(|request| request.body == b"\"in\"")
    })
    .await;
    eventually("the other one is rejected", async || {
        redis.cli::<u64>(&["XLEN", "tidegate:inbox:rejected"]).await == 1
    })
    .await;
}

/// Readings, and a look through all of it.
async fn finds_nothing_wrong(daemon: &Daemon) {
    daemon.get("/v1/nodes").await.expect(200);
    daemon.get("/metrics").await.expect(200);
    let doctor = daemon.cli(&["doctor", "--repair", "--output", "json"]).await;
    let found: serde_json::Value = serde_json::from_str(&doctor.stdout).expect("JSON");
    let problems: Vec<_> = found["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|finding| finding["weight"] == "problem" && finding["about"] != "inbox")
        .collect();
    assert!(problems.is_empty(), "{found}");
    assert!(!daemon.log().contains("rights"), "{}", daemon.log());
}

/// Its exit code, how long that took, and what it said.
async fn refused(options: DaemonOptions) -> (i32, Duration, String) {
    let began = Instant::now();
    let mut daemon = options.launch();
    let code = daemon.wait_exit().await;
    (code, began.elapsed(), daemon.log())
}

const NULL: &str = "[queues.jobs.downstream]\ntype = \"null\"\n";

#[tokio::test]
async fn what_redis_refuses_at_the_start_ends_it_at_once_with_the_remedy() {
    let redis = server_with_user().await;
    let null = || NULL.to_owned();
    let (code, took, log) = refused(as_user(&redis, "wrong", null())).await;
    assert_eq!(code, 5, "{log}");
    assert!(log.contains("mend the user and the password in redis.url"), "{log}");
    assert!(took < Duration::from_secs(10), "it waits for nothing: {took:?}");
    assert!(!log.contains("wrong@"), "the password is not shown: {log}");

    redis.cli::<()>(&["CONFIG", "SET", "requirepass", "secret"]).await;
    let (code, _, log) = refused(Daemon::with(null()).redis(&redis)).await;
    assert_eq!(code, 5, "{log}");
    assert!(log.contains("put user and password into redis.url"), "{log}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_ends_the_start_with_the_remedy() {
    let redis = RedisOptions::default().on_tcp().start().await;
    let url = format!("redis://127.0.0.1:{}/99", redis.port());
    let (code, took, log) = refused(Daemon::with(NULL.to_owned()).redis_at(&url)).await;
    assert_eq!(code, 5, "{log}");
    assert!(log.contains("the database in redis.url does not exist"), "{log}");
    assert!(took < Duration::from_secs(10), "it waits for nothing: {took:?}");
}

#[tokio::test]
async fn missing_rights_are_all_named_at_the_start() {
    let redis = server_with_user().await;
    for (taken, named) in [
        ("-xadd", "XADD {tidegate}:rights"),
        ("-evalsha", "EVALSHA {tidegate}:rights"),
        ("-publish", "PUBLISH tidegate:wake"),
        ("resetchannels", "SUBSCRIBE tidegate:final"),
        ("-config", ""),
        ("resetkeys", "HSET"),
    ] {
        set_user(&redis, &[taken]).await;
        let options = as_user(&redis, "PASSWORD", NULL.to_owned());
        if named.is_empty() {
            // INFO tells enough at this level.
            drop(options.durability("everysec").start().await);
        } else {
            let (code, _, log) = refused(options).await;
            assert_eq!(code, 5, "{taken}: {log}");
            assert!(log.contains("ACL SETUSER <user> ~{tidegate}:*"), "{taken}: {log}");
            let all_keys = taken == "resetkeys";
            assert!(all_keys || log.contains(named), "{taken}: {log}");
        }
        let rule = rule();
        set_user(&redis, &rule.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
}

#[tokio::test]
async fn rights_that_are_taken_away_later_are_an_alarm_until_they_are_back() {
    let redis = server_with_user().await;
    let daemon = as_user(&redis, "PASSWORD", NULL.to_owned()).start().await;
    daemon.send(QUEUE, &json!({ "payload": 1 })).await;

    set_user(&redis, &["-hset"]).await;

    let messages = format!("/v1/queues/{QUEUE}/messages");
    let refused = poll_until("intake is refused", async || {
        let refused = daemon.post(&messages, &json!({ "payload": 1 })).await;
        (refused.status == 503).then(|| refused.text().to_owned())
    })
    .await;
    assert!(refused.contains("give the Redis user the rights"), "{refused}");
    let ready = poll_until("it is not ready", async || {
        let ready = daemon.get("/readyz").await;
        (ready.status == 503).then(|| ready.text().to_owned())
    })
    .await;
    assert!(ready.contains("rights"), "{ready}");
    let doctor = daemon.cli(&["doctor", "--quick"]).await;
    assert_eq!(doctor.code, 5, "{}", doctor.stdout);
    assert!(doctor.stdout.contains("rights"), "{}", doctor.stdout);

    set_user(&redis, &["+hset"]).await;

    eventually("intake goes on", async || {
        daemon.post(&messages, &json!({ "payload": 1 })).await.status == 201
    })
    .await;
    let said = daemon.log().matches("Redis is away; sending stops").count();
    assert_eq!(said, 1, "{}", daemon.log());
    eventually("it is said once that it is over", async || {
        daemon.log().matches("Redis answers").count() == 2
    })
    .await;
}

#[tokio::test]
async fn a_password_that_is_changed_is_an_alarm_until_it_is_changed_back() {
    let redis = server_with_user().await;
    let daemon = as_user(&redis, "PASSWORD", NULL.to_owned()).start().await;

    set_user(&redis, &["resetpass", ">other"]).await;
    redis.cli::<u64>(&["CLIENT", "KILL", "USER", "tidegate"]).await;

    eventually("it is not ready, and says why", async || {
        let ready = daemon.get("/readyz").await;
        ready.status == 503 && ready.text().contains("mend the user and the password in redis.url")
    })
    .await;
    // Whoever is asked may know it before the loops do, which say it.
    let away = "Redis is away; sending stops";
    eventually("the loops have noticed", async || daemon.log().contains(away)).await;

    set_user(&redis, &[">PASSWORD"]).await;

    eventually("it is ready again", async || daemon.get("/readyz").await.status == 200).await;
    assert_eq!(daemon.log().matches(away).count(), 1, "{}", daemon.log());
}
