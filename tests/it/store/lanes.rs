//! The scripts of queues with keys, held against a model in plain Python by random steps in virtual time.
//!
//! Owns the promise that lanes are what docs/lanes.md says, whatever comes. The steps and the model are in `lanes/`; here the scripts
//! are handed over as the crate puts them together. Refuses to know any of the rules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tidegate::store::assembled_scripts;
use tokio::process::Command;

/// Longer than any of the short forms takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(1200);
/// What the random steps are told in place of their time: seed, kind and circle, as a failure names them.
const ENVIRONMENT: &str = "TIDEGATE_LANES";

/// Where a program in Python lies.
fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/store/lanes").join(name)
}

/// Runs it with the scripts as the crate puts them together.
pub(super) async fn python(name: &str, arguments: &[&str]) {
    let scripts: Map<String, Value> = assembled_scripts()
        .into_iter()
        .map(|(name, text, keys)| (name, json!({ "text": text, "keys": keys })))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scripts.json");
    std::fs::write(&path, Value::Object(scripts).to_string()).expect("it is written");
    let mut run = Command::new("python3");
    run.arg(program(name)).arg(&path).args(arguments).kill_on_drop(true);
    let run = tokio::time::timeout(PATIENCE, run.output()).await.expect("the check ends");
    let run = run.expect("python3 runs");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    eprintln!("{said}");
}

/// New queues each time: what is found names its seed, and how to see it again with `TIDEGATE_LANES`.
#[tokio::test]
async fn random_steps_agree_with_the_model() {
    let told = std::env::var(ENVIRONMENT).unwrap_or_else(|_| "--seconds 8".into());
    let arguments: Vec<&str> = told.split_whitespace().collect();
    python("check.py", &arguments).await;
}

#[tokio::test]
async fn what_was_found_once_is_not_found_again() {
    python("check.py", &["--found"]).await;
}

#[tokio::test]
async fn the_check_finds_planted_faults() {
    python("check.py", &["--faults", "2"]).await;
}

/// Some hundred queues, and more of the planted faults.
#[tokio::test]
#[ignore = "takes 14 seconds or more: make test-all runs it"]
async fn random_steps_agree_with_the_model_for_long() {
    python("check.py", &["--seconds", "60"]).await;
    python("check.py", &["--faults", "6"]).await;
}

#[tokio::test]
#[ignore = "takes some minutes, and prints tables"]
async fn the_scripts_of_lanes_are_measured() {
    python("measure.py", &[]).await;
}
