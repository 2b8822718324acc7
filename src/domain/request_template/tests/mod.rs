//! Templates, rendered.

mod refusals;

use std::collections::BTreeMap;

use super::*;
use crate::domain::message::{Details, PayloadKind};

fn written(text: &str) -> Written {
    Written { source: text.to_owned(), masked: text.to_owned(), shown: text.to_owned() }
}

fn parts() -> RequestParts {
    RequestParts {
        method: Method::POST,
        says_method: false,
        url: None,
        headers: Vec::new(),
        content_type: None,
        body: None,
        example: None,
    }
}

fn message(payload: &str) -> TemplateMessage {
    TemplateMessage {
        id: "sms_1".to_owned(),
        attempt: 2,
        payload: Bytes::from(payload.to_owned()),
        details: Details {
            headers: vec![("x-tenant".to_owned(), "acme".to_owned())],
            labels: BTreeMap::from([("shop".to_owned(), "7".to_owned())]),
            ..Details::default()
        },
    }
}

fn body_of(content_type: &str, template: &str, payload: &str) -> Result<String, String> {
    let parts = RequestParts {
        content_type: Some(content_type.to_owned()),
        body: Some(written(template)),
        ..parts()
    };
    let request = RequestTemplate::new(parts, false).and_then(|it| it.render(&[message(payload)]));
    match request.map_err(|error| error.to_string())?.body {
        RenderedBody::Written { bytes, .. } => Ok(String::from_utf8(bytes.to_vec()).unwrap()),
        other => panic!("{other:?}"),
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const XML: &str = "application/soap+xml; charset=utf-8";

fn url_of(template: &str, payload: &str) -> Result<String, String> {
    let parts = RequestParts { method: Method::GET, url: Some(written(template)), ..parts() };
    let request = RequestTemplate::new(parts, false).and_then(|it| it.render(&[message(payload)]));
    let request = request.map_err(|error| error.to_string())?;
    assert_eq!(request.body, RenderedBody::Empty);
    Ok(request.url.unwrap().to_string())
}

fn header_of(template: &str, payload: &str) -> Result<String, String> {
    let headers = vec![(HeaderName::from_static("x-to"), written(template))];
    let parts = RequestParts { headers, ..parts() };
    let request = RequestTemplate::new(parts, false).and_then(|it| it.render(&[message(payload)]));
    let request = request.map_err(|error| error.to_string())?;
    Ok(request.headers[0].1.to_str().unwrap().to_owned())
}

#[test]
fn json_takes_values_as_they_are_and_inside_of_strings() {
    let payload = r#"{"to": "+49 \"1\"", "n": 12.50, "ok": true, "none": null, "list": [1, {"b": 1, "a": "x"}]}"#;
    for (template, expected) in [
        ("{\"to\": {{ payload.to }}}", r#"{"to": "+49 \"1\""}"#),
        ("{\"to\": \"tel:{{ payload.to }}!\"}", r#"{"to": "tel:+49 \"1\"!"}"#),
        ("[{{ payload.n }}, {{ payload.ok }}, {{ payload.none }}]", "[12.50, true, null]"),
        ("{{ payload.list }}", r#"[1,{"b":1,"a":"x"}]"#),
        (
            "{{ payload | tojson }}",
            r#"{"to":"+49 \"1\"","n":12.50,"ok":true,"none":null,"list":[1,{"b":1,"a":"x"}]}"#,
        ),
        (
            "{\"inner\": \"{{ payload.list | tojson }}\"}",
            r#"{"inner": "[1,{\"b\":1,\"a\":\"x\"}]"}"#,
        ),
        (
            "{\"u\": \"http://h/?t={{ payload.to | urlencode }}\"}",
            r#"{"u": "http://h/?t=%2B49%20%221%22"}"#,
        ),
        (
            "{\"t\": \"{{ payload.n }} EUR\", \"id\": {{ id }}, \"a\": {{ attempt }}}",
            r#"{"t": "12.50 EUR", "id": "sms_1", "a": 2}"#,
        ),
        ("{{ '{\"raw\": 1}' | safe }}", r#"{"raw": 1}"#),
        ("{{ labels.shop }}", "\"7\""),
        ("{{ headers[\"x-tenant\"] }}", "\"acme\""),
        (
            "[{% for x in payload.list %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}]",
            r#"[1,{"b":1,"a":"x"}]"#,
        ),
        ("{{ payload.subject | default(\"none\") }}", "\"none\""),
    ] {
        assert_eq!(body_of(JSON, template, payload).as_deref(), Ok(expected), "{template}");
    }
    let error = body_of(JSON, "{\"to\": \"{{ payload.to | safe }}\"}", payload).unwrap_err();
    assert!(error.starts_with("request.body is not valid JSON when"), "{error}");
    assert!(!error.contains("+49"), "{error}");
}

#[test]
fn numbers_keep_their_spelling() {
    for number in [
        "0",
        "-7",
        "1.10",
        "1e3",
        "-0",
        "12345678901234567890",
        "170141183460469231731687303715884105727",
        "123456789012345678901234567890123456789012345678901234567890",
        "0.1234567890123456789",
        "1E400",
    ] {
        let payload = format!("{{\"n\": {number}}}");
        assert_eq!(body_of(JSON, "{{ payload.n }}", &payload).as_deref(), Ok(number));
        assert_eq!(
            body_of(JSON, "{{ payload | tojson }}", &payload),
            Ok(format!("{{\"n\":{number}}}"))
        );
        assert_eq!(body_of("text/plain", "{{ payload.n }}", &payload).as_deref(), Ok(number));
    }
    let payload = r#"{"n": 12.50, "m": 12.500}"#;
    let counted = "{{ payload.n * 2 }} {{ payload.n > 12 }} {{ (payload.n * 100) | int }}";
    assert_eq!(body_of("text/plain", counted, payload).as_deref(), Ok("25.0 true 1250"));
    assert_eq!(body_of("text/plain", "{{ payload.n }}", payload).as_deref(), Ok("12.5"));
}

#[test]
fn forms_and_urls_are_percent_encoded() {
    let payload = r#"{"to": "+49&x=1", "text": "Grüße, 100%\n#a/b?c", "dots": ".."}"#;
    let form = "to={{ payload.to }}&text={{ payload.text }}&again={{ payload.to | urlencode }}";
    let expected =
        "to=%2B49%26x%3D1&text=Gr%C3%BC%C3%9Fe%2C%20100%25%0A%23a%2Fb%3Fc&again=%2B49%26x%3D1";
    assert_eq!(body_of(FORM, form, payload).as_deref(), Ok(expected));
    assert_eq!(body_of(FORM, "{{ 'a=b&c=d' | safe }}", payload).as_deref(), Ok("a=b&c=d"));
    // What is JSON is no pair of a form yet.
    let json = "d={{ payload.to | tojson }}&e={{ payload.to | tojson | urlencode }}";
    let expected = "d=%22%2B49%26x%3D1%22&e=%22%2B49%26x%3D1%22";
    assert_eq!(body_of(FORM, json, payload).as_deref(), Ok(expected));
    let url = "https://sms.example/{{ payload.to }}?t={{ payload.text | urlencode }}";
    assert_eq!(
        url_of(url, payload).as_deref(),
        Ok("https://sms.example/%2B49%26x%3D1?t=Gr%C3%BC%C3%9Fe%2C%20100%25%0A%23a%2Fb%3Fc")
    );
}

#[test]
fn a_value_reaches_no_other_place() {
    let payload = r#"{"dots": "..", "host": "evil.example", "at": "x@evil.example", "raw": "a#b", "gap": "a b"}"#;
    for (template, part) in [
        ("https://sms.example/users/{{ payload.dots }}/x", "only dots"),
        ("https://sms.example/%2e{{ '%2E' | safe }}/x", "only dots"),
        ("https://{{ payload.host }}/x", "request.url takes its host from a message"),
        ("https://sms.example{{ payload.host }}/x", "takes its host from a message"),
        ("https://sms.example:{{ payload.host }}/x", "takes its host from a message"),
        ("{{ payload.host }}", "does not begin with a scheme and a host"),
        ("{{ 'https' }}://h/", "does not begin with a scheme and a host"),
        ("ftp://h/{{ id }}", "does not begin with http:// or https://"),
        ("https://u:p@h/{{ id }}", "holds a user or password"),
        ("https://sms.example/?x={{ payload.raw | safe }}", "has a fragment"),
        ("https://sms.example/?x={{ payload.gap | safe }}", "has a space"),
        ("https://a b/", "is not a valid url"),
    ] {
        let error = url_of(template, payload).unwrap_err();
        assert!(error.contains(part), "{template}: {error}");
    }
    let same = url_of("https://sms.example:8443/{{ payload.at | safe }}", payload);
    assert_eq!(same.as_deref(), Ok("https://sms.example:8443/x@evil.example"));
    assert_eq!(
        url_of("HTTPS://Sms.Example?x={{ id }}", payload).as_deref(),
        Ok("https://sms.example/?x=sms_1")
    );
}

#[test]
fn xml_is_escaped_in_text_and_attributes() {
    let payload = r#"{"t": "<a href='x'>&\"\n", "bad": "\u0001"}"#;
    let template = "<m to=\"{{ payload.t }}\">{{ payload.t | escape }}{{ '<br/>' | safe }}</m>";
    let escaped = "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&#10;";
    let expected = format!("<m to=\"{escaped}\">{escaped}<br/></m>");
    assert_eq!(body_of(XML, template, payload), Ok(expected));
    let error = body_of(XML, "<m>{{ payload.bad }}</m>", payload).unwrap_err();
    assert_eq!(
        error,
        "request.body needs payload.bad, which has a control character that XML cannot hold"
    );
    let error = body_of(XML, "<m><![CDATA[{{ payload.t }}]]></m>", payload).unwrap_err();
    assert!(error.contains("has a CDATA section"), "{error}");
    assert_eq!(
        body_of("text/plain", "{{ payload.t }}", payload).as_deref(),
        Ok("<a href='x'>&\"\n")
    );
}

#[test]
fn a_header_has_no_line_break() {
    assert_eq!(
        header_of("{{ payload.to }}, {{ id }}", r#"{"to": "a&b"}"#).as_deref(),
        Ok("a&b, sms_1")
    );
    for (template, text) in [
        ("{{ payload.to }}", "a\\r\\nHost: evil"),
        ("{{ payload.to | safe }}", "a\\nb"),
        ("{{ payload.to }}", "\\u0000"),
    ] {
        let error = header_of(template, &format!("{{\"to\": \"{text}\"}}")).unwrap_err();
        assert_eq!(
            error,
            "request.headers.x-to needs payload.to, which has a line break or another control character"
        );
    }
}

#[test]
fn a_batch_gets_all_its_messages() {
    let body = "[{% for m in messages %}{\"ref\": {{ m.id }}, \"to\": {{ m.payload.to }}}{{ \",\" | safe if not loop.last }}{% endfor %}]";
    let template = |body: &str| {
        RequestTemplate::new(RequestParts { body: Some(written(body)), ..parts() }, true).unwrap()
    };
    let two = [message("{\"to\": 1}"), message("{\"to\": 2.0}")];
    let request = template(body).render(&two).unwrap();
    let bytes = Bytes::from_static(br#"[{"ref": "sms_1", "to": 1},{"ref": "sms_1", "to": 2.0}]"#);
    assert_eq!(request.body, RenderedBody::Written { content_type: JSON.to_owned(), bytes });
    assert_eq!(template(body).check(), Ok(()));
    let error = template("{{ payload.to }}").check().unwrap_err();
    assert!(error.is_missing() && error.to_string().contains("needs payload"), "{error}");
}
