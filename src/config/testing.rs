//! What tests share: settings and policies, made as a file makes them.
//!
//! A test names what it is about, and everything else has its default: a new setting changes no test.

use std::sync::Arc;

use super::{ConfigErrors, Settings, Sources, load};
use crate::domain::policy::QueuePolicy;

/// Loads a file with this text, under the given environment and flags.
pub(crate) fn load_with(
    text: &str,
    environment: &[(&str, &str)],
    flags: &[(String, String, &'static str)],
) -> Result<Settings, ConfigErrors> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tidegate.toml");
    std::fs::write(&file, text).unwrap();
    let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    load(&Sources { file: Some(file), overrides: flags.to_vec(), environment })
}

/// Loads a good file.
pub(crate) fn settings_of(text: &str) -> Settings {
    load_with(text, &[], &[]).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// Everything that is wrong with a bad file.
pub(crate) fn errors_of(text: &str) -> String {
    let Err(errors) = load_with(text, &[], &[]) else { panic!("accepted: {text}") };
    errors.to_string()
}

/// Loads the queue `q`, by its settings; it sends nowhere unless they say so.
pub(crate) fn queue_of(text: &str) -> Arc<QueuePolicy> {
    let settings = settings_of(&with_downstream(text));
    Arc::clone(settings.queues.values().next().unwrap())
}

/// The policy of a queue with this name, by its settings; it sends nowhere unless they say so.
pub(crate) fn policy(name: &str, text: &str) -> QueuePolicy {
    let name = name.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
    QueuePolicy { name, ..QueuePolicy::clone(&queue_of(text)) }
}

/// Everything that is wrong with the settings of the queue `q`.
pub(crate) fn queue_errors(text: &str) -> String {
    errors_of(&with_downstream(text))
}

fn with_downstream(text: &str) -> String {
    if text.contains("[queues.q.downstream]") {
        text.to_owned()
    } else {
        format!("[queues.q]\ndownstream.type = \"null\"\n{text}")
    }
}
