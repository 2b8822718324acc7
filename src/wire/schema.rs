//! Writing a schema by hand, for a type whose bounds are constants of the check.

use std::ops::RangeInclusive;

use utoipa::Number;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// Gives a type its schema, and the schema its name in the document.
macro_rules! schema_of {
    ($type:ty, $name:literal, $schema:expr) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $schema.into()
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }
        }
    };
}
pub(super) use schema_of;

/// A string.
pub(super) fn string() -> ObjectBuilder {
    Object::builder().schema_type(Type::String)
}

/// A string of so many characters.
pub(super) fn string_of(length: RangeInclusive<usize>) -> ObjectBuilder {
    let schema = string().max_length(Some(*length.end()));
    if *length.start() == 0 { schema } else { schema.min_length(Some(*length.start())) }
}

/// A whole number within bounds.
pub(super) fn whole(bounds: RangeInclusive<u64>) -> ObjectBuilder {
    let number = |bound: u64| Some(Number::UInt(usize::try_from(bound).unwrap_or(usize::MAX)));
    Object::builder()
        .schema_type(Type::Integer)
        .minimum(number(*bounds.start()))
        .maximum(number(*bounds.end()))
}

/// A number within bounds.
pub(super) fn number(bounds: RangeInclusive<f64>) -> ObjectBuilder {
    Object::builder()
        .schema_type(Type::Number)
        .minimum(Some(Number::Float(*bounds.start())))
        .maximum(Some(Number::Float(*bounds.end())))
}
