//! What a schedule may say, and what is wrong with it.

use std::sync::Arc;

use crate::config::testing::{errors_of, load_with, settings_of};
use crate::config::{digest, render};
use crate::domain::message::PayloadKind;
use crate::domain::schedule::{CatchUp, Schedule};

const QUEUE: &str = "[queues.q]\ndownstream.type = \"null\"\n";

fn schedule(text: &str) -> Arc<Schedule> {
    let settings = settings_of(&format!("{QUEUE}[schedules.nightly]\n{text}"));
    Arc::clone(settings.schedules.values().next().unwrap())
}

#[test]
fn every_key_is_read() {
    let plain = schedule("queue = \"q\"\ncron = \"30 0 * * *\"\npayload = { job = \"close-day\" }");
    assert_eq!(plain.cadence.to_string(), "cron UTC 30 0 * * *");
    assert_eq!((plain.catch_up, plain.priority, plain.ttl_ms), (CatchUp::One, 0, None));
    assert_eq!(plain.payload, "{\"job\":\"close-day\"}");
    let whole = schedule(
        "queue = \"q\"\nevery = \"15m\"\npayload = \"go ${now}\"\ncontent_type = \"text/plain\"\ncatch_up = \"all\"\nheaders = { X-A = \"1\" }\nlabels = { Team = \"erp\" }\ngroup = \"g\"\npriority = 9\nttl = \"1h\"",
    );
    assert_eq!(whole.cadence.to_string(), "every 15m");
    assert_eq!((whole.catch_up, whole.priority, whole.ttl_ms), (CatchUp::All, 9, Some(3_600_000)));
    assert_eq!((whole.details.kind, &whole.payload[..]), (PayloadKind::Text, &b"go ${now}"[..]));
    assert_eq!(whole.details.headers, [("x-a".to_owned(), "1".to_owned())]);
    assert_eq!(whole.details.labels["Team"], "erp");
    assert_eq!(whole.details.group.as_deref(), Some("g"));
}

#[test]
fn payloads_are_any_value_and_keep_the_case_of_their_names() {
    let payload = |text: &str| {
        let lines = format!("queue = \"q\"\nevery = \"1h\"\npayload = {text}");
        String::from_utf8(schedule(&lines).payload.to_vec()).unwrap()
    };
    assert_eq!(
        payload("{ Job = \"x\", n = [1, 2.5, true] }"),
        "{\"Job\":\"x\",\"n\":[1,2.5,true]}"
    );
    assert_eq!(payload("7"), "7");
    let raw = schedule("queue = \"q\"\nevery = \"1h\"\npayload_base64 = \"/wA=\"");
    assert_eq!((&raw.payload[..], raw.details.kind), (&b"\xff\0"[..], PayloadKind::Raw));
    assert_eq!(payload("\"{ a = 1 }\""), "\"{ a = 1 }\"");
    let by_environment = load_with(
        &format!("{QUEUE}[schedules.s]\nqueue = \"q\"\nevery = \"1h\""),
        &[("TIDEGATE__SCHEDULES__S__PAYLOAD", "{ a = 1 }")],
        &[],
    );
    assert_eq!(by_environment.unwrap().schedules.values().next().unwrap().payload, "{\"a\":1}");
}

#[test]
fn bad_values_are_refused_all_at_once() {
    let errors = errors_of(&format!(
        "{QUEUE}[schedules.Nightly]\nqueue = \"erp\"\ncron = \"61 * * * *\"\ntime_zone = \"Mars\"\ncatch_up = \"some\"\nheaders = {{ Host = \"x\" }}\npriority = 10\ncolour = 1\n[schedules.s]\nqueue = \"q\""
    ));
    for part in [
        "schedules.Nightly: \"Nightly\" is not a valid schedule name",
        "schedules.Nightly.queue: there is no queue \"erp\"; expected one of this configuration's: q",
        "schedules.Nightly.time_zone: \"Mars\" is not a valid time zone",
        "schedules.Nightly.catch_up: found \"some\", expected \"none\" or \"one\" or \"all\"",
        "schedules.Nightly.headers.Host: header \"Host\" is set by Tidegate itself",
        "schedules.Nightly.priority: found 10",
        "schedules.Nightly.colour: unknown key",
        "schedules.Nightly.payload: is missing",
        "schedules.s.cron: is missing; expected for example cron",
        "schedules.s.payload: is missing",
    ] {
        assert!(errors.contains(part), "{part} not in\n{errors}");
    }
}

#[test]
fn headers_are_bounded_like_those_of_every_message() {
    let with = |headers: Vec<String>| {
        errors_of(&format!(
            "{QUEUE}[schedules.s]\nqueue = \"q\"\nevery = \"1h\"\npayload = 1\nheaders = {{ {} }}",
            headers.join(", ")
        ))
    };
    let large = "v".repeat(8192);
    let error = with((0..9).map(|n| format!("x-{n} = \"{large}\"")).collect());
    assert!(error.contains("schedules.s.headers: everything beside the payload"), "{error}");
    let error = with((0..33).map(|n| format!("x-{n} = \"1\"")).collect());
    assert!(error.contains("schedules.s.headers: found 33 entries, expected up to 32"), "{error}");
    let error = with(vec!["Webhook_Id = \"1\"".to_owned()]);
    assert!(error.contains("schedules.s.headers.Webhook_Id: "), "{error}");
}

#[test]
fn a_cadence_is_one_thing_and_says_all_of_it() {
    for (text, part) in [
        ("cron = \"61 * * * *\"", "schedules.s.cron: \"61 * * * *\" is not a valid cron pattern"),
        ("cron = \"0 0 30 2 *\"", "schedules.s.cron: \"0 0 30 2 *\" never comes"),
        ("cron = \"@daily\"\nevery = \"1h\"", "schedules.s.every: give cron or every, not both"),
        ("every = \"1h\"\ntime_zone = \"UTC\"", "schedules.s.time_zone: has no effect on every"),
        ("every = \"1ms\"", "schedules.s.every: found 1ms, expected 100ms to 366d"),
        ("every = 5", "schedules.s.every: "),
        (
            "every = \"1h\"\ncontent_type = \"plain\"",
            "schedules.s.content_type: \"plain\" is not a valid content type",
        ),
        (
            "every = \"1h\"\nretry = { max_attempts = 0, factr = 2 }",
            "schedules.s.retry.max_attempts: found 0",
        ),
        ("every = \"1h\"\nretry.factr = 2", "schedules.s.retry.factr: unknown key"),
        (
            "every = \"1h\"\nlabels = { schedule = \"mine\" }",
            "schedules.s.labels: the label \"schedule\" is set by Tidegate",
        ),
        (
            "every = \"1h\"\ntimeout = \"2h\"",
            "schedules.s.timeout: found \"2h\", expected 1ms to 1h",
        ),
        (
            "every = \"1h\"\ncost = 0",
            "schedules.s.cost: found 0, expected a whole number from 1 to 10000",
        ),
        (
            "every = \"1h\"\npayload_base64 = \"aGk=\"",
            "schedules.s.payload_base64: give payload or payload_base64, not both",
        ),
        (
            "every = \"1h\"\ncontent_type = \"text/plain; charset=latin1\"",
            "schedules.s.content_type: found the charset \"latin1\"",
        ),
    ] {
        let error = errors_of(&format!("{QUEUE}[schedules.s]\nqueue = \"q\"\npayload = 1\n{text}"));
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_cost_above_a_quota_of_the_queue_is_refused() {
    let with = |cost: u32| {
        format!(
            "[queues.q]\nlimits = [{{ quota = \"5/day\" }}]\ndownstream.type = \"null\"\n[schedules.s]\nqueue = \"q\"\nevery = \"1h\"\npayload = 1\ncost = {cost}"
        )
    };
    let error = errors_of(&with(6));
    assert!(
        error.contains("schedules.s.cost: found 6, more than the limit \"quota_day\""),
        "{error}"
    );
    assert_eq!(settings_of(&with(5)).schedules.len(), 1);
}

#[test]
fn what_is_rendered_reads_back_and_counts_for_the_digest() {
    let text = format!(
        "{QUEUE}[schedules.a]\nqueue = \"q\"\nevery = \"15m\"\npayload = \"x\"\ncontent_type = \"text/plain\"\n[schedules.b]\nqueue = \"q\"\ncron = \"@daily\"\ntime_zone = \"Asia/Shanghai\"\npayload = {{ A = [1, {{ b = \"c\" }}] }}\nheaders = {{ X-A = \"${{not}}\" }}\nlabels = {{ T = \"1\" }}\ngroup = \"g\"\npriority = 3\ncost = 4\nttl = \"1h\"\ncatch_up = \"none\"\n[schedules.c]\nqueue = \"q\"\nevery = \"1h\"\npayload_base64 = \"/wA=\"\nretry = {{ max_attempts = 3, schedule = [\"5s\", \"5m\"], jitter = 0, max_age = \"1h\" }}"
    );
    let settings = settings_of(&text);
    assert_eq!(settings_of(&render(&settings)), settings, "{}", render(&settings));
    assert_ne!(digest(&settings), digest(&settings_of(QUEUE)));
}
