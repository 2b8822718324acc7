//! Where output goes and input comes from.
//!
//! Owns standard output, error and input, tables, and "is this a terminal?". Refuses to know what
//! is shown. Tests hand in buffers.

use std::io::{self, BufRead, BufWriter, IsTerminal, Write};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use serde_json::Value;

use super::args::Format;
use super::exit::Failure;
use super::plain::plain;

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

    /// A failure, on standard error; nothing more can be done if that fails too.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        if let Some(text) = failure.text() {
            drop(writeln!(self.err, "{text}"));
        }
    }

    /// Hands on what is still buffered.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    /// A table with these column titles.
    pub(crate) fn rows(&mut self, titles: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
        let mut table = self.empty_table();
        table
            .set_header(titles.iter().map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
        for row in rows {
            table.add_row(row.iter().map(|text| cell(text)));
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
