//! The house checks itself: floors, headers, sizes, Lua scripts, and the commands the docs speak of.
//!
//! Owns the table of allowed arrows; a new arrow is a change of design, and is made here on purpose.
//! Every rule is a function from text to faults, tried on a bad sample beside the real files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files larger than this hold more than one idea.
const LINES_MAX: usize = 400;

/// What each room may use. `main` and `lib` stand above and are not listed.
const FLOORS: [(&str, &[&str]); 10] = [
    (
        "app",
        &[
            "api",
            "workers",
            "cli",
            "store",
            "transport",
            "config",
            "domain",
            "telemetry",
            "shutdown",
        ],
    ),
    // Meets the transport for one thing: the test call of `tidegate try`.
    ("api", &["store", "transport", "config", "domain", "telemetry", "shutdown"]),
    ("workers", &["store", "transport", "config", "domain", "telemetry", "shutdown"]),
    // Speaks HTTP only.
    ("cli", &["config", "domain"]),
    ("store", &["config", "domain", "telemetry", "shutdown"]),
    ("transport", &["domain", "telemetry"]),
    ("telemetry", &["config", "domain"]),
    ("config", &["domain"]),
    ("shutdown", &[]),
    ("domain", &[]),
];

/// What only some rooms may name: (crate or path, rooms).
const ONLY_IN: [(&str, &[&str]); 3] =
    [("redis::", &["store"]), ("axum::", &["api", "app"]), ("clap::", &["cli", "main"])];

/// What the pure room must not name.
const NOT_IN_DOMAIN: [&str; 7] =
    ["tokio::", "tracing::", "std::fs", "std::net", "std::process", "std::env", "SystemTime"];

/// Words that mean "not finished".
const UNFINISHED: [&str; 5] = ["todo!", "unimplemented!", "dbg!", "TODO", "FIXME"];

// ── Rust ────────────────────────────────────────────────────────────────────────────────────────

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
    assert_eq!(faults("workers", "let c = redis::cmd(\"GET\");"), 1);
    assert_eq!(floor_faults("src/api/mod.rs", "use super::workers::x;").len(), 1);
    assert_eq!(
        faults("api", "use crate::store::Store; // not crate::workers\nuse super::redis_url::x;"),
        0
    );
}

fn floor_faults(name: &str, text: &str) -> Vec<String> {
    let room = name.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default();
    let code: String = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    let mut faults = Vec::new();
    if let Some((_, allowed)) = FLOORS.iter().find(|(floor, _)| *floor == room) {
        // In a room's mod.rs, `super` is the crate too.
        let roots: &[&str] =
            if name.ends_with("/mod.rs") { &["crate::", "super::"] } else { &["crate::"] };
        for used in roots.iter().flat_map(|root| rooms_named(&code, root)) {
            if used != room && !allowed.contains(&used.as_str()) {
                faults.push(format!("{name}: {room} uses {used}, which is not below it"));
            }
        }
    }
    for (path, rooms) in ONLY_IN {
        if names(&code, path) && !rooms.contains(&room) {
            faults.push(format!("{name}: names {path}, which only {rooms:?} may"));
        }
    }
    for path in NOT_IN_DOMAIN {
        if room == "domain" && code.contains(path) {
            faults.push(format!("{name}: names {path}; domain is pure"));
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

// ── Lua ─────────────────────────────────────────────────────────────────────────────────────────

const VERBS: &str = "src/store/lua";
const INCLUDES: &str = "src/store/lua/include";

#[test]
fn every_verb_is_a_script_in_the_same_form() {
    let verbs = verbs();
    assert!(!verbs.is_empty(), "no script in {VERBS}");
    no_faults(verbs.iter().flat_map(|file| verb_faults(&file.name, &file.text)));
}

#[test]
fn every_include_is_there_and_used() {
    let named: BTreeSet<_> = verbs().iter().flat_map(|file| includes_of(&file.text)).collect();
    let there: BTreeSet<_> = files_below(&[INCLUDES], "lua").iter().map(File::stem).collect();
    assert_eq!(named, there, "left: named in an `-- include:` line; right: files in {INCLUDES}");
}

#[test]
fn no_script_builds_a_key() {
    let files = files_below(&[VERBS], "lua");
    let shard = read(&format!("{INCLUDES}/shard.lua"));
    no_faults(files.iter().flat_map(|file| key_faults(&file.name, &file.text, &shard)));
}

#[test]
fn bad_scripts_are_seen() {
    let good = "#!lua flags=allow-oom\n-- ack: leased → delivered.\n-- include: shard\n--\n-- ARGV[1] token\n-- Returns 0\nreturn ARGV[1]\n";
    assert_eq!(verb_faults("ack.lua", good), Vec::<String>::new());
    for bad in [
        good.replace("#!lua", "--"),
        good.replace("-- ack:", "-- acknowledge:"),
        good.replace("-- include: shard\n", ""),
        good.replace("-- Returns 0\n", ""),
        good.replace("-- ARGV[1] token\n", ""),
        good.replace("return ARGV[1]", "return 0"),
        good.replace("return ARGV[1]", "return ARGV[1] .. ARGV[2]"),
        good.replace("return ARGV[1]", "return redis.call('TIME', ARGV[1])"),
    ] {
        assert_eq!(verb_faults("ack.lua", &bad).len(), 1, "{bad}");
    }
    let shard = "local K = {\n  meta = KEYS[1], due = KEYS[2],\n}\n";
    let faults = |code: &str| key_faults("x.lua", code, shard).len();
    assert_eq!(faults("rc('ZADD', K.due, 1, 'x' .. y) gather('HDEL', READY[band], f(a, b))"), 0);
    assert_eq!(faults("rc('ZADD', KEYS[1] .. ':x', 1, 'x')"), 1);
    assert_eq!(faults("rc('ZADD', 'due', 1, 'x')"), 1);
    assert_eq!(faults("gather('ZADD', K.do, 1, 'x')"), 1);
}

/// The faults of a verb's script: first line, header, arguments.
fn verb_faults(name: &str, text: &str) -> Vec<String> {
    let verb = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{name}: {what}"));
    let first = text.lines().next().unwrap_or_default();
    if first != "#!lua" && !first.starts_with("#!lua flags=") {
        fault("the first line is not `#!lua` with its flags".to_owned());
    }
    let header: Vec<_> = text.lines().skip(1).take_while(|line| line.starts_with("--")).collect();
    if !header.first().is_some_and(|line| line.starts_with(&format!("-- {verb}: "))) {
        fault(format!("the header does not begin with `-- {verb}: ` and its purpose"));
    }
    if includes_of(text).is_empty() {
        fault("no `-- include: ` line; every script needs shard at least".to_owned());
    }
    if !header.iter().any(|line| line.starts_with("-- Returns ")) {
        fault("no `-- Returns ` line".to_owned());
    }
    let body: String = text.lines().skip(1 + header.len()).collect::<Vec<_>>().join("\n");
    let (told, used) = (arguments(&header.join("\n")), arguments(&body));
    let variadic_from = told.iter().filter(|(_, is_last)| **is_last).map(|(n, _)| *n).min();
    for n in used.keys() {
        if !told.contains_key(n) && variadic_from.is_none_or(|from| *n < from) {
            fault(format!("ARGV[{n}] is used but not in the header"));
        }
    }
    for (n, is_last) in &told {
        if !is_last && !used.contains_key(n) {
            fault(format!("ARGV[{n}] is in the header but not used"));
        }
    }
    if body.contains("'TIME'") {
        fault("asks TIME itself; shard.lua does that once".to_owned());
    }
    faults
}

/// The numbers in `ARGV[n]`; true where it reads `ARGV[n...]`: the rest.
fn arguments(text: &str) -> BTreeMap<u32, bool> {
    let pieces = text.split("ARGV[").skip(1).filter_map(|piece| piece.split(']').next());
    let number = |inside: &str| {
        let is_last = inside.ends_with("...");
        Some((inside.trim_end_matches('.').parse().ok()?, is_last))
    };
    pieces.filter_map(number).collect()
}

fn includes_of(text: &str) -> BTreeSet<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("-- include: "));
    line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Calls whose key argument is built on the spot, or is no declared key.
fn key_faults(name: &str, text: &str, shard: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let mut faults = Vec::new();
    for call in ["redis.call('", "redis.pcall('", "rc('", "gather('"] {
        for (at, _) in code.match_indices(call) {
            let is_whole_name = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let Some((command, rest)) = code[at + call.len()..].split_once('\'') else { continue };
            if !is_whole_name || matches!(command, "TIME" | "PUBLISH") {
                continue;
            }
            let key = rest.trim_start_matches([',', ' ']);
            let key = key[..key.find([',', ')']).unwrap_or(key.len())].trim();
            let is_declared =
                key.strip_prefix("K.").is_none_or(|k| shard.contains(&format!("{k} = KEYS[")));
            if key.contains(['\'', '"']) || key.contains("..") || !is_declared {
                faults.push(format!("{name}: {command} on `{key}`, which is no declared key"));
            }
        }
    }
    faults
}

fn verbs() -> Vec<File> {
    let mut files = files_below(&[VERBS], "lua");
    files.retain(|file| !file.name.starts_with(INCLUDES));
    files
}

// ── Documentation ───────────────────────────────────────────────────────────────────────────────

#[test]
fn every_command_in_the_docs_exists() {
    let mut pages = files_below(&["docs"], "md");
    pages.push(File { name: "README.md".to_owned(), text: read("README.md") });
    let commands: BTreeSet<_> = pages.iter().flat_map(|page| commands_in(&page.text)).collect();
    assert!(commands.len() > 10, "the docs speak only of {commands:?}");
    no_faults(commands.iter().filter_map(|command| {
        let mut help = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        let output = help.args(["help", command]).output().expect("the binary runs");
        (!output.status.success()).then(|| format!("`tidegate {command}` does not exist"))
    }));
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = files_below(&["docs"], "md");
    for name in ["README.md", "CHANGELOG.md"] {
        pages.push(File { name: name.to_owned(), text: read(name) });
    }
    no_faults(pages.iter().flat_map(|page| {
        let folder = root().join(&page.name).parent().expect("a file lies in a folder").to_owned();
        let links = page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let local = links.map(|link| link.split('#').next().unwrap_or_default().to_owned());
        let dead = local.filter(move |link| {
            !link.is_empty() && !link.contains("://") && !folder.join(link).exists()
        });
        dead.map(|link| format!("{}: links to {link}, which is not there", page.name))
    }));
}

/// The subcommands in fenced blocks: `tidegate NAME`, at the start of a command.
fn commands_in(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut is_code = false;
    for line in page.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            for (at, word) in line.match_indices("tidegate ") {
                let starts = line[..at].trim_end();
                let is_command =
                    starts.is_empty() || starts.ends_with(['$', '(', '|', ';', '&', '!']);
                let name = first_word_of_command(&line[at + word.len()..]);
                if is_command && !name.is_empty() {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    found
}

fn first_word_of_command(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(text.len());
    if text.starts_with('-') { "" } else { &text[..end] }
}

// ── Files ───────────────────────────────────────────────────────────────────────────────────────

/// A file of the house, by its path from the root.
struct File {
    name: String,
    text: String,
}

impl File {
    fn stem(&self) -> String {
        let stem = Path::new(&self.name).file_stem().expect("a file has a name");
        stem.to_string_lossy().into_owned()
    }
}

fn files_below(folders: &[&str], extension: &str) -> Vec<File> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.expect("the folder is readable").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(root()).expect("below the root").display().to_string();
                found.push(File { text: read(&name), name });
            }
        }
    }
    found
}

fn read(name: &str) -> String {
    let text = std::fs::read_to_string(root().join(name));
    assert!(text.is_ok(), "{name}: {text:?}");
    text.unwrap_or_default()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn no_faults(faults: impl Iterator<Item = String>) {
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}
