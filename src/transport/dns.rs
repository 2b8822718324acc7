//! Name look-ups that cannot starve anybody else.
//!
//! The system's resolver blocks a thread, for many seconds when name servers are silent, and a
//! look-up that nobody waits for any more still holds its thread. Owns a small number of such
//! threads per downstream; refuses to cache (the system's resolver knows the lifetimes, we do not).

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower_service::Service;

/// Look-ups of one downstream at a time; a pool of 512 threads serves all of the process.
const LOOKUPS_MAX: usize = 4;

/// The resolver of one downstream.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    /// A permit lives as long as the blocked thread, not as long as who asked.
    lookups: Arc<Semaphore>,
}

/// A name that did not resolve.
#[derive(Debug, thiserror::Error)]
#[error("name not found: {host} ({reason})")]
pub(super) struct NameNotFound {
    host: String,
    reason: String,
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NameNotFound;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NameNotFound>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NameNotFound>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let lookups = Arc::clone(&self.lookups);
        Box::pin(async move {
            let permit =
                lookups.acquire_owned().await.expect("the semaphore of a resolver is never closed");
            let host = name.as_str().to_owned();
            let found = tokio::task::spawn_blocking(move || {
                let found = (host.as_str(), 0).to_socket_addrs();
                drop(permit);
                found
            })
            .await
            .unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
            found.map_err(|error| not_found(name.as_str(), &error))
        })
    }
}

fn not_found(host: &str, error: &io::Error) -> NameNotFound {
    let text = error.to_string();
    let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    NameNotFound { host: host.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_this_machine_are_found_and_others_are_not() {
        let mut resolver = Resolver::new();
        let mut found = resolver.call("localhost".parse().unwrap()).await.unwrap();
        assert!(found.all(|at| at.ip().is_loopback()));
        let error = resolver.call("nowhere.invalid".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().starts_with("name not found: nowhere.invalid ("), "{error}");
    }

    #[tokio::test]
    async fn look_ups_are_bounded_and_permits_come_back() {
        let mut resolver = Resolver::new();
        let all = Arc::clone(&resolver.lookups).acquire_many_owned(4).await.unwrap();
        let mut waiting = Box::pin(resolver.call("localhost".parse().unwrap()));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(all);
        assert!(waiting.await.is_ok());
        assert_eq!(resolver.lookups.available_permits(), LOOKUPS_MAX);
    }
}
