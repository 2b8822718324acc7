//! A search among a queue's messages, by several states and filters, in bounded steps.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Answer, QUEUE, Scene};

/// All pages of a search: ids, and how far the last page had looked, of how many.
async fn search(scene: &Scene, query: &str) -> (Vec<String>, u64, u64) {
    let (mut ids, mut cursor, mut looked) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/v1/queues/{QUEUE}/messages?{query}{cursor}");
        let page = scene.daemon.get(&path).await.expect(200).json();
        let messages = page["messages"].as_array().expect("a list");
        ids.extend(messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()));
        let now = page["looked"].as_u64().expect("looked");
        assert!(now >= looked, "{page}");
        looked = now;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (ids, looked, page["of"].as_u64().expect("of")),
        }
    }
}

#[tokio::test]
async fn several_states_and_filters_find_what_fits_page_by_page() {
    let scene = Scene::start("retry.max_attempts = 1\nshards = 2\nconcurrency = 32").await;
    scene.downstream.answer_with(|request| {
        let number = request.json().as_u64().unwrap_or(0);
        Answer::status(422).body(if number % 5 == 0 { "no such number" } else { "too long" })
    });
    let message = |n: u64| json!({ "payload": n, "group": format!("g{}", n % 3), "labels": { "kind": if n.is_multiple_of(4) { "vip" } else { "plain" } } });
    let ids = scene.send_all(&(0..300).map(message).collect::<Vec<_>>()).await;
    scene.wait_count("dead", 300).await;
    let later = json!({ "payload": 5, "delay": "1h", "group": "g0", "labels": { "kind": "vip" } });
    let later = scene.send_all(&[later]).await;
    let meant = |fits: &dyn Fn(usize) -> bool| -> BTreeSet<String> {
        ids.iter().enumerate().filter(|(n, _)| fits(*n)).map(|(_, id)| id.clone()).collect()
    };

    let (found, looked, of) =
        search(&scene, "state=dead&error_contains=no+such+number&limit=7").await;
    assert_eq!(found.len(), 60);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), meant(&|n| n % 5 == 0));
    assert_eq!((looked, of), (300, 300));

    let (found, looked, of) =
        search(&scene, "state=dead,scheduled&label=kind%3Dvip&group=g0&limit=10").await;
    let mut expected = meant(&|n| n % 12 == 0);
    expected.extend(later);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!((looked, of), (301, 301));

    let (none, looked, _) = search(&scene, "created_before=2020-01-01T00:00:00Z").await;
    assert_eq!((none.len(), looked), (0, 301));
    let full = "state=dead&group=g1&view=full&limit=1000";
    let page = scene.daemon.get(&format!("/v1/queues/{QUEUE}/messages?{full}")).await;
    let page = page.expect(200).json();
    assert!(page["messages"].as_array().unwrap().iter().all(|m| m["payload"].is_u64()), "{page}");

    let cli = scene
        .daemon
        .cli(&[
            "--output",
            "json",
            "list",
            QUEUE,
            "--state",
            "dead,scheduled",
            "--label",
            "kind=vip",
            "--group",
            "g0",
            "--limit",
            "1000",
        ])
        .await;
    assert_eq!(cli.code, 0, "{cli:?}");
    let listed: Value = serde_json::from_str(&cli.stdout).expect("JSON");
    assert_eq!(listed["messages"].as_array().unwrap().len(), 26);
}

#[tokio::test]
async fn bad_filters_are_refused_all_at_once() {
    let scene = Scene::start("").await;
    for (query, pointers) in [
        ("label=x&created_after=soon", &["?label", "?created_after"][..]),
        ("state=dead,odd", &["?state"]),
        ("group=a&cursor=xyz", &["?cursor"]),
        ("group=a&idempotency_key=k", &["?idempotency_key"]),
        ("group=a&group=b", &["?group"]),
    ] {
        let path = format!("/v1/queues/{QUEUE}/messages?{query}");
        let problem = scene.daemon.get(&path).await.expect(400).json();
        let found: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["pointer"].as_str().unwrap())
            .collect();
        assert_eq!(found, pointers, "{query}: {problem}");
    }
}
