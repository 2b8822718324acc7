//! Texts that fit: cut, folded, counted and drawn as bars.
//!
//! Pure. Refuses to know what they say.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::cli::plain::plain;
use crate::cli::table::hanging;

/// A sentence in lines of at most this width; a word that is longer is folded.
pub(super) fn sentence(text: &str, indent: usize, width: usize) -> Vec<String> {
    hanging(&plain(text), indent, width).iter().flat_map(|line| fold(line, width)).collect()
}

/// A text in lines of exactly this width, but for the last one.
pub(super) fn fold(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for sign in text.chars() {
        let own = sign.width().unwrap_or(0);
        if used + own > width && !line.is_empty() {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        line.push(sign);
        used += own;
    }
    lines.push(line);
    lines
}

/// The beginning of a text that is too wide, and a sign that it goes on.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut lines = fold(text, width.saturating_sub(1)).into_iter();
    format!("{}…", lines.next().unwrap_or_default())
}

/// A count in at most five signs; from a hundred thousand on it is rounded down.
pub(super) fn compact(count: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1000, "k")];
    if count < 100_000 {
        return count.to_string();
    }
    let (size, unit) = UNITS.into_iter().find(|(size, _)| count >= *size).unwrap_or((1, ""));
    let (whole, tenth) = (count / size, count % size / (size / 10).max(1));
    if whole < 100 { format!("{whole}.{tenth}{unit}") } else { format!("{whole}{unit}") }
}

/// Numbers as columns of one line, one beside the other; whatever is there is seen.
pub(super) fn columns(numbers: &[u32], most: u32) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let column = |number: &u32| {
        let share = u64::from(*number) * HEIGHTS.len() as u64;
        let height = usize::try_from(share.div_ceil(u64::from(most.max(1)))).unwrap_or(0);
        let sign = height.checked_sub(1).and_then(|at| HEIGHTS.get(at));
        sign.copied().unwrap_or(if *number == 0 { ' ' } else { HEIGHTS[7] })
    };
    numbers.iter().map(column).collect()
}

/// A bar of at most this width for a part of a whole; whatever is there is seen.
pub(super) fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if part == 0 || whole == 0 {
        return String::new();
    }
    let all = u128::try_from(width).unwrap_or(0) * 8;
    let eighths = (u128::from(part.min(whole)) * all / u128::from(whole)).max(1);
    let eighths = usize::try_from(eighths).unwrap_or(0);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_five_signs_at_most() {
        for (count, text) in [
            (0, "0"),
            (99_999, "99999"),
            (100_000, "100k"),
            (999_999, "999k"),
            (1_250_000, "1.2M"),
            (45_600_000, "45.6M"),
            (u64::MAX, "18446744T"),
        ] {
            assert_eq!(compact(count), text);
        }
    }

    #[test]
    fn bars_are_proportional_and_never_empty_where_something_is() {
        assert_eq!(bar(0, 10, 4), "");
        assert_eq!(bar(1, 1_000_000, 4), "▏");
        assert_eq!(bar(5, 10, 4), "██");
        assert_eq!(bar(10, 10, 4), "████");
        assert_eq!(bar(u64::MAX, u64::MAX, 4), "████");
    }

    #[test]
    fn wide_signs_and_long_words_are_folded() {
        assert_eq!(fold("号码无效", 5), ["号码", "无效"]);
        assert_eq!(cut("号码无效", 5), "号码…");
        assert_eq!(cut("short", 5), "short");
        let folded = sentence("a abcdefghijklmnopqrstuvwxyzabcdef", 0, 24);
        assert!(folded.iter().all(|line| line.width() <= 24), "{folded:?}");
        assert!(folded.concat().ends_with("abcdefghijklmnopqrstuvwxyzabcdef"));
    }
}
