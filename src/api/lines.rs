//! Cutting a stream into lines (NDJSON), holding at most one line of bounded length.

use bytes::{Buf as _, Bytes, BytesMut};

/// Blanks around a line that do not count against it.
const BLANKS_MAX: usize = 64;

/// A line of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// What stands in it, without the line break; never blank.
    Item(Bytes),
    /// Longer than allowed; its bytes were thrown away.
    TooLong,
}

/// The lines of a stream, as its pieces come in.
#[derive(Debug)]
pub(super) struct Lines {
    held: BytesMut,
    /// How much of `held` is known to have no line break.
    searched: usize,
    bytes_max: usize,
    /// Within a line that is too long already.
    is_skipping: bool,
}

impl Lines {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { held: BytesMut::new(), searched: 0, bytes_max, is_skipping: false }
    }

    /// How much it holds of a line whose end has not come.
    pub(super) fn bytes_held(&self) -> usize {
        self.held.len()
    }

    /// Takes the next piece of the stream; then ask [`Self::next`] until there is nothing.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.held.extend_from_slice(piece);
    }

    /// The next whole line, if it is there.
    pub(super) fn next(&mut self) -> Option<Line> {
        loop {
            self.skip_blanks();
            let found = self.held[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(at) = found else {
                self.searched = self.held.len();
                if self.held.len() > self.bytes_max + BLANKS_MAX {
                    self.is_skipping = true;
                    self.held.clear();
                    self.searched = 0;
                }
                return None;
            };
            let line = self.held.split_to(self.searched + at + 1);
            self.searched = 0;
            if let Some(line) = self.judge(line) {
                return Some(line);
            }
        }
    }

    /// Blanks before a line are thrown away at once: each blank line by itself would cost far more.
    fn skip_blanks(&mut self) {
        if self.searched > 0 || self.is_skipping {
            return;
        }
        let blanks = self.held.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.held.advance(blanks);
    }

    /// The last line, which need not end in a line break.
    pub(super) fn finish(&mut self) -> Option<Line> {
        let line = std::mem::take(&mut self.held);
        self.searched = 0;
        self.judge(line)
    }

    /// A line, unless it is blank.
    fn judge(&mut self, line: BytesMut) -> Option<Line> {
        let was_skipping = std::mem::take(&mut self.is_skipping);
        let line = line.freeze();
        let trimmed = line.trim_ascii();
        if was_skipping || trimmed.len() > self.bytes_max {
            return Some(Line::TooLong);
        }
        (!trimmed.is_empty()).then(|| Line::Item(line.slice_ref(trimmed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]], bytes_max: usize) -> Vec<Line> {
        let mut lines = Lines::new(bytes_max);
        let mut found = Vec::new();
        for piece in pieces {
            lines.feed(piece);
            found.extend(std::iter::from_fn(|| lines.next()));
            assert!(lines.held.len() <= bytes_max + BLANKS_MAX, "more than a line is held");
        }
        found.extend(lines.finish());
        found
    }

    fn item(text: &'static str) -> Line {
        Line::Item(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lines_are_trimmed_and_blank_ones_skipped() {
        let found = cut(&[b"a\r\n\n  \nb", b"c\n\n", b" d "], 10);
        assert_eq!(found, [item("a"), item("bc"), item("d")]);
        assert!(cut(&[], 10).is_empty());
        assert!(cut(&[b"\n\n"], 10).is_empty());
    }

    #[test]
    fn a_long_line_harms_no_neighbour() {
        let long = [b'x'; 50];
        let found = cut(&[b"a\n", &long, &long, &long, b"xx\nb\n", b"yyyyy"], 4);
        assert_eq!(found, [item("a"), Line::TooLong, item("b"), Line::TooLong]);
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_does_not_matter(text in "[ab\n ]{0,60}", at in 0usize..60) {
            let (left, right) = text.as_bytes().split_at(at.min(text.len()));
            let expected: Vec<_> = text.split('\n').map(str::trim).filter(|l| !l.is_empty()).collect();
            let found = cut(&[left, right], 100);
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(expected) {
                prop_assert_eq!(found, Line::Item(Bytes::copy_from_slice(expected.as_bytes())));
            }
        }
    }
}
