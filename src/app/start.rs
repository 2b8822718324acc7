//! From settings to a store that is fit and an API that listens.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::waiting::Waiting;
use super::{FAILURE, Refused, UNREACHABLE, USAGE, connections};
use crate::api::{LastReload, Tokens};
use crate::config::{RedisTarget, Settings, certificates_out_of_date};
use crate::domain::overrides::Override;
use crate::domain::policy::QueuePolicy;
use crate::shutdown::Tasks;
use crate::store::{ManagedRedis, StartRefused, Store, StoreError};
use crate::telemetry::{self, AddressLabel, LogFormat, Metrics};
use crate::workers::OverrideWatch;

/// How long a Redis that was never reached is tried, before the service manager is told.
const REACH_PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two tries to reach it.
const REACH_PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at a managed Redis that loads its data.
const LOAD_LOOK: Duration = Duration::from_secs(1);

/// What stands when the daemon has started.
pub(super) struct Started {
    pub(super) store: Store,
    pub(super) managed: Option<ManagedRedis>,
    /// Who may call.
    pub(super) tokens: Tokens,
    /// What the last reload came to.
    pub(super) reload: LastReload,
    /// Fires when intake is to answer 503 draining.
    pub(super) draining: CancellationToken,
    /// The API's tasks; it ends with them.
    pub(super) api_tasks: Tasks,
    /// What holds in place of the configuration for a time.
    pub(super) overrides: watch::Receiver<Vec<Override>>,
}

/// Logs for people on a terminal, JSON for machines; `TIDEGATE_LOG_FORMAT` decides otherwise.
pub(super) fn start_logging() {
    let wish = std::env::var_os("TIDEGATE_LOG_FORMAT").filter(|wish| !wish.is_empty());
    let wish = wish.as_ref().map(|wish| wish.to_string_lossy());
    let format = match wish.as_deref() {
        Some("json") => LogFormat::Json,
        Some("human") => LogFormat::Human,
        _ if std::io::stderr().is_terminal() => LogFormat::Human,
        _ => LogFormat::Json,
    };
    telemetry::start_logging(format);
    if let Some(wish) = wish.filter(|wish| !matches!(&**wish, "json" | "human")) {
        tracing::warn!(
            "TIDEGATE_LOG_FORMAT is \"{wish}\", expected json or human; it has no effect"
        );
    }
}

/// As many open files as this process may have. Shells start with 1,024, which stands for programs that
/// cannot count further; every connection and every caller that waits is one.
pub(super) fn open_files_most() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// How many connections the API may hold, so that calls and Redis never lack a file.
fn connections_max(settings: &Settings) -> u32 {
    use rustix::process::{Resource, getrlimit};
    let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let files = connections::share(
        open_files,
        connections::calls(settings.queues.values().map(AsRef::as_ref)),
    );
    if !files.suffice {
        tracing::warn!(
            open_files,
            wanted = files.wanted,
            "the limit of open files is low for the concurrency of the queues: raise it (ulimit -n, LimitNOFILE), or calls may have to wait"
        );
    }
    tracing::debug!(
        open_files,
        connections = files.connections,
        "connections of the API are bounded"
    );
    files.connections
}

/// Takes the port, starts a managed Redis where none is configured, and checks that it is fit.
pub(super) async fn start(
    settings: &Settings,
    metrics: Arc<Metrics>,
    tasks: &Tasks,
) -> Result<(Started, OverrideWatch), Refused> {
    let listen = settings.server.listen;
    // First of all: a port in use is the commonest mistake, and costs nothing to find.
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Refused::new(
            FAILURE,
            format!(
                "server.listen: cannot listen on {listen}: {error}; if another tidegate runs, name another address with --listen or server.listen"
            ),
        )
    })?;
    let api_tasks = Tasks::new();
    let mut waiting = Waiting::begin(listener, connections_max(settings), &api_tasks);
    install_tls();
    let address = settings.redis.address();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        redis = address,
        namespace = settings.redis.namespace,
        durability = settings.redis.durability.as_str(),
        api = %listen,
        "tidegate starts"
    );
    let managed = match settings.redis.target {
        RedisTarget::Managed => Some(start_managed(settings, &mut waiting).await?),
        RedisTarget::Url(_) | RedisTarget::Sentinel { .. } | RedisTarget::Cluster(_) => None,
    };
    let url = managed.as_ref().map(ManagedRedis::url);
    metrics.store.store_info.get_or_create(&AddressLabel { address: address.clone() }).set(1);
    let store = Store::new(settings, url, metrics, tasks.clone());
    reach(&store, &address, &mut waiting).await?;
    store.servers.connect().await;
    store.clock_alarms.check_at_start().await.map_err(|error| Refused::new(UNREACHABLE, error))?;
    store.queues.register(settings).await.map_err(|error| Refused::new(USAGE, error))?;
    store.topics.register(settings).await.map_err(|error| Refused::new(UNREACHABLE, error))?;
    if let Err(error) = store.schedules.configure().await {
        tracing::warn!(%error, "the schedules of the configuration are not stored yet; this is tried again");
    }
    let (override_watch, overrides) = take_overrides(settings, &store).await?;
    let draining = CancellationToken::new();
    let tokens = Tokens::new(&settings.server.tokens);
    let reload = LastReload::new(Arc::clone(store.metrics()));
    waiting.end(super::door::api(settings, (&tokens, &reload), &store, &draining));
    let started = Started { store, managed, tokens, reload, draining, api_tasks, overrides };
    Ok((started, override_watch))
}

/// The overrides that outlived the last run hold from the first claim on.
async fn take_overrides(
    settings: &Settings,
    store: &Store,
) -> Result<(OverrideWatch, watch::Receiver<Vec<Override>>), Refused> {
    let unreachable = |error: StoreError| Refused::new(UNREACHABLE, error);
    let kept = store.overrides.read().await.map_err(unreachable)?;
    let now_ms = store.clock().require_ms().map_err(unreachable)?;
    store.queues.set(&settings.with_overrides(&kept.all, now_ms));
    Ok(OverrideWatch::new(store.clone(), kept, now_ms))
}

/// One TLS provider for Redis and downstreams, named once.
fn install_tls() {
    // A second start in one process (tests) keeps the first.
    let _first_wins = rustls::crypto::ring::default_provider().install_default();
}

async fn start_managed(
    settings: &Settings,
    waiting: &mut Waiting,
) -> Result<ManagedRedis, Refused> {
    let data_dir = settings.redis.data_dir.clone();
    let mut starting = tokio::task::spawn_blocking(move || ManagedRedis::start(&data_dir));
    loop {
        tokio::select! {
            started = &mut starting => {
                let started = started.map_err(|error| Refused::new(FAILURE, error))?;
                return started.map_err(|error| Refused::new(FAILURE, error));
            }
            () = tokio::time::sleep(LOAD_LOOK) => waiting.go_on("the managed Redis is loading its data"),
        }
    }
}

/// Waits until Redis answers; a Redis that loads its data is waited out and said.
async fn reach(store: &Store, address: &str, waiting: &mut Waiting) -> Result<(), Refused> {
    // Loading is no absence, however long it takes.
    let mut absent_since = Instant::now();
    loop {
        let why = match store.servers.check().await {
            Ok(()) => return Ok(()),
            Err(StartRefused::Unfit(why) | StartRefused::NotDurable { why, is_passing: false }) => {
                return Err(Refused::new(FAILURE, why));
            }
            Err(StartRefused::NotDurable { why, is_passing: true }) => {
                if absent_since.elapsed() >= REACH_PATIENCE {
                    return Err(Refused::new(FAILURE, why));
                }
                why
            }
            Err(StartRefused::Store(StoreError::Denied(why))) => {
                return Err(Refused::new(UNREACHABLE, format!("Redis refuses: {why}")));
            }
            Err(StartRefused::Store(error)) => error.to_string(),
        };
        store.servers.note_absence();
        if why.contains("LOADING") {
            absent_since = Instant::now();
        }
        if absent_since.elapsed() >= REACH_PATIENCE {
            return Err(Refused::new(
                UNREACHABLE,
                format!(
                    "{why}; is Redis running? The configuration names {address}. (A url begins with rediss:// where Redis speaks TLS.)"
                ),
            ));
        }
        waiting.go_on(&why);
        tokio::time::sleep(REACH_PAUSE).await;
    }
}

/// Certificates that are out of date refuse no configuration: whoever starts again at night would lose every queue.
pub(super) fn warn_of_certificates(settings: &Settings, store: &Store) {
    let Some(now_ms) = store.clock().now_ms() else { return };
    for problem in certificates_out_of_date(settings, now_ms) {
        tracing::warn!(key = problem.key, "{}", problem.message);
    }
}

/// The first lines: where the API is, where the data lies, what to try next.
pub(super) fn say_where(settings: &Settings) {
    let listen = settings.server.listen;
    // One that sends now, where there is one: a window may be closed, and a worker may be missing.
    let sends = |queue: &&Arc<QueuePolicy>| {
        queue.window.is_none() && !queue.downstream.capabilities().is_pulled
    };
    let queue = settings.queues.values().find(sends).or_else(|| settings.queues.values().next());
    let queue = queue.map_or("QUEUE", |queue| queue.name.as_str());
    // As it was called: `make run` starts a program that is not on PATH.
    let program = std::env::args_os().next().unwrap_or_else(|| "tidegate".into());
    let program = program.to_string_lossy();
    let text = format!(
        "tidegate {} is ready\n  API    http://{listen}\n  store  {} (durability {}, namespace {})\n  try    {program} send {queue} -d '{{\"hello\":\"world\"}}' --wait 10s\n",
        env!("CARGO_PKG_VERSION"),
        settings.redis.address(),
        settings.redis.durability.as_str(),
        settings.redis.namespace,
    );
    // stdout may be closed; the log says the rest.
    let _gone = std::io::stdout().lock().write_all(text.as_bytes());
}
