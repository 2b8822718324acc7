//! Draining and stopping: intake is refused, waits end, requests under way end, the door closes.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::support::House;

#[tokio::test]
async fn draining_refuses_intake_and_goes_on_reading() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1}"#).await;
    house.draining.cancel();
    for (path, body) in
        [("/v1/queues/sms/messages", r#"{"payload": 1}"#), ("/v1/queues/sms/messages/batch", "[]")]
    {
        assert_eq!(house.post(path, body).await.code(503), "draining");
    }
    assert_eq!(house.get("/readyz").await.code(503), "draining");
    assert_eq!(house.message(&id).await["state"], "ready");
    assert_eq!(house.delete(&format!("/v1/messages/{id}")).await.status, 200);
    house.get("/livez").await.expect(200);
}

#[tokio::test]
async fn open_waits_end_with_the_state_as_it_is() {
    let house = House::open().await;
    let id = house.seed(r#"{"payload": 1, "delay": "1h"}"#).await;
    let path = format!("/v1/messages/{id}?wait=60s");
    let started = Instant::now();
    let (waited, ()) = tokio::join!(house.get(&path), async {
        house.until_watched().await;
        house.draining.cancel();
    });
    assert_eq!(waited.expect(200).json()["state"], json!("scheduled"));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_stop_closes_the_door_and_idle_connections() {
    let house = House::open().await;
    house.get("/livez").await.expect(200);
    let mut idle = TcpStream::connect(house.address).await.unwrap();
    idle.write_all(b"GET /livez HT").await.unwrap();
    house.get("/livez").await.expect(200);
    house.tasks.stop();
    // A connection in the middle of a head does not hold up the stop beyond the drain.
    tokio::time::timeout(Duration::from_secs(20), house.tasks.join()).await.expect("it stops");
    assert!(TcpStream::connect(house.address).await.is_err(), "the door is closed");
}
