//! What operators do to many messages, and what is written down of it.

mod actions;
mod beside;
pub(crate) mod bulk;
mod history;
mod search;
