//! The composition root: builds the rooms, joins them, and ends them in order.
//!
//! Owns start, reload and stop of the daemon. Holds no rule of its own: what a message goes through
//! stands in `workers`, what callers see in `api`.

mod connections;
mod door;
mod fleet;
mod start;
mod stop;
mod threads;
mod waiting;
mod watchdog;

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::config::{self, ServerSettings, Settings, Sources};
use crate::domain::doctor::RefusedReload;
use crate::domain::overrides::Override;
use crate::domain::time::rfc3339;
use crate::engine::{Presence, Pulses};
use crate::shutdown::Tasks;
use crate::store::{NodeInfo, RECORD_VERSION, StartRefused, Store, StoreError};
use crate::telemetry::{Metrics, TraceExporter, TraceSource};
use crate::workers::{
    Auditor, Completer, Heartbeat, Historian, InboxReader, Janitor, Operator, OverrideWatch,
    Reaper, Recurring, Reporter, Rounds,
};
use fleet::Fleet;
use start::Started;
pub use threads::{THREADS_VARIABLE, threads};

/// Exit code: it failed.
pub const FAILURE: u8 = 1;
/// Exit code: what was asked for is wrong, on the command line, in the configuration or in the environment.
pub const USAGE: u8 = 2;
const UNREACHABLE: u8 = 5;

/// Why the daemon did not start; the text is the whole message.
#[derive(Debug)]
struct Refused {
    code: u8,
    why: String,
}

impl Refused {
    fn new(code: u8, why: impl std::fmt::Display) -> Self {
        Self { code, why: why.to_string() }
    }
}

/// Runs the daemon until it is told to stop.
pub async fn serve(sources: Sources) -> ExitCode {
    let settings = match config::load(&sources) {
        Ok(settings) => settings,
        Err(errors) => return complain(&Refused::new(USAGE, errors)),
    };
    start::start_logging();
    start::open_files_most();
    match run(sources, settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => complain(&refused),
    }
}

fn complain(refused: &Refused) -> ExitCode {
    use std::io::Write as _;
    // stderr may be gone; there is nobody else to tell.
    let _gone = writeln!(std::io::stderr(), "error: {}", refused.why);
    ExitCode::from(refused.code)
}

/// A running daemon.
struct Daemon {
    sources: Sources,
    settings: Settings,
    store: Store,
    fleet: Fleet,
    presence: Arc<Presence>,
    /// The loops of the node, apart from the queues'.
    node_tasks: Tasks,
    /// Sends traces; ends last, since all others make some.
    trace_tasks: Tasks,
    janitor: Janitor,
    started: Started,
}

async fn run(sources: Sources, settings: Settings) -> Result<(), Refused> {
    let mut signals = Signals::new().map_err(|error| Refused::new(FAILURE, error))?;
    let (metrics, exporter) = Metrics::with_traces(&settings.telemetry);
    let tasks = Tasks::new();
    let started = tokio::select! {
        started = start::start(&settings, Arc::clone(&metrics), &tasks) => started?,
        () = signals.stop() => return Ok(()),
    };
    let daemon = Daemon::assemble(sources, settings, started, &tasks, exporter).await?;
    daemon.live(signals).await;
    Ok(())
}

impl Daemon {
    async fn assemble(
        sources: Sources,
        settings: Settings,
        (started, override_watch): (Started, OverrideWatch),
        tasks: &Tasks,
        exporter: Option<TraceExporter>,
    ) -> Result<Self, Refused> {
        let store = started.store.clone();
        let pulses = Pulses::default();
        let node_tasks = tasks.child();
        let vanished = Arc::new(Notify::new());
        let presence = Arc::new(Presence::default());
        presence.set_config(config::digest(&settings), settings.queues.len());
        let info =
            node_info(&settings, &store).map_err(|error| Refused::new(UNREACHABLE, error))?;
        let trace_tasks = Tasks::new();
        if let Some(exporter) = exporter {
            let source = TraceSource { node: info.id.clone(), host: info.host.clone() };
            let stop = trace_tasks.stop_token().clone();
            trace_tasks.spawn("traces", exporter.run(source, stop));
        }
        // Before its first claim: who dies with leases must be known to have been there.
        if let Err(error) = store.nodes.show(&info).await {
            tracing::debug!(%error, "this node could not show itself yet");
        }
        let heartbeat =
            Heartbeat::new(store.clone(), info, Arc::clone(&presence), Arc::clone(&vanished));
        let stop = || node_tasks.stop_token().clone();
        node_tasks.spawn("heartbeat", heartbeat.run(stop(), pulses.start("heartbeat".to_owned())));
        let reaper = Reaper::new(store.clone(), vanished);
        node_tasks.spawn("reaper", reaper.run(stop(), pulses.start("reaper".to_owned())));
        let auditor = Auditor::new(store.clone());
        node_tasks.spawn("auditor", auditor.run(stop(), pulses.start("auditor".to_owned())));
        let rounds = Rounds::new(store.clone());
        node_tasks.spawn("rounds", rounds.run(stop(), pulses.start("rounds".to_owned())));
        let completer = Completer::new(store.clone());
        node_tasks.spawn("completer", completer.run(stop(), pulses.start("completer".to_owned())));
        let recurring = Recurring::new(store.clone());
        node_tasks.spawn("recurring", recurring.run(stop(), pulses.start("recurring".to_owned())));
        let inbox = InboxReader::new(store.clone(), settings.server.body_limit_bytes, stop());
        node_tasks.spawn("inbox", inbox.run(pulses.start("inbox".to_owned())));
        let operator = Operator::new(store.clone(), stop());
        node_tasks.spawn("operator", operator.run(pulses.start("operator".to_owned())));
        let reporter = Reporter::new(store.clone());
        node_tasks.spawn("reporter", reporter.run(stop(), pulses.start("reporter".to_owned())));
        let historian = Historian::new(store.clone());
        node_tasks.spawn("historian", historian.run(stop(), pulses.start("historian".to_owned())));
        let (listening, ears) = (store.clone(), stop());
        node_tasks.spawn("listener", async move { listening.wake_ups.listen(&ears).await });
        let (telling, end) = (store.clone(), stop());
        node_tasks.spawn("teller", async move { telling.events.tell_changes(&end).await });
        node_tasks.spawn("watchdog", watchdog::run(pulses.clone(), stop()));
        node_tasks
            .spawn("overrides", override_watch.run(stop(), pulses.start("overrides".to_owned())));
        let fleet =
            Fleet::start(&store, &pulses, &presence).map_err(|why| Refused::new(USAGE, why))?;
        let janitor = Janitor::start(&store).await.map_err(|error| Refused::new(FAILURE, error))?;
        start::say_where(&settings);
        start::warn_of_certificates(&settings, &store);
        watchdog::ready();
        Ok(Self {
            sources,
            settings,
            store,
            fleet,
            presence,
            node_tasks,
            trace_tasks,
            janitor,
            started,
        })
    }

    /// Lives until told to stop.
    async fn live(mut self, mut signals: Signals) {
        loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::Stop => break,
                    Told::Reload => self.reload().await,
                },
                Ok(()) = self.started.overrides.changed() => self.take_overrides().await,
            }
        }
        stop::stop(self, signals).await;
    }

    /// SIGHUP: the whole new configuration, or the old one stays in force.
    async fn reload(&mut self) {
        watchdog::reloading();
        let taken = match config::load(&self.sources) {
            Ok(settings) => self.take(settings).await,
            Err(errors) => Err(errors.to_string()),
        };
        match taken {
            Ok(changed) => {
                tracing::info!(changed, "configuration reloaded");
                start::warn_of_certificates(&self.settings, &self.store);
                self.started.reload.succeeded();
            }
            Err(why) => {
                tracing::error!(
                    "the new configuration is refused, the old one stays in force\n{why}"
                );
                let at_ms = self.store.clock().now_ms();
                self.started.reload.failed(RefusedReload { at_ms, why });
            }
        }
        watchdog::ready();
    }

    /// An override has begun or ended.
    async fn take_overrides(&mut self) {
        let settings = self.settings.clone();
        if let Err(why) = self.put_in_force(&settings).await {
            tracing::error!(why, "the overrides of queues cannot be put in force");
        }
    }

    /// A configuration, with what overrides make of it now. Returns how many queues changed.
    async fn put_in_force(&mut self, settings: &Settings) -> Result<usize, String> {
        let overrides = self.started.overrides.borrow_and_update().clone();
        let now_ms = self.store.clock().require_ms().map_err(|error| error.to_string())?;
        self.fleet.take(&settings.with_overrides(&overrides, now_ms)).await
    }

    /// An override ends with its queue: should the queue come back, its configuration holds.
    async fn end_overrides_of_gone(&self, settings: &Settings) {
        let overrides = self.started.overrides.borrow().clone();
        let is_gone = |it: &&Override| {
            self.settings.queues.contains_key(&it.queue) && !settings.queues.contains_key(&it.queue)
        };
        for it in overrides.iter().filter(is_gone) {
            match self.store.overrides.end(&it.id).await {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(queue = %it.queue, id = it.id, "an override ends with its queue");
                }
                Err(error) => {
                    tracing::warn!(%error, queue = %it.queue, id = it.id, "an override could not be ended with its queue");
                }
            }
        }
    }

    /// Puts a configuration in force; returns how many of its queues are new, gone or different.
    async fn take(&mut self, settings: Settings) -> Result<usize, String> {
        for key in config::restart_needed(&self.settings, &settings) {
            tracing::warn!(
                key,
                "this setting changes only by a restart; the old value stays in force"
            );
        }
        let listen = self.settings.server.listen;
        if settings.server.tokens.is_empty() && !listen.ip().to_canonical().is_loopback() {
            return Err(format!(
                "server.tokens is empty, and {listen} can be reached from other machines until the restart"
            ));
        }
        let settings = Settings {
            server: ServerSettings {
                tokens: settings.server.tokens,
                ..self.settings.server.clone()
            },
            redis: self.settings.redis.clone(),
            telemetry: self.settings.telemetry.clone(),
            ..settings
        };
        let registered = async {
            self.store.queues.register(&settings).await?;
            Ok::<_, StartRefused>(self.store.topics.register(&settings).await?)
        };
        registered.await.map_err(|error| error.to_string())?;
        let changed = self.put_in_force(&settings).await?;
        self.end_overrides_of_gone(&settings).await;
        self.started.tokens.replace(&settings.server.tokens);
        self.store.topics.set(&settings);
        // After the queues, which its messages go to.
        self.store.schedules.set(&settings);
        self.store.inbox.set(&settings);
        self.presence.set_config(config::digest(&settings), settings.queues.len());
        self.settings = settings;
        Ok(changed)
    }
}

fn node_info(settings: &Settings, store: &Store) -> Result<NodeInfo, StoreError> {
    let started_at_ms = store.clock().require_ms()?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    tracing::debug!(
        node = store.nodes.own_id().as_str(),
        since = rfc3339(started_at_ms),
        "node starts"
    );
    Ok(NodeInfo {
        id: store.nodes.own_id().as_str().to_owned(),
        host,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        listen: settings.server.listen.to_string(),
        started_at_ms,
        config_hash: config::digest(settings),
        queues: 0,
        slots: 0,
        in_flight: 0,
        record_version: RECORD_VERSION,
        follows: Vec::new(),
        beats: 0,
        seen_at_ms: 0,
    })
}

/// What a signal asks for.
enum Told {
    Stop,
    Reload,
}

/// The signals that a daemon minds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// Waits for a signal to stop, minding no other.
    async fn stop(&mut self) {
        while !matches!(self.next().await, Told::Stop) {}
    }
}
