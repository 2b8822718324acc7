//! How the store is divided: `Store` is a handle on its families and has no calls of its own, and a family knows what
//! is below it and no other family.
//!
//! Owns what `Store` itself may have, and the floors inside the store. Refuses to know what a family does.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{files_below, no_faults, read};
use super::{first_word, without_comment};

/// What `Store` has: its construction, and what is read without any call.
const OF_STORE: [&str; 3] = ["new", "clock", "metrics"];
/// Where it has that.
const STORE: &str = "src/store/mod.rs";

/// What stands on what inside the store, the lowest first: a file may name its own module, and modules of lower floors.
const FLOORS: [&[&str]; 8] = [
    &["redis"],
    &["clock", "tail"],
    &["record", "routing"],
    &["callbacks", "preset_id"],
    &["queue"],
    &["wire"],
    // The families.
    &[
        "actions",
        "audit",
        "events",
        "inbox",
        "limits",
        "messages",
        "operations",
        "overrides",
        "queues",
        "schedules",
        "server",
        "topics",
    ],
    &["across"],
];

/// Gives the numbers that Rust and scripts share their names in Lua: each stands beside its meaning, wherever that is.
const NUMBERS: &str = "src/store/redis/script/numbers.rs";

#[test]
fn store_itself_has_no_calls() {
    let files = files_below(&["src"], "rs");
    no_faults(files.iter().flat_map(|file| store_faults(&file.name, &file.text)));
    let store = files.iter().find(|file| file.name == STORE).expect("the store has a file");
    let found: BTreeSet<_> = public_methods(&store.text).into_iter().collect();
    assert_eq!(found, OF_STORE.iter().map(ToString::to_string).collect(), "shorten OF_STORE");
}

#[test]
fn a_call_of_store_itself_is_seen() {
    let added =
        "impl Store {\n    /// Pauses.\n    pub async fn pause(&self) {}\n    fn own() {}\n}\n";
    assert_eq!(store_faults(STORE, added).len(), 1);
    assert_eq!(store_faults("src/store/queues/pause.rs", added).len(), 1);
    assert_eq!(store_faults(STORE, "impl Store {\n    pub fn new() {}\n}\n").len(), 0);
    assert_eq!(
        store_faults("src/store/queues/pause.rs", "impl Queues {\n    pub fn a() {}\n}\n").len(),
        0
    );
}

#[test]
fn a_family_knows_what_is_below_it_and_no_other_family() {
    let exported = exported(&read(STORE));
    let files = files_below(&["src/store"], "rs");
    assert!(files.len() > 80, "found only {}", files.len());
    no_faults(files.iter().flat_map(|file| floor_faults(&file.name, &file.text, &exported)));
    let known: BTreeSet<_> = files.iter().filter_map(|file| module(&file.name)).collect();
    let floors: BTreeSet<_> = FLOORS.iter().flat_map(|floor| floor.iter().copied()).collect();
    assert_eq!(known, floors, "each module of the store has its floor");
}

#[test]
fn an_arrow_up_or_to_a_sibling_is_seen() {
    let exported =
        exported("pub use topics::{Event, Topics};\npub use redis::error::StoreError;\n");
    let faults = |name: &str, code: &str| floor_faults(name, code, &exported).len();
    let (file, folder) = ("src/store/inbox.rs", "src/store/messages/mod.rs");
    assert_eq!(faults(file, "use crate::store::topics::Topics;"), 1);
    assert_eq!(faults(file, "use crate::store::{StoreError, Topics};"), 1);
    assert_eq!(faults(file, "fn f(topics: &super::topics::Topics) {}"), 1);
    assert_eq!(faults(folder, "use super::{Store, wire::Wire};"), 1);
    assert_eq!(
        faults("src/store/messages/bulk/walk.rs", "use super::super::super::inbox::Entry;"),
        1
    );
    assert_eq!(faults("src/store/wire/mod.rs", "use crate::store::messages::Messages;"), 1);
    assert_eq!(
        faults(folder, "use crate::store::{StoreError, wire::Wire};\nuse super::redis::Reply;"),
        0
    );
    assert_eq!(faults("src/store/messages/claim.rs", "use super::gate::Gate;"), 0);
    assert_eq!(faults("src/store/across/gauges.rs", "use crate::store::Topics;"), 0);
    assert_eq!(faults(file, "mod a {}\n#[cfg(test)]\nmod tests { use crate::store::Topics; }"), 0);
}

fn floor_faults(name: &str, text: &str, exported: &BTreeMap<String, String>) -> Vec<String> {
    let Some(own) = module(name).filter(|_| name != NUMBERS) else { return Vec::new() };
    let floor_of = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: String = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    let is_below = |used: &String| match (floor_of(used), floor_of(own)) {
        (Some(used), Some(own)) => used < own,
        _ => false,
    };
    named(name, &code)
        .into_iter()
        .map(|named| exported.get(&named).cloned().unwrap_or(named))
        .filter(|used| used != own && !is_below(used))
        .map(|used| format!("{name}: names `{used}`, which is not below `{own}`; see FLOORS"))
        .collect()
}

/// The module of the store that a file belongs to; `None`: the store's own.
fn module(name: &str) -> Option<&str> {
    let below = name.strip_prefix("src/store/")?;
    let own = below.split(['/', '.']).next()?;
    (own != "mod").then_some(own)
}

/// What a file names of the store: modules, and what the store exports.
fn named(name: &str, code: &str) -> BTreeSet<String> {
    let depth =
        name.trim_start_matches("src/store/").trim_end_matches("/mod.rs").split('/').count();
    let roots = ["crate::store::".to_owned(), "super::".repeat(depth)];
    let mut found = BTreeSet::new();
    for root in roots {
        for (at, _) in code.match_indices(&root) {
            // Neither a longer way up, nor a visibility.
            let before = &code[..at];
            if !before.ends_with("::") && !before.ends_with("in ") {
                found.extend(firsts(&code[at + root.len()..]));
            }
        }
    }
    found.retain(|name| name != "super");
    found
}

/// The first words of a path, or of each path between braces.
fn firsts(path: &str) -> Vec<String> {
    if !path.starts_with('{') {
        return vec![first_word(path).to_owned()];
    }
    let (mut found, mut depth) = (Vec::new(), 0);
    for (at, c) in path.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(c, '{' | ',') {
            found.push(first_word(path[at + 1..].trim_start()).to_owned());
        }
    }
    found.retain(|word| !word.is_empty());
    found
}

/// What the store exports, and the module that it is from.
fn exported(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text.split("pub use ").skip(1) {
        let path = line.split(';').next().unwrap_or_default();
        let module = first_word(path);
        let items = path.rsplit_once("::").map_or(path, |(_, items)| items);
        let items = path.split_once('{').map_or(items, |(_, items)| items.trim_end_matches('}'));
        for item in items.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            found.insert(item.to_owned(), module.to_owned());
        }
    }
    found
}

fn store_faults(name: &str, text: &str) -> Vec<String> {
    let methods = public_methods(text).into_iter();
    let added = methods.filter(|method| name != STORE || !OF_STORE.contains(&method.as_str()));
    added
        .map(|method| {
            format!(
                "{name}: `{method}` is a public method of Store; a new call goes to a family, as in \
                 store.messages.{method}(..), and to src/store/across if it needs several families"
            )
        })
        .collect()
}

/// The public methods that this file gives to `Store`.
fn public_methods(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for line in text.lines().map(without_comment) {
        match line {
            "}" => is_inside = false,
            "impl Store {" | "impl crate::store::Store {" => is_inside = true,
            _ => {}
        }
        let line = line.trim_start();
        if is_inside
            && line.starts_with("pub")
            && let Some((_, rest)) = line.split_once("fn ")
        {
            found.push(first_word(rest).to_owned());
        }
    }
    found
}
