//! A token in a url, for downstreams that can send no header.
//!
//! Owns that it is taken out of the address before anybody else sees that, so that it stands in no log, no problem and no
//! list of actions.

use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{Uri, header};

use super::problem::{Code, Problem};

/// The name of the parameter.
const TOKEN: &str = "token";

/// The token in the address, which has none afterwards. A token in the header decides, if there is one.
///
/// # Errors
/// 401 where several stand there.
pub(super) fn take(head: &mut Parts) -> Result<Option<String>, Problem> {
    let Some(query) = head.uri.query() else { return Ok(None) };
    let (mut tokens, mut others) = (Vec::new(), Vec::new());
    for piece in query.split('&') {
        match url::form_urlencoded::parse(piece.as_bytes()).next() {
            Some((name, value)) if name == TOKEN => tokens.push(value.into_owned()),
            _ => others.push(piece),
        }
    }
    if tokens.is_empty() {
        return Ok(None);
    }
    let address = format!("{}?{}", head.uri.path(), others.join("&"));
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    parts.path_and_query = PathAndQuery::try_from(address).ok();
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    if tokens.len() > 1 {
        let detail = "the url has several tokens; send one";
        return Err(Problem::new(Code::Unauthorized, detail));
    }
    let is_in_header = head.headers.contains_key(header::AUTHORIZATION);
    Ok(tokens.pop().filter(|_| !is_in_header))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn ask(address: &str, authorization: Option<&str>) -> (Result<Option<String>, Code>, String) {
        let mut request = Request::get(address);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let taken = take(&mut head).map_err(|problem| problem.code());
        (taken, head.uri.to_string())
    }

    #[test]
    fn a_token_is_taken_out_of_the_address() {
        let token = || Ok(Some("a b".to_owned()));
        assert_eq!(ask("/r?id=1&token=a%20b&x=%26", None), (token(), "/r?id=1&x=%26".to_owned()));
        assert_eq!(ask("/r?%74oken=a+b", None), (token(), "/r?".to_owned()));
        assert_eq!(ask("/r?id=1", None), (Ok(None), "/r?id=1".to_owned()));
        assert_eq!(ask("/r", None), (Ok(None), "/r".to_owned()));
        assert_eq!(ask("/r?token=a", Some("Bearer b")), (Ok(None), "/r?".to_owned()));
        let several = ask("/r?token=a&token=b", None);
        assert_eq!(several, (Err(Code::Unauthorized), "/r?".to_owned()));
    }
}
