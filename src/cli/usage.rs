//! A command line that cannot be read: what is wrong, and what was probably meant.
//!
//! Owns the words that people try and that are other commands here. The rest of the text is clap's.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Parser};

use super::args::{Cli, Format};
use super::exit::{Exit, Failure};
use super::screen::Screen;

/// What people type, and what it is called here.
const MEANT: [(&str, &str); 14] = [
    (
        "status",
        "`tidegate queues` shows whether each queue sends; `tidegate doctor` lists what is wrong",
    ),
    ("watch", "`tidegate top` shows queues and messages on a screen that is kept current"),
    ("version", "`tidegate --version` shows the version"),
    ("ls", "`tidegate list QUEUE` lists messages; `tidegate queues` lists queues"),
    ("show", "`tidegate get ID` shows a message; `tidegate queue QUEUE` shows a queue"),
    ("rm", "`tidegate cancel ID` withdraws a message; `tidegate purge QUEUE` removes many"),
    ("delete", "`tidegate cancel ID` withdraws a message; `tidegate purge QUEUE` removes many"),
    ("push", "`tidegate send QUEUE -d BODY` hands over a message"),
    ("enqueue", "`tidegate send QUEUE -d BODY` hands over a message"),
    ("start", "`tidegate serve` runs the daemon"),
    (
        "stop",
        "the daemon stops with Ctrl-C where it runs in a terminal, `systemctl stop tidegate` where it is a service, \
         else with SIGTERM; `tidegate pause QUEUE` only stops sending from a queue",
    ),
    (
        "restart",
        "`systemctl restart tidegate` where it is a service, else stop it with SIGTERM and start `tidegate serve` again",
    ),
    (
        "logs",
        "the daemon writes its log to standard error; `tidegate events` follows changes of state",
    ),
    (
        "reload",
        "SIGHUP makes the daemon read its configuration again; `tidegate check FILE` verifies it first",
    ),
];

/// The flags that say which of many messages are meant.
const FILTERS: [&str; 10] = [
    "--state",
    "--label",
    "--group",
    "--error-contains",
    "--created-after",
    "--created-before",
    "--due-after",
    "--due-before",
    "--final-after",
    "--final-before",
];

/// The commands that take ids, and how the same is done to many messages.
const OF_MANY: [(&str, &str); 5] = [
    ("get", "list QUEUE --label NAME=VALUE"),
    (
        "cancel",
        "operation start cancel QUEUE --state scheduled,ready --label NAME=VALUE --reason TEXT",
    ),
    ("requeue", "requeue-all QUEUE --state dead --label NAME=VALUE"),
    ("run", "operation start reschedule QUEUE --state scheduled --label NAME=VALUE --delay 0s"),
    (
        "reschedule",
        "operation start reschedule QUEUE --state scheduled --label NAME=VALUE --due MOMENT",
    ),
];

/// The command line of this process.
///
/// # Errors
/// The exit code; help, version, or what is wrong has been shown.
pub fn parse() -> Result<Cli, ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    Cli::try_parse_from(&words).map_err(|error| {
        if !error.use_stderr() {
            // A closed standard output is nobody's loss here.
            let _gone = error.print();
            return Exit::Ok.into();
        }
        let (error, next) = with_our_hint(error, &words);
        if asks_for_json(&words) {
            let failure = Failure { next, ..Failure::usage(sentence(&error)) };
            Screen::of_process(Format::Json).failure(&failure);
        } else {
            let _gone = error.print();
            if let Some(next) = next {
                let _gone = Screen::of_process(Format::Table).note(&format!("\n  next: {next}"));
            }
        }
        Exit::Usage.into()
    })
}

/// The error with what the word means here, in place of the commands that are merely spelt alike.
fn with_our_hint(mut error: clap::Error, words: &[OsString]) -> (clap::Error, Option<String>) {
    let next = meant(&error).or_else(|| meant_by_argument(&error, words));
    if next.is_some() {
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Suggested);
    }
    // Clap's own names only what was typed, and with it what comes from the environment.
    if error.get(ContextKind::Usage).is_some() {
        let mut command = Cli::command();
        command.build();
        let usage = usage_of(&mut command, words.get(1..).unwrap_or_default());
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    (error, next)
}

/// The usage line in the help of the command that was typed.
fn usage_of(command: &mut Command, words: &[OsString]) -> StyledStr {
    let sub = words.iter().enumerate().find(|(_, word)| command.find_subcommand(word).is_some());
    if let Some((at, word)) = sub
        && let Some(sub) = command.find_subcommand_mut(word)
    {
        return usage_of(sub, &words[at + 1..]);
    }
    command.render_usage()
}

/// What an unknown command is called here.
fn meant(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let (_, meant) = MEANT.iter().find(|(typed, _)| typed == word)?;
    Some((*meant).to_owned())
}

/// What an argument means that the command does not take.
fn meant_by_argument(error: &clap::Error, words: &[OsString]) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let command = Cli::command();
    let command = words.iter().skip(1).find_map(|word| command.find_subcommand(word))?.get_name();
    if command == "serve" && !argument.starts_with('-') {
        return Some(format!(
            "name the configuration with --config: `tidegate serve --config {argument}`"
        ));
    }
    let flag = argument.split([' ', '=']).next().unwrap_or_default();
    if !FILTERS.contains(&flag) {
        return None;
    }
    let (_, whole) = OF_MANY.iter().find(|(one, _)| *one == command)?;
    Some(format!(
        "{command} takes ids; `tidegate {whole}` takes the messages that match a filter such as {flag}"
    ))
}

/// The first line of what clap says, without its mark.
fn sentence(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim();
    first.strip_prefix("error: ").unwrap_or(first).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the answer is to be JSON: the flag may stand anywhere, before or behind what is wrong.
fn asks_for_json(words: &[OsString]) -> bool {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    words.iter().any(|word| word == "--output=json")
        || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(words: &[&str]) -> clap::Error {
        Cli::try_parse_from(["tidegate"].iter().chain(words)).unwrap_err()
    }

    fn hinted(words: &[&str]) -> (clap::Error, Option<String>) {
        let typed: Vec<_> = ["tidegate"].iter().chain(words).map(OsString::from).collect();
        with_our_hint(error(words), &typed)
    }

    #[test]
    fn a_filter_at_a_command_that_takes_ids_leads_to_the_command_for_many() {
        for (command, whole) in OF_MANY {
            for flag in FILTERS.iter().filter(|flag| **flag != "--state" || command != "resolve") {
                let (error, next) = hinted(&[command, "sms", flag, "shop=us"]);
                let next = next.unwrap_or_default();
                assert!(next.contains(&format!("`tidegate {whole}`")), "{command} {flag}: {next}");
                assert!(!error.to_string().contains("tip:"), "{error}");
            }
            // What is proposed is a command.
            let line = whole.replace("NAME=VALUE", "a=b").replace("MOMENT", "2026-11-21");
            let words = ["tidegate"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        let (_, next) = hinted(&["send", "sms", "--lable", "a=b"]);
        assert_eq!(next, None);
        let (_, next) = hinted(&["serve", "gw.toml"]);
        assert!(next.unwrap().ends_with("`tidegate serve --config gw.toml`"));
    }

    #[test]
    fn the_usage_of_an_error_is_that_of_the_help() {
        for (words, usage) in [
            (&["cancel"][..], "Usage: tidegate cancel [OPTIONS] <ID>..."),
            (&["send", "sms", "--delai", "1h"], "Usage: tidegate send [OPTIONS] <QUEUE> [-]"),
            (&["operation", "show"], "Usage: tidegate operation show [OPTIONS] <ID>"),
        ] {
            let text = hinted(words).0.to_string();
            assert!(text.contains(usage) && !text.contains("--url"), "{text}");
        }
    }

    #[test]
    fn words_that_people_try_lead_to_a_command() {
        for (word, command) in [("status", "queues"), ("version", "--version"), ("rm", "cancel")] {
            let next = meant(&error(&[word])).unwrap();
            assert!(next.contains(&format!("tidegate {command}")), "{word}: {next}");
        }
        assert_eq!(meant(&error(&["sned"])), None);
        assert_eq!(meant(&error(&["send"])), None);
    }

    #[test]
    fn what_is_merely_spelt_alike_is_not_proposed_beside_what_is_meant() {
        for (word, _) in MEANT {
            let (error, next) = hinted(&[word]);
            let text = error.to_string();
            assert!(next.is_some() && !text.contains("similar"), "{word}: {text}");
            assert!(text.contains(&format!("unrecognized subcommand '{word}'")), "{text}");
        }
        let (typo, next) = hinted(&["sned"]);
        assert!(next.is_none() && typo.to_string().contains("'send'"), "{typo}");
        let (_, stop) = hinted(&["stop"]);
        assert!(stop.unwrap().starts_with("the daemon stops with Ctrl-C"));
    }

    #[test]
    fn none_of_them_is_a_command() {
        for (word, _) in MEANT {
            assert_eq!(
                error(&[word]).kind(),
                ErrorKind::InvalidSubcommand,
                "{word} is a command: take it out"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_one_sentence() {
        let text = sentence(&error(&["send", "sms", "-d", "1", "--priority", "10"]));
        assert!(text.starts_with("invalid value '10' for '--priority"), "{text}");
        assert!(!text.contains('\n') && !text.contains("Usage"), "{text}");
        let payload = sentence(&error(&["send", "sms", "{\"a\":1}"]));
        assert!(payload.contains("-d '{\"a\":1}'"), "{payload}");
    }

    #[test]
    fn json_is_asked_for_anywhere() {
        let asks = |line: &str| {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            asks_for_json(&words)
        };
        assert!(asks("tidegate --output json nope") && asks("tidegate nope --output=json"));
        assert!(!asks("tidegate nope --output table") && !asks("tidegate send q -d json"));
    }
}
