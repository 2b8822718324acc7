//! The life of a message from its claim until its outcome is kept.
//!
//! Owns when messages are claimed, how each is sent, what follows from an answer, and asking about what is
//! uncertain. Refuses to know HTTP as a server (see `api`), and the loops that do not send (see `workers`).
//!
//! ```text
//! dispatcher ─▶ pacer ─▶ single, batch, callback ─▶ decide ─▶ settle
//!                permits     exchange, breaker        probe      renew
//! ```

mod batch;
mod batch_answer;
mod breaker;
pub(crate) mod cadence;
mod callback;
mod decide;
mod dispatcher;
mod episode;
mod exchange;
mod nap;
mod pacer;
mod permits;
mod presence;
mod probe;
mod pulse;
mod renew;
mod request;
mod runners;
mod sending;
mod settle;
mod shortage;
mod single;
mod slots;
mod work;

pub use presence::Presence;
pub use probe::Prober;
pub use pulse::{Pulse, Pulses};
pub use request::single_call;
pub use sending::start_sending;
