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
///
/// A filter that cannot be read is reported, and the default holds: whoever looks for a fault must not
/// wait for lines in vain.
pub fn start_logging(format: LogFormat) {
    let wish = std::env::var_os("TIDEGATE_LOG").filter(|wish| !wish.is_empty());
    let read = wish.map(|wish| {
        let wish = wish.into_string().map_err(|_| "it is not UTF-8".to_owned())?;
        EnvFilter::builder().parse(&wish).map_err(|error| error.to_string())
    });
    let (filter, fault) = match read {
        Some(Ok(filter)) => (filter, None),
        Some(Err(fault)) => (EnvFilter::new(LOG_FILTER), Some(fault)),
        None => (EnvFilter::new(LOG_FILTER), None),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start (in tests) keeps the first logger.
    let _first_wins = match format {
        LogFormat::Human => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    if let Some(fault) = fault {
        tracing::warn!(
            error = fault,
            "TIDEGATE_LOG is not a valid filter; logging as without it: {LOG_FILTER}"
        );
    }
}
