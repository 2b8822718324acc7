//! The pace and the number of calls, over all nodes.

pub(crate) mod rates;
mod slots;
