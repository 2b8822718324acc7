//! What is known of one rendering beside its values.
//!
//! Owns how a formatter or a filter finds it, under a name that no expression can have.

use std::collections::HashMap;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, State, Value};
use parking_lot::Mutex;

use super::refused::sentence;

/// The largest body that a template may write, in bytes.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// The name under which it stands among the values.
pub(super) const SURROUNDINGS: &str = " surroundings";

/// What is known of one rendering.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// How numbers are spelled that a computer would spell otherwise, by their bits.
    pub(super) spellings: Arc<Spellings>,
    /// Where in a JSON document the text stands that has been written so far.
    pub(super) json: Mutex<JsonScan>,
}

impl Object for Surroundings {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// The spellings of decimals in the payloads. One that is spelled in two ways has none of its own.
pub(super) type Spellings = HashMap<u64, Option<String>>;

/// Whether what comes next stands inside of a string.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct JsonScan {
    pub(super) is_in_string: bool,
    is_escaped: bool,
}

impl JsonScan {
    /// Reads on.
    pub(super) fn pass(&mut self, text: &[u8]) {
        for byte in text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.is_in_string => self.is_escaped = true,
                b'"' => self.is_in_string = !self.is_in_string,
                _ => {}
            }
        }
    }
}

/// What a formatter or filter has to know, found in the state of a rendering.
pub(super) fn surroundings(state: &State<'_, '_>) -> Result<Arc<Surroundings>, Error> {
    let found = state.lookup(SURROUNDINGS).as_ref().and_then(Value::downcast_object);
    found.ok_or_else(|| sentence("which is rendered without its surroundings"))
}

/// Refuses what is larger than any body.
pub(super) fn bounded(bytes: usize) -> Result<(), Error> {
    if bytes <= BODY_BYTES_MAX {
        return Ok(());
    }
    Err(sentence("which makes more than can be sent"))
}
