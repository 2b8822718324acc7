//! `[schedules.<name>]`: a recurring message.
//!
//! Owns the keys of a schedule and the checks across them. Payload and headers stand as they are
//! written: references to secrets are not filled in, since they would be kept and shown with every
//! message (a secret belongs into `downstream.headers` of the queue).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::kinds::{LONG_MS, duration, parsed, text, whole, word};
use crate::config::load::reader::{Field, Read, Section};
use crate::domain::details::check_room;
use crate::domain::headers::{check_charset, check_content_type, check_header, is_json_type};
use crate::domain::id::QueueName;
use crate::domain::message::{
    Details, HEADERS_MAX, LABEL_BYTES_MAX, LABELS_MAX, NAME_BYTES_MAX, PRIORITY_MAX, PayloadKind,
    check_name,
};
use crate::domain::policy::QueuePolicy;
use crate::domain::schedule::{BadCadence, Cadence, CatchUp, Schedule, ScheduleName};

/// The zone of a pattern that names none.
const TIME_ZONE: &str = "UTC";
/// The largest payload, in bytes: as a message's by default.
const PAYLOAD_BYTES_MAX: usize = 256 << 10;

/// The queues of a configuration.
type Queues = BTreeMap<QueueName, Arc<QueuePolicy>>;

/// `queues` are those of the same configuration; `None`: they cannot be told, for other mistakes.
pub(in crate::config) fn read(
    name: &str,
    field: &Field<'_>,
    queues: Option<&Queues>,
) -> Read<Arc<Schedule>> {
    let name = name.parse::<ScheduleName>().map_err(|error| field.wrong(error.to_string()));
    let schedule = field.section(&[], |section| {
        let queue = section.required("queue", "queue = \"erp\"", |field| known(field, queues));
        let cadence = cadence(section);
        let words = CatchUp::WORDS;
        let catch_up = section.read_or("catch_up", CatchUp::default(), word(&words, &[]));
        let content_type = section
            .read("content_type", |f| f.parse(|t| check_content_type(t).map(|()| t.to_owned())));
        let payload = section.required("payload", "payload = { job = \"close-day\" }", |field| {
            payload(field, content_type.as_ref().ok().and_then(Option::as_deref))
        });
        let headers = section.read_or("headers", Vec::new(), headers);
        let labels = section.read_or("labels", BTreeMap::new(), labels);
        let group = section.read("group", group);
        let priority = section.read_or("priority", 0, whole(0..=PRIORITY_MAX));
        let ttl_ms = section.read("ttl", duration(1..=LONG_MS));
        let (payload, kind) = payload?;
        let content_type = content_type?;
        if let Some(content_type) = &content_type {
            check_charset(content_type, &payload)
                .map_err(|why| section.wrong("content_type", why))?;
        }
        let details = Details {
            kind,
            content_type,
            headers: headers?,
            group: group?,
            labels: labels?,
            idempotency_key: None,
            retry: None,
            callback: None,
        };
        check_room(&details).map_err(|why| section.wrong("headers", why))?;
        Ok(Schedule {
            name: name?,
            queue: queue?,
            cadence: cadence?,
            catch_up: catch_up?,
            payload,
            details,
            priority: priority?,
            ttl_ms: ttl_ms?,
        })
    });
    schedule.map(Arc::new)
}

fn known(field: &Field<'_>, queues: Option<&Queues>) -> Read<QueueName> {
    let queue = parsed::<QueueName>(field)?;
    match queues {
        Some(queues) if !queues.contains_key(&queue) => Err(field.wrong(format!(
            "there is no queue \"{queue}\"; expected one of this configuration's: {}",
            queues.keys().map(QueueName::as_str).collect::<Vec<_>>().join(", ")
        ))),
        _ => Ok(queue),
    }
}

/// `cron`, with its zone, or `every`.
fn cadence(section: &Section<'_>) -> Read<Cadence> {
    let cron = section.read("cron", text);
    let every = section.read("every", |field| {
        field.parse(|text| Cadence::every(text).map_err(|error| error.to_string()))
    });
    let zone = section.read("time_zone", |field| field.parse(known_zone));
    let (cron, every, zone) = (cron?, every?, zone?);
    match (cron, every) {
        (Some(_), Some(_)) => Err(section.wrong("every", "give cron or every, not both")),
        (None, None) => Err(section
            .wrong("cron", "is missing; expected for example cron = \"30 0 * * *\", or every = \"15m\"")),
        (None, Some(_)) if zone.is_some() => Err(section.wrong(
            "time_zone",
            "has no effect on every, which counts from 1970-01-01 00:00 UTC; use cron, or remove time_zone",
        )),
        (None, Some(every)) => Ok(every),
        (Some(pattern), None) => {
            Cadence::cron(&pattern, zone.as_deref().unwrap_or(TIME_ZONE)).map_err(|error| {
                let key = if matches!(error, BadCadence::Zone(_)) { "time_zone" } else { "cron" };
                section.wrong(key, error.to_string())
            })
        }
    }
}

/// Asked for by itself, so that a slip in it is told beside one in the pattern.
fn known_zone(text: &str) -> Result<String, String> {
    match jiff::tz::TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(BadCadence::Zone(text.to_owned()).to_string()),
    }
}

fn payload(field: &Field<'_>, content_type: Option<&str>) -> Read<(Bytes, PayloadKind)> {
    let value = field.json()?;
    let is_text = content_type.is_some_and(|content_type| !is_json_type(content_type));
    let (bytes, kind) = match &value {
        serde_json::Value::String(text) if is_text => (text.clone(), PayloadKind::Text),
        value => (value.to_string(), PayloadKind::Json),
    };
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(field
            .wrong(format!("found {} bytes, expected at most {PAYLOAD_BYTES_MAX}", bytes.len())));
    }
    Ok((bytes.into(), kind))
}

/// Plain text, as it is written.
fn plain(field: &Field<'_>) -> Read<String> {
    field.raw_text().map(str::to_owned).ok_or_else(|| field.expected("a text in quotes"))
}

fn headers(field: &Field<'_>) -> Read<Vec<(String, String)>> {
    let mut headers: Vec<(String, String)> = Vec::new();
    field.entries(|name, field| {
        let value = plain(field)?;
        check_header(name, &value).map_err(|why| field.wrong(why))?;
        let name = name.to_ascii_lowercase();
        if headers.iter().any(|(known, _)| *known == name) {
            return Err(field.wrong("is given twice, in two spellings; remove one"));
        }
        headers.push((name, value));
        Ok(())
    })?;
    if headers.len() > HEADERS_MAX {
        return Err(field.wrong(format!("found {}, expected at most {HEADERS_MAX}", headers.len())));
    }
    headers.sort();
    Ok(headers)
}

fn labels(field: &Field<'_>) -> Read<BTreeMap<String, String>> {
    let labels = field.entries(|name, field| {
        let value = plain(field)?;
        check_name(name, LABEL_BYTES_MAX)
            .map_err(|why| field.wrong(format!("the label's name: {why}")))?;
        if value.len() > NAME_BYTES_MAX {
            let found = value.len();
            return Err(
                field.wrong(format!("found {found} bytes, expected up to {NAME_BYTES_MAX}"))
            );
        }
        Ok((name.to_owned(), value))
    })?;
    if labels.len() > LABELS_MAX {
        return Err(field.wrong(format!("found {}, expected at most {LABELS_MAX}", labels.len())));
    }
    Ok(labels.into_iter().collect())
}

fn group(field: &Field<'_>) -> Read<String> {
    let group = text(field)?;
    check_name(&group, NAME_BYTES_MAX).map_err(|why| field.wrong(why))?;
    Ok(group)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::config::testing::{errors_of, load_with, settings_of};
    use crate::config::{digest, render};
    use crate::domain::message::PayloadKind;
    use crate::domain::schedule::{CatchUp, Schedule};

    const QUEUE: &str = "[queues.q]\ndownstream.type = \"null\"\n";

    fn schedule(text: &str) -> Arc<Schedule> {
        let settings = settings_of(&format!("{QUEUE}[schedules.nightly]\n{text}"));
        Arc::clone(settings.schedules.values().next().unwrap())
    }

    #[test]
    fn every_key_is_read() {
        let plain =
            schedule("queue = \"q\"\ncron = \"30 0 * * *\"\npayload = { job = \"close-day\" }");
        assert_eq!(plain.cadence.to_string(), "cron UTC 30 0 * * *");
        assert_eq!((plain.catch_up, plain.priority, plain.ttl_ms), (CatchUp::One, 0, None));
        assert_eq!(plain.payload, "{\"job\":\"close-day\"}");
        let whole = schedule(
            "queue = \"q\"\nevery = \"15m\"\npayload = \"go ${now}\"\ncontent_type = \"text/plain\"\ncatch_up = \"all\"\nheaders = { X-A = \"1\" }\nlabels = { Team = \"erp\" }\ngroup = \"g\"\npriority = 9\nttl = \"1h\"",
        );
        assert_eq!(whole.cadence.to_string(), "every 15m");
        assert_eq!(
            (whole.catch_up, whole.priority, whole.ttl_ms),
            (CatchUp::All, 9, Some(3_600_000))
        );
        assert_eq!(
            (whole.details.kind, &whole.payload[..]),
            (PayloadKind::Text, &b"go ${now}"[..])
        );
        assert_eq!(whole.details.headers, [("x-a".to_owned(), "1".to_owned())]);
        assert_eq!(whole.details.labels["Team"], "erp");
        assert_eq!(whole.details.group.as_deref(), Some("g"));
    }

    #[test]
    fn payloads_are_any_value_and_keep_the_case_of_their_names() {
        let payload = |text: &str| {
            let lines = format!("queue = \"q\"\nevery = \"1h\"\npayload = {text}");
            String::from_utf8(schedule(&lines).payload.to_vec()).unwrap()
        };
        assert_eq!(
            payload("{ Job = \"x\", n = [1, 2.5, true] }"),
            "{\"Job\":\"x\",\"n\":[1,2.5,true]}"
        );
        assert_eq!(payload("7"), "7");
        assert_eq!(payload("\"{ a = 1 }\""), "\"{ a = 1 }\"");
        let by_environment = load_with(
            &format!("{QUEUE}[schedules.s]\nqueue = \"q\"\nevery = \"1h\""),
            &[("TIDEGATE__SCHEDULES__S__PAYLOAD", "{ a = 1 }")],
            &[],
        );
        assert_eq!(by_environment.unwrap().schedules.values().next().unwrap().payload, "{\"a\":1}");
    }

    #[test]
    fn bad_values_are_refused_all_at_once() {
        let errors = errors_of(&format!(
            "{QUEUE}[schedules.Nightly]\nqueue = \"erp\"\ncron = \"61 * * * *\"\ntime_zone = \"Mars\"\ncatch_up = \"some\"\nheaders = {{ Host = \"x\" }}\npriority = 10\ncolour = 1\n[schedules.s]\nqueue = \"q\""
        ));
        for part in [
            "schedules.Nightly: \"Nightly\" is not a valid schedule name",
            "schedules.Nightly.queue: there is no queue \"erp\"; expected one of this configuration's: q",
            "schedules.Nightly.time_zone: \"Mars\" is not a valid time zone",
            "schedules.Nightly.catch_up: found \"some\", expected \"none\" or \"one\" or \"all\"",
            "schedules.Nightly.headers.Host: header \"Host\" is set by Tidegate itself",
            "schedules.Nightly.priority: found 10",
            "schedules.Nightly.colour: unknown key",
            "schedules.Nightly.payload: is missing",
            "schedules.s.cron: is missing; expected for example cron",
            "schedules.s.payload: is missing",
        ] {
            assert!(errors.contains(part), "{part} not in\n{errors}");
        }
    }

    #[test]
    fn headers_are_bounded_like_those_of_every_message() {
        let with = |headers: Vec<String>| {
            errors_of(&format!(
                "{QUEUE}[schedules.s]\nqueue = \"q\"\nevery = \"1h\"\npayload = 1\nheaders = {{ {} }}",
                headers.join(", ")
            ))
        };
        let large = "v".repeat(8192);
        let error = with((0..9).map(|n| format!("x-{n} = \"{large}\"")).collect());
        assert!(error.contains("schedules.s.headers: everything beside the payload"), "{error}");
        let error = with((0..33).map(|n| format!("x-{n} = \"1\"")).collect());
        assert!(error.contains("schedules.s.headers: found 33, expected at most 32"), "{error}");
        let error = with(vec!["Webhook_Id = \"1\"".to_owned()]);
        assert!(error.contains("schedules.s.headers.Webhook_Id: "), "{error}");
    }

    #[test]
    fn a_cadence_is_one_thing_and_says_all_of_it() {
        for (text, part) in [
            (
                "cron = \"61 * * * *\"",
                "schedules.s.cron: \"61 * * * *\" is not a valid cron pattern",
            ),
            ("cron = \"0 0 30 2 *\"", "schedules.s.cron: \"0 0 30 2 *\" never comes"),
            (
                "cron = \"@daily\"\nevery = \"1h\"",
                "schedules.s.every: give cron or every, not both",
            ),
            (
                "every = \"1h\"\ntime_zone = \"UTC\"",
                "schedules.s.time_zone: has no effect on every",
            ),
            ("every = \"1ms\"", "schedules.s.every: found 1ms, expected 100ms to 366d"),
            ("every = 5", "schedules.s.every: "),
            (
                "every = \"1h\"\ncontent_type = \"plain\"",
                "schedules.s.content_type: \"plain\" is not a valid content type",
            ),
            (
                "every = \"1h\"\ncontent_type = \"text/plain; charset=latin1\"",
                "schedules.s.content_type: found the charset \"latin1\"",
            ),
        ] {
            let error =
                errors_of(&format!("{QUEUE}[schedules.s]\nqueue = \"q\"\npayload = 1\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_rendered_reads_back_and_counts_for_the_digest() {
        let text = format!(
            "{QUEUE}[schedules.a]\nqueue = \"q\"\nevery = \"15m\"\npayload = \"x\"\ncontent_type = \"text/plain\"\n[schedules.b]\nqueue = \"q\"\ncron = \"@daily\"\ntime_zone = \"Asia/Shanghai\"\npayload = {{ A = [1, {{ b = \"c\" }}] }}\nheaders = {{ X-A = \"${{not}}\" }}\nlabels = {{ T = \"1\" }}\ngroup = \"g\"\npriority = 3\nttl = \"1h\"\ncatch_up = \"none\""
        );
        let settings = settings_of(&text);
        assert_eq!(settings_of(&render(&settings)), settings, "{}", render(&settings));
        assert_ne!(digest(&settings), digest(&settings_of(QUEUE)));
    }
}
