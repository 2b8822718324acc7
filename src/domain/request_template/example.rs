//! A value that stands for any other, where a template is tried without an example.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

/// Has every field, and one element.
#[derive(Debug)]
pub(super) struct Anything;

impl Anything {
    /// Its text: a number, and so valid JSON with quotes and without.
    pub(super) const TEXT: &'static str = "1";

    pub(super) fn value() -> Value {
        Value::from_object(Self)
    }
}

impl Object for Anything {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Self::value())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(vec![Self::value()])
    }

    fn call(
        self: &Arc<Self>,
        _state: &State<'_, '_>,
        _arguments: &[Value],
    ) -> Result<Value, Error> {
        let detail = "no value has a method; use a filter, as in payload.to | upper";
        Err(Error::new(ErrorKind::UnknownMethod, detail))
    }

    /// Its element is one like it: without this, two of them would be compared without an end.
    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        other.downcast_ref::<Self>().map(|_| Ordering::Equal)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::TEXT)
    }
}
