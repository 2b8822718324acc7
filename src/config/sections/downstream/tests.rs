//! What a downstream may say, and what is wrong with it.

use crate::config::testing::{load_with, queue_errors, queue_of};
use crate::domain::access::HttpVersion;
use crate::domain::endpoint::{HttpDownstream, Secret};
use crate::domain::policy::Downstream;

fn http(text: &str) -> HttpDownstream {
    let queue =
        queue_of(&format!("[queues.q.downstream]\nurl = \"https://sms.example/send\"\n{text}"));
    let Downstream::Http(http) = &queue.downstream else { panic!("{queue:?}") };
    http.clone()
}

fn error(text: &str) -> String {
    queue_errors(&format!("[queues.q.downstream]\n{text}"))
}

#[test]
fn every_key_is_read() {
    let defaults = http("");
    assert_eq!(defaults.url.as_str(), "https://sms.example/send");
    assert_eq!((defaults.method, defaults.timeout_ms), (http::Method::POST, 15_000));
    assert_eq!((defaults.headers, defaults.signing_secrets), (Vec::new(), Vec::new()));
    let all = http(
        "type = \"http\"\nmethod = \"PUT\"\ntimeout = \"3s\"\nheaders = { X-One = \"1\" }\nsigning_secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"",
    );
    assert_eq!((all.method, all.timeout_ms), (http::Method::PUT, 3000));
    assert_eq!(all.headers[0].0.as_str(), "x-one");
    assert_eq!(all.signing_secrets.len(), 1);
    assert_eq!(http("signing_secret = \"any text\"").signing_secrets.len(), 1);
}

#[test]
fn the_version_of_http_is_one_of_three_words() {
    assert_eq!(http("").access.http, HttpVersion::Auto);
    for (word, version) in
        [("auto", HttpVersion::Auto), ("1.1", HttpVersion::One), ("2", HttpVersion::Two)]
    {
        assert_eq!(http(&format!("http = \"{word}\"")).access.http, version);
    }
    let url = "url = \"https://h\"\n";
    let refused = error(&format!("{url}http = \"3\""));
    assert!(
        refused.contains("queues.q.downstream.http: found \"3\", expected \"auto\" or \"1.1\" or"),
        "{refused}"
    );
    assert!(error(&format!("{url}http = 2")).contains("queues.q.downstream.http: "));
}

#[test]
fn http_2_is_not_required_through_a_proxy_that_passes_requests_on() {
    let through = "http = \"2\"\nproxy = \"http://egress.example:3128\"";
    let refused = error(&format!("url = \"http://h\"\n{through}"));
    assert!(
        refused.contains("queues.q.downstream.http: cannot be \"2\" for a downstream with http://"),
        "{refused}"
    );
    assert!(refused.contains("or set http = \"auto\""), "{refused}");
    assert_eq!(http(through).access.http, HttpVersion::Two);
    // Which of the two a message names shows at its call.
    let of_messages = format!("url = \"message\"\nhosts = [\"*\"]\n{through}");
    queue_of(&format!("[queues.q.downstream]\n{of_messages}"));
}

#[test]
fn a_dry_run_changes_one_word() {
    let null = queue_of("[queues.q.downstream]\ntype = \"null\"\nurl = \"http://h\"");
    assert_eq!(null.downstream, Downstream::Null);
    assert!(error("type = \"null\"\nurl = \"ftp://h\"").contains("scheme \"ftp\""));
}

#[test]
fn workers_that_claim_need_no_url_and_gather_no_batches() {
    let text = "[queues.q.downstream]\ntype = \"pull\"";
    let queue = queue_of(text);
    assert_eq!((&queue.downstream, queue.concurrency), (&Downstream::Pull, 1000));
    let error = queue_errors(&format!("{text}\n[queues.q.batch]"));
    assert!(error.contains("queues.q.batch: has no effect"), "{error}");
}

#[test]
fn messages_may_bring_their_own_url() {
    let text = "[queues.q.downstream]\nurl = \"message\"\nhosts = [\"*.example.com\", \"127.0.0.1:9000\"]\nmethod = \"PUT\"";
    let with = |own: &str| queue_of(&format!("[queues.q]\n{own}\n{text}"));
    let queue = with("");
    let Downstream::MessageUrls(urls) = &queue.downstream else { panic!("{queue:?}") };
    let hosts: Vec<_> = urls.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["*.example.com", "127.0.0.1:9000"]);
    assert_eq!(urls.http.method, http::Method::PUT);
    for own in [
        "fairness = \"host\"",
        "ordering = \"host\"",
        "required_keys = [\"host\"]",
        "limits = [{ rate = \"1/s\", per = \"host\" }]",
        "backlog = { max_messages_per_key = 5, per = \"host\" }",
    ] {
        assert!(matches!(with(own).downstream, Downstream::MessageUrls(_)), "{own}");
    }
    for (text, part) in [
        ("url = \"message\"", "downstream.hosts: is missing; say where messages may go"),
        ("url = \"message\"\nhosts = []", "downstream.hosts: is missing"),
        (
            "url = \"message\"\nhosts = [\"https://h\"]",
            "hosts[0]: \"https://h\" is not a valid host",
        ),
        ("url = \"http://h\"\nhosts = [\"h\"]", "downstream.hosts: has no effect without"),
        (
            "url = \"message\"\nhosts = [\"*\"]\nrequest = { body = \"1\" }",
            "downstream.request: cannot stand beside url = \"message\"",
        ),
        ("url = \"message\"\nhosts = [\"*\"]\n[queues.q.batch]", "queues.q.batch: has no effect"),
    ] {
        let error = error(text);
        assert!(error.contains(part), "{text}: {error}");
    }
    let bad = "[server]\negress_allow = [\"10.1.2.3/16\"]\n[queues.q.downstream]\ntype = \"null\"";
    let error = crate::config::testing::errors_of(bad);
    assert!(error.contains("server.egress_allow[0]: ") && error.contains("10.1.0.0/16"), "{error}");
}

#[test]
fn a_url_is_shown_as_written() {
    let text = "[queues.q.downstream]\nurl = \"https://${HOST}/hooks/${TOKEN}?key=abc\"";
    let env = [("HOST", "h.example"), ("TOKEN", "t0k")];
    let settings = load_with(text, &env, &[]).unwrap();
    let Downstream::Http(http) = &settings.queues.values().next().unwrap().downstream else {
        panic!()
    };
    assert_eq!(http.url.as_str(), "https://h.example/hooks/t0k?key=abc");
    assert_eq!(http.url_shown, "https://${HOST}/hooks/${TOKEN}?***");
    assert!(!format!("{http:?}").contains("t0k"));
}

#[test]
fn bad_values_are_refused() {
    for (text, part) in [
        ("", "queues.q.downstream.url: is missing"),
        (
            "type = \"smpp\"",
            "this version does not have \"smpp\"; expected \"http\" or \"null\" or \"pull\"",
        ),
        ("type = \"htp\"", "found \"htp\", expected \"http\" or \"null\" or \"pull\""),
        ("url = \"sms.example/send\"", "queues.q.downstream.url: is not a valid url"),
        ("url = \"ftp://h/\"", "has the scheme \"ftp\"; expected http or https"),
        ("url = \"https://\"", "is not a valid url (empty host)"),
        ("url = \"http://h/#top\"", "has a fragment"),
        ("url = \"http://user:pw@h/\"", "put them into headers instead"),
        ("method = \"GET\"", "found \"GET\", expected \"POST\""),
        ("timeout = \"0s\"", "found \"0s\", expected 1ms to 1h"),
        ("timeout = 15", "\"15\" is not a valid duration; expected for example 250ms, 90s"),
        ("signing_secret = \"whsec_%%\"", "queues.q.downstream.signing_secret: begins with whsec_"),
        ("signing_secret = \"whsec_\"", "is an empty key"),
        ("signing_secret = \"whsk_abc\"", "asymmetric"),
        ("signing_secret = \"\"", "is empty"),
        ("uri = \"http://h\"", "queues.q.downstream.uri: unknown key; did you mean url?"),
    ] {
        let error = error(text);
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    for text in [
        "signing_secret = \"whsec_hunter2%\"",
        "signing_secret = \" hunter2\"",
        "url = \"http://:hunter2@h/\"",
        "headers = { Authorization = \"hunter2\\n\" }",
    ] {
        let error = error(text);
        assert!(!error.contains("hunter2"), "{error}");
    }
    let env = [("URL", "hunter2://h")];
    let errors =
        load_with("[queues.q.downstream]\nurl = \"${URL}\"\ntimeout = \"${URL}\"", &env, &[]);
    let errors = errors.unwrap_err().to_string();
    assert!(errors.contains("timeout: \"${URL}\" is not a valid duration"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
    assert!(!format!("{:?}", Secret::new("hunter2".to_owned())).contains("hunter2"));
}
