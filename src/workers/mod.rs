//! The loops that move messages: one loop a file, one skeleton, the pass apart from the loop.
//!
//! Owns when a verb is called. Refuses to know HTTP as a door (see `api`) and how Redis keeps
//! things (see `store`). Every node runs every loop; all of them may meet each other at any step.
//!
//! ```text
//! promoter ─▶ dispatcher ─▶ throttle ─▶ exchange ─▶ settler
//! expirer     reaper        renewer     janitor     heartbeat   auditor   rounds   completer
//! prober      recurring     inbox       operator
//! ```

mod auditor;
mod batch;
mod batch_answer;
mod cadence;
mod callback;
mod completer;
mod decide;
mod dispatcher;
mod episode;
mod exchange;
mod expirer;
mod heartbeat;
mod hosts;
mod inbox;
mod janitor;
mod nap;
mod operation;
mod operator;
mod permits;
mod presence;
mod prober;
mod promoter;
mod pulse;
mod queue_workers;
mod reaper;
mod recurring;
mod renewer;
mod reporter;
mod request;
mod rounds;
mod runners;
mod settler;
mod shortage;
mod single;
mod slots;
mod throttle;
mod work;

pub use auditor::Auditor;
pub use completer::Completer;
pub use heartbeat::Heartbeat;
pub use inbox::InboxReader;
pub use janitor::Janitor;
pub use operator::Operator;
pub use presence::Presence;
pub use pulse::Pulses;
pub use queue_workers::QueueWorkers;
pub use reaper::Reaper;
pub use recurring::Recurring;
pub use reporter::Reporter;
pub use request::single_call;
pub use rounds::Rounds;
