//! Which messages are meant, as flags say it: in the body that starts an operation, and in a query.
//!
//! Owns both forms. Refuses to know what is done with the messages.

use std::collections::BTreeMap;

use super::Session;
use super::args_operation::{ActionWord, FilterArgs, StartArgs};
use super::exit::Failure;
use super::moments;
use crate::domain::time::rfc3339;
use crate::wire::Moment;
use crate::wire::operation::FilterRequest;

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
) -> Result<FilterRequest, Failure> {
    let mut labels = BTreeMap::new();
    for label in &args.labels {
        let (name, value) = label.split_once('=').ok_or_else(|| {
            Failure::usage(format!("\"{label}\" is not a valid label")).next("expected NAME=VALUE")
        })?;
        labels.insert(name.to_owned(), value.to_owned());
    }
    let mut at = |text: &Option<String>| match text {
        Some(text) => moments::asked(text, session).map(|at_ms| Some(Moment(at_ms))),
        None => Ok(None),
    };
    Ok(FilterRequest {
        created_after: at(&args.created_after)?,
        created_before: at(&args.created_before)?,
        due_after: at(&args.due_after)?,
        due_before: at(&args.due_before)?,
        final_after: at(&args.final_after)?,
        final_before: at(&args.final_before)?,
        label: (!labels.is_empty()).then_some(labels),
        group: args.group.clone(),
        error_contains: args.error_contains.clone(),
    })
}

/// The filter as parameters of a query.
pub(super) fn parameters_of(
    args: &FilterArgs,
    session: &mut Session,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let filter = filter_of(args, session)?;
    let labels = filter.label.into_iter().flatten();
    let mut pairs: Vec<_> =
        labels.map(|(name, value)| ("label", format!("{name}={value}"))).collect();
    let texts = [("group", filter.group), ("error_contains", filter.error_contains)];
    pairs.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text?))));
    let moments = [
        ("created_after", filter.created_after),
        ("created_before", filter.created_before),
        ("due_after", filter.due_after),
        ("due_before", filter.due_before),
        ("final_after", filter.final_after),
        ("final_before", filter.final_before),
    ];
    pairs.extend(moments.into_iter().filter_map(|(name, at)| Some((name, rfc3339(at?.0)))));
    Ok(pairs)
}
