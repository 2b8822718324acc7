//! Reading a script's reply, value by value.
//!
//! Owns the decoding; a reply of an unexpected shape is an error, never a panic.

use bytes::Bytes;
use redis::Value;

use super::error::StoreError;

/// The values of a reply, from the front.
#[derive(Debug)]
pub(crate) struct Reply {
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    pub(crate) fn new(value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(values) => Ok(Self { values: values.into_iter() }),
            other => Err(unexpected("a list", &other)),
        }
    }

    /// How many values are left.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn int(&mut self) -> Result<i64, StoreError> {
        match self.values.next() {
            Some(Value::Int(number)) => Ok(number),
            Some(Value::BulkString(text)) => std::str::from_utf8(&text)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| StoreError::Reply("expected a number".to_owned())),
            Some(other) => Err(unexpected("a number", &other)),
            None => Err(StoreError::Reply("the reply is too short".to_owned())),
        }
    }

    /// A moment or a count: negative reads as `None`.
    pub(crate) fn natural(&mut self) -> Result<Option<u64>, StoreError> {
        Ok(u64::try_from(self.int()?).ok())
    }

    /// A count that cannot be negative.
    pub(crate) fn count(&mut self) -> Result<u64, StoreError> {
        Ok(self.natural()?.unwrap_or(0))
    }

    /// A list within the list.
    pub(crate) fn list(&mut self) -> Result<Self, StoreError> {
        Self::new(self.values.next().unwrap_or(Value::Nil))
    }

    pub(crate) fn bytes(&mut self) -> Result<Bytes, StoreError> {
        match self.values.next() {
            Some(Value::BulkString(bytes)) => Ok(Bytes::from(bytes)),
            Some(Value::SimpleString(text)) => Ok(Bytes::from(text)),
            Some(Value::Nil) => Ok(Bytes::new()),
            Some(other) => Err(unexpected("bytes", &other)),
            None => Err(StoreError::Reply("the reply is too short".to_owned())),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        let bytes = self.bytes()?;
        String::from_utf8(bytes.to_vec())
            .map_err(|_| StoreError::Reply("expected UTF-8 text".to_owned()))
    }
}

fn unexpected(expected: &str, found: &Value) -> StoreError {
    let kind = match found {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) => "text",
        Value::Array(_) => "a list",
        _ => "something else",
    };
    StoreError::Reply(format!("expected {expected}, found {kind}"))
}
