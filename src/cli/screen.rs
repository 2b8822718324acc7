//! Where output goes and input comes from.
//!
//! Owns standard output, error and input, tables, and "is this a terminal?". Refuses to know what
//! is shown. Tests hand in buffers.

use std::io::{self, BufRead, BufWriter, IsTerminal, Write};

use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets,
};
use serde_json::Value;

use super::args::Format;
use super::exit::Failure;
use super::plain::plain;

/// Narrower than this a column of words cannot be read.
const WORDS_WIDTH_MIN: u16 = 14;

/// The streams of one command.
pub(crate) struct Screen {
    /// What was asked for.
    pub(crate) out: Box<dyn Write>,
    /// Errors, notes and progress.
    pub(crate) err: Box<dyn Write>,
    /// What is piped in.
    pub(crate) input: Box<dyn BufRead>,
    /// How answers are shown.
    pub(crate) format: Format,
    /// Whether `out` is a terminal: colours, wrapped tables.
    pub(crate) out_is_tty: bool,
    /// How wide `out` is, if it is not as wide as the terminal.
    pub(crate) width: Option<u16>,
    /// Whether `err` is a terminal: moving progress bars.
    pub(crate) err_is_tty: bool,
    /// Whether `input` is a terminal: somebody is there to be asked.
    pub(crate) in_is_tty: bool,
}

impl Screen {
    /// The streams of this process.
    pub(crate) fn of_process(format: Format) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_is_tty, err_is_tty) = (out.is_terminal(), err.is_terminal());
        Self {
            out: Box::new(BufWriter::new(out.lock())),
            err: Box::new(err),
            input: Box::new(io::stdin().lock()),
            format,
            out_is_tty,
            width: None,
            err_is_tty,
            in_is_tty: io::stdin().is_terminal(),
        }
    }

    /// Whether answers are to be shown as the API's JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// One line of output.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{text}")?)
    }

    /// A document of the API, as it came.
    pub(crate) fn raw(&mut self, json: &[u8]) -> Result<(), Failure> {
        self.out.write_all(json.trim_ascii())?;
        Ok(self.out.write_all(b"\n")?)
    }

    /// A document made here.
    pub(crate) fn json(&mut self, document: &Value) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{document}")?)
    }

    /// A line beside the output, on standard error.
    pub(crate) fn note(&mut self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(self.err, "{text}")?)
    }

    /// Asks whoever sits at the terminal; anything but yes is no.
    pub(crate) fn ask(&mut self, question: &str) -> Result<bool, Failure> {
        write!(self.err, "{question} [y/N] ")?;
        self.err.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// A failure, on standard error, as JSON where that was asked for; nothing more can be done if that fails too.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        if let Some(text) = failure.text() {
            let text = if self.is_json() { failure.document().to_string() } else { text };
            drop(writeln!(self.err, "{text}"));
        }
    }

    /// Hands on what is still buffered.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    /// A table with these column titles, without columns that say nothing, and with ids and names whole.
    pub(crate) fn rows(&mut self, titles: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        let shown: Vec<usize> = (0..titles.len()).filter(|at| says_something(&rows, *at)).collect();
        let constraints: Vec<_> = shown.iter().map(|at| constraint(&rows, *at)).collect();
        let mut table = self.empty_table();
        let title = |at: &usize| Cell::new(titles[*at]).add_attribute(Attribute::Bold);
        table.set_header(shown.iter().map(title));
        for row in rows {
            table.add_row(shown.iter().map(|at| cell(row.get(*at).map_or("", String::as_str))));
        }
        for (column, constraint) in table.column_iter_mut().zip(constraints) {
            column.set_constraint(constraint);
        }
        self.table(table)
    }

    /// Names and values, one pair per line.
    pub(crate) fn pairs(&mut self, pairs: Vec<(String, String)>) -> Result<(), Failure> {
        let mut table = self.empty_table();
        for (name, value) in pairs {
            table.add_row([Cell::new(name).add_attribute(Attribute::Bold), cell(&value)]);
        }
        self.table(table)
    }

    fn empty_table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        if self.out_is_tty {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            if let Some(width) = self.width {
                table.set_width(width);
            }
            if std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty()) {
                table.enforce_styling();
            }
        } else {
            table.force_no_tty();
        }
        table
    }

    fn table(&mut self, mut table: Table) -> Result<(), Failure> {
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Whether a column is more than blanks and zeros; the first one names its rows and always stays.
fn says_something(rows: &[Vec<String>], at: usize) -> bool {
    let is_silent = |text: &String| matches!(text.as_str(), "" | "0" | "0.0");
    at == 0 || rows.is_empty() || !rows.iter().filter_map(|row| row.get(at)).all(is_silent)
}

/// Words may go on in the next line; an id, a name or a number in two parts cannot be copied.
fn constraint(rows: &[Vec<String>], at: usize) -> ColumnConstraint {
    let has_words = |text: &String| text.contains(' ');
    if rows.iter().filter_map(|row| row.get(at)).any(has_words) {
        ColumnConstraint::LowerBoundary(Width::Fixed(WORDS_WIDTH_MIN))
    } else {
        ColumnConstraint::ContentWidth
    }
}

/// A cell; words for states that need somebody's eye are coloured (where there are colours).
fn cell(text: &str) -> Cell {
    let cell = Cell::new(plain(text));
    match text {
        "delivered" => cell.fg(Color::Green),
        "dead" => cell.fg(Color::Red),
        "uncertain" | "expired" => cell.fg(Color::Yellow),
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines of a table on a terminal of 80 columns, without colours.
    fn shown(titles: &[&str], rows: &[&[&str]]) -> Vec<String> {
        let out = Buffer::default();
        let mut screen = Screen {
            out: Box::new(out.clone()),
            err: Box::new(io::sink()),
            input: Box::new(Cursor::new(Vec::new())),
            format: Format::Table,
            out_is_tty: true,
            width: Some(80),
            err_is_tty: false,
            in_is_tty: false,
        };
        let owned = rows.iter().map(|row| row.iter().map(|&text| text.to_owned()).collect());
        screen.rows(titles, owned.collect()).unwrap();
        let text = String::from_utf8(out.0.lock().clone()).unwrap();
        let mut plain = String::new();
        let mut pieces = text.split('\u{1b}');
        plain.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
        }
        plain.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_table_fits_eighty_columns_and_breaks_no_id() {
        let id = "a-rather-long-queue_01M7XS0TGQSYCW0XD01MYK4MGE";
        let why = "the downstream answered 422: to: this is not a telephone number at all, sorry";
        let lines = shown(
            &["ID", "STATE", "ATTEMPTS", "GROUP", "WHY"],
            &[&[id, "dead", "3", "", why], &["x", "ready", "0", "", ""]],
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with(id)), "{lines:#?}");
        assert!(!lines[0].contains("GROUP") && lines[0].contains("ATTEMPTS"), "{}", lines[0]);
    }

    #[test]
    fn what_is_always_zero_is_left_out_and_an_empty_table_has_its_titles() {
        let lines = shown(&["QUEUE", "DEAD", "READY"], &[&["sms", "0", "5"], &["erp", "0", "0"]]);
        assert!(!lines[0].contains("DEAD") && lines[0].contains("READY"), "{}", lines[0]);
        assert!(shown(&["QUEUE", "DEAD"], &[])[0].contains("DEAD"));
    }
}
