//! The proof can fail: a bug is planted in the daemon, and an old payload comes after a newer one.

use std::time::Duration;

use super::stock::{ARTICLES, levels, row};
use crate::support::downstream::Request;
use crate::support::wait::poll_until_within;
use crate::support::{Answer, Daemon, Downstream, Gate, QUEUE, RedisServer, Scene, queue_toml};

const LINES: &str =
    "retry = { initial = \"300ms\", factor = 1.0, jitter = 0.0 }\nconcurrency = 100";

/// Articles of which an old level came after a newer one, with all their levels.
fn old_after_newer(requests: &[Request]) -> Vec<(u64, Vec<u64>)> {
    levels(requests).into_iter().filter(|(_, levels)| !levels.is_sorted()).collect()
}

/// Two changes of each article, the second while the first is being sent and about to fail; with this planted in the daemon.
async fn changed_while_sent(plant: &str) -> Vec<(u64, Vec<u64>)> {
    let (redis, downstream) = tokio::join!(RedisServer::start(), Downstream::start());
    let gate = Gate::new();
    for _ in 0..ARTICLES {
        downstream.once(Answer::status(500).held_by(&gate));
    }
    let toml = queue_toml(QUEUE, &downstream, LINES);
    let daemon = Daemon::with(toml).redis(&redis).environment("FAILPOINTS", plant).start().await;
    let scene = Scene { daemon, downstream, redis };
    let change = async |level: usize| {
        let rows: Vec<_> = (0..ARTICLES).map(|article| row(article, level)).collect();
        scene.send_all(&rows).await;
    };
    change(1).await;
    scene.downstream.wait_for(ARTICLES).await;
    change(2).await;
    gate.release();
    poll_until_within(Duration::from_secs(30), "nothing waits", async || {
        let counts = scene.daemon.counts(QUEUE).await;
        ["scheduled", "ready", "leased"].iter().all(|state| counts[state] == 0).then_some(())
    })
    .await;
    let requests = scene.downstream.requests();
    assert!(levels(&requests).values().all(|levels| levels.contains(&2)), "no newer level is lost");
    old_after_newer(&requests)
}

#[tokio::test]
async fn a_newer_message_that_does_not_wait_is_seen_downstream() {
    let (sound, spoilt) = tokio::join!(
        changed_while_sent(""),
        changed_while_sent("collapse-not-held=return;collapse-again=return"),
    );
    assert_eq!(sound, []);
    assert!(!spoilt.is_empty(), "an old payload after a newer one is found");
}
