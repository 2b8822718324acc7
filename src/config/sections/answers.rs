//! `[[queues.<name>.downstream.answers]]` and `[queues.<name>.downstream.each]`: what an answer means beside its status.
//!
//! Texts stand as they are written: references to secrets are not filled in, since patterns are shown.

use std::fmt::Display;
use std::sync::Arc;

use config::ValueKind;

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{Form, Kind, Shown, custom, list, settings, whole, word};
use crate::domain::answer_rules::{
    AnswerRule, AnswerRules, BodyPattern, EachPolicy, JsonCondition, JsonPointer, JsonScalar,
    RULES_MAX, RuleMeaning,
};
use crate::domain::policy::{BatchPolicy, Downstream};

const RULE: &str = "[queues.NAME.downstream.answers]";
const EACH_OF_ONE: &str = "has each, which is for the answers to batches, and this queue sends single messages; set batch = {} too, or remove downstream.each and let the rules point into the answer as a whole";
const EACH: &str = "queues.NAME.downstream.each";

settings! {
    struct Conditions in "[queues.NAME.downstream.answers]" of AnswerRule {
        /// The answer has one of these statuses.
        status: Option<Vec<u16>> = list(whole(200..=599u16)).unset_means("any").example("[200]"),
            |it| (!it.statuses.is_empty()).then(|| it.statuses.clone());
        /// The body has this in it, as text without white space at its ends. The groups `(?P<ref>...)` and `(?P<detail>...)` are
        /// [the reference and the reason](answers.md#the-reference-and-the-reason).
        body: Option<BodyPattern> = pattern().unset_means("any").example("'^ERR: 114'"), |it| it.body.clone();
        /// The place of a value in the JSON of the body, as a JSON pointer. Without `equals` any value but `null` is right.
        json: Option<JsonPointer> = pointer().unset_means("any").example("\"/status\""),
            |it| it.json.as_ref().map(|json| json.at.clone());
        /// The value at that place: a text, a number, `true` or `false`. A number and its text are the same.
        equals: Option<JsonScalar> = scalar().unset_means("anything but `null`").example("\"busy\""),
            |it| it.json.as_ref().and_then(|json| json.equals.clone());
        /// What the answer means then: see [answers](answers.md#what-an-answer-can-mean).
        meaning as "as": RuleMeaning =
            word(&RuleMeaning::ALL.map(|meaning| (meaning.as_str(), meaning)), &[]).required("\"dead\""),
            |it| it.meaning;
        /// With `as = "accepted"`: where the downstream's own name for the message stands in the JSON.
        reference as "ref": Option<JsonPointer> = pointer().unset_means("none").example("\"/id\""), |it| it.reference.clone();
        /// Where the reason stands in the JSON, for people.
        detail: Option<JsonPointer> = pointer().unset_means("none").example("\"/error/message\""), |it| it.detail.clone();
    }
}

settings! {
    struct ListOf in "queues.NAME.downstream.each" of EachPolicy {
        /// Where the list stands in the answer: a JSON pointer, `""` if the answer itself is the list.
        at: JsonPointer = pointer().required("\"/rows\""), |it| it.at.clone();
        /// Where the message's id stands in an element. Without it the elements stand in the order in which the messages were sent.
        id: Option<JsonPointer> = pointer().unset_means("in the order sent").example("\"/order\""), |it| it.id.clone();
    }
}

/// The rules of a downstream, if it has any.
pub(super) fn together(
    section: &Section<'_>,
    rules: Read<Vec<AnswerRule>>,
    each: Read<Option<EachPolicy>>,
) -> Read<Option<Arc<AnswerRules>>> {
    let (rules, each) = (rules?, each?);
    if rules.len() > RULES_MAX {
        let found = rules.len();
        let what = format!("found {found} rules, expected at most {RULES_MAX}");
        return Err(section.wrong("answers", what));
    }
    if rules.is_empty() && each.is_some() {
        return Err(section.wrong(
            "each",
            "has no effect without answers, the rules that judge each element; set for example answers = [{ json = \"/state\", equals = \"failed\", as = \"dead\" }], or remove each",
        ));
    }
    Ok((!rules.is_empty()).then(|| Arc::new(AnswerRules { rules, each })))
}

/// A queue that sends single messages gets no list of them back.
pub(super) fn of_singles(
    section: &Section<'_>,
    downstream: &Read<Downstream>,
    batch: &Read<Option<BatchPolicy>>,
) -> Read<()> {
    let (Ok(Some(http)), Ok(None)) = (downstream.as_ref().map(Downstream::http), batch) else {
        return Ok(());
    };
    match &http.answers {
        Some(answers) if answers.each.is_some() => Err(section.wrong("downstream", EACH_OF_ONE)),
        _ => Ok(()),
    }
}

/// One rule.
pub(super) fn rule() -> impl Kind<Value = AnswerRule> {
    let shown = |it: &AnswerRule| Shown::Table(Conditions::shown(it));
    custom("a table with conditions and `as`", read_rule, shown).shown_as(Form::Section(RULE))
}

/// Where the list stands.
pub(super) fn each() -> impl Kind<Value = EachPolicy> {
    let read = |field: &Field<'_>| {
        field.section(&[], |section| {
            let it = ListOf::of(section);
            Ok(EachPolicy { at: it.at?, id: it.id? })
        })
    };
    let shown = |it: &EachPolicy| Shown::Table(ListOf::shown(it));
    custom("a table with `at` and `id`", read, shown).shown_as(Form::Section(EACH))
}

fn read_rule(field: &Field<'_>) -> Read<AnswerRule> {
    field.section(&[], |section| {
        let it = Conditions::of(section);
        let (statuses, body, meaning) = (it.status?, it.body?, it.meaning?);
        let (reference, detail) = (it.reference?, it.detail?);
        let json = match (it.json?, it.equals?) {
            (Some(at), equals) => Some(JsonCondition { at, equals }),
            (None, None) => None,
            (None, Some(_)) => {
                let why = "does not say of which value; set json too, for example json = \"/status\"";
                return Err(section.wrong("equals", why));
            }
        };
        if statuses.as_ref().is_some_and(Vec::is_empty) {
            let why = "found an empty list, which no answer has; expected for example [200], or leave it out for any status";
            return Err(section.wrong("status", why));
        }
        if statuses.is_none() && body.is_none() && json.is_none() {
            let why = "has no condition, and would hold for every answer; set status, body or json, for example status = [200]";
            return Err(field.wrong(why));
        }
        let has = |group: fn(&BodyPattern) -> bool| body.as_ref().is_some_and(group);
        let (ref_group, detail_group) =
            (has(BodyPattern::has_reference), has(BodyPattern::has_detail));
        for (key, is_group, is_pointer) in
            [("ref", ref_group, reference.is_some()), ("detail", detail_group, detail.is_some())]
        {
            if is_group && is_pointer {
                let why = format!("is named twice, here and by the group (?P<{key}>...) of body; keep one of the two");
                return Err(section.wrong(key, why));
            }
        }
        if meaning != RuleMeaning::Accepted && (ref_group || reference.is_some()) {
            let key = if ref_group { "body" } else { "ref" };
            let found = meaning.as_str();
            let why = format!("finds a reference, which only a receipt needs: with as = \"{found}\" none will come; set as = \"accepted\", or remove the reference");
            return Err(section.wrong(key, why));
        }
        let statuses = statuses.unwrap_or_default();
        Ok(AnswerRule { statuses, body, json, meaning, reference, detail })
    })
}

fn pattern() -> impl Kind<Value = BodyPattern> {
    let read = |field: &Field<'_>| written(field, BodyPattern::new);
    custom("a regular expression", read, |it: &BodyPattern| it.as_str().into())
}

fn pointer() -> impl Kind<Value = JsonPointer> {
    let read = |field: &Field<'_>| written(field, str::parse);
    custom("a JSON pointer", read, |it: &JsonPointer| it.to_string().into())
}

/// A text as it is written.
fn written<T, E: Display>(field: &Field<'_>, parse: impl Fn(&str) -> Result<T, E>) -> Read<T> {
    let text = field.raw_text().ok_or_else(|| field.expected("a text in quotes"))?;
    parse(text).map_err(|error| field.wrong(error.to_string()))
}

fn scalar() -> impl Kind<Value = JsonScalar> {
    let read = |field: &Field<'_>| match field.kind() {
        ValueKind::String(text) => Ok(JsonScalar::Text(text.clone())),
        ValueKind::Boolean(truth) => Ok(JsonScalar::Switch(*truth)),
        ValueKind::I64(number) => Ok(JsonScalar::Whole(*number)),
        ValueKind::Float(number) if number.is_finite() => Ok(JsonScalar::Number(*number)),
        _ => Err(field
            .expected("a text, a number, true or false; for several values make a rule of each")),
    };
    let shown = |it: &JsonScalar| {
        Shown::Json(match it {
            JsonScalar::Text(text) => text.as_str().into(),
            JsonScalar::Whole(number) => (*number).into(),
            JsonScalar::Number(number) => (*number).into(),
            JsonScalar::Switch(truth) => (*truth).into(),
        })
    };
    custom("a text, a number, `true` or `false`", read, shown).shown_as(Form::Any)
}

#[cfg(test)]
mod tests {
    use crate::config::render;
    use crate::config::testing::{queue_errors, queue_of, settings_of};
    use crate::domain::answer_rules::{AnswerRules, JsonScalar, RuleMeaning};

    const HTTP: &str = "[queues.q.downstream]\nurl = \"http://h\"\n";

    fn rules(text: &str) -> AnswerRules {
        let queue = queue_of(&format!("[queues.q]\nbatch = {{}}\n{HTTP}{text}"));
        queue.answer_rules().unwrap_or_else(|| panic!("{text}")).clone()
    }

    const ALL: &str = r#"answers = [
  { status = [200], body = '^ERR: (114|301)', as = "dead" },
  { json = "/status", equals = "busy", as = "throttle" },
  { json = "/code", equals = 7, as = "retry", detail = "/text" },
  { json = "/ok", equals = false, as = "unknown" },
  { json = "/ratio", equals = 0.5, as = "delivered" },
  { json = "", as = "accepted", ref = "/id" },
  { body = '^ID: (?P<ref>\S+)', as = "accepted" },
]
each = { at = "/rows", id = "/order" }"#;

    #[test]
    fn every_key_is_read() {
        let all = rules(ALL);
        let meanings: Vec<_> = all.rules.iter().map(|rule| rule.meaning).collect();
        assert_eq!(meanings[..2], [RuleMeaning::Dead, RuleMeaning::Throttle]);
        assert_eq!(all.rules[0].statuses, [200]);
        let equals = |at: usize| all.rules[at].json.as_ref().unwrap().equals.clone();
        assert_eq!(equals(2), Some(JsonScalar::Whole(7)));
        assert_eq!(equals(3), Some(JsonScalar::Switch(false)));
        assert_eq!(equals(4), Some(JsonScalar::Number(0.5)));
        assert_eq!(equals(5), None);
        assert_eq!(all.each.unwrap().id.unwrap().to_string(), "/order");
        assert!(queue_of(HTTP).answer_rules().is_none());
        assert!(queue_of(&format!("{HTTP}answers = []")).answer_rules().is_none());
    }

    #[test]
    fn what_is_in_force_is_shown_as_it_could_be_written() {
        let settings = settings_of(&format!("[queues.q]\nbatch = {{}}\n{HTTP}{ALL}"));
        let shown = render(&settings);
        assert_eq!(settings_of(&shown), settings, "{shown}");
    }

    #[test]
    fn bad_values_are_refused_with_the_rule_the_field_and_the_remedy() {
        for (text, part) in [
            ("{ as = \"dead\" }", "answers[0]: has no condition"),
            ("{ status = [200] }", "answers[0].as: is missing; expected for example as = \"dead\""),
            (
                "{ status = [200], as = \"died\" }",
                "answers[0].as: found \"died\", expected \"delivered\" or",
            ),
            ("{ status = [], as = \"dead\" }", "answers[0].status: found an empty list"),
            (
                "{ status = [99], as = \"dead\" }",
                "answers[0].status[0]: found 99, expected a whole",
            ),
            (
                "{ body = '(', as = \"dead\" }",
                "answers[0].body: is not a valid regular expression: unclosed",
            ),
            ("{ body = 7, as = \"dead\" }", "answers[0].body: found 7, expected a text in quotes"),
            (
                "{ json = \"status\", as = \"dead\" }",
                "answers[0].json: \"status\" is not a JSON pointer",
            ),
            (
                "{ equals = 1, status = [200], as = \"dead\" }",
                "answers[0].equals: does not say of which value; set json",
            ),
            (
                "{ json = \"/a\", equals = [1], as = \"dead\" }",
                "answers[0].equals: found a list, expected a text",
            ),
            (
                "{ body = '(?P<ref>x)', as = \"dead\" }",
                "answers[0].body: finds a reference, which only a receipt",
            ),
            (
                "{ status = [200], ref = \"/a\", as = \"retry\" }",
                "answers[0].ref: finds a reference",
            ),
            (
                "{ body = '(?P<ref>x)', ref = \"/a\", as = \"accepted\" }",
                "answers[0].ref: is named twice",
            ),
            ("{ status = [200], az = \"dead\" }", "answers[0].az: unknown key; did you mean as?"),
        ] {
            let error = queue_errors(&format!("{HTTP}answers = [{text}]"));
            assert!(error.contains(&format!("queues.q.downstream.{part}")), "{text}: {error}");
        }
        let second = "answers = [{ status = [200], as = \"dead\" }, { body = ')', as = \"dead\" }]";
        assert!(queue_errors(&format!("{HTTP}{second}")).contains("answers[1].body: "));
        let each = "each = { at = \"/rows\" }";
        assert!(
            queue_errors(&format!("{HTTP}{each}")).contains("each: has no effect without answers")
        );
        let single = format!("{HTTP}answers = [{{ status = [200], as = \"dead\" }}]\n{each}");
        assert!(queue_errors(&single).contains("downstream: has each, which is for"));
        let many = "{ status = [200], as = \"dead\" },".repeat(51);
        let error = queue_errors(&format!("{HTTP}answers = [{many}]"));
        assert!(error.contains("answers: found 51 rules, expected at most 50"), "{error}");
    }
}
