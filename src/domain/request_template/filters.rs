//! The filters and tests that templates have.
//!
//! Owns their list, which is short: each takes time and memory in proportion to what it is given. Not in it is what
//! repeats or multiplies texts without an end.

use std::borrow::Cow;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value, filters, tests};

use super::example::Anything;
use super::factors::NUMBER_ONLY;
use super::json_text::write_json;
use super::place::{percent, xml};
use super::refused::{sentence, undefined};
use super::scalar::{Encoded, Encoding, scalar};
use super::surroundings::{bounded, surroundings};

/// Adds them.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("tojson", tojson);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("safe", safe);
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("int", |state: &State<'_, '_>, value: Value| {
        filters::int(state, &number(value))
    });
    environment.add_filter("float", |state: &State<'_, '_>, value: Value| {
        filters::float(state, &number(value))
    });
    environment.add_filter("round", |value: Value, digits: Option<i32>| {
        filters::round(number(value), digits)
    });
    environment.add_filter(NUMBER_ONLY, number_only);
    environment.add_filter("abs", |value: Value| filters::abs(number(value)));
    environment.add_filter("string", string);
    environment.add_filter("default", filters::default);
    environment.add_filter("d", filters::default);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("title", filters::title);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("length", filters::length);
    environment.add_filter("count", filters::length);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);
    environment.add_filter("list", filters::list);
    environment.add_filter("items", filters::items);
    environment.add_filter("dictsort", filters::dictsort);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("reverse", filters::reverse);
    environment.add_filter("unique", filters::unique);
    environment.add_filter("split", filters::split);
    environment.add_filter("lines", filters::lines);
    environment.add_filter("sum", filters::sum);
    environment.add_filter("min", filters::min);
    environment.add_filter("max", filters::max);
    environment.add_filter("map", filters::map);
    environment.add_filter("selectattr", filters::selectattr);
    environment.add_filter("rejectattr", filters::rejectattr);
    add_tests(environment);
}

fn add_tests(environment: &mut Environment<'_>) {
    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_none);
    environment.add_test("null", tests::is_none);
    environment.add_test("true", tests::is_true);
    environment.add_test("false", tests::is_false);
    environment.add_test("boolean", tests::is_boolean);
    environment.add_test("number", tests::is_number);
    environment.add_test("integer", tests::is_integer);
    environment.add_test("float", tests::is_float);
    environment.add_test("string", tests::is_string);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("iterable", tests::is_iterable);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    environment.add_test("in", tests::is_in);
    environment.add_test("eq", tests::is_eq);
    environment.add_test("equalto", tests::is_eq);
    environment.add_test("ne", tests::is_ne);
    environment.add_test("lt", tests::is_lt);
    environment.add_test("le", tests::is_le);
    environment.add_test("gt", tests::is_gt);
    environment.add_test("ge", tests::is_ge);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("even", tests::is_even);
}

/// The text of a value without parts.
fn text<'a>(state: &State<'_, '_>, value: &'a Value) -> Result<Cow<'a, str>, Error> {
    scalar(value, &surroundings(state)?.spellings)
}

fn urlencode(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let is_done = value
        .downcast_object_ref::<Encoded>()
        .is_some_and(|encoded| encoded.encoding == Encoding::Percent);
    if is_done {
        return Ok(value.clone());
    }
    Ok(Encoded::value(Encoding::Percent, percent(&text(state, value)?)))
}

fn tojson(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let mut json = String::new();
    write_json(value, &surroundings(state)?.spellings, &mut json)?;
    Ok(Encoded::value(Encoding::Json, json))
}

fn escape(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    Ok(Encoded::value(Encoding::Xml, xml(&text(state, value)?)?))
}

fn safe(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    Ok(Value::from_safe_string(text(state, value)?.into_owned()))
}

fn string(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    Ok(Value::from(text(state, value)?.into_owned()))
}

fn replace(state: &State<'_, '_>, value: &Value, from: &Value, to: &Value) -> Result<Value, Error> {
    let (value, from, to) = (text(state, value)?, text(state, from)?, text(state, to)?);
    let found = if from.is_empty() { value.len() + 1 } else { value.matches(&*from).count() };
    bounded(value.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(Value::from(value.replace(&*from, &to)))
}

fn join(state: &State<'_, '_>, value: &Value, between: Option<&Value>) -> Result<Value, Error> {
    if value.kind() == ValueKind::Undefined {
        return Err(undefined());
    }
    let between = match between {
        Some(between) => text(state, between)?,
        None => Cow::Borrowed(""),
    };
    let mut joined = String::new();
    for (at, item) in value.try_iter()?.enumerate() {
        if at > 0 {
            joined.push_str(&between);
        }
        joined.push_str(&text(state, &item)?);
        bounded(joined.len())?;
    }
    Ok(Value::from(joined))
}

/// A factor of a product.
fn number_only(value: Value) -> Result<Value, Error> {
    let value = number(value);
    match value.kind() {
        ValueKind::Number => Ok(value),
        ValueKind::Undefined => Err(undefined()),
        _ => Err(sentence("which is no number, and only numbers can be multiplied")),
    }
}

/// What stands for any value stands for a number too.
fn number(value: Value) -> Value {
    match value.downcast_object_ref::<Anything>() {
        Some(_) => Value::from(1),
        None => value,
    }
}
