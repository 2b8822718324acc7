//! `[queues.<name>.probe]`: whom to ask what became of a message, before it is sent again.

use std::sync::Arc;

use super::downstream::{TIMEOUT_MS, TIMEOUT_MS_MAX, address, method, shown};
use super::headers::headers;
use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{
    Bounds, DeclaredSection, Form, Kind, SIGNED, Shown, ShownSetting, Table, custom, duration,
    list, settings, whole,
};
use crate::domain::access::{Access, is_same_server};
use crate::domain::endpoint::{HttpDownstream, Secret};
use crate::domain::outcome::OnUncertain;
use crate::domain::policy::Downstream;
use crate::domain::probe::{ID_PLACE, ProbePolicy};

/// The longest time to the first probe, in milliseconds.
const AFTER_MS_MAX: u64 = 86_400_000;
/// Most probes: a bound against a slip of the finger.
const ATTEMPTS_MAX: u32 = 1000;

const METHODS: [http::Method; 2] = [http::Method::GET, http::Method::HEAD];

/// What an id looks like, to try the url with.
const SAMPLE_ID: &str = "erp_01JD3A9PX2M7Q8R4T6V0W1Y2Z3";
const EXAMPLE: &str = "probe = { url = \"https://erp.example/orders/{id}\" }";

settings! {
    struct Probe in "queues.NAME.probe" of ProbePolicy {
        /// With `{id}` in its path or query, where the message's id goes.
        url: (String, String) = target().required("\"https://erp.example/orders/{id}\""),
            |it| (it.url.clone(), it.url_shown.clone());
        /// The method of the request.
        method: http::Method = method(&METHODS).or(http::Method::GET), |it| it.method.clone();
        /// Statuses that mean: the downstream has the message.
        delivered: Vec<u16> = list(status()).or(vec![200]), |it| it.delivered.clone();
        /// Statuses that mean: the downstream does not have it, so send it again. With `[]`, Tidegate never sends again
        /// without a decision.
        absent: Vec<u16> = list(status()).or(vec![404]), |it| it.absent.clone();
        /// The time from the end of the attempt to the first probe; doubled for each further probe. **It must be longer than
        /// the downstream takes to process a message**, or the downstream gets it twice.
        after: u64 = duration(1..=AFTER_MS_MAX).or(5000), |it| it.after_ms;
        /// After this many probes without a clear answer, an operator decides.
        max_attempts: u32 = whole(1..=ATTEMPTS_MAX).or(5), |it| it.max_attempts;
        /// Time for the whole call.
        timeout: Option<u64> = duration(1..=TIMEOUT_MS_MAX)
                .unset_means("the downstream's")
                .example("\"15s\"")
                .always_in_force(),
            |it| Some(it.timeout_ms);
        /// Sent with every probe; `{}` for none. Probes are signed like deliveries.
        headers: Option<Vec<(http::HeaderName, Secret)>> =
            headers(true).unset_means("the downstream's").example("{}").always_in_force(), |it| Some(it.headers.clone());
    }
}

/// The section and the word that asks for it stand together, or neither does.
pub(in crate::config) fn of_queue(
    section: &Section<'_>,
    on_uncertain: Read<OnUncertain>,
    downstream: &Read<Downstream>,
) -> Read<Option<ProbePolicy>> {
    let probe = section.read("probe", |field| read(field, downstream))?;
    let asks = on_uncertain? == OnUncertain::Probe;
    match (asks, probe) {
        (true, None) => Err(section.wrong(
            "on_uncertain",
            format!("\"probe\" does not say whom to ask; set for example {EXAMPLE}"),
        )),
        (false, Some(_)) => Err(section.wrong(
            "probe",
            "has no effect without on_uncertain = \"probe\"; set that too, or remove probe",
        )),
        (_, probe) => Ok(probe),
    }
}

/// What is not said is done as for a delivery.
fn read(field: &Field<'_>, downstream: &Read<Downstream>) -> Read<ProbePolicy> {
    field.section(&[], |section| {
        let it = Probe::of(section);
        let (delivered, absent) = (it.delivered?, it.absent?);
        tell_apart(section, &delivered, &absent)?;
        let ((url, url_shown), method) = (it.url?, it.method?);
        let (after_ms, max_attempts) = (it.after?, it.max_attempts?);
        let (timeout, headers) = (it.timeout?, it.headers?);
        let inherited = match downstream {
            // What goes to the hosts of messages need not be right for the one that is asked.
            Ok(downstream) if downstream.capabilities().is_by_host => None,
            Ok(downstream) => downstream.http(),
            Err(reported) => return Err(*reported),
        };
        let headers =
            headers.or_else(|| inherited.map(|http| http.headers.clone())).unwrap_or_default();
        let access = inherited.map(|http| access_of(&url, &headers, http)).unwrap_or_default();
        Ok(ProbePolicy {
            url,
            url_shown,
            method,
            timeout_ms: timeout.or(inherited.map(|http| http.timeout_ms)).unwrap_or(TIMEOUT_MS),
            headers,
            signing_secrets: inherited.map(|http| http.signing_secrets.clone()).unwrap_or_default(),
            access,
            delivered,
            absent,
            after_ms,
            max_attempts,
        })
    })
}

/// How the server that is asked is reached: as the downstream, as far as it is the same one. A header of its own counts
/// more than a token.
fn access_of(
    url: &str,
    headers: &[(http::HeaderName, Secret)],
    of: &HttpDownstream,
) -> Arc<Access> {
    let own = url.replace(ID_PLACE, SAMPLE_ID).parse();
    let mut access = of.access.beside(own.is_ok_and(|own| is_same_server(&own, &of.url)));
    if headers.iter().any(|(name, _)| name == http::header::AUTHORIZATION) {
        access.oauth2 = None;
    }
    Arc::new(access)
}

/// What the manual says, and what is shown.
pub(in crate::config) fn declared() -> DeclaredSection {
    let mut declared = Probe::declared();
    declared.shown.push(ShownSetting {
        key: SIGNED,
        sentence: "Whether probes are signed, as deliveries are.".to_owned(),
        form: Form::Plain(Bounds::Switch),
        may_be_unset: false,
    });
    declared
}

/// The section in force. Whether probes are signed follows from the downstream.
pub(in crate::config) fn view(probe: &ProbePolicy) -> Table {
    let mut table = Probe::shown(probe);
    table.push(SIGNED, Shown::Signed(!probe.signing_secrets.is_empty()));
    table
}

/// Checked with an id in place; kept as it was written, since a url would quote the braces.
fn target() -> impl Kind<Value = (String, String)> {
    custom("`http://`, `https://`", read_target, |(_, shown): &(String, String)| {
        shown.as_str().into()
    })
}

fn read_target(field: &Field<'_>) -> Read<(String, String)> {
    let url = field.parse(|text| {
        if !text.contains(ID_PLACE) {
            return Err(format!(
                "does not say where the message's id stands; expected {ID_PLACE} in it, for example https://erp.example/orders/{ID_PLACE}"
            ));
        }
        let url = address(&text.replace(ID_PLACE, SAMPLE_ID))?;
        let place = url.path().contains(SAMPLE_ID) || url.query().is_some_and(|q| q.contains(SAMPLE_ID));
        if !place {
            return Err(format!("has {ID_PLACE} in the host; expected it in the path or the query"));
        }
        Ok(text.to_owned())
    })?;
    Ok((url, shown(field)))
}

fn status() -> impl Kind<Value = u16> {
    let accepted = "200 to 499, but 401, 407, 408, 425 and 429";
    custom(accepted, read_status, |status: &u16| Shown::Whole((*status).into()))
        .shown_as(Form::Plain(Bounds::Whole(200..=499)))
}

/// What says nothing about the message must not be taken for a word on it.
fn read_status(field: &Field<'_>) -> Read<u16> {
    let status = whole(200..=599u16).read(field)?;
    if matches!(status, 401 | 407 | 408 | 425 | 429 | 500..=599) {
        return Err(field.wrong(format!(
            "found {status}, which says nothing about a message; expected for example 200 or 404"
        )));
    }
    Ok(status)
}

fn tell_apart(section: &Section<'_>, delivered: &[u16], absent: &[u16]) -> Read<()> {
    if delivered.is_empty() {
        return Err(section.wrong("delivered", "found an empty list, expected for example [200]"));
    }
    match absent.iter().find(|status| delivered.contains(status)) {
        None => Ok(()),
        Some(both) => Err(section.wrong(
            "absent",
            format!("has {both}, which delivered has too; a status says one thing only"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{load_with, queue_errors, queue_of};
    use crate::domain::access::HttpVersion;
    use crate::domain::outcome::OnUncertain;
    use crate::domain::probe::ProbePolicy;

    const DOWNSTREAM: &str = "[queues.q.downstream]\nurl = \"https://erp.example/orders\"\ntimeout = \"7s\"\nheaders = { X-Key = \"k\" }\nsigning_secret = \"any text\"";

    fn probe(text: &str) -> ProbePolicy {
        let queue = queue_of(&format!(
            "[queues.q]\non_uncertain = \"probe\"\n[queues.q.probe]\nurl = \"https://erp.example/o/{{id}}\"\n{text}\n{DOWNSTREAM}"
        ));
        assert_eq!(queue.on_uncertain, OnUncertain::Probe);
        queue.probe.clone().unwrap()
    }

    #[test]
    fn what_is_not_said_is_done_as_for_a_delivery() {
        let defaults = probe("");
        assert_eq!(defaults.url, "https://erp.example/o/{id}");
        assert_eq!((defaults.method, defaults.timeout_ms), (http::Method::GET, 7000));
        assert_eq!((defaults.delivered, defaults.absent), (vec![200], vec![404]));
        assert_eq!((defaults.after_ms, defaults.max_attempts), (5000, 5));
        assert_eq!(defaults.headers[0].0.as_str(), "x-key");
        assert!(!defaults.signing_secrets.is_empty());
        let own = probe(
            "method = \"HEAD\"\ndelivered = [200, 409]\nabsent = []\nafter = \"2m\"\nmax_attempts = 9\ntimeout = \"1s\"\nheaders = {}",
        );
        assert_eq!((own.method, own.timeout_ms), (http::Method::HEAD, 1000));
        assert_eq!((own.delivered, own.absent), (vec![200, 409], vec![]));
        assert_eq!((own.after_ms, own.max_attempts, own.headers), (120_000, 9, vec![]));
    }

    #[test]
    fn tls_and_tokens_are_for_the_same_server_and_the_proxy_for_all() {
        let of = |url: &str, more: &str| {
            let queue = queue_of(&format!(
                "[queues.q]\non_uncertain = \"probe\"\n[queues.q.probe]\nurl = \"{url}\"\n{more}\n[queues.q.downstream]\nurl = \"https://erp.example/orders\"\nhttp = \"2\"\nproxy = \"http://egress.example:3128\"\noauth2 = {{ token_url = \"https://auth.example\", client_id = \"a\", client_secret = \"b\" }}"
            ));
            let access = &queue.probe.as_ref().unwrap().access;
            assert_eq!(access.http == HttpVersion::Two, url.starts_with("https://erp.example"));
            (access.oauth2.is_some(), access.proxy.is_some())
        };
        let same = "https://erp.example:443/o/{id}";
        assert_eq!(of(same, ""), (true, true));
        assert_eq!(of("https://asks.example/o/{id}", ""), (false, true));
        assert_eq!(of(same, "headers = { Authorization = \"Basic x\" }"), (false, true));
    }

    #[test]
    fn the_word_and_the_section_stand_together() {
        let error = queue_errors("on_uncertain = \"probe\"");
        assert!(
            error.contains("queues.q.on_uncertain: \"probe\" does not say whom to ask"),
            "{error}"
        );
        for word in ["", "on_uncertain = \"park\"\n", "on_uncertain = \"resend\"\n"] {
            let error = queue_errors(&format!("{word}probe = {{ url = \"http://h/{{id}}\" }}"));
            assert!(
                error.contains("queues.q.probe: has no effect without on_uncertain"),
                "{error}"
            );
        }
    }

    #[test]
    fn probing_needs_the_disk() {
        let text = "[queues.q]\non_uncertain = \"probe\"\nprobe.url = \"http://h/{id}\"\ndownstream.type = \"null\"";
        let loaded = load_with(text, &[("TIDEGATE__REDIS__DURABILITY", "everysec")], &[]);
        let errors = loaded.unwrap_err().to_string();
        assert!(
            errors.contains("queues.q.on_uncertain: \"probe\" promises at most once"),
            "{errors}"
        );
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("after = \"1s\"", "queues.q.probe.url: is missing"),
            (
                "url = \"https://erp.example/orders\"",
                "probe.url: does not say where the message's id",
            ),
            ("url = \"ftp://h/{id}\"", "has the scheme \"ftp\""),
            ("url = \"http://{id}.example/\"", "has {id} in the host"),
            ("url = \"http://u:p@h/{id}\"", "put them into headers instead"),
            ("url = \"http://h/{id}\"\nmethod = \"POST\"", "expected \"GET\" or \"HEAD\""),
            ("url = \"http://h/{id}\"\ndelivered = []", "probe.delivered: found an empty list"),
            ("url = \"http://h/{id}\"\nabsent = [200]", "has 200, which delivered has too"),
            ("url = \"http://h/{id}\"\nabsent = [500]", "found 500, which says nothing"),
            ("url = \"http://h/{id}\"\ndelivered = [429]", "found 429, which says nothing"),
            (
                "url = \"http://h/{id}\"\nafter = \"0s\"",
                "probe.after: found \"0s\", expected 1ms to 1d",
            ),
            (
                "url = \"http://h/{id}\"\nmax_attempts = 0",
                "found 0, expected a whole number from 1",
            ),
            ("url = \"http://h/{id}\"\nabsents = [404]", "unknown key; did you mean absent?"),
        ] {
            let error =
                queue_errors(&format!("on_uncertain = \"probe\"\n[queues.q.probe]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_url_shows_no_secret() {
        let text = "[queues.q]\non_uncertain = \"probe\"\nprobe.url = \"http://h/${T}/{id}?key=hush\"\ndownstream.type = \"null\"";
        let settings = load_with(text, &[("T", "hush")], &[]).unwrap();
        let probe = settings.queues.values().next().unwrap().probe.clone().unwrap();
        assert_eq!(probe.url, "http://h/hush/{id}?key=hush");
        assert_eq!(probe.url_shown, "http://h/${T}/{id}?***");
        assert!(!format!("{probe:?}").contains("hush"));
    }
}
