//! Which messages are meant, as flags say it: in the body that starts an operation, and in a query.
//!
//! Owns both forms. Refuses to know what is done with the messages.

use serde_json::{Map, Value};

use super::Session;
use super::args_operation::{ActionWord, FilterArgs, StartArgs};
use super::exit::Failure;
use super::moments;
use crate::domain::filter::Filter;
use crate::domain::time::rfc3339;

/// Nothing is done to many messages by silence.
pub(super) fn is_meant(args: &StartArgs) -> Result<(), Failure> {
    if !args.all && args.filter == FilterArgs::default() {
        return Err(Failure::usage("it is not said which messages are meant").next(
            "--all takes every message in the state; a filter such as --label NAME=VALUE takes those that match",
        ));
    }
    let has_reason = args.pace.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
    if args.action == ActionWord::Cancel && !args.pace.dry_run && !has_reason {
        return Err(Failure::usage("it is not said why the messages are cancelled")
            .next("add --reason TEXT, which is kept with the operation; --dry-run needs none"));
    }
    Ok(())
}

/// The filter as an operation takes it.
pub(super) fn filter_of(
    args: &FilterArgs,
    session: &mut Session,
) -> Result<Map<String, Value>, Failure> {
    let mut filter = Map::new();
    if !args.labels.is_empty() {
        let mut labels = Map::new();
        for label in &args.labels {
            let (name, value) = label.split_once('=').ok_or_else(|| {
                Failure::usage(format!("\"{label}\" is not a valid label"))
                    .next("expected NAME=VALUE")
            })?;
            labels.insert(name.to_owned(), value.into());
        }
        filter.insert("label".to_owned(), labels.into());
    }
    for (name, text) in [("group", &args.group), ("error_contains", &args.error_contains)] {
        if let Some(text) = text {
            filter.insert(name.to_owned(), text.clone().into());
        }
    }
    for (name, text) in [
        ("created_after", &args.created_after),
        ("created_before", &args.created_before),
        ("due_after", &args.due_after),
        ("due_before", &args.due_before),
        ("final_after", &args.final_after),
        ("final_before", &args.final_before),
    ] {
        if let Some(text) = text {
            filter.insert(name.to_owned(), at(text, session)?);
        }
    }
    Ok(filter)
}

/// A moment, as people write it, in the form of the API.
fn at(text: &str, session: &mut Session) -> Result<Value, Failure> {
    Ok(rfc3339(moments::asked(text, session)?).into())
}

/// The filter as parameters of a query.
pub(super) fn parameters_of(
    args: &FilterArgs,
    session: &mut Session,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let filter = filter_of(args, session)?;
    let mut pairs = Vec::new();
    for (name, value) in filter.get("label").and_then(Value::as_object).into_iter().flatten() {
        pairs.push(("label", format!("{name}={}", value.as_str().unwrap_or_default())));
    }
    for name in Filter::NAMES {
        let text = filter.get(name).and_then(Value::as_str);
        pairs.extend(text.map(|text| (name, text.to_owned())));
    }
    Ok(pairs)
}
