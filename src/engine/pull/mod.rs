//! Pull: the part of a message's life in which a worker makes the attempt.
//!
//! Owns what a worker is given and what its word leads to. Claims go through the same gates as the
//! dispatcher's, its word through the same decision and the same fences; a worker is one more node that may
//! die at any moment. Refuses to know JSON and connections (see `api::pull`).

mod claim;
mod settle;
mod token;

pub use claim::{Polls, PullWish, Pulled};
pub use settle::{WorkerSays, WorkerWord, settle};
pub use token::WorkerToken;
