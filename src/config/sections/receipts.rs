//! `[queues.<name>.receipts]`: how long the word of a downstream that accepted a message may take.

use std::sync::Arc;

use crate::config::load::reader::{Field, Read, Section};
use crate::config::setting::{
    Form, Kind, LONG_MS, Shown, custom, duration, list, settings, text, word,
};
use crate::domain::receipt::{OnTimeout, ReceiptNames, ReceiptPolicy};

const PARSE: &str = "queues.NAME.receipts.parse";
/// The parameter in which a url carries a token.
const TOKEN: &str = "token";

settings! {
    struct Receipts in "queues.NAME.receipts" of ReceiptPolicy {
        /// How long Tidegate waits for the [receipt](outcomes.md#receipts) of an accepted message.
        timeout: u64 = duration(1..=LONG_MS).or(ReceiptPolicy::DEFAULT.timeout_ms), |it| it.timeout_ms;
        /// What the message becomes if no receipt comes in that time.
        on_timeout: OnTimeout =
            word(&OnTimeout::ALL.map(|choice| (choice.as_str(), choice)), &[])
                .or(ReceiptPolicy::DEFAULT.on_timeout),
            |it| it.on_timeout;
        /// The names under which the downstream writes its receipts, see [receipts in the words of the downstream](outcomes.md#receipts-in-the-words-of-the-downstream);
        /// a table as [below](#queuesnamereceiptsparse).
        parse: Option<Arc<ReceiptNames>> = names().unset_means("the names of the API")
                .example("{ ref = \"msgid\", status = \"state\", delivered = [\"DELIVRD\"], dead = [\"UNDELIV\"] }"),
            |it| it.names.clone();
    }
}

settings! {
    struct Parse in "queues.NAME.receipts.parse" of ReceiptNames {
        /// The field with the downstream's own reference for the message.
        reference as "ref": Option<String> = name().unset_means("none").example("\"msgid\""), |it| it.reference.clone();
        /// The field with the id of the message, if the downstream gives it back. It decides where both are there.
        id: Option<String> = name().unset_means("none").example("\"clientref\""), |it| it.id.clone();
        /// The field with the status.
        status: String = name().required("\"state\""), |it| it.status.clone();
        /// The statuses that mean that the message was delivered.
        delivered: Vec<String> = list(text("a status")).required("[\"DELIVRD\"]"), |it| it.delivered.clone();
        /// The statuses that mean that it never will be. Any other status is acknowledged and changes nothing.
        dead: Vec<String> = list(text("a status")).or(Vec::new()), |it| it.dead.clone();
        /// The field with the reason, for people.
        detail: Option<String> = name().unset_means("none").example("\"err\""), |it| it.detail.clone();
    }
}

/// The name of a field.
fn name() -> impl Kind<Value = String> {
    text("the name of a field")
}

/// The table of names.
fn names() -> impl Kind<Value = Arc<ReceiptNames>> {
    let read = |field: &Field<'_>| field.section(&[], |section| read_names(section));
    let shown = |it: &Arc<ReceiptNames>| Shown::Table(Parse::shown(it));
    custom("a table with `ref` or `id`, `status` and `delivered`", read, shown)
        .shown_as(Form::Section(PARSE))
}

fn read_names(section: &Section<'_>) -> Read<Arc<ReceiptNames>> {
    let it = Parse::of(section);
    let (reference, id, status, detail) = (it.reference?, it.id?, it.status?, it.detail?);
    let (delivered, dead) = (it.delivered?, it.dead?);
    if reference.is_none() && id.is_none() {
        let why = "is missing, and so is id: nothing would say of which message a receipt is; set for example ref = \"msgid\"";
        return Err(section.wrong("ref", why));
    }
    if delivered.is_empty() {
        let why = "found an empty list, with which no message would ever be delivered; expected for example [\"DELIVRD\"]";
        return Err(section.wrong("delivered", why));
    }
    if let Some(both) = dead.iter().find(|word| delivered.contains(word)) {
        let why =
            format!("has {both:?}, which stands in delivered too; remove it from one of the two");
        return Err(section.wrong("dead", why));
    }
    let keys = [("ref", &reference), ("id", &id), ("detail", &detail)];
    for (at, (key, name)) in keys.iter().enumerate() {
        let Some(name) = name else { continue };
        if *name == status || keys[..at].iter().any(|(_, other)| other.as_ref() == Some(name)) {
            return Err(section
                .wrong(key, format!("names the field {name:?}, which another key names too")));
        }
    }
    let names = [&reference, &id, &detail, &Some(status.clone())];
    if names.iter().any(|name| name.as_deref() == Some(TOKEN)) {
        let why = "names the field \"token\", in which a url carries the token of the API; nothing else can stand there";
        return Err(section.wrong("status", why));
    }
    Ok(Arc::new(ReceiptNames { id, reference, status, delivered, dead, detail }))
}

pub(in crate::config) fn read(field: &Field<'_>) -> Read<ReceiptPolicy> {
    field.section(&[], |section| {
        let Receipts { timeout, on_timeout, parse } = Receipts::of(section);
        Ok(ReceiptPolicy { timeout_ms: timeout?, on_timeout: on_timeout?, names: parse? })
    })
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{queue_errors, queue_of};
    use crate::domain::receipt::{OnTimeout, ReceiptPolicy, ReceiptSaid};

    #[test]
    fn every_key_is_read() {
        assert_eq!(queue_of("").receipts, ReceiptPolicy::DEFAULT);
        let queue = queue_of("receipts = { timeout = \"2h\", on_timeout = \"dead\" }");
        let expected =
            ReceiptPolicy { timeout_ms: 7_200_000, on_timeout: OnTimeout::Dead, names: None };
        assert_eq!(queue.receipts, expected);
        let queue = queue_of(
            "receipts.parse = { ref = \"msgid\", status = \"state\", delivered = [\"DELIVRD\"], dead = [\"UNDELIV\", \"REJECTD\"], detail = \"err\" }",
        );
        let names = queue.receipts.names.as_ref().unwrap();
        assert_eq!(names.reference.as_deref(), Some("msgid"));
        assert_eq!(names.said("DELIVRD"), Some(ReceiptSaid::Delivered));
        assert_eq!(names.said("REJECTD"), Some(ReceiptSaid::Dead));
        for other in ["ENROUTE", "delivrd", "", "delivered"] {
            assert_eq!(names.said(other), None, "{other}");
        }
    }

    #[test]
    fn names_that_say_nothing_certain_are_refused() {
        for (text, part) in [
            ("status = \"s\", delivered = [\"D\"]", "parse.ref: is missing, and so is id"),
            ("ref = \"r\", delivered = [\"D\"]", "parse.status: is missing"),
            ("ref = \"r\", status = \"s\"", "parse.delivered: is missing"),
            ("ref = \"r\", status = \"s\", delivered = []", "parse.delivered: found an empty list"),
            (
                "ref = \"r\", status = \"s\", delivered = [\"D\"], dead = [\"D\"]",
                "parse.dead: has \"D\", which stands in",
            ),
            (
                "ref = \"s\", status = \"s\", delivered = [\"D\"]",
                "parse.ref: names the field \"s\", which another",
            ),
            (
                "ref = \"r\", id = \"r\", status = \"s\", delivered = [\"D\"]",
                "parse.id: names the field \"r\"",
            ),
            (
                "ref = \"token\", status = \"s\", delivered = [\"D\"]",
                "parse.status: names the field \"token\"",
            ),
        ] {
            let error = queue_errors(&format!("receipts.parse = {{ {text} }}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for (text, part) in [
            ("{ timeout = \"0s\" }", "receipts.timeout: found \"0s\", expected 1ms"),
            ("{ on_timeout = \"resend\" }", "receipts.on_timeout: found \"resend\", expected"),
            ("{ timeouts = \"1h\" }", "unknown key; did you mean timeout?"),
            ("true", "receipts: found true, expected a table"),
        ] {
            let error = queue_errors(&format!("receipts = {text}"));
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
