//! The signature of a script: what its header says that it takes and gives back.
//!
//! ```text
//! -- args: keep_ms:number (ulid token)...
//! -- returns: now_ms:number [next_ms:number expired:number]
//! ```
//!
//! A name may have a kind (`:number`, `:number?`, `:flag`, `:list`; none: bytes). What stands in brackets may be
//! missing, all of it or nothing. Rows come last: `(ulid token)...` are any number of them, `ulid...` are rows of one
//! value. The same reading serves both sides: the compiler holds every call and every reading in Rust against it (see
//! `call`), and the text of the script is written by it (see `expansion`). Refuses to know what a script does.

/// What the header calls a value; none: bytes, as they are.
pub(crate) const BYTES: u8 = 0;
/// `:number`
pub(crate) const NUMBER: u8 = 1;
/// `:number?`: '' where there is none.
pub(crate) const OPTIONAL: u8 = 2;
/// `:flag`: 1 or 0.
pub(crate) const FLAG: u8 = 3;
/// `:list`, of a reply only.
pub(crate) const LIST: u8 = 4;

/// More names than the longest signature has.
const NAMES_MAX: usize = 40;

/// A name and its kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    name: &'static [u8],
    pub(crate) kind: u8,
}

/// What one of the lines of a header says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signature {
    fields: [Field; NAMES_MAX],
    length: usize,
    /// Where the rows begin, if there are any.
    rows_from: usize,
    /// Where what may be missing begins.
    optional_from: usize,
}

impl Field {
    pub(crate) fn name(&self) -> &'static str {
        str::from_utf8(self.name).unwrap_or_default()
    }
}

impl Signature {
    /// What a script takes.
    pub(crate) const fn args(source: &'static str) -> Self {
        Self::read(source.as_bytes(), b"-- args: ")
    }

    /// What a script gives back.
    pub(crate) const fn returns(source: &'static str) -> Self {
        Self::read(source.as_bytes(), b"-- returns: ")
    }

    /// Reads all lines of the header that begin so.
    const fn read(text: &'static [u8], start: &[u8]) -> Self {
        let nothing = Field { name: b"", kind: BYTES };
        let mut read = Self {
            fields: [nothing; NAMES_MAX],
            length: 0,
            rows_from: NAMES_MAX,
            optional_from: NAMES_MAX,
        };
        // The first line is Redis' own.
        let mut at = end_of_line(text, 0) + 1;
        while begins(text, at, b"--") {
            let end = end_of_line(text, at);
            if begins(text, at, start) {
                read.take_words(text, at + start.len(), end);
            }
            at = end + 1;
        }
        if read.rows_from == NAMES_MAX {
            read.rows_from = read.length;
        }
        if read.optional_from == NAMES_MAX {
            read.optional_from = read.rows_from;
        }
        read
    }

    const fn take_words(&mut self, text: &'static [u8], from: usize, to: usize) {
        let mut at = from;
        while at < to {
            let mut end = at;
            while end < to && text[end] != b' ' {
                end += 1;
            }
            if end > at {
                self.take_word(text, at, end);
            }
            at = end + 1;
        }
    }

    const fn take_word(&mut self, text: &'static [u8], mut at: usize, mut end: usize) {
        match text[at] {
            b'[' => {
                self.optional_from = self.length;
                at += 1;
            }
            b'(' => {
                self.rows_from = self.length;
                at += 1;
            }
            _ => {}
        }
        if begins(text, end.saturating_sub(3), b"...") {
            end -= 3;
            if text[end - 1] == b')' {
                end -= 1;
            } else if self.rows_from == NAMES_MAX {
                self.rows_from = self.length;
            }
        } else if text[end - 1] == b']' {
            end -= 1;
        }
        let mut colon = at;
        while colon < end && text[colon] != b':' {
            colon += 1;
        }
        self.fields[self.length] = Field {
            name: part(text, at, colon),
            kind: kind_of(part(text, if colon < end { colon + 1 } else { end }, end)),
        };
        self.length += 1;
    }

    #[expect(clippy::panic, reason = "the compiler says so, at the call")]
    const fn position(&self, name: &str) -> usize {
        let mut at = 0;
        while at < self.length {
            if same(self.fields[at].name, name.as_bytes()) {
                return at;
            }
            at += 1;
        }
        panic!("the header of the script has no such name")
    }

    /// What this value is; the header must have it.
    pub(crate) const fn kind(&self, name: &str) -> u8 {
        self.fields[self.position(name)].kind
    }

    /// Where this value stands, from 0; it must not be one of a row.
    pub(crate) const fn place(&self, name: &str) -> usize {
        let at = self.position(name);
        assert!(at < self.rows_from, "this is a value of a row");
        at
    }

    /// How many values come before the rows.
    pub(crate) const fn before_rows(&self) -> usize {
        self.rows_from
    }

    /// How many values one row has; 0: there are no rows.
    pub(crate) const fn row_width(&self) -> usize {
        self.length - self.rows_from
    }

    /// Holds names, in their order, against what comes before the rows.
    pub(crate) const fn assert_named(&self, names: &[&str]) {
        self.assert_run(names, 0, self.rows_from);
    }

    /// Holds names, in their order, against a row.
    pub(crate) const fn assert_row(&self, names: &[&str]) {
        assert!(self.row_width() > 0, "the header of the script has no rows");
        self.assert_run(names, self.rows_from, self.length);
    }

    const fn assert_run(&self, names: &[&str], from: usize, to: usize) {
        let mut at = 0;
        while at < names.len() && from + at < to {
            let is_next = same(self.fields[from + at].name, names[at].as_bytes());
            assert!(
                is_next,
                "a name is not the one that the header of the script has in this place"
            );
            at += 1;
        }
        assert!(at == names.len(), "there are more names than the header of the script has");
        assert!(from + at == to, "there are fewer names than the header of the script has");
    }

    /// What comes before the rows.
    pub(super) fn named(&self) -> &[Field] {
        &self.fields[..self.rows_from]
    }

    /// What a row has.
    pub(super) fn row(&self) -> &[Field] {
        &self.fields[self.rows_from..self.length]
    }

    /// Whether so many of the first values are a whole reply.
    pub(super) const fn may_end_at(&self, length: usize) -> bool {
        length == self.optional_from || length == self.rows_from
    }
}

#[expect(clippy::panic, reason = "the compiler says so, at the call")]
const fn kind_of(word: &[u8]) -> u8 {
    match word {
        b"" => BYTES,
        b"number" => NUMBER,
        b"number?" => OPTIONAL,
        b"flag" => FLAG,
        b"list" => LIST,
        _ => panic!("a kind is one of number, number?, flag and list"),
    }
}

const fn end_of_line(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && text[at] != b'\n' {
        at += 1;
    }
    at
}

const fn begins(text: &[u8], at: usize, with: &[u8]) -> bool {
    let mut n = 0;
    while n < with.len() {
        if at + n >= text.len() || text[at + n] != with[n] {
            return false;
        }
        n += 1;
    }
    true
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && begins(one, 0, other)
}

const fn part(text: &'static [u8], from: usize, to: usize) -> &'static [u8] {
    text.split_at(to).0.split_at(from).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "#!lua\n-- x: y\n-- args: a:number b?\n-- no names: c\n-- args: flag:flag (ulid delay_ms:number?)...\n-- returns: now_ms:number [list:list left] verdict:number...\nlocal x\n-- args: late\n";

    #[test]
    fn a_header_is_read_from_all_its_lines_and_no_others() {
        let args = Signature::args(SOURCE);
        let names = |fields: &[Field]| fields.iter().map(Field::name).collect::<Vec<_>>();
        assert_eq!(names(args.named()), ["a", "b?", "flag"]);
        assert_eq!(names(args.row()), ["ulid", "delay_ms"]);
        assert_eq!((args.kind("a"), args.kind("b?"), args.kind("flag")), (NUMBER, BYTES, FLAG));
        assert_eq!((args.kind("delay_ms"), args.row_width()), (OPTIONAL, 2));
        let returns = Signature::returns(SOURCE);
        assert_eq!(names(returns.named()), ["now_ms", "list", "left"]);
        assert_eq!(names(returns.row()), ["verdict"]);
        assert_eq!((returns.place("left"), returns.kind("list")), (2, LIST));
        assert_eq!([0, 1, 2, 3].map(|n| returns.may_end_at(n)), [false, true, false, true]);
    }

    #[test]
    #[should_panic(expected = "a name is not the one")]
    fn names_in_another_order_are_refused() {
        Signature::args(SOURCE).assert_named(&["a", "flag", "b?"]);
    }

    #[test]
    #[should_panic(expected = "fewer names")]
    fn a_missing_name_is_refused() {
        Signature::args(SOURCE).assert_named(&["a", "b?"]);
    }

    #[test]
    #[should_panic(expected = "more names")]
    fn an_additional_name_is_refused() {
        Signature::args(SOURCE).assert_row(&["ulid", "delay_ms", "more"]);
    }

    #[test]
    #[should_panic(expected = "no such name")]
    fn a_name_that_the_header_does_not_have_is_refused() {
        Signature::returns(SOURCE).place("late");
    }
}
