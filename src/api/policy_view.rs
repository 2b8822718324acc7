//! A queue's policy as JSON, in the words of the configuration.
//!
//! Secrets never show: of headers the names, of the url the form in which the configuration wrote it.

use serde_json::Value;

use crate::config::effective;
use crate::domain::policy::QueuePolicy;

/// The policy, as it is shown.
pub(super) fn view(policy: &QueuePolicy) -> Value {
    serde_json::to_value(effective(policy)).expect("the names of settings are texts")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::policy;
    use super::*;
    use crate::domain::endpoint::{HttpDownstream, Secret};
    use crate::domain::policy::Downstream;

    #[test]
    fn no_secret_is_shown() {
        let mut policy = policy("sms");
        policy.downstream = Downstream::Http(HttpDownstream {
            url_shown: "https://sms.example/${PATH}".to_owned(),
            timeout_ms: 15_000,
            headers: vec![(http::header::AUTHORIZATION, Secret::new("Bearer hush".to_owned()))],
            signing_secrets: vec![Secret::new("hush".to_owned())],
            ..HttpDownstream::of("https://user:hush@sms.example/hush?key=hush")
        });
        let shown = view(&policy);
        assert!(!shown.to_string().contains("hush"), "{shown}");
        assert_eq!(
            shown["downstream"],
            json!({
                "type": "http", "url": "https://sms.example/${PATH}", "method": "POST",
                "timeout": "15s", "http": "auto", "headers": ["authorization"], "hosts": [], "signed": true,
                "signing_secrets": null, "tls": null, "proxy": null, "oauth2": null, "answers": [], "each": null,
                "request": null,
            })
        );
        assert_eq!(shown["retention"]["dead"], "30d");
        assert_eq!(shown["rate"], Value::Null);
    }
}
