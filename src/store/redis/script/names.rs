//! The scripts: no name is used that was not declared before it.
//!
//! Redis tells so only when a call comes by, and some parts of a script few calls come by. Names are looked at
//! without their scopes, so that one that is declared anywhere before counts as declared.

use std::collections::BTreeSet;

use super::{ScriptForm, Verb};

const WORDS: &str = "and break do else elseif end false for function if in local nil not or repeat return then true \
    until while";
/// What Redis gives every script, and the keys, which get their numbers when it is put together.
const GIVEN: &str = "tonumber tostring string table math unpack ipairs pairs setmetatable type pcall struct cjson \
    redis KEYS ARGV K bit";

#[test]
fn no_script_uses_a_name_before_it_is_declared() {
    for verb in Verb::ALL {
        for form in ScriptForm::ALL {
            let strange = undeclared(&verb.text(form));
            assert!(strange.is_empty(), "{verb:?}: not declared before they are used: {strange:?}");
        }
    }
}

#[test]
fn strange_names_are_seen() {
    let strange = |text: &str| undeclared(text).into_iter().collect::<Vec<_>>();
    let good = "local a, b = 1, { c = 2 } -- d\nlocal function e(f) for g, h in pairs(f.i) do b[g] = h .. 'j' end end\n";
    assert_eq!(strange(good), Vec::<String>::new());
    assert_eq!(strange("local function f() return g() end local function g() end"), ["g"]);
    assert_eq!(strange("local a = { b = c, d }"), ["c", "d"]);
}

fn undeclared(text: &str) -> BTreeSet<String> {
    let tokens = tokens(text);
    let at = |i: usize| tokens.get(i).map_or("", String::as_str);
    let is_name = |token: &str| {
        token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && !WORDS.split_whitespace().any(|word| word == token)
    };
    let mut declared: BTreeSet<_> = GIVEN.split_whitespace().map(str::to_owned).collect();
    let mut strange = BTreeSet::new();
    for (i, token) in tokens.iter().enumerate().filter(|(_, token)| is_name(token)) {
        let before = if i == 0 { "" } else { at(i - 1) };
        if matches!(before, "." | ":")
            || (matches!(before, "{" | ",") && at(i + 1) == "=" && !in_list(&tokens, i))
        {
            continue;
        }
        if in_list(&tokens, i) {
            declared.insert(token.clone());
        } else if !declared.contains(token) {
            strange.insert(token.clone());
        }
    }
    strange
}

/// Whether the name at `i` stands in `local a, b`, `for a, b`, `local function a` or `function (a, b)`.
fn in_list(tokens: &[String], i: usize) -> bool {
    let is_word = |token: &str| WORDS.split_whitespace().any(|word| word == token);
    let is_part = |token: &str| {
        token == ","
            || (token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !is_word(token))
    };
    let Some(j) = tokens[..i].iter().rposition(|token| !is_part(token)) else { return false };
    let behind = |n: usize| j.checked_sub(n).map_or("", |j| tokens[j].as_str());
    match tokens[j].as_str() {
        "local" | "for" => true,
        "function" => behind(1) == "local",
        "(" => behind(1) == "function" || behind(2) == "function",
        _ => false,
    }
}

/// Names, and every other sign as itself; no comments, and of texts only that they are there.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("#!")) {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            if rest.starts_with("--") {
                break;
            }
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let length = match first {
                '\'' | '"' => text_length(rest, first),
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                _ if ["==", "~=", "<=", ">=", ".."].iter().any(|sign| rest.starts_with(sign)) => 2,
                _ => first.len_utf8(),
            };
            tokens.push(rest[..length].to_owned());
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// A text in quotes, from the first to the last.
fn text_length(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    rest.len()
}
