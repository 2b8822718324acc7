//! Windows: nothing arrives outside of them, and what waits leaves as soon as they open.
//!
//! Rules are made around the present moment, in seconds of the day and UTC; close to midnight they
//! run past it, as rules may.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::downstream::Request;
use crate::support::{Answer, Clocks, Gate, QUEUE, Scene, batch_results, queue_toml};

fn rule(from_s: u64, to_s: u64) -> String {
    format!("{{ {} }}", hours(from_s, to_s))
}

fn hours(from_s: u64, to_s: u64) -> String {
    let time = |at_s: u64| {
        let of_day = at_s % 86_400;
        format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
    };
    format!("from = \"{}\", to = \"{}\"", time(from_s), time(to_s))
}

fn date(at_s: u64) -> String {
    Timestamp::from_second(at_s.cast_signed()).unwrap().strftime("%F").to_string()
}

fn window(rules: &[String], min_remaining: &str) -> String {
    let open = rules.join(", ");
    format!(
        "window = {{ time_zone = \"UTC\", open = [{open}], min_remaining = \"{min_remaining}\" }}\n\
         downstream.timeout = \"5s\""
    )
}

#[tokio::test]
async fn work_is_held_until_the_window_opens_and_leaves_then() {
    let clocks = Clocks::read();
    let opens_s = clocks.second_after(1500);
    let scene = Scene::start(&window(&[rule(opens_s, opens_s + 600)], "1s")).await;

    let ids = scene.send_numbers(3).await;

    let held = scene.wait_state(&ids[0], "ready").await;
    assert_eq!(held["attempts"], 0);
    let requests = scene.downstream.wait_for(3).await;
    for request in &requests {
        let late_ms = clocks.wall_ms(request.arrived).checked_sub(opens_s * 1000);
        assert!(late_ms.is_some_and(|ms| ms < 250), "{late_ms:?}");
    }
}

#[tokio::test]
async fn nothing_starts_with_less_than_min_remaining_left_and_all_goes_on_at_the_next_opening() {
    let clocks = Clocks::read();
    let closes_s = clocks.second_after(2500);
    let rules = [rule(closes_s - 3600, closes_s), rule(closes_s + 1, closes_s + 600)];
    let scene = Scene::start(&format!("{}\nrate = \"40/s\"", window(&rules, "1s"))).await;

    scene.send_numbers(120).await;

    let requests = scene.downstream.wait_for(120).await;
    let at_ms: Vec<_> = requests.iter().map(|r| clocks.wall_ms(r.arrived)).collect();
    let last_ms = closes_s * 1000 - 1000;
    let (before, after): (Vec<u64>, Vec<u64>) = at_ms.iter().partition(|ms| **ms <= last_ms + 5);
    assert!(before.len() > 20, "{} left before the close", before.len());
    let first = *after.iter().min().unwrap();
    assert!(first >= closes_s * 1000 + 1000, "a call came {} ms after the close", first - last_ms);
    assert!(
        first < closes_s * 1000 + 1250,
        "the window was open for {} ms",
        first - closes_s * 1000
    );
}

#[tokio::test]
async fn what_meets_the_edge_after_its_claim_is_held_and_costs_no_attempt() {
    let clocks = Clocks::read();
    let closes_s = clocks.second_after(1500);
    let lines = window(&[rule(closes_s - 3600, closes_s)], "500ms");
    let batch = "batch = { max_items = 2, max_wait = \"60s\" }";
    let scene = Scene::start(&format!("{lines}\n{batch}")).await;
    let gate = Gate::new();
    // A batch is refused when its halves would come too late.
    scene.downstream.always(Answer::status(422).held_by(&gate));

    let ids = scene.send_numbers(2).await;
    scene.downstream.wait_for(1).await;
    clocks.sleep_until(closes_s * 1000 - 450).await;
    gate.release();

    for id in &ids {
        let held = json!({ "state": "ready", "window_holds": 1, "attempts": 0 });
        scene.wait_members(id, &held).await;
    }
    assert_eq!(scene.downstream.requests().len(), 1);
}

#[tokio::test]
async fn a_batch_does_not_wait_for_company_past_the_close() {
    let clocks = Clocks::read();
    let closes_s = clocks.second_after(2500);
    let lines = window(&[rule(closes_s - 3600, closes_s)], "500ms");
    let scene =
        Scene::start(&format!("{lines}\nbatch = {{ max_items = 500, max_wait = \"60s\" }}")).await;
    scene.downstream.answer_with(|request| batch_results(request, |_| Some("delivered")));

    let id = scene.send("lone").await;

    assert_eq!(scene.daemon.wait_final(&id).await["state"], "delivered");
    let request = &scene.downstream.requests()[0];
    let left_ms = (closes_s * 1000).saturating_sub(clocks.wall_ms(request.arrived));
    assert!((495..2000).contains(&left_ms), "it came {left_ms} ms before the close");
}

#[tokio::test]
async fn max_age_stands_still_while_the_window_is_closed() {
    let clocks = Clocks::read();
    let closes_s = clocks.second_after(1000);
    let rules = [rule(closes_s - 3600, closes_s), rule(closes_s + 2, closes_s + 600)];
    // Two closed seconds lie between the first attempt and the second, and count for nothing.
    let retry = "retry = { initial = \"1100ms\", jitter = 0.0, max_age = \"2500ms\" }";
    let scene = Scene::start(&format!("{}\n{retry}", window(&rules, "100ms"))).await;
    scene.downstream.once(Answer::status(500));
    scene.downstream.once(Answer::status(500));

    let id = scene.daemon.send(QUEUE, &json!({ "payload": 1 })).await;

    let message = scene.daemon.wait_final(&id).await;
    assert_eq!((&message["state"], &message["attempts"]), (&json!("delivered"), &json!(3)));
}

#[tokio::test]
async fn a_date_of_the_calendar_opens_and_closes_and_a_reload_changes_it() {
    let clocks = Clocks::read();
    let opens_s = clocks.second_after(6000);
    let (today, tomorrow) = (date(clocks.second_after(0)), date(clocks.second_after(86_400_000)));
    let window = "window = { time_zone = \"UTC\", open = [{ from = \"00:00\", to = \"24:00\" }], min_remaining = \"1s\", calendar = \"cn\" }";
    let closed = format!("[calendars.cn]\nclosed_dates = [\"{today}\", \"{tomorrow}\"]\n");
    let scene = Scene::start(&format!("{window}\n{closed}")).await;
    let ids = scene.send_numbers(3).await;
    let held = scene.wait_state(&ids[0], "ready").await;
    assert_eq!(held["held_by"], json!(["window"]));

    let entry = format!(
        "[[calendars.cn.dates]]\ndate = \"{}\"\nopen = [{{ {} }}]\n",
        date(opens_s),
        hours(opens_s, opens_s + 600)
    );
    let file = queue_toml(QUEUE, &scene.downstream, &format!("{window}\n{entry}"));
    // Another date than that of the opening would be open all day.
    let others = [&today, &tomorrow].into_iter().filter(|date| **date != self::date(opens_s));
    let others = others.map(|date| format!("\"{date}\"")).collect::<Vec<_>>().join(", ");
    scene.daemon.sighup(&format!("{file}[calendars.cn]\nclosed_dates = [{others}]\n"));

    for request in &scene.downstream.wait_for(3).await {
        let late_ms = clocks.wall_ms(request.arrived).checked_sub(opens_s * 1000);
        assert!(late_ms.is_some_and(|ms| ms < 250), "{late_ms:?}");
    }
    let told = scene.daemon.get(&format!("/v1/queues/{QUEUE}/windows?days=1")).await.expect(200);
    let dates: Vec<_> = told.json()["dates"].as_array().unwrap().clone();
    assert!(
        dates.contains(&json!({ "date": date(opens_s), "closed": false, "calendar": "cn" })),
        "{dates:?}"
    );
}

#[tokio::test]
async fn with_release_what_waits_goes_back_at_the_close_as_if_not_claimed() {
    let clocks = Clocks::read();
    let closes_s = clocks.second_after(3000);
    let open = rule(closes_s - 3600, closes_s);
    let lines = format!(
        "window = {{ time_zone = \"UTC\", open = [{open}], min_remaining = \"500ms\", on_close = \"release\" }}\n\
         downstream.timeout = \"1s\"\nlimits = [{{ quota = \"1/hour\" }}]\nbatch = {{ max_items = 2, max_wait = \"60s\" }}"
    );
    let scene = Scene::start(&lines).await;
    // The batch takes the only unit; its halves wait, leased, for those of the next hour.
    scene.downstream.always(Answer::status(422));

    let ids = scene.send_numbers(2).await;
    scene.downstream.wait_for(1).await;
    scene.wait_state(&ids[0], "leased").await;

    for id in &ids {
        let back = json!({ "state": "ready", "window_holds": 0, "attempts": 0 });
        scene.wait_members(id, &back).await;
    }
    let now_ms = clocks.wall_ms(Instant::now());
    let at_ms = closes_s * 1000 - 500;
    assert!(now_ms >= at_ms, "given back {} ms before the last start", at_ms - now_ms);
    assert_eq!(scene.downstream.requests().len(), 1);
}

/// A queue whose gathered messages leave at an opening, and the calls of its first second.
async fn first_second(gathered: usize, lines: &str) -> Vec<Request> {
    let clocks = Clocks::read();
    let opens_s = clocks.second_after(15_000);
    let batch = "batch = { max_items = 100, max_wait = \"5s\" }";
    let lines = format!("{}\n{batch}\n{lines}", window(&[rule(opens_s, opens_s + 600)], "1s"));
    let scene = Scene::start(&lines).await;
    scene.downstream.answer_with(|request| batch_results(request, |_| Some("delivered")));

    let messages: Vec<Value> = (0..gathered).map(|n| json!({ "payload": n })).collect();
    for part in messages.chunks(10_000) {
        scene.send_all(part).await;
    }
    scene.wait_count("ready", gathered).await;
    assert!(clocks.wall_ms(Instant::now()) < opens_s * 1000, "gathering took until the opening");
    clocks.sleep_until(opens_s * 1000 + 1000).await;
    scene.downstream.requests()
}

#[tokio::test]
async fn at_the_opening_what_has_gathered_leaves_in_full_batches() {
    // As many at once as the queue lets: all of it within the first second.
    let calls = first_second(10_000, "").await;
    let sizes: Vec<_> = calls.iter().map(|request| request.items().len()).collect();
    assert!(sizes.iter().all(|size| *size == 100), "{sizes:?}");
    assert!(sizes.len() >= 50, "only {} batches left in the first second", sizes.len());
}

#[tokio::test]
async fn at_the_opening_a_limit_paces_full_batches() {
    let calls = first_second(2000, "rate = \"5/s\"").await;
    let sizes: Vec<_> = calls.iter().map(|request| request.items().len()).collect();
    assert!(sizes.iter().all(|size| *size == 100), "{sizes:?}");
    assert!((3..=7).contains(&sizes.len()), "{} batches left in the first second", sizes.len());
}
