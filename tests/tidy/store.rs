//! How the store is divided: `Store` is a handle on its families and has no calls of its own.
//!
//! Owns what `Store` itself may have. Refuses to know what a family does.

use std::collections::BTreeSet;

use super::files::{files_below, no_faults};
use super::{first_word, without_comment};

/// What `Store` has: its construction, and what is read without any call.
const OF_STORE: [&str; 3] = ["new", "clock", "metrics"];
/// Where it has that.
const STORE: &str = "src/store/mod.rs";

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
