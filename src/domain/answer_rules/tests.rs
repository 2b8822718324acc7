//! Rules and answers as they come, and what holds.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// What a rule is made of, for tables.
#[derive(Clone, Copy)]
struct Given {
    statuses: &'static [u16],
    body: Option<&'static str>,
    json: Option<&'static str>,
    equals: Option<Value>,
    meaning: Option<RuleMeaning>,
    reference: Option<&'static str>,
    detail: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Value {
    Text(&'static str),
    Whole(i64),
    Number(f64),
    Switch(bool),
}

const NONE: Given = Given {
    statuses: &[],
    body: None,
    json: None,
    equals: None,
    meaning: None,
    reference: None,
    detail: None,
};

fn rule(given: Given) -> AnswerRule {
    let pointer = |text: &str| text.parse::<JsonPointer>().unwrap();
    let scalar = |value| match value {
        Value::Text(text) => JsonScalar::Text(text.to_owned()),
        Value::Whole(number) => JsonScalar::Whole(number),
        Value::Number(number) => JsonScalar::Number(number),
        Value::Switch(truth) => JsonScalar::Switch(truth),
    };
    AnswerRule {
        statuses: given.statuses.to_vec(),
        body: given.body.map(|text| BodyPattern::new(text).unwrap()),
        json: given
            .json
            .map(|at| JsonCondition { at: pointer(at), equals: given.equals.map(scalar) }),
        meaning: given.meaning.unwrap_or(RuleMeaning::Dead),
        reference: given.reference.map(pointer),
        detail: given.detail.map(pointer),
    }
}

fn rules(given: &[Given]) -> AnswerRules {
    AnswerRules { rules: given.iter().copied().map(rule).collect(), each: None }
}

fn whole(body: &[u8]) -> AnswerBody<'_> {
    AnswerBody { content_type: None, encoding: None, body, missing: None }
}

/// Which rule holds: its number, `table`, or `unknown`.
fn which(said: &RulesSaid) -> String {
    match said {
        RulesSaid::Nothing => "table".to_owned(),
        RulesSaid::Rule(found) => found.rule.to_string(),
        RulesSaid::CannotTell { .. } => "unknown".to_owned(),
    }
}

fn holds(given: Given, body: &str) -> String {
    which(&rules(&[given]).judge(200, whole(body.as_bytes())))
}

#[test]
fn the_first_rule_of_which_all_conditions_hold_decides() {
    let all = rules(&[
        Given { statuses: &[200], body: Some("^ERR: (114|301)"), ..NONE },
        Given { json: Some("/status"), equals: Some(Value::Text("busy")), ..NONE },
        Given { statuses: &[500, 502], ..NONE },
        Given { statuses: &[200], body: Some("ERR"), ..NONE },
    ]);
    for (status, body, expected) in [
        (200, "ERR: 114 unknown subscriber", "0"),
        (200, "\r\n ERR: 301", "0"),
        (200, "ERR: 7", "3"),
        (500, "ERR: 114", "2"),
        (503, "ERR: 114", "table"),
        (200, "{\"status\":\"busy\"}", "1"),
        (429, "{\"status\":\"busy\"}", "1"),
        (200, "{\"status\":\"done\"}", "table"),
        (200, "OK", "table"),
        (200, "", "table"),
    ] {
        assert_eq!(which(&all.judge(status, whole(body.as_bytes()))), expected, "{status} {body}");
    }
}

#[test]
fn values_are_compared_as_downstreams_write_them() {
    let of = |equals| Given { json: Some("/v"), equals, ..NONE };
    for (equals, yes, no) in [
        (
            Some(Value::Text("114")),
            &[r#"{"v":"114"}"#, r#"{"v":114}"#][..],
            &[r#"{"v":"0114"}"#, r#"{"v":[114]}"#, r#"{"w":114}"#, "[]", "114"][..],
        ),
        (
            Some(Value::Whole(5)),
            &[r#"{"v":5}"#, r#"{"v":5.0}"#, r#"{"v":"5"}"#, r#"{"v":0.5e1}"#],
            &[r#"{"v":50}"#, r#"{"v":"5x"}"#, r#"{"v":true}"#, r#"{"v":1e999}"#],
        ),
        (Some(Value::Number(0.5)), &[r#"{"v":0.50}"#, r#"{"v":"0.5"}"#], &[r#"{"v":0.51}"#]),
        (
            Some(Value::Switch(false)),
            &[r#"{"v":false}"#, r#"{"v":"false"}"#],
            &[r#"{"v":null}"#, r#"{"v":0}"#, r#"{"v":true}"#],
        ),
        (
            None,
            &[r#"{"v":0}"#, r#"{"v":""}"#, r#"{"v":{}}"#],
            &[r#"{"v":null}"#, r#"{"w":1}"#, "null", "no JSON"],
        ),
    ] {
        for body in yes {
            assert_eq!(holds(of(equals), body), "0", "{body}");
        }
        for body in no {
            assert_eq!(holds(of(equals), body), "table", "{body}");
        }
    }
    let big = Given { equals: Some(Value::Whole(i64::MAX)), ..of(None) };
    assert_eq!(holds(big, r#"{"v":9223372036854775807}"#), "0");
    assert_eq!(holds(big, r#"{"v":9223372036854775806}"#), "table");
}

#[test]
fn pointers_find_what_they_name() {
    let body = r#"{"a":{"b/c":[{"~":"x"}]},"":1,"rows":["y"]}"#;
    for (at, is_there) in [
        ("/a/b~1c/0/~0", true),
        ("/a/b~1c/1", false),
        ("/a/b~1c/-", false),
        ("/A", false),
        ("/", true),
        ("", true),
        ("/rows/0", true),
        ("/rows/0/deeper", false),
    ] {
        let found = holds(Given { json: Some(at), ..NONE }, body);
        assert_eq!(found, if is_there { "0" } else { "table" }, "{at}");
    }
    for (text, part) in [
        ("status", "expected for example \"/status\""),
        ("$.rows[0].id", "expected for example \"/rows/0/id\""),
        ("/a~", "write ~0"),
        ("/a~2", "write ~0"),
        (&"/a".repeat(21), "21 steps"),
    ] {
        let error = text.parse::<JsonPointer>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn bodies_are_read_liberally() {
    let busy = Given { json: Some("/status"), equals: Some(Value::Text("b\u{fc}sy")), ..NONE };
    let text = Given { body: Some("^b\u{fc}sy$"), ..NONE };
    let in_utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let json = "{\"status\": \"b\u{fc}sy\"}";
    let latin = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>();
    for (content_type, json, plain) in [
        (Some("text/plain"), json.into(), "b\u{fc}sy\n".into()),
        (
            Some("text/html; charset=utf-8"),
            format!("\u{feff}{json}").into_bytes(),
            "\u{feff}b\u{fc}sy".into(),
        ),
        (Some("text/plain; charset=latin1"), latin(json), latin(" b\u{fc}sy\r\n")),
        (Some("application/json; charset=utf-16le"), in_utf16(json), in_utf16("b\u{fc}sy")),
        (None, format!("\r\n\t{json}\n\0").into_bytes(), "b\u{fc}sy\0".into()),
    ] {
        for (given, body) in [(busy, &json), (text, &plain)] {
            let body: &Vec<u8> = body;
            let answer = AnswerBody { content_type, ..whole(body) };
            let said = rules(&[given]).judge(200, answer);
            assert_eq!(which(&said), "0", "{content_type:?} {:?}", String::from_utf8_lossy(body));
        }
    }
    assert_eq!(which(&rules(&[text]).judge(200, whole(b"b\xfcsy"))), "0", "Latin-1 unsaid");
}

#[test]
fn what_cannot_be_read_is_neither_a_yes_nor_a_no() {
    let text = Given { body: Some("^OK"), ..NONE };
    let json = Given { json: Some("/status"), ..NONE };
    let by_status = Given { statuses: &[500], ..NONE };
    let judge = |given: &[Given], body: AnswerBody<'_>| which(&rules(given).judge(200, body));
    let cut = |body| AnswerBody { missing: Some("it broke off"), ..whole(body) };
    let gzip = AnswerBody { encoding: Some("gzip"), ..whole(b"\x1f\x8b") };
    for (given, body, expected) in [
        (text, cut(b"OK: 1"), "unknown"),
        (text, cut(b"no"), "unknown"),
        (json, cut(b"{\"status\":1}"), "0"),
        (json, cut(b"{\"status\":1"), "unknown"),
        (json, cut(b"1"), "unknown"),
        (text, gzip, "unknown"),
        (json, gzip, "unknown"),
        (text, whole(b"\x1f\x8b\x08\0\0"), "unknown"),
        (json, whole(b"{\"status\":1"), "unknown"),
        (json, whole(b"{\"status\":NaN}"), "unknown"),
        (json, whole(b"{\"status\":1,\"status\":2}"), "unknown"),
        (json, whole(b"Warning: x\n{\"status\":1}"), "unknown"),
        (json, whole(b"<style>p {}</style>"), "table"),
        (by_status, cut(b"OK"), "table"),
    ] {
        assert_eq!(judge(&[given], body), expected, "{body:?}");
    }
    // What surely does not hold is passed over; what perhaps holds is not.
    let elsewhere = Given { statuses: &[500], ..text };
    let any = Given { statuses: &[200], ..NONE };
    assert_eq!(judge(&[elsewhere, any], cut(b"OK")), "1");
    assert_eq!(judge(&[text, any], cut(b"OK")), "unknown");
    assert_eq!(judge(&[any, text], cut(b"OK")), "0");
    let both = Given { json: Some("/status"), ..text };
    assert_eq!(judge(&[both], whole(b"no {\"status\" 1")), "table", "the body is surely another");
}

#[test]
fn a_rule_finds_a_reference_and_a_reason() {
    let found = |given: Given, body: &str| match rules(&[given]).judge(200, whole(body.as_bytes()))
    {
        RulesSaid::Rule(found) => (found.reference, found.detail),
        other => panic!("{body}: {other:?}"),
    };
    let some = |text: &str| Some(text.to_owned());
    let groups = Given { body: Some(r"^ID: (?P<ref>\S+)(?: (?P<detail>.+))?"), ..NONE };
    assert_eq!(found(groups, "ID: A-77"), (some("A-77"), None));
    assert_eq!(found(groups, "ID: A-77 queued \nmore"), (some("A-77"), some("queued")));
    let pointers =
        Given { reference: Some("/id"), detail: Some("/e/text"), statuses: &[200], ..NONE };
    assert_eq!(
        found(pointers, r#"{"id":4711,"e":{"text":" late "}}"#),
        (some("4711"), some("late"))
    );
    assert_eq!(found(pointers, r#"{"id":null,"e":"x"}"#), (None, None));
    assert_eq!(found(pointers, "no JSON"), (None, None), "what is not there changes no outcome");
    let long = format!(r#"{{"id":"{}"}}"#, "\u{fc}".repeat(10_000));
    assert_eq!(found(pointers, &long).0.map(|text| text.chars().count()), Some(SHOWN_CHARS_MAX));
}

fn each(id: Option<&str>, given: &[Given]) -> AnswerRules {
    let each = EachPolicy { at: "/rows".parse().unwrap(), id: id.map(|id| id.parse().unwrap()) };
    AnswerRules { each: Some(each), ..rules(given) }
}

fn elements(rules: &AnswerRules, body: &str) -> Vec<(Option<String>, String)> {
    let each = rules.each.as_ref().unwrap();
    match rules.judge_each(each, 200, whole(body.as_bytes())) {
        ListSaid::Elements(all) => {
            all.into_iter().map(|element| (element.id, which(&element.said))).collect()
        }
        ListSaid::Absent => vec![(None, "absent".to_owned())],
        ListSaid::CannotTell(_) => vec![(None, "unknown".to_owned())],
    }
}

#[test]
fn the_elements_of_a_list_are_judged_one_by_one() {
    let failed = Given {
        statuses: &[200],
        json: Some("/state"),
        equals: Some(Value::Text("failed")),
        ..NONE
    };
    let text = Given { body: Some("^ERR"), ..NONE };
    let by_id = each(Some("/order"), &[failed, text]);
    let body = r#"{"rows":[{"order":7,"state":"failed"},{"order":"B","state":"ok"},"ERR: 1",{"order":"C","order":"D"}]}"#;
    let expected = [(Some("7"), "0"), (Some("B"), "table"), (None, "1"), (None, "table")];
    let expected = expected.map(|(id, said)| (id.map(str::to_owned), said.to_owned()));
    assert_eq!(elements(&by_id, body), expected);
    for (body, expected) in [
        (r#"{"rows":{}}"#, "absent"),
        ("OK", "absent"),
        ("", "absent"),
        (r#"{"rows":[1"#, "unknown"),
        (r#"{"rows":[],"rows":[1]}"#, "unknown"),
        (r#"x {"rows":[]}"#, "unknown"),
    ] {
        assert_eq!(elements(&by_id, body), [(None, expected.to_owned())], "{body}");
    }
}

#[test]
fn patterns_that_cannot_be_are_refused_with_a_remedy() {
    for (text, part) in [
        ("", "is empty"),
        ("ERR: (114", "unclosed group"),
        ("(?=x)", "look-around"),
        ("(a)\\1", "backreferences are not supported"),
        ("(?P<reference>x)", "expected (?P<ref>...)"),
        ("(?:\\w{50}){50}", "repeat less"),
        (&"x".repeat(1001), "make several rules"),
    ] {
        let error = BodyPattern::new(text).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
    }
}

/// Patterns and pointers that look far into a body.
const CURIOUS: [Given; 4] = [
    Given { body: Some(r"(?s)(.*)*(a|aa)+\d{1,20}.*x$"), ..NONE },
    Given { body: Some(r"(?P<ref>\w+)\s(?P<detail>[^\n]*)z"), ..NONE },
    Given { json: Some("/a/0/b/1"), equals: Some(Value::Text("x")), ..NONE },
    Given { json: Some("/status"), reference: Some("/a/0"), detail: Some(""), ..NONE },
];

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is computing, which no clock of a test can pause"
)]
fn no_body_is_slow() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let many = format!("{{\"a\":[{}1]}}", "{\"b\":[1,2]},".repeat(10_000));
    let wide = format!("{{{}\"a\":1}}", "\"status\":1,".repeat(20_000));
    for body in ["a".repeat(RULED_BYTES_MAX), deep, many, wide, "{\"a\":".repeat(40_000)] {
        let began = Instant::now();
        for given in CURIOUS {
            drop(rules(&[given]).judge(200, whole(body.as_bytes())));
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?} for {}...", &body[..20]);
    }
}

proptest! {
    #[test]
    fn no_body_is_too_odd(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "[\\[\\]{}\":,a0-9 \\\\u]{0,200}".prop_map(String::into_bytes),
            any::<f64>().prop_map(|n| format!("{{\"status\":{n}}}").into_bytes()),
        ],
        content_type in proptest::option::of("(text/plain|application/json)(; charset=(utf-8|utf-16|latin1|shift_jis|x))?"),
        is_cut in any::<bool>(),
    ) {
        let missing = is_cut.then_some("it broke off");
        let answer = AnswerBody { content_type: content_type.as_deref(), encoding: None, body: &body, missing };
        for given in CURIOUS {
            let said = rules(&[given]).judge(200, answer);
            // A pattern never counts on a body of which something is missing.
            prop_assert!(!(is_cut && given.body.is_some()) || which(&said) == "unknown");
            let by_order = each(None, &[given]);
            if let Some(each) = &by_order.each {
                drop(by_order.judge_each(each, 200, answer));
            }
        }
    }
}
