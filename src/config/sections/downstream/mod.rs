//! `[queues.<name>.downstream]`: who receives.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use url::Url;

use super::headers::headers;
pub(in crate::config) use super::method::method;
pub(in crate::config) use super::signing::SigningSecret;
use super::{answers, oauth2, proxy, request, signing, tls};
use crate::config::load::reader::{Field, Read};
use crate::config::setting::{
    DeclaredSection, Kind, SIGNED, Shown, ShownSetting, ShownVariant, Table, beside, custom,
    duration, list, parsed, settings, word,
};
use crate::domain::access::{Access, HttpVersion, OAuth2Policy, ProxyPolicy, TlsPolicy};
use crate::domain::answer_rules::{AnswerRule, EachPolicy};
use crate::domain::egress::EgressAllow;
use crate::domain::endpoint::{HttpDownstream, Secret};
use crate::domain::message_target::MessageUrls;
use crate::domain::policy::Downstream;
use crate::domain::units::format_duration;
use crate::domain::url_hosts::UrlHost;

/// The default deadline of a whole exchange, in milliseconds.
pub(in crate::config) const TIMEOUT_MS: u64 = 15_000;
/// The longest deadline, in milliseconds: a slot is taken so long.
pub(in crate::config) use crate::domain::message::TIMEOUT_MS_MAX;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Type {
    Http,
    Null,
    Pull,
}

const TYPES: [(&str, Type); 3] = [("http", Type::Http), ("null", Type::Null), ("pull", Type::Pull)];
const TYPES_LATER: [&str; 8] =
    ["smpp", "redis", "amqp", "kafka", "nats", "mqtt", "smtp", "command"];
const HTTP_VERSIONS: [(&str, HttpVersion); 3] =
    [("auto", HttpVersion::Auto), ("1.1", HttpVersion::One), ("2", HttpVersion::Two)];
const TWO_THROUGH_PROXY: &str = "cannot be \"2\" for a downstream with http:// behind a proxy, which takes such requests by HTTP/1.1; call it by https://, or set http = \"auto\" or remove proxy";
const OF_MESSAGE: &str = "cannot stand beside url = \"message\", where each message says its url and method itself; remove request, or give the queue an address";
/// In place of an address: each message brings its own.
const MESSAGE: &str = "message";
const METHODS: [http::Method; 3] = [http::Method::POST, http::Method::PUT, http::Method::PATCH];

settings! {
    struct Target in "queues.NAME.downstream" of HttpDownstream {
        /// `pull`: workers claim over HTTP, see [pull](pull.md). `null`: every message counts as delivered at once, and
        /// nobody is called.
        kind as "type": Type = word(&TYPES, &TYPES_LATER).or(Type::Http), |_http| Type::Http;
        /// The address that is called. Redirects are not followed. `"message"`: each message brings its own `url`, on one of `hosts`; see
        /// [messages with their own url](message-urls.md).
        url: Option<(Url, String)> =
            target_or_message()
                .required_where("required with `http`")
                .example("\"https://sms.example/send\""),
            |it| (!request::says_url(it)).then(|| (it.url.clone(), it.url_shown.clone()));
        /// Where messages may go that bring their own url, with `url = "message"`: `api.partner.example:8443`, `*.example.com` (any name below it), `*` (anywhere
        /// public). Without a port: that of the scheme, but for `*`, which covers every port.
        hosts: Vec<UrlHost> =
            list(parsed::<UrlHost>("a host")).or(Vec::new()), |_http| Vec::new();
        /// The method of the call; with `url = "message"` of those messages that name none.
        method: Option<http::Method> = method(&METHODS).unset_is(http::Method::POST).at_times_without_effect(),
            |it| (!request::says_method(it)).then(|| it.method.clone());
        /// Time for the whole call: a token, name look-up, connection, proxy, TLS, request and answer.
        timeout: u64 = duration(1..=TIMEOUT_MS_MAX).or(TIMEOUT_MS), |it| it.timeout_ms;
        /// The version of HTTP. `auto`: over `https` HTTP/2 where the downstream offers it, else HTTP/1.1. `2`: HTTP/2 alone, over
        /// `http` too; see [HTTP/2](credentials.md#http2).
        http: HttpVersion = word(&HTTP_VERSIONS, &[]).or(HttpVersion::Auto), |it| it.access.http;
        /// Sent with every call: `{ Authorization = "Bearer ${SMS_TOKEN}" }`.
        headers: Vec<(http::HeaderName, Secret)> = headers(false).or(Vec::new()), |it| it.headers.clone();
        /// With it, calls are signed as [Standard Webhooks](https://www.standardwebhooks.com) describes.
        signing_secret: Option<Vec<Secret>> =
            signing::One.unset_means("none").example("\"${file:/etc/tidegate/sms.key}\""),
            |it| (!it.signing_secrets.is_empty()).then(|| it.signing_secrets.clone());
        /// In place of `signing_secret`: each call carries one signature for each of them, so that the secret can be
        /// [changed](credentials.md#signatures) without a call that cannot be verified.
        signing_secrets: Option<Vec<Secret>> =
            signing::Several
                .unset_means("none")
                .example("[\"${file:/etc/tidegate/new.key}\", \"${file:/etc/tidegate/old.key}\"]"),
            |it| (it.signing_secrets.len() > 1).then(|| it.signing_secrets.clone());
        /// Authorities of its own, and a client certificate; a table as [below](#queuesnamedownstreamtls).
        tls: Option<TlsPolicy> =
            tls::table()
                .unset_means("the system's authorities, no client certificate")
                .example("{ ca = \"/etc/tidegate/erp-ca.pem\" }"),
            |it| it.access.tls.clone();
        /// Through whom the downstream is called: [a proxy](credentials.md#proxies), with `user:password@` if it asks for
        /// them. None is ever taken from the environment.
        proxy: Option<ProxyPolicy> =
            proxy::proxy().unset_means("none").example("\"http://egress.example:3128\""),
            |it| it.access.proxy.clone();
        /// A token with every call, from an authorization server; a table as [below](#queuesnamedownstreamoauth2).
        oauth2: Option<OAuth2Policy> =
            oauth2::table()
                .unset_means("none")
                .example("{ token_url = \"https://auth.example/token\", client_id = \"tidegate\", client_secret = \"${ERP_CLIENT_SECRET}\" }"),
            |it| it.access.oauth2.clone();
        /// What answers mean, where the status alone does not say it: the first rule of which all conditions hold decides, and
        /// without one the [table of outcomes](outcomes.md); each a table as [below](#queuesnamedownstreamanswers).
        answers: Vec<AnswerRule> = list(answers::rule()).or(Vec::new()),
            |it| it.answers.as_ref().map(|answers| answers.rules.clone()).unwrap_or_default();
        /// Of a batch: where the list stands in the answer whose elements the rules judge one by one; a table as
        /// [below](#queuesnamedownstreameach).
        each: Option<EachPolicy> =
            answers::each().unset_means("the rules judge the whole answer").example("{ at = \"/rows\", id = \"/order\" }"),
            |it| it.answers.as_ref().and_then(|answers| answers.each.clone());
        /// What is sent in place of the payload as it is.
        _request as "request": Shown = beside().shows("queues.NAME.downstream.request").or_nothing(),
            |it| it.request.as_ref().map_or(Shown::Unset, |it| Shown::Section(request::Request::shown(it)));
    }
}

/// Under `null` and `pull` the keys of `http` may stay, checked and unused: a dry run changes one word. `is_batch`: the
/// queue gathers batches. `egress` is the server's: what the urls of messages may reach beside public addresses.
pub(in crate::config) fn read(
    field: &Field<'_>,
    is_batch: bool,
    egress: &Arc<EgressAllow>,
) -> Read<Downstream> {
    field.section(&[], |section| {
        let it = Target::of(section);
        let (kind, target, method, timeout_ms) = (it.kind?, it.url?, it.method?, it.timeout?);
        let headers = it.headers?;
        let signing_secrets = signing::together(section, it.signing_secret, it.signing_secrets)?;
        let (tls, proxy, oauth2, http) = (it.tls?, it.proxy?, it.oauth2?, it.http?);
        let oauth2 = oauth2::beside_headers(section, oauth2, &headers)?;
        let access = Arc::new(Access { tls, proxy, oauth2, http });
        let answers = answers::together(section, it.answers, it.each)?;
        let hosts = it.hosts?;
        let brings_url = target.as_ref().is_some_and(|(_, shown)| shown == MESSAGE);
        if kind == Type::Http && brings_url == hosts.is_empty() {
            let why = if brings_url {
                "is missing; say where messages may go, for example hosts = [\"*.example.com\"], or hosts = [\"*\"] for anywhere public"
            } else {
                "has no effect without url = \"message\"; set that, or remove hosts"
            };
            return Err(section.wrong("hosts", why));
        }
        let beside = request::DownstreamKeys {
            has_url: target.is_some() && !brings_url,
            method: method.clone(),
            headers: &headers,
            is_batch,
        };
        let request = request::of_downstream(section, beside)?;
        if kind == Type::Pull && request.is_some() {
            return Err(section.wrong("request", request::OF_PULL));
        }
        if brings_url && request.is_some() {
            return Err(section.wrong("request", OF_MESSAGE));
        }
        let says = request.as_ref().and_then(request::address);
        let method = match &request {
            Some(request) => request.parts().method.clone(),
            None => method.unwrap_or(http::Method::POST),
        };
        match (kind, says.or(target)) {
            (Type::Null, _) => Ok(Downstream::Null),
            (Type::Pull, _) => Ok(Downstream::Pull),
            (Type::Http, Some((url, url_shown))) => {
                if http == HttpVersion::Two && access.proxy.is_some() && url.scheme() == "http" && !brings_url {
                    return Err(section.wrong("http", TWO_THROUGH_PROXY));
                }
                let http = HttpDownstream {
                    url,
                    url_shown,
                    method,
                    timeout_ms,
                    headers,
                    signing_secrets,
                    access,
                    answers,
                    request,
                    egress: None,
                };
                Ok(if brings_url {
                    let egress = Arc::clone(egress);
                    Downstream::MessageUrls(MessageUrls { hosts: hosts.into(), egress, http })
                } else {
                    Downstream::Http(http)
                })
            }
            (Type::Http, None) => Err(section.wrong(
                "url",
                "is missing; expected for example url = \"https://sms.example/send\" (or type = \"pull\" for workers that claim, type = \"null\" to send nothing)",
            )),
        }
    })
}

/// The receiver in force. A queue of callbacks is in no configuration; what it follows stands with its queue.
pub(in crate::config) fn view(downstream: &Downstream) -> Table {
    match downstream {
        Downstream::Http(http) => Target::shown(http),
        Downstream::MessageUrls(urls) => {
            let mut shown = Target::shown(&urls.http);
            let hosts = urls.hosts.iter().map(|host| host.to_string().into()).collect();
            shown.set("hosts", &Shown::List(hosts));
            shown
        }
        Downstream::Null => Table::from([("type", "null".into())]),
        Downstream::Pull => Table::from([("type", "pull".into())]),
        Downstream::Callbacks(callback) => Table::from([
            ("type", "callbacks".into()),
            ("url", callback.url.as_ref().map_or(Shown::Unset, |(_, shown)| shown.as_str().into())),
            ("timeout", format_duration(callback.timeout_ms).into()),
            ("signing_secret", Shown::Secret(callback.signing_secret.is_some())),
        ]),
    }
}

/// What the manual says, and what is shown of each type.
pub(in crate::config) fn declared() -> DeclaredSection {
    let mut declared = Target::declared();
    declared.shown.retain(|setting| setting.key != "type");
    let of_callbacks = |setting: &ShownSetting| match setting.key {
        // Messages may name their own.
        "url" => Some(ShownSetting { may_be_unset: true, ..setting.clone() }),
        "timeout" | SIGNED => Some(setting.clone()),
        _ => None,
    };
    let callbacks = declared.shown.iter().filter_map(of_callbacks).collect();
    declared.variants = vec![
        ShownVariant { word: "http", shown: declared.shown.clone() },
        ShownVariant { word: "null", shown: Vec::new() },
        ShownVariant { word: "pull", shown: Vec::new() },
        ShownVariant { word: "callbacks", shown: callbacks },
    ];
    declared
}

/// The url, and how it is shown: as written, so that references stay references, and without its
/// query, where keys are wont to stand.
pub(in crate::config) fn target() -> impl Kind<Value = (Url, String)> {
    let read = |field: &Field<'_>| Ok((field.parse(address)?, shown(field)));
    custom("`http://`, `https://`", read, |(_, shown): &(Url, String)| shown.as_str().into())
}

/// The same, or that each message brings its own.
fn target_or_message() -> impl Kind<Value = (Url, String)> {
    let read = |field: &Field<'_>| {
        if field.raw_text() == Some(MESSAGE) {
            let any = field.parse(|_| address("http://message.invalid/"))?;
            return Ok((any, MESSAGE.to_owned()));
        }
        Ok((field.parse(address)?, shown(field)))
    };
    let accepted = "`http://`, `https://`, or `message`";
    custom(accepted, read, |(_, shown): &(Url, String)| shown.as_str().into())
}

/// An address that can be called.
pub(in crate::config) fn address(text: &str) -> Result<Url, String> {
    let expected = "expected for example https://sms.example/send";
    let url = Url::parse(text).map_err(|e| format!("is not a valid url ({e}); {expected}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {:?}; expected http or https", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds a user or password; put them into headers instead, for example Authorization = \"Basic ${SMS_BASIC}\""
                .to_owned(),
        );
    }
    if url.fragment().is_some() {
        return Err("has a fragment (#...), which is never sent; remove it".to_owned());
    }
    Ok(url)
}

/// How an address is shown.
pub(in crate::config) fn shown(field: &Field<'_>) -> String {
    let written = field.raw_text().unwrap_or_default();
    match written.split_once('?') {
        Some((path, _)) => format!("{path}?***"),
        None => written.to_owned(),
    }
}
