//! Which setting decides, and who blocks.

use super::*;
use crate::domain::gates::ShardLoad;
use crate::domain::overrides::{Override, OverrideChange, put_in_force};

#[test]
fn keys_name_their_value_and_what_it_was_given() {
    let text = "limits = [{ rate = \"1/min\", per = \"labels.to\", name = \"per_to\" }]\nordering = { by = \"group\", stall = \"5m\" }\n";
    let mut scene = Scene::of(text, State::Ready);
    scene.message.details.labels.insert("to".to_owned(), "+491701".to_owned());
    let limits = vec![("per_to".parse().unwrap(), Some(ms(NOW) + 30_000))];
    scene.keys = Some(KeyHold { limits, ahead: Some(id(9)), has_turn: true });
    scene.line = Some(Line {
        position: LinePosition { ahead: 2, of: LineOf::Key, at_least: false },
        ..line(2)
    });
    let explained = scene.explained();
    let limit = gate(&explained, "limit:per_to");
    assert_eq!(
        limit.detail,
        "It lets 1/min start for labels.to = +491701: the next one may start at 2026-11-30 12:00:30 UTC (in 30s)."
    );
    assert!(limit.setting.as_ref().unwrap().ends_with("tidegate.toml:3"), "{:?}", limit.setting);
    assert_eq!(limit.blocked_by, [GateBlocker::Key("+491701".to_owned())]);
    let order = gate(&explained, "order");
    assert_eq!((order.opens_at_ms, order.blocked_by_total), (None, 1));
    assert_eq!(order.blocked_by, [GateBlocker::Message(id(9))]);
    assert!(explained.sentence.starts_with(&format!("{} of the same group goes first", id(9))));
    assert!(explained.sentence.contains("2 messages of its key stand before it."));

    let allowed = LimitValue::Rate("2/min".parse().unwrap());
    scene.given.insert("per_to".parse().unwrap(), ("+491701".to_owned(), allowed));
    let explained = scene.explained();
    let limit = gate(&explained, "limit:per_to");
    assert_eq!(limit.setting.as_deref(), Some("key +491701"));
    assert!(limit.detail.starts_with("It lets 2/min start"), "{}", limit.detail);
}

#[test]
fn an_override_decides_where_it_changes_something() {
    let configured = queue_of("rate = \"20/s\"\nconcurrency = 5\n");
    let of = |change| Override {
        id: "ov_1".to_owned(),
        queue: configured.name.clone(),
        change,
        above: false,
        from_ms: 0,
        until_ms: ms(NOW) + 1000,
        ended_ms: None,
        reason: String::new(),
        by: "ann".to_owned(),
    };
    let value = |text: &str| LimitValue::Rate(text.parse().unwrap());
    let rate =
        |text| of(OverrideChange::Limit { name: "rate".parse().unwrap(), value: value(text) });
    let mut scene = Scene::of("", State::Ready).used("0.00");
    for (change, gate_name, is_override) in [
        (rate("1/s"), "limit:rate", true),
        (rate("30/s"), "limit:rate", false),
        (of(OverrideChange::Concurrency(2)), "concurrency", true),
        (of(OverrideChange::Concurrency(9)), "concurrency", false),
    ] {
        scene.policy = put_in_force(&configured, &[change], ms(NOW));
        let explained = scene.explained();
        let setting = gate(&explained, gate_name).setting.clone().unwrap();
        assert_eq!(setting == "override ov_1", is_override, "{gate_name}: {setting}");
    }
}

#[test]
fn calls_in_flight_are_named_up_to_ten() {
    let mut scene = Scene::of("", State::Ready);
    let busy = ShardLoad { calls_in_flight: 16, ..ShardLoad::default() };
    scene.snapshot.load = Some(QueueLoad { limits: Vec::new(), shards: vec![busy] });
    scene.line.as_mut().unwrap().on_their_way = (2..20).map(id).collect();
    let explained = scene.explained();
    let calls = gate(&explained, "concurrency");
    assert_eq!((calls.blocked_by.len(), calls.blocked_by_total), (10, 16));
    assert_eq!(calls.opens_at_ms, None);
    assert!(calls.detail.contains("nobody knows when one ends"), "{}", calls.detail);
    assert_eq!(calls.setting.as_deref(), Some("default"));
    assert_eq!(explained.earliest_ms, Some(ms(NOW)), "if nothing stood ahead of it");
}

#[test]
fn what_is_expected_goes_by_the_key_the_batch_and_the_workers() {
    let text = "limits = [{ rate = \"1/min\", per = \"labels.to\", name = \"per_to\" }]\n";
    let mut scene = Scene::of(text, State::Ready);
    let (now_ms, opens_ms) = (ms(NOW), ms(NOW) + 48_000);
    scene.message.details.labels.insert("to".to_owned(), "a".to_owned());
    let limits = vec![("per_to".parse().unwrap(), Some(opens_ms))];
    scene.keys = Some(KeyHold { limits, ahead: None, has_turn: true });
    scene.line = Some(Line {
        position: LinePosition { ahead: 2, of: LineOf::Key, at_least: false },
        ..line(2)
    });
    scene.expected_ms = Some(now_ms + 120_000);
    // Two more slots behind the next one.
    assert_eq!(scene.explained().expected_ms, Some(opens_ms + 120_000));
    let allowed = LimitValue::Rate("60/min".parse().unwrap());
    scene.given.insert("per_to".parse().unwrap(), ("a".to_owned(), allowed));
    scene.expected_ms = Some(now_ms + 2000);
    assert_eq!(scene.explained().expected_ms, Some(opens_ms + 2000), "by its own pace");

    let mut pulled = Scene::of("[queues.q.downstream]\ntype = \"pull\"\n", State::Ready);
    pulled.expected_ms = Some(now_ms);
    assert_eq!(pulled.explained().expected_ms, None, "no worker has come");
    let mut sent = Scene::of("", State::Ready);
    sent.expected_ms = Some(now_ms);
    assert_eq!(sent.explained().expected_ms, Some(now_ms));
}
