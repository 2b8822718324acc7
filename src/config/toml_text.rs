//! A TOML text in the making: sections and lines, values quoted as they must be.

use std::fmt::{self, Write as _};

/// A TOML text in the making.
#[derive(Debug, Default)]
pub(super) struct Toml {
    pub(super) text: String,
}

impl Toml {
    pub(super) fn section(&mut self, name: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        self.push(format_args!("{gap}[{name}]"));
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.push(format_args!("{key} = {}", quoted(text)));
    }

    pub(super) fn line(&mut self, key: &str, value: impl fmt::Display) {
        self.push(format_args!("{key} = {value}"));
    }

    pub(super) fn list<T: fmt::Display>(&mut self, key: &str, items: impl Iterator<Item = T>) {
        let items: Vec<_> = items.map(|item| item.to_string()).collect();
        self.push(format_args!("{key} = [{}]", items.join(", ")));
    }

    fn push(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a string cannot fail");
    }
}

/// A text as a TOML value.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
