//! What the words in capitals become once a script is put together.
//!
//! | a script says | Redis gets |
//! |---|---|
//! | `keep_ms`, as `-- args:` names it | a local, set on the second line |
//! | `ROW[i].token`, `ROWS`, `ROWS_FROM` | a value of the i-th row; how many rows there are; where they begin in `ARGV` |
//! | `REPLY { now_ms = now_ms, .. }` | `{ now_ms, .. }`, if the names are those of `-- returns:` |
//! | `REPLY_ROW { ulid = ulid, .. }` | one more row at the end of `reply`, checked likewise |
//! | `REPLY.reports` | its place in the reply |
//! | `RUST.LEAD_US_MAX` | the number that Rust has (see `numbers`) |
//!
//! All of it is plain text when Redis runs it: nothing is looked up by name at a call. Refuses to know what a script
//! does.

use super::numbers::number;
use super::signature::{FLAG, Field, NUMBER, OPTIONAL, Signature};

/// The text of a script, its includes in it, with every such word replaced; `source` has its header.
///
/// # Errors
/// What the header does not have; a test asks for every script.
pub(super) fn expand(source: &'static str, text: &str) -> Result<String, String> {
    let words = Words { args: Signature::args(source), returns: Signature::returns(source) };
    let text = words.replies(text)?;
    let mut expanded = String::with_capacity(text.len() + 512);
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("--") {
            expanded.push_str(line);
        } else {
            words.line(line, &mut expanded)?;
        }
        expanded.push('\n');
        if at == 0 {
            expanded.push_str(&words.locals(&text)?);
        }
    }
    Ok(expanded)
}

struct Words {
    args: Signature,
    returns: Signature,
}

impl Words {
    /// The arguments before the rows, by their names.
    fn locals(&self, text: &str) -> Result<String, String> {
        let fields = self.args.named();
        if fields.is_empty() {
            return Ok(String::new());
        }
        for name in fields.iter().map(Field::name) {
            let hides = [format!("local {name} "), format!("local function {name}(")];
            if text.lines().any(|line| hides.iter().any(|hidden| line.starts_with(hidden))) {
                return Err(format!("a local of the script hides the argument {name}"));
            }
        }
        let names: Vec<_> = fields.iter().map(Field::name).collect();
        let values: Vec<_> = fields
            .iter()
            .enumerate()
            .map(|(at, field)| argument(field, &(at + 1).to_string()))
            .collect();
        Ok(format!("local {} = {}\n", names.join(", "), values.join(", ")))
    }

    /// Replaces the tables that are a reply, or a row of one.
    fn replies(&self, text: &str) -> Result<String, String> {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("REPLY") {
            let (before, word) = rest.split_at(at);
            replaced.push_str(before);
            if let Some(inside) = word.strip_prefix("REPLY {") {
                let (items, behind) = items(inside)?;
                replaced.push_str(&self.reply(&items)?);
                rest = behind;
            } else if let Some(inside) = word.strip_prefix("REPLY_ROW {") {
                let (items, behind) = items(inside)?;
                replaced.push_str(&self.reply_row(&items)?);
                rest = behind;
            } else {
                replaced.push_str("REPLY");
                rest = &word["REPLY".len()..];
            }
        }
        replaced.push_str(rest);
        Ok(replaced)
    }

    fn reply(&self, items: &[(&str, &str)]) -> Result<String, String> {
        if !self.returns.may_end_at(items.len()) {
            return Err(format!(
                "a reply of {} values, which `-- returns:` does not have",
                items.len()
            ));
        }
        Ok(format!("{{ {} }}", values(self.returns.named(), items)?.join(", ")))
    }

    fn reply_row(&self, items: &[(&str, &str)]) -> Result<String, String> {
        let row = self.returns.row();
        if items.len() != row.len() || row.is_empty() {
            return Err(format!(
                "a row of {} values, which `-- returns:` does not have",
                items.len()
            ));
        }
        let values = values(row, items)?.join(", ");
        let places: Vec<_> = (1..=row.len()).map(|at| format!("reply[at_ + {at}]")).collect();
        Ok(format!("do local at_ = #reply {} = {values} end", places.join(", ")))
    }

    /// Replaces what stands within one line.
    fn line(&self, line: &str, expanded: &mut String) -> Result<(), String> {
        let mut rest = line;
        while let Some(at) = rest.find(['R']) {
            let (before, word) = rest.split_at(at);
            expanded.push_str(before);
            let is_whole = !expanded.ends_with(is_word);
            rest = match is_whole.then(|| self.word(word)).transpose()?.flatten() {
                Some((value, behind)) => {
                    expanded.push_str(&value);
                    behind
                }
                None => {
                    expanded.push('R');
                    &word[1..]
                }
            };
        }
        expanded.push_str(rest);
        Ok(())
    }

    /// What a word at the start becomes, and what stands behind it.
    fn word<'a>(&self, text: &'a str) -> Result<Option<(String, &'a str)>, String> {
        let (word, behind) = name(text);
        let from = self.args.before_rows();
        Ok(match word {
            "RUST" => {
                let (wanted, behind) = member(behind)?;
                let value = number(wanted).ok_or_else(|| format!("Rust has no number {wanted}"))?;
                Some((value.to_string(), behind))
            }
            "REPLY" => {
                let (wanted, behind) = member(behind)?;
                let fields = self.returns.named().iter().chain(self.returns.row());
                let at = fields.map(Field::name).position(|name| name == wanted);
                let at = at.ok_or_else(|| format!("`-- returns:` has no {wanted}"))?;
                Some(((at + 1).to_string(), behind))
            }
            "ROWS_FROM" => Some(((from + 1).to_string(), behind)),
            "ROWS" => match self.args.row_width() {
                0 => return Err("`-- args:` has no rows".to_owned()),
                width => Some((format!("(#ARGV - {from}) / {width}"), behind)),
            },
            "ROW" => {
                let inside = behind.strip_prefix('[').ok_or("ROW without a number")?;
                let (which, behind) = name(inside);
                let behind = behind.strip_prefix(']').ok_or("ROW with more than a name in it")?;
                let (wanted, behind) = member(behind)?;
                let row = self.args.row();
                let at = row.iter().position(|field| field.name() == wanted);
                let at = at.ok_or_else(|| format!("the rows of `-- args:` have no {wanted}"))?;
                let place = match (row.len(), from + 1 + at) {
                    (width, before) if before == width => format!("{width} * {which}"),
                    (1, before) => format!("{which} + {}", before - 1),
                    (width, before) if before < width => {
                        format!("{width} * {which} - {}", width - before)
                    }
                    (width, before) => format!("{width} * {which} + {}", before - width),
                };
                Some((argument(&row[at], &place), behind))
            }
            _ => None,
        })
    }
}

fn argument(field: &Field, place: &str) -> String {
    match field.kind {
        NUMBER | OPTIONAL => format!("tonumber(ARGV[{place}])"),
        FLAG => format!("(ARGV[{place}] == '1')"),
        _ => format!("ARGV[{place}]"),
    }
}

/// Values in the order of the header, which is the order in which the script names them.
fn values(fields: &[Field], items: &[(&str, &str)]) -> Result<Vec<String>, String> {
    let one = |(field, (name, value)): (&Field, &(&str, &str))| {
        if field.name() != *name {
            return Err(format!("{name} stands where `-- returns:` has {}", field.name()));
        }
        Ok(match field.kind {
            FLAG => format!("({value}) and 1 or 0"),
            _ => (*value).to_owned(),
        })
    };
    fields.iter().zip(items).map(one).collect()
}

/// A name and what it is set to.
type Pair<'a> = (&'a str, &'a str);

/// The items of a table that begins before this text, and what stands behind the table.
fn items(text: &str) -> Result<(Vec<Pair<'_>>, &str), String> {
    let (mut items, mut from, mut depth, mut quote) = (Vec::new(), 0, 0_u32, None);
    for (at, c) in text.char_indices() {
        match c {
            _ if quote == Some(c) => quote = None,
            _ if quote.is_some() => {}
            '\'' | '"' => quote = Some(c),
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' | ',' if depth == 0 => {
                let item = text[from..at].trim();
                if !item.is_empty() {
                    let (name, value) =
                        item.split_once(" = ").ok_or_else(|| format!("{item} has no name"))?;
                    items.push((name.trim(), value.trim()));
                }
                from = at + 1;
                if c == '}' {
                    return Ok((items, &text[from..]));
                }
            }
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
    }
    Err("a reply without an end".to_owned())
}

fn member(text: &str) -> Result<(&str, &str), String> {
    text.strip_prefix('.').map(name).ok_or_else(|| format!("a name is missing before {text}"))
}

/// The name at the start, and what stands behind it.
fn name(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_word(c)).unwrap_or(text.len()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "#!lua\n-- x: y\n-- args: keep_ms:number now:flag (ulid delay_ms:number)...\n-- returns: now_ms:number reports [more:flag] verdict:number...\n";

    fn expanded(code: &str) -> Result<String, String> {
        let source: &'static str = format!("{HEADER}{code}").leak();
        let text = expand(source, source)?;
        Ok(text.lines().skip(5).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn arguments_are_locals_on_the_second_line() {
        let text = expand(HEADER, HEADER).unwrap();
        let locals = "local keep_ms, now = tonumber(ARGV[1]), (ARGV[2] == '1')";
        assert_eq!(text.lines().nth(1), Some(locals));
        assert!(expanded("local function now(x)").unwrap_err().contains("hides the argument now"));
    }

    #[test]
    fn values_of_rows_are_counted_from_their_place() {
        let code = "for i = 1, ROWS do f(ROW[i].ulid, ROW[i].delay_ms, FAR, ROWS_FROM) end";
        let lua = "for i = 1, (#ARGV - 2) / 2 do f(ARGV[2 * i + 1], tonumber(ARGV[2 * i + 2]), FAR, 3) end";
        assert_eq!(expanded(code).unwrap(), lua);
        assert!(expanded("f(ROW[i].token)").unwrap_err().contains("have no token"));
    }

    #[test]
    fn replies_have_the_names_of_the_header_in_its_order() {
        let code =
            "reply = REPLY { now_ms = f(a, { 1, 2 }), reports = ',}' }\nreply[REPLY.reports] = 1";
        assert_eq!(expanded(code).unwrap(), "reply = { f(a, { 1, 2 }), ',}' }\nreply[2] = 1");
        let whole = "return REPLY {\n  now_ms = 1,\n  reports = 2, more = a or b,\n}";
        assert_eq!(expanded(whole).unwrap(), "return { 1, 2, (a or b) and 1 or 0 }");
        let row = "REPLY_ROW { verdict = 1 }";
        assert_eq!(expanded(row).unwrap(), "do local at_ = #reply reply[at_ + 1] = 1 end");
        for bad in [
            "REPLY { now_ms = 1 }",
            "REPLY { reports = 1, now_ms = 2 }",
            "REPLY { now_ms = 1, reports = 2, more = 3, left = 4 }",
            "REPLY { 1, 2 }",
            "REPLY_ROW { more = 1 }",
            "REPLY.other",
            "RUST.OTHER",
            "REPLY { now_ms = 1",
        ] {
            assert!(expanded(bad).is_err(), "{bad}");
        }
    }
}
