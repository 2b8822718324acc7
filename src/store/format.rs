//! The format in force: which version this node writes new records as.
//!
//! Owns the way from one version to the next. Nodes write the version before until every node in the registry says that
//! it reads the newer one; then the beat of one of them raises `schema` (`lua/include/format.lua`), from which moment on a
//! program that does not read it refuses to start, and a moment later, when one that had started before must have
//! shown itself, all nodes write the newer one. Readers take both. What was written stays: there is no way back.
//!
//! What was raised is never lowered: a node that finds `schema` deleted, or lower than it was, writes there what it
//! knows. Refuses to know how a record is packed.

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use redis::Value;

use super::record::{RECORD_VERSION, RECORD_VERSION_OLDEST};
use super::reply::Reply;
use super::script::{call, fields};
use super::servers::Servers;
use super::{NodeInfo, StoreError, keys};

/// For how long after `schema` was raised the version before is still written: a program that read the lower one just
/// before that starts and shows itself within this time.
pub(super) const FORMAT_SETTLE_MS: u64 = 10_000;

/// What this node knows of the format in force.
#[derive(Debug)]
pub(super) struct Format {
    /// What new records are written as.
    version: AtomicU8,
    /// The newest version that was found in `schema`; 0: it was not read yet.
    known: AtomicU8,
    // A plain mutex: held for a comparison, never across an await.
    /// The nodes behind that were named in the log.
    named: Mutex<Vec<String>>,
}

impl Default for Format {
    /// Until it is known: what every node reads.
    fn default() -> Self {
        Self {
            version: AtomicU8::new(RECORD_VERSION_OLDEST),
            known: AtomicU8::new(0),
            named: Mutex::default(),
        }
    }
}

impl Format {
    /// What new records are written as.
    pub(super) fn version(&self) -> u8 {
        self.version.load(Ordering::Relaxed)
    }

    /// The newest version that was found in the namespace; 0 before it was looked for.
    pub(super) fn known(&self) -> u8 {
        self.known.load(Ordering::Relaxed)
    }

    /// Takes what a script has found; returns what was written before.
    fn learn(&self, schema: u64, version: u64) -> u8 {
        let at_most =
            |number: u64| u8::try_from(number).unwrap_or(RECORD_VERSION).min(RECORD_VERSION);
        self.known.fetch_max(at_most(schema), Ordering::Relaxed);
        self.version.swap(at_most(version), Ordering::Relaxed)
    }

    /// The same, at a beat: what has changed is logged once. `behind`: what the nodes that do not read the newest
    /// version say of themselves, as JSON, or the id of one that says nothing.
    pub(super) fn hear(&self, schema: u64, version: u64, behind: &[String]) {
        let before = self.learn(schema, version);
        let mut nodes: Vec<_> = behind.iter().map(|node| shown(node)).collect();
        nodes.sort();
        let mut named = self.named.lock();
        if nodes != *named && !nodes.is_empty() {
            tracing::warn!(
                nodes = nodes.join(", "),
                schema,
                "some nodes read records up to version {RECORD_VERSION_OLDEST} only; new messages are written as version \
                 {RECORD_VERSION_OLDEST} until these nodes are upgraded or gone"
            );
        }
        *named = nodes;
        if u64::from(before) < version {
            tracing::info!(
                version,
                "new messages are written as records of this version from now on; a tidegate that does not read it \
                 refuses to start"
            );
        }
    }
}

fn shown(node: &str) -> String {
    serde_json::from_str(node).map_or_else(
        |_| node.to_owned(),
        |NodeInfo { id, host, version, .. }| format!("{id} on {host} (tidegate {version})"),
    )
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
