//! What time it is at Redis, whether its clock can be believed, and the alarm after it stepped.
//!
//! Pure: moments come in. Refuses to know connections, and what waits while an alarm stands.

pub(in crate::store) mod alarm;
pub(in crate::store) mod offset;
pub(in crate::store) mod time;
