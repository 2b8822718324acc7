//! What the Redis user that we are must be allowed to do.
//!
//! Owns the commands that the scripts and this program run, and the question, asked of the server itself,
//! whether each of them is allowed on our keys and channels: with the reply a start, or a node that finds
//! Redis again, says everything that is missing at once, with the rule that grants it. Refuses to know users
//! and passwords.

use super::Servers;
use crate::store::StoreError;
use crate::store::redis::script::arg;
use crate::store::redis::script::call;

/// What an ACL has to say beside keys and channels; it stands in docs/configuration.md as well.
pub(in crate::store) const RULE: &str = "+@read +@write +@connection -@dangerous -@scripting +eval +evalsha +publish \
                               +subscribe +unsubscribe +time +wait +info +config|get";

/// What is done to keys, by scripts and by bare commands; a test holds it against the scripts.
const ON_KEYS: [&str; 46] = [
    "EXISTS",
    "GET",
    "HDEL",
    "HEXISTS",
    "HGET",
    "HGETALL",
    "HINCRBY",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HSCAN",
    "HSET",
    "HSETNX",
    "HSTRLEN",
    "LLEN",
    "LPOP",
    "LPOS",
    "LPUSH",
    "LRANGE",
    "LSET",
    "LTRIM",
    "PEXPIRE",
    "RENAME",
    "RPUSH",
    "SET",
    "TYPE",
    "UNLINK",
    "XACK",
    "XADD",
    "XAUTOCLAIM",
    "XDEL",
    "XLEN",
    "XRANGE",
    "XREVRANGE",
    "ZADD",
    "ZCARD",
    "ZCOUNT",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZRANGE",
    "ZRANK",
    "ZREM",
    "ZREMRANGEBYRANK",
    "ZREMRANGEBYSCORE",
    "ZSCAN",
    "ZSCORE",
];
/// What is done to no key. Without CONFIG GET it goes on as well: INFO tells the most.
const ON_NO_KEY: [&str; 4] = ["DBSIZE", "INFO", "SCAN", "TIME"];

/// So many of what is denied are named.
const NAMED_MAX: usize = 5;

impl Servers {
    /// Whether this user may do all that we do.
    ///
    /// # Errors
    /// [`StoreError::Denied`], with what is missing and the rule that grants it.
    pub(in crate::store) async fn check_rights(&self) -> Result<(), StoreError> {
        let namespace = self.wire.namespace();
        // In a cluster a script may name keys of one slot only: each of these is asked about by itself.
        let samples = [
            format!("{{{namespace}}}:rights"),
            format!("{{{namespace}:~rights}}:rights"),
            crate::store::redis::keys::inbox(namespace, "rights"),
        ];
        let mut denied = Vec::new();
        for key in &samples {
            let channels = [
                crate::store::redis::keys::wake_channel(namespace),
                crate::store::redis::keys::final_channel(namespace),
            ];
            let commands = ON_KEYS.iter().chain(&ON_NO_KEY).map(arg);
            let words = commands.chain(channels.into_iter().map(String::into_bytes));
            let (on_keys, on_none) = (ON_KEYS.len(), ON_NO_KEY.len());
            let call = call!(Ask, on_keys = on_keys, on_none = on_none, ..words.map(|word| [word]));
            let asked = call.by_text(std::slice::from_ref(key));
            let found: Vec<String> = match self.wire.plain_at(&asked, key).await {
                Ok(found) => redis::from_redis_value(found)
                    .map_err(|error| StoreError::Reply(error.to_string()))?,
                // Not even this may be asked.
                Err(StoreError::Denied(why)) if why.starts_with("NOPERM") => {
                    vec![format!("EVAL {key}")]
                }
                Err(error) => return Err(error),
            };
            denied.extend(
                found.into_iter().filter(|what| !denied.contains(what)).collect::<Vec<_>>(),
            );
        }
        if denied.is_empty() {
            Ok(())
        } else {
            Err(StoreError::Denied(missing(namespace, &denied)))
        }
    }
}

fn missing(namespace: &str, denied: &[String]) -> String {
    let named = denied.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = match denied.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("this Redis user may not do {named}{more}; {}", remedy(namespace))
}

/// The rule that grants all.
pub(in crate::store) fn remedy(namespace: &str) -> String {
    format!(
        "give it these rights: ACL SETUSER <user> ~{{{namespace}}}:* ~{{{namespace}:* ~{namespace}:inbox:* &{namespace}:* {RULE}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::Verb;
    use crate::store::redis::script::ScriptForm;

    /// Words that a script has in capitals: commands, and their options.
    #[test]
    fn every_command_of_the_scripts_is_asked_about() {
        const OPTIONS: [&str; 17] = [
            "BUSYGROUP",
            "BYLEX",
            "BYSCORE",
            "COUNT",
            "CREATE",
            "GROUP",
            "LIMIT",
            "MATCH",
            "MAXLEN",
            "RANK",
            "STREAMS",
            "WITHSCORES",
            "NOACK",
            "MINID",
            "LEADERS",
            "JUSTID",
            "REV",
        ];
        const BESIDE: [&str; 3] = ["PUBLISH", "XGROUP", "XREADGROUP"];
        let known: BTreeSet<&str> =
            ON_KEYS.iter().chain(&ON_NO_KEY).chain(&OPTIONS).chain(&BESIDE).copied().collect();
        let mut met = BTreeSet::new();
        // It names commands that it only asks about.
        for verb in Verb::ALL.iter().filter(|verb| **verb != Verb::Ask) {
            for word in verb.text(ScriptForm::Keyed).split('\'').skip(1).step_by(2) {
                let is_command = word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase());
                if is_command {
                    met.insert(word.to_owned());
                }
            }
        }
        let unknown: Vec<_> = met.iter().filter(|word| !known.contains(word.as_str())).collect();
        assert!(unknown.is_empty(), "add to ON_KEYS what is a command of these: {unknown:?}");
        assert!(met.contains("HSET") && met.contains("XADD"), "{met:?}");
    }

    #[test]
    fn what_is_missing_is_named_with_the_rule_that_grants_it() {
        let denied: Vec<String> = (0..7).map(|n| format!("HSET key{n}")).collect();
        let why = missing("ns", &denied);
        assert!(why.contains("HSET key0, HSET key1") && why.contains("and 2 more"), "{why}");
        assert!(why.contains("~{ns}:* ~{ns:* ~ns:inbox:* &ns:* +@read"), "{why}");
    }
}
