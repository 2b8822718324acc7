//! Cursors that clients carry from page to page.
//!
//! Owns that a cursor is safe in a url, and that one which was changed, cut or taken from another list is
//! refused: it would begin a page anywhere. Refuses to know what stands in it. A cursor is not secret; its
//! seal only tells a slip from a cursor of ours.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// How many bytes of the seal stand in front.
const SEAL_BYTES: usize = 6;

/// A cursor of this list.
pub(super) fn seal(list: &str, place: &str) -> String {
    URL_SAFE_NO_PAD.encode([&sealed(list, place)[..], place.as_bytes()].concat())
}

/// What [`seal`] was given.
///
/// # Errors
/// When it is not a cursor of this list, as it was given out.
pub(super) fn open(list: &str, cursor: &str) -> Result<String, String> {
    let open = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (seal, place) = bytes.split_at_checked(SEAL_BYTES)?;
        let place = std::str::from_utf8(place).ok()?;
        (seal == sealed(list, place)).then(|| place.to_owned())
    };
    open().ok_or_else(|| {
        "this is not a cursor of this list; expected next_cursor of the page before, unchanged"
            .to_owned()
    })
}

fn sealed(list: &str, place: &str) -> [u8; SEAL_BYTES] {
    let digest = Sha256::new().chain_update(list).chain_update([0]).chain_update(place).finalize();
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let cursor = seal("schedules", "nightly");
        assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(open("schedules", &cursor).as_deref(), Ok("nightly"));
        assert!(open("messages/sms", &cursor).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_letter_is_noticed(place in "[a-z0-9./:]{0,40}", at in 0usize..80, letter in "[A-Za-z0-9_-]") {
            let cursor = seal("actions", &place);
            prop_assert_eq!(open("actions", &cursor), Ok(place));
            let at = at % cursor.len();
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, &letter);
            prop_assert_eq!(open("actions", &changed).is_ok(), changed == cursor);
            prop_assert!(open("actions", &cursor[..at]).is_err());
        }

        #[test]
        fn no_text_panics(text: String) {
            prop_assert!(open("actions", &text).is_err());
        }
    }
}
