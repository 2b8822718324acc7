//! One call as the sink got it, and how it is shown.
//!
//! Owns what of a call is read, the line for people, the line for scripts, and the answer's body. Refuses to
//! know which answer is right (`answers`).

use http::{HeaderMap, Method, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::plain::plain;
use super::answers::Answer;

/// Characters of a body that a line shows.
const SHOWN_CHARS_MAX: usize = 160;

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    queue: Option<String>,
    id: Option<String>,
    attempt: Option<String>,
    /// The messages, where the call is a batch.
    batch: Option<Vec<Item>>,
    body: Vec<u8>,
}

/// A message of a batch.
#[derive(Debug, Deserialize)]
struct Item {
    id: String,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    payload_base64: Option<String>,
}

impl Call {
    pub(super) fn new(method: Method, uri: &Uri, headers: &HeaderMap, body: Vec<u8>) -> Self {
        let text = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let is_batch = headers.contains_key("tidegate-batch-id");
        Self {
            method,
            path: uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string),
            queue: text("tidegate-queue"),
            id: text("webhook-id"),
            attempt: text("tidegate-attempt"),
            batch: is_batch.then(|| serde_json::from_slice(&body).ok()).flatten(),
            body,
        }
    }

    /// The body of the answer: each message of a batch gets its own result; `None`: no body.
    pub(super) fn answer_body(&self, answer: Answer) -> Option<Value> {
        match (answer.status, &self.batch) {
            (204 | 205 | 304, _) => None,
            (200..300, Some(items)) if !answer.is_pending => {
                let results: Vec<Value> = items
                    .iter()
                    .map(|item| json!({ "id": item.id, "status": "delivered" }))
                    .collect();
                Some(json!({ "results": results }))
            }
            (200..300, _) => Some(json!({ "taken": true })),
            (429, _) => Some(json!({ "error": "tidegate sink: too many calls" })),
            (status, _) => Some(json!({ "error": format!("tidegate sink answers {status}") })),
        }
    }

    /// The line for people: `12:00:05  POST /send  sms  attempt 1  {"to":"+49"}  -> 200`.
    pub(super) fn line(&self, time: &str, answer: Answer) -> String {
        let mut parts = vec![time.to_owned(), format!("{} {}", self.method, self.path)];
        parts.extend(self.queue.clone());
        if let Some(items) = &self.batch {
            parts.push(format!("batch of {}", items.len()));
        } else if let Some(attempt) = &self.attempt {
            parts.push(format!("attempt {attempt}"));
        }
        parts.push(self.shown_body());
        parts.push(format!("-> {}", shown_answer(answer)));
        parts.retain(|part| !part.is_empty());
        plain(&parts.join("  "))
    }

    /// The line for scripts.
    pub(super) fn document(&self, at: &str, answer: Answer) -> Value {
        let body =
            match (serde_json::from_slice::<Value>(&self.body), std::str::from_utf8(&self.body)) {
                (Ok(json), _) => json,
                (Err(_), Ok(text)) => text.into(),
                (Err(_), Err(_)) => Value::Null,
            };
        json!({
            "at": at,
            "method": self.method.as_str(),
            "path": self.path,
            "queue": self.queue,
            "id": self.id,
            "attempt": self.attempt.as_deref().and_then(|text| text.parse::<u64>().ok()),
            "batch": self.batch.as_ref().map(Vec::len),
            "body": body,
            "body_bytes": self.body.len(),
            "status": answer.status,
            "retry_after": answer.retry_after_s,
        })
    }

    fn shown_body(&self) -> String {
        if let Some(items) = &self.batch {
            let payloads: Vec<String> = items.iter().map(Item::shown).collect();
            return shortened(&format!("[{}]", payloads.join(",")));
        }
        match std::str::from_utf8(&self.body) {
            Ok(text) => shortened(text.trim()),
            Err(_) => format!("({} bytes that are not text)", self.body.len()),
        }
    }
}

impl Item {
    fn shown(&self) -> String {
        match &self.payload_base64 {
            Some(text) => format!("base64:{text}"),
            None => self.payload.to_string(),
        }
    }
}

fn shown_answer(answer: Answer) -> String {
    match answer.retry_after_s {
        Some(seconds) => format!("{}, Retry-After: {seconds}", answer.status),
        None if answer.is_pending => format!("{}, Tidegate-Receipt: pending", answer.status),
        None => answer.status.to_string(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}... ({} bytes)", &text[..end], text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(headers: &[(&'static str, &'static str)], body: impl Into<Vec<u8>>) -> Call {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Call::new(Method::POST, &"/send?x=1".parse().unwrap(), &map, body.into())
    }

    const SINGLE: [(&str, &str); 3] =
        [("tidegate-queue", "sms"), ("tidegate-attempt", "2"), ("webhook-id", "sms_01")];
    const BATCH: [(&str, &str); 2] = [("tidegate-queue", "erp"), ("tidegate-batch-id", "b")];

    #[test]
    fn a_message_is_one_line() {
        let call = call(&SINGLE, "{\"to\":\n\"+49\"}\u{1b}[2J");
        let line = call.line("12:00:05", Answer::of_status(200));
        assert_eq!(line, "12:00:05  POST /send?x=1  sms  attempt 2  {\"to\": \"+49\"} [2J  -> 200");
        let document = call.document("T", Answer::of_status(500));
        assert_eq!((&document["id"], &document["attempt"]), (&"sms_01".into(), &2.into()));
        assert_eq!(document["status"], 500);
    }

    #[test]
    fn a_batch_is_shown_by_its_payloads_and_answered_one_by_one() {
        let rows = r#"[{"id":"a","attempt":1,"payload":{"n":1},"headers":{}},{"id":"b","attempt":1,"payload_base64":"AA==","headers":{}}]"#;
        let call = call(&BATCH, rows);
        let line = call.line("12:00:05", Answer::of_status(200));
        assert_eq!(
            line,
            "12:00:05  POST /send?x=1  erp  batch of 2  [{\"n\":1},base64:AA==]  -> 200"
        );
        let results = json!({ "results": [
            { "id": "a", "status": "delivered" }, { "id": "b", "status": "delivered" },
        ]});
        assert_eq!(call.answer_body(Answer::of_status(200)), Some(results));
        let refused = call.answer_body(Answer::of_status(422)).unwrap();
        assert_eq!(refused, json!({ "error": "tidegate sink answers 422" }));
    }

    #[test]
    fn answers_without_a_body_have_none() {
        assert_eq!(call(&SINGLE, "1").answer_body(Answer::of_status(204)), None);
    }

    #[test]
    fn what_is_long_or_not_text_is_counted() {
        let long = call(&SINGLE, "x".repeat(1000)).line("t", Answer::of_status(200));
        assert!(long.contains("x... (1000 bytes)") && long.len() < 300, "{long}");
        let raw = call(&SINGLE, vec![0xff, 0]).line("t", Answer::of_status(200));
        assert!(raw.contains("(2 bytes that are not text)"), "{raw}");
        let odd = call(&BATCH, "no list").line("t", Answer::of_status(200));
        assert!(odd.contains("no list"), "{odd}");
    }
}
