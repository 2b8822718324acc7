//! How keys are given something at run time: requests that are refused, pages, commands, and what is said of parts without effect.

use serde_json::{Value, json};

use super::{put_key, try_put_key};
use crate::support::wait::poll_until;
use crate::support::{Daemon, QUEUE, Scene, eventually, queue_toml};

const LINES: &str = "fairness = \"labels.tenant\"\nrate = \"50/s\"\nlimits = [{ rate = \"1/min\", per = \"labels.to\" }, { quota = \"5/day\", per = \"labels.to\" }, { concurrency = 2, per = \"labels.to\" }]";

async fn key(daemon: &Daemon, key: &str) -> Value {
    daemon.get(&format!("/v1/queues/{QUEUE}/keys?key={key}")).await.expect(200).json()
}

#[tokio::test]
async fn a_key_is_put_read_replaced_and_deleted() {
    let scene = Scene::start(LINES).await;
    let path = format!("/v1/queues/{QUEUE}/keys");
    let limits = json!({
        "per_to": { "rate": "2/min" }, "per_to_day": { "quota": "50/day" }, "per_to_concurrency": { "concurrency": 4 },
    });

    let body = json!({ "weight": 5, "limits": limits });
    let made = put_key(&scene.daemon, "acme", &body, 201).await;

    assert_eq!(made, key(&scene.daemon, "acme").await);
    let shown = ["key", "weight", "weight_by", "without_effect", "by"].map(|it| made[it].clone());
    assert_eq!(json!(shown), json!(["acme", 5.0, "labels.tenant", [], "anonymous"]));
    assert_eq!(made["limits"], limits);
    let by = json!({ "per_to": "labels.to", "per_to_day": "labels.to", "per_to_concurrency": "labels.to" });
    assert_eq!(made["limits_by"], by);
    // The whole is replaced.
    let replaced = put_key(&scene.daemon, "acme", &json!({ "weight": 0.01 }), 200).await;
    assert_eq!((&replaced["weight"], &replaced["limits"]), (&json!(0.01), &json!({})));
    let deleted = scene.daemon.delete(&format!("{path}?key=acme")).await.expect(200).json();
    assert_eq!(deleted, replaced);
    for gone in [
        scene.daemon.get(&format!("{path}?key=acme")).await,
        scene.daemon.delete(&format!("{path}?key=acme")).await,
    ] {
        assert_eq!(gone.expect(404).json()["code"], "not-found");
    }
    let actions = scene.daemon.get("/v1/actions").await.expect(200).json();
    let action = |at: usize| {
        let action = &actions["actions"][at];
        json!([
            action["action"],
            action["on"],
            action["detail"]["key"],
            action["outcome"]["status"]
        ])
    };
    assert_eq!(action(0), json!(["delete key", QUEUE, "acme", 404]));
    assert_eq!(action(1), json!(["delete key", QUEUE, "acme", 200]));
    assert_eq!(action(2), json!(["put key", QUEUE, "acme", 200]));
    assert_eq!(actions["actions"][3]["detail"]["limits"], limits, "{actions}");
    let log = scene.daemon.log();
    assert!(log.contains("key settings put") && log.contains("key settings deleted"), "{log}");
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_refused_with_the_remedy() {
    let scene = Scene::start(LINES).await;
    let limit = |name: &str, value: Value| json!({ "limits": { name: value } });
    for (body, pointer, part) in [
        (limit("per_too", json!({ "rate": "2/s" })), "/limits/per_too", "did you mean \"per_to\"?"),
        (limit("rate", json!({ "rate": "2/s" })), "/limits/rate", "only a limit with per"),
        (limit("per_to", json!({ "quota": "2/day" })), "/limits/per_to", "is a rate"),
        (limit("per_to_day", json!({ "quota": "2/week" })), "/limits/per_to_day", "each day"),
        (limit("per_to", json!({ "rate": "2/blink" })), "/limits/per_to/rate", "not a valid rate"),
        (json!({ "weight": 1001 }), "/weight", "expected a number, 0.01 to 1000"),
        (json!({}), "", "found neither a weight nor a limit"),
    ] {
        let refused = try_put_key(&scene.daemon, "acme", &body).await.expect(400).json();
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
        let detail = refused["detail"].as_str().expect("a sentence");
        assert!(detail.contains(part), "{body}: {detail}");
    }
    for bad in ["a%0Ab", &"x".repeat(257)] {
        let refused = try_put_key(&scene.daemon, bad, &json!({ "weight": 2 })).await.expect(400);
        assert_eq!(refused.json()["errors"][0]["pointer"], "?key");
    }
    let path = format!("/v1/queues/{QUEUE}/keys");
    scene.daemon.get(&format!("{path}?key=a&limit=5")).await.expect(400);
    scene.daemon.delete(&path).await.expect(400);
    scene.daemon.get("/v1/queues/none/keys").await.expect(404);
    let plain = Scene::start("").await;
    let refused = try_put_key(&plain.daemon, "a", &json!({ "weight": 2 })).await.expect(400).json();
    let detail = refused["detail"].as_str().expect("a sentence");
    assert!(detail.contains("the queue has no fairness"), "{detail}");
    let listed = plain.daemon.get(&path).await.expect(200).json();
    assert_eq!(listed, json!({ "keys": [], "next_cursor": null }));
}

#[tokio::test]
async fn keys_are_listed_in_pages_in_the_order_of_their_bytes() {
    for shards in [1, 3] {
        let lines = format!("shards = {shards}\nfairness = \"labels.tenant\"");
        let scene = Scene::start(&lines).await;
        let mut keys: Vec<String> = (0..25).map(|number| format!("k{number}")).collect();
        keys.extend(["".to_owned(), "客户".to_owned(), "Ab c".to_owned()]);
        for key in &keys {
            let escaped: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
            put_key(&scene.daemon, &escaped, &json!({ "weight": 2 }), 201).await;
        }
        keys.sort();

        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/queues/{QUEUE}/keys?limit=4{cursor}");
            let page = scene.daemon.get(&path).await.expect(200).json();
            let keys = page["keys"].as_array().expect("a list");
            assert!(keys.len() <= 4);
            found.extend(keys.iter().map(|key| key["key"].as_str().expect("a text").to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }

        assert_eq!(found, keys, "{shards} shards");
    }
}

#[tokio::test]
async fn the_commands_give_show_list_and_delete() {
    let scene = Scene::start(LINES).await;
    let run = async |words: &[&str]| {
        let ran = scene.daemon.cli(&[&["key", QUEUE], words].concat()).await;
        (ran.code, ran.stdout, ran.stderr)
    };
    assert_eq!(run(&[]).await.1.trim(), "no key of this queue was given anything at run time");

    let limits = ["--limit", "per_to=2/min", "--limit", "per_to_day=50/day", "--limit"];
    let put = [&["acme", "put", "--weight", "5"], &limits[..], &["per_to_concurrency=4"]].concat();
    let (code, shown, errors) = run(&put).await;

    assert_eq!(code, 0, "{errors}");
    for part in ["acme", "5", "per_to 2/min", "per_to_day 50/day", "per_to_concurrency 4 in flight"]
    {
        assert!(shown.contains(part), "{shown}");
    }
    // How long ago it was is another time each time.
    let lasting = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with("since"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lasting(&run(&["acme"]).await.1), lasting(&shown));
    assert_eq!(run(&["", "put", "--weight", "0.5"]).await.0, 0);
    let (_, listed, _) = run(&[]).await;
    assert!(listed.contains("\"\"") && listed.contains("acme"), "{listed}");
    let (_, json, _) = run(&["--output", "json"]).await;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["keys"][1]["limits"]["per_to_day"], json!({ "quota": "50/day" }), "{json}");
    let (code, _, refused) = run(&["acme", "put", "--limit", "per_too=2/min"]).await;
    assert!(code == 2 && refused.contains("did you mean \"per_to\"?"), "{code}: {refused}");
    let (code, done, _) = run(&["acme", "delete"]).await;
    assert_eq!((code, done.trim()), (0, "the configuration holds for acme again"));
    let (code, _, nothing) = run(&["acme"]).await;
    assert_eq!(code, 3, "{nothing}");
    assert!(
        nothing.contains("weight 1 as labels.tenant, limit per_to 1/min as labels.to"),
        "{nothing}"
    );
    assert!(nothing.contains(" acme put --weight 5` gives it something of its own"), "{nothing}");
    let (code, _, refused) = run(&["put", "--weight", "5"]).await;
    assert!(code == 2 && refused.contains("name the key in front of put"), "{refused}");
}

#[tokio::test]
async fn what_a_changed_configuration_leaves_without_effect_is_said() {
    let limits = |list: &str| format!("{}\nlimits = [{list}]", "fairness = \"labels.tenant\"");
    let scene = Scene::start(&limits("{ rate = \"1/min\", per = \"labels.to\" }")).await;
    let body = json!({ "weight": 5, "limits": { "per_to": { "rate": "2/min" } } });
    put_key(&scene.daemon, "acme", &body, 201).await;
    let found = async || {
        let findings = scene.daemon.get("/v1/doctor").await.expect(200).json()["findings"].clone();
        let findings = findings.as_array().expect("a list").clone().into_iter();
        findings.filter(|it| it["code"] == "keys-without-effect").collect::<Vec<_>>()
    };
    assert!(found().await.is_empty());

    let other = "limits = [{ name = \"per_to\", quota = \"9/day\", per = \"labels.to\" }]";
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, other));

    let shown = poll_until("both parts have no effect", async || {
        let shown = key(&scene.daemon, "acme").await;
        (shown["without_effect"].as_array().is_some_and(|it| it.len() == 2)).then_some(shown)
    })
    .await;
    let given = json!({ "per_to": { "rate": "2/min" } });
    assert_eq!((&shown["weight"], &shown["limits"]), (&json!(5.0), &given), "{shown}");
    let places = [0, 1].map(|at| shown["without_effect"][at]["pointer"].clone());
    assert_eq!(json!(places), json!(["/weight", "/limits/per_to"]));
    let findings = found().await;
    assert_eq!(findings.len(), 2, "{findings:?}");
    let said = findings[0]["detail"].as_str().expect("a sentence");
    assert!(said.contains("1 key was given"), "{said}");
    let listed = scene.daemon.cli(&["key", QUEUE]).await.stdout;
    assert!(listed.contains("is a quota, and this is a rate"), "{listed}");
    // The same name and kind again: it holds again.
    let before = limits("{ rate = \"1/min\", per = \"labels.to\" }");
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &before));
    eventually("it has an effect again", async || {
        key(&scene.daemon, "acme").await["without_effect"] == json!([]) && found().await.is_empty()
    })
    .await;
}
