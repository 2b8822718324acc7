//! What a queue's effective policy may hold, as the document says it: from the declaration of the settings.
//!
//! Owns how a form and its bounds become a JSON Schema. Refuses to know any setting.

use serde_json::{Map, Value, json};
use utoipa::ToSchema as _;

use crate::config::{Bounds, DeclaredSection, Form, ShownSetting, ShownVariant, declared};
use crate::wire::queue::POLICY;
use crate::wire::{DurationText, reference_to};

/// The sections of a queue: their names begin with it.
const OF_QUEUES: &str = "queues.NAME";
/// How a size is written.
const SIZE: &str = "^[0-9]+(?:B|KiB|MiB|GiB)$";

/// The schemas, each with its name.
pub(super) fn schemas() -> Vec<(String, Value)> {
    let of_queues =
        |section: &DeclaredSection| section.name.trim_start_matches('[').starts_with(OF_QUEUES);
    declared().iter().filter(|section| of_queues(section)).flat_map(section).collect()
}

/// The name of a section's schema.
fn name(section: &str) -> String {
    // The items of a list stand in brackets.
    match section.trim_end_matches(']').rsplit('.').next() {
        Some(last) if section != OF_QUEUES => {
            format!("{}Policy", last.split('_').map(capitalised).collect::<String>())
        }
        _ => POLICY.to_owned(),
    }
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}

/// The schema of a section, with those of its variants.
fn section(section: &DeclaredSection) -> Vec<(String, Value)> {
    let own = name(section.name);
    if section.variants.is_empty() {
        return vec![(own, table(&section.shown, None))];
    }
    let kind = own.trim_end_matches("Policy").to_owned();
    let name_of = |variant: &ShownVariant| format!("{}{kind}", capitalised(variant.word));
    let variants = section.variants.iter();
    let mapping: Map<String, Value> = variants
        .clone()
        .map(|variant| (variant.word.to_owned(), reference_to(&name_of(variant)).into()))
        .collect();
    let any: Vec<Value> = variants
        .clone()
        .map(|variant| json!({ "$ref": reference_to(&name_of(variant)) }))
        .collect();
    let whole = json!({
        "oneOf": any, "discriminator": { "propertyName": "type", "mapping": mapping },
    });
    let parts =
        variants.map(|variant| (name_of(variant), table(&variant.shown, Some(variant.word))));
    parts.chain([(own, whole)]).collect()
}

/// A table with these values, all of which are always there.
fn table(shown: &[ShownSetting], kind: Option<&str>) -> Value {
    let mut properties: Map<String, Value> =
        shown.iter().map(|setting| (setting.key.to_owned(), field(setting))).collect();
    let mut required: Vec<&str> = shown.iter().map(|setting| setting.key).collect();
    if let Some(word) = kind {
        properties.insert("type".to_owned(), json!({ "type": "string", "enum": [word] }));
        required.insert(0, "type");
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

fn field(setting: &ShownSetting) -> Value {
    let mut schema = form(&setting.form);
    let mut description = unlinked(&setting.sentence);
    if setting.form == Form::Secret {
        description = format!("Whether a secret is set. {description}");
    }
    if let Some(bounds) = told(&setting.form) {
        description = format!("{description} ({bounds})");
    }
    // What may be anything may be null.
    if setting.may_be_unset && setting.form != Form::Any {
        // An enumeration would not allow null, whatever the type says.
        let kind = schema["type"].as_str().filter(|_| schema["enum"].is_null());
        schema = match kind.map(ToOwned::to_owned) {
            Some(kind) => {
                schema["type"] = json!([kind, "null"]);
                schema
            }
            None => json!({ "oneOf": [{ "type": "null" }, schema] }),
        };
    }
    schema["description"] = description.into();
    schema
}

fn form(form: &Form) -> Value {
    match form {
        Form::Plain(bounds) => plain(bounds),
        Form::List(each) => json!({ "type": "array", "items": self::form(each) }),
        Form::Texts(texts) => {
            let text = |(key, what): &(&str, &str)| {
                ((*key).to_owned(), json!({ "type": "string", "description": what }))
            };
            let properties: Map<String, Value> = texts.iter().map(text).collect();
            let required: Vec<&str> = texts.iter().map(|(key, _)| *key).collect();
            json!({ "type": "object", "properties": properties, "required": required })
        }
        Form::OrWord(word, other) => {
            json!({ "oneOf": [{ "type": "string", "enum": [word] }, self::form(other)] })
        }
        Form::OrText(other) => {
            json!({ "oneOf": [{ "type": "string" }, self::form(other)] })
        }
        Form::Named(each) => {
            json!({ "type": "object", "additionalProperties": self::form(each) })
        }
        Form::Section(section) => json!({ "$ref": reference_to(&name(section)) }),
        Form::Secret => json!({ "type": "boolean" }),
        Form::Any => json!({}),
    }
}

fn plain(bounds: &Bounds) -> Value {
    match bounds {
        Bounds::Duration(_) => json!({ "$ref": reference_to(&DurationText::name()) }),
        Bounds::Size(_) => json!({ "type": "string", "pattern": SIZE }),
        Bounds::Whole(range) => {
            json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
        }
        Bounds::Number(range) => {
            json!({ "type": "number", "minimum": range.start(), "maximum": range.end() })
        }
        Bounds::Switch => json!({ "type": "boolean" }),
        Bounds::Words(words) => json!({ "type": "string", "enum": words }),
        Bounds::List(each) => json!({ "type": "array", "items": plain(each) }),
        Bounds::Told(_) => json!({ "type": "string" }),
    }
}

/// The bounds that only words can say.
fn told(form: &Form) -> Option<String> {
    match form {
        Form::Plain(bounds @ (Bounds::Duration(_) | Bounds::Size(_) | Bounds::Told(_))) => {
            Some(bounds.to_string())
        }
        Form::List(each) => Some(format!("each {}", told(each)?)),
        _ => None,
    }
}

/// Markdown whose links are only their words: they lead from the page of the manual.
fn unlinked(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((words, (_, after))) =
            link.split_once("](").and_then(|(words, rest)| Some((words, rest.split_once(')')?)))
        else {
            break;
        };
        text.push_str(before);
        text.push_str(words);
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use utoipa::PartialSchema as _;

    use super::*;
    use crate::api::policy_view;
    use crate::config::testing::settings_of;
    use crate::domain::callback::CallbackPolicy;
    use crate::domain::callback_host::CallbackHosts;
    use crate::domain::policy::{Downstream, QueuePolicy};

    /// Queues that between them set and leave out each setting.
    const QUEUES: &str = r#"
        [queues.a]
        rate = "600/min"
        required_keys = ["labels.to", "group"]
        ttl = "1h"
        backlog = { max_messages = 10, max_bytes = "1MiB" }
        burst = 9
        lease = "2h"
        retention = { delivered = "36h", delivered_max_messages = 7, dead_max_messages = 9, delivered_max_bytes = "1MiB", dead_max_bytes = "2GiB" }
        on_uncertain = "park"
        downstream.type = "null"
        retry.schedule = ["5s", "1m"]
        [queues.b]
        batch = {}
        [queues.b.downstream]
        url = "https://h.example/p"
        answers = [{ status = [200], json = "/state", equals = "busy", as = "throttle" }]
        each = { at = "/rows" }
        timeout = "250ms"
        headers = { X-Key = "k" }
        signing_secret = "hush"
        [queues.c]
        receipts = { timeout = "90m", on_timeout = "delivered", parse = { ref = "msgid", status = "state", delivered = ["D"], dead = ["R"], detail = "err" } }
        on_uncertain = "probe"
        probe = { url = "https://h.example/o/{id}", absent = [404, 410] }
        downstream.type = "null"
        [queues.d]
        ordering = { by = "labels.conversation", until = "final", stall = "1h" }
        fairness = { by = "labels.tenant", weights = { acme = 5, "" = 0.5 } }
        priority_levels = 3
        aging = "10m"
        limits = [{ concurrency = 2, per = "labels.customer" }]
        downstream.type = "pull"
        [queues.f]
        backlog = { per = "group", max_messages_per_key = 5 }
        ordering = "group"
        recipient_hours = { open = [{ from = "08:00", to = "21:00" }], fallback_zone = "UTC" }
        fairness = "group"
        collapse = { wait = "5s", max_wait = "1m" }
        downstream.type = "null"
        [queues.e]
        downstream.url = "https://h.example/p"
        downstream.answers = [{ body = "^ID: (?P<ref>.+)", as = "accepted" }, { json = "/n", equals = 0.5, as = "dead", detail = "/text" }]
        downstream.each = { at = "", id = "/id" }
        retry = { max_attempts = 12, factor = 1.5, retry_statuses = [409, 423], dead_statuses = [501] }
        [queues.e.window]
        time_zone = "Europe/Berlin"
        open = [{ days = "mon,wed", from = "22:00", to = "02:00:30" }, { from = "03:00", to = "24:00" }]
        closed_dates = ["2026-12-25"]
        dates = [{ date = "2026-12-31", open = [{ from = "01:00", to = "06:00" }] }]
        calendar = "cn"
        [queues.g]
        recipient_hours = { open = [{ from = "08:00", to = "21:00" }] }
        downstream.type = "null"
        window = { time_zone = "UTC", open = [{ from = "01:00", to = "04:00" }] }
        [queues.h]
        downstream.url = "https://h.example/p"
        downstream.signing_secrets = ["hush", "hush too"]
        downstream.proxy = "http://u:hush@egress.example:3128"
        downstream.oauth2 = { token_url = "https://auth.example/t", client_id = "me", client_secret = "hush" }
        [queues.k]
        downstream.url = "https://h.example/p"
        downstream.oauth2 = { token_url = "https://auth.example/t", client_id = "me", client_secret = "hush", scope = "a", audience = "b", send = "body" }
        [queues.l]
        receipts.parse = { id = "clientref", status = "state", delivered = ["D"] }
        [queues.l.downstream]
        request = { method = "GET", url = "https://h.example/p?to={{ payload.to }}" }
        [queues.m.downstream]
        url = "https://h.example/p"
        request = { headers = { X-To = "{{ id }}" }, content_type = "text/plain", body = "{{ id }}", example = { to = 1 } }
        [queues.n.downstream]
        url = "message"
        hosts = ["*.example.com"]
        http = "2"
        [calendars.cn]
        [[queues.e.limits]]
        quota = "5/day"
        [[queues.e.limits]]
        name = "x"
        rate = "5/s"
        burst = 2
        unit = "messages"
        [queues.e.batch]
        max_bytes = "1500B"
        [queues.e.callback]
        url = "https://shop.example/hooks"
        on = ["dead", "expired"]
        rate = "50/s"
        concurrency = 5
    "#;

    fn policies() -> Vec<QueuePolicy> {
        let certs = concat!(env!("CARGO_MANIFEST_DIR"), "/src/transport/http/tests/certs");
        let https = "downstream.url = \"https://h.example/p\"\ndownstream.tls";
        let settings = settings_of(&format!(
            "{QUEUES}\n[queues.i]\n{https} = {{ ca = \"{certs}/localhost.pem\" }}\n[queues.j]\n{https} = {{ certificate = \"{certs}/localhost.pem\", key = \"{certs}/localhost.key\" }}"
        ));
        let of_queues = settings.queues.values().map(|policy| QueuePolicy::clone(policy));
        let nowhere = CallbackPolicy::on_hosts(CallbackHosts::default());
        let of_callbacks = settings.queues.values().filter_map(|policy| policy.callback.clone());
        let of_hosts = QueuePolicy { callback: Some(nowhere.clone()), ..retired() };
        let of_callbacks = of_callbacks.chain([nowhere]).map(|callback| QueuePolicy {
            downstream: Downstream::Callbacks(callback),
            ..retired()
        });
        of_queues.chain(of_callbacks).chain([of_hosts, retired()]).collect()
    }

    fn retired() -> QueuePolicy {
        QueuePolicy::retired("gone".parse().unwrap(), 1)
    }

    /// Which settings were shown with a value, and which without one.
    type Seen = BTreeSet<(String, &'static str, bool)>;

    fn look(section: &str, value: &Value, seen: &mut Seen) {
        let declared = declared();
        let declared = declared.iter().find(|it| it.name == section).unwrap();
        let variant = declared.variants.iter().find(|it| value["type"] == it.word);
        let of = variant.map_or(section.to_owned(), |it| format!("{section} {}", it.word));
        for setting in variant.map_or(&declared.shown, |it| &it.shown) {
            let value = &value[setting.key];
            seen.insert((of.clone(), setting.key, value.is_null()));
            match &setting.form {
                Form::Section(within) if !value.is_null() => look(within, value, seen),
                Form::OrWord(_, other) => {
                    if let (Form::Section(within), true) = (&**other, value.is_object()) {
                        look(within, value, seen);
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_policy_is_as_the_document_says_and_what_may_be_null_is_null_somewhere() {
        let mut whole = json!({ "$ref": reference_to(POLICY) });
        let mut schemas: Map<String, Value> = schemas().into_iter().collect();
        for schema in schemas.values_mut().filter(|schema| schema["properties"].is_object()) {
            schema["additionalProperties"] = false.into();
        }
        let text = serde_json::to_value(DurationText::schema()).unwrap();
        schemas.insert(DurationText::name().into_owned(), text);
        whole["components"] = json!({ "schemas": schemas });
        let validator = jsonschema::validator_for(&whole).unwrap();
        let mut seen = Seen::new();
        for policy in policies() {
            let shown = policy_view::view(&policy);
            let faults: Vec<_> = validator
                .iter_errors(&shown)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(faults.is_empty(), "{faults:#?}\n{shown:#}");
            look(OF_QUEUES, &shown, &mut seen);
        }
        for section in declared().iter().filter(|it| it.name.starts_with(OF_QUEUES)) {
            let own = [(section.name.to_owned(), &section.shown)];
            let variants = section.variants.iter();
            let variants = variants.map(|it| (format!("{} {}", section.name, it.word), &it.shown));
            let own = own.into_iter().filter(|_| section.variants.is_empty());
            for (of, shown) in own.chain(variants) {
                for setting in shown {
                    let was = |null: bool| seen.contains(&(of.clone(), setting.key, null));
                    assert!(was(false), "{of}.{} is in no policy of this test", setting.key);
                    assert_eq!(was(true), setting.may_be_unset, "{of}.{}", setting.key);
                }
            }
        }
    }

    #[test]
    fn the_bounds_of_the_settings_stand_in_the_document() {
        let schemas: Map<String, Value> = schemas().into_iter().collect();
        let policy = &schemas[POLICY]["properties"];
        assert_eq!(policy["priority_levels"]["maximum"], 10);
        assert_eq!(policy["on_uncertain"]["enum"], json!(["resend", "park", "probe"]));
        assert_eq!(policy["rate"]["type"], json!(["string", "null"]));
        let lease = policy["lease"]["description"].as_str().unwrap();
        assert!(lease.ends_with("(`1ms` to `1d`)"), "{lease}");
        assert!(!json!(schemas).to_string().contains("]("), "a link leads nowhere from here");
        assert_eq!(unlinked("see [the *page*](a.md#b) [or] not"), "see the *page* [or] not");
    }
}
