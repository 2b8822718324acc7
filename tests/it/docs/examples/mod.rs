//! The jobs that Tidegate is for, played as their pages in `docs/examples` tell them.
//!
//! Owns the stage: the configuration and the commands are the page's own, only hosts become parts of
//! the path of one scripted downstream, and the hours are those of a Redis whose clock is set. One file
//! plays one page.

mod compensate;
mod flash_sale;
mod keys;
mod night_orders;
mod order_paid;
mod sms_burst;
mod two_links;

use std::path::Path;

use serde_json::Value;

use crate::support::clocks::wall_us;
use crate::support::redis::RedisOptions;
use crate::support::{Answer, Clocks, Daemon, Downstream, Page, RedisServer};

const DAY_MS: u64 = 86_400_000;
/// The time zone of the pages; it has no summer time.
const SHANGHAI_MS: u64 = 8 * 3_600_000;

/// One page, with what it speaks of.
struct Stage {
    // Ends before its Redis does.
    daemon: Daemon,
    downstream: Downstream,
    redis: RedisServer,
    page: Page,
    clocks: Clocks,
    /// How far the clock of Redis was set ahead.
    ahead_ms: u64,
}

impl Stage {
    /// The page as it stands, now.
    async fn set(name: &str) -> Self {
        Self::set_with(name, &[], RedisServer::start().await, 0).await
    }

    /// At this time of the day in Shanghai; `instead` replaces what would take too long here.
    async fn set_at(name: &str, time: &str, instead: &[(&str, &str)]) -> Self {
        let redis = RedisOptions::default().with_faults().start().await;
        let now_ms = (wall_us() / 1000 + SHANGHAI_MS) % DAY_MS;
        let ahead_ms = (of_day_ms(time) + DAY_MS - now_ms) % DAY_MS;
        redis.faults().step_clock(ahead_ms.cast_signed());
        Self::set_with(name, instead, redis, ahead_ms).await
    }

    async fn set_with(
        name: &str,
        instead: &[(&str, &str)],
        redis: RedisServer,
        ahead_ms: u64,
    ) -> Self {
        let (page, downstream) = (page(name), Downstream::start().await);
        let daemon = Daemon::start(&redis, config(&page, &downstream, instead)).await;
        Self { daemon, downstream, redis, page, clocks: Clocks::read(), ahead_ms }
    }

    /// One more node, with the same configuration.
    async fn another_node(&self) -> Daemon {
        Daemon::start(&self.redis, config(&self.page, &self.downstream, &[])).await
    }

    /// Runs the commands of the page.
    async fn run(&self) -> String {
        self.page.run(&self.daemon).await
    }

    /// The time of the day in Shanghai, by the clock of Redis, when a call arrived.
    fn time_ms(&self, arrived: tokio::time::Instant) -> u64 {
        (self.clocks.wall_ms(arrived) + self.ahead_ms + SHANGHAI_MS) % DAY_MS
    }

    /// Calls to this host.
    fn calls(&self, host: &str) -> usize {
        let requests = self.downstream.requests();
        requests.iter().filter(|request| request.path.contains(host)).count()
    }

    /// The messages of a queue in this state.
    async fn list(&self, queue: &str, state: &str) -> Vec<Value> {
        let path = format!("/v1/queues/{queue}/messages?state={state}&limit=1000");
        let list = self.daemon.get(&path).await.expect(200).json();
        list["messages"].as_array().expect("a list has messages").clone()
    }
}

fn page(name: &str) -> Page {
    Page::read(format!("docs/examples/{name}.md"))
}

fn config(page: &Page, downstream: &Downstream, instead: &[(&str, &str)]) -> String {
    instead.iter().fold(page.config(downstream), |config, (from, to)| {
        assert!(config.contains(from), "the page does not say {from}");
        config.replace(from, to)
    })
}

/// `01:02:03` in milliseconds.
fn of_day_ms(time: &str) -> u64 {
    let parts = time.split(':').map(|part| part.parse::<u64>().expect("a number"));
    parts.fold(0, |time, part| time * 60 + part) * 1000
}

#[test]
fn every_page_is_played() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str, except: &str| {
        let entries = std::fs::read_dir(root.join(folder)).expect("the folder is there");
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let stems = entries.filter_map(|entry| stem(&entry.expect("it is readable").path()));
        let mut names: Vec<_> =
            stems.filter(|stem| stem != except).map(|stem| stem.replace('_', "-")).collect();
        names.sort();
        names
    };
    assert_eq!(names("docs/examples", "README"), names("tests/it/docs/examples", "mod"));
}
