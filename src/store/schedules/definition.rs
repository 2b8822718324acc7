//! A schedule as its definition stands in Redis: JSON, opaque to the scripts.
//!
//! Two definitions are the same if their bytes are; so the order here is fixed, and grows at the end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::details::{read_details, write_details};
use crate::domain::schedule::{Cadence, CatchUp, Schedule};

/// The newest version that this program writes.
const VERSION: u8 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct PackedSchedule {
    version: u8,
    queue: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
    catch_up: String,
    priority: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    /// As in a message's record; empty for none.
    details: Value,
    payload_base64: String,
}

pub(super) fn pack(schedule: &Schedule) -> Vec<u8> {
    let (cron, time_zone, every_ms) = match &schedule.cadence {
        Cadence::Cron(cron) => {
            (Some(cron.pattern().to_owned()), Some(cron.time_zone().to_owned()), None)
        }
        Cadence::Every(ms) => (None, None, Some(*ms)),
    };
    let packed = PackedSchedule {
        version: VERSION,
        queue: schedule.queue.to_string(),
        cron,
        time_zone,
        every_ms,
        catch_up: schedule.catch_up.as_str().to_owned(),
        priority: schedule.priority,
        ttl_ms: schedule.ttl_ms,
        details: serde_json::from_slice(&write_details(&schedule.details)).unwrap_or_default(),
        payload_base64: BASE64.encode(&schedule.payload),
    };
    serde_json::to_vec(&packed).unwrap_or_default()
}

pub(super) fn unpack(name: &str, definition: &[u8]) -> Result<Schedule, String> {
    let packed: PackedSchedule =
        serde_json::from_slice(definition).map_err(|error| error.to_string())?;
    if packed.version != VERSION {
        return Err(format!("version {} is not known here", packed.version));
    }
    let cadence = match (&packed.cron, &packed.time_zone, packed.every_ms) {
        (Some(pattern), Some(zone), None) => Cadence::cron(pattern, zone),
        (None, None, Some(ms)) => Cadence::every_ms(ms),
        _ => return Err("it has no cadence".to_owned()),
    };
    let catch_up = CatchUp::WORDS.iter().find(|(word, _)| *word == packed.catch_up);
    let details = if packed.details.is_null() {
        read_details(b"")
    } else {
        read_details(packed.details.to_string().as_bytes())
    };
    Ok(Schedule {
        name: name.parse().map_err(|error| format!("{error}"))?,
        queue: packed.queue.parse().map_err(|error| format!("{error}"))?,
        cadence: cadence.map_err(|error| error.to_string())?,
        catch_up: catch_up.ok_or("its catch_up is not known here")?.1,
        payload: BASE64.decode(&packed.payload_base64).map_err(|e| e.to_string())?.into(),
        details: details?,
        priority: packed.priority,
        ttl_ms: packed.ttl_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::Cost;
    use crate::domain::message::{Details, PayloadKind};

    fn schedule(cadence: Cadence, ttl_ms: Option<u64>) -> Schedule {
        Schedule {
            name: "nightly".parse().unwrap(),
            queue: "erp".parse().unwrap(),
            cadence,
            catch_up: CatchUp::All,
            payload: vec![0, 255, 7].into(),
            details: Details {
                must_dispatch_ms: None,
                kind: PayloadKind::Raw,
                content_type: None,
                headers: vec![("x-a".to_owned(), "1".to_owned())],
                group: None,
                labels: [("a".to_owned(), "b".to_owned())].into(),
                idempotency_key: None,
                retry: None,
                callback: None,
                timeout_ms: None,
                target: None,
                cost: Cost::new(5).unwrap(),
                collapse_key: Some("close-day".to_owned()),
                time_zone: None,
                ignores_recipient_hours: false,
            },
            priority: 7,
            ttl_ms,
        }
    }

    #[test]
    fn a_definition_reads_back_and_packs_alike() {
        for schedule in [
            schedule(Cadence::cron("30 0 * * *", "Asia/Shanghai").unwrap(), None),
            schedule(Cadence::every("15m").unwrap(), Some(60_000)),
        ] {
            let packed = pack(&schedule);
            assert_eq!(unpack("nightly", &packed).unwrap(), schedule);
            assert_eq!(pack(&unpack("nightly", &packed).unwrap()), packed);
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused() {
        let packed = pack(&schedule(Cadence::every("15m").unwrap(), None));
        let newer = String::from_utf8(packed).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(unpack("nightly", newer.as_bytes()).unwrap_err().contains("version 2"));
    }
}
