//! One compiled template: the url, a header or the body.
//!
//! Owns its bounds: the steps that a rendering may take and the bytes that it may write.

use std::borrow::Cow;
use std::sync::Arc;
use std::{fmt, io};

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use parking_lot::Mutex;

use super::factors::guarded;
use super::message::Values;
use super::place::{Place, write};
use super::refused::TemplateError;
use super::surroundings::{JsonScan, SURROUNDINGS, Surroundings};
use super::{address, filters};

/// Steps that a rendering may take, of a single message and of a batch.
const STEPS_MAX: (u64, u64) = (200_000, 10_000_000);
const NAME: &str = "template";
/// The statements that a template may have: they write where they stand, so that each value's place is known.
const STATEMENTS: [&str; 11] =
    ["if", "elif", "else", "endif", "for", "endfor", "set", "with", "endwith", "raw", "endraw"];

/// A template as it was configured.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// With the secrets filled in that it refers to.
    pub source: String,
    /// The same for people: with `***` in place of secrets.
    pub masked: String,
    /// As the configuration shows it: references stay references.
    pub shown: String,
}

/// It may hold a secret, also one that was not written as a reference.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(***)")
    }
}

/// Whom a rendering is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// The downstream.
    Wire,
    /// People: with `***` in place of secrets.
    Masked,
}

/// One compiled template.
pub(super) struct TemplateText {
    /// The key below `request`.
    part: String,
    place: Place,
    written: Written,
    environment: Environment<'static>,
    /// Where it refers to secrets: the same without them.
    masked: Option<Environment<'static>>,
}

impl TemplateText {
    pub(super) fn compile(
        part: String,
        written: &Written,
        place: Place,
        is_batch: bool,
    ) -> Result<Self, TemplateError> {
        if let Some(what) = forbidden(&written.shown, place) {
            return Err(TemplateError::of_part(&part, what));
        }
        let openers = |text: &str| address::OPENERS.map(|opener| text.matches(opener).count());
        if openers(&written.source) != openers(&written.shown) {
            let what = "refers to a secret that has {{, {% or {# in it, which would begin an expression; use another secret";
            return Err(TemplateError::of_part(&part, what));
        }
        let compiled = |source: &str| {
            // What its writer made wrong is told of what they wrote.
            let is_valid = environment(source, place, is_batch);
            let guarded = is_valid.and_then(|environment| match guarded(source)? {
                Cow::Borrowed(_) => Ok(environment),
                Cow::Owned(source) => self::environment(&source, place, is_batch),
            });
            guarded
                .map_err(|error| TemplateError::of_engine(&part, &error, source, &written.masked))
        };
        let environment = compiled(&written.source)?;
        let is_open = written.masked == written.source;
        let masked = if is_open { None } else { Some(compiled(&written.masked)?) };
        Ok(Self { part, place, written: written.clone(), environment, masked })
    }

    /// What the template writes for these values.
    pub(super) fn render(
        &self,
        values: &Values,
        audience: Audience,
        bytes_max: usize,
    ) -> Result<String, TemplateError> {
        let environment = match (&self.masked, audience) {
            (Some(masked), Audience::Masked) => masked,
            _ => &self.environment,
        };
        let spellings = Arc::clone(&values.spellings);
        let surroundings = Arc::new(Surroundings { spellings, json: Mutex::default() });
        let mut names = values.names.clone();
        names.push((SURROUNDINGS, Value::from_dyn_object(Arc::clone(&surroundings))));
        let names: Value = names.into_iter().collect();
        let scan = (self.place == Place::Json).then(|| &surroundings.json);
        let mut sink = Sink { bytes: Vec::new(), bytes_max, scan };
        let of_engine = |error: &minijinja::Error, source: &str| {
            TemplateError::of_engine(&self.part, error, source, &self.written.masked)
        };
        let template = environment.get_template(NAME).map_err(|error| of_engine(&error, ""))?;
        if let Err(error) = template.render_captured_to(names, &mut sink) {
            let is_missing = error.kind() == ErrorKind::UndefinedError;
            let error = of_engine(&error, template.source());
            if values.has_bytes && is_missing && error.what.contains("payload") {
                let what =
                    "needs the payload, which is bytes, and a template reads JSON and text only";
                return Err(TemplateError::of_part(&self.part, what));
            }
            return Err(error);
        }
        String::from_utf8(sink.bytes)
            .map_err(|error| TemplateError::of_part(&self.part, format!("is not UTF-8: {error}")))
    }
}

fn environment(
    source: &str,
    place: Place,
    is_batch: bool,
) -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(if is_batch { STEPS_MAX.1 } else { STEPS_MAX.0 }));
    // A body ends where the template ends; in a url or a header a line break at the end means nothing.
    environment.set_keep_trailing_newline(!matches!(place, Place::Url | Place::Header));
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("place"));
    environment.set_formatter(move |out, state, value| write(place, out, state, value));
    filters::add(&mut environment);
    environment.add_template_owned(NAME, source.to_owned())?;
    Ok(environment)
}

/// What a template may not have, though the engine would take it.
fn forbidden(source: &str, place: Place) -> Option<String> {
    for statement in source.split("{%").skip(1) {
        let inside = statement.split("%}").next().unwrap_or(statement);
        let inside = inside.trim_start_matches(['-', '+']).trim_start();
        let word: String = inside.chars().take_while(char::is_ascii_alphanumeric).collect();
        let is_known = STATEMENTS.contains(&word.as_str());
        if !is_known || word == "set" && !inside.contains('=') {
            return Some(format!(
                "has the statement \"{word}\", which cannot stand here; expected if, for, set NAME = VALUE, with or raw"
            ));
        }
    }
    let has_section = place == Place::Xml && source.contains("<![CDATA[");
    has_section.then(|| {
        "has a CDATA section, in which a value cannot be escaped; remove <![CDATA[ and ]]>: values are escaped without them"
            .to_owned()
    })
}

/// Takes what a template writes, up to a size, and reads along where in a JSON document it stands.
struct Sink<'a> {
    bytes: Vec<u8>,
    bytes_max: usize,
    scan: Option<&'a Mutex<JsonScan>>,
}

impl io::Write for Sink<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + text.len() > self.bytes_max {
            return Err(io::Error::other("too much"));
        }
        if let Some(scan) = self.scan {
            scan.lock().pass(text);
        }
        self.bytes.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
