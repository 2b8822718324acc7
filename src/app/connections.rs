//! How many connections the API may hold, of the files that this process may have open.

use crate::domain::policy::QueuePolicy;

/// Most connections, however many files may be open: ten thousand that wait for a result leave the API
/// open to as many others.
const CONNECTIONS_MAX: u64 = 20_000;
/// Fewest: without them nobody could ask what is wrong.
const CONNECTIONS_MIN: u64 = 16;
/// Files for Redis, name look-ups, logs and the runtime itself.
const OWN_FILES: u64 = 96;
/// Calls under way at the hosts of one queue's callbacks.
const CALLBACK_CALLS: u64 = 256;

/// What of the open files is whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Files {
    /// Connections of the API.
    pub(super) connections: u32,
    /// What calls at downstreams, and we ourselves, may need.
    pub(super) wanted: u64,
    /// Whether they have that for sure.
    pub(super) suffice: bool,
}

/// Shares `open_files` out: calls and Redis come first, up to half of them.
pub(super) fn share(open_files: u64, calls: u64) -> Files {
    let wanted = OWN_FILES.saturating_add(calls);
    let reserve = wanted.min(open_files / 2);
    let connections = (open_files - reserve).clamp(CONNECTIONS_MIN, CONNECTIONS_MAX);
    Files {
        connections: u32::try_from(connections).unwrap_or(u32::MAX),
        wanted,
        suffice: wanted == reserve,
    }
}

/// How many calls the queues may have under way at once.
pub(super) fn calls<'a>(queues: impl IntoIterator<Item = &'a QueuePolicy>) -> u64 {
    let of_queue = |queue: &QueuePolicy| {
        let is_called = queue.downstream.capabilities().is_called;
        let own = if is_called { u64::from(queue.concurrency) } else { 0 };
        own + if queue.callback.is_some() { CALLBACK_CALLS } else { 0 }
    };
    queues.into_iter().map(of_queue).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_redis_have_their_files_before_clients_do() {
        let share = |open_files, calls| {
            let files = share(open_files, calls);
            (files.connections, files.suffice)
        };
        assert_eq!(share(1_048_576, 5000), (20_000, true));
        assert_eq!(share(1024, 16), (1024 - 96 - 16, true));
        assert_eq!(share(512, 16), (512 - 96 - 16, true));
        assert_eq!(share(512, 5000), (256, false));
        assert_eq!(share(8, 16), (16, false));
    }
}
