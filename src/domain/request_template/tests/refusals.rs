//! What no template makes a request of.

use serde_json::json;

use super::*;

#[test]
fn what_a_message_lacks_is_named() {
    for (template, payload, expected) in [
        (
            "{{ payload.to }}",
            "{}",
            "request.body needs payload.to, which the message does not have",
        ),
        (
            "{{ payload.to.x }}",
            "{}",
            "request.body needs payload.to.x, which the message does not have",
        ),
        (
            "{{ payload.to | urlencode }}",
            "{}",
            "request.body needs payload.to, which the message does not have",
        ),
        ("{{ payload.to }}", "7", "request.body needs payload.to, which the message does not have"),
        (
            "a\nb {{ payload.to }}",
            "{}",
            "request.body needs payload.to, which the message does not have (line 2 of the template)",
        ),
        (
            "{% if payload.to %}x{% endif %}",
            "{}",
            "request.body needs payload.to, which the message does not have",
        ),
        ("{{ group }}", "{}", "request.body needs group, which the message does not have"),
        (
            "{{ payload.to }}",
            "{\"to\": null}",
            "request.body needs payload.to, which is null; set what",
        ),
        (
            "{{ payload.to }}",
            "{\"to\": [1]}",
            "request.body needs payload.to, which is a list; write it with",
        ),
        (
            "{{ payload }}",
            "{\"to\": [1]}",
            "request.body needs payload, which is an object; name one",
        ),
    ] {
        let error = body_of("text/plain", template, payload).unwrap_err();
        assert!(error.starts_with(expected), "{template}: {error}");
    }
    let mut bytes = message("x");
    bytes.details.kind = PayloadKind::Raw;
    let parts = RequestParts { body: Some(written("{{ payload.to }}")), ..parts() };
    let error = RequestTemplate::new(parts, false).unwrap().render(&[bytes]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "request.body needs the payload, which is bytes, and a template reads JSON and text only"
    );
    let mut text = message("hello \"you\"");
    text.details.kind = PayloadKind::Text;
    let parts = RequestParts { body: Some(written("{\"text\": {{ payload }}}")), ..super::parts() };
    let request = RequestTemplate::new(parts, false).unwrap().render(&[text]).unwrap();
    let bytes = Bytes::from_static(br#"{"text": "hello \"you\""}"#);
    assert_eq!(request.body, RenderedBody::Written { content_type: JSON.to_owned(), bytes });
}

#[test]
fn a_template_neither_runs_on_nor_fills_the_memory() {
    let list = |count: usize| format!("[{}]", vec!["1"; count].join(","));
    let nested = "{% for a in payload %}{% for b in payload %}{% for c in payload %}{% endfor %}{% endfor %}{% endfor %}x";
    let error = body_of("text/plain", nested, &list(1000)).unwrap_err();
    assert!(error.contains("takes too long"), "{error}");
    let text = format!("{{\"t\": \"{}\"}}", "a".repeat(200_000));
    let all = "{% for a in payload.t | list %}{{ payload.t }}{% endfor %}";
    let error = body_of("text/plain", all, &text).unwrap_err();
    assert!(error.contains("writes more than can be sent"), "{error}");
    let error =
        body_of("text/plain", "{{ payload.t | replace(\"a\", payload.t) }}", &text).unwrap_err();
    assert!(error.contains("more than can be sent"), "{error}");
    let error =
        body_of("text/plain", "{{ payload.t | list | join(payload.t) }}", &text).unwrap_err();
    assert!(error.contains("more than can be sent"), "{error}");
    assert!(body_of("text/plain", "{{ 'a' * payload }}", "100000000000").is_err());
    assert!(body_of("text/plain", "{{ range(5) }}", "1").unwrap_err().contains("range"));
}

#[test]
fn what_is_surely_wrong_is_found_without_a_message() {
    let check = |parts: RequestParts| {
        RequestTemplate::new(parts, false).and_then(|it| it.check()).map_err(|it| it.to_string())
    };
    let body = |text: &str, content_type: &str| RequestParts {
        body: Some(written(text)),
        content_type: Some(content_type.to_owned()),
        ..parts()
    };
    for (text, content_type) in [
        ("{\"a\": {{ payload.a.b[0].c }}, \"n\": {{ payload.n | round(2) }}}", JSON),
        ("{\"a\": \"{{ payload.a }}\", \"n\": {{ payload.n | safe }}}", JSON),
        ("{% for item in payload.items %}{{ item.name | upper }}{% endfor %}", "text/plain"),
        ("{{ payload.n * 2 }}", "text/plain"),
        ("{{ payload | items | length }}", "text/plain"),
        ("{{ group }}{{ labels.a }}{{ headers.b }}", "text/plain"),
        ("{% set a = payload.b %}{{ a }}", "text/plain"),
    ] {
        assert_eq!(check(body(text, content_type)), Ok(()), "{text}");
    }
    for (text, content_type, part) in [
        ("{{ paylod.to }}", JSON, "needs paylod"),
        ("{{ payload.to ", JSON, "is not a valid template: "),
        ("{{ payload.to | urlencod }}", JSON, "filter urlencod is unknown"),
        ("{{ payload.to.upper() }}", JSON, "no value has a method; use a filter"),
        (
            "to={{ payload.to }}",
            JSON,
            "is not valid JSON when its values are filled in (line 1, column 2)",
        ),
        (
            "{% set a %}{{ payload.to }}{% endset %}",
            JSON,
            "has the statement \"set\", which cannot stand here",
        ),
        ("{% include \"x\" %}", JSON, "has the statement \"include\""),
        (
            "{% autoescape false %}{{ id }}{% endautoescape %}",
            JSON,
            "has the statement \"autoescape\"",
        ),
    ] {
        let error = check(body(text, content_type)).expect_err(text);
        assert!(error.starts_with("request.body ") && error.contains(part), "{text}: {error}");
    }
    let example = Some(json!({"to": "1"}));
    let with =
        |text: &str| check(RequestParts { example: example.clone(), ..body(text, "text/plain") });
    assert_eq!(with("{{ payload.to }}"), Ok(()));
    assert!(with("{{ payload.too }}").unwrap_err().contains("needs payload.too"));
}

/// A list that is multiplied would be repeated, without an end that anybody waits for.
#[test]
fn only_numbers_are_multiplied() {
    let total = "{\"total\": {{ payload.price * payload.qty }}}";
    assert_eq!(body_of(JSON, total, r#"{"price": 3, "qty": 4}"#).unwrap(), "{\"total\": 12}");
    let many = "[0], \"qty\": 1000000000000";
    for template in [
        total,
        "{{ payload.qty * payload.price }}",
        "{{ (payload.price * payload.qty) | join }}",
        "{{ payload.price * payload.qty ~ \" EUR\" }}",
        "{% if 1 in payload.price * payload.qty %}1{% endif %}",
        "{{ (payload.price + payload.price) * 1000000000 }}",
        "{% for x in payload.price * 1000000000 %}{% endfor %}",
    ] {
        let error = body_of(JSON, template, &format!("{{\"price\": {many}}}")).unwrap_err();
        assert!(
            error.contains("which is no number, and only numbers can be multiplied"),
            "{error}"
        );
    }
    let error = body_of(JSON, total, &format!("{{\"price\": {many}}}")).unwrap_err();
    assert!(error.starts_with("request.body needs payload.price, which is no number"), "{error}");
    let error = body_of(JSON, total, r#"{"price": 1}"#).unwrap_err();
    assert!(error.starts_with("request.body needs payload.qty, which the message"), "{error}");
}

#[test]
fn values_that_nobody_gave_can_be_compared() {
    for text in [
        "{{ payload.a == payload.b }}",
        "{{ payload.old != payload.new }}",
        "{{ payload.a < payload.b }}",
        "{{ labels.a == payload.b }}",
        "{{ payload.a is eq(payload.b) }}",
        "{% for x in payload.a if x in payload.b %}{{ x }}{% endfor %}",
        "{{ [payload.a, payload.b] | max }}",
        "{{ [payload.a, payload.b] | unique | join }}",
        "{{ [payload.a, [payload.b]] | sort | length }}",
        "{{ payload.a == [payload.b] }}",
        "{{ payload.a * payload.b * 2 }}",
    ] {
        let content_type = Some("text/plain".to_owned());
        let parts = RequestParts { body: Some(written(text)), content_type, ..parts() };
        let checked = RequestTemplate::new(parts, false).and_then(|it| it.check());
        assert_eq!(checked.map_err(|error| error.to_string()), Ok(()), "{text}");
    }
}

#[test]
fn no_secret_is_shown() {
    let secret = Written {
        source: "hush2 {{ payload.to }}".to_owned(),
        masked: "*** {{ payload.to }}".to_owned(),
        shown: "${T} {{ payload.to }}".to_owned(),
    };
    let parts =
        RequestParts { content_type: Some("text/plain".to_owned()), body: Some(secret), ..parts() };
    let template = RequestTemplate::new(parts, false).unwrap();
    assert!(!format!("{template:?}").contains("hush2"));
    let shown = template.show(&[message("{\"to\": 1}")]).unwrap();
    assert_eq!(shown.body.as_deref(), Some("*** 1"));
    let error = template.render(&[message("{}")]).unwrap_err();
    assert!(!error.to_string().contains("hush2"), "{error}");
    // A secret is no template.
    let parts = RequestParts {
        body: Some(Written {
            source: "{{ payload }}{{ id }}".to_owned(),
            masked: "***{{ id }}".to_owned(),
            shown: "${T}{{ id }}".to_owned(),
        }),
        ..super::parts()
    };
    let error = RequestTemplate::new(parts, false).unwrap_err().to_string();
    assert!(error.contains("refers to a secret that has {{"), "{error}");
}

#[test]
fn parameters_that_may_be_keys_are_not_shown() {
    for (template, shown) in [
        (
            "https://h/a?key=hush&to={{ payload.to if payload.a else \"a&b=c\" }}&x",
            "https://h/a?key=***&to={{ payload.to if payload.a else \"a&b=c\" }}&***",
        ),
        (
            "https://h/{{ id }}?a={% if id %}1{% endif %}",
            "https://h/{{ id }}?a={% if id %}1{% endif %}",
        ),
        ("https://h/${T}", "https://h/${T}"),
    ] {
        assert_eq!(hidden_query(template), shown);
    }
}
