//! No file leads back to itself: in a folder, what uses a neighbour is not used by it.
//!
//! Owns how a neighbour is named (`super::neighbour::`). Refuses to know floors, which tie whole rooms.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{File, files_below, no_faults};
use super::{first_word, without_comment};

/// A file's name without folder and ending, and the neighbours that it names.
type Arrows = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_file_leads_back_to_itself() {
    let mut folders: BTreeMap<String, Arrows> = BTreeMap::new();
    for File { name, text } in files_below(&["src"], "rs") {
        let (folder, file) = name.rsplit_once('/').expect("it lies below src/");
        let stem = file.trim_end_matches(".rs");
        // What a folder's mod.rs collects, its files may use: that is what it is for.
        if stem != "mod" && stem != "tests" && !folder.ends_with("/tests") {
            let arrows = folders.entry(folder.to_owned()).or_default();
            arrows.insert(stem.to_owned(), neighbours(&text));
        }
    }
    assert!(folders.len() > 8, "found only {}", folders.len());
    no_faults(folders.iter().flat_map(|(folder, arrows)| {
        circles(arrows).into_iter().map(move |circle| format!("{folder}: {circle}"))
    }));
}

#[test]
fn a_circle_is_seen() {
    let arrows = |files: &[(&str, &str)]| -> Arrows {
        files.iter().map(|(stem, text)| ((*stem).to_owned(), neighbours(text))).collect()
    };
    let ring = [("a", "use super::b::X;"), ("b", "use super::c::Y;"), ("c", "super::a::f();")];
    let faults: Vec<_> = circles(&arrows(&ring)).into_iter().collect();
    assert_eq!(faults, ["a, b, c use each other in a circle"]);
    let row = [("a", "use super::b::X;"), ("b", "// super::a::\n#[cfg(test)]\nuse super::a::Y;")];
    assert!(circles(&arrows(&row)).is_empty());
}

/// The neighbours that a file names, but for its tests.
fn neighbours(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    code.split("super::").skip(1).map(|rest| first_word(rest).to_owned()).collect()
}

/// Each circle, once, by its names.
fn circles(arrows: &Arrows) -> BTreeSet<String> {
    let reached = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            for to in arrows.get(at).into_iter().flatten().filter(|to| arrows.contains_key(*to)) {
                if seen.insert(to.as_str()) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let in_circles = arrows.keys().filter(|stem| reached(stem).contains(stem.as_str()));
    let circle = |stem: &String| {
        let back = |other: &&str| reached(other).contains(stem.as_str());
        let names: Vec<_> = reached(stem).into_iter().filter(back).collect();
        format!("{} use each other in a circle", names.join(", "))
    };
    in_circles.map(circle).collect()
}
