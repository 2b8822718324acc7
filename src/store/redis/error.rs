//! What can go wrong between us and Redis, sorted by what the caller does next.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a step did not happen, or may not have.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Redis could not be reached, or did not answer in time: the step may or may not have happened.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Redis has not told this process the time yet: the step was not tried.
    #[error("the store has not been reached yet, so that the time is unknown")]
    TimeUnknown,
    /// Redis is full: intake is refused, draining goes on.
    #[error("the store is full: {0}")]
    Full(String),
    /// Redis is there, and does not let us in or does not allow what we do: the step did not happen, and will
    /// not until somebody changes that. The text names the remedy.
    #[error("Redis refuses: {0}")]
    Denied(String),
    /// The step happened, but its durability level was not met in time.
    #[error("the durability level was not met: {0}")]
    NotDurable(String),
    /// The step was not tried: this Redis may not hold new messages as it is. The text names the remedy.
    #[error("{0}")]
    Unfit(String),
    /// No such queue, in the configuration or in the store.
    #[error("there is no queue \"{0}\"")]
    UnknownQueue(String),
    /// What was to be written does not fit into its form: nothing was written.
    #[error("{0}")]
    TooLarge(String),
    /// A reply that a script of ours cannot have sent: please report.
    #[error("unexpected reply from the store: {0}")]
    Reply(String),
}

impl StoreError {
    pub(crate) fn from_redis(error: &RedisError) -> Self {
        if error.code() == Some("OOM") {
            return Self::Full("maxmemory is reached".to_owned());
        }
        match denial(error) {
            Some(remedy) => Self::Denied(format!("{}; {remedy}", describe(error))),
            None => Self::Unavailable(describe(error)),
        }
    }

    /// Whether nothing goes on until Redis is there again, or lets us in.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Denied(_) | Self::TimeUnknown)
    }
}

/// What to do about an error that time does not mend; `None`: it is none of these.
fn denial(error: &RedisError) -> Option<&'static str> {
    const TLS: &str = "rediss:// in redis.url is for a Redis port with TLS, redis:// for one without; the \
                       certificate must be for the name in the url, from an authority that this system trusts";
    let is_password = error.kind() == ErrorKind::AuthenticationFailed;
    match error.code() {
        Some("WRONGPASS") => Some(PASSWORD),
        Some("NOAUTH") => Some("put user and password into redis.url: redis://USER:PASSWORD@HOST"),
        Some("NOPERM") => Some(RIGHTS),
        _ if is_denied_in_script(error) => Some(RIGHTS),
        _ if is_absent_database(error) => Some(DATABASE),
        _ if is_password => Some(PASSWORD),
        _ => speaks_no_tls(error).then_some(TLS),
    }
}

const RIGHTS: &str =
    "give the Redis user the rights that docs/configuration.md lists under \"[redis]\"";

const DATABASE: &str = "the database in redis.url does not exist at this server: its setting \"databases\" \
                        (16 by default) says how many there are, numbered from 0";

/// The client library keeps no code of an answer to its own SELECT.
fn is_absent_database(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("DB index is out of range"))
}

/// What a script is denied comes as an error without a code of its own.
fn is_denied_in_script(error: &RedisError) -> bool {
    const SAID: [&str; 2] = ["The user executing the script", "ACL failure in script"];
    error.detail().is_some_and(|detail| SAID.iter().any(|said| detail.contains(said)))
}

const PASSWORD: &str = "mend the user and the password in redis.url: redis://USER:PASSWORD@HOST";

/// Whether TLS was refused, by us or by the other side, and not just cut short.
fn speaks_no_tls(error: &RedisError) -> bool {
    let source = std::error::Error::source(error);
    // The client shares the error of the connection, and shows the handle on it.
    let shared = source.and_then(|source| source.downcast_ref::<Arc<Cause>>());
    let io = shared.and_then(|shared| shared.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::get_ref).is_some_and(Cause::is::<rustls::Error>)
}

type Cause = dyn std::error::Error + Send + Sync;

/// One line for people, without the client's own wrapping.
fn describe(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ if error.is_timeout() => "Redis did not answer in time".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether this connection is to be given up: dead, or no longer to a server that takes writes.
pub(crate) fn ends_connection(error: &RedisError) -> bool {
    let changed = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::AuthenticationFailed
    );
    changed
        || error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || error.is_io_error()
}

/// Whether the same call may succeed a moment later. Every verb is safe to repeat.
///
/// Not OOM, which lasts until messages have left, and not MISCONF, which lasts until there is room on
/// the disk: whoever called pauses for longer.
pub(crate) fn is_passing(error: &RedisError) -> bool {
    let passing = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::Ask
                | ServerErrorKind::Moved
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        )
    );
    let waits = matches!(error.code(), Some("BUSY" | "NOREPLICAS"));
    passing || waits || ends_connection(error) || error.is_timeout()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Redis says, as the client reads it.
    fn said(text: &str) -> RedisError {
        let Ok(redis::Value::ServerError(error)) =
            redis::parse_redis_value(format!("-{text}\r\n").as_bytes())
        else {
            panic!("{text}")
        };
        error.into()
    }

    #[test]
    fn what_redis_refuses_is_sorted_by_what_the_caller_does_next() {
        // (what Redis says, tried again at once, the connection is given up)
        for (text, passing, ends) in [
            ("LOADING Redis is loading the dataset in memory", true, false),
            ("BUSY Redis is busy running a script", true, false),
            ("TRYAGAIN Multiple keys request during rehashing of slot", true, false),
            ("CLUSTERDOWN Hash slot not served", true, false),
            ("MOVED 3999 127.0.0.1:6381", true, false),
            ("ASK 3999 127.0.0.1:6381", true, false),
            ("NOREPLICAS Not enough good replicas to write.", true, false),
            ("READONLY You can't write against a read only replica.", true, true),
            ("MASTERDOWN Link with MASTER is down", true, true),
            ("MISCONF Errors writing to the AOF file: No space left on device", false, false),
            ("OOM command not allowed when used memory > 'maxmemory'.", false, false),
            ("WRONGTYPE Operation against a key", false, false),
            ("NOPERM User sms has no permissions to run the 'hset' command", false, false),
            ("WRONGPASS invalid username-password pair or user is disabled.", false, false),
        ] {
            let error = said(text);
            assert_eq!(is_passing(&error), passing, "{text}");
            assert_eq!(ends_connection(&error), ends, "{text}");
            let is_full = matches!(StoreError::from_redis(&error), StoreError::Full(_));
            assert_eq!(is_full, text.starts_with("OOM"), "{text}");
        }
    }

    #[test]
    fn what_time_does_not_mend_has_a_remedy() {
        for (text, remedy) in [
            ("NOPERM User sms has no permissions to run the 'hset' command", "rights"),
            ("WRONGPASS invalid username-password pair or user is disabled.", "redis.url"),
            ("ERR The user executing the script can't run this command or subcommand", "rights"),
            ("ERR ACL failure in script: User sms has no permissions to run 'hset'", "rights"),
            ("NOAUTH Authentication required.", "redis://USER:PASSWORD@HOST"),
        ] {
            let StoreError::Denied(why) = StoreError::from_redis(&said(text)) else {
                panic!("{text}")
            };
            assert!(why.starts_with(text) && why.contains(remedy), "{why}");
        }
        let tls = rustls::Error::General("x".to_owned());
        let io = std::io::Error::new(std::io::ErrorKind::InvalidData, tls);
        assert!(matches!(StoreError::from_redis(&io.into()), StoreError::Denied(_)));
        assert!(matches!(StoreError::from_redis(&said("LOADING x")), StoreError::Unavailable(_)));
    }

    #[test]
    fn what_redis_says_is_told_in_one_line() {
        let told =
            StoreError::from_redis(&said("MISCONF Errors writing to the AOF file")).to_string();
        assert_eq!(told, "the store is unavailable: MISCONF Errors writing to the AOF file");
    }
}
