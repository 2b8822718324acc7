//! A message of the small stage, as its producer asks for it.
//!
//! Owns what a queue may go by: keys, cost, due time. Refuses to know how it is sent.

use serde_json::{Value, json};

use crate::rig::message::moment;

/// What a message has that its queue may go by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) group: Option<u32>,
    pub(crate) customer: Option<u32>,
    pub(crate) collapse_key: Option<u32>,
    pub(crate) cost: u32,
    /// 0: at once.
    pub(crate) due_ms: u64,
}

impl Default for Row {
    fn default() -> Self {
        Self { group: None, customer: None, collapse_key: None, cost: 1, due_ms: 0 }
    }
}

impl Row {
    /// One that is ordered by this group.
    pub(crate) fn of_group(group: u32) -> Self {
        Self { group: Some(group), ..Self::default() }
    }

    /// One that is limited with this customer.
    pub(crate) fn of_customer(customer: u32) -> Self {
        Self { customer: Some(customer), ..Self::default() }
    }

    /// One that a newer one with this key takes the place of.
    pub(crate) fn of_collapse_key(key: u32) -> Self {
        Self { collapse_key: Some(key), ..Self::default() }
    }

    /// The row of a request that asks for it; the body says its number.
    pub(super) fn json(self, key: u64) -> Value {
        let mut row = json!({ "payload": { "n": key }, "idempotency_key": format!("k{key}") });
        if let Some(group) = self.group {
            row["group"] = json!(format!("g{group}"));
        }
        if let Some(customer) = self.customer {
            row["labels"] = json!({ "customer": format!("c{customer}") });
        }
        if let Some(key) = self.collapse_key {
            row["collapse_key"] = json!(format!("k{key}"));
        }
        if self.due_ms > 0 {
            row["due_at"] = json!(moment(self.due_ms));
        }
        if self.cost != 1 {
            row["cost"] = json!(self.cost);
        }
        row
    }
}
