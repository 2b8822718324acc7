//! Commands that talk to nobody: check, token new, completion.
//!
//! Owns their output. Refuses to know how a config is read (`config`).

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::CommandFactory;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::args::Cli;
use super::args_admin::{CheckArgs, CompletionArgs, ScopeWord, TokenArgs};
use super::exit::{Exit, Failure};
use super::screen::Screen;
use crate::config::{self, Scope, Sources};

/// `check`: all errors in one go, or what is effective.
pub(crate) fn check(args: &CheckArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let sources = Sources::of_process(args.config.clone(), Vec::new());
    match config::load(&sources) {
        Ok(settings) => {
            screen.line(config::render(&settings).trim_end())?;
            Ok(Exit::Ok)
        }
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
    let line = format!("{{ name = {name}, sha256 = \"{sha256}\", scopes = [{scopes_text}] }}");
    if screen.is_json() {
        screen.json(&json!({
            "name": args.name, "token": token, "sha256": sha256, "scopes": scopes, "config": line,
        }))?;
        return Ok(Exit::Ok);
    }
    screen.line(&token)?;
    screen.line(&line)?;
    screen.flush()?;
    screen.note(
        "note: the first line is the token, shown this once; the second goes into server.tokens",
    )?;
    Ok(Exit::Ok)
}

/// The scopes asked for, each once; none asked for: all.
fn scopes(asked: &[ScopeWord]) -> Vec<&'static str> {
    let all = [ScopeWord::Send, ScopeWord::Read, ScopeWord::Operate];
    let given = all.into_iter().filter(|word| asked.is_empty() || asked.contains(word));
    given.map(|word| Scope::from(word).as_str()).collect()
}

/// `completion`.
pub(crate) fn completion(args: &CompletionArgs, screen: &mut Screen) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    screen.out.write_all(&script)?;
    Ok(Exit::Ok)
}

/// Bytes in hexadecimal, lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
