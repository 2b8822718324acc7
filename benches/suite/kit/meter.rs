//! What a stretch of work costs the daemon and its Redis.

use anyhow::Result;

use super::daemon::Daemon;
use super::figures::float;
use super::redis::Server;

/// Counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meter {
    daemon_us: f64,
    redis_us: f64,
    scripts: f64,
}

/// What each message of a stretch came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// CPU of the daemon.
    pub(crate) daemon_us: f64,
    /// CPU of Redis.
    pub(crate) redis_us: f64,
    /// Round trips that carried a script.
    pub(crate) scripts: f64,
}

impl Meter {
    pub(crate) async fn read(server: &mut Server, daemon: &Daemon) -> Result<Self> {
        Ok(Self {
            daemon_us: daemon.process.cpu_us()?,
            redis_us: server.cpu_us().await?,
            scripts: server.script_calls().await?,
        })
    }

    /// What it took since then, for each of so many messages.
    pub(crate) async fn cost(
        self,
        server: &mut Server,
        daemon: &Daemon,
        messages: usize,
    ) -> Result<Cost> {
        let (now, count) = (Self::read(server, daemon).await?, float(messages));
        Ok(Cost {
            daemon_us: (now.daemon_us - self.daemon_us) / count,
            redis_us: (now.redis_us - self.redis_us) / count,
            scripts: (now.scripts - self.scripts) / count,
        })
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            daemon_us: self.daemon_us + other.daemon_us,
            redis_us: self.redis_us + other.redis_us,
            scripts: self.scripts + other.scripts,
        }
    }
}
