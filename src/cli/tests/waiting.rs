//! Commands that wait: until the daemon is ready, or until a message is final.

use serde_json::json;

use super::super::exit::Exit;
use super::kit::{Daemon, reply, run_at};

#[tokio::test]
async fn health_waits_until_the_daemon_is_ready_and_says_at_the_end_why_it_is_not() {
    let away = || reply(503, json!({"code": "store-unavailable", "detail": "Redis is away"}));
    let daemon =
        Daemon::with([away(), away(), reply(200, json!({"status": "ready", "node": "A"}))]).await;
    let ready = daemon.run(&["health", "--wait", "30s"]).await;
    assert_eq!((ready.exit, ready.out.as_str(), ready.err.as_str()), (Exit::Ok, "ready\n", ""));
    assert_eq!(daemon.lines().len(), 3);
    let daemon = Daemon::with([away()]).await;
    let over = daemon.run(&["health", "--wait", "0s"]).await;
    assert_eq!((over.exit, over.out.as_str()), (Exit::Unreachable, ""));
    assert!(over.err.contains("not ready after 0ms: Redis is away"), "{}", over.err);
    let nobody = run_at("http://127.0.0.1:1", &["health", "--wait", "300ms"], "").await;
    assert_eq!(nobody.exit, Exit::Unreachable);
    assert!(nobody.err.contains("not ready after 300ms: no daemon can be reached"));
    let other = Daemon::with([reply(200, json!({"status": "ok"}))]).await;
    assert_eq!(other.run(&["health", "--wait", "1h"]).await.exit, Exit::Failure);
}

#[tokio::test]
async fn get_waits_for_the_end_of_each_message() {
    let message = |state: &str| super::answers::message(&json!({"state": state, "attempts": 1}));
    let daemon = Daemon::with([
        reply(200, message("ready")),
        reply(200, message("delivered")),
        reply(200, message("dead")),
    ])
    .await;
    let done = daemon.run(&["get", "sms_01", "sms_02", "--wait", "90s"]).await;
    assert_eq!(done.exit, Exit::Failure, "one of them is dead");
    assert!(done.out.contains("Delivered after 1 attempt\n"), "{}", done.out);
    assert!(done.out.contains("Dead after 1 attempt\n"), "{}", done.out);
    let lines = daemon.lines();
    assert_eq!(lines[0], "GET /v1/messages/sms_01?view=full&wait=1m");
    assert!(lines[2].starts_with("GET /v1/messages/sms_02?view=full&wait="), "{lines:?}");
    let daemon = Daemon::with([reply(200, message("ready"))]).await;
    let over = daemon.run(&["get", "sms_01", "--wait", "0s"]).await;
    assert_eq!(over.exit, Exit::TimedOut);
    assert!(over.err.contains("not final after 0ms"), "{}", over.err);
}
