//! `[queues.<name>.callback]` and `server.callback_hosts`: who is told of final states.

use super::downstream::{SigningSecret, TIMEOUT_MS_MAX, target};
use super::headers::headers;
use super::retry;
use crate::config::load::reader::{Field, Read};
use crate::config::setting::{
    Beside, Bounds, Form, Kind, Shown, custom, duration, list, parsed, settings, whole,
};
use crate::domain::callback::{CallbackOn, CallbackPolicy, TIMEOUT_MS, default_retry};
use crate::domain::callback_host::{CallbackHost, CallbackHosts};
use crate::domain::endpoint::Secret;
use crate::domain::limit::Rate;
use crate::domain::outcome::OnUncertain;

/// Most callbacks in flight: a bound against a slip of the finger.
const CONCURRENCY_MAX: u32 = 100_000;

settings! {
    struct Callback in "queues.NAME.callback" of CallbackPolicy {
        /// The address that is called. May be left out if `server.callback_hosts` lets messages name their own.
        url: Option<(url::Url, String)> =
            target().required_where("required without `server.callback_hosts`").example("\"https://shop.example/hooks/tidegate\""), |it| it.url.clone();
        /// The final states for which a callback is sent.
        on: CallbackOn = states().or(CallbackOn::USUAL), |it| it.on;
        /// Callbacks per time over all nodes.
        rate: Option<Rate> = parsed("a rate").unset_means("no limit").example("\"50/s\""), |it| it.rate;
        /// Callbacks in flight over all nodes; those that wait for a place at their host count too. One host gets at most half
        /// of them, so that others find a place while it hangs.
        concurrency: Option<u32> =
            whole(1..=CONCURRENCY_MAX).unset_means("`256`, or `64` for each shard if that is more").example("32"),
            |it| it.concurrency;
        /// Time for the whole call.
        timeout: u64 = duration(1..=TIMEOUT_MS_MAX).or(TIMEOUT_MS), |it| it.timeout_ms;
        /// Sent to `url`, but never to an address that a message names.
        headers: Vec<(http::HeaderName, Secret)> = headers(false).or(Vec::new()), |it| it.headers.clone();
        /// With it, callbacks are signed like deliveries.
        signing_secret: Option<Secret> =
            SigningSecret.unset_means("none").example("\"${file:/etc/tidegate/callbacks.key}\""),
            |it| it.signing_secret.clone();
        /// When to try again. With the defaults a callback is tried for a day, at least once an hour.
        _retry as "retry": Shown = RETRY.shows("queues.NAME.retry"), |it| Shown::Section(retry::Retry::shown(&it.retry));
    }
}

const RETRY: Beside = Beside::manual(
    "a table",
    "as `[queues.NAME.retry]`, but `max_attempts = 50`",
    "{ max_attempts = 50 }",
);

/// The hosts that messages may name.
pub(in crate::config) fn hosts() -> impl Kind<Value = CallbackHosts> {
    let each = || parsed::<CallbackHost>("a host");
    let read = move |field: &Field<'_>| list(each()).read(field).map(CallbackHosts::from);
    custom("a list of hosts", read, |hosts: &CallbackHosts| {
        Shown::List(hosts.iter().map(|host| host.to_string().into()).collect())
    })
}

/// A section without a url says how the urls are called that messages name.
pub(in crate::config) fn read(field: &Field<'_>, hosts: &CallbackHosts) -> Read<CallbackPolicy> {
    field.section(&[], |section| {
        let it = Callback::of(section);
        let retry = section.read("retry", |field| {
            retry::read_over(field, &default_retry(), Ok(OnUncertain::Resend))
        });
        let url = it.url?;
        if url.is_none() && hosts.is_empty() {
            return Err(section.wrong(
                "url",
                "is missing; expected for example url = \"https://shop.example/hooks/tidegate\" (or server.callback_hosts, so that messages name their own)",
            ));
        }
        Ok(CallbackPolicy {
            url,
            on: it.on?,
            rate: it.rate?,
            concurrency: it.concurrency?,
            timeout_ms: it.timeout?,
            headers: it.headers?,
            signing_secret: it.signing_secret?,
            retry: retry?.unwrap_or_else(default_retry),
            hosts: hosts.clone(),
        })
    })
}

/// What holds for a queue that says nothing of callbacks.
pub(in crate::config) fn without_section(hosts: &CallbackHosts) -> Option<CallbackPolicy> {
    (!hosts.is_empty()).then(|| CallbackPolicy::on_hosts(hosts.clone()))
}

fn states() -> impl Kind<Value = CallbackOn> {
    let read = |field: &Field<'_>| {
        let states = field.list(|field| field.parse(|word| CallbackOn::NONE.with(word)))?;
        Ok(states.into_iter().fold(CallbackOn::NONE, CallbackOn::and))
    };
    custom("a list of `delivered`, `dead`, `expired`, `cancelled`", read, |on: &CallbackOn| {
        Shown::List(on.words().into_iter().map(Shown::from).collect())
    })
    .shown_as(Form::List(Box::new(Form::Plain(Bounds::Words(CallbackOn::ALL.words())))))
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{load_with, queue_errors, queue_of};
    use crate::domain::callback::{CallbackPolicy, default_retry};

    const HOSTS: &str = "[server]\ncallback_hosts = [\"shop.example\", \"127.0.0.1:9\"]\n";

    fn callback(text: &str) -> CallbackPolicy {
        let url = "url = \"https://shop.example/${PATH}\"";
        let text =
            format!("[queues.q.callback]\n{url}\n{text}\n[queues.q.downstream]\ntype = \"null\"");
        let settings = load_with(&text, &[("PATH", "hook")], &[]).unwrap();
        settings.queues.values().next().unwrap().callback.clone().unwrap()
    }

    #[test]
    fn every_key_is_read() {
        let defaults = callback("");
        let (url, shown) = defaults.url.unwrap();
        assert_eq!(url.as_str(), "https://shop.example/hook");
        assert_eq!(shown, "https://shop.example/${PATH}");
        assert_eq!(defaults.on.words(), ["delivered", "dead"]);
        assert_eq!((defaults.rate, defaults.timeout_ms), (None, 10_000));
        assert_eq!(defaults.concurrency, None);
        assert_eq!((defaults.headers, defaults.signing_secret), (Vec::new(), None));
        assert_eq!(defaults.retry, default_retry());
        let all = callback(
            "on = [\"cancelled\", \"expired\"]\nrate = \"50/s\"\nconcurrency = 2\ntimeout = \"3s\"\nheaders = { X-One = \"1\" }\nsigning_secret = \"s\"\nretry = { max_attempts = 3 }",
        );
        assert_eq!(all.on.words(), ["expired", "cancelled"]);
        assert_eq!((all.rate.unwrap().to_string(), all.timeout_ms), ("50/s".to_owned(), 3000));
        assert_eq!((all.headers.len(), all.signing_secret.is_some()), (1, true));
        assert_eq!(all.concurrency, Some(2));
        assert_eq!((all.retry.max_attempts, all.retry.max_age_ms), (Some(3), 86_400_000));
    }

    #[test]
    fn hosts_let_messages_name_urls_in_every_queue() {
        assert_eq!(queue_of("").callback, None);
        let hosts_alone = queue_of(HOSTS).callback.clone().unwrap();
        assert_eq!(hosts_alone.url, None);
        assert!(hosts_alone.hosts.allow(&"http://127.0.0.1:9/x".parse().unwrap()));
        let secret = queue_of(&format!("{HOSTS}[queues.q.callback]\nsigning_secret = \"s\""));
        assert!(secret.callback.as_ref().unwrap().signing_secret.is_some());
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("on = []", "queues.q.callback.url: is missing"),
            ("url = \"ftp://h/\"", "queues.q.callback.url: has the scheme \"ftp\""),
            ("url = \"http://u:p@h/\"", "put them into headers instead"),
            ("on = [\"done\"]", "queues.q.callback.on[0]: \"done\" is not a valid final state"),
            ("on = \"dead\"", "queues.q.callback.on: found a text, expected a list"),
            ("rate = \"1/x\"", "queues.q.callback.rate: \"1/x\" is not a valid rate"),
            ("concurrency = 0", "queues.q.callback.concurrency: found 0, expected a whole number"),
            ("timeout = \"0s\"", "queues.q.callback.timeout: found \"0s\""),
            ("retry = { factor = 0.5 }", "queues.q.callback.retry.factor: found 0.5"),
            ("signing_secret = \"whsec_%\"", "queues.q.callback.signing_secret: begins with"),
            ("uri = \"http://h\"", "queues.q.callback.uri: unknown key; did you mean url?"),
        ] {
            let error = queue_errors(&format!("[queues.q.callback]\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
