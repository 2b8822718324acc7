//! The life of a message from its claim until its outcome is kept.
//!
//! Owns when messages are claimed, how each is sent, what follows from an answer, and asking about what is
//! uncertain. Refuses to know HTTP as a server (see `api`), and the loops that do not send (see `workers`).
//!
//! ```text
//! dispatcher ─▶ pacer ─▶ life: exchange, batch, host_call ─▶ decide ─▶ settle
//!                permits                   breaker          probe     renew
//! ```

mod age;
mod attempt;
mod batch;
mod batch_answer;
mod breaker;
pub(crate) mod cadence;
mod decide;
mod dispatcher;
mod episode;
mod exchange;
mod first_in_line;
mod host_call;
mod incoming;
mod judge;
mod life;
mod pacer;
mod permits;
mod precise_sleep;
mod presence;
mod probe;
pub mod pull;
mod pulse;
mod rendering;
mod renew;
mod request;
mod runners;
mod sending;
mod settle;
mod shortage;
mod slots;
mod tally;
mod traces;
mod wait_reports;
mod work;

pub use incoming::carry_receipts;
pub use presence::Presence;
pub use probe::Prober;
pub use pulse::{Pulse, Pulses};
pub use rendering::template_message;
pub use request::{single_call, with_rendered};
pub use sending::start_sending;
