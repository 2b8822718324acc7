//! The cookies of a browser, what is made of them, and where a browser is led.
//!
//! Owns the cookie with the token, which no script can read, and what binds a form to its session. Refuses to know pages.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::state::Dashboard;
use super::words::encoded;

/// The cookie with the token.
const COOKIE: &str = "tidegate_session";
/// The cookie with the zone of the browser.
const ZONE_COOKIE: &str = "tidegate_zone";
/// What a form is bound to.
const FORM_PURPOSE: &[u8] = b"tidegate form";
/// Leads to the page that asks for a token, or back to `page` once a token has been given.
pub(super) fn login_first(page: &str) -> Response {
    see(&format!("/ui/login?next={}", encoded(page)))
}

/// Leads to a place after a form was taken.
pub(super) fn see(place: &str) -> Response {
    let place = HeaderValue::from_str(place).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// Makes the browser forget its token.
pub(super) fn forget(response: &mut Response, base: &str) {
    let text = format!("{COOKIE}=; Path={base}/; Max-Age=0; HttpOnly; SameSite=Strict");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// The token that the browser sent.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cookie(headers, COOKIE)?).ok()?;
    String::from_utf8(bytes).ok().filter(|token| !token.is_empty())
}

/// The name of the zone of the browser.
pub(super) fn zone(headers: &HeaderMap) -> Option<&str> {
    cookie(headers, ZONE_COOKIE)
}

/// What the forms of a session carry: nobody who does not have the token can make it.
pub(super) fn form_token(dashboard: &Dashboard, token: Option<&str>) -> String {
    let key = token.map_or(&dashboard.secret[..], str::as_bytes);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length is taken");
    mac.update(FORM_PURPOSE);
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// Whether two of these are the same, in a time that says nothing.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// A place of this daemon; anything else is the first page.
pub(super) fn own_place(text: &str) -> String {
    let is_own = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains(['\\', '\r', '\n', '\t'])
        && text.is_ascii();
    if is_own { text.to_owned() } else { "/".to_owned() }
}

/// Gives the browser its token.
pub(super) fn set_token(response: &mut Response, base: &str, token: &str, headers: &HeaderMap) {
    let value = URL_SAFE_NO_PAD.encode(token);
    let secure = if is_secure(headers) { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path={base}/; HttpOnly; SameSite=Strict{secure}");
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Whether the browser came by https: it says so itself, and so does a proxy.
fn is_secure(headers: &HeaderMap) -> bool {
    let begins = |name: &str, text: &[u8]| {
        headers.get(name).is_some_and(|value| value.as_bytes().starts_with(text))
    };
    begins("origin", b"https://") || begins("x-forwarded-proto", b"https")
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_elsewhere_is_the_first_page() {
        for own in ["/", "/ui/queues/sms?note=paused"] {
            assert_eq!(own_place(own), own);
        }
        for foreign in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/a\nb"] {
            assert_eq!(own_place(foreign), "/");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        let text = "a=b; tidegate_session=dGdfeA; tidegate_zone=Europe/Berlin";
        headers.insert(header::COOKIE, HeaderValue::from_static(text));
        assert_eq!(token(&headers).as_deref(), Some("tg_x"));
        assert_eq!(zone(&headers), Some("Europe/Berlin"));
        headers.insert(header::COOKIE, HeaderValue::from_static("tidegate_session=%%"));
        assert_eq!(token(&headers), None);
    }
}
