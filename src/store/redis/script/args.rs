//! Values as arguments of a script.

use crate::domain::message::When;

/// A number as an argument of a script.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers pass numbers, words and references alike"
)]
pub(in crate::store) fn arg(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A moment as an argument of a script, which adds a delay to its own now.
pub(in crate::store) fn when(when: When) -> Vec<u8> {
    when_text(when).into_bytes()
}

pub(in crate::store) fn when_text(when: When) -> String {
    match when {
        When::After(ms) => format!("+{ms}"),
        When::At(ms) => ms.to_string(),
    }
}
