//! The settings in the manual: what `config/default.toml` and docs/configuration.md say of each is written from its
//! declaration in `src/config/sections`.
//!
//! Owns which lines of the two files are written, and how. Prose around them is written by hand.

use tidegate::config::{Bounds, Declared, DeclaredSection, declared};

use super::files::{no_faults, read, root};

/// With this variable set, the files are written instead of compared.
const WRITE: &str = "WRITE_SETTINGS";
const COMMAND: &str =
    "WRITE_SETTINGS=1 cargo test --locked --features failpoints --test tidy settings";
const PAGE: &str = "docs/configuration.md";
const FILE: &str = "config/default.toml";
/// Lines of `FILE` are at most so long.
const WIDTH: usize = 118;

#[test]
fn the_manual_says_what_the_settings_declare() {
    let sections = declared();
    let written = [(PAGE, page(&read(PAGE), &sections)), (FILE, file(&read(FILE), &sections))];
    no_faults(written.into_iter().filter_map(|(name, text)| match text {
        Err(fault) => Some(format!("{name}: {fault}")),
        Ok(text) if text == read(name) => None,
        Ok(text) if std::env::var_os(WRITE).is_some() => {
            let written = std::fs::write(root().join(name), text);
            written.err().map(|error| format!("{name}: cannot be written ({error})"))
        }
        Ok(text) => {
            let old = read(name);
            let first = text.lines().zip(old.lines()).find(|(new, old)| new != old);
            Some(format!("{name} differs from the declarations in {first:?}; run {COMMAND}"))
        }
    }));
}

#[test]
fn a_setting_that_is_not_in_the_manual_is_seen() {
    let sections = declared();
    let missing = read(PAGE).replace("<!-- settings of [queues.NAME.batch]", "<!-- [x]");
    assert!(page(&missing, &sections).is_err());
    let other = read(PAGE).replace("| `500` |", "| `501` |");
    assert_ne!(page(&other, &sections), Ok(other));
    let other = read(FILE).replace("max_items = 500", "max_items = 501");
    assert_ne!(file(&other, &sections), Ok(other));
}

/// The page with the table of each section behind its mark.
fn page(text: &str, sections: &[DeclaredSection]) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for section in sections {
        let mark = format!("<!-- settings of [{}]", section.name);
        let found = lines.iter().position(|line| line.starts_with(&mark));
        let at = found.ok_or_else(|| format!("has no line that begins with {mark}"))?;
        let start = at + 2;
        let rows = lines.iter().skip(start).take_while(|line| line.starts_with('|')).count();
        let mut table =
            vec!["| key | values | default | |".to_owned(), "|---|---|---|---|".to_owned()];
        table.extend(section.settings.iter().map(row));
        lines[at] = format!("{mark}, written by: {COMMAND} -->");
        lines.splice(start..start + rows, table);
    }
    Ok(lines.join("\n") + "\n")
}

fn row(setting: &Declared) -> String {
    let Declared { key, sentence, bounds, example, .. } = setting;
    let such_as = example.filter(|_| matches!(bounds, Bounds::Told(_) | Bounds::List(_)));
    let such_as = such_as.map_or_else(String::new, |value| format!(", such as {}", code(value)));
    format!("| `{key}` | {bounds}{such_as} | {} | {sentence} |", default_of(setting))
}

/// What holds without the setting, as the page says it.
fn default_of(setting: &Declared) -> String {
    match (setting.told, setting.default.as_deref()) {
        (Some(told), _) => told.to_owned(),
        (None, None | Some("[]" | "{}")) => "none".to_owned(),
        (None, Some(value)) => code(value),
    }
}

/// A value of TOML as code; a text without its quotes.
fn code(value: &str) -> String {
    format!("`{}`", if value.starts_with('"') { value.trim_matches('"') } else { value })
}

/// The file with the lines of each section below its name, up to the next line without text.
fn file(text: &str, sections: &[DeclaredSection]) -> Result<String, String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for section in sections {
        let name = format!("[{}]", section.name);
        let found = lines.iter().position(|line| line.trim_start_matches(['#', ' ']) == name);
        let at = found.ok_or_else(|| format!("has no line {name}"))?;
        let margin = lines[at].trim_end_matches(&name).to_owned();
        let has_text = |line: &&String| !line.trim_start_matches(['#', ' ']).is_empty();
        let old = lines.iter().skip(at + 1).take_while(has_text).count();
        let new: Vec<_> = section.settings.iter().flat_map(|it| entry(&margin, it)).collect();
        lines.splice(at + 1..=at + old, new);
    }
    Ok(lines.join("\n") + "\n")
}

/// A setting in the file: its sentence, and its line, which is a comment unless it is a default or required.
fn entry(margin: &str, setting: &Declared) -> Vec<String> {
    let values = plain(&format!("Values: {}.", setting.bounds));
    let mut prose = format!("{} {values}", plain(&setting.sentence));
    if let (Some(told), false) = (setting.told.filter(|told| !told.is_empty()), setting.is_required)
    {
        prose.push_str(&plain(&format!(" Default: {told}.")));
    }
    let mut lines = wrapped(&format!("{margin}# "), &prose);
    let Declared { key, default, example, is_required, .. } = setting;
    match (default, example) {
        (Some(value), _) => lines.push(format!("{margin}{key} = {value}")),
        (None, Some(value)) if *is_required => lines.push(format!("{margin}{key} = {value}")),
        (None, Some(value)) => lines.push(format!("{margin}# {key} = {value}")),
        (None, None) => {}
    }
    lines
}

/// Markdown as plain text: links by their words, or by the page that these name; no marks.
fn plain(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("](") {
        let (lead, words) = before.rsplit_once('[').unwrap_or((before, ""));
        let (target, after) = after.split_once(')').unwrap_or((after, ""));
        text.push_str(lead);
        let page = target.split('#').next().unwrap_or_default();
        if page == format!("{words}.md") {
            text.push_str("docs/");
            text.push_str(page);
        } else {
            text.push_str(words);
        }
        rest = after;
    }
    text.push_str(rest);
    text.replace('`', "").replace("**", "")
}

fn wrapped(margin: &str, text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{margin}{word}")),
        }
    }
    lines
}
