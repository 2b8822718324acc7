//! Parsing a schedule on its way in: the fields of a message, and when to send it.
//!
//! Owns the fields of a schedule's own; those of its message are read as every message's are.

use bytes::Bytes;

use super::Door;
use super::allowed;
use super::auth::Caller;
use super::fields::{Fields, Shape};
use super::intake;
use super::message_body::MessageBody;
use super::paths::queue_for;
use super::problem::{FAULTS_MAX, Problem};
use super::values::{duration, string};
use crate::domain::draft::{self, Content, joined};
use crate::domain::id::QueueName;
use crate::domain::schedule::{BadCadence, Cadence, CatchUp, Schedule, ScheduleName, check_labels};

pub(super) static SHAPE: Shape = Shape {
    known: &joined::<5, 14, 19>(
        ["queue", "cron", "every", "time_zone", "catch_up"],
        draft::CONTENT,
    ),
    later: &[],
};

/// The zone of a pattern that names none.
const TIME_ZONE: &str = "UTC";

/// A schedule, checked.
///
/// # Errors
/// A problem with everything that is wrong.
pub(super) fn schedule(
    door: &Door,
    caller: &Caller,
    schedule_name: ScheduleName,
    body: &Bytes,
) -> Result<Schedule, Problem> {
    let mut source = MessageBody::of(body, &SHAPE, FAULTS_MAX)?;
    let queue = queue(door, caller, &mut source.fields);
    let cadence = cadence(&mut source.fields);
    let catch_up = source.fields.read_as("catch_up", |raw| {
        let word = string(raw)?;
        let known = CatchUp::WORDS.iter().find(|(known, _)| *known == word);
        known
            .map(|(_, it)| *it)
            .ok_or_else(|| format!("found \"{word}\", expected none, one or all"))
    });
    let content = draft::content(&mut source);
    source.fields.finish()?;
    let (Some(queue), Some(cadence), Some(content)) = (queue, cadence, content) else {
        return Err(Problem::fault("", "queue, a cadence and a payload are needed"));
    };
    let Content { payload, details, priority, ttl_ms } = content;
    intake::check_size(body, &payload, &details)?;
    let policy = &queue_for(door, caller, &queue)?.policy;
    check_labels(&details.labels).map_err(|why| Problem::fault("/labels", why))?;
    allowed::check_message(&cadence.places(details.clone()), policy)?;
    Ok(Schedule {
        name: schedule_name,
        queue,
        cadence,
        catch_up: catch_up.unwrap_or_default(),
        // Its own bytes: a part of the body would keep all of it.
        payload: Bytes::copy_from_slice(&payload),
        details,
        priority,
        ttl_ms,
    })
}

/// A queue that takes messages.
fn queue(door: &Door, caller: &Caller, fields: &mut Fields<'_>) -> Option<QueueName> {
    if fields.raw("queue").is_none() {
        fields.fault("queue", "missing; expected the queue that its messages go to");
        return None;
    }
    fields.read_as("queue", |raw| {
        let text = string(raw)?;
        let queue =
            text.parse::<QueueName>().ok().and_then(|name| queue_for(door, caller, &name).ok());
        match queue {
            Some(queue) if !queue.retired => Ok(queue.policy.name.clone()),
            Some(_) => Err(format!(
                "the queue \"{text}\" is gone from the configuration and takes no messages"
            )),
            None => Err(format!("there is no queue \"{text}\"; `tidegate queues` lists them")),
        }
    })
}

/// `cron`, with its zone, or `every`.
fn cadence(fields: &mut Fields<'_>) -> Option<Cadence> {
    let given = |name| fields.raw(name).is_some();
    let (has_cron, has_every, has_zone) = (given("cron"), given("every"), given("time_zone"));
    if has_every {
        if has_cron {
            fields.fault("every", "give cron or every, not both");
        } else if has_zone {
            let detail = "it has no effect on every, which counts from 1970-01-01 00:00 UTC; use cron, or leave it out";
            fields.fault("time_zone", detail);
        }
        return fields.read_as("every", |raw| {
            Cadence::every_ms(duration(raw, 0..=u64::MAX)?).map_err(|error| error.to_string())
        });
    }
    if !has_cron {
        fields.fault(
            "cron",
            "missing; expected a pattern such as \"30 0 * * *\", or every, such as \"15m\"",
        );
        return None;
    }
    let zone = fields.read_as("time_zone", string);
    let zone = if has_zone { zone? } else { TIME_ZONE.to_owned() };
    let pattern = fields.read_as("cron", string)?;
    match Cadence::cron(&pattern, &zone) {
        Ok(cadence) => Some(cadence),
        Err(error) => {
            let field = if matches!(error, BadCadence::Zone(_)) { "time_zone" } else { "cron" };
            fields.fault(field, error.to_string());
            None
        }
    }
}
