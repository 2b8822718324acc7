//! The url of a rendered request.
//!
//! Owns that scheme, host and port are those of the template, and that a value reaches no other path by dots.

use url::Url;

/// The longest url of a request, in bytes.
pub const URL_BYTES_MAX: usize = 16 << 10;

/// What begins a part of a template that is filled in.
pub(super) const OPENERS: [&str; 3] = ["{{", "{%", "{#"];

/// Scheme, host and port of a template for a url, as a url of its own.
///
/// # Errors
/// They do not stand there in plain letters, or are not those of a url that can be called.
pub fn literal_origin(template: &str) -> Result<Url, String> {
    let expected = "expected for example https://sms.example/send?to={{ payload.to }}";
    let filled_at = OPENERS.iter().filter_map(|opener| template.find(opener)).min();
    let literal = &template[..filled_at.unwrap_or(template.len())];
    let (scheme, rest) = literal
        .split_once("://")
        .ok_or_else(|| format!("does not begin with a scheme and a host; {expected}"))?;
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err(format!("does not begin with http:// or https://; {expected}"));
    }
    let authority = match rest.find(['/', '?', '#', '\\']) {
        Some(end) => &rest[..end],
        None if filled_at.is_none() => rest,
        None => {
            return Err(format!(
                "takes its host from a message, which could then send calls anywhere; write scheme, host and port out, and a / behind them, {expected}"
            ));
        }
    };
    if authority.contains('@') {
        return Err(
            "holds a user or password; put them into headers instead, for example Authorization = \"Basic ${SMS_BASIC}\""
                .to_owned(),
        );
    }
    let origin = format!("{scheme}://{authority}/");
    let origin =
        Url::parse(&origin).map_err(|error| format!("is not a valid url ({error}); {expected}"))?;
    if origin.path() != "/" || origin.query().is_some() {
        return Err(format!("is not a valid url; {expected}"));
    }
    Ok(origin)
}

/// A template of a url as it may be shown: keys are wont to stand in a query, so that a parameter into which nothing is
/// filled in keeps its name alone.
#[must_use]
pub fn hidden_query(template: &str) -> String {
    let mut shown = String::with_capacity(template.len());
    let (mut rest, mut parameter, mut is_query) = (template, String::new(), false);
    while let Some(letter) = rest.chars().next() {
        let opener = OPENERS.iter().find(|opener| rest.starts_with(**opener));
        let end = opener.map(|opener| {
            let closer = opener.chars().rev().map(|it| if it == '{' { '}' } else { it });
            let closer: String = closer.collect();
            rest.find(&closer).map_or(rest.len(), |at| at + closer.len())
        });
        let (piece, after) = rest.split_at(end.unwrap_or(letter.len_utf8()));
        rest = after;
        match piece {
            "?" if !is_query => {
                is_query = true;
                shown.push('?');
            }
            "&" if is_query => {
                shown.push_str(&hidden_parameter(&std::mem::take(&mut parameter)));
                shown.push('&');
            }
            _ if is_query => parameter.push_str(piece),
            _ => shown.push_str(piece),
        }
    }
    shown + &hidden_parameter(&parameter)
}

fn hidden_parameter(parameter: &str) -> String {
    if parameter.is_empty() || OPENERS.iter().any(|opener| parameter.contains(opener)) {
        return parameter.to_owned();
    }
    match parameter.split_once('=') {
        Some((name, _)) => format!("{name}=***"),
        None => "***".to_owned(),
    }
}

/// The url that a template wrote.
///
/// # Errors
/// What in it cannot be called, or is not what the template says.
pub(super) fn checked(rendered: &str, origin: &Url) -> Result<Url, String> {
    if rendered.contains(|letter: char| letter.is_control() || letter == ' ' || letter == '\\') {
        return Err(
            "has a space, a line break, a backslash or a control character in it when its values are filled in; percent-encode them"
                .to_owned(),
        );
    }
    let path = rendered.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    if path.split('/').skip(1).any(is_dots) {
        return Err(
            "has a part of its path that is only dots when its values are filled in, which would call another path"
                .to_owned(),
        );
    }
    let url = Url::parse(rendered)
        .map_err(|error| format!("is not a valid url when its values are filled in ({error})"))?;
    let is_same = url.scheme() == origin.scheme()
        && url.host_str() == origin.host_str()
        && url.port() == origin.port();
    if !is_same || !url.username().is_empty() || url.password().is_some() {
        return Err("has another host than the template when its values are filled in".to_owned());
    }
    if url.fragment().is_some() {
        return Err(
            "has a fragment (#...) when its values are filled in, which is never sent; percent-encode it as %23"
                .to_owned(),
        );
    }
    Ok(url)
}

/// Whether a part of a path leads elsewhere: `.` or `..`, in whatever spelling.
fn is_dots(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    matches!(plain.as_str(), "." | "..")
}
