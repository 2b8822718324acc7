//! What to do about an answer that is not the one that was hoped for.
//!
//! Owns the words. Refuses to know how a failure is shown.

use http::StatusCode;

use crate::wire::problem::ProblemCode;

/// What to do about an answer that is not one of a daemon: another server, or a proxy before the daemon.
pub(super) fn elsewhere(status: StatusCode) -> &'static str {
    match status.as_u16() {
        408 | 429 | 502..=504 => {
            "try again; if it stays so, check that --url names a tidegate daemon"
        }
        _ => {
            "check that --url names a tidegate daemon, and not another server or a page of a proxy"
        }
    }
}

/// What to do about a problem of a daemon.
pub(super) fn of_problem(status: StatusCode, code: Option<ProblemCode>) -> Option<&'static str> {
    Some(match (status.as_u16(), code) {
        (401, _) => "put a valid token into TIDEGATE_TOKEN; `tidegate token new NAME` makes one",
        (403, _) => "use a token with the scope that is missing, or call from where it is allowed",
        (404, _) => "`tidegate queues` shows the queues, `tidegate list QUEUE` their messages",
        (413, _) => "send less, or raise server.body_limit in the daemon's config",
        (422, Some(ProblemCode::IdempotencyMismatch)) => {
            "use another --key: this one belongs to a message with another body"
        }
        (422, Some(ProblemCode::CostTooLarge)) => {
            "send it as messages that cost less, or raise the quota in the daemon's config"
        }
        (422, Some(ProblemCode::WindowMissed)) => {
            "`tidegate queue QUEUE` shows what holds it until then"
        }
        (429, Some(ProblemCode::BacklogFull)) => {
            "send it again later; `tidegate queue QUEUE` shows what waits, and what holds it"
        }
        (429, _) => "as many listen already as a node serves: try again, or ask another node",
        (503, Some(ProblemCode::StoreFull)) => {
            "make room for Redis: `tidegate doctor --quick` says how; stored messages are still sent"
        }
        (503, Some(ProblemCode::Draining)) => "the daemon is stopping: try again when it is back",
        (503, _) => "try again; `tidegate doctor --quick` looks for the cause",
        _ => return None,
    })
}

/// The step with the name that was asked about, so that its command can be copied.
pub(super) fn with_name(step: &str, family: &str, name: &str) -> String {
    // A name that a shell takes apart stays a placeholder.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.~".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) {
        return step.to_owned();
    }
    match family {
        "queues" | "overrides" | "keys" => step.replace("QUEUE", name),
        "schedules" => step.replace("NAME", name),
        "messages" => {
            let queue = name.rsplit_once('_').map_or("QUEUE", |(queue, _)| queue);
            step.replace("QUEUE", queue)
                .replace(" ID`", &format!(" {name}`"))
                .replace(" ID ", &format!(" {name} "))
        }
        _ => step.to_owned(),
    }
}

/// What to do where a thing of this family is not there, or does not stand as it would have to.
pub(super) fn about(status: u16, family: &str) -> Option<&'static str> {
    Some(match (status, family) {
        (404, "queues") => "`tidegate queues` lists the queues",
        (404, "messages") => "`tidegate list QUEUE` lists the messages of a queue with their ids",
        (404, "topics") => "`tidegate topics` lists the topics",
        (404, "schedules") => "`tidegate schedules` lists the schedules",
        (404, "limits") => "`tidegate limits` lists the shared limits",
        (404, "operations") => "`tidegate operation list` lists the operations with their ids",
        (404, "overrides") => {
            "`tidegate override QUEUE` lists those that are in force, with their ids"
        }
        (404, "keys") => "`tidegate key QUEUE` lists the keys that were given something",
        (422, "limits") => "use another --key: this one belongs to another charge",
        (409, "messages") => "`tidegate get ID` shows where the message stands",
        (409, "queues") => "`tidegate queue QUEUE` shows the queue",
        (409, "schedules") => "`tidegate schedule NAME` shows the schedule",
        (409, "operations") => "`tidegate operation list` shows the operations",
        _ => return None,
    })
}
