//! Commands on shared limits: limits, limit, charge.

use serde_json::{Value, json};

use super::super::exit::Exit;
use super::kit::{Daemon, reply};

fn brand() -> Value {
    json!({
        "name": "brand", "kind": "quota", "value": "10000/day", "time_zone": "America/Los_Angeles",
        "used": 4200, "left": 5800, "resets_at": "2025-11-21T08:00:00.000Z", "next_at": null, "charged": 1500,
        "by_queue": [{ "queue": "codes", "used": 2400 }, { "queue": "offers", "used": 300 }],
    })
}

fn line() -> Value {
    json!({
        "name": "line", "kind": "rate", "value": "20/s", "time_zone": null, "used": null, "left": null,
        "resets_at": null, "next_at": "2025-11-20T12:00:00.000Z", "charged": null, "by_queue": [],
    })
}

#[tokio::test]
async fn limits_are_a_table_and_one_says_who_uses_it() {
    let list = json!({ "limits": [brand(), line()] });
    let daemon =
        Daemon::with([reply(200, list), reply(200, brand()), reply(200, json!({ "limits": [] }))])
            .await;
    let done = daemon.run(&["limits"]).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    let first = done.out.lines().next().unwrap_or_default();
    assert!(first.starts_with("LIMIT"), "{}", done.out);
    for part in ["brand", "10000/day", "4200", "5800", "codes, offers", "no queue names it"] {
        assert!(done.out.contains(part), "{part} not in\n{}", done.out);
    }
    let done = daemon.run(&["limit", "brand"]).await;
    for part in
        ["10000/day, America/Los_Angeles", "4200, 1500 of them charged", "2400 in this period"]
    {
        assert!(done.out.contains(part), "{part} not in\n{}", done.out);
    }
    let wide = done.out.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "{}", done.out);
    let done = daemon.run(&["limits"]).await;
    assert!(done.out.contains("no shared limits; add [limits.NAME]"), "{}", done.out);
    assert_eq!(daemon.lines(), ["GET /v1/limits", "GET /v1/limits/brand", "GET /v1/limits"]);
}

#[tokio::test]
async fn what_others_used_or_gave_back_is_charged_under_a_key() {
    let daemon = Daemon::with([reply(200, brand()), reply(200, brand())]).await;
    let words = ["limit", "brand", "charge", "1500", "--reason", "campaign", "--key", "c\"1"];
    assert_eq!(daemon.run(&words).await.exit, Exit::Ok);
    let done = daemon.run(&["limit", "brand", "charge", "-200", "--output", "json"]).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.err);
    assert_eq!(serde_json::from_str::<Value>(&done.out).unwrap()["used"], 4200);
    assert_eq!(daemon.lines(), ["POST /v1/limits/brand/charge"; 2]);
    let seen = daemon.seen();
    assert_eq!(seen[0].json(), json!({ "units": 1500, "reason": "campaign" }));
    assert_eq!(seen[1].json(), json!({ "units": -200 }));
    let key = |at: usize| seen[at].headers["idempotency-key"].to_str().unwrap().to_owned();
    assert_eq!(key(0), "\"c\\\"1\"");
    assert!(key(1).starts_with("\"cli-"), "{}", key(1));
}
