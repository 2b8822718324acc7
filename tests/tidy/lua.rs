//! The scripts: the same header everywhere, no argument that nobody reads, declared keys only.
//!
//! That names are those of the header the compiler and the tests of `store::script` hold.

use std::collections::BTreeSet;
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
    let files = files_below(&[VERBS], "lua");
    let named: BTreeSet<_> = files.iter().flat_map(|file| includes_of(&file.text)).collect();
    let there: BTreeSet<_> =
        files_below(&[INCLUDES], "lua").iter().map(|file| include_name(&file.name)).collect();
    assert_eq!(named, there, "left: named in an `-- include:` line; right: files in {INCLUDES}");
}

#[test]
fn no_script_builds_a_key() {
    let files = files_below(&[VERBS], "lua");
    let declared = ["topic", "schedules", "inbox", "one", "beat"];
    let declared =
        declared.map(|keys| read(&format!("{INCLUDES}/{keys}.lua"))).join("") + &shard_keys();
    no_faults(files.iter().flat_map(|file| key_faults(&file.name, &file.text, &declared)));
}

#[test]
fn bad_scripts_are_seen() {
    let good = "#!lua flags=allow-oom\n-- ack: leased → delivered.\n-- include: shard\n--\n-- args: keep_ms:number (token)...\n-- returns: code\n--\n-- Safe to repeat: x.\nreturn REPLY { code = keep_ms + ROW[i].token }\n";
    assert_eq!(verb_faults("ack.lua", good), Vec::<String>::new());
    for bad in [
        good.replace("#!lua", "--"),
        good.replace("-- ack:", "-- acknowledge:"),
        good.replace("-- include: shard\n", ""),
        good.replace("-- returns: code\n", ""),
        good.replace("-- args: ", "-- args: never_used "),
        good.replace("ROW[i].token", "1"),
        good.replace("keep_ms + ", "keep_ms + ARGV[2] + "),
        good.replace("keep_ms + ", "keep_ms + redis.call('TIME') + "),
        good.replace("-- Safe to repeat", "-- It is safe"),
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
    if !header.iter().any(|line| line.starts_with("-- returns: ")) {
        fault("no `-- returns: ` line".to_owned());
    }
    let said = header.join(" ").replace(" -- ", " ");
    let says = |how: &str| said.contains(how);
    let repeats = ["Safe to repeat", "Not repeated", "A repeat "].into_iter().any(says);
    if !repeats && !first.ends_with("no-writes") {
        fault("the header does not say why a repeat is safe".to_owned());
    }
    let body: String = text.lines().skip(1 + header.len()).collect::<Vec<_>>().join("\n");
    let args = header.iter().filter_map(|line| line.strip_prefix("-- args: "));
    for name in args.flat_map(str::split_whitespace).map(arg_name) {
        let is_used = words(&body).any(|word| word == name)
            || is_read_by_place(&body)
            || is_read_by_include(text, name);
        if !is_used {
            fault(format!("{name} is in `-- args:` but not used"));
        }
    }
    if body.split("ARGV[").skip(1).any(|piece| piece.starts_with(|c: char| c.is_ascii_digit())) {
        fault("an argument by its number; `-- args:` names it".to_owned());
    }
    if body.contains("'TIME'") {
        fault("asks TIME itself; shard.lua does that once".to_owned());
    }
    faults
}

/// A name without its kind and the signs of a row.
fn arg_name(word: &str) -> &str {
    let word = word.trim_matches(['(', ')', '.']);
    word.split_once(':').map_or(word, |(name, _)| name)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

/// Whether a part of the script that it includes reads this argument, as those of claim do.
fn is_read_by_include(text: &str, name: &str) -> bool {
    let read_include = |include: &String| read(&format!("{INCLUDES}/{include}.lua"));
    let parts: Vec<_> = includes_of(text).iter().map(read_include).collect();
    let deeper = parts.iter().flat_map(|part| includes_of(part));
    let mut all: Vec<_> = deeper.map(|include| read_include(&include)).collect();
    all.extend(parts);
    all.iter().any(|part| words(part).any(|word| word == name))
}

/// Whether the rows are read by where they stand in ARGV, all alike.
fn is_read_by_place(body: &str) -> bool {
    body.contains("ROWS_FROM")
}

/// How a script names the include in this file.
fn include_name(file: &str) -> String {
    file.trim_start_matches(INCLUDES).trim_start_matches('/').trim_end_matches(".lua").to_owned()
}

/// In the header, in functions that only some calls need, and in the form for queues with keys.
fn includes_of(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| {
        let line = line.trim_start();
        let marks = ["-- include: ", "-- keyed include: ", "-- collapsing include: "];
        marks.into_iter().find_map(|mark| line.strip_prefix(mark))
    });
    lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// The keys of a shard, as scripts name them.
fn shard_keys() -> String {
    let text = read("src/store/redis/keys.rs");
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
