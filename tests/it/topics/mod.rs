//! Topics: one event, a message in each queue.

pub(crate) mod fan_out;
#[cfg(feature = "failpoints")]
mod killed;
