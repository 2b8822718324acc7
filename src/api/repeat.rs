//! A repeat that says the same in other words.
//!
//! The store compares the fingerprints of what was sent, byte for byte. What names a default (the content type
//! of JSON, no delay) means what leaves it out, so that a repeat which the store takes for another message is
//! tried in its other spellings before it is refused. That is rare, and costs nobody else anything.

use axum::body::Bytes;

use super::problem::Problem;
use super::{Door, fingerprint, intake};
use crate::domain::id::MessageId;
use crate::domain::message::{Details, NewMessage, When};
use crate::store::{Accepted, NotAccepted, Queue};

/// The content type of a JSON payload that names none.
const JSON: &str = "application/json";

/// What becomes of a message whose key belongs to `first`, in its own spelling another message.
///
/// # Errors
/// While Redis has never been reached, and when the queue is gone meanwhile.
pub(super) async fn settle(
    door: &Door,
    queue: &Queue,
    body: &Bytes,
    header_key: Option<&str>,
    first: MessageId,
) -> Result<Result<Accepted, NotAccepted>, Problem> {
    let spellings = other_spellings(body, door.now_ms()?, header_key);
    if spellings.is_empty() {
        return Ok(Err(NotAccepted::Mismatch(first)));
    }
    let answers = door.store().messages.schedule(&queue.policy.name, spellings).await?;
    let settled =
        answers.into_iter().find(|answer| !matches!(answer, Err(NotAccepted::Mismatch(_))));
    Ok(settled.unwrap_or(Err(NotAccepted::Mismatch(first))))
}

/// The same message as others may have written it down: with a default named, or left out. Each has the
/// fingerprint of that spelling, and a repeat of any of them is a repeat of this one.
pub(super) fn other_spellings(
    body: &Bytes,
    now_ms: u64,
    header_key: Option<&str>,
) -> Vec<NewMessage> {
    let Ok((message, due)) = intake::read(body, now_ms, header_key, 1) else { return Vec::new() };
    let content_types = match &message.details.content_type {
        None => vec![None, Some(JSON.to_owned())],
        Some(named) if named == JSON => vec![Some(JSON.to_owned()), None],
        other => vec![other.clone()],
    };
    let dues = match due {
        None | Some(When::After(0)) => vec![None, Some(When::After(0))],
        other => vec![other],
    };
    let own = fingerprint::of(&intake::sent(&message, &message.details, due));
    let mut spellings = Vec::new();
    for content_type in content_types {
        let details = Details { content_type, ..message.details.clone() };
        for due in &dues {
            let fingerprint = fingerprint::of(&intake::sent(&message, &details, *due));
            if fingerprint != own {
                spellings.push(NewMessage { fingerprint, ..message.clone() });
            }
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_763_640_000_000;

    #[test]
    fn a_default_may_be_named_or_left_out() {
        let bytes = |body: &str| Bytes::copy_from_slice(body.as_bytes());
        let print =
            |body: &str| intake::message(&bytes(body), NOW_MS, Some("k")).unwrap().fingerprint;
        let others = |body: &str| -> Vec<[u8; 16]> {
            let spellings = other_spellings(&bytes(body), NOW_MS, Some("k"));
            spellings.into_iter().map(|message| message.fingerprint).collect()
        };
        let same = [
            r#"{"payload": 1}"#,
            r#"{"payload": 1, "content_type": "application/json"}"#,
            r#"{"payload": 1, "delay": 0}"#,
            r#"{"payload": 1, "delay": "0s", "content_type": "application/json"}"#,
        ];
        for body in same {
            assert_eq!(others(body).len(), 3, "{body}");
            for other in same.iter().filter(|other| print(other) != print(body)) {
                assert!(others(body).contains(&print(other)), "{body} {other}");
            }
        }
        for other in [
            r#"{"payload": 2}"#,
            r#"{"payload": 1, "content_type": "text/plain"}"#,
            r#"{"payload": 1, "delay": 1}"#,
        ] {
            assert!(!others(same[0]).contains(&print(other)), "{other}");
        }
        let late = r#"{"payload": 1, "delay": "1h", "content_type": "text/plain"}"#;
        assert!(others(late).is_empty(), "nothing in it is a default");
    }
}
