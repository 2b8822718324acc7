//! What others wrote, made fit for a terminal.

use crate::domain::human::steers_text;

/// The text without control characters, and without those that are not seen and change the order of what is:
/// what others wrote must not steer the terminal, nor look like something else.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || steers_text(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_blanks() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{9b}d ü"), "a [31mb c d ü");
        assert_eq!(plain("bill\u{202e}fdp.exe\u{200b}x"), "bill fdp.exe x");
        assert_eq!(plain("👩\u{200d}🔧"), "👩\u{200d}🔧");
    }
}
