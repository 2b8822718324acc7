//! Reading a JSON object field by field, so that one answer tells everything that is wrong.
//!
//! Owns syntax errors, unknown, repeated and not yet known names, and where a fault lies. Values stay
//! as they came until somebody asks: a payload is never parsed. What a value means is in `values`.

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::items::items;
use super::problem::{FAULTS_MAX, Fault, Problem};
pub(super) use crate::domain::draft::given::Shape;
use crate::domain::suggest::did_you_mean;

/// An object as it came, and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    shape: &'static Shape,
    /// Where this object lies in the body: a JSON pointer, empty for the body itself.
    at: String,
    values: Vec<Option<&'a RawValue>>,
    faults: Vec<Fault>,
    faults_max: usize,
}

impl<'a> Fields<'a> {
    /// A whole body.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub(super) fn of_body(body: &'a [u8], shape: &'static Shape) -> Result<Self, Problem> {
        Self::of_body_up_to(body, shape, FAULTS_MAX)
    }

    /// A whole body, judged until so many faults were found.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub(super) fn of_body_up_to(
        body: &'a [u8],
        shape: &'static Shape,
        faults_max: usize,
    ) -> Result<Self, Problem> {
        let body = json_of(body);
        // Bodies that only say "do it" may be left out.
        let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
        Self::read(body, shape, String::new(), faults_max).map_err(|error| bad_json(&error))
    }

    /// An object within a body whose syntax has been checked already.
    pub(super) fn within(
        raw: &'a RawValue,
        shape: &'static Shape,
        at: &str,
    ) -> Result<Self, String> {
        super::values::expect_object(raw)?;
        let body = raw.get().as_bytes();
        Self::read(body, shape, at.to_owned(), FAULTS_MAX).map_err(|error| error.to_string())
    }

    fn read(
        body: &'a [u8],
        shape: &'static Shape,
        at: String,
        faults_max: usize,
    ) -> Result<Self, serde_json::Error> {
        let values = vec![None; shape.known.len()];
        let mut fields = Self { shape, at, values, faults: Vec::new(), faults_max };
        let mut reader = serde_json::Deserializer::from_slice(body);
        let read = reader.deserialize_map(Names(&mut fields)).and_then(|()| reader.end());
        // An object that is full of faults is not read to its end, which may be far away.
        if !fields.is_full() {
            read?;
        }
        Ok(fields)
    }

    /// Whether as many faults were found as are listed.
    const fn is_full(&self) -> bool {
        self.faults.len() >= self.faults_max
    }

    /// The value of a field as it came; `null` counts as absent.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.raw_or_null(name).filter(|raw| raw.get() != "null")
    }

    /// The value of a field as it came, `null` too.
    pub(super) fn raw_or_null(&self, name: &str) -> Option<&'a RawValue> {
        let at = self.shape.known.iter().position(|known| *known == name);
        debug_assert!(at.is_some(), "the shape has no field {name}");
        self.values[at?]
    }

    /// The value of a field; a bad one is noted and reads as absent.
    pub(super) fn read_as<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Option<T> {
        match read(self.raw(name)?) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.fault(name, detail);
                None
            }
        }
    }

    /// Where a field lies in the body.
    pub(super) fn pointer_of(&self, name: &str) -> String {
        pointer(&self.at, name)
    }

    /// Notes what is wrong with a field.
    pub(super) fn fault(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = self.pointer_of(name);
        self.note(Fault::new(pointer, detail));
    }

    /// Notes a fault that knows its place.
    pub(super) fn note(&mut self, fault: Fault) {
        if !self.is_full() {
            self.faults.push(fault);
        }
    }

    /// Everything that was wrong.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults
    }

    /// # Errors
    /// When anything was wrong.
    pub(super) fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::invalid(self.faults)) }
    }

    fn unknown(&mut self, name: &str) {
        let detail = if self.shape.later.contains(&name) {
            format!("\"{name}\" is not in this version; leave it out")
        } else {
            let shown: String = name.chars().take(60).collect();
            format!(
                "unknown field \"{shown}\"{}",
                did_you_mean(name, self.shape.known.iter().copied())
            )
        };
        self.fault(name, detail);
    }
}

/// The JSON of a body, without the byte order mark that some programs write before it.
pub(super) fn json_of(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// The elements of a body that is a list of at most `items_max`. `expecting` says what of.
///
/// # Errors
/// When the body is not a list, or too long a list.
pub(super) fn list_of_body<'a>(
    body: &'a [u8],
    items_max: usize,
    expecting: &'static str,
) -> Result<Vec<&'a RawValue>, Problem> {
    let items = items(json_of(body), items_max, expecting).map_err(|error| bad_json(&error))?;
    items.ok_or_else(|| {
        let detail =
            format!("found more than {items_max} items, expected up to {items_max}; send several");
        Problem::fault("", detail)
    })
}

/// What is wrong with a body that is no JSON, or no JSON of the kind expected.
pub(super) fn bad_json(error: &serde_json::Error) -> Problem {
    Problem::fault("", format!("the body cannot be read: {error}"))
}

/// A JSON pointer one step further.
pub(super) fn pointer(at: &str, name: &str) -> String {
    let shown: String = name.chars().take(256).collect();
    format!("{at}/{}", shown.replace('~', "~0").replace('/', "~1"))
}

// ── The visitor: collects, judges nothing but names ─────────────────────────────────────────────

struct Names<'f, 'de>(&'f mut Fields<'de>);

impl<'de> Visitor<'de> for Names<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let fields = self.0;
        while let Some(name) = map.next_key_seed(Name(fields.shape))? {
            let value = map.next_value::<&RawValue>()?;
            match name {
                Named::Known(at) if fields.values[at].is_none() => fields.values[at] = Some(value),
                Named::Known(at) => {
                    let name = fields.shape.known[at];
                    fields.fault(name, format!("duplicate field \"{name}\"; give it once"));
                }
                Named::Unknown(name) => fields.unknown(&name),
            }
            if fields.is_full() {
                return Err(A::Error::custom("it has too many faults"));
            }
        }
        Ok(())
    }
}

enum Named {
    Known(usize),
    Unknown(String),
}

struct Name(&'static Shape);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Named;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Named, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Named;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Named, E> {
        let at = self.0.known.iter().position(|known| *known == name);
        Ok(at.map_or_else(|| Named::Unknown(name.to_owned()), Named::Known))
    }
}

/// The pairs of an object with names of its own, in order.
pub(super) fn pairs(raw: &RawValue) -> Result<Vec<(String, &RawValue)>, String> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                if pairs.len() >= PAIRS_MAX {
                    return Err(A::Error::custom("it has far too many entries"));
                }
                pairs.push(pair);
            }
            Ok(pairs)
        }
    }
    /// No field allows nearly as many.
    const PAIRS_MAX: usize = 1000;

    super::values::expect_object(raw)?;
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    reader.deserialize_map(Pairs).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { known: &["payload", "delay"], later: &["cost"] };
    static STATIC: Shape = SHAPE;

    fn faults(body: &str) -> Vec<(String, String)> {
        let faults = match Fields::of_body(body.as_bytes(), &STATIC) {
            Ok(fields) => fields.into_faults(),
            Err(problem) => problem.faults().to_vec(),
        };
        faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
    }

    #[test]
    fn values_stay_as_they_came() {
        let body = br#" {"payload" : [1,  2.50, "\u00e9"] , "delay":null} "#;
        let fields = Fields::of_body(body, &STATIC).unwrap();
        assert_eq!(fields.raw("payload").unwrap().get(), r#"[1,  2.50, "\u00e9"]"#);
        assert!(fields.raw("delay").is_none());
        assert_eq!(fields.raw_or_null("delay").unwrap().get(), "null");
        assert!(Fields::of_body(b" \n", &STATIC).unwrap().finish().is_ok());
    }

    #[test]
    fn all_bad_names_are_told_at_once() {
        let found = faults(r#"{"paylod": 1, "cost": 2, "delay": 1, "delay": 2, "a/b~": 0}"#);
        let expected = [
            ("/paylod", "unknown field \"paylod\"; did you mean \"payload\"?"),
            ("/cost", "\"cost\" is not in this version; leave it out"),
            ("/delay", "duplicate field \"delay\"; give it once"),
            ("/a~1b~0", "unknown field \"a/b~\""),
        ];
        let expected = expected.map(|(pointer, detail)| (pointer.to_owned(), detail.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn an_object_full_of_faults_is_not_read_to_its_end() {
        let many: Vec<_> = (0..60).map(|n| format!("\"payl{n}\":1")).collect();
        let endless = format!("{{{},\"and nobody reads this", many.join(","));
        assert_eq!(faults(&endless).len(), FAULTS_MAX);
        let few = Fields::of_body_up_to(endless.as_bytes(), &STATIC, 1).unwrap();
        assert_eq!(few.into_faults().len(), 1);
    }

    #[test]
    fn bad_syntax_is_told_with_its_place() {
        for (body, says) in [
            ("{\"payload\": }", "line 1 column 13"),
            ("{\n\"payload\": 1,\n}", "line 3 column 1"),
            ("[]", "expected a JSON object"),
            ("\"x\"", "expected a JSON object"),
            ("{} {}", "trailing characters"),
            ("{\"a\": \"\u{1}\"}", "control character"),
        ] {
            let found = faults(body);
            assert_eq!(found.len(), 1, "{body}");
            assert_eq!(found[0].0, "", "{body}");
            assert!(found[0].1.contains(says), "{body}: {found:?}");
        }
        assert!(Fields::of_body(b"{\"payload\": \"\xff\"}", &STATIC).is_err());
    }
}
