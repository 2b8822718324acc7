//! Points in the daemon where a test may kill it, hold it up or make it do wrong.
//!
//! Owns what an action does. Compiled for tests only, by the cargo feature `failpoints`: without it
//! `failpoint!` expands to nothing. Refuses to know what happens at a point; who places one names
//! the instruction boundary. The environment arms them when the daemon starts:
//!
//! ```text
//! FAILPOINTS='after-claim=return'               kill -9 of this process, each time
//! FAILPOINTS='after-claim=2*off->return'        the third time
//! FAILPOINTS='after-claim=5%return'             with a probability of 5 %
//! FAILPOINTS='before-send=return(poison)'       where what it is about (a body) contains "poison"
//! FAILPOINTS='after-ack=return(delay 200)'      the task waits 200 ms, others go on
//! FAILPOINTS='after-send=1*return(stop)'        stands still until SIGCONT, once
//! FAILPOINTS='after-ack=sleep(200)'             the thread stands still for 200 ms
//! FAILPOINTS='before-ack=return;after-reap=off' several
//! ```
//!
//! Every script has two, `before-<verb>` and `after-<verb>`: Redis has written and replied, and nobody
//! in the daemon knows. (Loops call theirs with nothing to do as well.) The others are in `POINTS`.

#[cfg(feature = "failpoints")]
use rustix::process::{Signal, getpid, kill_process};

/// What stands beside the scripts' own points.
#[cfg(feature = "failpoints")]
pub const POINTS: [&str; 19] = [
    "before-durable", // Written by a script; whether at the durability level is not looked at yet.
    "before-answer",  // At its level; the producer has not been told.
    "promoted",       // A promotion moved something.
    "claimed",        // A claim took something; nobody here knows.
    "reaped",         // A reap brought something back.
    "starting",       // Leased, noted as in flight, its slot has come; nothing sent.
    "before-send",    // The last look is over; about the body.
    "after-send",     // The downstream has answered; about the body.
    "probed",         // Asked about an uncertain message; the answer is not kept.
    "settled",        // The outcome is kept; its slot is still taken.
    "heartbeat",      // Presence shown.
    "before-leave",   // A graceful stop, about to take the node off the list.
    "handing-out",    // An event is kept, and goes to a queue now; about the queue's name.
    "handed-out",     // The queue has its message of an event; about the queue's name.
    "drawn",          // Entries of a stream are drawn; nothing is taken in.
    "taken-in",       // Their messages are safe; the entries are still there.
    "digested",       // The entries have left.
    "stopping",       // A graceful stop begins.
    "drained",        // A graceful stop: all calls in flight are finished.
];

/// Marks a point: a name, or a format for one; after `;`, what it is about, as bytes.
#[cfg(feature = "failpoints")]
macro_rules! failpoint {
    ($name:literal; $about:expr) => {
        $crate::failpoint::strike($name, $about).await
    };
    ($($name:tt)+) => {
        $crate::failpoint::strike(&format!($($name)+), &[]).await
    };
}

/// Nothing: see the module.
#[cfg(not(feature = "failpoints"))]
macro_rules! failpoint {
    ($($anything:tt)*) => {};
}

/// Whether a bug is planted; see `store/redis/script/planted_bugs.rs`.
#[cfg(feature = "failpoints")]
macro_rules! planted {
    ($name:expr) => {
        $crate::failpoint::is_armed($name)
    };
}

/// Never.
#[cfg(not(feature = "failpoints"))]
macro_rules! planted {
    ($name:expr) => {
        false
    };
}

pub(crate) use failpoint;
pub(crate) use planted;

/// Arms what the environment names, until the guard is dropped.
#[cfg(feature = "failpoints")]
#[must_use]
pub fn arm() -> impl Drop {
    fail::FailScenario::setup()
}

/// Carries out what is armed at a point.
#[cfg(feature = "failpoints")]
pub(crate) async fn strike(name: &str, about: &[u8]) {
    let Some(action) = fail::eval(name, Option::unwrap_or_default) else { return };
    if let Some(ms) = action.strip_prefix("delay ") {
        let ms = ms.parse().expect("FAILPOINTS: delay takes milliseconds");
        return tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }
    if action == "stop" {
        send(Signal::STOP);
        // Whichever thread the system picks stops the others, and this one may run on until then.
        return tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let is_about = about.windows(action.len().max(1)).any(|part| part == action.as_bytes());
    if action.is_empty() || is_about {
        send(Signal::KILL);
    }
}

/// Whether a point is armed; for what is not done at a point, but done wrong.
#[cfg(feature = "failpoints")]
pub(crate) fn is_armed(name: &str) -> bool {
    fail::eval(name, drop).is_some()
}

/// To this process: by SIGKILL nothing is flushed and nobody is told.
#[cfg(feature = "failpoints")]
fn send(signal: Signal) {
    kill_process(getpid(), signal).expect("a process may always signal itself");
}
