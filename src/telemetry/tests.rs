//! What is scraped: names, formats, and counters that are there from the start.

use super::*;

#[test]
fn names_are_those_of_the_contract() {
    let metrics = Metrics::new();
    metrics.count("sms", "schedule", 2);
    metrics.store.store_up.set(1);
    let text = metrics.render();
    assert!(text.contains("tidegate_messages_total{queue=\"sms\",event=\"schedule\"} 2"), "{text}");
    assert!(text.contains("tidegate_store_up 1"), "{text}");
    assert!(text.contains("tidegate_build_info{version="), "{text}");
}

#[test]
fn each_format_announces_counters_in_its_own_way() {
    let metrics = Metrics::new();
    metrics.introduce("sms", ["weight"]);
    let (plain, open) = (metrics.render(), metrics.render_open_metrics());
    assert!(plain.contains("# TYPE tidegate_messages_total counter\n"), "{plain}");
    assert!(plain.contains("# HELP tidegate_dead_total Messages given up"), "{plain}");
    assert!(plain.contains("# TYPE tidegate_store_up gauge\n"), "{plain}");
    assert!(!plain.contains("# EOF"), "{plain}");
    assert!(open.contains("# TYPE tidegate_messages counter\n"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
}

#[test]
fn a_queue_shows_all_its_counters_before_anything_happens() {
    let metrics = Metrics::new();
    metrics.introduce("sms", ["weight"]);
    let text = metrics.render();
    for line in [
        "tidegate_messages_total{queue=\"sms\",event=\"schedule\"} 0",
        "tidegate_possible_duplicates_total{queue=\"sms\"} 0",
        "tidegate_unreadable_answers_total{queue=\"sms\"} 0",
        "tidegate_permits_unused_total{queue=\"sms\"} 0",
        "tidegate_lateness_seconds_count{queue=\"sms\"} 0",
        "tidegate_promote_lateness_seconds_count{queue=\"sms\"} 0",
        "tidegate_attempt_duration_seconds_count{queue=\"sms\",outcome=\"delivered\"} 0",
        "tidegate_dead_total{queue=\"sms\",reason=\"refused\"} 0",
        "tidegate_late_results_total{queue=\"sms\",verdict=\"stale\"} 0",
        "tidegate_index_faults_total{queue=\"sms\",fault=\"weight\"} 0",
        "tidegate_pruned_total{queue=\"sms\",state=\"dead\",reason=\"messages\"} 0",
        "tidegate_operations_ended_total{action=\"move\",end=\"failed\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
}
