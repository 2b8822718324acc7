//! The overrides of all queues: kept in one place, so that a look at one number tells a node whether anything has changed.
//!
//! Owns their form in Redis. Refuses to know what an override makes of a policy (see `domain::overrides`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use ulid::Ulid;

use crate::domain::id::QueueName;
use crate::domain::keys::LimitValue;
use crate::domain::overrides::{Override, OverrideChange, WindowChange};
use crate::store::StoreError;
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{call, fields};
use crate::store::wire::Wire;
use crate::store::wire::script_keys::ScriptKeys;

/// Most overrides that may be in force at once, over all queues.
pub const OVERRIDES_MAX: usize = 1000;
/// For how long one that is over is remembered: the age of messages counts by the windows that were.
const KEPT_MS: u64 = 7 * 86_400_000;

/// The overrides as they stood at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeptOverrides {
    /// Grows with each change.
    pub version: u64,
    /// Those in force, and those that are over and not forgotten yet, by id.
    pub all: Vec<Override>,
}

/// The overrides; cheap to clone.
#[derive(Debug, Clone)]
pub struct Overrides {
    wire: Wire,
    changed: Arc<Notify>,
}

impl Overrides {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone(), changed: Arc::default() }
    }

    /// An override begins, in place of the one of its kind; it is durable when this returns. `false`: as many are in force as
    /// may be.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::NotDurable`].
    pub async fn put(&self, it: &Override) -> Result<bool, StoreError> {
        let definition = serde_json::to_vec(&StoredOverride::of(it)).unwrap_or_default();
        let call = call!(
            PutOverride,
            id = it.id.as_str(),
            kind = format!("{} {}", it.queue, it.change.kind()),
            definition = definition,
            until_ms = it.until_ms,
            most = OVERRIDES_MAX,
            keep_ms = KEPT_MS,
        );
        let keys = keys::overrides(self.wire.namespace());
        let mut reply = self.wire.call_durably(ScriptKeys::of(&keys), &call).await?;
        fields!(reply as PutOverride; code: i64);
        self.changed.notify_one();
        Ok(code == 0)
    }

    /// An override ends before its time. `false`: none with this id is in force.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::NotDurable`].
    pub async fn end(&self, id: &str) -> Result<bool, StoreError> {
        let keys = keys::overrides(self.wire.namespace());
        let call = call!(EndOverride, id = id);
        let mut reply = self.wire.call_durably(ScriptKeys::of(&keys), &call).await?;
        fields!(reply as EndOverride; code: i64);
        self.changed.notify_one();
        Ok(code == 0)
    }

    /// All of them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn read(&self) -> Result<KeptOverrides, StoreError> {
        let version = self.version().await?;
        let keys = keys::overrides(self.wire.namespace());
        let read = async |key: &String| {
            let value = self.wire.plain_at(redis::cmd("HGETALL").arg(key), key).await?;
            Ok::<_, StoreError>(Reply::new(value)?.pairs())
        };
        let (definitions, ended) = (read(&keys[0]).await?, read(&keys[3]).await?);
        let ended_ms = |id: &str| {
            let found = ended.iter().find(|(of, _)| of == id);
            found.and_then(|(_, ms)| ms.parse().ok())
        };
        let mut all = Vec::with_capacity(definitions.len());
        for (id, definition) in definitions {
            match StoredOverride::read(&definition, &id, ended_ms(&id)) {
                Some(it) => all.push(it),
                None => tracing::error!(
                    id,
                    "an override cannot be read by this version, and does not hold on this node; upgrade it"
                ),
            }
        }
        all.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(KeptOverrides { version, all })
    }

    /// A number that grows with each change.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn version(&self) -> Result<u64, StoreError> {
        let keys = keys::overrides(self.wire.namespace());
        let command = redis::cmd("HGET").arg(&keys[5]).arg("version").to_owned();
        let value = self.wire.plain_at(&command, &keys[5]).await?;
        let version: Option<u64> = redis::from_redis_value(value)
            .map_err(|error: redis::ParsingError| StoreError::Reply(error.to_string()))?;
        Ok(version.unwrap_or(0))
    }

    /// Returns when this node has changed something.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// An id that no override has yet.
    #[must_use]
    pub fn new_id() -> String {
        Ulid::new().to_string()
    }
}

/// An override as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct StoredOverride {
    queue: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrency: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<String>,
    #[serde(default)]
    above: bool,
    from_ms: u64,
    until_ms: u64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    by: String,
}

impl StoredOverride {
    fn of(it: &Override) -> Self {
        let mut stored = Self {
            queue: it.queue.to_string(),
            limit: None,
            rate: None,
            quota: None,
            concurrency: None,
            window: None,
            above: it.above,
            from_ms: it.from_ms,
            until_ms: it.until_ms,
            reason: it.reason.clone(),
            by: it.by.clone(),
        };
        match &it.change {
            OverrideChange::Limit { name, value } => {
                stored.limit = Some(name.to_string());
                match value {
                    LimitValue::Rate(rate) => stored.rate = Some(rate.to_string()),
                    LimitValue::Quota(quota) => stored.quota = Some(quota.to_string()),
                    LimitValue::Concurrency(calls) => stored.concurrency = Some(*calls),
                }
            }
            OverrideChange::Concurrency(calls) => stored.concurrency = Some(*calls),
            OverrideChange::Window(change) => stored.window = Some(change.as_str().to_owned()),
        }
        stored
    }

    fn read(text: &str, id: &str, ended_ms: Option<u64>) -> Option<Override> {
        let stored: Self = serde_json::from_str(text).ok()?;
        let change = stored.change()?;
        Some(Override {
            id: id.to_owned(),
            queue: QueueName::any(&stored.queue).ok()?,
            change,
            above: stored.above,
            from_ms: stored.from_ms,
            until_ms: stored.until_ms,
            ended_ms,
            reason: stored.reason,
            by: stored.by,
        })
    }

    fn change(&self) -> Option<OverrideChange> {
        if let Some(name) = &self.limit {
            let rate = self.rate.as_ref().map(|text| text.parse().map(LimitValue::Rate));
            let quota = self.quota.as_ref().map(|text| text.parse().map(LimitValue::Quota));
            let value = match (rate, quota, self.concurrency) {
                (Some(rate), _, _) => rate.ok()?,
                (None, Some(quota), _) => quota.ok()?,
                (None, None, calls) => LimitValue::Concurrency(calls?),
            };
            return Some(OverrideChange::Limit { name: name.parse().ok()?, value });
        }
        match (self.window.as_deref(), self.concurrency) {
            (Some("open"), _) => Some(OverrideChange::Window(WindowChange::Open)),
            (Some("closed"), _) => Some(OverrideChange::Window(WindowChange::Closed)),
            (None, Some(calls)) => Some(OverrideChange::Concurrency(calls)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_as_it_was() {
        let limit =
            |name: &str, value| OverrideChange::Limit { name: name.parse().unwrap(), value };
        for change in [
            limit("rate", LimitValue::Rate("5/s".parse().unwrap())),
            limit("quota_day", LimitValue::Quota("9/day".parse().unwrap())),
            limit("per_to_concurrency", LimitValue::Concurrency(2)),
            OverrideChange::Concurrency(3),
            OverrideChange::Window(WindowChange::Open),
            OverrideChange::Window(WindowChange::Closed),
        ] {
            let it = Override {
                id: "one".to_owned(),
                queue: "sms".parse().unwrap(),
                change,
                above: true,
                from_ms: 1,
                until_ms: 2,
                ended_ms: Some(3),
                reason: "a reason".to_owned(),
                by: "ann".to_owned(),
            };
            let text = serde_json::to_string(&StoredOverride::of(&it)).unwrap();
            assert_eq!(StoredOverride::read(&text, "one", Some(3)), Some(it), "{text}");
        }
    }

    #[test]
    fn what_a_later_version_wrote_does_not_hold() {
        let text = r#"{"queue": "sms", "colour": "red", "from_ms": 1, "until_ms": 2}"#;
        assert_eq!(StoredOverride::read(text, "one", None), None);
    }
}
