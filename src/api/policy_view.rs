//! A queue's policy as JSON, in the words of the configuration.
//!
//! Secrets never show: of headers the names, of the url the form in which the configuration wrote it.

use serde_json::{Value, json};

use crate::domain::callback::CallbackPolicy;
use crate::domain::policy::{Downstream, QueuePolicy};
use crate::domain::probe::ProbePolicy;
use crate::domain::retry::RetryPolicy;
use crate::domain::units::{format_duration, format_size};
use crate::domain::window::Window;

/// The policy, as it is shown.
pub(super) fn view(policy: &QueuePolicy) -> Value {
    let span = format_duration;
    json!({
        "rate": policy.rate.map(|rate| rate.to_string()),
        "burst": policy.burst,
        "lease": span(policy.lease_ms),
        "keep_response": format_size(policy.keep_response_bytes as u64),
        "concurrency": policy.concurrency,
        "priority_levels": policy.priority_levels,
        "ordering": "none",
        "retention": {
            "delivered": span(policy.retention.delivered_ms),
            "dead": span(policy.retention.dead_ms),
            "delivered_max_messages": policy.retention.delivered.messages_max,
            "delivered_max_bytes": policy.retention.delivered.bytes_max.map(format_size),
            "dead_max_messages": policy.retention.dead.messages_max,
            "dead_max_bytes": policy.retention.dead.bytes_max.map(format_size),
        },
        "idempotency_window": span(policy.idempotency_window_ms),
        "on_uncertain": policy.on_uncertain.as_str(),
        "probe": policy.probe.as_ref().map(probe),
        "receipts": {
            "timeout": span(policy.receipts.timeout_ms),
            "on_timeout": policy.receipts.on_timeout.as_str(),
        },
        "shards": policy.shards,
        "downstream": downstream(&policy.downstream),
        "retry": retry(&policy.retry),
        "window": policy.window.as_ref().map(window),
        "callback": policy.callback.as_ref().map(callback),
        "batch": policy.batch.map(|batch| json!({
            "max_items": batch.max_items,
            "max_bytes": format_size(batch.max_bytes),
            "max_wait": span(batch.max_wait_ms),
        })),
    })
}

fn retry(retry: &RetryPolicy) -> Value {
    let span = format_duration;
    json!({
        "max_attempts": retry.max_attempts,
        "safe_statuses": retry.safe_statuses,
        "retry_statuses": retry.retry_statuses,
        "dead_statuses": retry.dead_statuses,
        "initial": span(retry.initial_ms),
        "factor": retry.factor,
        "max": span(retry.max_ms),
        "throttle_max": span(retry.throttle_max_ms),
        "jitter": retry.jitter,
        "max_age": span(retry.max_age_ms),
        "schedule": retry.schedule_ms.as_ref().map(|delays| {
            delays.iter().copied().map(span).collect::<Vec<_>>()
        }),
    })
}

fn callback(callback: &CallbackPolicy) -> Value {
    json!({
        "url": callback.url.as_ref().map(|(_, shown)| shown),
        "on": callback.on.words(),
        "rate": callback.rate.map(|rate| rate.to_string()),
        "timeout": format_duration(callback.timeout_ms),
        "headers": callback.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        "signed": callback.signing_secret.is_some(),
        "retry": retry(&callback.retry),
    })
}

fn downstream(downstream: &Downstream) -> Value {
    match downstream {
        Downstream::Null => json!({ "type": "null" }),
        Downstream::Pull => json!({ "type": "pull" }),
        Downstream::Callbacks(callback) => json!({
            "type": "callbacks",
            "url": callback.url.as_ref().map(|(_, shown)| shown),
            "timeout": format_duration(callback.timeout_ms),
            "signed": callback.signing_secret.is_some(),
        }),
        Downstream::Http(http) => json!({
            "type": "http",
            "url": http.url_shown,
            "method": http.method.as_str(),
            "timeout": format_duration(http.timeout_ms),
            "headers": http.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            "signed": http.signing_secret.is_some(),
        }),
    }
}

fn probe(probe: &ProbePolicy) -> Value {
    json!({
        "url": probe.url_shown,
        "method": probe.method.as_str(),
        "delivered": probe.delivered,
        "absent": probe.absent,
        "after": format_duration(probe.after_ms),
        "max_attempts": probe.max_attempts,
        "timeout": format_duration(probe.timeout_ms),
        "headers": probe.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        "signed": probe.signing_secret.is_some(),
    })
}

fn window(window: &Window) -> Value {
    let rules = window.rules().iter().map(|rule| {
        json!({
            "days": rule.days().to_string(),
            "from": rule.from().to_string(),
            "to": rule.to().to_string(),
        })
    });
    json!({
        "time_zone": window.time_zone(),
        "open": rules.collect::<Vec<_>>(),
        "closed_dates": window.closed_dates().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "min_remaining": format_duration(window.min_remaining_ms()),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::policy;
    use super::*;
    use crate::domain::endpoint::{HttpDownstream, Secret};

    #[test]
    fn no_secret_is_shown() {
        let mut policy = policy("sms");
        policy.downstream = Downstream::Http(HttpDownstream {
            url: "https://user:hush@sms.example/hush?key=hush".parse().unwrap(),
            url_shown: "https://sms.example/${PATH}".to_owned(),
            method: http::Method::POST,
            timeout_ms: 15_000,
            headers: vec![(http::header::AUTHORIZATION, Secret::new("Bearer hush".to_owned()))],
            signing_secret: Some(Secret::new("hush".to_owned())),
        });
        let shown = view(&policy);
        assert!(!shown.to_string().contains("hush"), "{shown}");
        assert_eq!(
            shown["downstream"],
            json!({
                "type": "http", "url": "https://sms.example/${PATH}", "method": "POST",
                "timeout": "15s", "headers": ["authorization"], "signed": true,
            })
        );
        assert_eq!(shown["retention"]["dead"], "30d");
        assert_eq!(shown["rate"], Value::Null);
    }
}
