//! `signing_secret` and `signing_secrets`: with what calls are signed.
//!
//! Owns what a secret looks like and that one of the two keys is set at most. Refuses to know how calls are signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Bounds, Form, Kind, Shown, list};
use crate::domain::endpoint::Secret;

/// Most secrets of one downstream: an old one and a new one have a use, and each costs a signature for every call.
const SECRETS_MAX: usize = 5;

/// Standard Webhooks: `whsec_` and base64, or any other text taken as its bytes. Never shown.
pub(in crate::config) struct SigningSecret;

impl Kind for SigningSecret {
    type Value = Secret;

    fn read(&self, field: &Field<'_>) -> Read<Secret> {
        signing_secret(field)
    }

    fn show(&self, _secret: &Secret) -> Shown {
        Shown::Secret(true)
    }

    fn show_unset(&self) -> Shown {
        Shown::Secret(false)
    }

    fn bounds(&self) -> Bounds {
        Bounds::Told("`whsec_` and base64, or any text")
    }

    fn form(&self) -> Form {
        Form::Secret
    }
}

fn signing_secret(field: &Field<'_>) -> Read<Secret> {
    field.parse(|text| {
        let expected =
            "expected whsec_ and base64, for example from: echo whsec_$(openssl rand -base64 32)";
        if text.trim() != text || text.is_empty() {
            return Err(format!("is empty, or begins or ends with space; {expected}"));
        }
        if text.starts_with("whsk_") {
            return Err(format!(
                "is an asymmetric key (whsk_), which this version does not sign with; {expected}"
            ));
        }
        match text.strip_prefix("whsec_").map(|key| STANDARD.decode(key)) {
            None => Ok(Secret::new(text.to_owned())),
            Some(Ok(key)) if !key.is_empty() => Ok(Secret::new(text.to_owned())),
            Some(Ok(_)) => Err(format!("is an empty key; {expected}")),
            Some(Err(_)) => {
                Err(format!("begins with whsec_, but what follows is not valid base64; {expected}"))
            }
        }
    })
}

/// The secret of a downstream that has one.
pub(super) struct One;

impl Kind for One {
    type Value = Vec<Secret>;

    fn read(&self, field: &Field<'_>) -> Read<Vec<Secret>> {
        Ok(vec![signing_secret(field)?])
    }

    fn show(&self, secrets: &Vec<Secret>) -> Shown {
        // Of several, the other key has the line.
        if secrets.len() == 1 { Shown::Secret(true) } else { Shown::Signed(true) }
    }

    fn show_unset(&self) -> Shown {
        SigningSecret.show_unset()
    }

    fn bounds(&self) -> Bounds {
        SigningSecret.bounds()
    }

    fn form(&self) -> Form {
        SigningSecret.form()
    }
}

/// The secrets of a downstream that has several: how many there are is shown.
pub(super) struct Several;

impl Kind for Several {
    type Value = Vec<Secret>;

    fn read(&self, field: &Field<'_>) -> Read<Vec<Secret>> {
        let secrets = list(SigningSecret).read(field)?;
        if secrets.is_empty() || secrets.len() > SECRETS_MAX {
            let found = secrets.len();
            return Err(field.wrong(format!(
                "found {found} secrets, expected 1 to {SECRETS_MAX}; leave the key out to send unsigned"
            )));
        }
        if (1..secrets.len()).any(|at| secrets[..at].contains(&secrets[at])) {
            return Err(field.wrong("has the same secret twice; remove one of the two"));
        }
        Ok(secrets)
    }

    fn show(&self, secrets: &Vec<Secret>) -> Shown {
        Shown::Secrets(secrets.len())
    }

    fn bounds(&self) -> Bounds {
        Bounds::Told("a list, each `whsec_` and base64, or any text")
    }

    fn form(&self) -> Form {
        Form::Plain(Bounds::Whole(2..=SECRETS_MAX as u64))
    }
}

/// The secrets of a downstream, however they are set.
pub(super) fn together(
    section: &Section<'_>,
    one: Read<Option<Vec<Secret>>>,
    several: Read<Option<Vec<Secret>>>,
) -> Read<Vec<Secret>> {
    match (one?, several?) {
        (Some(_), Some(_)) => Err(section.wrong(
            "signing_secrets",
            "cannot stand beside signing_secret; put all secrets into signing_secrets, and remove signing_secret",
        )),
        (one, several) => Ok(one.or(several).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::render;
    use crate::config::testing::{queue_errors, queue_of, settings_of};
    use crate::domain::policy::Downstream;

    const HTTP: &str = "[queues.q.downstream]\nurl = \"http://h\"\n";

    fn secrets(text: &str) -> Vec<String> {
        let queue = queue_of(&format!("{HTTP}{text}"));
        let Downstream::Http(http) = &queue.downstream else { panic!("{queue:?}") };
        http.signing_secrets.iter().map(|secret| secret.expose().to_owned()).collect()
    }

    #[test]
    fn several_stand_in_their_order_and_are_only_counted() {
        assert_eq!(secrets("signing_secrets = [\"new\", \"old\"]"), ["new", "old"]);
        assert_eq!(secrets("signing_secrets = [\"new\"]"), ["new"]);
        let text = format!("{HTTP}signing_secrets = [\"hunter2\", \"hunter3\"]");
        let shown = render(&settings_of(&text));
        assert!(shown.contains("signing_secrets = [\"***\", \"***\"]"), "{shown}");
        assert!(!shown.contains("hunter") && !shown.contains("signing_secret ="), "{shown}");
        let policy = crate::config::effective(&queue_of(&text));
        let downstream = &serde_json::to_value(policy).unwrap()["downstream"];
        assert_eq!(
            (&downstream["signed"], &downstream["signing_secrets"]),
            (&true.into(), &2.into())
        );
    }

    #[test]
    fn bad_lists_are_refused() {
        for (text, part) in [
            (
                "signing_secret = \"a\"\nsigning_secrets = [\"b\"]",
                "downstream.signing_secrets: cannot stand beside signing_secret; put all",
            ),
            ("signing_secrets = []", "signing_secrets: found 0 secrets, expected 1 to 5"),
            ("signing_secrets = [\"hunter2\", \"hunter2\"]", "has the same secret twice"),
            ("signing_secrets = [\"a\", \"\"]", "downstream.signing_secrets[1]: is empty"),
            ("signing_secrets = \"hunter2\"", "signing_secrets: found a text, expected a list"),
        ] {
            let error = queue_errors(&format!("{HTTP}{text}"));
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
