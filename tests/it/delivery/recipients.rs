//! Hours of recipients: each message waits for those of its own zone, and stands in nobody's way meanwhile.
//!
//! Hours are made around the present moment, by the clocks of two zones: one that is open now, and one that opens or closes soon.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::limits::stacked::limit;
use crate::support::{Answer, Clocks, Daemon, Downstream, QUEUE, RedisServer, Scene, queue_toml};

/// A zone eight hours ahead of UTC, all year.
const THERE: &str = "Asia/Shanghai";
/// Another one, which is open around now in every test here.
const HERE: &str = "UTC";

/// Hours by the clock of a zone.
fn hours(zone: &str, from_s: u64, to_s: u64) -> String {
    let zone = TimeZone::get(zone).unwrap();
    let time = |at_s: u64| {
        let local = zone.to_datetime(Timestamp::from_second(at_s.cast_signed()).unwrap());
        local.strftime("%H:%M:%S").to_string()
    };
    format!("{{ from = \"{}\", to = \"{}\" }}", time(from_s), time(to_s))
}

/// Hours in which [`HERE`] is open from an hour ago for an hour, and [`THERE`] between these moments, in seconds since the epoch.
fn recipient_hours(clocks: &Clocks, [opens_s, closes_s]: [u64; 2]) -> String {
    let now_s = clocks.second_after(0);
    let open = [hours(HERE, now_s - 3600, now_s + 3600), hours(THERE, opens_s, closes_s)];
    format!("recipient_hours = {{ open = [{}] }}", open.join(", "))
}

/// When [`THERE`] opens after that: its clock then shows what that of [`HERE`] showed an hour ago.
fn next_there_s(clocks: &Clocks) -> u64 {
    clocks.second_after(0) - 3600 + 16 * 3600
}

fn to(zone: &str, payload: impl Into<Value>) -> Value {
    json!({ "payload": payload.into(), "time_zone": zone })
}

fn moment(at_s: u64) -> String {
    Timestamp::from_second(at_s.cast_signed()).unwrap().strftime("%FT%T.000Z").to_string()
}

#[tokio::test]
async fn a_message_waits_for_the_hours_of_its_recipient_by_every_way_in() {
    let clocks = Clocks::read();
    let opens_s = clocks.second_after(15_000);
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let lines = recipient_hours(&clocks, [opens_s, opens_s + 600]);
    let rest = "[topics.orders]\nqueues = [\"jobs\"]\n[inbox]\nenabled = true\n[schedules.daily]\nqueue = \"jobs\"\ncron = \"0 0 1 1 *\"\ntime_zone = \"Asia/Shanghai\"\npayload = 5\n";
    let daemon = Daemon::start(&redis, queue_toml(QUEUE, &downstream, &lines) + rest).await;

    let closed = daemon.send(QUEUE, &to(THERE, 1)).await;
    let rows = json!([to(THERE, 2), to(HERE, 0)]);
    let path = format!("/v1/queues/{QUEUE}/messages/batch");
    let taken = daemon.post(&path, &rows).await.expect(200).json();
    daemon.post("/v1/topics/orders/messages", &to(THERE, 3)).await.expect(201);
    let entry = ["XADD", "tidegate:inbox:jobs", "*", "payload", "4", "time_zone", THERE];
    redis.cli::<String>(&entry).await;
    daemon.post("/v1/schedules/daily/run", &json!({})).await.expect(201);

    let held = daemon.message(&closed).await;
    assert_eq!((&held["state"], &held["due_at"]), (&json!("scheduled"), &json!(moment(opens_s))));
    assert_eq!((&held["held_by"], &held["time_zone"]), (&json!(["due", "hours"]), &json!(THERE)));
    assert_eq!(taken["results"][0]["due_at"], moment(opens_s), "{taken}");

    let first = &downstream.wait_for(1).await[0];
    assert_eq!(first.json(), 0, "who can be reached is not held up");
    assert!(clocks.wall_ms(first.arrived) < opens_s * 1000);
    let requests = downstream.wait_for(6).await;
    let mut numbers: Vec<_> =
        requests.iter().map(crate::support::downstream::Request::json).collect();
    numbers.sort_by_key(Value::as_u64);
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5].map(Value::from));
    for request in &requests[1..] {
        let late_ms = clocks.wall_ms(request.arrived).checked_sub(opens_s * 1000);
        assert!(late_ms.is_some_and(|ms| ms < 500), "{late_ms:?}");
    }
    let message = daemon.wait_final(&closed).await;
    let created: Timestamp = message["created_at"].as_str().unwrap().parse().unwrap();
    let waited_ms = (opens_s * 1000).cast_signed() - created.as_millisecond();
    assert_eq!(message["waited"]["hours"], waited_ms, "{message}");
}

#[tokio::test]
async fn a_claim_after_the_close_takes_nothing_and_puts_the_message_off() {
    let clocks = Clocks::read();
    let closes_s = clocks.second_after(12_000);
    let hours = recipient_hours(&clocks, [closes_s - 3600, closes_s]);
    let scene = Scene::start(&format!("{hours}\nlimits = [{{ quota = \"10/day\" }}]")).await;
    scene.queue_step("pause", &json!({})).await;
    let closed = scene.send_all(&[to(THERE, 1), to(THERE, 2)]).await;
    let open = scene.send_all(&[to(HERE, 3)]).await;
    scene.wait_count("ready", 3).await;
    clocks.sleep_until(closes_s * 1000 + 100).await;

    scene.queue_step("resume", &json!({})).await;

    assert_eq!(scene.daemon.wait_final(&open[0]).await["state"], "delivered");
    for id in &closed {
        let put_off = json!({ "state": "scheduled", "window_holds": 1, "attempts": 0 });
        let message = scene.wait_members(id, &put_off).await;
        assert_eq!(message["due_at"], moment(next_there_s(&clocks)));
        assert_eq!(message["held_by"], json!(["due", "hours"]));
    }
    assert_eq!(
        limit(&scene.daemon, "quota_day").await["used"],
        1,
        "only what was sent took a unit"
    );
    // Whoever makes it due by hand meets the same hours.
    scene.step(&closed[0], "run", &json!({})).await;
    let again = json!({ "state": "scheduled", "window_holds": 2, "attempts": 0 });
    scene.wait_members(&closed[0], &again).await;
    assert_eq!(scene.downstream.requests().len(), 1);
}

#[tokio::test]
async fn another_attempt_waits_for_the_hours_too() {
    let clocks = Clocks::read();
    let closes_s = clocks.second_after(12_000);
    let hours = recipient_hours(&clocks, [closes_s - 3600, closes_s]);
    let retry = "retry = { initial = \"15s\", jitter = 0.0 }";
    let scene = Scene::start(&format!("{hours}\n{retry}")).await;
    scene.downstream.once(Answer::status(500));

    let id = scene.send_all(&[to(THERE, 1)]).await.remove(0);

    let tried = json!({ "state": "scheduled", "attempts": 1, "window_holds": 0 });
    let message = scene.wait_members(&id, &tried).await;
    // The script adds the delay to its own moment: a little later than the opening, and never before.
    let due: Timestamp = message["due_at"].as_str().unwrap().parse().unwrap();
    let late_ms = due.as_millisecond() - (next_there_s(&clocks) * 1000).cast_signed();
    assert!((0..5000).contains(&late_ms), "{late_ms}");
}

#[tokio::test]
async fn a_closed_recipient_holds_up_no_other_key_and_no_other_of_its_flow() {
    let clocks = Clocks::read();
    let closes_s = clocks.second_after(12_000);
    let hours = recipient_hours(&clocks, [closes_s - 3600, closes_s]);
    let keys = "ordering = \"labels.to\"\nfairness = \"labels.tenant\"\nlimits = [{ rate = \"1000/s\", per = \"labels.tenant\" }]";
    let scene = Scene::start(&format!("{hours}\n{keys}")).await;
    scene.queue_step("pause", &json!({})).await;
    let message = |zone: &str, number: usize| {
        let mut message = to(zone, number);
        message["labels"] = json!({ "to": format!("{zone}-{}", number % 10), "tenant": "a" });
        message
    };
    let closed: Vec<_> = (0..50).map(|number| message(THERE, number)).collect();
    let open: Vec<_> = (50..100).map(|number| message(HERE, number)).collect();
    let ids = scene.send_all(&closed).await;
    scene.send_all(&open).await;
    scene.wait_count("ready", 100).await;
    clocks.sleep_until(closes_s * 1000 + 100).await;

    scene.queue_step("resume", &json!({})).await;

    scene.wait_count("delivered", 50).await;
    scene.wait_count("scheduled", 50).await;
    let put_off = scene.daemon.message(&ids[0]).await;
    assert_eq!((&put_off["window_holds"], &put_off["attempts"]), (&json!(1), &json!(0)));
    assert!(scene.downstream.requests().iter().all(|request| request.json().as_u64() >= Some(50)));
    crate::keys::assert_sound(&scene.daemon).await;
}

#[tokio::test]
async fn zones_are_asked_for_and_an_operator_may_ignore_the_hours() {
    let clocks = Clocks::read();
    let opens_s = clocks.second_after(3_600_000);
    let hours = recipient_hours(&clocks, [opens_s, opens_s + 600]);
    let scene = Scene::start(&hours).await;
    let send =
        async |body: Value| scene.daemon.post(&format!("/v1/queues/{QUEUE}/messages"), &body).await;
    let missing = send(json!({ "payload": 1 })).await.expect(400).json();
    assert_eq!(missing["errors"][0]["pointer"], "/time_zone", "{missing}");
    let said = missing["errors"][0]["detail"].as_str().unwrap();
    assert!(said.contains("queues.jobs.recipient_hours.fallback_zone"), "{said}");
    let unknown = send(to("Europe/Springfield", 1)).await.expect(400).json();
    assert_eq!(unknown["errors"][0]["pointer"], "/time_zone", "{unknown}");
    let word = json!({ "payload": 1, "time_zone": THERE, "recipient_hours": "obey" });
    send(word).await.expect(400);

    let ignoring = json!({ "payload": 7, "time_zone": THERE, "recipient_hours": "ignore" });
    let id = send(ignoring).await.expect(201).json()["id"].as_str().unwrap().to_owned();
    let message = scene.daemon.wait_final(&id).await;
    assert_eq!(
        (&message["state"], &message["recipient_hours"]),
        (&json!("delivered"), &json!("ignore"))
    );

    let fallback = hours.replace(
        "recipient_hours = {",
        &format!("recipient_hours = {{ fallback_zone = \"{THERE}\","),
    );
    scene.daemon.sighup(&queue_toml(QUEUE, &scene.downstream, &fallback));
    let held = crate::support::wait::poll_until("the fallback holds", async || {
        let reply = send(json!({ "payload": 1 })).await;
        (reply.status == 201).then(|| reply.json())
    })
    .await;
    assert_eq!(held["due_at"], moment(opens_s), "{held}");
}
