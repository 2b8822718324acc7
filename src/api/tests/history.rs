//! What went through a queue, by minute.

use serde_json::Value;

use super::support::House;
use crate::domain::minutes::{MINUTE_MS, MinuteCounts};

fn numbers(history: &Value, name: &str) -> Vec<u64> {
    let list = history[name].as_array().unwrap();
    list.iter().map(|number| number.as_u64().unwrap()).collect()
}

#[tokio::test]
async fn minutes_of_several_nodes_add_up_and_a_day_is_shown() {
    let house = House::open().await;
    let sms = "sms".parse().unwrap();
    let now_ms = house.store.clock().require_ms().unwrap();
    let one = MinuteCounts { taken: 1, delivered: 2, late: 3, failed: 4 };
    let most = MinuteCounts { taken: u32::MAX, ..MinuteCounts::default() };
    let queues = &house.store.queues;
    for (minutes_ago, counts) in
        [(0, one), (0, one), (600, one), (1439, most), (1439, one), (1440, one)]
    {
        queues.add_minute(&sms, now_ms - minutes_ago * MINUTE_MS, counts).await.unwrap();
    }
    let history = house.get("/v1/queues/sms/history").await.expect(200).json();
    for name in ["taken", "delivered", "late", "failed"] {
        assert_eq!(numbers(&history, name).len(), 1440);
    }
    // Unless the minute has just ended.
    let taken = numbers(&history, "taken");
    let at = taken.iter().rposition(|count| *count == 2).unwrap();
    assert!(at >= 1438, "{at}");
    assert_eq!(taken[at - 600], 1);
    assert_eq!(numbers(&history, "failed")[at], 8);
    if at == 1439 {
        assert_eq!(taken[0], u64::from(u32::MAX), "a number that is full stays so");
    }
    assert_eq!(
        numbers(&history, "late").iter().filter(|count| **count > 0).count(),
        2 + usize::from(at == 1439)
    );
    let hour = house.get("/v1/queues/sms/history?minutes=60").await.expect(200).json();
    assert_eq!(numbers(&hour, "taken").len(), 60);
    house.get("/v1/queues/sms/history?minutes=1441").await.problem(400);
    house.get("/v1/queues/none/history").await.problem(404);
}
