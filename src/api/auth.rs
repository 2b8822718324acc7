//! Who may do what.
//!
//! Owns the scope that each route needs and the comparison of tokens, which are known by their hash
//! alone. Refuses to know what protects a door without tokens (see `loopback`).

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::problem::{Code, Problem};
pub(super) use super::tokens::Caller;
use super::tokens::is_expired;
use crate::config::{Scope, Token};

/// Where downstreams report; a token may stand in the url there.
pub(super) const RECEIPTS: &str = "/v1/queues/{queue}/receipts";

/// The scope that a route needs; `None`: everybody may. What is not listed needs `operate`.
pub(super) fn scope_needed(method: &Method, route: Option<&str>) -> Option<Scope> {
    match (method, route) {
        (_, Some("/livez" | "/readyz")) => None,
        (&Method::GET | &Method::HEAD | &Method::POST, Some(RECEIPTS)) => Some(Scope::Receipt),
        (&Method::GET | &Method::HEAD, _) => Some(Scope::Read),
        (
            &Method::POST,
            Some(
                "/v1/queues/{queue}/messages"
                | "/v1/queues/{queue}/messages/batch"
                | "/v1/topics/{topic}/messages",
            ),
        ) => Some(Scope::Send),
        (&Method::POST, Some("/v1/queues/{queue}/claim" | "/v1/queues/{queue}/settle")) => {
            Some(Scope::Work)
        }
        (_, Some("/v1/queues/{queue}/keys" | "/v1/limits/{name}/charge")) => Some(Scope::Admin),
        _ => Some(Scope::Operate),
    }
}

/// Who is asking, if they may.
///
/// # Errors
/// 503 where the token expires and nobody knows the time; 401 without a valid token, 403 where it lacks the scope.
pub(super) fn admit(
    tokens: &[Arc<Token>],
    headers: &HeaderMap,
    needed: Option<Scope>,
    now_ms: impl FnOnce() -> Result<u64, Problem>,
) -> Result<Caller, Problem> {
    let Some(needed) = needed.filter(|_| !tokens.is_empty()) else {
        return Ok(Caller::ANONYMOUS);
    };
    let token = bearer(headers).ok_or_else(|| {
        unauthorized(
            "no token came with the request; send the header Authorization: Bearer <token>",
        )
    })?;
    let known = valid(tokens, token, now_ms)?;
    if known.scopes.iter().any(|scope| scope.covers(needed)) {
        return Ok(Caller::of(Arc::clone(known)));
    }
    Err(Problem::new(
        Code::Forbidden,
        format!(
            "the token \"{}\" lacks the scope \"{}\"; add it to server.tokens, or use another token",
            known.name,
            needed.as_str()
        ),
    ))
}

/// The same with a token that stands in the url, which many a log keeps: it may allow nothing but receipts.
///
/// # Errors
/// As [`admit`]; 403 for a token that allows more.
pub(super) fn admit_in_url(
    tokens: &[Arc<Token>],
    token: &str,
    now_ms: impl FnOnce() -> Result<u64, Problem>,
) -> Result<Caller, Problem> {
    let known = valid(tokens, token.as_bytes(), now_ms)?;
    if known.scopes == [Scope::Receipt] {
        return Ok(Caller::of(Arc::clone(known)));
    }
    Err(Problem::new(
        Code::Forbidden,
        format!(
            "the token \"{}\" does not have the scope \"receipt\" alone, and only such a token may stand in a url; send it in the header Authorization, or make one with `tidegate token new NAME --scope receipt`",
            known.name
        ),
    ))
}

/// # Errors
/// 401 for a token that is not known or has expired; 503 where nobody knows the time.
pub(super) fn valid<'a>(
    tokens: &'a [Arc<Token>],
    token: &[u8],
    now_ms: impl FnOnce() -> Result<u64, Problem>,
) -> Result<&'a Arc<Token>, Problem> {
    let known = find(tokens, token)
        .ok_or_else(|| unauthorized("this token is not known here; check TIDEGATE_TOKEN"))?;
    if is_expired(known, now_ms)? {
        return Err(unauthorized(
            "this token has expired; ask the operator for another one (`tidegate token new`)",
        ));
    }
    Ok(known)
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case(b"bearer "))
        .then(|| token.trim_ascii())
        .filter(|token| !token.is_empty())
}

/// Compares with every token in the same time, so that nothing is learned from how long it took.
fn find<'a>(tokens: &'a [Arc<Token>], token: &[u8]) -> Option<&'a Arc<Token>> {
    let digest = Sha256::digest(token);
    let mut found = None;
    for known in tokens {
        if bool::from(known.sha256.ct_eq(digest.as_slice())) {
            found = Some(known);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, text: &str, scopes: &[Scope]) -> Arc<Token> {
        Arc::new(Token {
            name: name.to_owned(),
            sha256: Sha256::digest(text).into(),
            scopes: scopes.to_vec(),
            expires_ms: (name == "guest").then_some(1000),
            queues: None,
        })
    }

    fn ask(authorization: &[&str], needed: Scope) -> Result<String, Code> {
        let tokens = [
            token("shop", "s3cret", &[Scope::Send]),
            token("ops", "other", &[Scope::Read, Scope::Operate]),
            token("boss", "highest", &[Scope::Admin]),
        ];
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        admit(&tokens, &headers, Some(needed), || Ok(999))
            .map(|caller| caller.name().to_owned())
            .map_err(|problem| problem.code())
    }

    #[test]
    fn a_token_opens_what_its_scopes_say() {
        assert_eq!(ask(&["Bearer s3cret"], Scope::Send), Ok("shop".to_owned()));
        assert_eq!(ask(&["bearer other"], Scope::Operate), Ok("ops".to_owned()));
        assert_eq!(ask(&["Bearer other"], Scope::Work), Ok("ops".to_owned()));
        for lacking in [Scope::Read, Scope::Work, Scope::Receipt] {
            assert_eq!(ask(&["Bearer s3cret"], lacking), Err(Code::Forbidden));
        }
        assert_eq!(ask(&["bearer other"], Scope::Receipt), Ok("ops".to_owned()));
        for lacking in [Scope::Send, Scope::Admin] {
            assert_eq!(ask(&["bearer other"], lacking), Err(Code::Forbidden));
        }
        for scope in Scope::ALL {
            assert_eq!(ask(&["bearer highest"], scope), Ok("boss".to_owned()));
        }
        for bad in
            ["", "Bearer", "Bearer ", "Basic s3cret", "s3cret", "Bearer wrong", "Bearer s3cre"]
        {
            assert_eq!(ask(&[bad], Scope::Send), Err(Code::Unauthorized), "{bad}");
        }
        assert_eq!(ask(&[], Scope::Send), Err(Code::Unauthorized));
        assert_eq!(ask(&["Bearer s3cret", "Bearer s3cret"], Scope::Send), Err(Code::Unauthorized));
    }

    #[test]
    fn a_token_ends_at_its_very_instant() {
        let tokens = [token("guest", "s3cret", &[Scope::Send])];
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, "Bearer s3cret".parse().unwrap());
        let ask = |now_ms| admit(&tokens, &headers, Some(Scope::Send), || Ok(now_ms));
        assert_eq!(ask(999).unwrap().name(), "guest");
        for now_ms in [1000, 1001, u64::MAX] {
            assert_eq!(ask(now_ms).unwrap_err().code(), Code::Unauthorized);
        }
        let unknown = || Err(Problem::store_unavailable("no clock"));
        let problem = admit(&tokens, &headers, Some(Scope::Send), unknown).unwrap_err();
        assert_eq!(problem.code(), Code::StoreUnavailable);
    }

    #[test]
    fn a_url_carries_no_token_that_allows_more_than_receipts() {
        let tokens = [
            token("gateway", "s3cret", &[Scope::Receipt]),
            token("both", "other", &[Scope::Receipt, Scope::Send]),
            token("ops", "third", &[Scope::Operate]),
        ];
        let ask = |token: &str| {
            let admitted = admit_in_url(&tokens, token, || Ok(0));
            admitted.map(|caller| caller.name().to_owned()).map_err(|problem| problem.code())
        };
        assert_eq!(ask("s3cret"), Ok("gateway".to_owned()));
        for more in ["other", "third"] {
            assert_eq!(ask(more), Err(Code::Forbidden));
        }
        for wrong in ["", "s3cre"] {
            assert_eq!(ask(wrong), Err(Code::Unauthorized));
        }
    }

    #[test]
    fn an_open_door_knows_nobody() {
        let caller = admit(&[], &HeaderMap::new(), Some(Scope::Operate), || Ok(0)).unwrap();
        assert_eq!(caller.name(), "anonymous");
    }

    #[test]
    fn what_is_not_listed_needs_operate() {
        let needed = |method, route| scope_needed(&method, Some(route));
        assert_eq!(needed(Method::GET, "/livez"), None);
        assert_eq!(needed(Method::GET, "/metrics"), Some(Scope::Read));
        assert_eq!(needed(Method::HEAD, "/v1/queues"), Some(Scope::Read));
        assert_eq!(needed(Method::POST, "/v1/queues/{queue}/messages"), Some(Scope::Send));
        assert_eq!(needed(Method::POST, "/v1/queues/{queue}/try"), Some(Scope::Operate));
        assert_eq!(needed(Method::POST, "/v1/queues/{queue}/claim"), Some(Scope::Work));
        for method in [Method::POST, Method::GET, Method::HEAD] {
            assert_eq!(needed(method, RECEIPTS), Some(Scope::Receipt));
        }
        assert_eq!(needed(Method::DELETE, "/v1/messages/{id}"), Some(Scope::Operate));
        for method in [Method::PUT, Method::DELETE] {
            assert_eq!(needed(method, "/v1/queues/{queue}/keys"), Some(Scope::Admin));
        }
        assert_eq!(needed(Method::GET, "/v1/queues/{queue}/keys"), Some(Scope::Read));
        assert_eq!(needed(Method::POST, "/v1/limits/{name}/charge"), Some(Scope::Admin));
        assert_eq!(scope_needed(&Method::POST, None), Some(Scope::Operate));
    }
}
