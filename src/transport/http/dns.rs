//! Name look-ups that cannot starve anybody else.
//!
//! The system's resolver blocks a thread, for many seconds when name servers are silent, and a
//! look-up that nobody waits for any more still holds its thread. Owns a small number of such
//! threads for each pool of connections. A name has at most one look-up under way, which everybody
//! who asks for it shares, and the names of one domain have a share of the threads: a host whose name
//! servers are silent holds up itself alone. Refuses to cache (the system's resolver knows the
//! lifetimes, we do not).

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::dns::Name;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use super::egress_guard::{AddressRefused, EgressGuard};
use crate::domain::human::lasting;
use crate::transport::shortage;

/// Look-ups of one pool at a time; 512 blocking threads serve the whole process.
const LOOKUPS_MAX: usize = 32;
/// Of these, look-ups of names in one domain (the last two labels of a name).
const LOOKUPS_OF_DOMAIN_MAX: usize = 8;
/// How long a look-up is waited for. A first name server that is silent costs 5 s before the system's
/// resolver asks the second; whoever asks for a name whose look-up has lasted longer fails at once.
const PATIENCE: Duration = Duration::from_secs(12);

type Found = Result<Vec<SocketAddr>, NameNotFound>;
type Ask = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// The resolver of one pool of connections; cheap to clone, clones share their look-ups.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    lookups: Arc<Lookups>,
    /// Checks what was found, right before it is connected to.
    guard: Option<EgressGuard>,
}

/// Why there is no address to connect to.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum NoAddress {
    #[error("{0}")]
    NotFound(#[from] NameNotFound),
    #[error("{0}")]
    Refused(#[from] AddressRefused),
}

/// A name that did not resolve.
#[derive(Debug, Clone, thiserror::Error)]
#[error("name not found: {host} ({reason})")]
pub(super) struct NameNotFound {
    host: String,
    reason: String,
    is_local: bool,
}

impl NameNotFound {
    /// Whether this machine was short of something, so that nobody could be asked.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }
}

#[derive(Debug)]
struct Lookups {
    ask: Ask,
    // A plain mutex: held to begin and to end a look-up, never across an await.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that run and those that wait for a thread.
    names: HashMap<String, Lookup>,
    /// Names that wait for a thread, in the order in which they were asked for.
    waiting: VecDeque<String>,
    running: usize,
    running_of_domain: HashMap<String, usize>,
}

#[derive(Debug)]
struct Lookup {
    since: Instant,
    found: watch::Sender<Option<Found>>,
}

impl Resolver {
    pub(super) fn new(guard: Option<EgressGuard>) -> Self {
        Self { guard, ..Self::asking(|host| Ok((host, 0).to_socket_addrs()?.collect())) }
    }

    /// The first address of a name; `None`: it is an address already.
    ///
    /// # Errors
    /// It has none, or none that may be called.
    pub(super) async fn first(&self, host: &str) -> Result<Option<IpAddr>, NoAddress> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.parse::<IpAddr>().is_ok() {
            return Ok(None);
        }
        let name: Name = host.parse().map_err(|_| NameNotFound {
            host: host.to_owned(),
            reason: "it is not a name".to_owned(),
            is_local: false,
        })?;
        Ok(self.clone().call(name).await?.next().map(|found| found.ip()))
    }

    fn asking(ask: Ask) -> Self {
        Self { lookups: Arc::new(Lookups { ask, state: Mutex::default() }), guard: None }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NoAddress;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoAddress>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoAddress>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let (since, mut found) = self.lookups.join(&host);
        let guard = self.guard.clone();
        Box::pin(async move {
            let known = timeout_at(since + PATIENCE, found.wait_for(Option::is_some)).await;
            let silent = || Err(NameNotFound::silent(host.clone()));
            let found = match known {
                Ok(Ok(found)) => found.clone().unwrap_or_else(silent),
                // The time is over, or the thread of the look-up has ended without a word.
                Ok(Err(_)) | Err(_) => silent(),
            }?;
            let found = match guard {
                Some(guard) => guard.passing(&host, found)?,
                None => found,
            };
            Ok(found.into_iter())
        })
    }
}

impl Lookups {
    /// The look-up of this name that is under way, or a new one.
    fn join(self: &Arc<Self>, host: &str) -> (Instant, watch::Receiver<Option<Found>>) {
        let mut state = self.lock();
        if let Some(lookup) = state.names.get(host) {
            return (lookup.since, lookup.found.subscribe());
        }
        let (sender, found) = watch::channel(None);
        let since = Instant::now();
        state.names.insert(host.to_owned(), Lookup { since, found: sender });
        if state.may_run(host) {
            state.begin(host);
            let (lookups, host) = (Arc::clone(self), host.to_owned());
            // Detached: who asked may give up before the system's resolver does.
            drop(tokio::task::spawn_blocking(move || lookups.run(host)));
        } else {
            state.waiting.push_back(host.to_owned());
        }
        (since, found)
    }

    /// The work of one thread: this name, and then those that wait.
    fn run(&self, first: String) {
        let mut next = Some(first);
        while let Some(host) = next {
            let found = (self.ask)(&host).map_err(|error| NameNotFound::new(&host, &error));
            let mut state = self.lock();
            state.end(&host);
            if let Some(lookup) = state.names.remove(&host) {
                lookup.found.send_replace(Some(found));
            }
            next = state.next();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn may_run(&self, host: &str) -> bool {
        let of_domain = self.running_of_domain.get(domain(host)).copied().unwrap_or_default();
        self.running < LOOKUPS_MAX && of_domain < LOOKUPS_OF_DOMAIN_MAX
    }

    fn begin(&mut self, host: &str) {
        self.running += 1;
        *self.running_of_domain.entry(domain(host).to_owned()).or_default() += 1;
    }

    fn end(&mut self, host: &str) {
        self.running -= 1;
        if let Some(count) = self.running_of_domain.get_mut(domain(host)) {
            *count -= 1;
            if *count == 0 {
                self.running_of_domain.remove(domain(host));
            }
        }
    }

    /// The first name that waits and may run now, begun; names that nobody waits for are forgotten.
    fn next(&mut self) -> Option<String> {
        let Self { names, waiting, .. } = self;
        waiting.retain(|host| {
            let is_wanted = names.get(host).is_some_and(|lookup| !lookup.found.is_closed());
            if !is_wanted {
                names.remove(host);
            }
            is_wanted
        });
        let at = (0..self.waiting.len()).find(|at| self.may_run(&self.waiting[*at]))?;
        let host = self.waiting.remove(at)?;
        self.begin(&host);
        Some(host)
    }
}

/// Whose name servers answer for a name, as far as the name tells: its last two labels.
fn domain(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.rmatch_indices('.').nth(1).map_or(host, |(at, _)| &host[at + 1..])
}

impl NameNotFound {
    fn new(host: &str, error: &io::Error) -> Self {
        let text = error.to_string();
        let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        // The system's resolver says "temporary failure" where it could not open a socket.
        let socket = UdpSocket::bind(("127.0.0.1", 0));
        let is_local =
            shortage::is_said(error) || socket.is_err_and(|error| shortage::is_said(&error));
        Self { host: host.to_owned(), reason: reason.to_owned(), is_local }
    }

    fn silent(host: String) -> Self {
        let reason = format!("no name server answers within {}", lasting(PATIENCE));
        Self { host, reason, is_local: false }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    async fn ask(resolver: &Resolver, host: &str) -> Result<usize, NoAddress> {
        let found = resolver.clone().call(host.parse().expect("a name")).await;
        found.map(Iterator::count)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "blocks its thread, as the system's resolver does; such threads are there for that"
    )]
    fn block(span: Duration) {
        std::thread::sleep(span);
    }

    /// Name servers that are silent for all names below `silent.example` and `mute.example`: the thread
    /// is blocked, as that of the system's resolver is.
    fn partly_silent(host: &str) -> io::Result<Vec<SocketAddr>> {
        if host.ends_with("silent.example") || host.ends_with("mute.example") {
            block(Duration::from_secs(3));
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))])
    }

    #[tokio::test]
    async fn names_of_this_machine_are_found_and_others_are_not() {
        let mut resolver = Resolver::new(None);
        let mut found = resolver.call("localhost".parse().unwrap()).await.unwrap();
        assert!(found.all(|at| at.ip().is_loopback()));
        let error = resolver.call("nowhere.invalid".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().starts_with("name not found: nowhere.invalid ("), "{error}");
        assert!(matches!(error, NoAddress::NotFound(name) if !name.is_local()));
    }

    /// A name whose answers change: public when it is asked for the first time, private the next.
    #[tokio::test]
    async fn of_ten_thousand_names_that_answer_differently_none_leads_to_a_private_address() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        const PRIVATE: [[u8; 4]; 4] =
            [[127, 0, 0, 1], [10, 0, 0, 7], [169, 254, 169, 254], [192, 168, 1, 1]];
        let asking = Resolver::asking(|_| {
            let n = ASKED.fetch_add(1, Ordering::SeqCst);
            let private = SocketAddr::from((PRIVATE[n % PRIVATE.len()], 0));
            let public = SocketAddr::from(([1, 1, 1, 1], 0));
            Ok(match n % 3 {
                0 => vec![public],
                1 => vec![private],
                _ => vec![private, public],
            })
        });
        let guard = Some(EgressGuard::new(Arc::default()));
        let resolver = Resolver { guard, ..asking };
        let (mut passed, mut refused) = (0, 0);
        for n in 0..10_000 {
            let name = format!("rebind{n}.example").parse().unwrap();
            match resolver.clone().call(name).await {
                Ok(found) => {
                    let found: Vec<_> = found.collect();
                    assert_eq!(found, [SocketAddr::from(([1, 1, 1, 1], 0))]);
                    passed += 1;
                }
                Err(NoAddress::Refused(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!((passed, refused), (6667, 3333));
    }

    #[tokio::test]
    async fn whoever_asks_for_the_same_name_shares_one_look_up() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let resolver = Resolver::asking(|_| {
            ASKED.fetch_add(1, Ordering::SeqCst);
            block(Duration::from_millis(200));
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))])
        });
        let all = join_all((0..100).map(|_| ask(&resolver, "one.example"))).await;
        assert!(all.iter().all(|found| matches!(found, Ok(1))), "{all:?}");
        assert_eq!(ASKED.load(Ordering::SeqCst), 1);
        assert!(ask(&resolver, "one.example").await.is_ok());
        assert_eq!(ASKED.load(Ordering::SeqCst), 2, "nothing is cached");
    }

    #[tokio::test]
    async fn silent_name_servers_hold_up_their_own_names_only() {
        let resolver = Resolver::asking(partly_silent);
        let begun = Instant::now();
        // Many calls at one name, and many names of two domains.
        let names = (0..100).map(|_| "silent.example".to_owned());
        let names = names.chain((0..100).map(|n| format!("{n}.silent.example")));
        let names = names.chain((0..100).map(|n| format!("{n}.mute.example")));
        let mut held: Vec<_> =
            names.map(|name| resolver.clone().call(name.parse().unwrap())).collect();
        for future in &mut held {
            assert!(futures_util::poll!(future).is_pending());
        }

        for number in 0..100 {
            assert_eq!(ask(&resolver, &format!("good{number}.example")).await.unwrap(), 1);
        }

        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert_eq!(resolver.lookups.lock().running, 2 * LOOKUPS_OF_DOMAIN_MAX);
        // Nobody waits any more: the threads end with what they do now.
        drop(held);
        while resolver.lookups.lock().running > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(resolver.lookups.lock().names.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_has_lasted_too_long_is_not_waited_for() {
        let resolver = Resolver::asking(|_| Err(io::ErrorKind::TimedOut.into()));
        let (sender, _found) = watch::channel(None);
        let lookup = Lookup { since: Instant::now(), found: sender };
        resolver.lookups.lock().names.insert("silent.example".to_owned(), lookup);
        let begun = Instant::now();
        let error = ask(&resolver, "silent.example").await.unwrap_err();
        assert!(error.to_string().contains("no name server answers"), "{error}");
        assert_eq!(begun.elapsed(), PATIENCE);
        assert!(ask(&resolver, "silent.example").await.is_err());
        assert_eq!(begun.elapsed(), PATIENCE, "at once");
    }

    #[test]
    fn a_domain_is_the_last_two_labels() {
        for (host, expected) in [
            ("localhost", "localhost"),
            ("shop.example", "shop.example"),
            ("a.b.shop.example", "shop.example"),
            ("a.shop.example.", "shop.example"),
        ] {
            assert_eq!(domain(host), expected, "{host}");
        }
    }
}
