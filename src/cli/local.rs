//! Commands that talk to nobody: check, token new, completion, man.
//!
//! Owns their output. Refuses to know how a config is read (`config`).

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{CommandFactory, ValueEnum};
use clap_complete::env::Shells;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::answer_check;
use super::args::Cli;
use super::args_admin::{CheckArgs, CompletionArgs, ManArgs, ScopeWord, TokenArgs};
use super::describe::count;
use super::exit::{Exit, Failure};
use super::screen::Screen;
use super::times;
use crate::config::{self, Scope, Sources};
use crate::domain::queue_pattern::QueuePattern;

const OUT_OF_DATE: &str = "the configuration can be used, but certificates in it are out of date";

/// `check`: all errors in one go, or what is effective; with `--answer` what that means under it.
pub(crate) fn check(args: &CheckArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let sources =
        Sources::of_process(args.file.clone().or_else(|| args.config.clone()), Vec::new());
    match config::load(&sources) {
        Ok(settings) => {
            if let (Some(queue), Some(recorded)) = (&args.queue, &args.answer) {
                return answer_check::check(&settings, queue, recorded, screen);
            }
            screen.line(config::render(&settings).trim_end())?;
            let out_of_date = config::certificates_out_of_date(&settings, times::now_ms());
            if !out_of_date.is_empty() {
                let faults = out_of_date.iter().map(ToString::to_string).collect();
                return Err(Failure { details: faults, ..Failure::usage(OUT_OF_DATE) });
            }
            let queues = count(settings.queues.len() as u64, "queue");
            screen.note(&format!("the configuration is valid: {queues}"))?;
            Ok(Exit::Ok)
        }
        Err(errors) if screen.is_json() => Err(Failure {
            details: errors.iter().map(ToString::to_string).collect(),
            ..Failure::usage("the configuration is refused")
        }),
        Err(errors) => {
            screen.note(errors.to_string().trim_end())?;
            Ok(Exit::Usage)
        }
    }
}

/// `token new`: the token, this once, and the line for the config, which has its hash alone.
pub(crate) fn token_new(args: &TokenArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let token = format!("tg_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    let sha256 = hex(&Sha256::digest(&token));
    let scopes = scopes(&args.scopes);
    let name = toml::Value::from(args.name.as_str());
    let quoted: Vec<_> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
    let scopes_text = quoted.join(", ");
    let expires = args.expires.as_ref().map(|expires| format!(", expires = \"{expires}\""));
    let queues = (!args.queues.is_empty()).then(|| {
        let queues: Vec<_> = args.queues.iter().map(|queue| format!("\"{queue}\"")).collect();
        format!(", queues = [{}]", queues.join(", "))
    });
    let more = [expires, queues].into_iter().flatten().collect::<String>();
    let line =
        format!("{{ name = {name}, sha256 = \"{sha256}\", scopes = [{scopes_text}]{more} }}");
    if screen.is_json() {
        let queues: Vec<_> = args.queues.iter().map(QueuePattern::as_str).collect();
        screen.json(&json!({
            "name": args.name, "token": token, "sha256": sha256, "scopes": scopes,
            "expires": args.expires, "queues": (!queues.is_empty()).then_some(queues), "config": line,
        }))?;
        return Ok(Exit::Ok);
    }
    screen.line(&token)?;
    screen.line(&line)?;
    screen.flush()?;
    screen.note(
        "note: the first line is the token, shown this once; the second goes into server.tokens, and holds after a reload (SIGHUP)",
    )?;
    Ok(Exit::Ok)
}

/// The scopes asked for, each once; none asked for: send, which shows and changes nothing.
fn scopes(asked: &[ScopeWord]) -> Vec<&'static str> {
    if asked.is_empty() {
        return vec![Scope::Send.as_str()];
    }
    let given = ScopeWord::value_variants().iter().filter(|word| asked.contains(word));
    given.map(|word| Scope::from(*word).as_str()).collect()
}

/// `completion`.
pub(crate) fn completion(args: &CompletionArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let shell = args.shell.to_string();
    let shells = Shells::builtins();
    let completer = shells
        .completer(&shell)
        .ok_or_else(|| Failure::usage(format!("there is no completion for {shell}")))?;
    // The script asks the program itself, which knows the names of queues.
    let mut script = Vec::new();
    completer.write_registration("COMPLETE", "tidegate", "tidegate", "tidegate", &mut script)?;
    screen.out.write_all(&script)?;
    Ok(Exit::Ok)
}

/// `man`: for packages and `make install`.
pub(crate) fn man(args: &ManArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let folder = &args.folder;
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.map_err(|error| {
        let what = format!("cannot write the man pages into {}: {error}", folder.display());
        Failure::new(Exit::Failure, what)
    })?;
    if screen.is_json() {
        screen.json(&json!({ "folder": folder.display().to_string() }))?;
    }
    Ok(Exit::Ok)
}

/// Bytes in hexadecimal, lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
