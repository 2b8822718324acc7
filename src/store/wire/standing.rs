//! How a shared limit stands, as views of queues and of the limit itself read it.

use super::Wire;
use crate::domain::limit::{KeptLimit, LimitRule};
use crate::store::StoreError;
use crate::store::redis::script::{call, fields, rows};

/// What stands in the account of a shared limit.
#[derive(Debug, Clone, Default)]
pub(in crate::store) struct SharedStanding {
    /// The limit itself.
    pub(in crate::store) kept: KeptLimit,
    /// What each queue has used, kept like the limit, by its name; and what was charged.
    pub(in crate::store) used: Vec<(String, String)>,
}

/// The name under which the account keeps what was charged from outside; no queue has it.
pub(in crate::store) const CHARGED: &str = "~charged";

impl Wire {
    /// Reads how a shared limit stands.
    pub(in crate::store) async fn shared_standing(
        &self,
        rule: &LimitRule,
    ) -> Result<SharedStanding, StoreError> {
        let account = self.account(rule);
        let (limit, is_rate) = (rule.name.as_str(), rule.quota().is_none());
        let call = call!(Standing, limit = limit, is_rate = is_rate);
        let mut reply = self.call(&account.shard, &call).await?;
        fields!(reply as Standing; kept: String, debt: String);
        let mut used = Vec::new();
        rows!(reply as Standing);
        while reply.len() > 0 {
            fields!(row of reply as Standing; who: String, used_by: String);
            used.push((who, used_by));
        }
        Ok(SharedStanding { kept: KeptLimit { standing: kept, debt }, used })
    }
}
