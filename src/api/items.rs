//! Cutting a JSON array into its elements, which stay as they came.
//!
//! Owns that an array with too many of them is not read to its end. Refuses to know what they mean.

use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The elements of an array; `None`: there are more than `items_max`. `expecting` says in an error what
/// should stand there.
///
/// # Errors
/// When it is not a JSON array.
pub(super) fn items<'a>(
    json: &'a [u8],
    items_max: usize,
    expecting: &'static str,
) -> serde_json::Result<Option<Vec<&'a RawValue>>> {
    let mut items = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(json);
    let elements = Elements { items: &mut items, items_max, expecting };
    let read = reader.deserialize_seq(elements).and_then(|()| reader.end());
    if items.len() > items_max {
        return Ok(None);
    }
    read.map(|()| Some(items))
}

struct Elements<'i, 'de> {
    items: &'i mut Vec<&'de RawValue>,
    items_max: usize,
    expecting: &'static str,
}

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(item) = seq.next_element::<&RawValue>()? {
            self.items.push(item);
            if self.items.len() > self.items_max {
                return Err(A::Error::custom("it has too many elements"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, items_max: usize) -> Result<Option<Vec<&str>>, String> {
        let read = items(json.as_bytes(), items_max, "an array");
        read.map(|items| items.map(|items| items.into_iter().map(RawValue::get).collect()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn elements_stay_as_they_came() {
        assert_eq!(read(" [ {\"a\" : 1} , 2.50 ] ", 2), Ok(Some(vec!["{\"a\" : 1}", "2.50"])));
        assert_eq!(read("[]", 0), Ok(Some(Vec::new())));
    }

    #[test]
    fn too_many_are_not_read_to_the_end() {
        assert_eq!(read("[1, 2]", 1), Ok(None));
        assert_eq!(read("[1, 2, and this is never looked at", 1), Ok(None));
    }

    #[test]
    fn what_is_not_an_array_is_an_error() {
        for bad in ["", "[", "[1,]", "[1] 2", "[1 2]"] {
            assert!(read(bad, 10).is_err(), "{bad}");
        }
        assert!(read("{}", 10).unwrap_err().contains("expected an array"));
    }
}
