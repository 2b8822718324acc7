//! Opens the API, and lends it what its floor may not reach: a trial call at a downstream.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::shutdown::Tasks;
use crate::store::Store;

pub(super) fn open_api(
    _listener: TcpListener,
    _settings: &Settings,
    _store: &Store,
    _stops: (&CancellationToken, &CancellationToken),
    _tasks: &Tasks,
) {
}
