//! A downstream that accepts now and tells later what became of a message.

use serde_json::{Value, json};

use crate::support::daemon::Daemon;
use crate::support::wait::poll_until;
use crate::support::{Answer, Cluster, Downstream, Gate, RedisServer, Scene, queue_toml};

const QUEUE: &str = "jobs";

fn pending() -> Answer {
    Answer::status(202).header("Tidegate-Receipt", "pending")
}

async fn tell(daemon: &Daemon, receipt: &Value) -> (u16, Value) {
    let reply = daemon.post(&format!("/v1/queues/{QUEUE}/receipts"), receipt).await;
    (reply.status, reply.json())
}

#[tokio::test]
async fn a_message_is_accepted_until_its_receipt_comes() {
    let scene = Scene::start("").await;
    for (by_ref, status) in [(true, "delivered"), (true, "dead"), (false, "delivered")] {
        let name = format!("{by_ref}-{status}");
        scene.downstream.once(pending().header("Tidegate-Ref", &name));
        let id = scene.send("x").await;
        let message = scene.wait_state(&id, "accepted").await;
        assert_eq!(
            (&message["ref"], &message["last_attempt"]["outcome"]),
            (&json!(name), &json!("accepted"))
        );
        assert!(message["accepted_at"].is_string() && message["final_at"].is_null(), "{message}");
        let told = scene.daemon.cli(&["get", &id]).await.stdout;
        assert!(told.contains(&format!("as {name}: its receipt is awaited")), "{told}");

        let of = if by_ref { json!({ "ref": name }) } else { json!({ "id": id }) };
        let mut receipt = of.clone();
        receipt["status"] = json!(status);
        receipt["detail"] = json!("booked in shelf 7");
        let (code, answer) = tell(&scene.daemon, &receipt).await;

        assert_eq!((code, answer), (200, json!({ "verdict": "ok", "id": id, "state": status })));
        let message = scene.daemon.wait_final(&id).await;
        assert_eq!(
            (&message["state"], &message["reason"]),
            (&json!(status), &json!("booked in shelf 7"))
        );
        assert_eq!(
            (&message["result"]["by"], &message["result"]["status_code"]),
            (&json!("receipt"), &json!(202))
        );
        let (code, answer) = tell(&scene.daemon, &receipt).await;
        assert_eq!((code, &answer["verdict"]), (200, &json!("already")));
        receipt["status"] = json!(if status == "dead" { "delivered" } else { "dead" });
        let (code, answer) = tell(&scene.daemon, &receipt).await;
        assert_eq!((code, &answer["state"]), (409, &json!(status)));
    }
    assert_eq!(scene.downstream.requests().len(), 3);
}

#[tokio::test]
async fn only_a_202_that_says_so_leaves_a_message_accepted() {
    let scene = Scene::start("").await;
    for answer in [Answer::status(202), Answer::ok().header("Tidegate-Receipt", "pending")] {
        scene.downstream.once(answer);
        let id = scene.send("x").await;
        assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    }
}

#[tokio::test]
async fn a_receipt_that_overtakes_the_answer_is_kept() {
    let scene = Scene::start("").await;
    for (of, name) in [("id", "A"), ("ref", "B")] {
        let gate = Gate::new();
        scene.downstream.once(pending().header("Tidegate-Ref", name).held_by(&gate));
        let before = scene.downstream.requests().len();
        let id = scene.send("x").await;
        scene.downstream.wait_for(before + 1).await;

        let receipt = match of {
            "id" => json!({ "id": id, "status": "delivered" }),
            _ => json!({ "ref": name, "status": "delivered" }),
        };
        let (code, answer) = tell(&scene.daemon, &receipt).await;
        assert_eq!((code, answer), (202, json!({ "verdict": "kept" })), "{of}");
        gate.release();

        let message = scene.daemon.wait_final(&id).await;
        assert_eq!(
            (&message["state"], &message["result"]["by"]),
            (&json!("delivered"), &json!("receipt"))
        );
    }
}

#[tokio::test]
async fn a_receipt_is_the_answer_where_the_answer_got_lost() {
    let lines = "downstream.timeout = \"400ms\"\nretry.initial = \"20ms\"";
    let scene = Scene::start(lines).await;
    scene.downstream.once(Answer::silence());
    let id = scene.send("x").await;
    scene.downstream.wait_for(1).await;

    let (code, _) = tell(&scene.daemon, &json!({ "id": id, "status": "delivered" })).await;

    assert_eq!(code, 202);
    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    assert_eq!(scene.downstream.requests().len(), 1, "it is not sent again");
}

#[tokio::test]
async fn items_of_a_batch_are_accepted_each_for_itself() {
    let scene = Scene::start("batch = { max_items = 3, max_wait = \"2s\" }").await;
    scene.downstream.answer_with(|request| {
        let items = request.items();
        let id = |n: usize| items[n]["id"].clone();
        Answer::ok().json(&json!({ "results": [
            { "id": id(0), "status": "accepted", "ref": "first" },
            { "id": id(1), "status": "delivered" },
            { "id": id(2), "status": "accepted" },
        ] }))
    });
    scene.send_numbers(3).await;
    let calls = scene.downstream.wait_for(1).await;
    let ids: Vec<String> =
        calls[0].items().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(scene.wait_state(&ids[0], "accepted").await["ref"], "first");
    // Each item is settled for itself, in no order.
    scene.wait_state(&ids[1], "delivered").await;
    scene.wait_state(&ids[2], "accepted").await;

    let receipts = json!([
        { "ref": "first", "status": "delivered" },
        { "id": ids[2], "status": "dead", "detail": "no such article" },
        { "id": ids[1], "status": "dead" },
        { "ref": "nobody's", "status": "dead" },
        { "status": "dead" },
    ]);
    let (code, answer) = tell(&scene.daemon, &receipts).await;

    assert_eq!(code, 200);
    let results = answer["results"].as_array().unwrap();
    let verdicts: Vec<_> = results.iter().map(|result| result["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("ok"), Some("ok"), None, Some("kept"), None]);
    assert_eq!(results[2]["problem"]["state"], "delivered");
    assert_eq!((&results[4]["problem"]["status"], &results[4]["index"]), (&json!(400), &json!(4)));
    let states = [scene.daemon.message(&ids[0]).await, scene.daemon.message(&ids[2]).await];
    assert_eq!((&states[0]["state"], &states[1]["state"]), (&json!("delivered"), &json!("dead")));
}

#[tokio::test]
async fn a_whole_batch_that_is_accepted_has_no_reference_of_its_own() {
    let scene = Scene::start("batch = { max_items = 2, max_wait = \"2s\" }").await;
    scene.downstream.always(pending().header("Tidegate-Ref", "both"));
    let ids = scene.send_numbers(2).await;
    for id in &ids {
        assert!(scene.wait_state(id, "accepted").await["ref"].is_null());
        assert_eq!(tell(&scene.daemon, &json!({ "id": id, "status": "delivered" })).await.0, 200);
    }
}

#[tokio::test]
async fn a_receipt_that_never_comes_is_asked_about() {
    let scene = Scene::start("").await;
    let probe = scene.downstream.url("/orders/{id}");
    let lines = format!(
        "receipts.timeout = \"100ms\"\non_uncertain = \"probe\"\nprobe = {{ url = \"{probe}\", after = \"10ms\" }}"
    );
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &lines));
    poll_until("the queue asks", async || {
        let queue = scene.daemon.get(&format!("/v1/queues/{QUEUE}")).await.expect(200).json();
        (queue["policy"]["receipts"]["timeout"] == "100ms").then_some(())
    })
    .await;
    scene.downstream.answer_with(|request| match request.method.as_str() {
        "GET" => Answer::ok(),
        _ => pending(),
    });

    let id = scene.send("x").await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!(
        (&message["state"], &message["result"]["by"]),
        (&json!("delivered"), &json!("probe"))
    );
    assert_eq!(message["reason"], "no receipt within 100ms");
}

#[tokio::test]
async fn bad_receipts_are_told_what_is_wrong() {
    let scene = Scene::start("").await;
    let nobody = "jobs_01ARZ3NDEKTSV4RRFFQ69G5FAV";
    for (receipt, code, part) in [
        (json!({ "status": "delivered" }), 400, "expected id, or ref"),
        (json!({ "id": nobody, "ref": "a", "status": "dead" }), 400, "not both"),
        (json!({ "id": nobody }), 400, "expected delivered or dead"),
        (json!({ "id": nobody, "status": "retry" }), 400, "expected delivered or dead"),
        (
            json!({ "id": "sms_01ARZ3NDEKTSV4RRFFQ69G5FAV", "status": "dead" }),
            400,
            "queue \\\"sms\\\"",
        ),
        (json!({ "ref": "x".repeat(257), "status": "dead" }), 400, "expected 1 to 256"),
        (json!({ "id": nobody, "status": "dead" }), 404, "no message of this id"),
    ] {
        let (status, answer) = tell(&scene.daemon, &receipt).await;
        assert_eq!(status, code, "{receipt}");
        assert!(answer.to_string().contains(part), "{receipt}: {answer}");
    }
    scene.queue_step("pause", &json!({ "reason": "nothing is to be sent" })).await;
    let id = scene.send("x").await;
    let (status, answer) = tell(&scene.daemon, &json!({ "id": id, "status": "delivered" })).await;
    assert_eq!((status, &answer["state"]), (409, &json!("ready")));
    let output = scene.daemon.cli(&["receipt", QUEUE, "--ref", "A-9", "--as", "delivered"]).await;
    assert_eq!(
        (output.code, output.stdout.trim()),
        (0, "A-9 is not accepted yet: the receipt is kept")
    );
}

#[tokio::test]
async fn acceptances_and_receipts_survive_kills() {
    let downstream = Downstream::start().await;
    let redis = RedisServer::start().await;
    let toml = queue_toml(QUEUE, &downstream, "downstream.timeout = \"400ms\"\nlease = \"5400ms\"");
    let mut daemon = Daemon::start(&redis, toml.clone()).await;
    downstream
        .answer_with(|request| pending().header("Tidegate-Ref", &format!("ref-{}", request.id())));
    let rows: Vec<Value> = (0..40).map(|n| json!({ "payload": n })).collect();
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let reply = daemon.post(&path, &json!(rows)).await.expect(200).json();
    let ids: Vec<String> = reply["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["id"].as_str().unwrap().to_owned())
        .collect();
    downstream.wait_for(20).await;
    daemon.restart().await;

    // Some are accepted, some were lost with the node: their receipts are kept or answer already.
    for id in &ids {
        let reference = format!("ref-{id}");
        let (code, _) = tell(&daemon, &json!({ "ref": reference, "status": "delivered" })).await;
        assert!([200, 202].contains(&code), "{code}");
    }
    daemon.restart().await;

    for id in &ids {
        assert_eq!(daemon.wait_final(id).await["result"]["by"], "receipt");
    }
}

#[tokio::test]
async fn receipts_find_their_messages_on_a_cluster_with_shards() {
    let cluster = Cluster::shared().await;
    let downstream = Downstream::start().await;
    let toml = queue_toml(QUEUE, &downstream, "shards = 4");
    let daemon = Daemon::with(toml).cluster(cluster).start().await;
    let gate = Gate::new();
    let held = gate.clone();
    downstream
        .answer_with(move |request| pending().header("Tidegate-Ref", request.id()).held_by(&held));
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(daemon.send(QUEUE, &json!({ "payload": n })).await);
    }
    downstream.wait_for(8).await;
    for id in &ids[..4] {
        assert_eq!(tell(&daemon, &json!({ "ref": id, "status": "dead" })).await.0, 202);
    }
    gate.release();
    for id in &ids[4..] {
        poll_until("it is accepted", async || {
            let state = daemon.message(id).await["state"].clone();
            (state == "accepted").then_some(())
        })
        .await;
        assert_eq!(tell(&daemon, &json!({ "ref": id, "status": "dead" })).await.0, 200);
    }
    for id in &ids {
        assert_eq!(daemon.wait_final(id).await["state"], "dead");
    }
}
