//! The support itself: a test that cannot trust its Redis or its downstream proves nothing.

use std::path::Path;
use std::process::Command;

use http::Method;
use serde_json::json;

use crate::support::guarded::{AtEnd, Guarded};
use crate::support::http::Http;
use crate::support::redis::RedisOptions;
use crate::support::{
    Answer, Cluster, Daemon, Downstream, Gate, RedisServer, batch_results, eventually, within,
};

#[tokio::test]
async fn redis_keeps_its_data_over_a_kill() {
    let mut redis = RedisServer::start().await;
    redis.cli::<()>(&["SET", "tide", "high"]).await;

    redis.restart().await;

    assert_eq!(redis.cli::<String>(&["GET", "tide"]).await, "high");
}

#[tokio::test]
async fn redis_runs_as_the_test_wants_it() {
    let options = RedisOptions::default().set("appendonly", "no").set("maxmemory", "50mb").on_tcp();
    let redis = options.start().await;

    let config: Vec<String> = redis.cli(&["CONFIG", "GET", "appendonly"]).await;

    assert_eq!(config, ["appendonly", "no"]);
    assert_eq!(redis.url(), format!("redis://127.0.0.1:{}", redis.port()));
}

#[tokio::test]
async fn redis_is_gone_when_killed() {
    let mut redis = RedisServer::start().await;
    let socket = redis.url().trim_start_matches("unix://").to_owned();

    redis.kill9().await;

    assert!(std::os::unix::net::UnixStream::connect(socket).is_err());
}

#[tokio::test]
async fn nothing_of_a_process_outlives_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("work");
    std::fs::create_dir(&folder).unwrap();
    let mut command = Command::new("sleep");
    let sleep = Guarded::start(command.arg("600"), Path::new("/dev/null"), AtEnd::Stop, &folder);
    let pid = sleep.pid();
    assert!(rustix::process::test_kill_process(pid).is_ok());

    drop(sleep);

    assert!(rustix::process::test_kill_process(pid).is_err());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_process_that_ends_by_itself_tells_its_exit_code_and_keeps_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mut command = Command::new("sh");
    command.args(["-c", "echo $WORD; exit 7"]).env("WORD", "high tide");

    let mut process = Guarded::start(&command, &log, AtEnd::Kill, dir.path());

    assert_eq!(process.wait().await, 7);
    drop(process);
    assert_eq!(std::fs::read_to_string(log).unwrap(), "high tide\n");
}

#[tokio::test]
async fn the_cluster_serves_every_slot() {
    let cluster = Cluster::shared().await;
    let urls = cluster.urls();
    assert_eq!(urls.len(), cluster.nodes().len());
    let client = redis::cluster::ClusterClient::new(urls).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();

    for tag in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let key = format!("{{support:{tag}}}");
        redis::cmd("SET").arg(&key).arg(tag).exec_async(&mut connection).await.unwrap();
        let back: String = redis::cmd("GET").arg(&key).query_async(&mut connection).await.unwrap();
        assert_eq!(back, tag);
    }
}

#[tokio::test]
async fn the_downstream_records_what_it_was_sent_and_answers_by_its_script() {
    let downstream = Downstream::start().await;
    let client = Http::new(&downstream.url(""));
    downstream.once(Answer::status(429).header("Retry-After", "2"));
    downstream.answer_with(|request| {
        batch_results(request, |item| if item["id"] == "b" { None } else { Some("delivered") })
    });
    let headers = [("webhook-id", "sms_1"), ("Tidegate-Attempt", "2")];
    let batch = json!([{ "id": "a" }, { "id": "b" }]);

    let throttled = client.send(Method::POST, "/send", &headers, "hello").await.expect(429);
    let settled = client.send(Method::PUT, "/orders", &[], batch.to_string()).await.expect(200);

    assert_eq!(throttled.header("retry-after"), "2");
    assert_eq!(settled.json()["results"][0]["id"], "a");
    assert_eq!(settled.json()["results"].as_array().unwrap().len(), 1);
    let requests = downstream.wait_for(2).await;
    assert_eq!((requests[0].method.as_str(), requests[0].path.as_str()), ("POST", "/send"));
    assert_eq!((requests[0].id(), requests[0].attempt()), ("sms_1", 2));
    assert_eq!(requests[0].body, b"hello");
    assert_eq!(requests[1].items().len(), 2);
    assert_eq!([requests[0].index, requests[1].index], [0, 1]);
    assert!(requests[0].arrived <= requests[1].arrived);
}

#[tokio::test]
async fn the_downstream_holds_answers_back_until_released() {
    let downstream = Downstream::start().await;
    let client = Http::new(&downstream.url(""));
    let gate = Gate::new();
    downstream.always(Answer::ok().body("done").held_by(&gate));

    let both = async {
        tokio::join!(
            client.send(Method::POST, "/1", &[], ""),
            client.send(Method::POST, "/2", &[], ""),
        )
    };
    let release = async {
        downstream.wait_for(2).await;
        gate.release();
    };
    let ((first, second), ()) = tokio::join!(both, release);

    assert_eq!((first.text(), second.text()), ("done", "done"));
    assert_eq!(downstream.in_flight_max(), 2);
}

#[tokio::test]
async fn the_downstream_misbehaves_on_request() {
    let downstream = Downstream::start().await;
    let client = Http::new(&downstream.url(""));
    downstream.once(Answer::reset());
    downstream.once(Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
    downstream.once(Answer::silence());

    let reset = client.try_send(Method::POST, "/", &[], "").await;
    let half = client.try_send(Method::POST, "/", &[], "").await;
    assert!(reset.is_err() && half.is_err());

    // Silence has no end of its own: this side hangs up when it has seen the request arrive.
    tokio::select! {
        answer = client.try_send(Method::POST, "/", &[], "") => panic!("answered: {answer:?}"),
        requests = downstream.wait_for(3) => assert_eq!(requests.len(), downstream.requests().len()),
    }
}

#[tokio::test]
async fn a_daemon_on_an_external_redis_lives_and_dies_as_told() {
    let redis = RedisServer::start().await;
    let queue = "[queues.sms.downstream]\ntype = \"null\"\n";
    let mut daemon = Daemon::start(&redis, queue).await;
    let id = daemon.send("sms", &json!({ "payload": "hello", "delay": "1h" })).await;

    daemon.patch(&format!("/v1/messages/{id}"), &json!({ "priority": 9 })).await.expect(200);
    daemon.restart().await;
    assert_eq!(daemon.message(&id).await["priority"], 9);
    assert_eq!(daemon.counts("sms").await["scheduled"], 1);
    daemon.post(&format!("/v1/messages/{id}/run"), &json!({})).await.expect(200);
    assert_eq!(daemon.wait_final(&id).await["state"], "delivered");
    let other = daemon.send("sms", &json!({ "payload": 1, "delay": "1h" })).await;
    daemon.delete(&format!("/v1/messages/{other}")).await.expect(200);

    daemon.sighup(&format!("{queue}[queues.erp.downstream]\ntype = \"null\"\n"));
    eventually("the new queue is there", async || daemon.get("/v1/queues/erp").await.status == 200)
        .await;
    let shown = daemon.cli(&["get", &id]).await;
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(shown.stdout.contains("delivered"), "{}", shown.stdout);
    assert_eq!(daemon.sigterm().await, 0);
}

#[tokio::test]
async fn a_daemon_on_the_cluster_keeps_to_its_own_namespace() {
    let cluster = Cluster::shared().await;
    let options = || Daemon::with("[queues.sms.downstream]\ntype = \"null\"\n").cluster(cluster);
    let (first, second) = (options().start().await, options().start().await);

    first.send("sms", &json!({ "payload": "hello", "delay": "1h" })).await;

    assert_eq!(first.counts("sms").await["scheduled"], 1);
    assert_eq!(second.counts("sms").await["scheduled"], 0);
}

#[tokio::test]
async fn a_daemon_on_a_managed_redis_takes_it_along() {
    let mut daemon = Daemon::with("").start().await;
    assert!(daemon.managed_redis().is_some());

    assert_eq!(within("a graceful stop", daemon.sigterm()).await, 0);

    assert!(daemon.managed_redis().is_none());
}

#[tokio::test]
async fn a_daemon_that_cannot_start_says_why_and_ends() {
    let mut daemon = Daemon::with("[server]\ndrain_timeout = 7\n").launch();

    let code = daemon.wait_exit().await;

    assert_eq!(code, 2, "{}", daemon.log());
    assert!(daemon.log().contains("server.drain_timeout"), "{}", daemon.log());
}
