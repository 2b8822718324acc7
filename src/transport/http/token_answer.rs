//! What a token endpoint answers.
//!
//! Owns how liberally it is read: servers disagree about types and spelling. Refuses to know when it is asked.

use std::time::Duration;

use serde_json::Value;

/// How long a token counts of which nobody says how long.
const LIFE_UNSAID: Duration = Duration::from_secs(5 * 60);
/// The longest life that is believed.
const LIFE_MAX: Duration = Duration::from_secs(365 * 86_400);
/// Most characters of what the endpoint says that are repeated.
const SAID_CHARS_MAX: usize = 200;

/// A token, and for how long it counts.
#[derive(Debug, PartialEq)]
pub(super) struct GrantedToken {
    pub(super) token: String,
    pub(super) life: Duration,
}

/// Reads an answer; `Err` says in words why there is no token, with `***` in place of what `masks` name.
pub(super) fn read(status: u16, body: &[u8], masks: &[String]) -> Result<GrantedToken, String> {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let json = json.as_ref().filter(|json| json.is_object());
    let text = |name: &str| json.and_then(|json| json[name].as_str()).filter(|it| !it.is_empty());
    let plain = |text: &str| plain(text, masks);
    let error = text("error").map(|error| match text("error_description") {
        Some(description) => format!("{} ({})", plain(error), plain(description)),
        None => plain(error),
    });
    if !(200..300).contains(&status) {
        let said = error.unwrap_or_else(|| "it does not say why".to_owned());
        return Err(format!("status {status}: {said}"));
    }
    if let Some(error) = error {
        return Err(error);
    }
    if json.is_none() {
        return Err(format!(
            "status {status}, but the answer is not a JSON object; check token_url"
        ));
    }
    if let Some(other) =
        text("token_type").filter(|kind| !kind.trim().eq_ignore_ascii_case("bearer"))
    {
        return Err(format!("its token_type is {}, expected Bearer", plain(other)));
    }
    let token = text("access_token").map(str::trim).filter(|token| !token.is_empty());
    let token =
        token.ok_or_else(|| format!("status {status}, but the answer has no access_token"))?;
    let life = json.and_then(|json| life(&json["expires_in"])).unwrap_or(LIFE_UNSAID);
    Ok(GrantedToken { token: token.to_owned(), life })
}

/// Seconds as a number or as a text; what is not positive says nothing.
fn life(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let life = Duration::try_from_secs_f64(seconds).ok()?;
    (!life.is_zero()).then(|| life.min(LIFE_MAX))
}

/// A word of the endpoint, in one line of some length.
/// In one line and bounded. Secrets are taken out first, or half of one could be left.
fn plain(text: &str, masks: &[String]) -> String {
    let text = masks.iter().fold(text.to_owned(), |text, mask| text.replace(mask, "***"));
    let words: Vec<_> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    words
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(SAID_CHARS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_liberally() {
        for (body, seconds) in [
            (r#"{"access_token": "t0k", "token_type": "Bearer", "expires_in": 3600}"#, 3600),
            (r#"{"access_token": "t0k", "token_type": "bearer", "expires_in": "60"}"#, 60),
            (r#"{"access_token": " t0k ", "token_type": "BEARER", "expires_in": 1.5e2}"#, 150),
            (r#"{"access_token": "t0k"}"#, 300),
            (r#"{"access_token": "t0k", "expires_in": 0, "more": [1]}"#, 300),
            (r#"{"access_token": "t0k", "expires_in": -5}"#, 300),
            (r#"{"access_token": "t0k", "expires_in": null, "error": null}"#, 300),
            (r#"{"access_token": "t0k", "expires_in": 1e300}"#, 300),
            (r#"{"access_token": "t0k", "expires_in": 99999999999}"#, 365 * 86_400),
        ] {
            let life = Duration::from_secs(seconds);
            assert_eq!(
                read(200, body.as_bytes(), &[]),
                Ok(GrantedToken { token: "t0k".to_owned(), life }),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_no_token_is_told_in_words() {
        for (status, body, why) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"Client\n authentication  failed"}"#,
                "status 401: invalid_client (Client authentication failed)",
            ),
            (400, r#"{"error":"invalid_scope"}"#, "status 400: invalid_scope"),
            (503, "<html>", "status 503: it does not say why"),
            (200, r#"{"error":"bad_verification_code"}"#, "bad_verification_code"),
            (200, "<html>", "status 200, but the answer is not a JSON object; check token_url"),
            (200, "[]", "status 200, but the answer is not a JSON object; check token_url"),
            (200, "{}", "status 200, but the answer has no access_token"),
            (200, r#"{"access_token": ""}"#, "status 200, but the answer has no access_token"),
            (
                200,
                r#"{"access_token": "x", "token_type": "mac"}"#,
                "its token_type is mac, expected Bearer",
            ),
            (302, "", "status 302: it does not say why"),
        ] {
            assert_eq!(read(status, body.as_bytes(), &[]), Err(why.to_owned()), "{body}");
        }
        let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(5000));
        assert!(read(400, long.as_bytes(), &[]).unwrap_err().len() < 300);
        // A secret that would be cut in its middle is taken out before.
        let echo = format!(r#"{{"error":"{} s3cr3t-value"}}"#, "x".repeat(190));
        let said = read(400, echo.as_bytes(), &["s3cr3t-value".to_owned()]).unwrap_err();
        assert!(said.ends_with(" ***"), "{said}");
    }
}
