//! TOML for the `config` crate, with the line of every value as its origin.
//!
//! The crate's own TOML forgets lines, and a refused value without its line is half an answer. Owns
//! the way from TOML text to the crate's values; refuses to know keys and layers.

use std::error::Error;
use std::ops::Range;

use config::{FileStoredFormat, Format, Map, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::errors::Problem;

/// The format of one named text.
#[derive(Debug, Clone)]
pub(in crate::config) struct TomlLines {
    /// What to call the text; `:<line>` is added to the origin of each value.
    pub(in crate::config) name: String,
}

impl Format for TomlLines {
    fn parse(
        &self,
        _uri: Option<&String>,
        text: &str,
    ) -> Result<Map<String, Value>, Box<dyn Error + Send + Sync>> {
        let origin = |at: usize| format!("{}:{}", self.name, line(text, at));
        let problem = |at: usize, message: &str| Problem {
            origin: origin(at),
            key: String::new(),
            message: message.to_owned(),
        };
        // The error's own text shows the line, which may hold a secret: only its message is used.
        let (table, errors) = DeTable::parse_recoverable(text);
        // A quote that is missing shows in several places; the first of them is next to it.
        let first = errors.into_iter().min_by_key(|e| e.span().map_or(0, |span| span.start));
        if let Some(e) = first {
            let span = e.span().unwrap_or(0..0);
            let twice = if e.message().contains("duplicate") { twice(text, &span) } else { None };
            let message = twice.unwrap_or_else(|| format!("is not valid TOML: {}", e.message()));
            return Err(problem(span.start, &message).into());
        }
        for key in table.get_ref().keys() {
            // The crate would read `"a.b"` as a path and `"a[9]"` as an index.
            if !key.get_ref().chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                let message = format!("unknown section {:?}", key.get_ref());
                return Err(problem(key.span().start, &message).into());
            }
        }
        Ok(convert_table(table.into_inner(), &origin)?)
    }
}

/// What stands twice, and where first: a key of one section, or a section.
fn twice(text: &str, second: &Range<usize>) -> Option<String> {
    let written = text.get(second.clone())?.trim();
    let before = text.get(..second.start)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let header = |line: &str| {
        let line = line.trim_start();
        line.starts_with('[')
            .then(|| line.split(']').next().unwrap_or(line).replace([' ', '\t'], ""))
    };
    let own = text[start..].lines().next().unwrap_or_default();
    let earlier = text[..start].lines().enumerate();
    if let Some(section) = header(own) {
        let (at, _) =
            earlier.into_iter().find(|(_, line)| header(line).as_ref() == Some(&section))?;
        let name = section.trim_start_matches('[');
        return Some(format!(
            "the section [{name}] stands twice, first in line {}; put its keys together",
            at + 1
        ));
    }
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let lines: Vec<_> = earlier.collect();
    let section = lines.iter().rposition(|(_, line)| header(line).is_some()).map_or(0, |at| at + 1);
    let (at, _) = lines[section..].iter().find(|(_, line)| key(line) == key(own))?;
    Some(format!("the key {written:?} stands twice, first in line {}; keep one", at + 1))
}

impl FileStoredFormat for TomlLines {
    fn file_extensions(&self) -> &'static [&'static str] {
        &["toml"]
    }
}

/// Reads one value, such as `["a", "b"]`, of the given origin.
pub(in crate::config) fn parse_value(text: &str, origin: &str) -> Result<Value, String> {
    let value = DeValue::parse(text).map_err(|e| e.message().to_owned())?;
    convert(value.into_inner(), 0, &|_| origin.to_owned()).map_err(|problem| problem.message)
}

fn convert_table(
    table: DeTable<'_>,
    origin: &impl Fn(usize) -> String,
) -> Result<Map<String, Value>, Problem> {
    let mut map = Map::new();
    for (key, value) in table {
        let at = value.span().start;
        map.insert(key.into_inner().into_owned(), convert(value.into_inner(), at, origin)?);
    }
    Ok(map)
}

fn convert(
    value: DeValue<'_>,
    at: usize,
    origin: &impl Fn(usize) -> String,
) -> Result<Value, Problem> {
    let bad = |message: String| Problem { origin: origin(at), key: String::new(), message };
    let kind = match value {
        DeValue::String(text) => ValueKind::String(text.into_owned()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(ValueKind::I64)
            .map_err(|_| bad(format!("the number {number} is too large")))?,
        DeValue::Float(number) => {
            let parsed = number.as_str().parse();
            parsed
                .map(ValueKind::Float)
                .map_err(|_| bad(format!("{number} is not a valid number")))?
        }
        DeValue::Boolean(yes) => ValueKind::Boolean(yes),
        DeValue::Datetime(moment) => ValueKind::String(moment.to_string()),
        DeValue::Array(items) => {
            let items = items.into_iter().map(|item| {
                let at = item.span().start;
                convert(item.into_inner(), at, origin)
            });
            ValueKind::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => ValueKind::Table(convert_table(table, origin)?),
    };
    Ok(Value::new(Some(&origin(at)), kind))
}

/// The line, from 1, of a place in a text.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Map<String, Value>, String> {
        TomlLines { name: "a.toml".to_owned() }.parse(None, text).map_err(|e| e.to_string())
    }

    #[test]
    fn what_stands_twice_is_named_with_its_first_place() {
        let error = |text: &str| {
            let read = TomlLines { name: "f".to_owned() }.parse(None, text);
            read.unwrap_err().to_string()
        };
        let twice = error("[a]\nrate = 1\n[b]\nrate = 1\nburst = 2\nrate = 2\n");
        assert_eq!(twice, "f:6: the key \"rate\" stands twice, first in line 4; keep one");
        let section = error("[a]\nx = 1\n[b]\n[a] # again\ny = 1\n");
        assert_eq!(
            section,
            "f:4: the section [a] stands twice, first in line 1; put its keys together"
        );
        let inline = error("[a]\nx = { y = 1, y = 2 }\n");
        assert!(inline.starts_with("f:2: "), "{inline}");
    }

    #[test]
    fn a_missing_quote_is_named_in_its_own_line() {
        for text in [
            "[a]\nx = [\n  { days = \"mon\", from = \"01:00, to = \"04:00\" },\n  { days = \"tue\" },\n]\n\n[b]\ny = 1\n",
            "[a]\n\nurl = \"http://x\n[b]\ny = \"z\"\n",
            "[a]\n\nx = [\"a\", \"b]\ny = 2\n\n[c]\nz = \"1\"\n",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("a.toml:3: is not valid TOML: "), "{text}\n{error}");
        }
    }

    #[test]
    fn every_value_knows_its_line() {
        let map = parse("[a]\nb = 1\n\nc = [\n  2,\n  { d = 3 },\n]\n").unwrap();
        let a = map["a"].clone().into_table().unwrap();
        assert_eq!(a["b"].origin(), Some("a.toml:2"));
        let c = a["c"].clone().into_array().unwrap();
        assert_eq!((c[0].origin(), c[1].origin()), (Some("a.toml:5"), Some("a.toml:6")));
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line_and_without_its_text() {
        let error = parse("[a]\nb = 1\npassword = \"hunter2\n").unwrap_err();
        assert!(error.starts_with("a.toml:3: is not valid TOML: "), "{error}");
        assert!(!error.contains("hunter2"));
        assert!(parse("a = 99999999999999999999").unwrap_err().contains("too large"));
        assert!(parse("\"a[999999999999]\" = 1").unwrap_err().contains("unknown section"));
        assert!(parse("a = 1\na = 2").unwrap_err().starts_with("a.toml:2: "));
    }

    #[test]
    fn dates_without_quotes_are_text() {
        let value = parse_value("[2026-12-25]", "x").unwrap().into_array().unwrap();
        assert_eq!(value[0].kind, ValueKind::String("2026-12-25".to_owned()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            drop(parse(&text));
            drop(parse_value(&text, "x"));
        }
    }
}
