//! Reading a script's reply, value by value.
//!
//! Owns the decoding; a reply of an unexpected shape is an error, never a panic.

use bytes::Bytes;
use redis::Value;

use super::error::StoreError;
use super::script::Value as Kind;

/// The values of a reply, from the front.
#[derive(Debug)]
pub(crate) struct Reply {
    values: std::vec::IntoIter<Value>,
}

impl Reply {
    pub(crate) fn new(value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(values) => Ok(Self { values: values.into_iter() }),
            Value::Map(pairs) => {
                let values = pairs.into_iter().flat_map(|(field, value)| [field, value]);
                Ok(Self { values: values.collect::<Vec<_>>().into_iter() })
            }
            other => Err(unexpected("a list", &other)),
        }
    }

    /// The value at this place from the front, of the kind that its script's header has; made by `fields!`. It is
    /// read once.
    pub(crate) fn value<const KIND: u8, V: Kind<KIND>>(
        &mut self,
        at: usize,
    ) -> Result<V, StoreError> {
        let value = self.values.as_mut_slice().get_mut(at);
        let value = value.map(|value| std::mem::replace(value, Value::Nil));
        V::take(&mut Self { values: value.into_iter().collect::<Vec<_>>().into_iter() })
    }

    /// The next value, likewise.
    pub(crate) fn next_value<const KIND: u8, V: Kind<KIND>>(&mut self) -> Result<V, StoreError> {
        V::take(self)
    }

    /// Leaves out the first of what is left.
    pub(crate) fn pass(&mut self, count: usize) {
        self.values.by_ref().take(count).for_each(drop);
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

    /// A text. What somebody else wrote may not be UTF-8: it is shown as far as it can be, and no name or
    /// id of ours looks like that, so that its reader passes over it.
    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    /// The texts of a list, each for itself: what is none is left out.
    pub(crate) fn texts(mut self) -> Vec<String> {
        let mut texts = Vec::with_capacity(self.len());
        while self.len() > 0 {
            texts.extend(self.text().ok());
        }
        texts
    }

    /// Fields and values of a hash, or members and scores, each pair for itself.
    pub(crate) fn pairs(self) -> Vec<(String, String)> {
        let mut texts = self.texts().into_iter();
        std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(raw: &[u8]) -> Value {
        Value::BulkString(raw.to_vec())
    }

    #[test]
    fn what_somebody_else_wrote_spoils_nothing_beside_it() {
        let list =
            || vec![bytes(b"a"), bytes(b"1"), bytes(b"\xff"), bytes(b"2"), Value::Nil, bytes(b"3")];
        let reply = Reply::new(Value::Array(list())).unwrap();
        let expected = [("a", "1"), ("\u{fffd}", "2"), ("", "3")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(reply.pairs(), expected);
        let map = Value::Map(vec![(bytes(b"a"), bytes(b"1"))]);
        assert_eq!(Reply::new(map).unwrap().pairs(), expected[..1]);
        assert_eq!(Reply::new(Value::Array(list())).unwrap().texts().len(), 6);
    }
}
