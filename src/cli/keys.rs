//! What single keys of a queue are given at run time: key QUEUE, key QUEUE VALUE and its steps.
//!
//! Owns their tables. Refuses to know what fits a queue: the daemon says.

use http::Method;

use super::Session;
use super::args_keys::{KeyArgs, KeyLimit, KeyPutArgs, KeyStep};
use super::client::{Answer, Target};
use super::exit::{Exit, Failure};
use super::limits::{GivenLimit, given};
use super::plain::plain;
use super::queues::as_it_came;
use super::table::{whole, words};
use crate::wire::key::{KeyLimitRequest, KeyLimitView, KeyList, KeyRequest, KeyView};
use crate::wire::queue::QueueView;

/// Keys asked for at once.
const PAGE: &str = "1000";

/// `key QUEUE [VALUE [put | delete]]`.
pub(crate) async fn key(args: &KeyArgs, session: &mut Session) -> Result<Exit, Failure> {
    let keys = || Target::new(&["v1", "queues", &args.queue, "keys"]);
    let Some(value) = &args.value else {
        return match args.step {
            None => list(&keys, session).await,
            Some(_) => Err(Failure::new(
                Exit::Usage,
                "name the key in front of put or delete, for example `tidegate key sms acme put --weight 5`; '' is the key of messages without a value",
            )),
        };
    };
    let own = keys().with("key", value);
    match &args.step {
        None => {
            let answer = match session.client.get(&own).await {
                Err(failure) => return Err(with_next(failure, &args.queue, value, session).await),
                Ok(answer) => answer,
            };
            show(&answer, session)
        }
        Some(KeyStep::Put(put)) => {
            let body = body(&args.queue, put, session).await?;
            let answer = session.client.send(Method::PUT, &own, &body).await?;
            show(&answer, session)
        }
        Some(KeyStep::Delete) => {
            let answer = session.client.delete(&own).await?;
            if session.screen.is_json() {
                return as_it_came(&answer, session);
            }
            let done = format!("the configuration holds for {} again", shown(value));
            session.screen.line(&done)?;
            Ok(Exit::Ok)
        }
    }
}

/// What to do about a key that was given nothing, where its queue is there.
async fn with_next(failure: Failure, queue: &str, value: &str, session: &Session) -> Failure {
    if failure.exit != Exit::NotFound {
        return failure;
    }
    let target = Target::new(&["v1", "queues", queue]);
    let Ok(answer) = session.client.get(&target).await else { return failure };
    let Ok(known) = answer.read::<QueueView>() else { return failure };
    let limit = known.limits.iter().find(|limit| limit.per.is_some());
    let give = match (&known.policy["fairness"]["by"], limit) {
        (by, _) if by.is_string() => "--weight 5".to_owned(),
        (_, Some(limit)) => format!("--limit {}={}", plain(&limit.name), plain(&limit.value)),
        (_, None) => return failure.next(format!("`tidegate queue {queue}` shows the queue")),
    };
    let value = quoted(value);
    failure.next(format!("`tidegate key {queue} {value} put {give}` gives it something of its own"))
}

/// A value as a shell takes it for one word.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-_.:@/".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", plain(value).replace('\'', "'\\''"))
}

/// What a key is to be given.
async fn body(queue: &str, put: &KeyPutArgs, session: &Session) -> Result<KeyRequest, Failure> {
    if put.limits.is_empty() {
        return Ok(KeyRequest { weight: put.weight, limits: None });
    }
    let answer = session.client.get(&Target::new(&["v1", "queues", queue])).await?;
    let known: QueueView = answer.read()?;
    let limit = |KeyLimit { name, value }: &KeyLimit| {
        let nothing = KeyLimitRequest::default();
        let request = match given(&known, name, value) {
            GivenLimit::Calls(calls) => KeyLimitRequest { concurrency: Some(calls), ..nothing },
            GivenLimit::Quota(text) => KeyLimitRequest { quota: Some(text), ..nothing },
            GivenLimit::Rate(text) => KeyLimitRequest { rate: Some(text), ..nothing },
        };
        (name.clone(), request)
    };
    Ok(KeyRequest { weight: put.weight, limits: Some(put.limits.iter().map(limit).collect()) })
}

async fn list(keys: &impl Fn() -> Target, session: &mut Session) -> Result<Exit, Failure> {
    let mut all: Vec<KeyView> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut target = keys().with("limit", PAGE);
        if let Some(cursor) = cursor.take() {
            target = target.with("cursor", cursor);
        }
        let answer = session.client.get(&target).await?;
        let page: KeyList = answer.read()?;
        if session.screen.is_json() && all.is_empty() && page.next_cursor.is_none() {
            return as_it_came(&answer, session);
        }
        all.extend(page.keys);
        if page.next_cursor.is_none() {
            break;
        }
        cursor = page.next_cursor;
    }
    if session.screen.is_json() {
        session.screen.json(&KeyList { keys: all, next_cursor: None })?;
        return Ok(Exit::Ok);
    }
    if all.is_empty() {
        session.screen.line("no key of this queue was given anything at run time")?;
        return Ok(Exit::Ok);
    }
    let times = session.times();
    let row = |key: &KeyView| {
        vec![
            shown(&key.key),
            weight(key),
            limits(key).join(", "),
            times.distance(key.updated_at.0),
            plain(&key.by),
            without_effect(key),
        ]
    };
    let rows = all.iter().map(row).collect();
    let columns = [
        whole("KEY"),
        whole("WEIGHT"),
        words("LIMITS"),
        whole("SINCE"),
        whole("BY"),
        words("WITHOUT EFFECT"),
    ];
    session.screen.rows(&columns, rows)?;
    Ok(Exit::Ok)
}

fn show(answer: &Answer, session: &mut Session) -> Result<Exit, Failure> {
    if session.screen.is_json() {
        return as_it_came(answer, session);
    }
    let key: KeyView = answer.read()?;
    let times = session.times();
    let mut pairs = vec![("key", shown(&key.key)), ("weight", weight(&key))];
    for (number, limit) in limits(&key).into_iter().enumerate() {
        pairs.push((if number == 0 { "limits" } else { "" }, limit));
    }
    pairs.extend([
        ("since", times.at_and_distance(key.updated_at.0)),
        ("by", plain(&key.by)),
        ("without effect", without_effect(&key)),
    ]);
    pairs.retain(|(_, value)| !value.is_empty());
    session.screen.pairs(&pairs)?;
    Ok(Exit::Ok)
}

/// A key as it is shown; that of messages without a value is empty.
fn shown(key: &str) -> String {
    if key.is_empty() { "\"\"".to_owned() } else { plain(key) }
}

fn weight(key: &KeyView) -> String {
    let by = key.weight_by.as_deref().map(|by| format!(" as {}", plain(by)));
    key.weight.map(|weight| format!("{weight}{}", by.unwrap_or_default())).unwrap_or_default()
}

fn limits(key: &KeyView) -> Vec<String> {
    let value = |limit: &KeyLimitView| {
        let calls = limit.concurrency.map(|calls| format!("{calls} in flight"));
        limit.rate.clone().or_else(|| limit.quota.clone()).or(calls).unwrap_or_default()
    };
    let per =
        |name: &String| key.limits_by.get(name).map(|per| format!(" as {per}")).unwrap_or_default();
    let line = |(name, limit): (&String, &KeyLimitView)| {
        plain(&format!("{name} {}{}", value(limit), per(name)))
    };
    key.limits.iter().map(line).collect()
}

/// Why parts of it have no effect.
fn without_effect(key: &KeyView) -> String {
    let each = key.without_effect.iter().map(|fault| plain(&fault.detail));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_shown_with_all_that_it_was_given() {
        let key: KeyView = serde_json::from_value(json!({
            "key": "", "weight": 0.5, "weight_by": "labels.tenant", "updated_at": "2025-11-20T12:00:00.000Z", "by": "ops",
            "limits": {"per_to": {"rate": "2/min"}, "per_to_day": {"quota": "9/day"}, "calls": {"concurrency": 3}},
            "limits_by": {"per_to": "labels.to"},
            "without_effect": [{"pointer": "/weight", "detail": "has no effect"}],
        }))
        .unwrap();
        assert_eq!(
            (shown(&key.key).as_str(), weight(&key).as_str()),
            ("\"\"", "0.5 as labels.tenant")
        );
        assert_eq!(
            limits(&key),
            ["calls 3 in flight", "per_to 2/min as labels.to", "per_to_day 9/day"]
        );
        assert_eq!([quoted("acme"), quoted(""), quoted("a b'c")], ["acme", "''", "'a b'\\''c'"]);
        assert_eq!(without_effect(&key), "has no effect");
    }
}
