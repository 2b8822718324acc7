//! References to secrets: `${NAME}` and `${file:PATH}` in a text.
//!
//! Owns the notation and where the value is looked up. A reference may stand inside the path of
//! another (`${file:${CREDENTIALS_DIRECTORY}/sms.key}`, as systemd hands them over); `$${` is a
//! plain `${`. A value that was filled in is not read for references again.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

/// The largest file that is taken as a secret, in bytes: a key, not a database.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// How deep references may stand in each other; two levels have a use.
const DEPTH_MAX: usize = 4;

/// Where values come from.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct SecretSource<'a> {
    pub(in crate::config) environment: &'a BTreeMap<String, String>,
    /// Relative paths start here.
    pub(in crate::config) base: &'a Path,
}

/// Fills in every reference.
pub(in crate::config) fn expand(text: &str, source: SecretSource<'_>) -> Result<String, String> {
    expand_at(text, source, 0)
}

fn expand_at(text: &str, source: SecretSource<'_>, depth: usize) -> Result<String, String> {
    with_references(text, |inside| {
        let inside = inside.ok_or(
            "a reference is not closed; expected ${NAME} or ${file:PATH} ($${ for a plain ${)",
        )?;
        look_up(inside, source, depth)
    })
}

/// The text with something in place of every reference: what it stands for is not looked up.
pub(in crate::config) fn masked(text: &str, mask: &str) -> String {
    let Ok(masked) = with_references(text, |_| Ok::<_, Infallible>(mask.to_owned()));
    masked
}

/// The text with what `stand_in` says in place of every reference, by what is inside of it; `None`: it is not closed.
fn with_references<'t, E>(
    text: &'t str,
    stand_in: impl Fn(Option<&'t str>) -> Result<String, E>,
) -> Result<String, E> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(plain) = before.strip_suffix('$') {
            out.push_str(plain);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let end = closing_brace(after);
        out.push_str(&stand_in(end.map(|end| &after[..end]))?);
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the `}` stands that closes a reference whose inside starts here.
fn closing_brace(inside: &str) -> Option<usize> {
    let mut open = 0usize;
    let mut bytes = inside.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'$' if bytes.peek().is_some_and(|(_, next)| *next == b'{') => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn look_up(inside: &str, source: SecretSource<'_>, depth: usize) -> Result<String, String> {
    if let Some(path) = inside.strip_prefix("file:") {
        if depth == DEPTH_MAX {
            return Err("references stand too deep in each other".to_owned());
        }
        return read_file(&expand_at(path, source, depth + 1)?, source.base);
    }
    let first_ok = inside.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_ok || !inside.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        // Not shown: it may be a part of a password that holds `${` by chance.
        let message = "what stands between ${ and } names no secret; expected ${NAME} or ${file:PATH} ($${ for a plain ${)";
        return Err(message.to_owned());
    }
    source.environment.get(inside).cloned().ok_or_else(|| {
        format!("the environment variable {inside} is not set; set it, or refer to a file with ${{file:PATH}}")
    })
}

fn read_file(path: &str, base: &Path) -> Result<String, String> {
    let path = base.join(path);
    let shown = path.display();
    let bytes = std::fs::read(&path).map_err(|e| {
        format!("the secret file {shown} cannot be read ({e}); create it, or make it readable for the daemon's user")
    })?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!(
            "the secret file {shown} is larger than 64KiB; expected a key or password"
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("the secret file {shown} is not UTF-8 text; store the key as text"))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(text: &str, environment: &[(&str, &str)]) -> Result<String, String> {
        let environment =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        expand(text, SecretSource { environment: &environment, base: Path::new("/nowhere") })
    }

    #[test]
    fn names_are_filled_in_anywhere() {
        let env = [("A", "one"), ("B_2", "${A}")];
        assert_eq!(with("Bearer ${A}", &env), Ok("Bearer one".to_owned()));
        assert_eq!(with("${A}-${B_2}.", &env), Ok("one-${A}.".to_owned()));
        assert_eq!(with("$${A} costs $5 {x}", &env), Ok("${A} costs $5 {x}".to_owned()));
    }

    #[test]
    fn files_lose_their_last_newline() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "s3cret \r\n").unwrap();
        let environment = BTreeMap::from([("DIR".to_owned(), dir.path().display().to_string())]);
        let source = SecretSource { environment: &environment, base: dir.path() };
        assert_eq!(expand("<${file:key}>", source), Ok("<s3cret >".to_owned()));
        assert_eq!(expand("${file:${DIR}/key}", source), Ok("s3cret ".to_owned()));
        std::fs::write(dir.path().join("big"), vec![b'x'; FILE_BYTES_MAX + 1]).unwrap();
        assert!(expand("${file:big}", source).unwrap_err().contains("larger than 64KiB"));
    }

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        let error = with("${SMS_TOKEN}", &[]).unwrap_err();
        assert!(error.contains("SMS_TOKEN is not set; set it"), "{error}");
        let error = with("${file:sms.key}", &[]).unwrap_err();
        assert!(error.contains("/nowhere/sms.key cannot be read"), "{error}");
        for bad in ["${", "${A", "${}", "${A B}", "${9}", "${vault:x}", "${file:${A}"] {
            assert!(with(bad, &[("A", "x")]).is_err(), "{bad}");
        }
        assert!(with(&"${file:".repeat(50_000), &[]).is_err());
        let deep = format!("{}x{}", "${file:".repeat(9), "}".repeat(9));
        assert!(with(&deep, &[]).unwrap_err().contains("too deep"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[${}a-c:file]{0,40}") {
            drop(with(&text, &[("a", "$")]));
        }

        #[test]
        fn text_without_references_is_left_alone(text in "[^$]*") {
            prop_assert_eq!(with(&text, &[]), Ok(text));
        }
    }
}
