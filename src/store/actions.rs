//! The list of what operators did: append-only, bounded, its moments by Redis TIME.
//!
//! Owns how an action and its outcome are kept. Refuses to know what counts as an action (see
//! `api::actions`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::store::StoreError;
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{call, fields};
use crate::store::wire::Wire;
use crate::store::wire::script_keys::ScriptKeys;

/// Actions that are kept.
const ACTIONS_MAX: usize = 10_000;

/// An action about to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewAction {
    /// Who: a token's name.
    pub by: String,
    /// Who sat there, by their own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What, in a word or two.
    pub what: String,
    /// The queue, the message's id, or whatever else it is about; "" for the daemon.
    pub on: String,
    /// Why, if it was said.
    pub reason: Option<String>,
    /// What was asked for besides.
    pub detail: Map<String, Value>,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionOutcome {
    /// The status of the answer.
    pub status: u16,
    /// Where the answer points to: what the action has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
}

/// An action that was written down.
#[derive(Debug, Clone, PartialEq)]
pub struct NotedAction {
    /// Its id; a cursor, too.
    pub id: String,
    /// When, ms by Redis.
    pub at_ms: u64,
    /// What was to be done.
    pub action: NewAction,
    /// What came of it; `None`: its node was lost, or it goes on.
    pub outcome: Option<ActionOutcome>,
}

/// What operators did; cheap to clone.
#[derive(Debug, Clone)]
pub struct Actions {
    wire: Wire,
}

impl Actions {
    pub(super) fn new(wire: &Wire) -> Self {
        Self { wire: wire.clone() }
    }

    /// Writes an action down, before it is done; returns its id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::NotDurable`]: it is not to be done.
    pub async fn note(&self, action: &NewAction) -> Result<String, StoreError> {
        let json = serde_json::to_vec(action).unwrap_or_default();
        let keys = keys::actions(self.wire.namespace());
        let call = call!(Note, action = json, kept_max = ACTIONS_MAX);
        let mut reply = self.wire.call_durably(ScriptKeys::of(&keys), &call).await?;
        fields!(reply as Note; id: String);
        Ok(id)
    }

    /// Writes down what came of an action.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn note_outcome(&self, id: &str, outcome: &ActionOutcome) -> Result<(), StoreError> {
        let json = serde_json::to_vec(outcome).unwrap_or_default();
        let [_, outcomes] = <[String; 2]>::try_from(keys::actions(self.wire.namespace()))
            .map_err(|_| StoreError::Reply("two keys".to_owned()))?;
        self.wire.keep("HSET", outcomes, &[id.as_bytes(), &json]).await
    }

    /// The actions before `cursor` (or the last ones), the newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(
        &self,
        most: usize,
        cursor: Option<&str>,
    ) -> Result<Vec<NotedAction>, StoreError> {
        let keys = keys::actions(self.wire.namespace());
        let to = cursor.map_or_else(|| "+".to_owned(), |cursor| format!("({cursor}"));
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&keys[0]).arg(to).arg("-").arg("COUNT").arg(most);
        let bad = |error: redis::ParsingError| StoreError::Reply(error.to_string());
        let mut reply = Reply::new(self.wire.plain(&command).await?)?;
        let mut found = Vec::with_capacity(reply.len());
        while reply.len() > 0 {
            let mut entry = reply.list()?;
            found.push((entry.text()?, entry.list()?.pairs()));
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<&String> = found.iter().map(|(id, _)| id).collect();
        let value = self.wire.plain(redis::cmd("HMGET").arg(&keys[1]).arg(ids)).await?;
        let outcomes: Vec<Option<Vec<u8>>> = redis::from_redis_value(value).map_err(bad)?;
        let noted = found.into_iter().zip(outcomes).filter_map(|((id, fields), outcome)| {
            let (_, json) = fields.into_iter().find(|(name, _)| name == "j")?;
            Some(NotedAction {
                at_ms: id.split('-').next()?.parse().ok()?,
                id,
                action: serde_json::from_str(&json).ok()?,
                outcome: outcome.and_then(|json| serde_json::from_slice(&json).ok()),
            })
        });
        Ok(noted.collect())
    }
}
