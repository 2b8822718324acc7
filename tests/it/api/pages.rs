//! Pages of the dashboard that are open while something happens to the store: a browser keeps what it has.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustix::process::Signal;
use serde_json::json;

use crate::support::wait::within;
use crate::support::{Daemon, Downstream, QUEUE, RedisServer, eventually, queue_toml};

/// A page that is followed.
struct FollowedPage {
    body: Incoming,
    text: String,
}

impl FollowedPage {
    async fn open(daemon: &Daemon, page: &str) -> Self {
        let response = daemon.http().open(&format!("/ui/live?page={page}"), &[]).await;
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event: its name, and all of it.
    async fn next(&mut self) -> (String, String) {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                // Signs of life have no name.
                if let Some(name) = block.lines().find_map(|line| line.strip_prefix("event: ")) {
                    return (name.to_owned(), block);
                }
                continue;
            }
            let frame = within("an event", self.body.frame()).await;
            let frame = frame.expect("the stream goes on").expect("the stream goes on");
            if let Ok(piece) = frame.into_data() {
                self.text.push_str(std::str::from_utf8(&piece).expect("events are text"));
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_is_followed_waits_for_a_redis_that_is_away() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "")).await;
    let mut page = FollowedPage::open(&daemon, "%2F").await;
    assert_eq!(page.next().await.0, "main");
    redis.signal(Signal::STOP);
    loop {
        // A look may just have been on its way.
        match page.next().await.0.as_str() {
            "away" => break,
            "main" => {}
            other => panic!("the browser is told {other}, and loses its page"),
        }
    }
    redis.signal(Signal::CONT);
    assert_eq!(page.next().await.0, "main", "it is told again what there is");
}

#[tokio::test]
async fn the_page_of_what_is_wrong_is_followed() {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, "")).await;
    let mut page = FollowedPage::open(&daemon, "%2Fui%2Fhealth").await;
    assert_eq!(page.next().await.0, "main");
    let pause = json!({ "reason": "a first one" });
    daemon.post(&format!("/v1/queues/{QUEUE}/pause"), &pause).await.expect(200);
    while !page.next().await.1.contains("a first one") {}
}

#[tokio::test]
async fn a_browser_that_comes_before_redis_is_shown_a_page() {
    let redis = RedisServer::start().await;
    redis.signal(Signal::STOP);
    let daemon = Daemon::with("").redis(&redis).launch();
    eventually("it answers", async || {
        let asked = daemon.http().try_send(http::Method::GET, "/livez", &[], "");
        asked.await.is_ok_and(|reply| reply.status == 200)
    })
    .await;
    let reply = daemon.http().open("/", &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!(reply.status(), 503);
    assert_eq!(reply.headers()["refresh"], "3");
    assert!(reply.headers()["content-type"].to_str().expect("a text").starts_with("text/html"));
    let reply = daemon.http().open("/v1/queues", &[("accept", "*/*")]).await;
    assert_eq!(reply.headers()["content-type"], "application/problem+json");
    redis.signal(Signal::CONT);
}
