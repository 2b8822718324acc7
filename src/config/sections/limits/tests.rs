//! The refusals and forms of limits.

use std::sync::Arc;

use crate::config::testing::{load_with, queue_errors, queue_of, settings_of};
use crate::config::{digest, effective, render};
use crate::domain::limit::{LimitKind, LimitUnit};
use crate::domain::policy::QueuePolicy;

fn names(queue: &QueuePolicy) -> Vec<String> {
    queue.limits.iter().map(|limit| limit.name.to_string()).collect()
}

#[test]
fn messages_of_batches_are_counted_in_one_shard_only() {
    let lines = "limits = [{ quota = \"5/day\", unit = \"messages\" }]\nbatch = {}\nshards = ";
    let errors = queue_errors(&format!("{lines}2"));
    assert!(errors.contains("\"quota_day\" counts the messages of batches"), "{errors}");
    assert_eq!(queue_of(&format!("{lines}1")).limits.len(), 1);
}

#[test]
fn every_key_is_read() {
    let queue = queue_of(
        "rate = \"20/s\"\nburst = 2\nlimits = [{ name = \"contract\", quota = \"50000/day\", time_zone = \"Asia/Shanghai\" }, { rate = \"600/min\", name = \"minutes\", burst = 5, unit = \"messages\" }, { quota = \"7/h\" }]",
    );
    assert_eq!(names(&queue), ["rate", "contract", "minutes", "quota_hour"]);
    let shown: Vec<_> = queue.limits.iter().map(|limit| limit.kind.to_string()).collect();
    assert_eq!(shown, ["20/s", "50000/day", "600/min", "7/hour"]);
    let zones: Vec<_> = queue.quotas().map(|quota| quota.zone().name()).collect();
    assert_eq!(zones, ["Asia/Shanghai", "UTC"]);
    assert!(matches!(queue.limits[2].kind, LimitKind::Rate { burst: 5, .. }));
    assert_eq!(queue.limits[2].unit, LimitUnit::Messages);
    assert_eq!(queue.limits[1].unit, LimitUnit::Calls);
    assert_eq!(
        queue.own_rate().map(|(rate, burst)| (rate.to_string(), burst)),
        Some(("20/s".to_owned(), 2))
    );
    assert!(queue_of("limits = []").limits.is_empty());
}

#[test]
fn a_list_may_stand_in_the_environment_and_in_tables_of_its_own() {
    let text = "[queues.q.downstream]\ntype = \"null\"";
    let limits = [("TIDEGATE__QUEUES__Q__LIMITS", "[{ quota = \"5/day\" }]")];
    let settings = load_with(text, &limits, &[]).unwrap();
    assert_eq!(names(settings.queues.values().next().unwrap()), ["quota_day"]);
    let tables = "[[queues.q.limits]]\nquota = \"5/day\"\n[[queues.q.limits]]\nrate = \"5/s\"";
    assert_eq!(names(&queue_of(tables)), ["quota_day", "rate"]);
}

#[test]
fn what_is_shown_reads_back() {
    let text = "[queues.q]\nrate = \"20/s\"\nlimits = [{ quota = \"50000/day\", time_zone = \"Asia/Shanghai\" }, { name = \"b\", rate = \"5/s\", unit = \"messages\" }]\ndownstream.type = \"null\"";
    let settings = settings_of(text);
    let shown = render(&settings);
    assert_eq!(settings_of(&shown).queues, settings.queues, "{shown}");
    assert_eq!(render(&settings_of(&shown)), shown);
    let queue = Arc::clone(settings.queues.values().next().unwrap());
    let view = serde_json::to_value(effective(&queue)).unwrap();
    assert_eq!(view["rate"], "20/s");
    let expected = serde_json::json!([
        { "name": "quota_day", "rate": null, "burst": null, "quota": "50000/day", "time_zone": "Asia/Shanghai", "concurrency": null, "per": null, "unit": "calls" },
        { "name": "b", "rate": "5/s", "burst": 1, "quota": null, "time_zone": null, "concurrency": null, "per": null, "unit": "messages" },
    ]);
    assert_eq!(view["limits"], expected);
}

#[test]
fn a_changed_limit_is_another_configuration() {
    let with = |limits: &str| {
        let queue = format!("[queues.q]\nlimits = [{limits}]\ndownstream.type = \"null\"");
        digest(&settings_of(&queue))
    };
    let first = with("{ quota = \"5/day\" }");
    assert_eq!(with("{ quota = \"5/d\", time_zone = \"UTC\", name = \"quota_day\" }"), first);
    for other in [
        "",
        "{ quota = \"6/day\" }",
        "{ quota = \"5/week\" }",
        "{ quota = \"5/day\", time_zone = \"Europe/Berlin\" }",
        "{ quota = \"5/day\", name = \"other\" }",
        "{ quota = \"5/day\", unit = \"messages\" }",
        "{ quota = \"5/day\", name = \"quota_day\", per = \"group\" }",
        "{ quota = \"5/day\", name = \"quota_day\", per = \"labels.to\" }",
        "{ concurrency = 5, name = \"quota_day\", per = \"group\" }",
    ] {
        assert_ne!(with(other), first, "{other}");
    }
}

#[test]
fn bad_limits_are_refused_each_for_itself() {
    for (limit, part) in [
        (
            "{}",
            "queues.q.limits[0].rate: is missing; expected for example rate = \"20/s\", or quota = \"50000/day\", or concurrency = 2 with per",
        ),
        ("{ name = \"a\" }", "queues.q.limits[0].rate: is missing"),
        (
            "{ rate = \"1/s\", quota = \"5/day\" }",
            "queues.q.limits[0].quota: a limit is a rate, a quota or a concurrency, and this one is more than one of them",
        ),
        (
            "{ rate = \"1/fortnight\" }",
            "queues.q.limits[0].rate: \"1/fortnight\" is not a valid rate",
        ),
        (
            "{ rate = \"1/s\", burst = 0 }",
            "queues.q.limits[0].burst: found 0, expected a whole number",
        ),
        ("{ quota = \"5/s\" }", "queues.q.limits[0].quota: \"5/s\" is not a valid quota, because"),
        ("{ quota = \"5/year\" }", "is not a valid quota; expected for example 1000/hour"),
        ("{ quota = \"0/day\" }", "with a number from 1 to 1000000000000"),
        ("{ quota = \"1000000000001/day\" }", "with a number from 1 to 1000000000000"),
        ("{ quota = 5 }", "queues.q.limits[0].quota: \"5\" is not a valid quota"),
        ("{ quota = \"5/day\", burst = 2 }", "queues.q.limits[0].burst: has no effect on a quota"),
        (
            "{ rate = \"1/s\", time_zone = \"UTC\" }",
            "queues.q.limits[0].time_zone: has no effect on a rate",
        ),
        (
            "{ quota = \"5/day\", time_zone = \"Mars\" }",
            "limits[0].time_zone: \"Mars\" is not a valid time zone",
        ),
        (
            "{ quota = \"5/day\", unit = \"bytes\" }",
            "found \"bytes\", expected \"calls\" or \"messages\"",
        ),
        (
            "{ quota = \"5/day\", name = \"A b\" }",
            "limits[0].name: \"A b\" is not a valid limit name",
        ),
        ("{ qota = \"5/day\" }", "limits[0].qota: unknown key; did you mean quota?"),
        ("5", "queues.q.limits[0]: found 5, expected a table"),
    ] {
        let error = queue_errors(&format!("limits = [{limit}]"));
        assert!(error.contains(part), "{limit}: {error}");
    }
    let error =
        queue_errors("limits = [{ rate = \"x\" }, { quota = \"5/day\" }, { quota = \"y\" }]");
    assert!(error.contains("limits[0].rate") && error.contains("limits[2].quota"), "{error}");
    assert!(
        queue_errors("limits = { quota = \"5/day\" }")
            .contains("queues.q.limits: found a table, expected a list")
    );
}

#[test]
fn bad_limits_by_a_key_are_refused() {
    for (limit, part) in [
        (
            "{ concurrency = 2 }",
            "limits[0].concurrency: holds for each value of a key, and there is no per; add for example per = \"labels.customer\", or set the concurrency of the queue",
        ),
        (
            "{ concurrency = 0, per = \"group\" }",
            "limits[0].concurrency: found 0, expected a whole number from 1 to 100000",
        ),
        (
            "{ concurrency = 2, per = \"group\", burst = 2 }",
            "limits[0].burst: has no effect on a concurrency",
        ),
        (
            "{ concurrency = 2, per = \"group\", time_zone = \"UTC\" }",
            "limits[0].time_zone: has no effect on a concurrency",
        ),
        (
            "{ concurrency = 2, per = \"group\", rate = \"1/s\" }",
            "limits[0].concurrency: a limit is a rate, a quota or a concurrency, and this one is",
        ),
        (
            "{ quota = \"5/day\", per = \"group\", burst = 2 }",
            "limits[0].burst: has no effect on a quota",
        ),
        (
            "{ rate = \"1/s\", per = \"group\", time_zone = \"UTC\" }",
            "limits[0].time_zone: has no effect on a rate",
        ),
        ("{ per = \"group\" }", "limits[0].rate: is missing"),
        (
            "{ rate = \"1/s\", per = \"to\" }",
            "limits[0].per: \"to\" is not a valid key; expected \"group\", \"host\", or \"labels.\"",
        ),
        (
            "{ rate = \"1/s\", per = \"labels.\" }",
            "limits[0].per: \"labels.\" is not a valid key, because of the name of the label",
        ),
        ("{ rate = \"1/s\", per = {} }", "limits[0].per: found a table, expected a text"),
    ] {
        let error = queue_errors(&format!("limits = [{limit}]"));
        assert!(error.contains(part), "{limit}: {error}");
    }
}

#[test]
fn the_host_is_a_key_where_messages_bring_their_own_url() {
    let error = queue_errors("limits = [{ rate = \"1/s\", per = \"host\" }]");
    let part = "queues.q.limits: the key \"host\" is that of messages which bring their own url; set downstream.url = \"message\", or";
    assert!(error.contains(part), "{error}");
}

#[test]
fn two_limits_of_one_name_are_refused_with_the_remedy() {
    let error = queue_errors("limits = [{ quota = \"5/day\" }, { quota = \"6/day\" }]");
    let expected = "queues.q.limits: two limits are named \"quota_day\"; give each a name of its own, for example name = \"quota_day_2\"";
    assert!(error.contains(expected), "{error}");
    let error = queue_errors("rate = \"1/s\"\nlimits = [{ rate = \"5/min\" }]");
    assert!(
        error.contains("two limits are named \"rate\", one of them the rate of the queue; give"),
        "{error}"
    );
    let many: Vec<_> =
        (0..17).map(|n| format!("{{ name = \"n{n}\", quota = \"5/day\" }}")).collect();
    let error = queue_errors(&format!("limits = [{}]", many.join(", ")));
    assert!(
        error.contains("found 17 limits, with the rate of the queue, expected at most 16"),
        "{error}"
    );
}

#[test]
fn a_limit_may_hold_for_each_value_of_a_key() {
    let queue = queue_of(
        "rate = \"9/s\"\nlimits = [{ rate = \"1/min\", per = \"labels.to\", burst = 3 }, { quota = \"50/day\", per = \"labels.to\", time_zone = \"Asia/Shanghai\" }, { concurrency = 2, per = \"labels.Customer No\", unit = \"messages\" }, { name = \"mine\", concurrency = 3, per = \"group\" }, { quota = \"5/h\", unit = \"messages\" }]",
    );
    assert_eq!(
        names(&queue),
        ["rate", "per_to", "per_to_day", "per_customer_no_concurrency", "mine", "quota_hour"]
    );
    let per: Vec<_> =
        queue.limits.iter().map(|limit| limit.per.as_ref().map(ToString::to_string)).collect();
    let per: Vec<_> = per.iter().map(Option::as_deref).collect();
    let to = Some("labels.to");
    assert_eq!(per, [None, to, to, Some("labels.Customer No"), Some("group"), None]);
    assert!(matches!(queue.limits[1].kind, LimitKind::Rate { burst: 3, .. }));
    assert_eq!(queue.limits[2].quota().unwrap().zone().name(), "Asia/Shanghai");
    assert_eq!(queue.limits[3].kind, LimitKind::Concurrency(2));
    assert_eq!(queue.rates().count() + queue.quotas().count(), 2, "those without a key");
    assert!(queue.keyed_limits().all(|limit| limit.unit == LimitUnit::Messages));
}

#[test]
fn a_limit_by_a_key_is_shown_and_reads_back() {
    let text = "[queues.q]\nlimits = [{ rate = \"1/min\", per = \"labels.to\", unit = \"calls\" }, { concurrency = 2, per = \"group\" }]\ndownstream.type = \"null\"";
    let settings = settings_of(text);
    let shown = render(&settings);
    assert_eq!(settings_of(&shown).queues, settings.queues, "{shown}");
    let view = serde_json::to_value(effective(settings.queues.values().next().unwrap())).unwrap();
    assert_eq!(view["rate"], serde_json::Value::Null, "the rate by a key is not the queue's own");
    let expected = serde_json::json!([
        { "name": "per_to", "rate": "1/min", "burst": 1, "quota": null, "time_zone": null, "concurrency": null, "per": "labels.to", "unit": null },
        { "name": "per_group_concurrency", "rate": null, "burst": null, "quota": null, "time_zone": null, "concurrency": 2, "per": "group", "unit": null },
    ]);
    assert_eq!(view["limits"], expected);
}

#[test]
fn two_limits_by_a_key_may_get_one_name_and_are_refused() {
    let error = queue_errors(
        "limits = [{ rate = \"1/s\", per = \"labels.a b\" }, { rate = \"5/min\", per = \"labels.A.b\" }]",
    );
    assert!(error.contains("two limits are named \"per_a_b\"; give each a name"), "{error}");
}

#[test]
fn a_limit_by_a_key_counts_messages_in_any_shard() {
    let limit = "{ rate = \"1/s\", per = \"group\", unit = \"messages\" }";
    let queue = queue_of(&format!("limits = [{limit}]\nbatch = {{}}\nshards = 2"));
    assert_eq!((queue.limits.len(), queue.shards), (1, 2));
}
