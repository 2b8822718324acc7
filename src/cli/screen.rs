//! Where output goes and input comes from.
//!
//! Owns standard output, error and input, tables, and "is this a terminal?". Refuses to know what
//! is shown. Tests hand in buffers.

use std::io::{self, BufRead, BufWriter, IsTerminal, Write};

use serde::Serialize;

use super::args::Format;
use super::exit::{Exit, Failure};
use super::plain::plain;
use super::table::{self, Column, Look, Table};

/// The width of a terminal that does not say how wide it is.
const COLUMNS_UNKNOWN: usize = 80;

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
    pub(crate) fn json(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(document)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot write JSON: {error}")))?;
        Ok(writeln!(self.out, "{text}")?)
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

    /// A table with these columns, without those that say nothing, and with ids and names whole.
    pub(crate) fn rows(
        &mut self,
        columns: &[Column],
        mut rows: Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        for text in rows.iter_mut().flatten() {
            *text = plain(text);
        }
        let (width, paint) = (self.columns(), self.paint());
        self.all(&Table { columns, rows: &rows, width, paint }.lines())
    }

    /// Names and values, one pair per line.
    pub(crate) fn pairs(&mut self, pairs: &[(impl AsRef<str>, String)]) -> Result<(), Failure> {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| (plain(name.as_ref()), plain(value))).collect();
        self.all(&table::pairs(&pairs, self.columns(), self.paint()))
    }

    /// A sentence that begins at `indent`; on a terminal it goes on below itself.
    pub(crate) fn sentence(&mut self, indent: usize, text: &str) -> Result<(), Failure> {
        let width = self.columns().unwrap_or(usize::MAX);
        self.all(&table::hanging(&plain(text), indent, width))
    }

    fn all(&mut self, lines: &[String]) -> Result<(), Failure> {
        lines.iter().try_for_each(|line| self.line(line))
    }

    /// How many columns a terminal has; what goes elsewhere is as wide as it gets.
    fn columns(&self) -> Option<usize> {
        if !self.out_is_tty {
            return None;
        }
        let size = terminal_size::terminal_size_of(io::stdout());
        Some(size.map_or(COLUMNS_UNKNOWN, |(width, _)| usize::from(width.0)))
    }

    fn paint(&self) -> fn(Look, &str) -> String {
        if self.has_colours() { painted } else { |_, text| text.to_owned() }
    }

    /// Whether colours are seen, and wanted.
    pub(crate) fn has_colours(&self) -> bool {
        self.out_is_tty && std::env::var_os("NO_COLOR").is_none_or(|word| word.is_empty())
    }
}

/// Titles are bold; words for states that need somebody's eye are coloured.
fn painted(look: Look, text: &str) -> String {
    let code = match (look, text) {
        (_, "") => return String::new(),
        (Look::Bold, _) => "1",
        (Look::Cell, "delivered") => "32",
        (Look::Cell, "dead") => "31",
        (Look::Cell, "uncertain" | "expired") => "33",
        (Look::Cell, _) => return text.to_owned(),
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
