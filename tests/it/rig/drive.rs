//! Carries a schedule out.
//!
//! Owns the lanes: what hits the same thing is done one after the other, everything else at the same
//! time. Refuses to know what follows from it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::failpoints;
use super::fleet::{Fleet, Order};
use super::history::FaultKind;
use super::journal::Journal;
use super::queues::Cast;
use super::recorder::{Mood, Recorder};
use super::schedule::{Harm, Step, bad_mood};
use super::stage::Stage;
use crate::support::Wire;
use crate::support::clocks::wall_us;

/// Everything that can be harmed.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) stage: Mutex<Stage>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) recorder: Recorder,
    pub(crate) mood: Mood,
    pub(crate) cast: Cast,
    pub(crate) ports: Vec<u16>,
    /// How many clients come at once in [`Harm::IdleClients`].
    pub(crate) clients: usize,
    pub(crate) journal: Journal,
}

const LANES: usize = 5;

fn lane(harm: Harm) -> usize {
    match harm {
        Harm::KillDaemon | Harm::ArmDaemon | Harm::StopDaemon | Harm::PauseDaemon => 0,
        Harm::CutWire | Harm::BlackholeWire | Harm::HalveReply | Harm::DelayWire => 1,
        Harm::SpoilDownstream => 2,
        Harm::IdleClients => 3,
        _ => 4,
    }
}

/// Does everything in its time; returns when the last harm is over.
pub(crate) async fn drive(world: &Arc<World>, steps: &[Step]) {
    let began = Instant::now();
    let in_lane = |number| steps.iter().filter(move |step| lane(step.harm) == number);
    let [a, b, c, d, e] = std::array::from_fn::<_, LANES, _>(|number| {
        let world = Arc::clone(world);
        Box::pin(async move {
            for step in in_lane(number) {
                tokio::time::sleep_until(began + Duration::from_millis(step.at_ms)).await;
                world.harm(step).await;
            }
        })
    });
    tokio::join!(a, b, c, d, e);
}

impl World {
    async fn harm(&self, step: &Step) {
        let at_us = wall_us();
        // A daemon may have died meanwhile: the life that began with it and the one that ends with it.
        let life = self.fleet.life(step.node);
        let note = |kind| {
            for life in BTreeSet::from([life, self.fleet.life(step.node)]) {
                self.journal.note(kind, at_us, Some(life), "");
            }
        };
        match step.harm {
            Harm::KillDaemon => self.fleet.order(step.node, Order::Kill(step.length)).await,
            Harm::StopDaemon => self.fleet.order(step.node, Order::Stop).await,
            Harm::PauseDaemon => self.fleet.order(step.node, Order::Pause(step.length)).await,
            Harm::ArmDaemon => {
                let failpoint = failpoints::some(self.cast, step.dice);
                self.fleet.order(step.node, Order::Arm(failpoint)).await;
            }
            Harm::CutWire => {
                self.wires[step.node].cut();
                note(FaultKind::WireCut);
            }
            Harm::HalveReply => {
                self.wires[step.node].halve_a_reply();
                note(FaultKind::WireHalfReply);
            }
            Harm::BlackholeWire => {
                self.wires[step.node].set_silent(true);
                tokio::time::sleep(step.length).await;
                self.wires[step.node].set_silent(false);
                note(FaultKind::WireBlackhole);
            }
            Harm::DelayWire => {
                self.wires[step.node].set_delay(Duration::from_millis(5 + step.dice % 200));
                tokio::time::sleep(step.length).await;
                self.wires[step.node].set_delay(Duration::ZERO);
                note(FaultKind::WireDelay);
            }
            Harm::SpoilDownstream => {
                let mood = bad_mood(step.dice);
                self.recorder.set_mood(&mood).await;
                tokio::time::sleep(step.length).await;
                self.recorder.set_mood(&self.mood).await;
                self.journal.note(FaultKind::DownstreamBad, at_us, None, &format!("{mood:?}"));
            }
            Harm::IdleClients => {
                let clients = idle_clients(self.ports[step.node], self.clients).await;
                tokio::time::sleep(step.length).await;
                let detail = clients.len().to_string();
                drop(clients);
                self.journal.note(FaultKind::IdleClients, at_us, None, &detail);
            }
            _ => {
                for harmed in self.stage.lock().await.suffer(step).await {
                    self.journal.note_harmed(&harmed);
                }
            }
        }
    }

    /// Nothing is harmed any more.
    pub(crate) async fn mend(&self) {
        self.fleet.calm();
        for wire in &self.wires {
            wire.set_silent(false);
            wire.set_delay(Duration::ZERO);
        }
        self.recorder.set_mood(&Mood::GOOD).await;
    }
}

/// Connections that say nothing, or half of a request.
async fn idle_clients(port: u16, count: usize) -> Vec<TcpStream> {
    let connect = move || {
        let mut clients = Vec::new();
        for number in 0..count {
            // A daemon that was killed meanwhile takes none.
            let Ok(mut client) = TcpStream::connect(("127.0.0.1", port)) else { break };
            if number % 2 == 0 {
                let _taken = client.write_all(b"POST /v1/queues/fast/messages HTTP/1.1\r\nConte");
            }
            clients.push(client);
        }
        clients
    };
    tokio::task::spawn_blocking(connect).await.expect("connecting does not panic")
}
