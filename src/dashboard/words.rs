//! Numbers and values as pages write them.
//!
//! Owns their form. Refuses to know which page shows them. What the command line says alike is in `domain::human`.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a path or a query as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Bytes on a line of a dump.
const DUMP_LINE_BYTES: usize = 16;

/// A number with commas: `12,400`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 key`, `12,400 keys`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A text as a part of a path or of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// Calls a second: `18.4/s`, `0.25/s`, `0/s`.
pub(super) fn pace(per_second: f64) -> String {
    if per_second >= 100.0 {
        return format!("{per_second:.0}/s");
    }
    let text =
        if per_second >= 10.0 { format!("{per_second:.1}") } else { format!("{per_second:.2}") };
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}/s")
}

/// Bytes as a dump: their place, their digits, and what of them is printable.
pub(super) fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (line, row) in bytes.chunks(DUMP_LINE_BYTES).enumerate() {
        let digits: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown: String = row
            .iter()
            .map(|byte| if matches!(byte, 0x20..=0x7e) { char::from(*byte) } else { '.' })
            .collect();
        // Writing into a text does not fail.
        let _written =
            writeln!(text, "{:08x}  {:<48} {shown}", line * DUMP_LINE_BYTES, digits.join(" "));
    }
    text
}

/// JSON on lines of its own, its values byte for byte as they came.
pub(super) fn indented(json: &str) -> String {
    let (mut text, mut depth, mut in_text, mut escaped) = (String::new(), 0_usize, false, false);
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            _ if in_text => {
                text.push(c);
                escaped = c == '\\' && !was_escaped;
                in_text = c != '"' || was_escaped;
            }
            ' ' | '\n' | '\r' | '\t' => {}
            '{' | '[' => {
                text.push(c);
                while rest.peek().is_some_and(char::is_ascii_whitespace) {
                    rest.next();
                }
                if rest.peek().is_some_and(|next| !matches!(next, '}' | ']')) {
                    depth += 1;
                    new_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                if !text.ends_with(['{', '[']) {
                    depth = depth.saturating_sub(1);
                    new_line(&mut text, depth);
                }
                text.push(c);
            }
            ',' => {
                text.push(c);
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ => {
                in_text = c == '"';
                text.push(c);
            }
        }
    }
    text
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

/// A text as a word of a shell, in quotes where it needs them.
pub(super) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,~".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The beginning of a text that may be long.
pub(super) fn beginning(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (12_400, "12,400"), (1_000_000, "1,000,000")]
        {
            assert_eq!(grouped(number), text);
            assert_eq!(counted(number, "key"), format!("{text} keys"));
        }
    }

    #[test]
    fn paces_are_short() {
        for (number, text) in
            [(0.0, "0/s"), (0.25, "0.25/s"), (18.44, "18.4/s"), (20.0, "20/s"), (1250.4, "1250/s")]
        {
            assert_eq!(pace(number), text);
        }
    }

    #[test]
    fn a_dump_shows_what_is_printable() {
        let text = dump(b"tide\x00gate \xff end of it");
        let digits = "74 69 64 65 00 67 61 74 65 20 ff 20 65 6e 64 20";
        let first = format!("00000000  {digits:<48} tide.gate . end \n");
        let last = format!("00000010  {:<48} of it\n", "6f 66 20 69 74");
        assert_eq!(text, first + &last);
    }

    #[test]
    fn json_is_indented_and_its_values_stay() {
        let json = r#"{"a":[1.50,{}, [ ]],"b":"x, {\"y\": 1}","c":{"d":null}}"#;
        let expected = "{\n  \"a\": [\n    1.50,\n    {},\n    []\n  ],\n  \"b\": \"x, {\\\"y\\\": 1}\",\n  \"c\": {\n    \"d\": null\n  }\n}";
        assert_eq!(indented(json), expected);
        assert_eq!(indented("[]"), "[]");
        assert_eq!(indented("5"), "5");
    }

    #[test]
    fn words_of_a_shell_are_quoted() {
        assert_eq!(shell_word("sms"), "sms");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
