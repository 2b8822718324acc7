//! A redis-server of the benchmark's own, and what it counts.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Value, cmd};
use tidegate::store::Verb;

use super::figures::{Figures, float};
use super::process::Process;

/// Scripts that run longer are looked at.
const SLOW_US: u64 = 500;
/// A reply may take so long: a script of the raw limit waits behind many others.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long slow scripts took, by verb, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct SlowScripts {
    ms: BTreeMap<&'static str, Figures>,
}

impl SlowScripts {
    /// The slowest, and its verb.
    pub(crate) fn slowest_ms(&self) -> (f64, &'static str) {
        let most = self.ms.iter().map(|(verb, ms)| (ms.most(), *verb));
        most.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or((0.0, "none"))
    }

    /// How many took longer, and of which verbs.
    pub(crate) fn above(&self, bound_ms: f64) -> (f64, String) {
        let counts = self.ms.iter().map(|(verb, ms)| (ms.above(bound_ms), verb));
        let counts: Vec<_> = counts.filter(|(count, _)| *count > 0.0).collect();
        let verbs: Vec<_> = counts.iter().map(|(count, verb)| format!("{count} {verb}")).collect();
        (counts.iter().fold(0.0, |sum, (count, _)| sum + count), verbs.join(", "))
    }
}

/// A running server on a Unix socket.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    _dirs: [tempfile::TempDir; 2],
    pub(crate) url: String,
    pub(crate) connection: MultiplexedConnection,
    pub(crate) aof: bool,
}

impl Server {
    /// With every write on disk before its reply, or with nothing on disk.
    pub(crate) async fn start(aof: bool) -> Result<Self> {
        Self::start_on(aof, None).await
    }

    /// The same, all of it on this core.
    pub(crate) async fn start_on(aof: bool, core: Option<usize>) -> Result<Self> {
        // A socket's name has to be short, and /tmp is no disk on some machines.
        let dirs = [tempfile::tempdir()?, tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?];
        let socket = dirs[0].path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", ""]).arg("--dir").arg(dirs[1].path());
        command.args(["--appendonly", if aof { "yes" } else { "no" }, "--appendfsync", "always"]);
        command.args(["--slowlog-log-slower-than", &SLOW_US.to_string()]);
        command.args(["--slowlog-max-len", "100000", "--unixsocket"]).arg(&socket);
        if let Some(core) = core {
            for threads in ["--server_cpulist", "--bio_cpulist", "--bgsave_cpulist"] {
                command.arg(threads).arg(core.to_string());
            }
        }
        let process =
            Process::start(command.stdout(Stdio::null())).context("is redis-server installed?")?;
        let url = format!("unix://{}", socket.display());
        let client = Client::open(url.as_str())?;
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let mut connection = None;
        super::until("redis-server answers", Duration::from_millis(5), async || {
            let tried = client.get_multiplexed_async_connection_with_config(&patient).await;
            connection = tried.ok();
            Ok(connection.is_some())
        })
        .await?;
        let connection = connection.context("connected")?;
        Ok(Self { process, _dirs: dirs, url, connection, aof })
    }

    /// As if it had just been started.
    pub(crate) async fn clear(&mut self) -> Result<()> {
        let () = cmd("FLUSHALL").arg("SYNC").query_async(&mut self.connection).await?;
        let () = cmd("SCRIPT").arg("FLUSH").query_async(&mut self.connection).await?;
        self.forget_slow_scripts().await
    }

    /// One field of INFO.
    pub(crate) async fn text(&mut self, field: &str) -> Result<String> {
        let text: String = cmd("INFO").query_async(&mut self.connection).await?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(line.context("INFO has the field")?.trim().to_owned())
    }

    /// One number of INFO.
    pub(crate) async fn info(&mut self, field: &str) -> Result<f64> {
        Ok(self.text(field).await?.parse()?)
    }

    /// CPU used so far, in microseconds.
    pub(crate) async fn cpu_us(&mut self) -> Result<f64> {
        Ok((self.info("used_cpu_user").await? + self.info("used_cpu_sys").await?) * 1e6)
    }

    /// Script calls so far.
    pub(crate) async fn script_calls(&mut self) -> Result<f64> {
        let text: String =
            cmd("INFO").arg("commandstats").query_async(&mut self.connection).await?;
        let calls = text
            .lines()
            .filter(|line| line.starts_with("cmdstat_eval"))
            .filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok());
        Ok(float(calls.sum::<u64>()))
    }

    /// The slow scripts since the last question.
    pub(crate) async fn slow_scripts(&mut self) -> Result<SlowScripts> {
        let entries: Vec<Vec<Value>> =
            cmd("SLOWLOG").arg("GET").arg(-1).query_async(&mut self.connection).await?;
        self.forget_slow_scripts().await?;
        let mut slow = SlowScripts::default();
        for entry in entries {
            // The arguments are bytes: a record, for example.
            let words: Vec<Vec<u8>> =
                entry.get(3).cloned().map(redis::from_redis_value).transpose()?.unwrap_or_default();
            let [how, which, ..] = words.as_slice() else { continue };
            if how.starts_with(b"EVAL") {
                let us: u64 =
                    entry.get(2).cloned().map(redis::from_redis_value).transpose()?.unwrap_or(0);
                let verb = Verb::of_hash(&String::from_utf8_lossy(which));
                // By its text it is sent once.
                let verb = verb.map_or("first call", Verb::as_str);
                slow.ms.entry(verb).or_default().add(float(us) / 1000.0);
            }
        }
        Ok(slow)
    }

    /// Their arguments are kept, and take memory.
    pub(crate) async fn forget_slow_scripts(&mut self) -> Result<()> {
        Ok(cmd("SLOWLOG").arg("RESET").query_async(&mut self.connection).await?)
    }

    /// How long it could have run so far and had no core, in milliseconds.
    pub(crate) fn kept_waiting_ms(&self) -> Result<f64> {
        Ok(self.process.kept_waiting_us()? / 1000.0)
    }

    /// Milliseconds since the Unix epoch, by Redis.
    pub(crate) async fn now_ms(&mut self) -> Result<u64> {
        let (seconds, micros): (u64, u64) = cmd("TIME").query_async(&mut self.connection).await?;
        Ok(seconds * 1000 + micros / 1000)
    }
}
