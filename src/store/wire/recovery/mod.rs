//! What a restart, a failover or a deletion took away from this node's knowledge, and how it is found out.

pub(in crate::store) mod acknowledgements;
pub(in crate::store) mod erasure;
pub(in crate::store) mod reviews;
pub(in crate::store) mod rollback;
