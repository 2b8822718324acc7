//! A body as a source of drafts: what a producer may say of a message, written as JSON.
//!
//! Owns no field and no bound: those of a message are in `domain::draft`, how a value is written is in `values`.

use std::ops::RangeInclusive;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::fields::{Fields, Shape, pairs, pointer};
use super::payload;
use super::problem::{Fault, Problem};
use super::values::{duration, list, moment, number, string, whole};
use crate::domain::draft::Payload;
use crate::domain::draft::given::{Given, Source};

/// A body that was read as an object.
#[derive(Debug)]
pub(super) struct MessageBody<'a> {
    /// Its fields.
    pub(super) fields: Fields<'a>,
    /// Itself: a JSON payload is a part of it, not a copy.
    body: &'a Bytes,
}

impl<'a> MessageBody<'a> {
    /// A body, judged until so many faults were found.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub(super) fn of(
        body: &'a Bytes,
        shape: &'static Shape,
        faults_max: usize,
    ) -> Result<Self, Problem> {
        Ok(Self { fields: Fields::of_body_up_to(body, shape, faults_max)?, body })
    }
}

impl<'a> Source for MessageBody<'a> {
    type Given = &'a RawValue;
    type Inner<'i>
        = Self
    where
        Self: 'i;

    const AS_BYTES: &'static str = "send its bytes in payload_base64, which leave as they are";

    fn get(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.fields.raw(name)
    }

    fn note(&mut self, name: &'static str, part: Option<&str>, wrong: String) {
        match part {
            None => self.fields.fault(name, wrong),
            Some(part) => {
                let place = pointer(&self.fields.pointer_of(name), part);
                self.fields.note(Fault::new(place, wrong));
            }
        }
    }

    fn fault(&mut self, name: &'static str, why: String) {
        self.fields.fault(name, why);
    }

    fn within<T>(
        &mut self,
        name: &'static str,
        shape: &'static Shape,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let place = self.fields.pointer_of(name);
        let fields = self.fields.read_as(name, |raw| Fields::within(raw, shape, &place))?;
        let mut inner = Self { fields, body: self.body };
        let value = read(&mut inner);
        inner.fields.into_faults().into_iter().for_each(|fault| self.fields.note(fault));
        Some(value)
    }

    fn payload(&mut self, content_type: Option<String>) -> Option<Payload> {
        payload::read(&mut self.fields, self.body, content_type)
    }
}

impl Given for &RawValue {
    type Wrong = String;

    fn wrong(&self, why: String) -> String {
        why
    }

    fn text(&self) -> Result<String, String> {
        string(self)
    }

    fn duration_ms(&self, bounds_ms: RangeInclusive<u64>) -> Result<u64, String> {
        duration(self, bounds_ms)
    }

    fn moment_ms(&self) -> Result<u64, String> {
        moment(self)
    }

    fn whole(&self, bounds: RangeInclusive<u32>) -> Result<u32, String> {
        let bounds = u64::from(*bounds.start())..=u64::from(*bounds.end());
        let number = whole(self, bounds)?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn number(&self, bounds: RangeInclusive<f64>) -> Result<f64, String> {
        number(self, bounds)
    }

    fn list(&self, items_max: usize) -> Result<Vec<Self>, String> {
        list(self, items_max)
    }

    fn pairs(&self) -> Result<Vec<(String, Self)>, String> {
        pairs(self)
    }
}
