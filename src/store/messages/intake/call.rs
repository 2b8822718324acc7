//! One call of the script: which of those who wait it takes, and how they are written into it.

use super::{CALL_BYTES_MAX, CALL_MESSAGES_MAX, FINGERPRINT_BYTES, Waiting};
use crate::domain::backlog::BacklogPolicy;
use crate::domain::message::Origin;
use crate::store::queue::Queue;
use crate::store::record::{pack_rest, ranks};
use crate::store::redis::script::{Call, arg, call, when_text};

/// Those of a call that fit into a record, each with the rest of its record. One that does not is answered
/// here, and harms no neighbour.
pub(super) fn packed(waiting: Vec<Waiting>) -> (Vec<Waiting>, Vec<Vec<u8>>) {
    let (mut taken, mut packed) =
        (Vec::with_capacity(waiting.len()), Vec::with_capacity(waiting.len()));
    for waiting in waiting {
        // A call has no more messages than a byte can count.
        let number = u8::try_from(taken.len()).unwrap_or(u8::MAX);
        match pack_rest(&waiting.message, number, &waiting.fields) {
            Ok(rest) => {
                packed.push(rest);
                taken.push(waiting);
            }
            // Whoever asked may have hung up.
            Err(error) => drop(waiting.answer.send(Err(error.into()))),
        }
    }
    (taken, packed)
}

/// A call of the script, by so many values for each message as its header says.
pub(super) fn schedule(
    queue: &Queue,
    caller: String,
    version: u8,
    taken: &[Waiting],
    packed: Vec<Vec<u8>>,
) -> Call {
    let policy = &queue.policy;
    let is_collapsing = taken.iter().any(Waiting::has_collapse_key);
    let caller = match is_collapsing {
        true => format!("{caller}{}", policy.retention.delivered_ms),
        false => caller,
    };
    let keyed = taken.iter().any(|waiting| !waiting.key.is_empty());
    let width = if keyed { 4 } else { 3 };
    let window_ms = policy.idempotency_window_ms;
    let mut values = Vec::with_capacity(taken.len() * width);
    for (Waiting { ulid, key, message, fields, origin, .. }, rest) in taken.iter().zip(packed) {
        let mut wish = ranks(policy, message, fields);
        let is_exempt = policy.backlog.is_some() && *origin != Origin::Producer;
        wish.extend(is_exempt.then_some('x'));
        wish.push_str(&when_text(message.due));
        match (message.expires, policy.default_ttl_ms(*origin)) {
            (Some(expires), _) => wish.extend(["/", &when_text(expires)]),
            (None, Some(ttl_ms)) => wish.extend(["/=", &ttl_ms.to_string()]),
            (None, None) => {}
        }
        values.extend([arg(ulid), wish.into_bytes(), rest].map(|value| [value]));
        if keyed {
            // Only told apart where a key says that two may be the same.
            values.push([match key.as_str() {
                "" => Vec::new(),
                key => {
                    let fingerprint: &[u8; FINGERPRINT_BYTES] = &message.fingerprint;
                    [fingerprint.as_slice(), key.as_bytes()].concat()
                }
            }]);
        }
    }
    let backlog = policy.backlog.as_ref().map(|backlog| backlog.share(policy.shards));
    let (messages_max, bytes_max, key_max) = match &backlog {
        Some(BacklogPolicy { messages_max, bytes_max, per_key }) => {
            (*messages_max, *bytes_max, per_key.as_ref().map(|per_key| per_key.messages_max))
        }
        None => (None, None, None),
    };
    call!(
        Schedule,
        window_ms = window_ms,
        caller = caller,
        version = version,
        width = width,
        messages_max = messages_max.unwrap_or(0),
        bytes_max = bytes_max.unwrap_or(0),
        key_max = key_max.unwrap_or(0),
        ..values
    )
    .collapsing(is_collapsing)
}

/// How many from the front fit into one call; at least one. Those with a collapse key have calls of their own.
pub(super) fn fitting(waiting: &[Waiting]) -> usize {
    let mut bytes = 0;
    let is_collapsing = waiting.first().is_some_and(Waiting::has_collapse_key);
    let fits = waiting.iter().take(CALL_MESSAGES_MAX).take_while(|waiting| {
        bytes += waiting.message.payload.len();
        bytes <= CALL_BYTES_MAX && waiting.has_collapse_key() == is_collapsing
    });
    fits.count().max(1)
}
