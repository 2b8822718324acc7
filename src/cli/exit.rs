//! How a command ends: the exit codes of the contract, and failures that carry their remedy.
//!
//! Owns the map from HTTP statuses to exit codes. Refuses to know which command failed.

use std::io;
use std::process::ExitCode;

use http::StatusCode;
use serde_json::{Value, json};

use super::next_step;
use super::plain::plain;
use crate::wire::problem::{FaultView, ProblemView};

/// The exit codes, from best to worst as far as "which of several counts" goes: the first that is
/// not `Ok`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Not done, for a reason that no other code names.
    Failure = 1,
    /// The command line, its input or the config is wrong.
    Usage = 2,
    /// No such queue or message.
    NotFound = 3,
    /// Refused: wrong state, policy, token.
    Refused = 4,
    /// The daemon or its store cannot be reached.
    Unreachable = 5,
    /// It took too long.
    TimedOut = 6,
}

impl Exit {
    /// The first of the two that is not `Ok`.
    pub(crate) fn or(self, later: Self) -> Self {
        if self == Self::Ok { later } else { self }
    }
}

impl Exit {
    /// The word of a failure that no daemon answered.
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed-out",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do its work, and what to do next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// How the command ends.
    pub(crate) exit: Exit,
    /// What went wrong, one sentence; empty: end without a word.
    pub(crate) what: String,
    /// Particulars, one per line.
    pub(crate) details: Vec<String>,
    /// The next step.
    pub(crate) next: Option<String>,
    /// The answer of the daemon, where there was one.
    pub(crate) problem: Option<Box<ProblemView>>,
    /// Nobody took the connection: nothing was sent.
    pub(crate) is_nobody_there: bool,
}

impl Failure {
    /// A failure of this kind with this sentence.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            details: Vec::new(),
            next: None,
            problem: None,
            is_nobody_there: false,
        }
    }

    /// Wrong words on the command line or in its input.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The same, named as the cause of a larger failure.
    pub(crate) fn because(mut self, what: &str) -> Self {
        self.what = format!("{what}: {}", self.what);
        self
    }

    /// The same with the next step.
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next = Some(step.into());
        self
    }

    /// What an answer other than 2xx means.
    pub(crate) fn from_answer(status: StatusCode, body: &[u8]) -> Self {
        // Other servers answer with JSON too.
        match serde_json::from_slice::<ProblemView>(body) {
            Ok(problem) => Self::from_problem(status, problem),
            Err(_) => Self {
                next: Some(next_step::elsewhere(status).to_owned()),
                ..Self::new(
                    exit_of(status),
                    format!(
                        "the answer was {status}, without a word that this command understands"
                    ),
                )
            },
        }
    }

    /// What a problem of a daemon means that came with this status.
    pub(crate) fn from_problem(status: StatusCode, problem: ProblemView) -> Self {
        let (what, code) = (plain(&problem.detail), plain(problem.code.as_str()));
        let field = the_only_error(&problem).map(|error| plain(&error.pointer)).unwrap_or_default();
        let what = match field.trim_start_matches(['/', '?']) {
            "" => what,
            field => format!("{field}: {what}"),
        };
        Self {
            details: details(&problem),
            next: next_step::of_problem(status, problem.code.known()).map(ToOwned::to_owned),
            problem: Some(Box::new(problem)),
            ..Self::new(exit_of(status), format!("{what} ({code})"))
        }
    }

    /// The same with the next step for what was asked about, where that differs.
    #[must_use]
    pub(crate) fn about(mut self, path: &[String]) -> Self {
        let (status, is_missing_queue) = self.problem.as_ref().map_or((None, false), |problem| {
            (Some(problem.status), problem.detail.starts_with("there is no queue"))
        });
        let family = match path.get(3).map(String::as_str) {
            Some(within @ ("overrides" | "keys")) if !is_missing_queue => within,
            _ => path.get(1).map_or("", String::as_str),
        };
        if let Some(step) = status.and_then(|status| next_step::about(status, family)) {
            self = self.next(step);
        }
        if let (Some(step), Some(name)) = (&self.next, path.get(2)) {
            self.next = Some(next_step::with_name(step, family, name));
        }
        self
    }

    /// The failure as a document for scripts: the problem of the daemon, or one like it.
    pub(crate) fn document(&self) -> Value {
        let mut document = self.problem.as_ref().map_or_else(
            || {
                let errors: Vec<Value> =
                    self.details.iter().map(|detail| json!({ "detail": detail })).collect();
                json!({ "code": self.exit.word(), "detail": self.what, "errors": errors })
            },
            |problem| json!(problem),
        );
        document["exit_code"] = json!(self.exit as u8);
        document["next"] = json!(self.next);
        document
    }

    /// The failure as text for standard error; `None` if it is to be silent.
    pub(crate) fn text(&self) -> Option<String> {
        if self.what.is_empty() {
            return None;
        }
        let mut lines = vec![format!("error: {}", self.what)];
        lines.extend(self.details.iter().map(|detail| format!("  {detail}")));
        lines.extend(self.next.iter().map(|step| format!("  next: {step}")));
        Some(lines.join("\n"))
    }
}

impl From<io::Error> for Failure {
    /// Output that nobody reads any more (`| head`) ends the command without a word.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Ok, ""),
            _ => Self::new(Exit::Failure, format!("cannot write the output: {error}")),
        }
    }
}

/// `errors[]` of a problem, one line each; none where the sentence has said it.
fn details(problem: &ProblemView) -> Vec<String> {
    if the_only_error(problem).is_some() {
        return Vec::new();
    }
    let line = |error: &FaultView| match (plain(&error.pointer), plain(&error.detail)) {
        (pointer, detail) if pointer.is_empty() => detail,
        (pointer, detail) => format!("{pointer}: {detail}"),
    };
    problem.errors.iter().map(line).collect()
}

/// The error that the whole problem is about: nothing else is wrong, and both have the same words.
fn the_only_error(problem: &ProblemView) -> Option<&FaultView> {
    match problem.errors.as_slice() {
        [only] if only.detail == problem.detail => Some(only),
        _ => None,
    }
}

/// The exit code of a status.
fn exit_of(status: StatusCode) -> Exit {
    match status.as_u16() {
        400 | 405 | 413 | 415 | 431 => Exit::Usage,
        404 => Exit::NotFound,
        401 | 403 | 409 | 422 | 429 => Exit::Refused,
        408 | 504 => Exit::TimedOut,
        502 | 503 => Exit::Unreachable,
        _ => Exit::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_becomes_sentence_particulars_and_next_step() {
        let body =
            br#"{"type":"urn:tidegate:problem:idempotency-mismatch","title":"t","status":422,
            "detail":"key k has another body","code":"idempotency-mismatch",
            "errors":[{"pointer":"/payload","detail":"differs"},{"pointer":"","detail":"alone"}]}"#;
        let failure = Failure::from_answer(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(failure.exit, Exit::Refused);
        assert_eq!(
            failure.text().unwrap(),
            "error: key k has another body (idempotency-mismatch)\n  /payload: differs\n  alone\n  \
             next: use another --key: this one belongs to a message with another body"
        );
    }

    #[test]
    fn a_sentence_is_not_said_twice() {
        let body = br#"{"type":"t","title":"t","status":400,"code":"invalid-request","detail":"is too far ahead",
            "errors":[{"pointer":"/due_at","detail":"is too far ahead"}]}"#;
        let failure = Failure::from_answer(StatusCode::BAD_REQUEST, body);
        assert_eq!(failure.text().unwrap(), "error: due_at: is too far ahead (invalid-request)");
        assert_eq!(failure.document()["errors"][0]["pointer"], "/due_at");
    }

    #[test]
    fn json_of_another_server_is_not_taken_for_a_problem() {
        let body = br#"{"timestamp":1,"status":404,"error":"Not Found","path":"/v1/queues"}"#;
        let path = ["v1", "queues", "sms"].map(str::to_owned);
        let failure = Failure::from_answer(StatusCode::NOT_FOUND, body).about(&path);
        assert_eq!(failure.exit, Exit::NotFound);
        let text = failure.text().unwrap();
        assert!(text.contains("next: check that --url names a tidegate daemon"), "{text}");
        assert!(!text.contains("tidegate queues"), "{text}");
    }

    #[test]
    fn the_next_step_names_what_was_asked_about() {
        let step = |status: u16, code: &str, path: &[&str]| {
            let body = format!(
                r#"{{"type":"t","title":"t","status":{status},"code":"{code}","detail":"d"}}"#
            );
            let status = StatusCode::from_u16(status).unwrap();
            let failure = Failure::from_answer(status, body.as_bytes());
            let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
            failure.about(&path).next.unwrap()
        };
        assert_eq!(
            step(429, "backlog-full", &["v1", "queues", "sms"]),
            "send it again later; `tidegate queue sms` shows what waits, and what holds it"
        );
        assert_eq!(
            step(409, "wrong-state", &["v1", "messages", "sms_1"]),
            "`tidegate get sms_1` shows where the message stands"
        );
        assert_eq!(
            step(404, "not-found", &["v1", "limits", "nope"]),
            "`tidegate limits` lists the shared limits"
        );
        assert_eq!(
            step(409, "wrong-state", &["v1", "queues", "a; b"]),
            "`tidegate queue QUEUE` shows the queue"
        );
        assert_eq!(
            step(404, "not-found", &["v1", "queues", "sms", "overrides", "nope"]),
            "`tidegate override sms` lists those that are in force, with their ids"
        );
        assert_eq!(
            step(404, "not-found", &["v1", "queues", "sms", "keys"]),
            "`tidegate key sms` lists the keys that were given something"
        );
    }

    #[test]
    fn statuses_map_to_the_exit_codes_of_the_contract() {
        for (status, exit) in [
            (400, Exit::Usage),
            (401, Exit::Refused),
            (403, Exit::Refused),
            (404, Exit::NotFound),
            (408, Exit::TimedOut),
            (409, Exit::Refused),
            (413, Exit::Usage),
            (415, Exit::Usage),
            (422, Exit::Refused),
            (429, Exit::Refused),
            (500, Exit::Failure),
            (503, Exit::Unreachable),
        ] {
            let failure = Failure::from_answer(StatusCode::from_u16(status).unwrap(), b"<html>");
            assert_eq!(failure.exit, exit, "{status}");
            assert!(failure.what.contains(&status.to_string()), "{}", failure.what);
        }
    }

    #[test]
    fn control_characters_of_others_do_not_reach_the_terminal() {
        let body = br#"{"type":"t","title":"t","status":400,"code":"invalid-request","detail":"bad \u001b[2J word"}"#;
        let failure = Failure::from_answer(StatusCode::BAD_REQUEST, body);
        assert!(!failure.what.contains('\u{1b}'), "{:?}", failure.what);
    }

    #[test]
    fn a_broken_pipe_is_silent() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.text()), (Exit::Ok, None));
        assert_eq!(Failure::from(io::Error::other("disk full")).exit, Exit::Failure);
    }

    #[test]
    fn the_first_failure_of_several_counts() {
        assert_eq!(Exit::Ok.or(Exit::NotFound).or(Exit::Refused).or(Exit::Ok), Exit::NotFound);
    }
}
