//! What needs several families at once: the only place in the store where families meet.
//!
//! Owns the gauges of everything that is kept, the way of an event into its queues, the wake-ups from other nodes, and
//! what follows when the data was taken away. A family knows the wire below it and no other family, so that what needs
//! two of them stands here.

mod erasures;
mod gauges;
mod hand_out;
mod wake_ups;

pub use erasures::Erasures;
pub use gauges::Gauges;
pub use hand_out::HandOuts;
pub use wake_ups::WakeUps;
