//! Answers as downstreams give them, well made and not, and what is read in them.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::answer_rules::RulesSaid;

const JSON: Option<&str> = Some("application/json");

fn ids() -> Vec<String> {
    ["erp_A", "erp_B", "erp_C"].map(str::to_owned).to_vec()
}

fn answer(content_type: Option<&'static str>, body: &[u8]) -> BatchReading {
    read(AnswerBody { content_type, encoding: None, body, missing: None }, &ids())
}

/// What is said of each item, in a word; one word where it is the same for all.
fn words(reading: &BatchReading) -> Vec<&'static str> {
    match reading {
        BatchReading::All => vec!["all"],
        BatchReading::Unreadable(_) => vec!["unreadable"],
        BatchReading::Each(each) => each.items.iter().map(word).collect(),
    }
}

fn word(item: &ItemSaid) -> &'static str {
    match item {
        ItemSaid::Status { outcome, .. } => outcome.as_str(),
        ItemSaid::Judged(classified) => classified.outcome.as_str(),
        ItemSaid::Nothing(_) => "nothing",
    }
}

fn json(body: &str) -> Vec<&'static str> {
    words(&answer(JSON, body.as_bytes()))
}

/// Results that say the same of all three, each with this beside its status.
fn results(status: &str, beside: &str) -> String {
    let item = |id: &String| format!(r#"{{"id":"{id}","status":"{status}"{beside}}}"#);
    format!(r#"{{"results":[{}]}}"#, ids().iter().map(item).collect::<Vec<_>>().join(","))
}

fn details(reading: &BatchReading) -> Vec<Option<&str>> {
    let BatchReading::Each(each) = reading else { panic!("{reading:?}") };
    let mut details = Vec::new();
    for item in &each.items {
        let ItemSaid::Status { detail, .. } = item else { panic!("{each:?}") };
        details.push(detail.as_deref());
    }
    details
}

#[test]
fn what_stands_beside_a_status_does_not_hide_it() {
    for beside in [
        "",
        r#","detail":{"code":42}"#,
        r#","detail":[1,[2]],"ref":17"#,
        r#","detail":null,"ref":null"#,
        r#","detail":1e999,"ref":{"a":true}"#,
        r#","detail":"\ud800 half a character""#,
        r#","detail":"x","detail":"y""#,
        r#","unknown":[{"deep":[[[[]]]]}]"#,
    ] {
        assert_eq!(json(&results("dead", beside)), ["refused"; 3], "{beside}");
    }
    let deep = format!(r#","detail":{}{}"#, "[".repeat(5000), "]".repeat(5000));
    assert_eq!(json(&results("dead", &deep)), ["refused"; 3]);
    for status in ["DEAD", "Dead", " dead ", "dead\\n"] {
        assert_eq!(json(&results(status, "")), ["refused"; 3], "{status}");
    }
    let pascal = r#"{"Results":[{"Id":"ERP_a","Status":"Dead"},{"ID":" erp_B","STATUS":"retry"}]}"#;
    assert_eq!(json(pascal), ["refused", "retry", "nothing"]);
}

#[test]
fn details_and_references_are_kept_as_text() {
    let said = |beside: &str| answer(JSON, results("accepted", beside).as_bytes());
    assert_eq!(details(&said(r#","detail":{"code": 42}"#)), [Some(r#"{"code": 42}"#); 3]);
    assert_eq!(details(&said(r#","detail":"l\u00e4ngst""#)), [Some("l\u{e4}ngst"); 3]);
    assert_eq!(details(&said(r#","detail":null"#)), [None; 3]);
    let BatchReading::Each(each) = said(r#","ref":4711"#) else { panic!() };
    let expected = ItemSaid::Status {
        outcome: Outcome::Accepted,
        detail: None,
        reference: Some("4711".to_owned()),
    };
    assert_eq!(each.items[0], expected);
}

#[test]
fn an_answer_that_says_nothing_of_items_settles_all() {
    for body in ["", "ok", "null", "true", "\"ok\"", "7", "NaN", "<p>done</p>", "{}", "[]"] {
        assert_eq!(json(body), ["all"], "{body}");
        assert_eq!(words(&answer(None, body.as_bytes())), ["all"], "{body}");
    }
    for body in [r#"{"ok":true}"#, r#"[{"id":"erp_A"}]"#, r#"{"data":{"results":3}}"#] {
        assert_eq!(json(body), ["all"], "{body}");
    }
    for page in ["<style>p {}</style> thanks", "3 rows [of 3]", "received {3}"] {
        for content_type in [None, Some("text/html"), Some("text/plain")] {
            assert_eq!(words(&answer(content_type, page.as_bytes())), ["all"], "{page}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let dead = results("dead", "");
    let beside = |more: &str| dead.replacen('{', &format!("{{{more},"), 1);
    let warned = format!("<br />\n<b>Warning</b>: x\n{dead}");
    let unreadable = [
        beside(r#""took":NaN"#),
        beside(r#""took":Infinity"#),
        beside(r#""results":[]"#),
        warned.clone(),
        format!("{dead}{dead}"),
        format!("{dead}\n<!-- 3 ms -->"),
        format!(")]}}',\n{dead}"),
        format!("callback({dead})"),
        dead.replace("]}", ",]}"),
        dead.replace('"', "'"),
        dead[..dead.len() - 1].to_owned(),
        "[ok".to_owned(),
        "{".to_owned(),
        r#"{"results":3}"#.to_owned(),
        r#"{"results":null}"#.to_owned(),
        r#"{"results":{"erp_A":"dead"}}"#.to_owned(),
    ];
    for body in &unreadable {
        assert_eq!(json(body), ["unreadable"], "{body}");
    }
    // The type is not needed where the body shows what it is.
    for body in [&warned, &beside(r#""took":NaN"#), &dead[..40].to_owned()] {
        for content_type in [None, Some("text/html"), Some("garbage")] {
            assert_eq!(words(&answer(content_type, body.as_bytes())), ["unreadable"], "{body}");
        }
    }
    for content_type in ["Application/JSON; charset=x", "application/problem+json", "text/json"] {
        let reading = answer(Some(content_type), b"received {3}");
        assert_eq!(words(&reading), ["unreadable"], "{content_type}");
    }
}

#[test]
fn each_item_is_judged_for_itself() {
    for list in [
        "[]",
        "[7, null, [], \"erp_A\"]",
        r#"[{"sku":7}]"#,
        r#"[{"id":7,"status":"delivered"},{"id":"erp_X","status":"delivered"}]"#,
        r#"[{"id":"erp_A"},{"id":"erp_B","status":7},{"id":"erp_C","status":"failed"}]"#,
        r#"[{"id":"erp_A","status":"delivered","status":"dead"}]"#,
        r#"[{"id":"erp_A","id":"erp_B","status":"delivered"}]"#,
    ] {
        let body = format!(r#"{{"results":{list}}}"#);
        assert_eq!(json(&body), ["nothing"; 3], "{body}");
    }
    let mixed = r#"{"results":[7,{"id":"erp_A","status":"dead"},{"id":"erp_X","status":"dead"},
        {"id":"erp_B","status":"dead"},{"id":"erp_B","status":"delivered"},{"id":"erp_B","status":"dead"},
        {"id":"erp_C","status":"?"},{"id":"erp_C","status":"retry"},{"id":"erp_C","status":"retry"}]}"#;
    let BatchReading::Each(each) = answer(JSON, mixed.as_bytes()) else { panic!() };
    assert_eq!(each.items.iter().map(word).collect::<Vec<_>>(), ["refused", "nothing", "retry"]);
    assert_eq!((each.foreign, each.unreadable), (1, 1));
}

#[test]
fn other_encodings_of_text_are_read() {
    let dead = results("dead", ",\"detail\":\"l\u{e4}ngst\"");
    let latin: Vec<u8> = dead.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16 = |to_bytes: fn(u16) -> [u8; 2]| dead.encode_utf16().flat_map(to_bytes).collect();
    let (little, big): (Vec<u8>, Vec<u8>) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
    let marked = |mark: &[u8], body: &[u8]| [mark, body].concat();
    for (name, content_type, body) in [
        ("UTF-8", JSON, dead.clone().into_bytes()),
        ("UTF-8 marked", JSON, marked(b"\xef\xbb\xbf", dead.as_bytes())),
        ("UTF-16 LE marked", JSON, marked(b"\xff\xfe", &little)),
        ("UTF-16 BE marked", None, marked(b"\xfe\xff", &big)),
        ("UTF-16 LE", JSON, little.clone()),
        ("UTF-16 BE", None, big),
        ("UTF-16 by its type", Some("application/json; charset=utf-16le"), little),
        ("Latin-1", Some("application/json; charset=\"ISO-8859-1\""), latin.clone()),
        ("under a wrong name", Some("application/json; charset=utf-16"), dead.clone().into_bytes()),
    ] {
        let reading = answer(content_type, &body);
        assert_eq!(words(&reading), ["refused"; 3], "{name}");
        assert_eq!(details(&reading), [Some("l\u{e4}ngst"); 3], "{name}");
    }
    let unnamed = answer(JSON, &latin);
    assert_eq!(words(&unnamed), ["refused"; 3], "bytes that are not UTF-8 hide no status");
    // In GBK the second byte of a character may be a backslash.
    let (gbk, _, _) = encoding_rs::GBK.encode("\u{81}\u{4e97}");
    let trail = [&gbk[..], b"\x81\x5c"].concat();
    let body = results("dead", ",\"detail\":\"@\"");
    let at = body.find('@').unwrap();
    let body = [&body.as_bytes()[..at], &trail, &body.as_bytes()[at + 1..]].concat();
    let reading = answer(Some("application/json; charset=gbk"), &body);
    assert_eq!(words(&reading)[0], "refused");
}

#[test]
fn a_body_that_is_not_whole_counts_if_its_document_is() {
    let cut = |body: &str| {
        let missing = Some("it broke off");
        let body = body.as_bytes();
        read(AnswerBody { content_type: JSON, encoding: None, body, missing }, &ids())
    };
    let delivered = results("delivered", "");
    assert_eq!(words(&cut(&delivered)), ["delivered"; 3]);
    assert_eq!(words(&cut(&format!(" {delivered}\n"))), ["delivered"; 3]);
    assert_eq!(words(&cut("{\"ok\":true}")), ["all"]);
    for (at, _) in delivered.char_indices() {
        let why = "the answer's body is not whole: it broke off".to_owned();
        assert_eq!(cut(&delivered[..at]), BatchReading::Unreadable(why), "{at}");
    }
    for body in ["", "ok", "true", "12", "\"whole\""] {
        assert_eq!(words(&cut(body)), ["unreadable"], "{body}");
    }
}

#[test]
fn an_encoded_body_is_unknown_unless_it_can_be_read_after_all() {
    let encoded = |body: &[u8]| {
        let encoding = Some("gzip");
        read(AnswerBody { content_type: JSON, encoding, body, missing: None }, &ids())
    };
    assert_eq!(words(&encoded(b"\x1f\x8b\x08\0\0\0\0\0")), ["unreadable"]);
    assert_eq!(words(&encoded(b"ok")), ["unreadable"]);
    assert_eq!(words(&encoded(results("dead", "").as_bytes())), ["refused"; 3]);
    assert_eq!(words(&encoded(b"")), ["all"], "there is nothing that could be encoded");
}

fn element(id: Option<&str>, outcome: Outcome) -> ElementClassified {
    let classified = Classified { outcome, said: RulesSaid::Nothing };
    ElementClassified { id: id.map(str::to_owned), classified }
}

#[test]
fn elements_that_rules_judged_find_their_messages() {
    use Outcome::{Delivered, Refused, Retry};
    let by_id = |elements: &[ElementClassified]| place(elements, &ids(), true);
    let all = [
        element(Some("erp_C"), Refused),
        element(Some(" ERP_a "), Delivered),
        element(Some("erp_X"), Delivered),
        element(None, Retry),
    ];
    let BatchReading::Each(each) = by_id(&all) else { panic!() };
    assert_eq!((each.foreign, each.unreadable), (1, 1));
    assert_eq!(words(&by_id(&all)), ["delivered", "nothing", "refused"]);
    let twice = [element(Some("erp_A"), Delivered), element(Some("erp_A"), Refused)];
    assert_eq!(words(&by_id(&twice)), ["nothing"; 3]);
    let in_order = |elements: &[ElementClassified]| words(&place(elements, &ids(), false));
    let three = [element(None, Refused), element(None, Retry), element(None, Delivered)];
    assert_eq!(in_order(&three), ["refused", "retry", "delivered"]);
    assert_eq!(in_order(&three[..2]), ["unreadable"]);
    assert_eq!(in_order(&[]), ["unreadable"]);
}

proptest! {
    /// Whatever happens to an answer that says dead: it never says delivered, and settles all only
    /// where it is JSON that has no results.
    #[test]
    fn a_damaged_answer_never_becomes_a_yes(
        from in 0usize..120,
        length in 0usize..30,
        junk in prop::collection::vec(any::<u8>(), 0..6),
        is_whole: bool,
        is_typed: bool,
    ) {
        let mut body = results("dead", ",\"detail\":{\"code\":42}").into_bytes();
        let from = from.min(body.len());
        body.splice(from..(from + length).min(body.len()), junk);
        let missing = (!is_whole).then_some("it broke off");
        let content_type = if is_typed { JSON } else { None };
        let reading =
            read(AnswerBody { content_type, encoding: None, body: &body, missing }, &ids());
        prop_assert!(!words(&reading).contains(&"delivered"), "{:?}", reading);
        if reading == BatchReading::All {
            let text = String::from_utf8_lossy(&body);
            let document: Option<Value> = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok();
            let has_no_results = document.is_some_and(|value| value.get("results").is_none());
            let is_no_json = !is_typed && is_whole && !text.contains("\"results\"")
                && !text.trim_start().starts_with(['{', '[']);
            prop_assert!(has_no_results || is_no_json || !body.iter().any(|byte| matches!(byte, b'{' | b'[')), "{}", text);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, content_type in "[a-z/;=+ -]{0,30}", is_whole: bool) {
        let missing = (!is_whole).then_some("it broke off");
        let answer = AnswerBody {
            content_type: Some(&content_type),
            encoding: None,
            body: &body,
            missing,
        };
        let reading = read(answer, &ids());
        prop_assert!(is_whole || reading != BatchReading::All || serde_json::from_slice::<Value>(&body).is_ok());
    }
}

#[test]
fn compressed_bytes_that_no_header_announces_are_unknown() {
    // gzip of `{"results":[]}`, and what other coders begin with: none of these bytes need be `{` or `[`.
    let gzip: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xab, 0x56, 0x2a, 0x4a, 0x2d, 0x2e, 0xcd, 0x29, 0x29,
        0x56, 0xb2, 0x8a, 0x8e, 0xad, 5, 0, 0xa2, 0xd1, 0x17, 0x3f, 0x0e, 0, 0, 0,
    ];
    let zstd: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x00, 0x71, 0x00, 0x00];
    for body in [gzip, zstd] {
        for content_type in [JSON, None, Some("application/octet-stream")] {
            let reading = answer(content_type, body);
            assert_eq!(words(&reading), ["unreadable"], "{content_type:?} {body:?}");
        }
    }
    assert_eq!(words(&answer(JSON, b"ok\r\n\tdone\n")), ["all"]);
}
