//! The house checks itself: floors, headers, sizes, Lua scripts, and the commands the docs speak of.
//!
//! Owns the table of allowed arrows; a new arrow is a change of design, and is made here on purpose.
//! Rules are functions from text to faults, tried on bad samples beside the real files.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/downstreams.rs"]
mod downstreams;
#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/log_fields.rs"]
mod log_fields;
#[path = "tidy/loops.rs"]
mod loops;
#[path = "tidy/lua.rs"]
mod lua;
#[path = "tidy/settings.rs"]
mod settings;
#[path = "tidy/shipped.rs"]
mod shipped;
#[path = "tidy/store.rs"]
mod store;
#[path = "tidy/type_names.rs"]
mod type_names;

use std::collections::BTreeSet;

use files::{File, files_below, no_faults, read, root};

/// Files larger than this hold more than one idea.
const LINES_MAX: usize = 400;

/// What each room may use. `main` and `lib` stand above and are not listed.
const FLOORS: [(&str, &[&str]); 14] = [
    (
        "app",
        &[
            "dashboard",
            "api",
            "workers",
            "cli",
            "engine",
            "store",
            "transport",
            "config",
            "wire",
            "domain",
            "telemetry",
            "shutdown",
            "failpoint",
        ],
    ),
    // Asks the API inside the process, and reads its answers as `wire`.
    ("dashboard", &["api", "config", "wire", "domain"]),
    // Meets the transport for one thing: the test call of `tidegate try`.
    ("api", &["engine", "store", "transport", "config", "wire", "domain", "telemetry", "shutdown"]),
    (
        "workers",
        &["engine", "store", "transport", "config", "domain", "telemetry", "shutdown", "failpoint"],
    ),
    // The life of a message: both the API, for pulls, and the workers stand on it.
    ("engine", &["store", "transport", "config", "domain", "telemetry", "shutdown", "failpoint"]),
    // Speaks HTTP only.
    ("cli", &["config", "wire", "domain"]),
    ("store", &["config", "wire", "domain", "telemetry", "shutdown", "failpoint"]),
    ("transport", &["domain", "telemetry"]),
    ("telemetry", &["config", "domain"]),
    ("config", &["domain"]),
    // What answers and requests look like; no I/O.
    ("wire", &["domain"]),
    ("shutdown", &[]),
    ("failpoint", &[]),
    ("domain", &[]),
];

/// What only some rooms may name: (crate or path, rooms).
const ONLY_IN: [(&str, &[&str]); 5] = [
    ("redis::", &["store"]),
    ("axum::", &["api", "app", "dashboard"]),
    ("clap::", &["cli", "main"]),
    ("ratatui::", &["cli"]),
    ("crossterm::", &["cli"]),
];

/// What the pure rooms must not name.
const NOT_IN_PURE_ROOMS: [&str; 7] =
    ["tokio::", "tracing::", "std::fs", "std::net", "std::process", "std::env", "SystemTime"];

/// Words that mean "not finished".
const UNFINISHED: [&str; 5] = ["todo!", "unimplemented!", "dbg!", "TODO", "FIXME"];

#[test]
fn every_rust_file_says_what_it_owns() {
    let files = files_below(&["src", "tests", "benches", "examples"], "rs");
    assert!(files.len() > 20, "found only {}", files.len());
    // The crate's own header is a page of its own, included by its first line.
    let has_header =
        |file: &File| ["//! ", "#![doc = include_str!"].iter().any(|h| file.text.starts_with(h));
    no_faults(files.iter().filter(|file| !has_header(file)).map(|file| {
        format!("{}: starts without a //! header: what it owns, what it refuses to know", file.name)
    }));
}

#[test]
fn no_source_file_is_too_long() {
    no_faults(files_below(&["src"], "rs").iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines, more than {LINES_MAX}", file.name))
    }));
}

#[test]
fn nothing_is_left_unfinished() {
    let mut files = files_below(&["src"], "rs");
    files.extend(files_below(&["src"], "lua"));
    no_faults(files.iter().flat_map(|file| {
        let found = UNFINISHED.iter().filter(|word| file.text.contains(**word));
        found.map(|word| format!("{}: contains {word}", file.name))
    }));
}

#[test]
fn rooms_use_only_what_is_below_them() {
    no_faults(
        files_below(&["src"], "rs").iter().flat_map(|file| floor_faults(&file.name, &file.text)),
    );
}

#[test]
fn every_room_has_its_floor() {
    let modules = read("src/lib.rs");
    let rooms = modules.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let known: BTreeSet<_> = FLOORS.iter().map(|(room, _)| *room).collect();
    assert_eq!(rooms.collect::<BTreeSet<_>>(), known);
}

#[test]
fn a_forbidden_arrow_is_seen() {
    let faults = |room: &str, code: &str| floor_faults(&format!("src/{room}/x.rs"), code).len();
    assert_eq!(faults("api", "use crate::workers::Dispatcher;"), 1);
    assert_eq!(faults("api", "use crate::{domain::id, cli, store::Store};"), 1);
    assert_eq!(faults("store", "fn f() { crate::transport::call() }"), 1);
    assert_eq!(faults("domain", "use tokio::time::Instant;"), 1);
    assert_eq!(faults("engine", "use crate::api::Door; use crate::workers::Reaper;"), 2);
    assert_eq!(faults("workers", "let c = redis::cmd(\"GET\");"), 1);
    assert_eq!(floor_faults("src/api/mod.rs", "use super::workers::x;").len(), 1);
    assert_eq!(
        faults("api", "use crate::store::Store; // not crate::workers\nuse super::redis_url::x;"),
        0
    );
}

fn floor_faults(name: &str, text: &str) -> Vec<String> {
    // A room's tests may stand in for its neighbours.
    if name.contains("/tests/") || name.ends_with("/tests.rs") {
        return Vec::new();
    }
    let room = name.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
    let code: String = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    let mut faults = Vec::new();
    if let Some((_, allowed)) = FLOORS.iter().find(|(floor, _)| *floor == room) {
        // In a room's own mod.rs, `super` is the crate too.
        let is_room = name == format!("src/{room}/mod.rs");
        let roots: &[&str] = if is_room { &["crate::", "super::"] } else { &["crate::"] };
        for used in roots.iter().flat_map(|root| rooms_named(&code, root)) {
            if used != room && !allowed.contains(&used.as_str()) {
                faults.push(format!("{name}: {room} uses {used}, which is not below it"));
            }
        }
    }
    for (path, rooms) in ONLY_IN {
        // A room may have a file of that name, itself or among its sections.
        let file = path.replace("::", ".rs");
        let is_own = ["", "sections"]
            .iter()
            .any(|folder| root().join("src").join(room).join(folder).join(&file).exists());
        if names(&code, path) && !rooms.contains(&room) && !is_own {
            faults.push(format!("{name}: names {path}, which only {rooms:?} may"));
        }
    }
    for path in NOT_IN_PURE_ROOMS {
        if matches!(room, "domain" | "wire") && code.contains(path) {
            faults.push(format!("{name}: names {path}; {room} is pure"));
        }
    }
    faults
}

/// The rooms that paths starting at `root` lead into: `crate::x::…` and `crate::{x::…, y}`.
fn rooms_named(code: &str, root: &str) -> BTreeSet<String> {
    let known: BTreeSet<_> = FLOORS.iter().map(|(room, _)| *room).collect();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(root) {
        let rest = &code[at + root.len()..];
        let mut depth = 0;
        for (index, c) in rest.char_indices() {
            let starts_name = index == 0 || (depth == 1 && !rest[..index].ends_with([':', '_']));
            if starts_name
                && c.is_ascii_lowercase()
                && !rest[..index].ends_with(char::is_alphanumeric)
            {
                found.insert(first_word(&rest[index..]).to_owned());
            }
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found.retain(|room| known.contains(room.as_str()));
    found
}

/// Whether the code names a path from its first segment (`redis::` but not `my_redis::`).
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        !(before.is_alphanumeric() || before == '_' || before == ':')
    })
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with("//") { "" } else { line.split(" // ").next().unwrap_or(line) }
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}
