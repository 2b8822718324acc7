//! The forms of keys, and their refusals.

use crate::config::testing::{load_with, queue_errors, queue_of, settings_of};
use crate::config::{digest, effective, render};
use crate::domain::keys::{Fairness, MessageKey, Ordering, Until, Weight};

fn key(text: &str) -> MessageKey {
    text.parse().unwrap()
}

fn weight(number: f64) -> Weight {
    Weight::of_number(number).unwrap()
}

#[test]
fn order_is_a_word_a_key_or_a_table() {
    for none in ["", "ordering = \"none\""] {
        assert_eq!(queue_of(none).ordering, None);
    }
    let by = |text: &str| queue_of(&format!("ordering = {text}")).ordering.clone();
    assert_eq!(by("\"group\""), Some(Ordering::by(MessageKey::Group)));
    assert_eq!(by("\"labels.to\""), Some(Ordering::by(key("labels.to"))));
    assert_eq!(by("{ by = \"labels.to\" }"), Some(Ordering::by(key("labels.to"))));
    let whole = Ordering { by: MessageKey::Group, until: Until::Final, stall_ms: Some(3_600_000) };
    let text = "{ by = \"group\", until = \"final\", stall = \"1h\" }";
    assert_eq!(by(text), Some(whole.clone()));
    let section = "[queues.q.ordering]\nby = \"group\"\nuntil = \"final\"\nstall = \"1h\"";
    assert_eq!(queue_of(section).ordering, Some(whole.clone()));
    for (variable, value) in
        [("ORDERING", text), ("ORDERING__BY", "labels.x"), ("ORDERING", "labels.x")]
    {
        let variable = format!("TIDEGATE__QUEUES__Q__{variable}");
        let queue = "[queues.q.downstream]\ntype = \"null\"";
        let settings = load_with(queue, &[(&variable, value)], &[]).unwrap();
        let found = settings.queues.values().next().unwrap().ordering.clone();
        let alone = Ordering::by(key("labels.x"));
        assert_eq!(found, Some(if value == text { whole.clone() } else { alone }));
    }
}

#[test]
fn shares_are_a_word_a_key_or_a_table() {
    for none in ["", "fairness = \"none\""] {
        assert_eq!(queue_of(none).fairness, None);
    }
    let by = |text: &str| queue_of(&format!("fairness = {text}")).fairness.clone();
    assert_eq!(by("\"group\""), Some(Fairness::by(MessageKey::Group)));
    assert_eq!(
        by("{ by = \"labels.tenant\", weights = {} }"),
        Some(Fairness::by(key("labels.tenant")))
    );
    let whole = Fairness {
        by: key("labels.tenant"),
        weights: [("acme", 5.0), ("a b", 0.01), ("", 2.5)]
            .map(|(value, number)| (value.to_owned(), weight(number)))
            .into(),
        weight: weight(1000.0),
    };
    assert_eq!(
        by(
            "{ by = \"labels.tenant\", weights = { acme = 5, \"a b\" = 0.01, \"\" = \"2.5\" }, weight = 1000 }"
        ),
        Some(whole)
    );
}

#[test]
fn what_is_shown_reads_back_and_a_key_alone_is_shown_as_a_table() {
    let text = "[queues.q]\nordering = \"labels.to\"\npriority_levels = 3\naging = \"10m\"\nfairness = { by = \"labels.tenant\", weights = { acme = 5, \"b c\" = 0.5, \"\" = 1 } }\nlimits = [{ concurrency = 2, per = \"group\" }]\ndownstream.type = \"null\"\n[queues.r]\ndownstream.type = \"null\"";
    let settings = settings_of(text);
    let shown = render(&settings);
    assert_eq!(settings_of(&shown).queues, settings.queues, "{shown}");
    assert_eq!(render(&settings_of(&shown)), shown);
    for line in [
        "ordering = { by = \"labels.to\", until = \"accepted\" }",
        "fairness = { by = \"labels.tenant\", weights = { \"\" = 1.0, \"acme\" = 5.0, \"b c\" = 0.5 }, weight = 1.0 }",
        "aging = \"10m\"",
        "ordering = \"none\"",
        "fairness = \"none\"",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    let views: Vec<_> = settings
        .queues
        .values()
        .map(|queue| serde_json::to_value(effective(queue)).unwrap())
        .collect();
    assert_eq!(
        views[0]["ordering"],
        serde_json::json!({ "by": "labels.to", "until": "accepted", "stall": null })
    );
    assert_eq!(
        views[0]["fairness"],
        serde_json::json!({ "by": "labels.tenant", "weights": { "": 1.0, "acme": 5.0, "b c": 0.5 }, "weight": 1.0 })
    );
    assert_eq!(views[1]["ordering"], "none");
    assert_eq!(views[1]["fairness"], "none");
    assert_eq!(views[1]["aging"], serde_json::Value::Null);
}

#[test]
fn a_changed_key_is_another_configuration() {
    let with = |lines: &str| {
        digest(&settings_of(&format!(
            "[queues.q]\npriority_levels = 2\n{lines}\ndownstream.type = \"null\""
        )))
    };
    let first = with("ordering = \"group\"\nfairness = \"group\"\naging = \"1m\"");
    let same = with(
        "ordering = { by = \"group\" }\nfairness = { by = \"group\", weights = {} }\naging = \"60s\"",
    );
    assert_eq!(first, same);
    for other in [
        "fairness = \"group\"\naging = \"1m\"",
        "ordering = \"group\"\naging = \"1m\"",
        "ordering = \"group\"\nfairness = \"group\"",
        "ordering = \"labels.a\"\nfairness = \"group\"\naging = \"1m\"",
        "ordering = { by = \"group\", until = \"final\" }\nfairness = \"group\"\naging = \"1m\"",
        "ordering = { by = \"group\", stall = \"1h\" }\nfairness = \"group\"\naging = \"1m\"",
        "ordering = \"group\"\nfairness = { by = \"group\", weight = 2 }\naging = \"1m\"",
        "ordering = \"group\"\nfairness = { by = \"group\", weights = { a = 2 } }\naging = \"1m\"",
        "ordering = \"group\"\nfairness = \"group\"\naging = \"2m\"",
    ] {
        assert_ne!(with(other), first, "{other}");
    }
}

#[test]
fn a_bad_order_is_refused_with_the_remedy() {
    for (text, part) in [
        (
            "ordering = \"grup\"",
            "queues.q.ordering: \"grup\" is not a valid key; expected \"group\", \"host\", or \"labels.\" and the name of a label, for example \"labels.to\"; or \"none\"",
        ),
        (
            "ordering = \"host\"",
            "queues.q.ordering: the key \"host\" is that of messages which bring their own url; set downstream.url = \"message\", or use",
        ),
        (
            "ordering = \"labels.\"",
            "queues.q.ordering: \"labels.\" is not a valid key, because of the name of the label",
        ),
        ("ordering = 5", "queues.q.ordering: found 5, expected \"none\", a key such as"),
        ("ordering = []", "queues.q.ordering: found a list, expected \"none\", a key such as"),
        ("ordering = {}", "queues.q.ordering.by: is missing; expected for example by = "),
        ("ordering = { by = \"none\" }", "queues.q.ordering.by: \"none\" is not a valid key"),
        ("ordering = { by = \"host\" }", "queues.q.ordering: the key \"host\" is that of messages"),
        ("ordering = { by = [\"group\"] }", "queues.q.ordering.by: found a list, expected a text"),
        (
            "ordering = { by = \"group\", until = \"done\" }",
            "ordering.until: found \"done\", expected \"accepted\" or \"final\"",
        ),
        (
            "ordering = { by = \"group\", stall = \"0s\" }",
            "ordering.stall: found \"0s\", expected 1ms to 3650d",
        ),
        (
            "ordering = { by = \"group\", untill = \"final\" }",
            "ordering.untill: unknown key; did you mean until?",
        ),
    ] {
        let error = queue_errors(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn bad_shares_are_refused_with_the_remedy() {
    for (text, part) in [
        ("fairness = \"tenant\"", "queues.q.fairness: \"tenant\" is not a valid key"),
        (
            "fairness = \"host\"",
            "queues.q.fairness: the key \"host\" is that of messages which bring",
        ),
        ("fairness = { weight = 2 }", "queues.q.fairness.by: is missing"),
        (
            "fairness = { by = \"group\", weight = 0 }",
            "fairness.weight: found 0, expected a number from 0.01 to 1000",
        ),
        (
            "fairness = { by = \"group\", weight = 1000.5 }",
            "fairness.weight: found 1000.5, expected a number from 0.01 to 1000",
        ),
        (
            "fairness = { by = \"group\", weight = 1.0005 }",
            "fairness.weight: found 1.0005, expected a number from 0.01 to 1000 with at most three digits",
        ),
        (
            "fairness = { by = \"group\", weights = { a = 0.001, b = \"x\" } }",
            "fairness.weights.a: found 0.001, expected a number",
        ),
        (
            "fairness = { by = \"group\", weights = { a = 0.001, b = \"x\" } }",
            "fairness.weights.b: found \"x\", expected a number",
        ),
        (
            "fairness = { by = \"group\", weights = [1] }",
            "fairness.weights: found a list, expected a table",
        ),
        (
            "fairness = { by = \"group\", wheight = 1 }",
            "fairness.wheight: unknown key; did you mean weight?",
        ),
    ] {
        let error = queue_errors(text);
        assert!(error.contains(part), "{text}: {error}");
    }
    let long = "x".repeat(257);
    let error =
        queue_errors(&format!("fairness = {{ by = \"group\", weights = {{ {long} = 1 }} }}"));
    assert!(error.contains("has 257 bytes, and a value of a key has at most 256"), "{error}");
}

#[test]
fn aging_needs_levels() {
    assert_eq!(queue_of("priority_levels = 2\naging = \"1m\"").aging_ms, Some(60_000));
    for (text, part) in [
        (
            "aging = \"10m\"",
            "queues.q.aging: has no effect with priority_levels = 1; set priority_levels",
        ),
        ("priority_levels = 2\naging = \"0s\"", "queues.q.aging: found \"0s\", expected 1ms to"),
        ("priority_levels = 2\naging = 5", "queues.q.aging: "),
    ] {
        let error = queue_errors(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn keys_need_one_shard_unless_all_are_the_same() {
    let ordering = "ordering = \"labels.a\"";
    let fairness = "fairness = { by = \"labels.b\" }";
    let limit = "limits = [{ quota = \"5/day\" }, { rate = \"1/s\", per = \"labels.c\" }]";
    for (lines, part) in [
        (
            [ordering, fairness],
            "here ordering goes by labels.a, and fairness by labels.b; set shards = 1",
        ),
        (
            [ordering, limit],
            "here ordering goes by labels.a, and the limit \"per_c\" by labels.c; set",
        ),
        (
            [fairness, limit],
            "here fairness goes by labels.b, and the limit \"per_c\" by labels.c; set",
        ),
    ] {
        let text = lines.join("\n");
        let error = queue_errors(&format!("{text}\nshards = 2"));
        assert!(
            error.contains(
                "queues.q.shards: found 2, but a queue with keys needs shards = 1, unless"
            ),
            "{error}"
        );
        assert!(error.contains(part), "{error}");
        assert!(queue_of(&format!("{text}\nshards = 1")).has_keys());
    }
    let two = "limits = [{ rate = \"1/s\", per = \"group\" }, { quota = \"5/day\", per = \"labels.a\" }]\nshards = 2";
    assert!(queue_errors(two).contains(
        "the limit \"per_group\" goes by group, and the limit \"per_a_day\" by labels.a"
    ));
    for same in [
        ordering,
        fairness,
        limit,
        "ordering = \"group\"\nfairness = \"group\"\nrate = \"9/s\"\nlimits = [{ rate = \"1/s\", per = \"group\" }, { concurrency = 1, per = \"group\" }]",
    ] {
        assert!(queue_of(&format!("{same}\nshards = 2")).has_keys(), "{same}");
    }
    assert!(!queue_of("shards = 2\npriority_levels = 2\naging = \"1m\"").has_keys());
}

#[test]
fn keys_go_with_every_downstream_and_with_batches() {
    let keys = "ordering = \"group\"\nfairness = \"labels.tenant\"\nlimits = [{ concurrency = 2, per = \"labels.to\" }]";
    for other in [
        "batch = {}",
        "downstream.type = \"null\"",
        "downstream.type = \"pull\"",
        "downstream.url = \"http://h\"",
    ] {
        let other = if other.starts_with("batch") {
            format!("{other}\ndownstream.type = \"null\"")
        } else {
            other.to_owned()
        };
        let settings = settings_of(&format!("[queues.q]\n{keys}\n{other}"));
        assert!(settings.queues.values().all(|queue| queue.has_keys()), "{other}");
    }
}
