//! The case: an account's units of a day until midnight in its own zone, over four queues on a cluster of three, with what another
//! vendor used charged in between.

use serde_json::json;

use super::fill;
use crate::support::{Cluster, Daemon, Downstream, eventually, queue_toml};

const QUOTA: usize = 2000;
const CHARGED: usize = 500;
const QUEUES: [&str; 4] = ["codes", "offers", "alerts", "news"];

#[tokio::test]
async fn a_day_of_an_account_over_four_queues_on_a_cluster() {
    let cluster = Cluster::shared().await;
    let mut downstreams = Vec::new();
    let mut config =
        format!("[limits.brand]\nquota = \"{QUOTA}/day\"\ntime_zone = \"America/Los_Angeles\"\n");
    for (at, name) in QUEUES.into_iter().enumerate() {
        let downstream = Downstream::start().await;
        // Over one shard and over several, by keys and without.
        let lines = ["", "shards = 3", "ordering = \"group\"", "rate = \"400/s\""][at];
        config += &queue_toml(name, &downstream, &format!("{lines}\nlimits = [\"brand\"]"));
        downstreams.push(downstream);
    }
    let first = Daemon::with(config.clone()).cluster(cluster);
    // The second node of the same namespace.
    let first = first.environment("TIDEGATE__REDIS__NAMESPACE", "brand").start().await;
    let second = Daemon::with(config).cluster(cluster);
    let _second = second.environment("TIDEGATE__REDIS__NAMESPACE", "brand").start().await;
    for name in QUEUES {
        fill(&first, name, 300, 1).await;
    }
    let delivered = async || {
        let mut delivered = 0;
        for name in QUEUES {
            let counts = first.counts(name).await;
            if counts["leased"] != 0 {
                return 0;
            }
            delivered += counts["delivered"].as_u64().expect("a count");
        }
        delivered
    };
    eventually("the morning is sent", async || delivered().await == 1200).await;

    // At noon: another vendor says what it has used of the same account.
    let charge = json!({ "units": CHARGED, "reason": "campaign tool" });
    let charged = first.post("/v1/limits/brand/charge", &charge).await.expect(200).json();
    assert_eq!(charged["used"], 1200 + CHARGED, "{charged}");
    assert_eq!(charged["charged"], CHARGED, "{charged}");
    for name in QUEUES {
        fill(&first, name, 300, 1).await;
    }

    let most = (QUOTA - CHARGED) as u64;
    eventually("the day is used up", async || delivered().await == most).await;
    let calls: usize = downstreams.iter().map(|downstream| downstream.requests().len()).sum();
    assert_eq!(calls, QUOTA - CHARGED, "the account is used to the unit");
    let limit = first.get("/v1/limits/brand").await.expect(200).json();
    assert_eq!(json!([limit["used"], limit["left"]]), json!([QUOTA, 0]), "{limit}");
    let resets = limit["resets_at"].as_str().expect("a moment");
    let is_midnight = resets.ends_with("T07:00:00.000Z") || resets.ends_with("T08:00:00.000Z");
    assert!(is_midnight, "{limit}");
    let by_queue = limit["by_queue"].as_array().expect("a list");
    let used: u64 = by_queue.iter().map(|it| it["used"].as_u64().expect("units")).sum();
    assert_eq!(used, most, "{limit}");
    for name in QUEUES {
        let page = first.get(&format!("/v1/queues/{name}/messages?state=ready")).await.expect(200);
        for message in page.json()["messages"].as_array().expect("a page") {
            assert_eq!(message["held_by"][0], "limit:brand", "{message}");
        }
    }
}
