//! What `make install` puts where, and the file through which cargo starts tests.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::daemon::PROGRAM;

fn sh(words: &[&str]) -> Output {
    let mut sh = Command::new("sh");
    sh.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
    sh.output().expect("a POSIX sh is on PATH")
}

#[test]
fn the_program_its_unit_completions_and_man_pages_are_below_the_prefix() {
    let root = tempfile::tempdir().expect("temp dir");
    let destdir = root.path().to_str().expect("a path of ours is text");
    let output = sh(&["deploy/install.sh", PROGRAM, "/opt/tide", destdir]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("/opt/tide/bin/tidegate serve"), "{said}");
    let read = |path: &str| {
        let path = root.path().join("opt/tide").join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let unit = read("lib/systemd/system/tidegate.service");
    assert!(unit.contains("ExecStart=/opt/tide/bin/tidegate serve"), "{unit}");
    assert!(!unit.contains("/usr/bin/") && !unit.contains(destdir), "{unit}");
    for (path, part) in [
        ("share/bash-completion/completions/tidegate", "COMPLETE"),
        ("share/zsh/site-functions/_tidegate", "#compdef"),
        ("share/fish/vendor_completions.d/tidegate.fish", "complete"),
        ("share/man/man1/tidegate.1", ".TH"),
        ("share/man/man1/tidegate-send.1", ".TH"),
        ("share/doc/tidegate/config/example.toml", "[queues.sms]"),
        ("share/doc/tidegate/docs/install.md", "# Install"),
    ] {
        assert!(read(path).contains(part), "{path}");
    }
    let installed = root.path().join("opt/tide/bin/tidegate");
    let version = Command::new(installed).arg("--version").output().expect("it runs");
    assert!(version.status.success());
}

#[test]
fn what_cannot_be_installed_says_what_to_do() {
    let missing = sh(&["deploy/install.sh", "no/such/program", "/opt/tide", "/tmp"]);
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(!missing.status.success() && said.contains("make dist"), "{said}");
    let refused = sh(&["deploy/install.sh", PROGRAM, "/dev/null/x"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("sudo make install"), "{said}");
}

#[test]
fn completion_knows_the_states_and_survives_a_daemon_that_is_not_there() {
    let complete = |words: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.arg("--").arg("tidegate").args(words);
        command.env("COMPLETE", "bash").env("TIDEGATE_URL", "http://127.0.0.1:1");
        command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        command.env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_COMP_TYPE", "9");
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("words are text")
    };
    let states = complete(&["list", "sms", "--state", "de"]);
    assert!(states.contains("dead") && !states.contains("ready"), "{states}");
    assert!(complete(&["pub"]).contains("publish"));
    complete(&["queue", "s"]);
}

/// `cargo it nope` ran nothing and was green.
#[test]
fn a_filter_that_matches_no_test_is_an_error() {
    let own = std::env::current_exe().expect("this program has a path");
    let own = own.to_str().expect("a path of ours is text");
    let runner = Path::new("tests/run.sh").to_str().expect("text");
    let nope = sh(&[runner, own, "no_such_scenario_at_all", "--test-threads", "2"]);
    let said = String::from_utf8_lossy(&nope.stderr).into_owned();
    assert_eq!(nope.status.code(), Some(101), "{said}");
    assert!(said.contains("no test matches no_such_scenario_at_all"), "{said}");
    let known = "service::install::what_cannot_be_installed_says_what_to_do";
    let one = sh(&[runner, own, known, "--exact", "--test-threads", "2"]);
    let said = String::from_utf8_lossy(&one.stdout).into_owned();
    assert!(one.status.success() && said.contains("1 passed"), "{said}");
}
