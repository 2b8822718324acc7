//! The pages: for each one what it asks the API, and what its template is given.
//!
//! Owns no rule of the API. Refuses to know sessions and headers.

pub(super) mod audit;
pub(super) mod dead;
pub(super) mod docs;
pub(super) mod health;
pub(super) mod limits;
pub(super) mod message;
pub(super) mod message_steps;
pub(super) mod messages;
pub(super) mod missing;
pub(super) mod nodes;
pub(super) mod operation;
pub(super) mod operation_steps;
pub(super) mod operations;
pub(super) mod queue;
mod queue_choice;
pub(super) mod queue_steps;
pub(super) mod queues;
pub(super) mod schedules;
pub(super) mod topics;
