//! Stock levels: many changes of a few articles, of which the downstream needs the newest alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{QUICK_RETRY, assert_nothing_left, assert_sound};
use crate::support::downstream::Request;
use crate::support::wait::poll_until_within;
use crate::support::{Answer, QUEUE, Scene};

pub(super) const ARTICLES: usize = 100;

/// The level of an article, as one row.
pub(super) fn row(article: usize, level: usize) -> Value {
    json!({ "payload": { "article": article, "level": level }, "collapse_key": format!("article-{article}") })
}

/// The levels that came downstream, by article.
pub(super) fn levels(requests: &[Request]) -> BTreeMap<u64, Vec<u64>> {
    let mut levels: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for request in requests {
        let body = request.json();
        let number = |name: &str| body[name].as_u64().expect("a number");
        levels.entry(number("article")).or_default().push(number("level"));
    }
    levels
}

/// So many changes of each article, spread over this time; returns when the first and the last were accepted.
async fn change(scene: &Scene, changes: usize, within: Duration) -> [Instant; 2] {
    let began = Instant::now();
    for level in 1..=changes {
        let rows: Vec<_> = (0..ARTICLES).map(|article| row(article, level)).collect();
        let path = format!("/v1/queues/{QUEUE}/messages/batch");
        let reply = scene.daemon.post(&path, &json!(rows)).await.expect(200).json();
        assert_eq!(reply["accepted"], ARTICLES, "{reply}");
        let next = began + within * u32::try_from(level).unwrap() / u32::try_from(changes).unwrap();
        tokio::time::sleep_until(next).await;
    }
    [began, Instant::now()]
}

#[tokio::test]
async fn ten_thousand_stock_levels_of_a_hundred_articles_make_a_hundred_calls() {
    let scene =
        Scene::start("collapse = { wait = \"6s\", max_wait = \"1m\" }\nconcurrency = 32").await;

    let [began, _] = change(&scene, 100, Duration::from_secs(10)).await;

    poll_until_within(Duration::from_secs(60), "all have come", async || {
        (scene.downstream.requests().len() >= ARTICLES).then_some(())
    })
    .await;
    scene.wait_count("delivered", ARTICLES).await;
    let requests = scene.downstream.requests();
    assert_eq!(requests.len(), ARTICLES, "one call for each article");
    assert!(levels(&requests).values().all(|levels| *levels == [100]), "the newest value each");
    let latest = requests.iter().map(|request| request.arrived).max().unwrap();
    assert!(
        latest - began < Duration::from_secs(62),
        "none later than max_wait: {:?}",
        latest - began
    );
    assert_nothing_left(&scene).await;
}

#[tokio::test]
async fn no_level_is_lost_and_none_comes_after_a_newer_when_nodes_are_killed() {
    let lines = format!(
        "{QUICK_RETRY}\nconcurrency = 16\ncollapse = {{ wait = \"100ms\", max_wait = \"300ms\" }}"
    );
    let mut scene = Scene::start(&lines).await;
    let mut other = scene.another_daemon(&lines).await;
    let mut calls = 0_u32;
    scene.downstream.answer_with(move |_| {
        calls += 1;
        let answer = match calls % 9 {
            0 => Answer::status(500),
            4 => Answer::reset(),
            _ => Answer::ok(),
        };
        answer.after(Duration::from_millis(20))
    });
    for _ in 0..2 {
        change(&scene, 10, Duration::from_secs(2)).await;
        other.kill9().await;
        change(&scene, 10, Duration::from_millis(500)).await;
        other.restart().await;
        scene.daemon.kill9().await;
        scene.daemon.restart().await;
    }
    change(&scene, 25, Duration::from_secs(2)).await;

    poll_until_within(Duration::from_secs(60), "nothing waits", async || {
        let counts = scene.daemon.counts(QUEUE).await;
        ["scheduled", "ready", "leased"].iter().all(|state| counts[state] == 0).then_some(())
    })
    .await;
    for (article, levels) in levels(&scene.downstream.requests()) {
        assert_eq!(
            levels.last(),
            Some(&25),
            "article {article}: the newest level came last: {levels:?}"
        );
    }
    assert_eq!(levels(&scene.downstream.requests()).len(), ARTICLES);
    assert_sound(&scene.daemon).await;
    assert_nothing_left(&scene).await;
}
