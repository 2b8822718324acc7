//! What is done to the system and when, drawn from a seed before a run begins.
//!
//! Owns the drawing: the same seed, faults and length give the same list, which is what makes a failed
//! run worth repeating. Refuses to know how a fault is done.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::recorder::Mood;

/// A kind of harm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Harm {
    /// `kill -9` of a daemon.
    KillDaemon,
    /// A daemon is started with one of its failpoints armed.
    ArmDaemon,
    /// SIGTERM of a daemon, and a new one.
    StopDaemon,
    /// SIGSTOP of a daemon for longer than a lease.
    PauseDaemon,
    /// `kill -9` of a single Redis; every other time its machine loses its power too.
    KillRedis,
    /// The master of a set or shard is killed and comes back as a replica.
    FailoverKill,
    /// The master is stopped, and let go after its replica took over.
    FailoverPause,
    FailoverPlanned,
    /// A slot with messages moves to another master.
    Reshard,
    /// One daemon's connections to Redis break.
    CutWire,
    /// One daemon's connections to Redis stay open and carry nothing.
    BlackholeWire,
    /// The next reply to one daemon ends in its middle.
    HalveReply,
    /// Replies to one daemon come late.
    DelayWire,
    /// The clock of Redis steps by up to a second.
    StepClock,
    /// Redis is at its `maxmemory`.
    FillMemory,
    /// The disk under Redis is full.
    FillDisk,
    /// The downstream is in a bad mood.
    SpoilDownstream,
    /// Clients connect to a daemon and say nothing, or half of something.
    IdleClients,
}

impl Harm {
    pub(crate) fn is_on_a_wire(self) -> bool {
        matches!(self, Self::CutWire | Self::BlackholeWire | Self::HalveReply | Self::DelayWire)
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) at_ms: u64,
    pub(crate) harm: Harm,
    /// The daemon it is done to, where it is one.
    pub(crate) node: usize,
    /// How long it lasts, where it lasts.
    pub(crate) length: Duration,
    /// Whatever else has to be drawn.
    pub(crate) dice: u64,
}

/// How often each kind of harm comes, by its mean distance.
pub(crate) type Pace = (Harm, Duration);

/// Everything that is to be done in so long.
pub(crate) fn draw(seed: u64, paces: &[Pace], length: Duration, nodes: usize) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut steps = Vec::new();
    let ms = |time: Duration| u64::try_from(time.as_millis()).expect("a run is short");
    let end_ms = ms(length);
    for (harm, every) in paces {
        let every_ms = ms(*every);
        let mut turn = random.random_range(0..3);
        let mut at_ms = random.random_range(every_ms / 4..=every_ms);
        while at_ms < end_ms {
            let node = random.random_range(0..nodes);
            let length = lasts(*harm, &mut random);
            steps.push(Step { at_ms, harm: *harm, node, length, dice: random.random() });
            // Two come quickly, then there is a long calm: time enough for leases to be reaped, which
            // waits until Redis has been up for one.
            let share = match (harm, turn % 3) {
                (Harm::KillRedis, 0 | 1) => random.random_range(25..75),
                (Harm::KillRedis, _) => random.random_range(180..220),
                _ => random.random_range(50..150),
            };
            at_ms += every_ms * share / 100;
            turn += 1;
        }
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

fn lasts(harm: Harm, random: &mut StdRng) -> Duration {
    Duration::from_millis(match harm {
        Harm::KillDaemon => random.random_range(0..1000),
        Harm::PauseDaemon => random.random_range(7500..9000),
        Harm::KillRedis => random.random_range(0..600),
        Harm::BlackholeWire => random.random_range(500..7000),
        Harm::DelayWire | Harm::SpoilDownstream => random.random_range(1000..4000),
        Harm::FillMemory | Harm::FillDisk => random.random_range(1000..3000),
        Harm::IdleClients => random.random_range(2000..4000),
        _ => 0,
    })
}

/// One of the bad moods a downstream can be in.
pub(crate) fn bad_mood(dice: u64) -> Mood {
    let good = Mood::EVERYDAY;
    match dice % 6 {
        0 => Mood { slow: 900, slow_ms_max: 900, ..good },
        1 => Mood { hang: 300, ..good },
        2 => Mood { reset: 400, ..good },
        3 => Mood { lie: 400, ..good },
        4 => Mood { fail: 700, ..good },
        _ => Mood { throttle: 100, garbage: 300, ..good },
    }
}

#[test]
fn a_seed_draws_the_same_again() {
    let paces = [
        (Harm::KillDaemon, Duration::from_millis(1700)),
        (Harm::KillRedis, Duration::from_secs(6)),
    ];
    let minutes = |seed| draw(seed, &paces, Duration::from_secs(600), 3);
    let steps = minutes(1);
    assert_eq!(steps, minutes(1));
    assert_ne!(steps, minutes(2));
    let kills = steps.iter().filter(|step| step.harm == Harm::KillDaemon).count();
    assert!((300..400).contains(&kills), "{kills}");
    let kills = steps.iter().filter(|step| step.harm == Harm::KillRedis).count();
    assert!((85..120).contains(&kills), "{kills}");
}
