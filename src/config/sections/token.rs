//! `server.tokens`: who may call, what with, on which queues and until when.
//!
//! Owns the keys of one token and what must differ between two. Refuses to know how a token is compared (`api`).

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Kind, MASK, Shown, Table, custom, list, parsed, text, word};
use crate::config::settings::{Scope, Token};
use crate::domain::queue_pattern::QueuePattern;
use crate::domain::time::{parse_rfc3339, rfc3339};

pub(in crate::config) fn each_token_once(section: &Section<'_>, tokens: &[Token]) -> Read<()> {
    for (n, token) in tokens.iter().enumerate() {
        if tokens[..n].iter().any(|other| other.name == token.name) {
            let message = format!("two tokens are named {:?}; give each its own name", token.name);
            return Err(section.wrong("tokens", message));
        }
        if let Some(other) = tokens[..n].iter().find(|other| other.sha256 == token.sha256) {
            let message = format!(
                "{:?} and {:?} are the same token; make another with `tidegate token new {}`",
                other.name, token.name, token.name
            );
            return Err(section.wrong("tokens", message));
        }
    }
    Ok(())
}

/// One token. Its hash is not shown.
pub(in crate::config) fn token() -> impl Kind<Value = Token> {
    let show = |token: &Token| {
        let scopes = token.scopes.iter().map(|scope| scope.as_str().into()).collect();
        let expires = token.expires_ms.map_or(Shown::Unset, |at_ms| rfc3339(at_ms).into());
        let queues = token.queues.as_ref().map_or(Shown::Unset, |queues| {
            Shown::List(queues.iter().map(|queue| queue.as_str().into()).collect())
        });
        Shown::Table(Table::from([
            ("name", token.name.as_str().into()),
            ("sha256", MASK.into()),
            ("scopes", Shown::List(scopes)),
            ("expires", expires),
            ("queues", queues),
        ]))
    };
    custom("a token", read, show)
}

/// A token says what it may do: to leave `scopes` out is no way to get all of them.
fn read(field: &Field<'_>) -> Read<Token> {
    field.section(&[], |section| {
        let name = section.required("name", "name = \"shop\"", |field| text("a text").read(field));
        let sha256 =
            section.required("sha256", "the line that `tidegate token new` prints", sha256);
        let scopes = section.required("scopes", "scopes = [\"send\", \"read\"]", scopes);
        let expires = section.read("expires", instant);
        let queues = section.read("queues", queues);
        Ok(Token {
            name: name?,
            sha256: sha256?,
            scopes: scopes?,
            expires_ms: expires?,
            queues: queues?,
        })
    })
}

/// A date, which means its first instant in UTC, or a moment.
fn instant(field: &Field<'_>) -> Read<u64> {
    field.parse(expiry_ms)
}

/// When a token expires: `2027-01-01`, which means its first instant in UTC, or RFC 3339.
///
/// # Errors
/// A sentence that says what is expected.
pub fn expiry_ms(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let midnight = (text.len() == "2027-01-01".len()).then(|| format!("{text}T00:00:00Z"));
    parse_rfc3339(midnight.as_deref().unwrap_or(text)).map_err(|_| {
        format!(
            "\"{text}\" is not a valid time; expected a date such as 2027-01-01 (its first instant in UTC), or RFC 3339 such as 2027-01-01T08:00:00+08:00"
        )
    })
}

/// A list that lets nothing through would be a token without use: the key is left out for all queues.
fn queues(field: &Field<'_>) -> Read<Vec<QueuePattern>> {
    let queues = list(parsed("a queue")).read(field)?;
    if queues.is_empty() {
        return Err(field.wrong(
            "found an empty list, expected one or more queues, for example [\"sms\", \"erp-*\"]; leave it out for all queues",
        ));
    }
    Ok(queues)
}

fn scopes(field: &Field<'_>) -> Read<Vec<Scope>> {
    let words = Scope::ALL.map(|scope| (scope.as_str(), scope));
    let scopes = list(word(&words, &[])).read(field)?;
    if scopes.is_empty() {
        return Err(field.wrong(
            "found an empty list, expected one or more of \"send\", \"read\", \"operate\"",
        ));
    }
    Ok(scopes)
}

/// Never shown: it may be the token itself, pasted into the wrong place.
fn sha256(field: &Field<'_>) -> Read<[u8; 32]> {
    field.parse(|text| {
        let mut hash = [0; 32];
        let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        for (n, byte) in hash.iter_mut().enumerate().take_while(|_| hex) {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap_or(0);
        }
        if hex {
            return Ok(hash);
        }
        Err(format!(
            "found {} characters, expected the token's SHA-256 as 64 hex digits; `tidegate token new NAME` prints it",
            text.chars().count()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{errors_of, settings_of};

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn config(rest: &str) -> String {
        format!(
            "[server]\ntokens = [{{ name = \"a\", sha256 = \"{HASH}\", scopes = [\"read\"]{rest} }}]"
        )
    }

    fn read(rest: &str) -> Token {
        settings_of(&config(&format!(", {rest}"))).server.tokens.remove(0)
    }

    #[test]
    fn without_more_a_token_is_for_all_queues_and_for_ever() {
        let token = settings_of(&config("")).server.tokens.remove(0);
        assert_eq!((token.expires_ms, token.queues), (None, None));
    }

    #[test]
    fn a_date_is_its_first_instant_in_utc() {
        let date = read("expires = \"2027-01-01\"").expires_ms.unwrap();
        assert_eq!(date, parse_rfc3339("2027-01-01T00:00:00Z").unwrap());
        let moment = read("expires = \"2027-01-01T08:00:00+08:00\"").expires_ms;
        assert_eq!(moment, Some(date));
        assert_eq!(read("expires = 2027-01-01").expires_ms, Some(date), "a date of TOML");
        assert_eq!(read("expires = 2027-01-01T00:00:00Z").expires_ms, Some(date));
    }

    #[test]
    fn queues_are_names_or_patterns() {
        let queues = read("queues = [\"sms\", \"erp-*\"]").queues.unwrap();
        assert_eq!(queues.iter().map(QueuePattern::as_str).collect::<Vec<_>>(), ["sms", "erp-*"]);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (rest, part) in [
            ("expires = \"soon\"", "server.tokens[0].expires: \"soon\" is not a valid time"),
            ("expires = \"2027-02-30\"", "\"2027-02-30\" is not a valid time"),
            ("expires = \"2027-01-01T00:00:00\"", "is not a valid time"),
            ("expires = 7", "\"7\" is not a valid time"),
            ("queues = []", "server.tokens[0].queues: found an empty list"),
            ("queues = \"sms\"", "server.tokens[0].queues: found a text, expected a list"),
            ("queues = [\"Sms\"]", "\"Sms\" is not a valid queue or pattern"),
            ("queue = [\"sms\"]", "server.tokens[0].queue: unknown key; did you mean queues?"),
        ] {
            let error = errors_of(&config(&format!(", {rest}")));
            assert!(error.contains(part), "{rest}: {error}");
        }
    }
}
