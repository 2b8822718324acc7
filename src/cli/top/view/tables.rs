//! Tables and names with values, as the other commands show them, in the width of the screen.

use super::text::{fold, sentence};
use crate::cli::nodes;
use crate::cli::operation_shown;
use crate::cli::plain::plain;
use crate::cli::table::{self, Column, Look, Table, whole, words};
use crate::cli::times::Times;
use crate::wire::node::NodeList;
use crate::wire::operation::OperationView;

/// A table.
pub(super) fn rows(columns: &[Column], mut rows: Vec<Vec<String>>, width: usize) -> Vec<String> {
    for text in rows.iter_mut().flatten() {
        *text = plain(text);
    }
    folded(&Table { columns, rows: &rows, width: Some(width), paint: as_it_is }.lines(), width)
}

/// Names and values.
pub(super) fn pairs(pairs: impl Iterator<Item = (String, String)>, width: usize) -> Vec<String> {
    let pairs: Vec<_> = pairs.map(|(name, value)| (plain(&name), plain(&value))).collect();
    folded(&table::pairs(&pairs, Some(width), as_it_is), width)
}

fn as_it_is(_: Look, text: &str) -> String {
    text.to_owned()
}

/// A word that is wider than the screen goes on in the next line.
fn folded(lines: &[String], width: usize) -> Vec<String> {
    lines.iter().flat_map(|line| fold(line, width)).collect()
}

/// The steps on many messages, as `tidegate operation list` shows them.
pub(super) fn operations(told: &[OperationView], times: &Times, width: u16) -> Vec<String> {
    let width = usize::from(width);
    if told.is_empty() {
        return sentence(
            "There are no operations; `tidegate operation start` begins one.",
            0,
            width,
        );
    }
    let numbers =
        ["ID", "STATE", "ACTION", "QUEUE", "DONE", "REMAIN", "RATE", "STARTED", "BY"].map(whole);
    let columns: Vec<Column> = numbers.into_iter().chain([words("REASON")]).collect();
    rows(&columns, told.iter().map(|it| operation_shown::row(it, times)).collect(), width)
}

/// The daemons that share one Redis, as `tidegate nodes` shows them.
pub(super) fn nodes(told: &NodeList, times: &Times, width: u16) -> Vec<String> {
    let columns = [
        whole("NODE"),
        whole("HOST"),
        whole("VERSION"),
        whole("CALLS"),
        whole("QUEUES"),
        whole("LISTENS"),
        whole("PROCESS"),
        words("STARTED"),
    ];
    let mut lines = rows(
        &columns,
        told.nodes.iter().map(|node| nodes::row(node, times)).collect(),
        width.into(),
    );
    lines.push(String::new());
    let mut say = |text: &str| lines.extend(sentence(text, 0, width.into()));
    say(&format!("This answer is from node {}.", told.answered_by));
    if !told.config_agrees {
        say("The nodes run different configurations: `tidegate doctor` says more.");
    }
    lines
}
