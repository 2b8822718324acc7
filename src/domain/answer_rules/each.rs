//! The list in the answer to a batch, whose elements the rules judge one by one.

use serde_json::value::RawValue;

use super::pointer::{JsonPointer, elements};
use super::subject::Subject;
use super::{AnswerRules, RulesSaid};
use crate::domain::answer_body::AnswerBody;
use crate::domain::json_fields::text_of;

/// Where the list stands, and how its elements name their messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EachPolicy {
    /// Where the list stands in the answer.
    pub at: JsonPointer,
    /// Where the id stands in an element; `None`: the elements stand in the order in which the messages were sent.
    pub id: Option<JsonPointer>,
}

/// What an answer says by its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSaid {
    /// It has no list there.
    Absent,
    /// Whether it has one cannot be told. Why, for people.
    CannotTell(String),
    /// What the rules say of each of its elements.
    Elements(Vec<ElementSaid>),
}

/// What the rules say of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementSaid {
    /// The id that stands in it; `None`: none does, or none that can be read.
    pub id: Option<String>,
    /// What holds for it.
    pub said: RulesSaid,
}

impl AnswerRules {
    /// What the rules say of each element of the list that the answer to a batch has; the status is that of the answer.
    #[must_use]
    pub fn judge_each(&self, each: &EachPolicy, status: u16, body: AnswerBody<'_>) -> ListSaid {
        let texts = body.texts();
        let subject = Subject::of_body(&body, &texts);
        let list = match subject.at(&each.at) {
            Ok(Some(list)) if list.get().starts_with('[') => elements(list),
            Ok(_) => return ListSaid::Absent,
            Err(why) => Err(why),
        };
        match list {
            Ok(list) => ListSaid::Elements(
                list.into_iter().map(|element| self.judge_element(each, status, element)).collect(),
            ),
            Err(why) => ListSaid::CannotTell(why),
        }
    }

    fn judge_element(&self, each: &EachPolicy, status: u16, element: &RawValue) -> ElementSaid {
        let named = each.id.as_ref().and_then(|id| id.find(element).ok().flatten());
        let subject = Subject::of_element(element);
        let mut said = self.judge_subject(status, &subject);
        if let RulesSaid::Rule(found) = &mut said {
            // The rest of the answer is about other messages.
            found.detail = found.detail.take().or_else(|| subject.shown());
        }
        ElementSaid { id: named.and_then(text_of), said }
    }
}
