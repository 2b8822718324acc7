//! The rows of an NDJSON file, made ready to be sent.
//!
//! Owns what a row is and the key derived for it. Refuses to know how rows travel.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, BufRead, Read};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::{RawValue, to_raw_value};
use sha2::{Digest, Sha256};

use super::local::hex;

/// The longest line that is read: as much as the daemon takes in one request by default.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// One line of the file.
pub(crate) struct Row {
    /// Its number, from 1.
    pub(crate) line: u64,
    /// The line as it was, without blanks around it.
    pub(crate) text: String,
    /// The message to send, one line; or why the line holds none.
    pub(crate) message: Result<String, String>,
}

/// Reads the rows of a file, one at a time.
pub(crate) struct Rows<R> {
    source: R,
    name: String,
    line: u64,
    /// How many bytes have been read.
    pub(crate) bytes_read: u64,
}

impl<R: BufRead> Rows<R> {
    /// The rows of `source`, a file of this name.
    pub(crate) fn new(source: R, name: &str) -> Self {
        Self { source, name: name.to_owned(), line: 0, bytes_read: 0 }
    }

    /// The next row that is not blank; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Row>> {
        loop {
            let mut bytes = Vec::new();
            let read = self.source.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.bytes_read += u64::try_from(read).unwrap_or(u64::MAX);
            if bytes.len() as u64 == LINE_BYTES_MAX && !bytes.ends_with(b"\n") {
                let what = format!("line {} is longer than {LINE_BYTES_MAX} bytes", self.line);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            let bytes = match self.line {
                1 => bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes),
                _ => &bytes,
            };
            let bytes = bytes.trim_ascii();
            if !bytes.is_empty() {
                return Ok(Some(self.row(bytes)));
            }
        }
    }

    fn row(&self, bytes: &[u8]) -> Row {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let message = match std::str::from_utf8(bytes) {
            Ok(text) => self.message(text),
            Err(_) => Err("the line is not UTF-8".to_owned()),
        };
        Row { line: self.line, text, message }
    }

    /// The row without an id and with an idempotency key; its payload is not touched.
    fn message(&self, text: &str) -> Result<String, String> {
        let fields = serde_json::from_str::<Fields>(text);
        let Fields { mut fields, twice } = fields.map_err(|error| match text.starts_with('{') {
            true => format!("the line is not valid JSON: {error}"),
            false => "the line is not a JSON object; expected a message such as {\"payload\": ...}"
                .to_owned(),
        })?;
        if let Some(name) = twice {
            return Err(format!("duplicate field \"{name}\"; give it once"));
        }
        fields.remove("id");
        if fields.get("idempotency_key").is_none_or(|key| key.get() == "null") {
            let key = to_raw_value(&self.key(text)).expect("a string is always JSON");
            fields.insert("idempotency_key".to_owned(), key);
        }
        serde_json::to_string(&fields).map_err(|error| error.to_string())
    }

    /// The key of a row that has none: the same whenever the same line of a file of the same name
    /// is sent again, wherever the file lies.
    fn key(&self, text: &str) -> String {
        let line = self.line.to_string();
        let digest = Sha256::new()
            .chain_update(&self.name)
            .chain_update([0])
            .chain_update(&line)
            .chain_update([0])
            .chain_update(text)
            .finalize();
        format!("row-{}", hex(&digest[..16]))
    }
}

/// The fields of a row as they came, and the first one that is given twice.
#[derive(Default)]
struct Fields {
    fields: BTreeMap<String, Box<RawValue>>,
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut found = Fields::default();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            match found.fields.entry(name) {
                Entry::Vacant(place) => drop(place.insert(value)),
                Entry::Occupied(place) => {
                    found.twice.get_or_insert_with(|| place.key().clone());
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], name: &str) -> Vec<Row> {
        let mut rows = Rows::new(text, name);
        std::iter::from_fn(|| rows.next().unwrap()).collect()
    }

    fn messages(text: &str, name: &str) -> Vec<String> {
        read(text.as_bytes(), name).into_iter().map(|row| row.message.unwrap()).collect()
    }

    #[test]
    fn payloads_are_not_touched_and_ids_left_out() {
        let row = r#"{"id":"q_1","payload":{"b": 1.50,"a":12345678901234567890123},"idempotency_key":"k"}"#;
        assert_eq!(
            messages(row, "f"),
            [r#"{"idempotency_key":"k","payload":{"b": 1.50,"a":12345678901234567890123}}"#]
        );
    }

    #[test]
    fn derived_keys_are_stable_and_apart() {
        let text = "{\"payload\":1}\n\n{\"payload\":1}\r\n{\"payload\":1,\"idempotency_key\":null}";
        let once = messages(text, "orders.ndjson");
        assert_eq!(once, messages(text, "orders.ndjson"));
        assert_ne!(once, messages(text, "others.ndjson"));
        let distinct: std::collections::BTreeSet<_> = once.iter().collect();
        assert_eq!((once.len(), distinct.len()), (3, 3));
        assert!(once.iter().all(|row| row.contains("\"idempotency_key\":\"row-")));
    }

    #[test]
    fn lines_that_are_no_messages_are_told_with_their_number() {
        let rows = read(b"\xef\xbb\xbf{\"payload\":1}\n\n[1]\n{\"payload\":\n\xff\n\"x\"", "f");
        let lines: Vec<_> = rows.iter().map(|row| (row.line, row.message.is_ok())).collect();
        assert_eq!(lines, [(1, true), (3, false), (4, false), (5, false), (6, false)]);
        assert_eq!(rows[1].text, "[1]");
        assert!(rows[1].message.as_ref().unwrap_err().contains("is not a JSON object"));
        assert!(rows[2].message.as_ref().unwrap_err().contains("is not valid JSON:"));
    }

    #[test]
    fn a_field_that_is_given_twice_is_no_guess() {
        let rows = read(
            b"{\"payload\":\"first\",\"payload\":\"second\"}\n{\"payload\":{\"a\":1,\"a\":2}}",
            "f",
        );
        let why = rows[0].message.as_ref().unwrap_err();
        assert_eq!(why, "duplicate field \"payload\"; give it once");
        assert!(rows[1].message.is_ok(), "what stands in a payload is its producer's business");
    }
}
