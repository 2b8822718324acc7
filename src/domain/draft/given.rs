//! What a way in must be able to do, so that a message is read by it as by all the others.
//!
//! Owns no rule: how a value may be written (as JSON, as the bytes of a stream, as TOML) is a matter of the way in, what it
//! may be is a matter of the draft.

use std::ops::RangeInclusive;

use super::Payload;

/// The names that an object may have.
#[derive(Debug)]
pub struct Shape {
    /// Those that mean something.
    pub known: &'static [&'static str],
    /// Those that a later version will know.
    pub later: &'static [&'static str],
}

/// One value, at its place.
pub trait Given: Sized {
    /// That it is wrong, with the reason.
    type Wrong;

    /// It is wrong, for this reason.
    fn wrong(&self, why: String) -> Self::Wrong;

    /// A text.
    ///
    /// # Errors
    /// When it is not a text.
    fn text(&self) -> Result<String, Self::Wrong>;

    /// A duration within bounds, in milliseconds.
    ///
    /// # Errors
    /// When it is not a duration, or out of bounds.
    fn duration_ms(&self, bounds_ms: RangeInclusive<u64>) -> Result<u64, Self::Wrong>;

    /// A moment, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When it is not a moment.
    fn moment_ms(&self) -> Result<u64, Self::Wrong>;

    /// A whole number within bounds.
    ///
    /// # Errors
    /// When it is not a whole number, or out of bounds.
    fn whole(&self, bounds: RangeInclusive<u32>) -> Result<u32, Self::Wrong>;

    /// A number within bounds.
    ///
    /// # Errors
    /// When it is not a number, or out of bounds.
    fn number(&self, bounds: RangeInclusive<f64>) -> Result<f64, Self::Wrong>;

    /// The values of a list of at most so many.
    ///
    /// # Errors
    /// When it is not a list, or a longer one.
    fn list(&self, items_max: usize) -> Result<Vec<Self>, Self::Wrong>;

    /// The entries of an object with names of its own.
    ///
    /// # Errors
    /// When it is not an object.
    fn pairs(&self) -> Result<Vec<(String, Self)>, Self::Wrong>;
}

/// Fields by name, and where it is noted what is wrong with them.
pub trait Source: Sized {
    /// A value of a field.
    type Given: Given;
    /// The fields of an object within.
    type Inner<'i>: Source
    where
        Self: 'i;

    /// What to do with a payload whose bytes are to leave as they are, as a remedy.
    const AS_BYTES: &'static str;

    /// The value of a field, if there is one.
    fn get(&mut self, name: &'static str) -> Option<Self::Given>;

    /// Notes what is wrong with a field; with `part`: with this entry of it.
    fn note(
        &mut self,
        name: &'static str,
        part: Option<&str>,
        wrong: <Self::Given as Given>::Wrong,
    );

    /// Notes what is wrong with a field, whether it is there or missing.
    fn fault(&mut self, name: &'static str, why: String);

    /// Reads the object in a field, whose names are settings; what is wrong with it is noted.
    fn within<T>(
        &mut self,
        name: &'static str,
        shape: &'static Shape,
        read: impl FnOnce(&mut Self::Inner<'_>) -> T,
    ) -> Option<T>;

    /// The payload as it leaves, and what it is; what is wrong with it is noted.
    fn payload(&mut self, content_type: Option<String>) -> Option<Payload>;

    /// The value of a field; a bad one is noted and reads as absent.
    fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Self::Given) -> Result<T, <Self::Given as Given>::Wrong>,
    ) -> Option<T> {
        let given = self.get(name)?;
        match read(&given) {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.note(name, None, wrong);
                None
            }
        }
    }
}
