//! Writing a schema by hand, for a type whose bounds are constants of the check.

use std::ops::RangeInclusive;

use utoipa::openapi::schema::{Array, ArrayBuilder, ArrayItems, Object, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{Number, ToSchema};

/// Gives a type its schema, and the schema its name in the document; `uses`: a schema that it refers to.
macro_rules! schema_of {
    ($type:ty, $name:literal, $schema:expr $(, uses $used:ty)?) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $schema.into()
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                std::borrow::Cow::Borrowed($name)
            }

            $(
                fn schemas(
                    schemas: &mut Vec<(
                        String,
                        utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>,
                    )>,
                ) {
                    let name = <$used as utoipa::ToSchema>::name().into_owned();
                    schemas.push((name, <$used as utoipa::PartialSchema>::schema()));
                    <$used as utoipa::ToSchema>::schemas(schemas);
                }
            )?
        }
    };
}
pub(super) use schema_of;

/// A list of what has a schema of its own.
pub(super) fn list_of<T: ToSchema>() -> ArrayBuilder {
    let item = RefOr::Ref(Ref::from_schema_name(T::name()));
    Array::builder().items(ArrayItems::RefOrSchema(Box::new(item)))
}

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
