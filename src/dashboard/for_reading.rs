//! Texts of others as pages show them: no markup, and nothing that steers what is read.
//!
//! Owns what stands for a character that is not seen. A control character, or one that changes the order of what is beside it, could
//! make a page look like something else, or a command that is copied into a terminal do something else. Refuses to know the fields of
//! forms, which have to come back as they are.

use std::fmt;

use askama::filters::{Escaper, Html};

use crate::domain::human::steers_text;

/// Escapes for HTML what is to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForReading;

impl Escaper for ForReading {
    fn write_escaped_str<W: fmt::Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        for part in text.split_inclusive(is_replaced) {
            let seen = part.trim_end_matches(is_replaced);
            Html.write_escaped_str(&mut dest, seen)?;
            if let Some(hidden) = part[seen.len()..].chars().next() {
                dest.write_char(sign_of(hidden))?;
            }
        }
        Ok(())
    }
}

/// Lines and columns stay.
fn is_replaced(c: char) -> bool {
    !matches!(c, '\n' | '\r' | '\t') && (c.is_control() || steers_text(c))
}

/// The picture of a control character, where Unicode has one (the block Control Pictures).
const fn sign_of(c: char) -> char {
    match c {
        '\0'..='\u{1f}' => match char::from_u32(0x2400 + c as u32) {
            Some(picture) => picture,
            None => char::REPLACEMENT_CHARACTER,
        },
        '\u{7f}' => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut written = String::new();
        ForReading.write_escaped_str(&mut written, text).unwrap();
        written
    }

    #[test]
    fn what_steers_is_seen_and_does_nothing() {
        assert_eq!(written("a\u{1b}[201~\u{15}b\u{7f}\u{9b}"), "a␛[201~␕b␡\u{fffd}");
        assert_eq!(written("a\u{202e}b\u{2066}"), "a\u{fffd}b\u{fffd}");
        assert_eq!(written("\u{1b}\u{1b}"), "␛␛");
        assert_eq!(written("<b>\r\n\tü 👩\u{200d}🔧"), "&#60;b&#62;\r\n\tü 👩\u{200d}🔧");
        assert_eq!(written(""), "");
    }
}
