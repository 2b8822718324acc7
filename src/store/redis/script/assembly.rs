//! How the text of a script comes about: its includes, and the numbers of its keys.
//!
//! A script names the includes that it uses itself, and an include those that it needs: each comes once, behind
//! what it needs. Redis runs the whole text at every call: each function in it is made anew, and each key is handed
//! over. So an include may also stand inside a function that only some calls need, where what stands before the
//! function is known already, and a script declares the keys that it touches and no more.
//! Refuses to know what a script does.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::form::ScriptForm;
use crate::store::redis::keys::shard_key_names;

macro_rules! includes {
    ($($name:literal),+ $(,)?) => {
        /// The files under `lua/include`, by name.
        const INCLUDES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../lua/include/", $name, ".lua")))),+];
    };
}

includes! {
    "actions",
    "beat",
    "callback",
    "calls",
    "claim_gates",
    "claim_hours",
    "claim_lease",
    "claim_limits",
    "claim_memory",
    "claim_walk",
    "clock",
    "collapse/arrive",
    "collapse/back",
    "collapse/index",
    "collapse/intake",
    "collapse/record",
    "collapse/steps",
    "events",
    "exchanges",
    "fence",
    "finals",
    "finish",
    "format",
    "gate",
    "given_back",
    "history",
    "hold_book",
    "hold_tail",
    "idempotency",
    "inbox",
    "lanes/backlog",
    "lanes/claim",
    "lanes/could",
    "lanes/counted",
    "lanes/enter",
    "lanes/finish",
    "lanes/flows",
    "lanes/gathering",
    "lanes/granted",
    "lanes/heads",
    "lanes/index",
    "lanes/keys",
    "lanes/lease",
    "lanes/lend",
    "lanes/limits",
    "lanes/oldest",
    "lanes/position",
    "lanes/profile",
    "lanes/own",
    "lanes/pages",
    "lanes/prune",
    "lanes/pruning",
    "lanes/purge",
    "lanes/ready",
    "lanes/room",
    "lanes/sound",
    "lanes/returned",
    "lanes/stand",
    "lanes/standing",
    "lanes/structure",
    "lanes/take",
    "lanes/touched",
    "lanes/turns",
    "lanes/undo",
    "lanes/waiting",
    "lanes/wide",
    "late",
    "limits",
    "new_record",
    "one",
    "operations",
    "overrides",
    "packed",
    "page",
    "place",
    "ready",
    "receipt",
    "record",
    "reserved",
    "room",
    "rows",
    "schedules",
    "settle",
    "settling",
    "shard",
    "shared",
    "shut",
    "state",
    "topic",
    "trouble",
    "ulid",
    "uncertain",
    "waited",
    "waiting",
    "wake",
    "weight",
    "writes",
}

/// A line that stands for includes, wherever it stands.
const INCLUDE: &str = "-- include: ";
/// The same in the form of a script for queues with keys alone.
const KEYED_INCLUDE: &str = "-- keyed include: ";
/// A line of code that stands in that form alone.
const KEYED: &str = "-- keyed: ";
/// The same in the forms for messages with a collapse key.
const COLLAPSING_INCLUDE: &str = "-- collapsing include: ";
const COLLAPSING: &str = "-- collapsing: ";
/// In scripts of a shard `K.<name>` stands for a key.
const KEY: &str = "K.";

/// A script as Redis gets it.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) text: String,
    pub(super) declared: Declared,
}

/// Which of the keys that it is given a script declares.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// All, in their order.
    All,
    /// Those at these positions, in this order.
    Some(Vec<usize>),
}

/// The script, each line that names includes replaced by them. The first line, Redis' own, stays the first.
pub(super) fn splice(source: &str, form: ScriptForm) -> String {
    let mut text = String::with_capacity(source.len() * 4);
    splice_into(&mut text, source, form, &mut Vec::new());
    text
}

/// `known` are the includes that stand before this place, where it sees them.
fn splice_into<'a>(text: &mut String, source: &'a str, form: ScriptForm, known: &mut Vec<&'a str>) {
    for line in source.lines() {
        let code = line.trim_start();
        let keyed = (code.strip_prefix(KEYED_INCLUDE), code.strip_prefix(KEYED));
        let collapsing = (code.strip_prefix(COLLAPSING_INCLUDE), code.strip_prefix(COLLAPSING));
        let names = match (keyed, collapsing) {
            ((None, None), (None, None)) => code.strip_prefix(INCLUDE),
            ((None, None), (names, _)) if form.is_collapsing() => names,
            ((names, _), (None, None)) if form.is_keyed() => names,
            _ => continue,
        };
        match names {
            // What a function includes is known in it alone.
            Some(names) if line.starts_with(' ') => add(text, names, form, &mut known.clone()),
            Some(names) => add(text, names, form, known),
            None => {
                text.push_str(keyed.1.or(collapsing.1).unwrap_or(line));
                text.push('\n');
            }
        }
    }
}

fn add<'a>(text: &mut String, names: &'a str, form: ScriptForm, known: &mut Vec<&'a str>) {
    for name in names.split_whitespace() {
        if !known.contains(&name) {
            known.push(name);
            splice_into(text, include(name), form, known);
        }
    }
}

fn include(name: &str) -> &'static str {
    let known = INCLUDES.iter().find(|(known, _)| *known == name);
    known.expect("a test checks that every include exists").1
}

/// Writes the number of each key of the shard in the place of its name. A script whose keys are not a shard's names
/// them itself.
pub(super) fn declare(text: &str) -> Assembled {
    if text.contains("local K = {") || !text.contains(KEY) {
        return Assembled { text: text.to_owned(), declared: Declared::All };
    }
    let names = shard_key_names();
    let position = |named: &str| names.iter().position(|name| name == named);
    // By a name that it is told: any of them.
    let any = code(text).any(|line| starts_of(line, "K[").next().is_some());
    let used: BTreeSet<_> = if any {
        (0..names.len()).collect()
    } else {
        let named = code(text).flat_map(pieces).filter_map(|piece| position(piece.key?));
        named.collect()
    };
    let number = |named: &str| {
        let at = position(named).and_then(|at| used.iter().position(|used| *used == at));
        at.expect("a test checks that every key exists") + 1
    };
    let mut numbered = String::with_capacity(text.len());
    for line in text.lines() {
        if is_comment(line) {
            numbered.push_str(line);
        } else {
            for Piece { before, key } in pieces(line) {
                numbered.push_str(before);
                key.map(|key| write!(numbered, "KEYS[{}]", number(key)));
            }
        }
        numbered.push('\n');
        if any && numbered.len() == line.len() + 1 {
            let table = names.iter().map(|name| format!("{name} = KEYS[{}]", number(name)));
            let table = table.collect::<Vec<_>>().join(", ");
            numbered.extend(["local K = { ", &table, " }\n"]);
        }
    }
    Assembled { text: numbered, declared: Declared::Some(used.into_iter().collect()) }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("--")
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !is_comment(line))
}

/// A part of a line, and the key that follows it.
struct Piece<'a> {
    before: &'a str,
    key: Option<&'a str>,
}

/// A line, cut at the keys that it names.
fn pieces(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for at in starts_of(line, KEY) {
        let named = &line[at + KEY.len()..];
        let named = &named[..named.find(|c| !is_word(c)).unwrap_or(named.len())];
        pieces.push(Piece { before: &line[from..at], key: Some(named) });
        from = at + KEY.len() + named.len();
    }
    pieces.push(Piece { before: &line[from..], key: None });
    pieces
}

/// Where this stands in a line and is not the end of a longer name.
fn starts_of<'a>(line: &'a str, what: &'a str) -> impl Iterator<Item = usize> + 'a {
    let all = line.match_indices(what).map(|(at, _)| at);
    all.filter(|at| !line[..*at].ends_with(is_word))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::super::Verb;
    use super::*;
    use crate::store::redis::keys::{
        ACTION_KEYS, OPERATION_KEYS, OVERRIDE_KEYS, SCHEDULE_KEYS, TOPIC_KEYS,
    };

    #[test]
    fn what_an_include_needs_comes_once_and_before_it() {
        let text = splice(
            "#!lua\n-- include: finish record\nlocal function f()\n  -- include: trouble state\nend\nlocal function g()\n  -- include: trouble\nend\n",
            ScriptForm::Plain,
        );
        let places = |what: &str| text.match_indices(what).map(|(at, _)| at).collect::<Vec<_>>();
        for once in [
            "local time = ",
            "local RECORD_HEADER = ",
            "local STATE_HEADER = ",
            "local function finish(",
        ] {
            assert_eq!(places(once).len(), 1, "{once}");
        }
        assert!(places("local function record_pack(")[0] < places("local function state_pack(")[0]);
        assert_eq!(places("local function note_attempts(").len(), 2, "one for each function");
        assert!(text.starts_with("#!lua\n") && !text.contains(INCLUDE));
    }

    #[test]
    fn a_script_declares_the_keys_that_it_names_and_no_others() {
        let text =
            "#!lua\n-- K.due: no code\nrc('ZADD', K.leased, 1, OK.b) return rc('GET', K.meta)\n";
        let assembled = declare(text);
        let names = shard_key_names();
        let at = |named: &str| names.iter().position(|name| name == named).unwrap();
        assert_eq!(assembled.declared, Declared::Some(vec![at("meta"), at("leased")]));
        assert_eq!(
            assembled.text,
            "#!lua\n-- K.due: no code\nrc('ZADD', KEYS[2], 1, OK.b) return rc('GET', KEYS[1])\n"
        );
    }

    #[test]
    fn a_script_that_is_told_the_name_of_a_key_declares_all() {
        let assembled =
            declare("#!lua\nreturn OK[1] + rc('ZCARD', K[ARGV[1]]) + rc('ZCARD', K.due)\n");
        let names = shard_key_names();
        assert_eq!(assembled.declared, Declared::Some((0..names.len()).collect()));
        let lines: Vec<_> = assembled.text.lines().collect();
        assert!(
            lines[1].starts_with("local K = { meta = KEYS[1], records = KEYS[2], "),
            "{}",
            lines[1]
        );
        assert!(lines[2].ends_with("+ rc('ZCARD', KEYS[5])"), "{}", lines[2]);
    }

    #[test]
    fn every_key_and_every_include_that_a_script_names_exists() {
        let names = shard_key_names();
        for (verb, form) in
            Verb::ALL.iter().flat_map(|verb| ScriptForm::ALL.map(|form| (verb, form)))
        {
            let text = verb.text(form);
            if text.contains("local K = {") {
                continue;
            }
            for key in code(&text).flat_map(pieces).filter_map(|piece| piece.key) {
                assert!(names.iter().any(|name| name == key), "{verb:?}: K.{key}");
            }
        }
    }

    #[test]
    fn what_every_message_meets_declares_few_keys() {
        for (verb, most) in [(Verb::Schedule, 20), (Verb::Promote, 14)] {
            let Declared::Some(keys) = declare(&verb.text(ScriptForm::Plain)).declared else {
                panic!("{verb:?}")
            };
            assert!(keys.len() <= most, "{verb:?} declares {}", keys.len());
        }
    }

    #[test]
    fn scripts_that_are_no_shards_read_their_keys_in_the_order_of_the_rust_side() {
        for (name, keys) in [
            ("topic", &TOPIC_KEYS[..]),
            ("schedules", &SCHEDULE_KEYS[..]),
            ("operations", &OPERATION_KEYS[..]),
            ("actions", &ACTION_KEYS[..]),
            ("overrides", &OVERRIDE_KEYS[..]),
        ] {
            for (at, key) in keys.iter().enumerate() {
                let lua = format!("{} = KEYS[{}]", key.replace(':', "_"), at + 1);
                assert!(include(name).contains(&lua), "{name}: {lua}");
            }
        }
    }
}
