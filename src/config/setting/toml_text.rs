//! Values in force as TOML: sections and lines, values quoted as they must be.

use std::fmt::Write as _;

use super::shown::{MASK, Shown, Table};

/// Adds a section and the sections within it.
pub(in crate::config) fn write_section(out: &mut String, name: &str, table: &Table) {
    let gap = if out.is_empty() { "" } else { "\n" };
    push(out, format_args!("{gap}[{name}]"));
    for (key, value) in table.entries() {
        if let Some(text) = value.toml() {
            push(out, format_args!("{key} = {text}"));
        }
    }
    for (key, value) in table.entries() {
        if let Shown::Section(table) = value {
            write_section(out, &format!("{name}.{key}"), table);
        }
    }
}

fn push(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("writing to a string cannot fail");
}

impl Shown {
    /// The value within a line; `None`: it has no line.
    pub(in crate::config) fn toml(&self) -> Option<String> {
        Some(match self {
            Self::Unset | Self::Section(_) | Self::Secret(false) | Self::Signed(_) => return None,
            Self::Text(text) => quoted(text),
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => format!("{number:?}"),
            Self::Switch(value) => value.to_string(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().filter_map(Self::toml).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Table(table) => {
                let entries = table.entries();
                in_one_line(
                    entries.filter_map(|(key, value)| Some((key.to_owned(), value.toml()?))),
                )
            }
            Self::Pairs(pairs) if pairs.is_empty() => return None,
            Self::Pairs(pairs) => {
                let entries = pairs.iter();
                in_one_line(entries.filter_map(|(name, value)| Some((quoted(name), value.toml()?))))
            }
            Self::Headers { names, even_none: false } if names.is_empty() => return None,
            Self::Headers { names, .. } => {
                in_one_line(names.iter().map(|name| (name.clone(), quoted(MASK))))
            }
            Self::Secret(true) | Self::Masked => quoted(MASK),
            Self::Secrets(count) => format!("[{}]", vec![quoted(MASK); *count].join(", ")),
            // TOML has no null, and a configuration could not say it either.
            Self::Json(value) => {
                toml::Value::try_from(value).unwrap_or(toml::Value::Boolean(false)).to_string()
            }
        })
    }
}

fn in_one_line(entries: impl Iterator<Item = (String, String)>) -> String {
    let entries: Vec<_> = entries.map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}

/// A text as a TOML value.
pub(in crate::config) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
