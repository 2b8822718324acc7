//! What an answer came to, and what of that the try keeps.
//!
//! Owns where an answer is read, and the word on a machine that cannot make calls. Refuses to know which answer means
//! what (see `domain::classify`) and what follows from it (see `decide`).

use std::sync::Arc;

use rand::Rng as _;
use tokio::time::Instant;

use super::exchange::{Began, Exchanges, Tried, error_of, said_in};
use crate::domain::answer_rules::RulesSaid;
use crate::domain::classify::{BatchClassified, Classified, classify, classify_batch};
use crate::domain::outcome::{Answer, Outcome};
use crate::domain::policy::QueuePolicy;
use crate::domain::receipt::Pending;

/// A longer answer is read aside: meanwhile this thread has other exchanges to serve.
pub(super) const READ_HERE_BYTES_MAX: usize = 64 << 10;

impl Exchanges {
    /// The try that this answer ended; `is_in_doubt`: the outcome of an earlier attempt is unknown. Rules may have to read
    /// a long body, which is done aside.
    pub(super) async fn judge_aside(
        &self,
        is_in_doubt: bool,
        began: Began,
        answer: Answer,
    ) -> Tried {
        let body_bytes = answer.body().map_or(0, |(_, body)| body.body.len());
        let classified =
            if self.queue.policy.answer_rules().is_none() || body_bytes <= READ_HERE_BYTES_MAX {
                classified(&self.queue.policy, is_in_doubt, &answer)
            } else {
                let (queue, answer) = (Arc::clone(&self.queue), answer.clone());
                let read = move || classified(&queue.policy, is_in_doubt, &answer);
                tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
                    let why = format!("the answer could not be read: {error}");
                    BatchClassified::Whole(Classified::cannot_tell(why))
                })
            };
        self.tried(began, answer, classified)
    }

    /// The outcome of an answer that no rules are for; `is_in_doubt`: that of an earlier attempt is unknown.
    pub(super) fn judge(&self, is_in_doubt: bool, began: Began, answer: Answer) -> Tried {
        let classified = classify(&answer, self.queue.policy.answer_context(is_in_doubt));
        self.tried(began, answer, BatchClassified::Whole(classified))
    }

    fn tried(&self, began: Began, mut answer: Answer, classified: BatchClassified) -> Tried {
        let (classified, elements) = match classified {
            BatchClassified::Whole(classified) => (classified, None),
            BatchClassified::Elements(elements) => {
                (Classified::of_elements(&elements), Some(Arc::new(elements)))
            }
        };
        let error = error_by_rules(&mut answer, &classified);
        let Classified { outcome, said } = classified;
        let took = began.at.elapsed();
        let (started_at_ms, ended_at_ms) = (began.at_ms, began.after(took));
        self.queue.metrics.attempt(outcome.as_str(), took);
        self.queue.calls.note(took);
        self.note_shortage(&answer, outcome);
        let random = rand::rng().random();
        Tried {
            started_at_ms,
            ended_at_ms,
            answer,
            outcome,
            said,
            elements,
            error,
            call_span: None,
            random,
        }
    }

    /// A shortage of this machine is reported when it begins and when the first call gets through.
    fn note_shortage(&self, answer: &Answer, outcome: Outcome) {
        let queue = &self.queue.policy.name;
        if outcome == Outcome::Hindered {
            if self.shortage.met(Instant::now()) {
                tracing::error!(%queue, error = error_of(answer), "this machine cannot make calls; messages wait here and no attempt is counted");
            }
        } else if let Some(lasted) = self.shortage.passed(Instant::now()) {
            tracing::info!(%queue, ?lasted, "this machine can make calls again");
        }
    }
}

fn classified(policy: &QueuePolicy, is_in_doubt: bool, answer: &Answer) -> BatchClassified {
    let context = policy.answer_context(is_in_doubt);
    if policy.batch.is_some() {
        classify_batch(answer, context)
    } else {
        BatchClassified::Whole(classify(answer, context))
    }
}

/// Lays down in an answer under which reference a receipt will come, where a rule found that; returns what went wrong,
/// where a rule says so.
pub(super) fn error_by_rules(answer: &mut Answer, classified: &Classified) -> Option<String> {
    let Answer::Answered { status, body, pending, .. } = answer else { return None };
    if let RulesSaid::Rule(found) = &classified.said {
        let is_accepted = classified.outcome == Outcome::Accepted;
        *pending = is_accepted.then(|| Pending::of(found.reference.as_deref()));
    }
    match &classified.said {
        RulesSaid::Nothing => None,
        _ => classified.reason(*status, &said_in(body)),
    }
}
