//! `method`: how something is called over HTTP.

use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Bounds, Kind, Shown};

/// One of these methods, in any case.
pub(in crate::config) fn method(
    methods: &'static [http::Method],
) -> impl Kind<Value = http::Method> {
    Methods(methods)
}

struct Methods(&'static [http::Method]);

impl Kind for Methods {
    type Value = http::Method;

    fn read(&self, field: &Field<'_>) -> Read<http::Method> {
        field.parse(|text| {
            let method = self.0.iter().find(|it| it.as_str().eq_ignore_ascii_case(text));
            method.cloned().ok_or_else(|| {
                let words: Vec<_> = self.0.iter().map(|it| format!("{:?}", it.as_str())).collect();
                let expected = words.join(", ");
                let expected = match expected.rsplit_once(", ") {
                    Some((first, last)) => format!("{first} or {last}"),
                    None => expected,
                };
                format!("found {text:?}, expected {expected}")
            })
        })
    }

    fn show(&self, value: &http::Method) -> Shown {
        value.as_str().into()
    }

    fn bounds(&self) -> Bounds {
        Bounds::Words(self.0.iter().map(http::Method::as_str).collect())
    }
}
