//! The scripts: the same header everywhere, arguments as the header tells them, declared keys only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::files::{File, files_below, no_faults, read};

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
    let declared = ["topic", "schedules", "inbox"];
    let declared =
        declared.map(|keys| read(&format!("{INCLUDES}/{keys}.lua"))).join("") + &shard_keys();
    no_faults(files.iter().flat_map(|file| key_faults(&file.name, &file.text, &declared)));
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

/// In the header, and in functions that only some calls need.
fn includes_of(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("-- include: "));
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// The keys of a shard, as scripts name them.
fn shard_keys() -> String {
    let text = read("src/store/keys.rs");
    let quoted = text.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next());
    let declared = quoted.map(|name| {
        let name = name.replace(':', "_");
        format!("{name} = KEYS[\ncallbacks_{name} = KEYS[\n")
    });
    declared.collect()
}

/// Calls whose key argument is built on the spot, or is no declared key.
fn key_faults(name: &str, text: &str, shard: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let mut faults = Vec::new();
    for call in ["redis.call('", "redis.pcall('", "rc('", "gather('"] {
        for (at, _) in code.match_indices(call) {
            let is_whole_name = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let Some((command, rest)) = code[at + call.len()..].split_once('\'') else { continue };
            // The last two name their key later on.
            if !is_whole_name || matches!(command, "TIME" | "PUBLISH" | "XGROUP" | "XREADGROUP") {
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
