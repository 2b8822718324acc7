//! The table of outcomes, and rules before it.

use bytes::Bytes;

use super::*;
use crate::domain::answer_rules::{AnswerRule, BodyPattern, EachPolicy};
use crate::domain::protocol::Protocol;
use crate::domain::receipt::Pending;

fn status(status: u16, retry_after_ms: Option<u64>) -> Answer {
    Answer::Answered {
        protocol: Protocol::Http,
        status,
        retry_after_ms,
        content_type: None,
        encoding: None,
        body: Bytes::new(),
        pending: None,
        missing: None,
    }
}

fn read(answer: &Answer, on_uncertain: OnUncertain, retry: &RetryPolicy) -> Outcome {
    let context = AnswerContext { on_uncertain, retry, is_in_doubt: false, rules: None };
    classify(answer, context).outcome
}

fn plain(answer: &Answer, on_uncertain: OnUncertain) -> Outcome {
    read(answer, on_uncertain, &RetryPolicy::default())
}

#[test]
fn a_202_that_says_so_is_accepted_and_no_other_answer_is() {
    let pending = |status| Answer::Answered {
        protocol: Protocol::Http,
        status,
        retry_after_ms: None,
        content_type: None,
        encoding: None,
        body: Bytes::new(),
        pending: Some(Pending::default()),
        missing: None,
    };
    let of = |answer: &Answer| plain(answer, OnUncertain::Park);
    assert_eq!(of(&pending(202)), Outcome::Accepted);
    assert_eq!(of(&pending(200)), Outcome::Delivered);
    assert_eq!(of(&pending(500)), Outcome::Unknown);
    assert_eq!(of(&status(202, None)), Outcome::Delivered);
}

#[test]
fn the_table_of_the_contract() {
    let resend = |s| plain(&status(s, None), OnUncertain::Resend);
    for s in [200, 201, 202, 204, 299] {
        assert_eq!(resend(s), Outcome::Delivered, "{s}");
    }
    for s in [408, 425, 500, 502, 503, 504, 599] {
        assert_eq!(resend(s), Outcome::Retry, "{s}");
    }
    for s in [400, 409, 410, 413, 415, 422] {
        assert_eq!(resend(s), Outcome::Refused, "{s}");
    }
    for s in [300, 301, 302, 308, 402, 403, 404, 405, 406, 418, 451] {
        assert_eq!(resend(s), Outcome::Suspect, "{s}");
    }
    for s in [100, 101, 199, 600, 999] {
        assert_eq!(resend(s), Outcome::Unknown, "{s}");
    }
    assert_eq!(resend(401), Outcome::Denied);
    assert_eq!(resend(407), Outcome::Denied);
    assert_eq!(resend(429), Outcome::Throttled { retry_after_ms: None });
}

#[test]
fn a_503_is_a_throttle_only_with_retry_after() {
    for policy in [OnUncertain::Resend, OnUncertain::Park] {
        assert_eq!(
            plain(&status(503, Some(2000)), policy),
            Outcome::Throttled { retry_after_ms: Some(2000) }
        );
    }
}

#[test]
fn under_park_408_and_5xx_are_unknown_unless_declared_safe() {
    for s in [408, 500, 502, 503, 504] {
        for policy in [OnUncertain::Park, OnUncertain::Probe] {
            let safe = RetryPolicy { safe_statuses: vec![s], ..RetryPolicy::default() };
            assert_eq!(plain(&status(s, None), policy), Outcome::Unknown);
            assert_eq!(read(&status(s, None), policy, &safe), Outcome::Retry);
        }
    }
    assert_eq!(plain(&status(425, None), OnUncertain::Park), Outcome::Retry);
    let not_sent =
        |is_local| plain(&Answer::NotSent { error: "why".into(), is_local }, OnUncertain::Park);
    assert_eq!(not_sent(false), Outcome::Retry);
    assert_eq!(not_sent(true), Outcome::Hindered);
}

#[test]
fn a_queue_says_of_single_statuses_what_they_mean() {
    let retry = RetryPolicy {
        retry_statuses: vec![404, 409, 503],
        dead_statuses: vec![425, 500],
        ..RetryPolicy::default()
    };
    for policy in [OnUncertain::Resend, OnUncertain::Park, OnUncertain::Probe] {
        for s in [404, 409] {
            assert_eq!(read(&status(s, None), policy, &retry), Outcome::Retry, "{s}");
        }
        for s in [425, 500] {
            assert_eq!(read(&status(s, Some(1000)), policy, &retry), Outcome::Refused, "{s}");
        }
    }
    let asks_to_wait = status(503, Some(1000));
    assert_eq!(read(&asks_to_wait, OnUncertain::Resend, &retry), Outcome::Retry);
}

#[test]
fn after_an_unknown_outcome_a_conflict_is_unknown_too() {
    let doubtful = |s: u16, on_uncertain, retry: &RetryPolicy| {
        let context = AnswerContext { on_uncertain, retry, is_in_doubt: true, rules: None };
        classify(&status(s, None), context).outcome
    };
    let named = RetryPolicy { dead_statuses: vec![409, 423, 425], ..RetryPolicy::default() };
    let again = RetryPolicy { retry_statuses: vec![409, 423, 425], ..RetryPolicy::default() };
    for policy in [OnUncertain::Resend, OnUncertain::Park, OnUncertain::Probe] {
        for s in [409, 423, 425] {
            assert_eq!(doubtful(s, policy, &RetryPolicy::default()), Outcome::Unknown, "{s}");
            assert_eq!(doubtful(s, policy, &again), Outcome::Unknown, "{s}");
            assert_eq!(doubtful(s, policy, &named), Outcome::Refused, "{s}");
        }
        assert_eq!(doubtful(422, policy, &RetryPolicy::default()), Outcome::Refused);
        assert_eq!(doubtful(201, policy, &RetryPolicy::default()), Outcome::Delivered);
        assert_eq!(plain(&status(409, None), policy), Outcome::Refused);
        assert_eq!(plain(&status(423, None), policy), Outcome::Suspect);
    }
}

fn said(text: &str) -> Answer {
    with(200, text)
}

fn with(code: u16, text: &str) -> Answer {
    let mut answer = status(code, Some(2000));
    if let Answer::Answered { body, .. } = &mut answer {
        *body = Bytes::copy_from_slice(text.as_bytes());
    }
    answer
}

fn rule(pattern: &str, meaning: RuleMeaning) -> AnswerRule {
    AnswerRule {
        statuses: Vec::new(),
        body: Some(BodyPattern::new(pattern).unwrap()),
        json: None,
        meaning,
        reference: None,
        detail: None,
    }
}

fn all_meanings(each: Option<EachPolicy>) -> AnswerRules {
    let rules = RuleMeaning::ALL.iter().map(|it| rule(&format!("^{}", it.as_str()), *it));
    AnswerRules { rules: rules.collect(), each }
}

#[test]
fn a_rule_stands_before_the_table() {
    let (rules, retry) = (all_meanings(None), RetryPolicy::default());
    let context = AnswerContext {
        on_uncertain: OnUncertain::Park,
        retry: &retry,
        is_in_doubt: false,
        rules: Some(&rules),
    };
    for (word, outcome) in [
        ("delivered", Outcome::Delivered),
        ("accepted", Outcome::Accepted),
        ("retry", Outcome::Retry),
        ("throttle", Outcome::Throttled { retry_after_ms: Some(2000) }),
        ("unknown", Outcome::Unknown),
        ("dead: x", Outcome::Refused),
    ] {
        for code in [200, 401, 500] {
            assert_eq!(classify(&with(code, word), context).outcome, outcome, "{code} {word}");
        }
    }
    assert_eq!(classify(&said("anything"), context).outcome, Outcome::Delivered);
    assert_eq!(classify(&with(401, ""), context).outcome, Outcome::Denied);
    let dead = classify(&said("dead: x"), context);
    assert_eq!(dead.reason(200, "dead: x").as_deref(), Some("status 200, answers[5]: dead: x"));
    let binary = classify(&said("\u{1}"), context);
    assert_eq!(binary.outcome, Outcome::Unknown);
    let reason = binary.reason(200, "").unwrap();
    assert!(reason.contains("nobody can tell whether answers[0] holds"), "{reason}");
}

#[test]
fn a_list_is_judged_element_by_element_and_else_as_a_whole() {
    let each = EachPolicy { at: "/rows".parse().unwrap(), id: None };
    let (rules, retry) = (all_meanings(Some(each)), RetryPolicy::default());
    let context = AnswerContext {
        on_uncertain: OnUncertain::Resend,
        retry: &retry,
        is_in_doubt: false,
        rules: Some(&rules),
    };
    let judged = |answer: &Answer| match classify_batch(answer, context) {
        BatchClassified::Whole(classified) => vec!["whole", classified.outcome.as_str()],
        BatchClassified::Elements(all) => {
            all.iter().map(|element| element.classified.outcome.as_str()).collect()
        }
    };
    let rows = r#"{"rows":["dead","retry","ok"]}"#;
    assert_eq!(judged(&said(rows)), ["refused", "retry", "delivered"]);
    assert_eq!(judged(&with(422, rows)), ["refused", "retry", "unknown"], "others are in doubt");
    assert_eq!(judged(&with(422, r#"{"rows":["no","no"]}"#)), ["whole", "refused"]);
    assert_eq!(judged(&with(422, "no")), ["whole", "refused"]);
    assert_eq!(judged(&said("retry")), ["whole", "retry"], "it has no list");
    assert_eq!(judged(&said("delivered")), ["whole", "unknown"], "whom does it mean?");
    assert_eq!(judged(&said("")), ["whole", "unknown"]);
    assert_eq!(judged(&said(r#"{"rows":["dead""#)), ["whole", "unknown"]);
    let one = classify_single(&said(r#"{"rows":["dead"]}"#), context);
    assert_eq!(one.outcome, Outcome::Refused);
    assert_eq!(classify_single(&said(rows), context).outcome, Outcome::Unknown);
}
