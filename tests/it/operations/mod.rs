//! What operators do to many messages, and what is written down of it.

mod actions;
mod beside;
mod bulk;
mod search;
