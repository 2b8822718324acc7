//! That a template multiplies numbers only.
//!
//! The language repeats a list that is multiplied by a number, without any bound: whoever may send `{"price": [0], "qty": 1000000000000}`
//! to `{{ payload.price * payload.qty }}` would occupy a thread for hours. Owns where the factors of a product stand: behind each, a filter
//! is written that takes numbers alone.

use std::borrow::Cow;

use minijinja::Error;
use minijinja::machinery::{Span, Token, tokenize};

/// The filter that takes numbers alone.
pub(super) const NUMBER_ONLY: &str = "number_only";
/// What is written behind each factor.
const GUARD: &str = "|number_only";

/// The template with a guard behind each factor.
///
/// # Errors
/// The template has letters that are no part of the language.
pub(super) fn guarded(source: &str) -> Result<Cow<'_, str>, Error> {
    if !source.contains('*') {
        return Ok(source.into());
    }
    let tokens = tokenize(source, false, Default::default(), Default::default());
    let tokens: Vec<(Token<'_>, Span)> = tokens.collect::<Result<_, _>>()?;
    let mut places = Vec::new();
    for at in (1..tokens.len()).filter(|at| matches!(tokens[*at].0, Token::Mul)) {
        for behind in [at, end_of_factor(&tokens, at + 1)] {
            places.push(tokens[behind - 1].1.end_offset as usize);
        }
    }
    places.sort_unstable();
    places.dedup();
    let (mut written, mut from) = (String::with_capacity(source.len()), 0);
    for place in places {
        written.push_str(&source[from..place]);
        written.push_str(GUARD);
        if source[place..].starts_with(|next: char| next.is_alphanumeric() || next == '_') {
            written.push(' ');
        }
        from = place;
    }
    written.push_str(&source[from..]);
    Ok(written.into())
}

/// A text of a template as its writer knows it.
pub(super) fn without_guards(text: &str) -> Cow<'_, str> {
    if text.contains(GUARD) { text.replace(GUARD, "").into() } else { text.into() }
}

/// Behind the factor that begins with this token: signs, a value, and what follows it at once (fields, places, filters).
fn end_of_factor(tokens: &[(Token<'_>, Span)], begin: usize) -> usize {
    let token = |at: usize| tokens.get(at).map(|(token, _)| token);
    let mut at = begin;
    while matches!(token(at), Some(Token::Minus | Token::Plus)) {
        at += 1;
    }
    at = end_of_group(tokens, at);
    loop {
        at = match token(at) {
            Some(Token::Str(_) | Token::String(_)) => at + 1,
            Some(Token::Dot | Token::Pipe) => (at + 2).min(tokens.len()),
            Some(Token::BracketOpen | Token::ParenOpen) => end_of_group(tokens, at),
            _ => return at,
        };
    }
}

/// Behind one token, or behind the bracket that closes the one which it opens.
fn end_of_group(tokens: &[(Token<'_>, Span)], begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, (token, _)) in tokens.iter().enumerate().skip(begin) {
        match token {
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => depth += 1,
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_factor_is_guarded() {
        for (source, expected) in [
            ("{{ a * b }}", "{{ a # * b #}}"),
            ("{{ a*b }}", "{{ a#*b# }}"),
            (
                "{{ a.b[0].c | first * -d.e(1)['*'] | last(x * 2) ~ f }}",
                "{{ a.b[0].c | first #* -d.e(1)['*'] | last(x #* 2#)# ~ f }}",
            ),
            ("{{ (a + b) * (c - d) * 2 }}", "{{ (a + b) #* (c - d) #* 2# }}"),
            (
                "{% for x in a * 3 %}{{ x }}*{% endfor %}",
                "{% for x in a #* 3# %}{{ x }}*{% endfor %}",
            ),
            ("{{ a ** 2 }} * {# x * y #} {{ '*' }}", "{{ a ** 2 }} * {# x * y #} {{ '*' }}"),
            ("{{ 2 * 'a' 'b' }}", "{{ 2 #* 'a' 'b'# }}"),
            ("{{ a * b if c * d else e }}", "{{ a #* b# if c #* d# else e }}"),
        ] {
            let found = guarded(source).unwrap();
            let squeezed = |text: &str| text.replace(' ', "");
            assert_eq!(squeezed(&found.replace(GUARD, "#")), squeezed(expected), "{source}");
            assert_eq!(without_guards(&found), source);
        }
    }
}
