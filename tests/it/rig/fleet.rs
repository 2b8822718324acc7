//! The daemons of a run, each in the hands of a keeper that hurts it on order and brings it back.
//!
//! Owns their lives: which boot of which node runs, how it ended, when it is started again. A daemon
//! that ends by itself is brought back too, and remembered for it. Refuses to know when and why.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::failpoints;
use super::history::{FaultKind, Life};
use super::journal::Journal;
use crate::support::Daemon;
use crate::support::clocks::wall_us;
use crate::support::daemon::DaemonOptions;
use crate::support::http::Http;

/// How long a daemon stays away that died of itself or at a failpoint.
const DEAD_FOR: Duration = Duration::from_millis(200);
/// What a stop may take, see `server.drain_timeout`.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// What a keeper can do to its daemon.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// `kill -9`, away for so long.
    Kill(Duration),
    /// SIGTERM, waited for, and started again at once.
    Stop,
    /// SIGSTOP for so long.
    Pause(Duration),
    /// Its next death is at this failpoint: killed and started again with it armed.
    Arm(String),
}

struct Keeper {
    daemon: Daemon,
    life: Life,
    armed: Option<String>,
    journal: Journal,
    is_calm: Arc<AtomicBool>,
    boot: Arc<AtomicU32>,
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Fleet {
    orders: Vec<mpsc::Sender<Order>>,
    keepers: Vec<JoinHandle<Daemon>>,
    http: Vec<Http>,
    ports: Vec<u16>,
    boots: Vec<Arc<AtomicU32>>,
    is_calm: Arc<AtomicBool>,
}

impl Fleet {
    /// Starts a daemon for each of these options and waits until all are ready.
    pub(crate) async fn start(nodes: Vec<DaemonOptions>, journal: &Journal) -> Self {
        let is_calm = Arc::new(AtomicBool::new(false));
        let (orders, keepers, http) = (Vec::new(), Vec::new(), Vec::new());
        let (ports, boots) = (Vec::new(), Vec::new());
        let mut fleet = Self { orders, keepers, http, ports, boots, is_calm };
        let mut daemons = Vec::new();
        for (node, options) in nodes.into_iter().enumerate() {
            let life = Life { node: u32::try_from(node).expect("few"), boot: 0 };
            daemons.push((life, options.environment("RIG_LIFE", &text(life)).launch()));
        }
        for (life, mut daemon) in daemons {
            daemon.wait_ready().await;
            fleet.http.push(daemon.http().clone());
            fleet.ports.push(daemon.port());
            let (order, orders) = mpsc::channel(16);
            fleet.orders.push(order);
            let (journal, is_calm) = (journal.clone(), Arc::clone(&fleet.is_calm));
            let boot = Arc::new(AtomicU32::new(0));
            fleet.boots.push(Arc::clone(&boot));
            let keeper = Keeper { daemon, life, armed: None, journal, is_calm, boot };
            fleet.keepers.push(spawn(keeper.keep(orders)));
        }
        fleet
    }

    /// Which life of this node runs.
    pub(crate) fn life(&self, node: usize) -> Life {
        let boot = self.boots[node].load(Ordering::Relaxed);
        Life { node: u32::try_from(node).expect("few"), boot }
    }

    /// Where each node listens.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.ports.clone()
    }

    /// The API of each node.
    pub(crate) fn http(&self) -> &[Http] {
        &self.http
    }

    pub(crate) async fn order(&self, node: usize, order: Order) {
        self.orders[node].send(order).await.expect("keepers stay until the end");
    }

    /// From now on nothing is armed when it starts.
    pub(crate) fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
    }

    /// Ends the keepers; the daemons run on until they are dropped.
    pub(crate) async fn dismiss(self) -> Vec<Daemon> {
        drop(self.orders);
        let mut daemons = Vec::new();
        for keeper in self.keepers {
            daemons.push(keeper.await.expect("a keeper panicked, see above"));
        }
        daemons
    }
}

impl Keeper {
    async fn keep(mut self, mut orders: mpsc::Receiver<Order>) -> Daemon {
        loop {
            tokio::select! {
                code = self.daemon.ended() => {
                    let at_us = wall_us();
                    tokio::time::sleep(DEAD_FOR).await;
                    let detail = match self.armed.take() {
                        Some(failpoint) => format!("failpoint {failpoint}"),
                        None => format!("ended by itself with code {code}"),
                    };
                    self.start_again(None);
                    self.note(FaultKind::DaemonKill, at_us, &detail);
                }
                order = orders.recv() => match order {
                    Some(order) => self.carry_out(order).await,
                    None => return self.daemon,
                },
            }
        }
    }

    async fn carry_out(&mut self, order: Order) {
        let at_us = wall_us();
        match order {
            Order::Kill(down) => {
                self.daemon.kill9().await;
                tokio::time::sleep(down).await;
                self.start_again(None);
                self.note(FaultKind::DaemonKill, at_us, "");
            }
            Order::Arm(failpoint) => {
                self.daemon.kill9().await;
                self.start_again(Some(failpoint));
                self.note(FaultKind::DaemonKill, at_us, "");
            }
            Order::Stop => {
                self.daemon.signal(Signal::TERM);
                let ended = tokio::time::timeout(STOP_WITHIN, self.daemon.ended()).await;
                let code = ended.expect("a stop ends");
                self.start_again(None);
                self.note(FaultKind::DaemonStop, at_us, &format!("code {code}"));
            }
            Order::Pause(length) => {
                self.daemon.signal(Signal::STOP);
                tokio::time::sleep(length).await;
                self.daemon.signal(Signal::CONT);
                self.journal.note(FaultKind::DaemonPause, at_us, Some(self.life), "");
            }
        }
    }

    fn start_again(&mut self, failpoint: Option<String>) {
        self.life.boot += 1;
        self.boot.store(self.life.boot, Ordering::Relaxed);
        self.armed = failpoint.filter(|_| !self.is_calm.load(Ordering::Relaxed));
        let armed = self.armed.clone().unwrap_or_default();
        let environment = [("RIG_LIFE", text(self.life)), (failpoints::VARIABLE, armed)];
        self.daemon.start_again_with(&environment);
    }

    /// The life that ended; the next one has begun.
    fn note(&self, kind: FaultKind, at_us: u64, detail: &str) {
        let life = Life { boot: self.life.boot - 1, ..self.life };
        self.journal.note(kind, at_us, Some(life), detail);
    }
}

fn text(life: Life) -> String {
    format!("{}.{}", life.node, life.boot)
}

#[expect(clippy::disallowed_methods, reason = "its end is awaited, with what it returns")]
fn spawn(task: impl Future<Output = Daemon> + Send + 'static) -> JoinHandle<Daemon> {
    tokio::spawn(task)
}
