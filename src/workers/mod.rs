//! The loops around the sending: one loop a file, one skeleton, the pass apart from the loop.
//!
//! Owns when a verb is called that no message under way asks for. Refuses to know HTTP as a server (see `api`),
//! how messages are sent (see `engine`) and how Redis keeps things (see `store`). Every node runs every loop;
//! all of them may meet each other at any step.
//!
//! ```text
//! promoter    expirer    reaper    janitor    heartbeat    auditor    rounds    completer
//! recurring   inbox      operator  reporter   overrides   historian
//! ```

mod auditor;
mod completer;
mod expirer;
mod heartbeat;
mod historian;
mod inbox;
mod janitor;
mod operation;
mod operator;
mod overrides;
mod promoter;
mod queue_workers;
mod reaper;
mod recurring;
mod reporter;
mod rounds;
mod window_watch;

pub use auditor::Auditor;
pub use completer::Completer;
pub use heartbeat::Heartbeat;
pub use historian::Historian;
pub use inbox::InboxReader;
pub use janitor::Janitor;
pub use operator::Operator;
pub use overrides::OverrideWatch;
pub use queue_workers::QueueWorkers;
pub use reaper::Reaper;
pub use recurring::Recurring;
pub use reporter::Reporter;
pub use rounds::Rounds;
