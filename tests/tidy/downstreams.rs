//! The kinds of downstream are told apart in three lists, and nowhere else: another one adds a line to each.

use super::files::{File, files_below, no_faults};

/// What a kind can do, how it is configured, and how it is called.
const LISTS: [&str; 3] = [
    "src/domain/policy/downstream.rs",
    "src/config/sections/downstream/mod.rs",
    "src/transport/mod.rs",
];
/// Queues that no configuration makes are given their kind here.
const MADE: [&str; 2] = ["src/domain/policy/mod.rs", "src/store/callbacks.rs"];

#[test]
fn kinds_of_downstream_are_told_apart_in_their_lists_alone() {
    let files = files_below(&["src"], "rs");
    let named = |name: &str| files.iter().any(|file| file.name == name && names_a_kind(file));
    for list in LISTS {
        assert!(named(list), "{list} names no kind any more");
    }
    let others = files.iter().filter(|file| {
        ![&LISTS[..], &MADE].concat().contains(&file.name.as_str()) && names_a_kind(file)
    });
    no_faults(others.map(|file| {
        format!(
            "{} names a kind of downstream; ask for its capabilities (domain/policy/downstream.rs)",
            file.name
        )
    }));
}

#[test]
fn a_kind_that_is_told_apart_elsewhere_is_seen() {
    let of =
        |text: &str| names_a_kind(&File { name: "src/x.rs".to_owned(), text: text.to_owned() });
    assert!(of("if matches!(it, Downstream::Pull) {}"));
    assert!(!of("let timeout = downstream.as_ref().map(Downstream::timeout_ms);"));
    assert!(!of("fn f() {}\n#[cfg(test)]\nmod tests { use Downstream::Null; }"));
}

/// Whether a variant of the list stands in what is shipped.
fn names_a_kind(file: &File) -> bool {
    if file.name.contains("/tests/") || file.name.ends_with("tests.rs") {
        return false;
    }
    let shipped = file.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let words = shipped.split("Downstream::").skip(1);
    words.filter_map(|after| after.chars().next()).any(char::is_uppercase)
}
