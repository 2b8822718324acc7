//! An operation: one step of an operator on many messages, with a filter, a pace and a reason.
//!
//! Owns which action fits which state, what counts as "was there when it began", and the pace. Pure; where an operation is kept and who carries it out is not known here.

use super::filter::Filter;
use super::id::QueueName;
use super::limit::Rate;
use super::message::Message;
use super::state::State;

/// How far ahead and behind a pace may look: what lies within is done together, or made up for.
const PACE_SLACK_US: u64 = 20_000;
/// Most messages that go together, however fast the pace.
pub const TOGETHER_MAX: usize = 100;

/// What is done to each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Final or uncertain messages wait again, attempts start over.
    Requeue,
    /// Waiting or uncertain messages are withdrawn.
    Cancel,
    /// Waiting messages get another due time.
    Reschedule,
    /// Messages go over into another queue.
    Move,
    /// What waits for another attempt is due now; its attempts are counted on.
    Retry,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 5] =
        [Self::Requeue, Self::Cancel, Self::Reschedule, Self::Move, Self::Retry];

    /// The word for it in HTTP, CLI and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Cancel => "cancel",
            Self::Reschedule => "reschedule",
            Self::Move => "move",
            Self::Retry => "retry",
        }
    }

    /// The states whose messages it takes. An uncertain message is not moved: under another id its
    /// downstream could not tell that it has it already.
    #[must_use]
    pub const fn takes(self) -> &'static [State] {
        match self {
            Self::Requeue => &[State::Dead, State::Uncertain, State::Expired, State::Cancelled],
            Self::Cancel => &[State::Scheduled, State::Ready, State::Uncertain],
            Self::Reschedule => &[State::Scheduled, State::Ready],
            Self::Move => {
                &[State::Scheduled, State::Ready, State::Dead, State::Expired, State::Cancelled]
            }
            Self::Retry => &[State::Scheduled],
        }
    }

    /// The action of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// An operation as it was asked for; it never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: String,
    /// What is done.
    pub action: Action,
    /// To the messages of this queue.
    pub queue: QueueName,
    /// In this state.
    pub state: State,
    /// Those that are meant.
    pub filter: Filter,
    /// At most so many in a time; `None`: as fast as it goes.
    pub rate: Option<Rate>,
    /// Only count, and show some.
    pub is_dry: bool,
    /// Why.
    pub reason: String,
    /// The new due time of a reschedule, ms.
    pub due_ms: Option<u64>,
    /// Where a move leads.
    pub to: Option<QueueName>,
    /// Who asked for it.
    pub by: String,
    /// When it began, ms by Redis: what came later is not taken.
    pub started_ms: u64,
}

impl Operation {
    /// Whether a message stood in the state when the operation began, as far as it tells; `since_ms`:
    /// since when it is uncertain.
    ///
    /// What the operation itself has moved does not stand there: it is due where it was put, or is
    /// final only since.
    #[must_use]
    pub fn found(&self, message: &Message, since_ms: Option<u64>) -> bool {
        let cut_off = self.started_ms;
        let tried_ms = message.last_attempt.as_ref().map_or(0, |attempt| attempt.ended_at_ms);
        let is_old = match self.state {
            State::Ready => message.due_at_ms <= cut_off,
            State::Scheduled => tried_ms <= cut_off,
            State::Uncertain => since_ms.is_none_or(|at| at <= cut_off),
            _ => message.final_at_ms.is_none_or(|at| at <= cut_off),
        };
        // What its producer has scheduled waits for its due time, not for another attempt.
        let is_meant = self.action != Action::Retry || message.attempts + message.throttles > 0;
        message.state == self.state
            && is_meant
            && message.created_at_ms <= cut_off
            && is_old
            && self.due_ms.is_none_or(|due_ms| message.due_at_ms != due_ms)
    }
}

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    /// Under way, on some node.
    #[default]
    Running,
    /// It went through everything.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// It could not go on.
    Failed,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Stopped, Self::Failed];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// The stage of a word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == word)
    }
}

/// How fast an operation may go: slots at an even distance, no bursts. What is late by more than a
/// blink is not made up for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperationPace {
    period_us: f64,
    /// The next slot, microseconds by Redis.
    pub next_us: u64,
}

impl OperationPace {
    /// The pace of a rate; `next_us`: where it had come to, 0 at first.
    #[must_use]
    pub fn new(rate: Rate, next_us: u64) -> Self {
        Self { period_us: rate.period_us(), next_us }
    }

    /// How many of `wanted` may go now, whose slots are thereby used; 0: wait until [`Self::next_us`].
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times to come")]
    #[expect(clippy::cast_precision_loss, reason = "microseconds stay far below 2^52")]
    pub fn take(&mut self, wanted: usize, now_us: u64) -> usize {
        // A slot further away than a period is of a clock that was set back since.
        let next_us = self.next_us.min(now_us + self.period_us.ceil() as u64);
        let first_us = next_us.max(now_us.saturating_sub(PACE_SLACK_US));
        if first_us > now_us {
            self.next_us = next_us;
            return 0;
        }
        let room_us = (now_us - first_us + PACE_SLACK_US) as f64;
        let count = (1 + (room_us / self.period_us) as usize).min(wanted).min(TOGETHER_MAX);
        self.next_us = first_us + (self.period_us * count as f64) as u64;
        count
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Span;
    use super::*;
    use crate::domain::callback::CallbackOn;
    use crate::domain::id::MessageId;
    use crate::domain::message::{Attempt, Details};
    use ulid::Ulid;

    const START_MS: u64 = 1_000_000;

    fn message(state: State) -> Message {
        let ulid = Ulid::from_parts(START_MS - 500, 1);
        Message {
            id: MessageId { queue: "q".parse().unwrap(), ulid },
            state,
            payload: None,
            details: Details {
                group: Some("g".to_owned()),
                labels: [("shop", "eu"), ("kind", "")].map(|(n, v)| (n.into(), v.into())).into(),
                ..Details::default()
            },
            created_at_ms: START_MS - 500,
            due_at_ms: START_MS - 500,
            expires_at_ms: None,
            priority: 0,
            superseded: 0,
            waits_for_older: false,
            older: None,
            attempts: 1,
            throttles: 0,
            window_holds: 0,
            rescues: 0,
            last_attempt: Some(Attempt {
                attempt: 1,
                started_at_ms: START_MS - 400,
                ended_at_ms: START_MS - 300,
                outcome: "dead".to_owned(),
                status_code: Some(500),
                error: Some("the printer is on fire".to_owned()),
                response: None,
                wait: crate::domain::waited::AttemptWait::default(),
            }),
            final_at_ms: state.is_final().then_some(START_MS - 300),
            reason: Some("attempts spent".to_owned()),
            probes: None,
            decided_by: None,
            is_edited: false,
            waited: None,
            accepted_at_ms: None,
            reference: None,
            callback: CallbackOn::NONE,
        }
    }

    fn operation(action: Action, state: State) -> Operation {
        Operation {
            id: "op_1".to_owned(),
            action,
            queue: "q".parse().unwrap(),
            state,
            filter: Filter::default(),
            rate: None,
            is_dry: false,
            reason: String::new(),
            due_ms: None,
            to: None,
            by: "ops".to_owned(),
            started_ms: START_MS,
        }
    }

    #[test]
    fn all_that_a_filter_names_must_fit() {
        let dead = message(State::Dead);
        let label = |name: &str, value: &str| Filter {
            labels: vec![(name.to_owned(), value.to_owned())],
            ..Filter::default()
        };
        let words =
            |text: &str| Filter { error_contains: Some(text.to_owned()), ..Filter::default() };
        let span = |after_ms, before_ms| Span { after_ms, before_ms };
        let made = |span| Filter { created: span, ..Filter::default() };
        let at = START_MS - 500;
        for fits in [
            Filter::default(),
            label("shop", "eu"),
            label("kind", ""),
            Filter { group: Some("g".to_owned()), ..Filter::default() },
            words("printer"),
            words("spent"),
            made(span(Some(at), Some(at + 1))),
            Filter { ended: span(Some(START_MS - 300), None), ..Filter::default() },
        ] {
            assert!(fits.matches(&dead), "{fits:?}");
        }
        for fails in [
            label("shop", "us"),
            label("store", "eu"),
            Filter { group: Some("h".to_owned()), ..label("shop", "eu") },
            words("Printer"),
            made(span(None, Some(at))),
            made(span(Some(at + 1), None)),
            Filter { ended: span(None, Some(START_MS - 300)), ..Filter::default() },
        ] {
            assert!(!fails.matches(&dead), "{fails:?}");
        }
        let ended = Filter { ended: span(Some(0), None), ..Filter::default() };
        assert!(!ended.matches(&message(State::Ready)), "what has not ended has no such moment");
    }

    #[test]
    fn only_what_stood_there_when_it_began_is_found() {
        let dead = operation(Action::Requeue, State::Dead);
        assert!(dead.found(&message(State::Dead), None));
        assert!(!dead.found(&message(State::Expired), None));
        let died_again = Message { final_at_ms: Some(START_MS + 1), ..message(State::Dead) };
        assert!(!dead.found(&died_again, None));

        let ready = operation(Action::Cancel, State::Ready);
        assert!(ready.found(&message(State::Ready), None));
        assert!(!ready.found(&Message { due_at_ms: START_MS + 1, ..message(State::Ready) }, None));

        let scheduled = operation(Action::Cancel, State::Scheduled);
        let mut retried = message(State::Scheduled);
        assert!(scheduled.found(&retried, None));
        retried.last_attempt.as_mut().unwrap().ended_at_ms = START_MS + 1;
        assert!(!scheduled.found(&retried, None));

        let parked = operation(Action::Requeue, State::Uncertain);
        assert!(parked.found(&message(State::Uncertain), Some(START_MS)));
        assert!(!parked.found(&message(State::Uncertain), Some(START_MS + 1)));

        let retry = operation(Action::Retry, State::Scheduled);
        assert!(retry.found(&message(State::Scheduled), None));
        let untried = Message { attempts: 0, last_attempt: None, ..message(State::Scheduled) };
        assert!(!retry.found(&untried, None), "its producer has scheduled it");
        let throttled = Message { throttles: 1, ..untried };
        assert!(retry.found(&throttled, None));

        let mut later = operation(Action::Reschedule, State::Scheduled);
        later.due_ms = Some(START_MS + 900);
        let moved = Message { due_at_ms: START_MS + 900, ..message(State::Scheduled) };
        assert!(!later.found(&moved, None), "it is where it is to be");
    }

    #[test]
    fn a_pace_has_no_bursts_and_makes_up_for_a_blink_at_most() {
        let mut pace = OperationPace::new("5/s".parse().unwrap(), 0);
        let now_us = 5_000_000;
        assert_eq!(pace.take(10, now_us), 1);
        // The first slot counts from the slack.
        assert_eq!(pace.next_us, now_us - PACE_SLACK_US + 200_000);
        assert_eq!(pace.take(10, now_us + 100_000), 0);
        assert_eq!(pace.take(10, pace.next_us), 1);
        let late_us = now_us + 60_000_000;
        assert_eq!(pace.take(10, late_us), 1, "a minute of silence is lost");
        assert_eq!(pace.take(10, late_us + 1000), 0);
    }

    #[test]
    fn a_fast_pace_goes_in_groups_and_holds_over_a_second() {
        let mut pace = OperationPace::new("1000/s".parse().unwrap(), 0);
        let (mut now_us, mut count) = (10_000_000, 0);
        let end_us = now_us + 1_000_000;
        while now_us < end_us {
            count += pace.take(usize::MAX, now_us);
            now_us = pace.next_us.max(now_us + 1);
        }
        assert!((980..=1041).contains(&count), "{count}");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_the_pace() {
        let mut pace = OperationPace::new("5/s".parse().unwrap(), 900_000_000);
        assert_eq!(pace.take(1, 5_000_000), 0);
        assert_eq!(pace.take(1, 5_200_000), 1);
    }
}
