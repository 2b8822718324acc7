//! Which row of a list is chosen, or how far a text was scrolled.
//!
//! Pure. Refuses to know what is listed.

/// Which row is chosen, and which rows are seen.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// The chosen row, or the first line that is seen of a text.
    pub(super) at: usize,
    /// The first row that is seen.
    pub(super) first: usize,
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Motion {
    /// One row.
    Up,
    /// One row.
    Down,
    /// As far as a screen shows.
    PageUp,
    /// As far as a screen shows.
    PageDown,
    /// To the first row.
    Home,
    /// To the last row.
    End,
}

/// About as many rows as a screen of 24 lines shows.
const PAGE_ROWS: usize = 10;

impl Listing {
    /// Goes to another row; `fit` or `scroll` hold it within what there is.
    pub(super) fn go(&mut self, motion: Motion) {
        self.at = match motion {
            Motion::Up => self.at.saturating_sub(1),
            Motion::Down => self.at.saturating_add(1),
            Motion::PageUp => self.at.saturating_sub(PAGE_ROWS),
            Motion::PageDown => self.at.saturating_add(PAGE_ROWS),
            Motion::Home => 0,
            Motion::End => usize::MAX,
        };
    }

    /// Holds the chosen row within so many rows, of which so many are seen; the rows move only where it would leave them.
    pub(super) fn fit(&mut self, rows: usize, seen: usize) {
        self.at = self.at.min(rows.saturating_sub(1));
        let least = (self.at + 1).saturating_sub(seen);
        self.first = self.first.clamp(least, self.at).min(rows.saturating_sub(seen));
    }

    /// Holds a text of so many lines, of which so many are seen; the first line that is seen.
    pub(super) fn scroll(&mut self, lines: usize, seen: usize) -> usize {
        self.at = self.at.min(lines.saturating_sub(seen));
        self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_move_only_where_the_chosen_one_would_leave_them() {
        let mut listing = Listing::default();
        for _ in 0..5 {
            listing.go(Motion::Down);
            listing.fit(20, 4);
        }
        assert_eq!(listing, Listing { at: 5, first: 2 });
        listing.go(Motion::Up);
        listing.fit(20, 4);
        assert_eq!(listing, Listing { at: 4, first: 2 });
        listing.go(Motion::End);
        listing.fit(20, 4);
        assert_eq!(listing, Listing { at: 19, first: 16 });
        listing.fit(2, 4);
        assert_eq!(listing, Listing { at: 1, first: 0 });
        listing.fit(0, 4);
        assert_eq!(listing, Listing { at: 0, first: 0 });
    }

    #[test]
    fn a_text_is_scrolled_to_its_last_line() {
        let mut listing = Listing::default();
        listing.go(Motion::End);
        assert_eq!(listing.scroll(30, 10), 20);
        listing.go(Motion::PageUp);
        assert_eq!(listing.scroll(30, 10), 10);
        assert_eq!(listing.scroll(5, 10), 0);
    }
}
