//! What operators see of shared limits and do with them: the API, the command line, reloads, refusals.

use serde_json::{Value, json};

use super::{Shared, shown};
use crate::support::eventually;
use crate::support::wait::poll_until;

const ACCOUNTS: &str = "[limits.brand]\nquota = \"10/month\"\n[limits.line]\nrate = \"50/s\"\n[limits.idle]\nquota = \"5/day\"";
const LINES: &str = "limits = [\"brand\", \"line\"]";

#[tokio::test]
async fn a_shared_limit_is_listed_shown_and_charged() {
    let scene = Shared::new(&["a", "b"], ACCOUNTS).await;
    let daemon = scene.node(LINES).await;
    scene.fill(&daemon, 2, 1).await;
    scene.wait_delivered(&daemon, 4).await;

    let list = daemon.get("/v1/limits").await.expect(200).json();
    let names: Vec<&Value> =
        list["limits"].as_array().expect("a list").iter().map(|it| &it["name"]).collect();
    assert_eq!(json!(names), json!(["brand", "idle", "line"]));
    let limit = daemon.get("/v1/limits/brand").await.expect(200).json();
    let seen =
        json!([limit["kind"], limit["value"], limit["used"], limit["left"], limit["next_at"]]);
    assert_eq!(seen, json!(["quota", "10/month", 4, 6, null]), "{limit}");
    let by_queue = json!([{ "queue": "a", "used": 2 }, { "queue": "b", "used": 2 }]);
    assert_eq!(limit["by_queue"], by_queue);
    let line = daemon.get("/v1/limits/line").await.expect(200).json();
    assert_eq!(json!([line["used"], line["charged"]]), json!([null, null]));
    assert!(line["next_at"].is_string(), "{line}");

    let charge = async |units: i64| {
        let body = json!({ "units": units, "reason": "others" });
        daemon.post("/v1/limits/brand/charge", &body).await.expect(200).json()
    };
    let charged = charge(3).await;
    assert_eq!(json!([charged["used"], charged["left"], charged["charged"]]), json!([7, 3, 3]));
    assert_eq!(charge(20).await["used"], 27, "it may pass the quota");
    let charged = charge(-100).await;
    assert_eq!(
        json!([charged["used"], charged["left"]]),
        json!([0, 10]),
        "and never falls below 0"
    );

    let actions = daemon.get("/v1/actions").await.expect(200).json();
    let last = &actions["actions"][0];
    assert_eq!(
        json!([last["action"], last["on"], last["reason"]]),
        json!(["charge limit", "brand", "others"])
    );
    assert_eq!(last["detail"]["units"], -100);

    let keyed = async |units: i64| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "campaign")];
        let body = json!({ "units": units }).to_string();
        daemon.http().send(http::Method::POST, "/v1/limits/brand/charge", &headers, body).await
    };
    assert_eq!(keyed(4).await.expect(200).json()["used"], 4);
    assert_eq!(keyed(4).await.expect(200).json()["used"], 4, "a repeat changes nothing");
    assert_eq!(keyed(5).await.expect(422).json()["code"], "idempotency-mismatch");
}

#[tokio::test]
async fn what_cannot_be_charged_is_refused() {
    let scene = Shared::new(&["a"], ACCOUNTS).await;
    let daemon = scene.node(LINES).await;
    let refused = async |limit: &str, body: Value, status: u16| {
        let path = format!("/v1/limits/{limit}/charge");
        let problem = daemon.post(&path, &body).await.expect(status).json();
        problem.to_string()
    };
    let problem = refused("line", json!({ "units": 1 }), 400).await;
    assert!(problem.contains("is a rate (50/s)"), "{problem}");
    let problem = refused("brnad", json!({ "units": 1 }), 404).await;
    assert!(problem.contains("did you mean \\\"brand\\\"?"), "{problem}");
    let problem = refused("other", json!({ "units": 1 }), 404).await;
    assert!(problem.contains("there are brand, idle, line"), "{problem}");
    for body in [json!({}), json!({ "units": "1" }), json!({ "units": 1.5 }), json!({ "unit": 1 })]
    {
        refused("brand", body, 400).await;
    }
    let message = json!({ "payload": 1, "cost": 11 });
    let problem = daemon.post("/v1/queues/a/messages", &message).await.expect(422).json();
    assert_eq!(problem["code"], "cost-too-large", "{problem}");
}

#[tokio::test]
async fn units_that_others_give_back_let_messages_start_and_a_reload_holds_at_once() {
    let scene = Shared::new(&["a", "b"], ACCOUNTS).await;
    let daemon = scene.node(LINES).await;
    daemon.post("/v1/limits/brand/charge", &json!({ "units": 10 })).await.expect(200);
    scene.fill(&daemon, 5, 1).await;
    eventually("the account holds all", async || {
        let limit = shown(&daemon, "a", "brand").await;
        limit["held_keys"] == 1 && daemon.counts("a").await["ready"] == 5
    })
    .await;
    let doctor = daemon.get("/v1/doctor").await.expect(200).json();
    assert!(doctor.to_string().contains("brand"), "{doctor}");

    daemon.post("/v1/limits/brand/charge", &json!({ "units": -4 })).await.expect(200);
    scene.wait_delivered(&daemon, 4).await;

    daemon.sighup(&scene.config(LINES).replace("10/month", "12/month"));
    scene.wait_delivered(&daemon, 6).await;
    poll_until("the new value is shown", async || {
        (shown(&daemon, "a", "brand").await["value"] == "12/month").then_some(())
    })
    .await;
    assert_eq!(scene.calls(), 6);
}

#[tokio::test]
async fn what_a_worker_releases_goes_back_to_the_account() {
    let redis = crate::support::RedisServer::start().await;
    let toml = "[limits.brand]\nquota = \"4/month\"\n[queues.a]\ndownstream.type = \"pull\"\nlimits = [\"brand\"]\n";
    let daemon = crate::support::Daemon::start(&redis, toml).await;
    for cost in [3, 1, 1] {
        daemon.send("a", &json!({ "payload": cost, "cost": cost })).await;
    }
    let claim = async || {
        let reply = daemon.post("/v1/queues/a/claim", &json!({ "max": 10 })).await.expect(200);
        reply.json()["messages"].as_array().expect("a list").clone()
    };
    // Who does not wait may be given a part: of a quota a hundredth at a time, but at least one message.
    let mut claimed = claim().await;
    claimed.extend(claim().await);
    claimed.extend(claim().await);
    assert_eq!(claimed.len(), 2, "{claimed:?}");
    assert_eq!(shown(&daemon, "a", "brand").await["used"], 4);
    let said: Vec<_> = claimed
        .iter()
        .map(|message| json!({ "id": message["id"], "token": message["token"], "as": "release" }))
        .collect();
    for verdict in ["ok", "already"] {
        let reply = daemon.post("/v1/queues/a/settle", &json!(said)).await.expect(200).json();
        assert_eq!(reply["results"][0]["verdict"], verdict, "{reply}");
        assert_eq!(shown(&daemon, "a", "brand").await["used"], 0);
    }
}
