//! The documentation: its commands exist and its links lead somewhere.

use std::collections::BTreeSet;
use std::process::Command;

use super::files::{File, files_below, no_faults, read, root};

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
fn sections_of_the_runbook_that_doctor_names_exist() {
    let runbook = read("docs/runbook.md");
    let files = files_below(&["src/domain/doctor"], "rs");
    let named: BTreeSet<_> = files.iter().flat_map(|file| sections_in(&file.text)).collect();
    assert!(named.len() > 10, "doctor names only {named:?}");
    no_faults(named.iter().filter_map(|name| {
        let is_there = runbook.contains(&format!("\n## {name}\n"));
        (!is_there).then(|| format!("docs/runbook.md has no section {name}, which doctor names"))
    }));
}

/// The alerts that are named in a source file, each as the whole of a text in quotes.
fn sections_in(source: &str) -> BTreeSet<String> {
    let begun = source.split("\"Tidegate").skip(1).filter_map(|rest| rest.split_once('"'));
    let names = begun.map(|(name, _)| name);
    let alerts = names.filter(|name| !name.is_empty() && name.chars().all(char::is_alphabetic));
    alerts.map(|name| format!("Tidegate{name}")).collect()
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
