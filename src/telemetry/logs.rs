//! How logs are written, and what of them.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is logged unless `TIDEGATE_LOG` says otherwise: the housekeeping's scheduler talks of itself.
const LOG_FILTER: &str = "info,tokio_cron_scheduler=warn";

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line, for machines.
    Json,
}

/// Starts logging to stderr; `TIDEGATE_LOG` filters as `tracing` does (default `info`).
pub fn start_logging(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("TIDEGATE_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start (in tests) keeps the first logger.
    let _first_wins = match format {
        LogFormat::Human => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
}
