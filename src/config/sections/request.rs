//! `[queues.<name>.downstream.request]`: templates for what is sent.
//!
//! Owns that the templates are tried at load, and that no other setting says the same. What a template can be is in
//! `domain::request_template`.

use std::sync::Arc;

use http::{HeaderName, Method};
use url::Url;

use super::headers::{header, read_each};
use super::method::method;
use crate::config::load::reader::{Field, Read, Reported, Section};
use crate::config::load::secrets::masked;
use crate::config::setting::{Bounds, Form, Kind, MASK, Shown, custom, settings};
use crate::domain::endpoint::{HttpDownstream, Secret};
use crate::domain::headers::check_content_type;
use crate::domain::request_template::{
    RequestParts, RequestTemplate, TemplateError, Written, hidden_query,
};

const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
/// Workers get messages as they are.
pub(super) const OF_PULL: &str = "has no effect where workers claim (downstream.type = \"pull\"): nothing is sent to them; remove request";

settings! {
    struct Request in "queues.NAME.downstream.request" of RequestTemplate {
        /// The method of the call. With `GET` and `DELETE` the call has no body, unless `body` is set for `DELETE`.
        method: Option<Method> = method(&METHODS).unset_means("that of the downstream"),
            |it| it.parts().says_method.then(|| it.parts().method.clone());
        /// The address, in place of the downstream's `url`. Scheme, host and port must stand there as they are.
        url: Option<Written> = url().unset_means("the downstream's `url`")
                .example("\"https://sms.example/http?to={{ payload.to }}\""),
            |it| it.parts().url.clone();
        /// Sent beside the downstream's own headers: `{ X-To = "{{ payload.to }}" }`.
        headers: Vec<(HeaderName, Written)> = templates().or(Vec::new()), |it| it.parts().headers.clone();
        /// What `body` is. Values in it are escaped for JSON, XML, HTML or a form, as this says.
        content_type: Option<String> = content_type().unset_means("`application/json`")
                .example("\"application/x-www-form-urlencoded\""),
            |it| it.parts().content_type.clone();
        /// The body of the call.
        body: Option<Written> = body().unset_means("the payload as it is")
                .example("\"to={{ payload.to }}&text={{ payload.text }}\""),
            |it| it.parts().body.clone();
        /// The payload of the message on which the templates are tried when the configuration is loaded. Without it they are
        /// tried on one that has every name they ask for.
        example: Option<serde_json::Value> = example().unset_means("any payload")
                .example("{ to = \"+4930123456\", text = \"Hello\" }"),
            |it| it.parts().example.clone();
    }
}

/// What else the downstream says.
pub(super) struct DownstreamKeys<'a> {
    /// Whether it has a url of its own.
    pub(super) has_url: bool,
    /// The method that it sets.
    pub(super) method: Option<Method>,
    /// Its headers.
    pub(super) headers: &'a [(HeaderName, Secret)],
    /// Whether its queue gathers batches.
    pub(super) is_batch: bool,
}

/// The templates of a downstream, if it has any.
pub(super) fn of_downstream(
    downstream: &Section<'_>,
    beside: DownstreamKeys<'_>,
) -> Read<Option<Arc<RequestTemplate>>> {
    downstream.read("request", |field| field.section(&[], |section| read(section, beside)))
}

fn read(section: &Section<'_>, beside: DownstreamKeys<'_>) -> Read<Arc<RequestTemplate>> {
    let it = Request::of(section);
    let (own_method, url, headers) = (it.method?, it.url?, it.headers?);
    let (content_type, body, example) = (it.content_type?, it.body?, it.example?);
    if own_method.is_none() && url.is_none() && headers.is_empty() && body.is_none() {
        let why = "is missing, and so are url, headers and method: the request says nothing; set for example body = \"to={{ payload.to }}\", or remove request";
        return Err(section.wrong("body", why));
    }
    if beside.has_url && url.is_some() {
        let why = "stands in place of downstream.url, and both are set; remove one of the two";
        return Err(section.wrong("url", why));
    }
    if own_method.is_some() && beside.method.is_some() {
        let why = "stands in place of downstream.method, and both are set; remove one of the two";
        return Err(section.wrong("method", why));
    }
    if let Some((name, _)) = headers.iter().find(|(name, _)| is_among(beside.headers, name)) {
        let why =
            format!("has {name}, which stands in downstream.headers too; remove one of the two");
        return Err(section.wrong("headers", why));
    }
    let says_method = own_method.is_some();
    let method = own_method.or(beside.method).unwrap_or(Method::POST);
    if method == Method::GET && body.is_some() {
        let why = "has no effect with method = \"GET\", which sends no body; put the values into url, or set method = \"POST\"";
        return Err(section.wrong("body", why));
    }
    if content_type.is_some() && body.is_none() {
        let why = "has no effect without body: a payload leaves with the content type of its message; set body too, or remove content_type";
        return Err(section.wrong("content_type", why));
    }
    let parts = RequestParts { method, says_method, url, headers, content_type, body, example };
    let has_example = parts.example.is_some();
    let template = RequestTemplate::new(parts, beside.is_batch);
    let checked = template.and_then(|template| template.check().map(|()| template));
    checked.map(Arc::new).map_err(|error| refused(section, &error, has_example, beside.is_batch))
}

fn is_among(headers: &[(HeaderName, Secret)], name: &HeaderName) -> bool {
    headers.iter().any(|(other, _)| other == name)
}

/// Says what is wrong at the key where it stands.
fn refused(
    section: &Section<'_>,
    error: &TemplateError,
    has_example: bool,
    is_batch: bool,
) -> Reported {
    let (key, header) = error.part.split_once('.').unwrap_or((&error.part, ""));
    let gap = if header.is_empty() { "" } else { ": " };
    let mut what = format!("{header}{gap}{}", error.sentence());
    if error.is_missing() {
        what += match (is_batch, has_example) {
            (true, _) => {
                "; a queue with batch has messages, a list of { id, attempt, payload, headers, labels, group }"
            }
            (false, true) => {
                "; it was tried on request.example, beside which there are id, attempt, headers, labels and group"
            }
            (false, false) => "; there are id, attempt, payload, headers, labels and group",
        };
    }
    section.wrong(key, what)
}

/// Where calls go of which the templates say the address, and how that is shown.
pub(super) fn address(request: &Arc<RequestTemplate>) -> Option<(Url, String)> {
    let shown = request.parts().url.as_ref()?.shown.clone();
    Some((request.origin()?.clone(), shown))
}

/// Whether the templates say where calls go.
pub(super) fn says_url(downstream: &HttpDownstream) -> bool {
    downstream.request.as_ref().is_some_and(|request| request.parts().url.is_some())
}

/// Whether the templates say the method.
pub(super) fn says_method(downstream: &HttpDownstream) -> bool {
    downstream.request.as_ref().is_some_and(|request| request.parts().says_method)
}

/// A template with its references filled in, and without. `hide`: how it is shown.
fn written(field: &Field<'_>, hide: fn(&str) -> String) -> Read<Written> {
    let source = field.parse(|text| {
        if text.trim().is_empty() {
            return Err("found an empty text, expected one that is not".to_owned());
        }
        Ok(text.to_owned())
    })?;
    let shown = hide(field.raw_text().unwrap_or_default());
    Ok(Written { source, masked: masked(&shown, MASK), shown })
}

fn url() -> impl Kind<Value = Written> {
    let read = |field: &Field<'_>| written(field, hidden_query);
    custom("a template of a url", read, |it: &Written| it.shown.as_str().into())
}

/// A body is wont to hold passwords, and is not shown.
fn body() -> impl Kind<Value = Written> {
    let read = |field: &Field<'_>| written(field, str::to_owned);
    custom("a template of a text", read, |_: &Written| MASK.into())
}

fn templates() -> impl Kind<Value = Vec<(HeaderName, Written)>> {
    let read = |field: &Field<'_>| {
        read_each(field, |name, field| {
            let (name, _) = field.parse(|value| header(name, value))?;
            Ok((name, written(field, str::to_owned)?))
        })
    };
    let show = |headers: &Vec<(HeaderName, Written)>| {
        let names = headers.iter().map(|(name, _)| name.to_string()).collect();
        Shown::Headers { names, even_none: false }
    };
    custom("a table of headers", read, show)
        .shown_as(Form::List(Box::new(Form::Plain(Bounds::Told("the name of a header")))))
}

fn content_type() -> impl Kind<Value = String> {
    let read =
        |field: &Field<'_>| field.parse(|text| check_content_type(text).map(|()| text.to_owned()));
    custom("a content type", read, |it: &String| it.as_str().into())
}

fn example() -> impl Kind<Value = serde_json::Value> {
    let show = |it: &serde_json::Value| Shown::Json(it.clone());
    custom("any value", |field: &Field<'_>| field.json(), show).shown_as(Form::Any)
}

#[cfg(test)]
mod tests {
    use crate::config::render;
    use crate::config::testing::{errors_of, load_with, queue_errors, queue_of};
    use crate::domain::endpoint::HttpDownstream;
    use crate::domain::policy::Downstream;

    fn downstream(text: &str) -> HttpDownstream {
        let queue = queue_of(&format!("[queues.q.downstream]\n{text}"));
        let Downstream::Http(http) = &queue.downstream else { panic!("{queue:?}") };
        http.clone()
    }

    #[test]
    fn every_key_is_read() {
        let http = downstream(
            "request = { method = \"get\", url = \"https://h:8443/a?to={{ payload.to }}\", headers = { X-To = \"{{ payload.to }}\" }, example = { to = 1 } }",
        );
        assert_eq!((http.method.as_str(), http.url.as_str()), ("GET", "https://h:8443/"));
        assert_eq!(http.url_shown, "https://h:8443/a?to={{ payload.to }}");
        let parts = http.request.as_ref().unwrap().parts();
        assert_eq!(parts.headers[0].0.as_str(), "x-to");
        assert!(parts.example.is_some() && parts.says_method);
        let http = downstream(
            "url = \"http://h/a\"\nmethod = \"PUT\"\nrequest = { body = \"t={{ id }}\", content_type = \"application/x-www-form-urlencoded\" }",
        );
        assert_eq!((http.method.as_str(), http.url.as_str()), ("PUT", "http://h/a"));
        assert!(downstream("url = \"http://h\"").request.is_none());
    }

    #[test]
    fn secrets_are_filled_in_and_not_shown() {
        let text = "[queues.q.downstream]\nrequest = { url = \"https://h/${P}?user=literal&sig=${T}{{ id }}\", body = \"{\\\"key\\\": \\\"${T}\\\"}\", headers = { Authorization = \"Bearer ${T} {{ id }}\" } }";
        let environment = [("T", "hush"), ("P", "hush")];
        let settings = load_with(text, &environment, &[]).unwrap();
        let shown = render(&settings);
        assert!(!shown.contains("hush") && !shown.contains("literal"), "{shown}");
        assert!(shown.contains("https://h/${P}?user=***&sig=${T}{{ id }}"), "{shown}");
        assert!(!format!("{settings:?}").contains("hush"));
        let error = load_with(text, &[("T", "{{ id }}"), ("P", "x")], &[]).unwrap_err().to_string();
        assert!(error.contains("refers to a secret that has {{"), "{error}");
        let error = load_with(text, &[("T", "a\nb"), ("P", "x")], &[]).unwrap_err().to_string();
        assert!(error.contains("headers.Authorization: ") && !error.contains("a\nb"), "{error}");
    }

    #[test]
    fn a_dry_run_keeps_the_request() {
        let text = "type = \"null\"\nrequest = { body = \"{{ payload }}\" }";
        assert_eq!(
            queue_of(&format!("[queues.q.downstream]\n{text}")).downstream,
            Downstream::Null
        );
        let broken = text.replace("payload", "paylod");
        assert!(queue_errors(&format!("[queues.q.downstream]\n{broken}")).contains("needs paylod"));
    }

    /// Each of these texts, below the url of a downstream, is refused so.
    fn all_refused(cases: &[(&str, &str)]) {
        for (text, part) in cases {
            let has_own = text.contains("downstream =") || text.contains("request = { url");
            let url = if has_own { "" } else { "downstream.url = 'http://h'" };
            let error = errors_of(&format!("[queues.q]\n{url}\n{text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_remedy() {
        all_refused(&[
            (
                "downstream = { url = 'http://h', request = {} }",
                "request.body: is missing, and so are url, headers and method",
            ),
            (
                "downstream = { url = 'http://h', request = { url = 'http://h/{{ id }}' } }",
                "request.url: stands in place of downstream.url",
            ),
            (
                "downstream = { url = 'http://h', method = 'PUT', request = { method = 'POST', body = '{{ id }}' } }",
                "request.method: stands in place of",
            ),
            (
                "downstream = { url = 'http://h', headers = { X-A = '1' }, request = { headers = { x-a = '{{ id }}' } } }",
                "request.headers: has x-a, which stands in downstream.headers too",
            ),
            (
                "downstream.request = { method = 'GET', body = '{{ id }}' }",
                "request.body: has no effect with method = \"GET\"",
            ),
            (
                "downstream.request = { content_type = 'text/plain', method = 'PUT' }",
                "request.content_type: has no effect without body",
            ),
            (
                "downstream = { type = 'pull', request = { body = '{{ id }}' } }",
                "request: has no effect where workers claim",
            ),
            ("downstream = { request = { body = '{{ id }}' } }", "downstream.url: is missing"),
        ]);
    }

    #[test]
    fn bad_templates_are_refused_at_their_key() {
        all_refused(&[
            (
                "downstream.request = { method = 'HEAD' }",
                "request.method: found \"HEAD\", expected \"GET\", \"POST\"",
            ),
            (
                "downstream.request = { body = 'x', content_type = '{{ id }}' }",
                "request.content_type: \"{{ id }}\" is not a valid content type",
            ),
            (
                "downstream.request = { headers = { Host = '{{ id }}' } }",
                "request.headers.Host: header \"Host\" is set by Tidegate itself",
            ),
            (
                "downstream.request = { headers = { webhook-id = '{{ id }}' } }",
                "is set by Tidegate itself",
            ),
            (
                "downstream.request = { url = 'https://{{ payload.host }}/x' }",
                "request.url: takes its host from a message",
            ),
            (
                "downstream.request = { body = '{{ messages }}' }",
                "request.body: needs messages, which the message does not have; there are id, attempt",
            ),
            (
                "downstream.request = { body = '{{ payload.b }}', example = { a = 1 } }",
                "request.body: needs payload.b, which the message does not have; it was tried on request.example",
            ),
            (
                "downstream.request = { headers = { X-A = '{{ payload.a' } }",
                "request.headers: x-a: is not a valid template",
            ),
            (
                "downstream.request = { bodi = 'x' }",
                "request.bodi: unknown key; did you mean body?",
            ),
            ("downstream.request = { body = ' ' }", "request.body: found an empty text"),
            (
                "batch = {}\ndownstream.request = { body = '{{ payload }}' }",
                "needs payload, which the message does not have; a queue with batch has messages",
            ),
        ]);
    }

    #[test]
    fn a_fault_names_the_line() {
        let text = "[queues.q.downstream]\nurl = \"http://h\"\n[queues.q.downstream.request]\nbody = \"\"\"\n{\n  \"a\": {{ paylod.a }}\n}\"\"\"\n";
        let error = queue_errors(text);
        assert!(
            error.contains(":4: queues.q.downstream.request.body: needs paylod")
                && error.contains("line 2 of the template"),
            "{error}"
        );
    }
}
