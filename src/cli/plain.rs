//! What others wrote, made fit for a terminal.

/// The text without control characters, and without those that are not seen and change the order of what is:
/// what others wrote must not steer the terminal, nor look like something else.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_hidden(c) { ' ' } else { c }).collect()
}

/// Marks, embeddings, overrides and isolates of direction (Unicode Standard Annex #9), and characters without
/// a width. The joiners of words and emoji are needed, and stay.
const fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
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
