//! The place of a message among those of its queue, as scripts take it.

use crate::domain::message::NewMessage;
use crate::domain::policy::QueuePolicy;

/// Priority and band as digits, and a letter for the final states that are told, where any are.
pub(in crate::store) fn ranks(policy: &QueuePolicy, message: &NewMessage) -> String {
    let mut ranks = format!("{}{}", message.priority, policy.band(message.priority));
    let told = policy.told(&message.details);
    ranks.extend((!told.is_none()).then(|| char::from(b'@' + told.bits())));
    ranks
}
