//! `[queues.<name>.downstream.oauth2]`: with whose token a downstream is called.
//!
//! Owns what a client of an authorization server has to say of itself. Refuses to know how a token is got.

use url::Url;

use super::downstream::target;
use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Bounds, Form, Kind, Shown, custom, settings, text, word};
use crate::domain::access::{CredentialsIn, OAuth2Policy};
use crate::domain::endpoint::Secret;

/// A client's own token and a header of the same name cannot both be sent.
pub(super) fn beside_headers(
    section: &Section<'_>,
    oauth2: Option<OAuth2Policy>,
    headers: &[(http::HeaderName, Secret)],
) -> Read<Option<OAuth2Policy>> {
    let is_set = headers.iter().any(|(name, _)| name == http::header::AUTHORIZATION);
    if oauth2.is_some() && is_set {
        let why = "sets the header Authorization, which headers sets too; keep one of the two";
        return Err(section.wrong("oauth2", why));
    }
    Ok(oauth2)
}

const SECTION: &str = "queues.NAME.downstream.oauth2";
const SENDS: [(&str, CredentialsIn); 2] =
    [("basic", CredentialsIn::Basic), ("body", CredentialsIn::Body)];

settings! {
    struct OAuth2 in "queues.NAME.downstream.oauth2" of OAuth2Policy {
        /// The token endpoint. It is reached through the `proxy` of the downstream, and with its `tls`.
        token_url: (Url, String) = target().required("\"https://auth.example/oauth2/token\""),
            |it| (it.token_url.clone(), it.token_url_shown.clone());
        /// As whom Tidegate asks.
        client_id: (String, String) = client_id().required("\"tidegate\""),
            |it| (it.client_id.clone(), it.client_id_shown.clone());
        /// The secret of this client.
        client_secret: Secret = secret().required("\"${ERP_CLIENT_SECRET}\""), |it| it.client_secret.clone();
        /// What the token is to be good for, as the server names it; several with a space between them.
        scope: Option<String> = text("any text").unset_means("none").example("\"orders\""), |it| it.scope.clone();
        /// For whom the token is, where the server asks for that.
        audience: Option<String> = text("any text").unset_means("none").example("\"https://erp.example\""), |it| it.audience.clone();
        /// Where id and secret stand in the request: in `Authorization: Basic`, or in its body.
        send: CredentialsIn = word(&SENDS, &[]).or(CredentialsIn::Basic), |it| it.send;
    }
}

/// The whole table.
pub(super) fn table() -> impl Kind<Value = OAuth2Policy> {
    let shown = |it: &OAuth2Policy| Shown::Table(OAuth2::shown(it));
    custom("a table with `token_url`, `client_id` and `client_secret`", read, shown)
        .shown_as(Form::Section(SECTION))
}

fn read(field: &Field<'_>) -> Read<OAuth2Policy> {
    field.section(&[], |section| {
        let it = OAuth2::of(section);
        let (token, client) = (it.token_url?, it.client_id?);
        let (client_secret, scope, audience) = (it.client_secret?, it.scope?, it.audience?);
        let ((token_url, token_url_shown), (client_id, client_id_shown)) = (token, client);
        let send = it.send?;
        Ok(OAuth2Policy {
            token_url,
            token_url_shown,
            client_id,
            client_id_shown,
            client_secret,
            scope,
            audience,
            send,
        })
    })
}

/// Shown as it is written: what a reference stands for may be meant to stay unseen.
fn client_id() -> impl Kind<Value = (String, String)> {
    let read = |field: &Field<'_>| {
        let id = text("any text").read(field)?;
        Ok((id, field.raw_text().unwrap_or_default().to_owned()))
    };
    custom("any text", read, |(_, shown): &(String, String)| shown.as_str().into())
}

/// Any text, which never shows itself.
fn secret() -> impl Kind<Value = Secret> {
    let read = |field: &Field<'_>| {
        field.parse(|text| {
            if text.trim().is_empty() {
                return Err("is empty; expected for example \"${ERP_CLIENT_SECRET}\"".to_owned());
            }
            Ok(Secret::new(text.to_owned()))
        })
    };
    custom("any text", read, |_: &Secret| Shown::Masked)
        .shown_as(Form::Plain(Bounds::Told("`***`: the secret is never shown")))
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{load_with, queue_errors};
    use crate::config::{effective, render};
    use crate::domain::access::CredentialsIn;
    use crate::domain::policy::Downstream;

    const HTTP: &str = "[queues.q.downstream]\nurl = \"https://h\"\n";
    const ALL: &str = "oauth2 = { token_url = \"https://auth.example/token?key=hunter2\", client_id = \"${ID}\", client_secret = \"${S}\", scope = \"orders\", audience = \"https://h\", send = \"body\" }";

    #[test]
    fn every_key_is_read_and_no_secret_is_shown() {
        let environment = [("ID", "tidegate"), ("S", "hunter2")];
        let settings = load_with(&format!("{HTTP}{ALL}"), &environment, &[]).unwrap();
        let queue = settings.queues.values().next().unwrap();
        let Downstream::Http(http) = &queue.downstream else { panic!() };
        let oauth2 = http.access.oauth2.as_ref().unwrap();
        assert_eq!(
            (oauth2.client_id.as_str(), oauth2.client_secret.expose()),
            ("tidegate", "hunter2")
        );
        assert_eq!((oauth2.scope.as_deref(), oauth2.send), (Some("orders"), CredentialsIn::Body));
        let shown = render(&settings);
        let policy = serde_json::to_value(effective(queue)).unwrap();
        assert!(!format!("{shown}{policy}{http:?}").contains("hunter2"), "{shown}{policy}{http:?}");
        assert!(shown.contains("token_url = \"https://auth.example/token?***\", client_id = \"${ID}\", client_secret = \"***\""), "{shown}");
        assert_eq!(policy["downstream"]["oauth2"]["client_secret"], "***");
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("oauth2 = {}", "downstream.oauth2.token_url: is missing"),
            ("oauth2 = {}", "downstream.oauth2.client_secret: is missing; expected for example"),
            ("oauth2 = { token_url = \"ftp://h\" }", "oauth2.token_url: has the scheme"),
            ("oauth2 = { client_secret = \"\" }", "oauth2.client_secret: is empty"),
            ("oauth2 = { send = \"post\" }", "found \"post\", expected \"basic\" or \"body\""),
            ("oauth2 = { secret = \"hunter2\" }", "oauth2.secret: unknown key; expected one of"),
            (
                "headers = { Authorization = \"Bearer hunter2\" }\noauth2 = { token_url = \"https://h\", client_id = \"a\", client_secret = \"hunter2\" }",
                "downstream.oauth2: sets the header Authorization, which headers sets too; keep one of the two",
            ),
        ] {
            let error = queue_errors(&format!("{HTTP}{text}"));
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
