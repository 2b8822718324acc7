//! A new record, as far as the Rust side writes it: the script that takes the message in puts the header in front.

use bytes::{Buf as _, Bytes};

use super::cut;
use super::optional::OptionalFields;
use crate::domain::details::{DETAILS_BYTES_MAX, read_details, write_details};
use crate::domain::message::{Details, NewMessage};
use crate::domain::policy::QueuePolicy;
use crate::store::StoreError;

/// What follows the part of the header that the script writes: the message's number in its call, optional fields,
/// details and body.
///
/// # Errors
/// [`StoreError::TooLarge`] when the details do not fit: cut, they could never be read again.
pub(crate) fn pack_rest(
    message: &NewMessage,
    number: u8,
    fields: &OptionalFields,
) -> Result<Vec<u8>, StoreError> {
    let details = write_details(&message.details);
    let length = u16::try_from(details.len()).map_err(|_| {
        StoreError::TooLarge(format!(
            "everything beside the payload takes {} bytes, more than {DETAILS_BYTES_MAX}; shorten headers or labels",
            details.len()
        ))
    })?;
    let fields = fields.as_bytes();
    let mut rest = Vec::with_capacity(3 + fields.len() + details.len() + message.payload.len());
    rest.push(number);
    rest.extend_from_slice(fields);
    rest.extend_from_slice(&length.to_be_bytes());
    rest.extend_from_slice(&details);
    rest.extend_from_slice(&message.payload);
    Ok(rest)
}

/// Details and body, where they follow each other to the end.
pub(crate) fn unpack_rest(mut raw: Bytes) -> Result<(Details, Bytes), StoreError> {
    if raw.len() < 2 {
        return Err(StoreError::Reply("a record is too short".to_owned()));
    }
    let length = usize::from(raw.get_u16());
    if raw.len() < length {
        return Err(cut("details"));
    }
    let details = read_details(&raw.split_to(length)).map_err(StoreError::Reply)?;
    Ok((details, raw))
}

/// What the script writes into the header: priority and band as digits, a letter for the final states that have a
/// callback, where any have, and `o` where optional fields follow, or `k` if a collapse key is among them (see `lua/include/new_record.lua`).
pub(crate) fn ranks(policy: &QueuePolicy, message: &NewMessage, fields: &OptionalFields) -> String {
    let mut ranks = format!("{}{}", message.priority, policy.band(message.priority));
    let callback_on = policy.callback_on(&message.details);
    ranks.extend((!callback_on.is_none()).then(|| char::from(b'@' + callback_on.bits())));
    let letter = if fields.has_collapse_key() { 'k' } else { 'o' };
    ranks.extend((!fields.is_empty()).then_some(letter));
    ranks
}
