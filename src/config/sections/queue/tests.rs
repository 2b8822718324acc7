//! What a queue may say, and what is wrong with it.

use proptest::prelude::*;

use crate::config::testing::{errors_of, load_with, queue_errors, queue_of};
use crate::domain::outcome::OnUncertain;
use crate::domain::retention::Retention;

#[test]
fn every_key_is_read() {
    let queue = queue_of(
        "rate = \"20/s\"\nburst = 5\nlease = \"1m\"\nkeep_response = \"0B\"\nconcurrency = 3\npriority_levels = 10\nordering = \"none\"\nrequired_keys = [\"labels.to\", \"group\"]\nttl = \"1h\"\nretention = { dead = \"7d\" }\nidempotency_window = \"2h\"\non_uncertain = \"park\"\nshards = 4",
    );
    assert_eq!(queue.name.as_str(), "q");
    assert_eq!(queue.own_rate().unwrap().0.to_string(), "20/s");
    assert_eq!(
        (queue.own_rate().unwrap().1, queue.lease_ms, queue.keep_response_bytes),
        (5, 60_000, 0)
    );
    assert_eq!((queue.concurrency, queue.priority_levels, queue.shards), (3, 10, 4));
    assert_eq!(queue.retention, Retention::by_age(86_400_000, 7 * 86_400_000));
    assert_eq!(queue.idempotency_window_ms, 7_200_000);
    assert_eq!(queue.required_keys, ["labels.to", "group"].map(|key| key.parse().unwrap()));
    assert_eq!(queue.ttl_ms, Some(3_600_000));
    assert_eq!(queue.on_uncertain, OnUncertain::Park);
}

#[test]
fn the_lease_follows_the_timeout() {
    let with = |lease: &str, timeout: &str| {
        format!(
            "[queues.q]\n{lease}\n[queues.q.downstream]\nurl = \"http://h\"\ntimeout = {timeout:?}"
        )
    };
    assert_eq!(queue_of(&with("", "15s")).lease_ms, 30_000);
    assert_eq!(queue_of(&with("", "2m")).lease_ms, 130_000);
    assert_eq!(queue_of(&with("lease = \"20s\"", "15s")).lease_ms, 20_000);
    let error = queue_errors(&with("lease = \"19s\"", "15s"));
    assert!(
        error.contains(
            "queues.q.lease: found \"19s\", expected at least 20s: downstream.timeout 15s"
        ),
        "{error}"
    );
}

#[test]
fn parking_needs_the_disk() {
    let parks = "[queues.q]\non_uncertain = \"park\"\ndownstream.type = \"null\"";
    for (level, accepted) in
        [("memory", false), ("everysec", false), ("disk", true), ("replicas", true)]
    {
        let loaded = load_with(parks, &[("TIDEGATE__REDIS__DURABILITY", level)], &[]);
        assert_eq!(loaded.is_ok(), accepted, "{level}");
        if let Err(errors) = loaded {
            let errors = errors.to_string();
            assert!(errors.contains("queues.q.on_uncertain: \"park\" promises"), "{errors}");
            assert!(errors.contains(level), "{errors}");
        }
    }
}

#[test]
fn bad_values_are_refused() {
    for (text, part) in [
        (
            "rate = \"20/fortnight\"",
            "queues.q.rate: \"20/fortnight\" is not a valid rate; expected for example 20/s",
        ),
        ("rate = 20", "queues.q.rate: \"20\" is not a valid rate"),
        ("rate = \"1/s\"\nburst = 0", "queues.q.burst: found 0, expected a whole number from 1"),
        ("burst = 2", "queues.q.burst: has no effect without a rate"),
        ("concurrency = 0", "found 0, expected a whole number from 1 to 100000"),
        ("concurrency = \"many\"", "found \"many\", expected a whole number from 1"),
        ("concurrency = 99999999999", "expected a whole number from 1 to 100000"),
        ("priority_levels = 11", "found 11, expected a whole number from 1 to 10"),
        ("shards = 1025", "found 1025, expected a whole number from 1 to 1024"),
        ("on_uncertain = \"ask\"", "found \"ask\", expected \"resend\" or \"park\" or \"probe\""),
        ("retention = \"1d\"", "queues.q.retention: found a text, expected a table"),
        ("retention = { dead = \"0s\" }", "queues.q.retention.dead: found \"0s\", expected 1ms"),
        ("concurency = 1", "queues.q.concurency: unknown key; did you mean concurrency?"),
        (
            "required_keys = [\"to\"]",
            "\"to\" is not a valid key; expected \"group\", \"host\", or \"labels.\"",
        ),
        ("required_keys = \"group\"", "queues.q.required_keys: found a text, expected a list"),
        ("ttl = \"0s\"", "queues.q.ttl: found \"0s\", expected 1ms"),
    ] {
        let error = queue_errors(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_queue_needs_a_name_and_a_downstream() {
    let error = errors_of("[queues.SMS]\nrate = \"1/s\"");
    assert!(error.contains("queues.SMS: \"SMS\" is not a valid queue name"), "{error}");
    assert!(error.contains("queues.SMS.downstream: is missing"), "{error}");
    assert!(
        errors_of("[queues.a__b.downstream]\ntype = \"null\"")
            .contains("is not a valid queue name")
    );
    assert!(errors_of("[queues.\"a.b\".downstream]\ntype = \"null\"").contains("queues.\"a.b\": "));
    assert!(errors_of("[queues]\nq = 5").contains("queues.q: found 5, expected a table"));
    assert!(errors_of("queues = 5").contains("queues: found 5, expected a table"));
}

proptest! {
    #[test]
    fn values_read_back(calls in 1u32..1000, burst in 1u32..1000, lease_ms in 5000u64..1_000_000, shards in 1u16..=1024) {
        let queue = queue_of(&format!(
            "rate = \"{calls}/min\"\nburst = {burst}\nlease = \"{lease_ms}ms\"\nshards = {shards}"
        ));
        prop_assert_eq!(queue.own_rate().unwrap().0.to_string(), format!("{calls}/min"));
        prop_assert_eq!((queue.own_rate().unwrap().1, queue.lease_ms, queue.shards), (burst, lease_ms, shards));
    }

    #[test]
    fn no_text_panics(text: String) {
        for key in ["rate", "lease", "shards", "ordering", "fairness", "aging", "limits", "downstream", "retry", "window", "batch"] {
            let env = [(format!("TIDEGATE__QUEUES__Q__{}", key.to_uppercase()), text.clone())];
            let env: Vec<_> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            drop(load_with("[queues.q.downstream]\ntype = \"null\"", &env, &[]));
        }
    }
}
