//! What others wrote, made fit for a terminal.

/// The text without control characters: what others wrote must not steer the terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_blanks() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{9b}d ü"), "a [31mb c d ü");
    }
}
