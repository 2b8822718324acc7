//! The format in force, as this node asks for it at its start and at each look at the servers (see `wire::format`).

use redis::Value;

use super::Servers;
use crate::store::StoreError;
use crate::store::record::{RECORD_VERSION, RECORD_VERSION_OLDEST};
use crate::store::redis::keys;
use crate::store::redis::reply::Reply;
use crate::store::redis::script::{call, fields};

/// A node in a sentence, from what it says of itself as JSON, or from the id of one that says nothing.
pub(super) fn shown(node: &str) -> String {
    let Ok(info) = serde_json::from_str::<serde_json::Value>(node) else { return node.to_owned() };
    let text = |name: &str| info[name].as_str().unwrap_or("?").to_owned();
    format!("{} on {} (tidegate {})", text("id"), text("host"), text("version"))
}

impl Servers {
    /// Why this program may add nothing to the namespace: its records are of another version. `found` is the reply
    /// to GET.
    pub(super) async fn check_schema(&self, found: Value) -> Result<Option<String>, StoreError> {
        if let Value::ServerError(error) = found {
            return Err(StoreError::from_redis(&error.into()));
        }
        let namespace = self.wire.namespace();
        let found: Option<String> = redis::from_redis_value(found).unwrap_or_default();
        let Ok(found) = found.as_deref().map(str::parse::<u64>).transpose() else {
            return Ok(Some(format!(
                "the key \"{}\" does not hold the version of the records; choose another redis.namespace, or delete \
                 the key if nothing but tidegate uses this namespace",
                keys::schema(namespace)
            )));
        };
        let is_start = self.wire.health().seen.load().is_empty();
        let schema = match found {
            Some(schema) if !is_start => schema,
            _ => {
                if !is_start {
                    self.wire.mark.note_schema_gone();
                }
                self.ask_format().await?
            }
        };
        Ok(refusal(namespace, schema))
    }

    /// What new records are written as; where there are none yet, this is decided now. Returns the newest version that
    /// may stand in the namespace.
    async fn ask_format(&self) -> Result<u64, StoreError> {
        let call = call!(Format, known = self.wire.format.known());
        let keys = keys::of_nodes(self.wire.namespace());
        let mut reply = Reply::new(self.wire.plain(&call.by_text(&keys)).await?)?;
        fields!(reply as Format; schema: u64, version: u64);
        self.wire.format.learn(schema, version);
        Ok(schema)
    }
}

fn refusal(namespace: &str, schema: u64) -> Option<String> {
    let remedy = if schema > u64::from(RECORD_VERSION) {
        "run the newer tidegate"
    } else if schema < u64::from(RECORD_VERSION_OLDEST) {
        "let the older tidegate deliver them"
    } else {
        return None;
    };
    Some(format!(
        "the namespace \"{namespace}\" holds records of version {schema}, and this program reads versions \
         {RECORD_VERSION_OLDEST} to {RECORD_VERSION}; {remedy}, or choose another redis.namespace"
    ))
}
