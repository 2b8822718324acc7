//! `downstream.proxy`: through whom a downstream is called.
//!
//! Owns what the address of a proxy looks like, and that its password does not show. None is ever taken from the
//! environment: what a variable of the system says of proxies is meant for other programs.

use url::Url;

use crate::config::load::reader::{Field, Read};
use crate::config::setting::{Kind, custom};
use crate::domain::access::ProxyPolicy;

const EXPECTED: &str = "expected for example http://egress.example:3128";

/// The address of a proxy, perhaps with user and password.
pub(super) fn proxy() -> impl Kind<Value = ProxyPolicy> {
    custom("`http://`", read, |it: &ProxyPolicy| it.shown.as_str().into())
}

fn read(field: &Field<'_>) -> Read<ProxyPolicy> {
    let url = field.parse(address)?;
    Ok(ProxyPolicy { url, shown: shown(field.raw_text().unwrap_or_default()) })
}

// No refusal repeats the text: a password may stand in it.
fn address(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|error| format!("is not a valid url ({error}); {EXPECTED}"))?;
    if url.scheme() != "http" {
        return Err(format!(
            "has a scheme that proxies are not called by here; {EXPECTED} (also for a downstream with https: it is then reached through a tunnel)"
        ));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has something behind name and port; {EXPECTED}"));
    }
    Ok(url)
}

/// As it is written, user and password hidden.
fn shown(written: &str) -> String {
    let (scheme, rest) = written.split_once("://").unwrap_or(("", written));
    match rest.rsplit_once('@') {
        Some((_, place)) if scheme.is_empty() => format!("***@{place}"),
        Some((_, place)) => format!("{scheme}://***@{place}"),
        None => written.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::render;
    use crate::config::testing::{load_with, queue_errors};
    use crate::domain::policy::Downstream;

    const HTTP: &str = "[queues.q.downstream]\nurl = \"https://h\"\n";

    #[test]
    fn a_password_is_taken_and_not_shown() {
        for (written, shown) in [
            ("http://u:hunter2@egress.example:3128", "http://***@egress.example:3128"),
            ("http://u:${P}@egress.example:3128", "http://***@egress.example:3128"),
            ("http://egress.example", "http://egress.example"),
            ("${ALL}", "${ALL}"),
        ] {
            let environment = [("P", "hunter2"), ("ALL", "http://u:hunter2@egress.example:3128")];
            let text = format!("{HTTP}proxy = \"{written}\"");
            let settings = load_with(&text, &environment, &[]).unwrap();
            let Downstream::Http(http) = &settings.queues.values().next().unwrap().downstream
            else {
                panic!()
            };
            let proxy = http.access.proxy.as_ref().unwrap();
            assert_eq!(
                (proxy.shown.as_str(), proxy.url.host_str()),
                (shown, Some("egress.example"))
            );
            let whole = format!("{}{http:?}", render(&settings));
            assert!(!whole.contains("hunter2"), "{whole}");
        }
    }

    #[test]
    fn bad_addresses_are_refused_unseen() {
        for (proxy, part) in [
            ("https://u:hunter2@h:1", "downstream.proxy: has a scheme that proxies are not"),
            ("socks5://h:1080", "has a scheme that proxies are not called by here"),
            ("egress.example:3128", "downstream.proxy: "),
            ("http://u:hunter2@h:1/path", "has something behind name and port"),
            ("http://u:hunter2@", "is not a valid url"),
            ("", "is not a valid url"),
        ] {
            let error = queue_errors(&format!("{HTTP}proxy = \"{proxy}\""));
            assert!(error.contains(part), "{proxy}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
