//! Log lines: no field has a name of the log's own, or a line of JSON would have it twice.

use super::files::{files_below, no_faults};

const MACROS: [&str; 5] = ["error!(", "warn!(", "info!(", "debug!(", "trace!("];
/// What the log writes by itself.
const RESERVED: [&str; 4] = ["message", "level", "timestamp", "target"];

#[test]
fn no_log_field_has_a_name_of_the_logs_own() {
    no_faults(files_below(&["src"], "rs").into_iter().flat_map(|file| {
        let bad = reserved_fields(&file.text);
        bad.into_iter().map(move |field| format!("{}: a log field is named {field}", file.name))
    }));
}

#[test]
fn reserved_fields_are_seen() {
    let found = |text: &str| reserved_fields(text);
    assert_eq!(found(r#"tracing::warn!(%queue, %message, reason, "x, level");"#), ["message"]);
    assert_eq!(
        found(r#"tracing::info!(a = f(b, level), ?target, level = 3, "x")"#),
        ["target", "level"]
    );
    assert!(found(r#"tracing::info!(id = %message.id, "message")"#).is_empty());
}

fn reserved_fields(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("tracing::") {
        let rest = &text[at + "tracing::".len()..];
        let Some(name) = MACROS.iter().find(|name| rest.starts_with(**name)) else { continue };
        for argument in arguments(&rest[name.len()..]) {
            let field = argument.trim().trim_start_matches(['%', '?']);
            let field = field.split('=').next().unwrap_or_default().trim();
            if RESERVED.contains(&field) {
                found.push(field.to_owned());
            }
        }
    }
    found
}

/// What stands between the commas of a call, until its end.
fn arguments(text: &str) -> Vec<String> {
    let (mut all, mut depth, mut in_text, mut escaped) = (vec![String::new()], 0_u32, false, false);
    for c in text.chars() {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            '\\' if in_text => escaped = !was_escaped,
            '"' if !was_escaped => in_text = !in_text,
            _ if in_text => {}
            ')' | ']' | '}' if depth == 0 => return all,
            ')' | ']' | '}' => depth -= 1,
            '(' | '[' | '{' => depth += 1,
            ',' if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        all.last_mut().expect("never empty").push(c);
    }
    all
}
