//! The summary, from what the downstreams saw; and whether each promise held.

use std::collections::BTreeMap;
use std::io::Write;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::erp::OUT_OF_HOURS;
use super::gateway::Call;
use super::sms::{CALLS_PER_S_MAX, RATE_PER_S};

/// A part of the summary: what was seen, why messages died, which promises were made.
pub(crate) struct Part {
    title: &'static str,
    seen: Vec<(String, String)>,
    dead: Vec<String>,
    promises: Vec<(String, bool)>,
}

/// The SMS gateway's view.
pub(crate) fn of_sms(calls: &[Call], dead: &Value, rows: u64) -> Part {
    let sent = per_item(calls, 200);
    let worst = worst_second(calls);
    let (broken, throttled) = (with_status(calls, 500), with_status(calls, 429));
    let died = reasons(dead);
    let is_complete = sent.len() + died.len() == count_of(rows);
    Part {
        title: "SMS gateway",
        seen: vec![
            ("calls".to_owned(), calls.len().to_string()),
            ("sent".to_owned(), sent.len().to_string()),
            ("broke with 500 and were retried".to_owned(), broken.to_string()),
            ("answered 429".to_owned(), throttled.to_string()),
            (
                "worst second".to_owned(),
                format!("{worst} calls; {RATE_PER_S}/s and a burst of 1 allow {CALLS_PER_S_MAX}"),
            ),
        ],
        dead: died,
        promises: vec![
            (format!("every one of {rows} SMS was sent, or is dead with a reason"), is_complete),
            ("no SMS was sent twice".to_owned(), sent.values().all(|times| *times == 1)),
            ("the limit held".to_owned(), worst <= CALLS_PER_S_MAX && throttled == 0),
        ],
    }
}

/// The ERP link's view.
pub(crate) fn of_erp(calls: &[Call], dead: &Value, rows: u64) -> Part {
    let booked = per_item(calls, 200);
    let outside = with_status(calls, OUT_OF_HOURS);
    let largest = calls.iter().map(|call| call.items.len()).max().unwrap_or(0);
    let died = reasons(dead);
    let is_complete = booked.len() + died.len() == count_of(rows);
    Part {
        title: "ERP link",
        seen: vec![
            ("calls".to_owned(), format!("{}, up to {largest} orders each", calls.len())),
            ("orders booked".to_owned(), booked.len().to_string()),
            ("batches refused and split".to_owned(), with_status(calls, 422).to_string()),
            ("calls out of hours".to_owned(), outside.to_string()),
        ],
        dead: died,
        promises: vec![
            (
                format!("every one of {rows} orders was booked, or is dead with a reason"),
                is_complete,
            ),
            ("no order was booked twice".to_owned(), booked.values().all(|times| *times == 1)),
            ("no call came out of hours".to_owned(), outside == 0),
        ],
    }
}

/// Shows the parts; whether every promise held.
pub(crate) fn show(parts: &[Part]) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    for part in parts {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        for (name, value) in &part.seen {
            table.add_row([name, value]);
        }
        for why in &part.dead {
            table.add_row(["dead", why]);
        }
        for (promise, held) in &part.promises {
            table.add_row([if *held { "held" } else { "BROKEN" }, promise]);
        }
        writeln!(out, "\n{}\n{}", part.title, table.trim_fmt())?;
    }
    let held = parts.iter().flat_map(|part| &part.promises).all(|(_, held)| *held);
    writeln!(out, "\n{}", if held { "all promises held" } else { "a promise was BROKEN" })?;
    Ok(held)
}

/// How often each item was taken.
fn per_item(calls: &[Call], status: u16) -> BTreeMap<&str, usize> {
    let mut times = BTreeMap::new();
    for item in calls.iter().filter(|call| call.status == status).flat_map(|call| &call.items) {
        *times.entry(item.as_str()).or_default() += 1;
    }
    times
}

fn with_status(calls: &[Call], status: u16) -> usize {
    calls.iter().filter(|call| call.status == status).count()
}

/// The most calls that arrived within any one second.
fn worst_second(calls: &[Call]) -> usize {
    let mut first = 0;
    let mut worst = 0;
    for (last, call) in calls.iter().enumerate() {
        while call.at_us - calls[first].at_us > 1_000_000 {
            first += 1;
        }
        worst = worst.max(last + 1 - first);
    }
    worst
}

/// Why each dead message died, in the daemon's words.
fn reasons(list: &Value) -> Vec<String> {
    let messages = list["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    messages
        .iter()
        .map(|message| {
            let id = message["id"].as_str().unwrap_or_default();
            let last = &message["last_attempt"];
            let error = last["error"].as_str().or_else(|| message["result"]["body"].as_str());
            let error = error.unwrap_or("no reason kept");
            match last["status_code"].as_u64() {
                Some(status) => format!("{id}: {status}, {error}"),
                None => format!("{id}: {error}"),
            }
        })
        .collect()
}

fn count_of(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}
