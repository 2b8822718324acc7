//! A table as lines of text, made to fit a terminal.
//!
//! Owns the widths, the wrapping, and what moves below a row that is too wide. An id, a name, a number or a moment
//! in two parts cannot be copied: no word is ever broken or cut. A line is longer than the terminal only where one
//! word alone is. Pure: texts in, lines out.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

/// Between two columns.
const GAP: usize = 2;
/// What belongs to the row above it begins here.
const INDENT: usize = 4;
/// Narrower than this a column of sentences cannot be read.
const WORDS_WIDTH_MIN: usize = 24;

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    title: String,
    has_words: bool,
}

/// A column of ids, names, numbers or moments: each stays in one line.
pub(crate) fn whole(title: impl Into<String>) -> Column {
    Column { title: title.into(), has_words: false }
}

/// A column of words: a sentence may go on in the next line, or stand below its row.
pub(crate) fn words(title: impl Into<String>) -> Column {
    Column { title: title.into(), has_words: true }
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A title.
    Bold,
    /// The content of a cell.
    Cell,
}

/// A table, and where it is shown.
pub(crate) struct Table<'a> {
    /// Its columns.
    pub(crate) columns: &'a [Column],
    /// Its cells; none holds a control character.
    pub(crate) rows: &'a [Vec<String>],
    /// How wide the terminal is; `None`: as wide as it gets.
    pub(crate) width: Option<usize>,
    /// Gives a text its colour.
    pub(crate) paint: fn(Look, &str) -> String,
}

/// What stands where.
#[derive(Debug, Default, PartialEq, Eq)]
struct Layout {
    /// The first column has a line of its own.
    is_first_above: bool,
    /// Side by side, each with its width.
    inline: Vec<(usize, usize)>,
    /// Below the row, each with its title.
    below: Vec<usize>,
}

impl Table<'_> {
    /// The lines: the titles, then the rows. Columns that say nothing are left out.
    pub(crate) fn lines(&self) -> Vec<String> {
        let layout = self.layout();
        let mut lines = Vec::new();
        let titles: Vec<String> = self.columns.iter().map(|column| column.title.clone()).collect();
        self.push_row(&titles, Look::Bold, &layout, &mut lines);
        for row in self.rows {
            self.push_row(row, Look::Cell, &layout, &mut lines);
            self.push_below(row, &layout, &mut lines);
        }
        lines
    }

    fn layout(&self) -> Layout {
        let shown: Vec<usize> =
            (0..self.columns.len()).filter(|at| says_something(self.rows, *at)).collect();
        let wide = Layout {
            inline: shown.iter().map(|at| (*at, self.content_width(*at))).collect(),
            ..Layout::default()
        };
        let Some(width) = self.width else { return wide };
        if total(&wide.inline) <= width {
            return wide;
        }
        let (inline, below) = self.without_words(shown.clone(), width);
        if total(&inline) <= width {
            return self.stretched(Layout { inline, below, ..Layout::default() }, width);
        }
        let rest = shown.get(1..).unwrap_or_default().to_vec();
        let width = width.saturating_sub(INDENT);
        let (mut inline, mut below) = self.without_words(rest, width);
        while total(&inline) > width
            && let Some((at, _)) = inline.pop()
        {
            below.push(at);
        }
        below.sort_unstable();
        self.stretched(Layout { is_first_above: true, inline, below }, width)
    }

    /// Puts columns of words below, the last one first, until the others fit or none is left to put there.
    fn without_words(&self, shown: Vec<usize>, width: usize) -> (Vec<(usize, usize)>, Vec<usize>) {
        let mut inline: Vec<_> = shown.into_iter().map(|at| (at, self.least_width(at))).collect();
        let mut below = Vec::new();
        while total(&inline) > width {
            let last = inline.iter().rposition(|(at, _)| *at > 0 && self.columns[*at].has_words);
            let Some(last) = last else { break };
            below.insert(0, inline.remove(last).0);
        }
        (inline, below)
    }

    /// Gives what is left of the width to columns of words.
    fn stretched(&self, mut layout: Layout, width: usize) -> Layout {
        let mut left = width.saturating_sub(total(&layout.inline));
        for (at, own) in &mut layout.inline {
            let more = self.content_width(*at).saturating_sub(*own).min(left);
            *own += more;
            left -= more;
        }
        layout
    }

    /// As wide as its longest text.
    fn content_width(&self, at: usize) -> usize {
        self.texts(at).map(UnicodeWidthStr::width).max().unwrap_or(0)
    }

    /// As narrow as it may become.
    fn least_width(&self, at: usize) -> usize {
        let content = self.content_width(at);
        if !self.columns[at].has_words {
            return content;
        }
        let word = self.texts(at).flat_map(pieces).map(|(piece, _)| piece.width()).max();
        word.unwrap_or(0).max(content.min(WORDS_WIDTH_MIN))
    }

    fn texts(&self, at: usize) -> impl Iterator<Item = &str> {
        let cells = self.rows.iter().filter_map(move |row| row.get(at));
        std::iter::once(self.columns[at].title.as_str()).chain(cells.map(String::as_str))
    }

    fn push_row(&self, row: &[String], look: Look, layout: &Layout, lines: &mut Vec<String>) {
        let cell = |at: usize| row.get(at).map_or("", String::as_str);
        let mut indent = 0;
        if layout.is_first_above {
            lines.push((self.paint)(look, cell(0)));
            indent = INDENT;
        }
        let cells: Vec<(Vec<String>, usize)> =
            layout.inline.iter().map(|(at, width)| (wrap(cell(*at), *width), *width)).collect();
        let height = cells.iter().map(|(lines, _)| lines.len()).max().unwrap_or(0);
        for n in 0..height {
            let mut line = " ".repeat(indent);
            for (texts, width) in &cells {
                let text = texts.get(n).map_or("", String::as_str);
                let blanks = (width + GAP).saturating_sub(text.width());
                line += &(self.paint)(look, text);
                line += &" ".repeat(blanks);
            }
            lines.push(line.trim_end().to_owned());
        }
    }

    /// What had no room in the row: short things in one line, sentences in lines of their own.
    fn push_below(&self, row: &[String], layout: &Layout, lines: &mut Vec<String>) {
        let named = |at: &usize| {
            let text = row.get(*at).filter(|text| !text.is_empty())?;
            Some((self.columns[*at].has_words, self.columns[*at].title.to_lowercase(), text))
        };
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for (has_words, title, text) in layout.below.iter().filter_map(named) {
            // A column without a title says by itself what it is.
            let said = if title.is_empty() { text.clone() } else { format!("{title}: {text}") };
            if has_words { &mut long } else { &mut short }.push(said);
        }
        let short = (!short.is_empty()).then(|| short.join(", "));
        for text in short.into_iter().chain(long) {
            let width = self.width.unwrap_or(usize::MAX);
            lines.extend(hanging(&text, INDENT, width));
        }
    }
}

/// Names and values, one pair per line; a long value goes on below itself, one with a very long word below its name.
pub(crate) fn pairs(
    pairs: &[(String, String)],
    width: Option<usize>,
    paint: fn(Look, &str) -> String,
) -> Vec<String> {
    let name_width = pairs.iter().map(|(name, _)| name.width()).max().unwrap_or(0);
    let indent = name_width + GAP;
    let left = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(WORDS_WIDTH_MIN));
    let mut lines = Vec::new();
    for (name, value) in pairs {
        if pieces(value).any(|(piece, _)| piece.width() > left) {
            lines.push((paint)(Look::Bold, name));
            let below = wrap(value, width.unwrap_or(usize::MAX).saturating_sub(GAP));
            lines.extend(below.iter().map(|text| " ".repeat(GAP) + &(paint)(Look::Cell, text)));
            continue;
        }
        for (n, text) in wrap(value, left).iter().enumerate() {
            let name = if n == 0 { name.as_str() } else { "" };
            let blanks = " ".repeat(indent - name.width());
            let line =
                format!("{}{blanks}{}", (paint)(Look::Bold, name), (paint)(Look::Cell, text));
            lines.push(line.trim_end().to_owned());
        }
    }
    lines
}

/// The widths and the gaps between them.
fn total(inline: &[(usize, usize)]) -> usize {
    let widths: usize = inline.iter().map(|(_, width)| width).sum();
    widths + GAP * inline.len().saturating_sub(1)
}

/// Whether a column has a value in any row: a zero is one, so that a column does not come and go with it. The first column names its
/// rows and always stays.
fn says_something(rows: &[Vec<String>], at: usize) -> bool {
    at == 0 || rows.is_empty() || !rows.iter().filter_map(|row| row.get(at)).all(String::is_empty)
}

/// A text in lines that begin at `indent`; the ones after the first are two columns further in.
pub(crate) fn hanging(text: &str, indent: usize, width: usize) -> Vec<String> {
    let lines = wrap(text, width.saturating_sub(indent + 2).max(WORDS_WIDTH_MIN));
    let indented = |(n, line): (usize, String)| {
        let further = if n == 0 { indent } else { indent + 2 };
        " ".repeat(further) + &line
    };
    lines.into_iter().enumerate().map(indented).collect()
}

/// The text in lines of at most this width, but for words that are longer: they are never broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for (piece, has_blank_before) in pieces(text) {
        let blank = usize::from(has_blank_before && !line.is_empty());
        if !line.is_empty() && line.width() + blank + piece.width() > width {
            lines.push(std::mem::take(&mut line));
        } else if blank == 1 {
            line.push(' ');
        }
        line.push_str(piece);
    }
    lines.push(line);
    lines
}

/// What a line may end between: words, and the signs of scripts that are written without blanks. With whether a
/// blank stands before it.
fn pieces(text: &str) -> impl Iterator<Item = (&str, bool)> {
    text.split(' ').filter(|word| !word.is_empty()).flat_map(|word| {
        let mut pieces = Vec::new();
        let (mut from, mut is_wide_before) = (0, false);
        for (at, sign) in word.char_indices() {
            let is_wide = sign.width() == Some(2);
            if at > from && (is_wide || is_wide_before) {
                pieces.push((&word[from..at], from == 0));
                from = at;
            }
            is_wide_before = is_wide;
        }
        pieces.push((&word[from..], from == 0));
        pieces
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "a-rather-long-queue_01M7XS0TGQSYCW0XD01MYK4MGE";
    const WHY: &str = "status 422, to: this is not a telephone number at all, see https://gateway.example/errors/4711";

    fn plain(_: Look, text: &str) -> String {
        text.to_owned()
    }

    fn shown(columns: &[Column], rows: &[&[&str]], width: usize) -> Vec<String> {
        let owned = |row: &&[&str]| row.iter().map(|&text| text.to_owned()).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(owned).collect();
        let lines = Table { columns, rows: &rows, width: Some(width), paint: plain }.lines();
        for row in &rows {
            for word in row.iter().flat_map(|text| text.split(' ')) {
                assert!(lines.iter().any(|line| line.contains(word)), "{word}: {lines:#?}");
            }
        }
        lines
    }

    #[test]
    fn what_fits_is_a_plain_table() {
        let columns = [whole("ID"), whole("STATE"), words("WHY")];
        let lines = shown(&columns, &[&["x_1", "dead", "status 422"], &["x_2", "ready", ""]], 80);
        assert_eq!(lines, ["ID   STATE  WHY", "x_1  dead   status 422", "x_2  ready"]);
    }

    #[test]
    fn sentences_without_room_stand_below_their_row() {
        let columns = [whole("ID"), whole("STATE"), whole("DUE"), whole("ATTEMPTS"), words("WHY")];
        let due = "2026-11-21 09:00:00 UTC";
        let rows: [&[&str]; 2] = [
            &["sms_01M7XS0TGQSYCW0XD01MYK4MGE", "dead", due, "3", WHY],
            &["y", "ready", "", "1", ""],
        ];
        let lines = shown(&columns, &rows, 80);
        assert_eq!(
            lines,
            [
                "ID                              STATE  DUE                      ATTEMPTS",
                "sms_01M7XS0TGQSYCW0XD01MYK4MGE  dead   2026-11-21 09:00:00 UTC  3",
                "    why: status 422, to: this is not a telephone number at all, see",
                "      https://gateway.example/errors/4711",
                "y                               ready                           1",
            ]
        );
    }

    #[test]
    fn a_long_id_has_a_line_of_its_own() {
        let columns = [
            whole("ID"),
            whole("STATE"),
            whole("DUE"),
            whole("ATTEMPTS"),
            whole("GROUP"),
            words("WHY"),
        ];
        let due = "2026-11-21 09:00:00 UTC";
        let group = "customer-with-a-name-of-forty-signs-00042";
        let lines = shown(&columns, &[&[ID, "dead", due, "3", group, WHY]], 80);
        assert_eq!(
            lines,
            [
                "ID",
                "    STATE  DUE                      ATTEMPTS",
                "a-rather-long-queue_01M7XS0TGQSYCW0XD01MYK4MGE",
                "    dead   2026-11-21 09:00:00 UTC  3",
                "    group: customer-with-a-name-of-forty-signs-00042",
                "    why: status 422, to: this is not a telephone number at all, see",
                "      https://gateway.example/errors/4711",
            ]
        );
        for width in 20..120 {
            let lines = shown(&columns, &[&[ID, "dead", due, "3", group, WHY]], width);
            let longest = lines.iter().map(|line| line.width()).max().unwrap();
            assert!(longest <= width.max(ID.len() + INDENT), "{width}: {lines:#?}");
        }
    }

    #[test]
    fn what_has_no_value_is_left_out_a_zero_stays_and_an_empty_table_has_its_titles() {
        let columns = [whole("QUEUE"), whole("DEAD"), whole("READY")];
        let lines = shown(&columns, &[&["sms", "0", ""], &["erp", "0", ""]], 80);
        assert_eq!(lines[0], "QUEUE  DEAD");
        assert_eq!(shown(&columns, &[], 80), ["QUEUE  DEAD  READY"]);
    }

    #[test]
    fn a_script_without_blanks_is_wrapped_by_its_width() {
        assert_eq!(wrap("号码无效 abc", 6), ["号码无", "效 abc"]);
        assert_eq!(wrap("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let rows = [("id".to_owned(), ID.to_owned()), ("error".to_owned(), WHY.to_owned())];
        assert_eq!(
            pairs(&rows, Some(60), plain),
            [
                "id     a-rather-long-queue_01M7XS0TGQSYCW0XD01MYK4MGE",
                "error  status 422, to: this is not a telephone number at",
                "       all, see https://gateway.example/errors/4711",
            ]
        );
        assert_eq!(
            pairs(&rows, Some(50), plain)[..3],
            ["id", &format!("  {ID}"), "error  status 422, to: this is not a telephone"]
        );
    }
}
