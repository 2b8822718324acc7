//! `tidegate top` on a real terminal, before a real daemon: what is seen, what keys do, and how it ends.

use rustix::process::Signal;
use serde_json::json;

use crate::support::terminal::Terminal;
use crate::support::{Answer, Daemon, Downstream, RedisServer, eventually, queue_toml};

/// Clears the screen, sets the title, and turns the order of letters.
const EVIL: &str = "one\u{1b}[2Jtwo\u{1b}]0;pwned\u{7}three\u{202e}four";

/// A message that is dead, and one that waits for an hour, both with a payload that would steer the terminal.
struct Stage {
    daemon: Daemon,
    _redis: RedisServer,
    _downstream: Downstream,
    dead: String,
    later: String,
}

impl Stage {
    async fn start() -> Self {
        let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
        downstream.always(Answer::status(422).json(&json!({ "detail": EVIL })));
        let config = ["erp", "sms"].map(|name| queue_toml(name, &downstream, "")).concat();
        let daemon = Daemon::start(&redis, config).await;
        let evil = json!({ "payload": EVIL, "content_type": "text/plain" });
        let dead = daemon.send("sms", &evil).await;
        assert_eq!(daemon.wait_final(&dead).await["state"], "dead");
        let later = daemon.send("sms", &json!({ "payload": { "n": 7 }, "delay": "1h" })).await;
        Self { daemon, _redis: redis, _downstream: downstream, dead, later }
    }

    fn top(&self) -> Terminal {
        Terminal::run(&self.daemon, &["top"], &[])
    }
}

#[tokio::test]
async fn an_operator_looks_pauses_and_resumes() {
    let stage = Stage::start().await;
    let mut top = stage.top();
    let seen = top.shows("2 queues").await;
    assert!(seen.contains("> sms"), "{seen}");
    top.types("p");
    top.shows("Why is sms to be paused?").await;
    top.types("moved\r");
    top.shows("The same as: tidegate pause sms --reason moved").await;
    top.types("y");
    top.shows("sms is paused until it is resumed; messages are still accepted.").await;
    let paused =
        async || stage.daemon.get("/v1/queues/sms").await.expect(200).json()["paused"].clone();
    assert_eq!(paused().await["reason"], "moved");
    top.shows("Sending: paused (moved).").await;
    top.types("ry");
    top.shows("sms is resumed.").await;
    eventually("the daemon sends again", async || paused().await.is_null()).await;

    let actions = stage.daemon.cli(&["actions"]).await.stdout;
    assert!(actions.contains("pause") && actions.contains("moved"), "{actions}");
    top.types("q");
    assert_eq!(top.ended().await, 0);
    top.is_as_before().await;
}

#[tokio::test]
async fn a_message_is_opened_explained_and_run_and_nothing_in_it_steers_the_terminal() {
    let stage = Stage::start().await;
    let mut top = stage.top();
    top.shows("> sms").await;
    top.types("\r");
    top.shows(&stage.dead).await;
    top.types("\r");
    top.shows("Dead").await;
    top.types("\u{1b}[Z");
    let seen = top.shows("one [2Jtwo ]0;pwned three four").await;
    assert!(seen.contains("[payload]") && seen.contains(&stage.dead), "{seen}");

    top.types("\u{1b}");
    top.shows("[dead 1]").await;
    top.types("\t");
    top.shows(&stage.later).await;
    top.types("w");
    top.shows("[why]").await;
    top.shows("PASSES").await;
    top.types("n");
    top.shows(&format!("tidegate run {}", stage.later)).await;
    top.types("y");
    assert_eq!(stage.daemon.wait_final(&stage.later).await["state"], "dead");
    top.shows("Dead").await;

    let bytes = top.bytes();
    let has = |text: &str| bytes.windows(text.len()).any(|piece| piece == text.as_bytes());
    assert!(!has("\u{1b}]0;") && !has("\u{1b}[2Jtwo") && !has("\u{202e}") && !has("\u{7}"));
    top.types("\u{3}");
    assert_eq!(top.ended().await, 0, "Ctrl-C");
    top.is_as_before().await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_and_starts_again_is_followed() {
    let mut stage = Stage::start().await;
    let mut top = stage.top();
    top.shows("> sms").await;
    top.types("ry");
    top.shows("sms is resumed.").await;
    stage.daemon.kill9().await;
    let seen = top.shows("Error: no daemon can be reached at").await;
    assert!(seen.contains("> sms") && seen.contains("sms is resumed."), "{seen}");
    top.types("j");
    top.shows("> erp").await;
    stage.daemon.restart().await;
    top.shows_no("Error").await;
    top.shows("> erp").await;

    top.resize(60, 20);
    top.shows("This terminal has 60 columns and 20 lines.").await;
    top.resize(120, 30);
    top.shows("> erp").await;
    top.signal(Signal::TERM);
    assert_eq!(top.ended().await, 0);
    top.is_as_before().await;
}

#[tokio::test]
async fn what_cannot_be_shown_is_an_error_that_leaves_the_terminal_alone() {
    let mut stage = Stage::start().await;
    let mut refused = Terminal::run(&stage.daemon, &["top", "--output", "json"], &[]);
    refused.shows("`tidegate top` is a screen for people and has no JSON").await;
    assert_eq!(refused.ended().await, 2);

    let colours = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\u{1b}[38;5;");
    let mut coloured = stage.top();
    coloured.shows("> sms").await;
    assert!(colours(&coloured.bytes()));
    coloured.types("q");
    assert_eq!(coloured.ended().await, 0);
    let mut plain = Terminal::run(&stage.daemon, &["top"], &[("NO_COLOR", "1")]);
    plain.shows("> sms").await;
    plain.types("q");
    assert_eq!(plain.ended().await, 0);
    assert!(!colours(&plain.bytes()));

    stage.daemon.kill9().await;
    let mut away = stage.top();
    away.shows("is the daemon running? `tidegate serve` starts it").await;
    assert_eq!(away.ended().await, 5);
    away.is_as_before().await;
    assert!(!String::from_utf8_lossy(&away.bytes()).contains("\u{1b}[?1049h"), "no second screen");
}
