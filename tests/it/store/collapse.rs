//! Messages with a collapse key: their scripts, held against what docs/collapse.md promises, by random steps in virtual time.
//!
//! Owns nothing but when that is run. The steps, and what must hold after each of them, are in `collapse/check.py`.

use super::lanes::python;

const CHECK: &str = "../collapse/check.py";

/// New queues each time: what is found names its seed.
#[tokio::test]
async fn no_random_steps_bring_an_old_payload_after_a_newer() {
    python(CHECK, &["--seconds", "8"]).await;
}

#[tokio::test]
async fn the_check_finds_planted_faults() {
    python(CHECK, &["--faults"]).await;
}

#[tokio::test]
#[ignore = "takes a minute: make test-all runs it"]
async fn no_random_steps_bring_an_old_payload_after_a_newer_for_long() {
    python(CHECK, &["--seconds", "60"]).await;
}
