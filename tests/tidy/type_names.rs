//! One name, one type: a reader who knows a name need not ask which of several it is here.
//!
//! Owns the names that still stand for several types. Looks at the store and the engine, and at what they stand on.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{File, files_below};
use super::{first_word, without_comment};

/// Names that still stand for several types; to be shortened, never to grow.
const REPEATED: [&str; 2] = ["Call", "Work"];

#[test]
fn a_type_name_stands_for_one_type() {
    let files = files_below(&["src/store", "src/engine", "src/domain", "src/transport"], "rs");
    let own = |name: &str| name.starts_with("src/store/") || name.starts_with("src/engine/");
    let repeated: BTreeMap<_, _> = by_name(&files)
        .into_iter()
        .filter(|(_, files)| files.len() > 1 && files.iter().any(|file| own(file)))
        .collect();
    let found: BTreeSet<_> = repeated.keys().map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(REPEATED), "{repeated:#?}");
}

#[test]
fn a_second_type_of_a_name_is_seen() {
    let file = |name: &str, text: &str| File { name: name.to_owned(), text: text.to_owned() };
    let files = [
        file("a.rs", "pub(in crate::store) struct Page<'a> {\n// struct Kept\n"),
        file(
            "b.rs",
            "    enum Page {}\ntype Kept = u8;\n#[cfg(test)]\nmod tests {\n    struct Kept;\n}\n",
        ),
        file("tests/c.rs", "struct Page;\n"),
    ];
    let names = by_name(&files);
    assert_eq!(names["Page"], ["a.rs", "b.rs"]);
    assert_eq!(names["Kept"], ["b.rs"]);
}

/// The files that define each type, without those of tests.
fn by_name(files: &[File]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for File { name, text } in files.iter().filter(|file| !is_of_tests(&file.name)) {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in text.lines().map(without_comment) {
            found.entry(defined(line).unwrap_or_default()).or_default().push(name.clone());
        }
    }
    found.remove("");
    found
}

fn is_of_tests(name: &str) -> bool {
    name.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// The type that a line defines.
fn defined(line: &str) -> Option<String> {
    // What an implementation calls the types of its trait is no name of its own.
    let kinds: &[&str] = if line.starts_with(' ') {
        &["struct ", "enum ", "trait "]
    } else {
        &["struct ", "enum ", "trait ", "type "]
    };
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let rest = kinds.iter().find_map(|kind| line.strip_prefix(kind))?;
    let name = first_word(rest);
    (!name.is_empty()).then(|| name.to_owned())
}
