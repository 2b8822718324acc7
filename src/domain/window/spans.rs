//! Spans of time in which a window is open or closed whatever its rules and dates say.
//!
//! Owns how they go before the other openings. Refuses to know why they are (see `overrides`).

use super::Window;

/// A span of time in which a window is open or closed whatever its rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSpan {
    /// The first moment, ms.
    pub from_ms: u64,
    /// The first moment behind it, ms.
    pub to_ms: u64,
    /// Whether the window is open in it.
    pub is_open: bool,
}

impl Window {
    /// The same window, for which these spans decide instead of its rules; where they overlap, the one that begins later.
    #[must_use]
    pub fn with_spans(mut self, mut spans: Vec<WindowSpan>) -> Self {
        spans.sort_by_key(|span| span.from_ms);
        for at in 1..spans.len() {
            spans[at - 1].to_ms = spans[at - 1].to_ms.min(spans[at].from_ms);
        }
        spans.retain(|span| span.from_ms < span.to_ms);
        self.spans = spans;
        self
    }

    /// The open pieces, those of spans that are open among them, in ascending order.
    pub(super) fn with_open_spans(
        &self,
        from_ms: u64,
        until_ms: u64,
    ) -> impl Iterator<Item = (u64, u64)> {
        let open = self.spans.iter().filter(|span| span.is_open);
        let mut spans = open
            .map(move |span| (span.from_ms.max(from_ms), span.to_ms))
            .filter(move |(open_ms, close_ms)| open_ms < close_ms && *open_ms < until_ms)
            .peekable();
        let mut pieces = self
            .pieces(from_ms, until_ms)
            .flat_map(|(open_ms, close_ms)| self.without_spans(open_ms, close_ms))
            .peekable();
        std::iter::from_fn(move || match (spans.peek(), pieces.peek()) {
            (Some(span), Some(piece)) if piece < span => pieces.next(),
            (Some(_), _) => spans.next(),
            (None, _) => pieces.next(),
        })
    }

    /// What the spans leave of `[open_ms, close_ms)` to the rules.
    fn without_spans(&self, mut open_ms: u64, close_ms: u64) -> Vec<(u64, u64)> {
        let mut left = Vec::with_capacity(1);
        let at = self.spans.partition_point(|span| span.to_ms <= open_ms);
        for span in self.spans[at..].iter().take_while(|span| span.from_ms < close_ms) {
            if open_ms < span.from_ms {
                left.push((open_ms, span.from_ms));
            }
            open_ms = open_ms.max(span.to_ms);
        }
        if open_ms < close_ms {
            left.push((open_ms, close_ms));
        }
        left
    }
}
