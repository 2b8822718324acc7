//! What single keys of a queue are given at run time.
//!
//! Owns the answers. Refuses to know how a body is read (see `key_wish`), what fits a queue (see `domain::keys`) and how it comes
//! into force (see the store).

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};

use super::auth::Caller;
use super::change::SMALL_BODY_BYTES_MAX;
use super::fields::{Fields, Shape};
use super::key_wish::{place_of, settings};
use super::page::{LIMIT_DEFAULT, LIMIT_MAX};
use super::paths::InQueue;
use super::problem::{Fault, Problem};
use super::query::Query;
use super::{Shared, cursor};
use crate::domain::keys::{KeyRules, LimitValue, Weight};
use crate::domain::limit::LimitKindName;
use crate::domain::message::{NAME_BYTES_MAX, check_name};
use crate::domain::policy::QueuePolicy;
use crate::domain::url_hosts::is_host_key;
use crate::store::{KEYS_MAX, KeptKey, KeyWritten};
use crate::wire::Moment;
use crate::wire::key::{KeyAnswer, KeyLimitView, KeyList, KeyRequest, KeyView};
use crate::wire::problem::ProblemState;

/// What is said of a request that names no key.
const KEY_IS_MISSING: &str = "missing; expected the value of the key, for example ?key=acme; ?key= is that of messages without the key";
/// The path.
pub(super) const PATH: &str = "/v1/queues/{queue}/keys";

/// What a key was given at run time, or a page of the keys that were given something.
#[utoipa::path(
    get, path = "/v1/queues/{queue}/keys", operation_id = "get_keys", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("key" = Option<String>, Query, description = "The value of the key; empty: that of messages without the key. Without this parameter a page of all keys"),
        ("limit" = Option<u32>, Query, description = "Keys on a page, 1 to 1000; default 100"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses((status = 200, description = "The key, or a page", body = KeyAnswer)),
)]
pub(super) async fn get(
    State(door): Shared,
    InQueue(queue): InQueue,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let name = &queue.policy.name;
    let list = format!("keys/{name}");
    let mut query = Query::read(query.as_deref(), &["key", "limit", "cursor"]);
    let value = query.read_as("key", value);
    let limit = query.count("limit", LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
    let after = query.read_as("cursor", |text| cursor::open(&list, text));
    for other in ["limit", "cursor"] {
        if query.text("key").is_some() && query.text(other).is_some() {
            query.fault(other, format!("give key, or {other} for a page of keys, not both"));
        }
    }
    query.finish()?;
    let rules = door.store().queues.key_rules(name).await?;
    if let Some(value) = value {
        let kept = door.store().queues.key(name, &value).await?;
        let kept = kept.ok_or_else(|| no_key(&queue.policy, &rules, &value))?;
        return Ok(Json(KeyAnswer::One(view(&kept, &rules))).into_response());
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = door.store().queues.keys(name, after.as_deref(), most).await?;
    let last = page.keys.last().filter(|_| page.has_more);
    let next_cursor = last.map(|key| cursor::seal(&list, &key.value));
    let keys = page.keys.iter().map(|key| view(key, &rules)).collect();
    Ok(Json(KeyAnswer::Page(KeyList { keys, next_cursor })).into_response())
}

/// Gives a key a weight, or other limits than the configuration gives all keys, in place of all that it was given before.
///
/// It holds at once on all nodes, also for what waits, until it is deleted.
#[utoipa::path(
    put, path = "/v1/queues/{queue}/keys", operation_id = "put_key", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("key" = String, Query, description = "The value of the key; empty: that of messages without the key"),
    ),
    request_body(content = KeyRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "It had been given nothing", body = KeyView),
        (status = 200, description = "It had been given something else", body = KeyView),
        (status = 409, description = "As many keys were given something as may be"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is not JSON"),
    ),
)]
pub(super) async fn put(
    State(door): Shared,
    InQueue(queue): InQueue,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    let name = &queue.policy.name;
    if queue.retired || name.callbacks_of().is_some() {
        return Err(Problem::not_found(format!(
            "the queue \"{name}\" has no settings of single keys: it is not in the configuration, or carries callbacks"
        )));
    }
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    let mut query = Query::read(query.as_deref(), &["key"]);
    let value = key_of(&mut query);
    query.finish()?;
    let rules = door.store().queues.key_rules(name).await?;
    let (value, settings) = (value.unwrap_or_default(), settings(&body, &rules)?);
    if settings.go_by_host(&rules) && !value.is_empty() && !is_host_key(&value) {
        let detail = "is no host that a message can have; expected scheme, name and port, for example https://hooks.example.com:443";
        return Err(Problem::fault("?key", detail));
    }
    let key = KeptKey { value, settings, at_ms: door.now_ms()?, by: caller.name().to_owned() };
    let status = match door.store().queues.put_key(name, &key).await? {
        KeyWritten::Created => StatusCode::CREATED,
        KeyWritten::Replaced => StatusCode::OK,
        KeyWritten::TooMany => {
            let detail = format!(
                "{KEYS_MAX} keys of the queue \"{name}\" were given something, which is the most; delete some that need nothing of their own any more, or change what the configuration gives all keys"
            );
            return Err(Problem::wrong_state(ProblemState::FULL, detail));
        }
    };
    tracing::info!(queue = %name, by = caller.name(), key = key.value, "key settings put");
    Ok((status, Json(view(&key, &rules))).into_response())
}

/// Takes everything from a key that it was given at run time: from now on the configuration holds for it.
#[utoipa::path(
    delete, path = "/v1/queues/{queue}/keys", operation_id = "delete_key", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue's name"),
        ("key" = String, Query, description = "The value of the key; empty: that of messages without the key"),
    ),
    responses((status = 200, description = "What it had", body = KeyView)),
)]
pub(super) async fn delete(
    State(door): Shared,
    InQueue(queue): InQueue,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    static NOTHING: Shape = Shape { known: &[], later: &[] };
    let body = door.bodies.read(body, SMALL_BODY_BYTES_MAX).await?;
    Fields::of_body(&body, &NOTHING)?.finish()?;
    let mut query = Query::read(query.as_deref(), &["key"]);
    let value = key_of(&mut query);
    query.finish()?;
    let (name, value) = (&queue.policy.name, value.unwrap_or_default());
    let rules = door.store().queues.key_rules(name).await?;
    let had = door.store().queues.delete_key(name, &value).await?;
    let had = had.ok_or_else(|| no_key(&queue.policy, &rules, &value))?;
    tracing::info!(queue = %name, by = caller.name(), key = value, "key settings deleted");
    Ok(Json(view(&had, &rules)).into_response())
}

fn no_key(policy: &QueuePolicy, rules: &KeyRules, value: &str) -> Problem {
    Problem::not_found(format!(
        "the key \"{value}\" of the queue \"{}\" was given nothing at run time: the configuration holds for it ({})",
        policy.name,
        configured(policy, rules, value)
    ))
}

/// What the configuration gives a value of a key.
fn configured(policy: &QueuePolicy, rules: &KeyRules, value: &str) -> String {
    let fairness = policy.fairness.as_ref();
    let weight = fairness.map(|fairness| {
        format!("weight {} as {}", fairness.weight_of(value).number(), fairness.by)
    });
    let limits = rules.limits.iter().filter_map(|limit| {
        let per = limit.per.as_ref()?;
        let is_calls = limit.kind.name() == LimitKindName::Concurrency;
        let calls = if is_calls { " in flight" } else { "" };
        Some(format!("limit {} {}{calls} as {per}", limit.name, limit.kind))
    });
    let all: Vec<String> = weight.into_iter().chain(limits).collect();
    if all.is_empty() {
        return "the queue has no fairness and no limit with per, so that no key can be given anything".to_owned();
    }
    all.join(", ")
}

/// The value of a key, as a group or a label may be; empty: that of messages without the key.
fn value(text: &str) -> Result<String, String> {
    if !text.is_empty() {
        check_name(text, NAME_BYTES_MAX)?;
    }
    Ok(text.to_owned())
}

/// The value of the key that is meant, which is required.
fn key_of(query: &mut Query) -> Option<String> {
    if query.text("key").is_none() {
        query.fault("key", KEY_IS_MISSING);
    }
    query.read_as("key", value)
}

fn view(key: &KeptKey, rules: &KeyRules) -> KeyView {
    let limits = key.settings.limits.iter().map(|(name, value)| {
        let nothing = KeyLimitView::default();
        let view = match value {
            LimitValue::Rate(rate) => KeyLimitView { rate: Some(rate.to_string()), ..nothing },
            LimitValue::Quota(quota) => KeyLimitView { quota: Some(quota.to_string()), ..nothing },
            LimitValue::Concurrency(calls) => KeyLimitView { concurrency: Some(*calls), ..nothing },
        };
        (name.to_string(), view)
    });
    let without_effect = key.settings.without_effect(rules).into_iter();
    let limits_by = rules.limits.iter().filter_map(|limit| {
        let is_given = key.settings.limits.contains_key(&limit.name);
        Some((limit.name.to_string(), limit.per.as_ref().filter(|_| is_given)?.to_string()))
    });
    KeyView {
        key: key.value.clone(),
        weight: key.settings.weight.map(Weight::number),
        weight_by: rules.fair_by.as_ref().map(ToString::to_string),
        limits: limits.collect(),
        limits_by: limits_by.collect(),
        without_effect: without_effect
            .map(|found| Fault::new(place_of(&found.part), found.why))
            .collect(),
        updated_at: Moment(key.at_ms),
        by: key.by.clone(),
    }
}

/// The value of the key that a request is about, for the list of what operators did.
pub(super) fn named(query: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let value = pairs.find(|(name, _)| name == "key").map(|(_, value)| value.into_owned());
    value.map(|value| value.chars().take(NAME_BYTES_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_value_as_messages_have_it() {
        assert_eq!(value(""), Ok(String::new()));
        assert_eq!(value("客户 7"), Ok("客户 7".to_owned()));
        for bad in ["a\nb", "\0", &"x".repeat(257)] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
        assert_eq!(named("limit=1&key=a%20b").as_deref(), Some("a b"));
        assert_eq!(named("limit=1"), None);
    }
}
