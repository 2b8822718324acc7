//! The place of a message among those of its queue, as scripts take it.

use crate::domain::message::NewMessage;
use crate::domain::policy::QueuePolicy;
use crate::store::record::OptionalFields;

/// Priority and band as digits, a letter for the final states that have a callback, where any have, and `o` where
/// optional fields follow the header (see `lua/include/new_record.lua`).
pub(in crate::store) fn ranks(
    policy: &QueuePolicy,
    message: &NewMessage,
    fields: &OptionalFields,
) -> String {
    let mut ranks = format!("{}{}", message.priority, policy.band(message.priority));
    let told = policy.told(&message.details);
    ranks.extend((!told.is_none()).then(|| char::from(b'@' + told.bits())));
    ranks.extend((!fields.is_empty()).then_some('o'));
    ranks
}
