//! Messages without a key that the queue requires are refused, by every way in.

use serde_json::json;

use super::WaysIn;
use crate::support::eventually;

const REQUIRED: &str = "required_keys = [\"labels.to\", \"group\"]";
const SCHEDULE: &str = "payload = 1\ngroup = \"g\"\nlabels = { to = \"x\" }";

#[tokio::test]
async fn each_way_in_refuses_what_lacks_a_key() {
    let ways = WaysIn::start(REQUIRED, SCHEDULE).await;
    let good = json!({ "payload": 1, "group": "g", "labels": { "to": "x" } });
    let bad = json!({ "payload": 1, "group": "g" });
    let empty = json!({ "payload": 1, "group": "g", "labels": { "to": "" } });
    let said = "missing; each message of the queue \"jobs\" needs labels.to with a value that is not empty (required_keys): give it in the message, or by --label to=VALUE";

    ways.send(&good).await.expect(201);
    let refused = ways.send(&bad).await.expect(400).json();
    assert_eq!(refused["errors"], json!([{ "pointer": "/labels/to", "detail": said }]));
    let refused = ways.send(&json!({ "payload": 1, "labels": { "to": "x" } })).await;
    assert_eq!(refused.expect(400).json()["errors"][0]["pointer"], "/group");
    let refused = ways.send(&empty).await.expect(400).json();
    let found = refused["errors"][0]["detail"].as_str().expect("a detail");
    assert!(found.starts_with("found an empty text; each message of the queue"), "{found}");

    let rows = ways.send_rows(&[bad.clone(), good.clone(), empty]).await;
    let status = rows.iter().map(|row| row["problem"]["status"].clone()).collect::<Vec<_>>();
    assert_eq!(json!(status), json!([400, null, 400]));
    assert_eq!(rows[0]["problem"]["errors"][0]["pointer"], "/labels/to");

    ways.publish(&bad).await.expect(400);
    ways.publish(&good).await.expect(201);
    ways.add_entry(&["payload", "1", "group", "g"]).await;
    ways.add_entry(&["payload", "1", "group", "g", "label.to", "x"]).await;
    ways.run_schedule().await.expect(201);
    let schedule = json!({ "queue": "jobs", "every": "1d", "payload": 1 }).to_string();
    let json_type = [("Content-Type", "application/json")];
    let put =
        ways.daemon.http().send(http::Method::PUT, "/v1/schedules/made", &json_type, schedule);
    put.await.expect(400);

    eventually("five came in", async || ways.waiting("jobs").await.len() == 5).await;
    eventually("an entry is rejected", async || ways.length("rejected").await == 1).await;
    let rejected: Vec<(String, Vec<String>)> =
        ways.redis.cli(&["XRANGE", "tidegate:inbox:rejected", "-", "+"]).await;
    assert!(
        rejected[0].1.iter().any(|field| *field == format!("labels.to: {said}")),
        "{rejected:?}"
    );
}

#[tokio::test]
async fn what_is_moved_in_stays_as_it_is() {
    let ways = WaysIn::start(REQUIRED, SCHEDULE).await;
    let other = "/v1/queues/other/messages";
    ways.daemon.post(other, &json!({ "payload": 1 })).await.expect(201);
    let moving =
        json!({ "action": "move", "queue": "other", "state": "ready", "all": true, "to": "jobs" });

    ways.daemon.post("/v1/operations", &moving).await.expect(202);

    eventually("it is there", async || ways.waiting("jobs").await.len() == 1).await;
}
