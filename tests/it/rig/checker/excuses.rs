//! What a fault excuses, and what it does not.
//!
//! Owns the slack of every rule, in one place, so that it can be argued about. Refuses to excuse a
//! graceful stop, a Redis that was away (its leases get their grace), or a repeat by a node that lived.

use std::collections::HashMap;

use super::super::history::{Arrival, Fault, FaultKind, History, Life, Queue};

/// What a call may be late against its slot, by the contract.
const LATE_US: u64 = 20_000;
/// Two clocks on one machine read a moment apart.
const READING_US: u64 = 100;
/// A slow moment is felt so much before and after it was measured.
const AROUND_US: u64 = 500_000;
/// From an answer that left the downstream to an outcome that Redis has, on a loaded machine.
const SETTLE_US: u64 = 1_000_000;
/// A caller's clock runs so long before its call has been read, on an idle machine at most.
const UNREAD_US: u64 = 100_000;
/// What a replica may be behind when it takes over.
const BEHIND_US: u64 = 2_000_000;
/// Nodes resume so long after Redis takes writes again, by the contract.
const RESUME_US: u64 = 5_000_000;

/// The faults of a run, so that each excuse is found without a walk over all of them.
pub(super) struct Excuses<'a> {
    history: &'a History,
    /// When each life was ended by force.
    kills: HashMap<Life, u64>,
    /// What keeps outcomes waiting, by beginning; and how long the longest lasted.
    away: Vec<&'a Fault>,
    away_us_max: u64,
    /// From when on Redis' clock may be off by how much.
    clock_errors: Vec<(u64, u64)>,
    /// When two masters may have let calls start, in their order and apart from one another.
    two_masters: Vec<(u64, u64)>,
}

impl<'a> Excuses<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let kills = history.faults.iter().filter(|fault| fault.kind == FaultKind::DaemonKill);
        let mut away: Vec<_> = history.faults.iter().filter(|f| is_away(f.kind)).collect();
        away.sort_by_key(|fault| fault.at_us);
        Self {
            history,
            kills: kills.filter_map(|fault| Some((fault.life?, fault.at_us))).collect(),
            away_us_max: away.iter().map(|fault| length_us(fault)).max().unwrap_or(0),
            away,
            clock_errors: clock_errors(history),
            two_masters: two_masters(history),
        }
    }

    /// How much later than its slot a call may be seen.
    pub(super) fn late_us(&self, at_us: u64) -> u64 {
        LATE_US + self.lag_us(at_us) + self.clock_error_us(at_us)
    }

    /// How slow the machine was around this moment.
    fn lag_us(&self, at_us: u64) -> u64 {
        let lags = &self.history.lags;
        let first = lags.partition_point(|lag| lag.at_us + AROUND_US < at_us);
        let around = lags[first..].iter().take_while(|lag| lag.at_us <= at_us + AROUND_US);
        around.map(|lag| lag.took_us).max().unwrap_or(0).max(self.history.stall_us)
    }

    /// How far Redis' clock may be off the recorder's, at a moment: as far as somebody set it.
    pub(super) fn clock_error_us(&self, at_us: u64) -> u64 {
        READING_US + self.stepped_us(at_us)
    }

    /// The same without what a reading may be off.
    pub(super) fn stepped_us(&self, at_us: u64) -> u64 {
        let steps = self.clock_errors.partition_point(|(from_us, _)| *from_us <= at_us);
        steps.checked_sub(1).map_or(0, |last| self.clock_errors[last].1)
    }

    /// Whether this item was being sent when its node was killed.
    pub(super) fn killed_while_sending(&self, arrival: &Arrival) -> bool {
        let killed_us = self.kills.get(&arrival.by);
        killed_us.is_some_and(|killed_us| *killed_us <= self.settled_by_us(arrival))
    }

    /// Whether the node could not keep its lease: it stood still, or was cut off, for so long that
    /// another took over by right.
    pub(super) fn lost_its_lease(&self, queue: &Queue, arrival: &Arrival) -> bool {
        let until_us = self.settled_by_us(arrival);
        self.history.faults.iter().any(|fault| {
            let is_alone = matches!(
                fault.kind,
                FaultKind::DaemonPause | FaultKind::WireCut | FaultKind::WireBlackhole
            );
            // Renewed three times a lease: two thirds are left, and a little, when a node falls silent.
            let is_long = length_us(fault) >= queue.lease_ms * 1000 / 2;
            let is_then = fault.at_us <= until_us && fault.until_us >= arrival.at_us;
            is_alone && fault.life == Some(arrival.by) && is_long && is_then
        })
    }

    /// Whether a replica that took over may not have known of this call, or of its end.
    pub(super) fn rolled_back(&self, arrival: &Arrival) -> bool {
        let until_us = arrival.answer_at_us + SETTLE_US + self.lag_us(arrival.at_us);
        self.history.faults.iter().filter(|fault| is_failover(fault.kind)).any(|fault| {
            let from_us = fault.at_us.saturating_sub(BEHIND_US);
            from_us <= until_us && arrival.at_us <= fault.until_us + RESUME_US
        })
    }

    /// The last failover that began in this time.
    pub(super) fn last_failover(&self, from_us: u64, to_us: u64) -> Option<&'a Fault> {
        let mut latest_first = self.history.faults.iter().rev();
        latest_first
            .find(|fault| is_failover(fault.kind) && (from_us..=to_us).contains(&fault.at_us))
    }

    /// Whether the node of this call was killed so long before a moment that its lease may have ended by then.
    pub(super) fn killed_by(&self, queue: &Queue, arrival: &Arrival, at_us: u64) -> bool {
        let killed_us = self.kills.get(&arrival.by);
        killed_us.is_some_and(|killed_us| killed_us + queue.lease_ms * 1000 / 2 <= at_us)
    }

    /// Whether a replica that took over may not know what a call of this moment had taken of a quota by key.
    pub(super) fn units_forgotten(&self, at_us: u64) -> bool {
        self.history.faults.iter().filter(|fault| is_failover(fault.kind)).any(|fault| {
            (fault.at_us.saturating_sub(BEHIND_US)..=fault.until_us + RESUME_US).contains(&at_us)
        })
    }

    /// A moment as rates count it: while two masters may let calls start, each at the pace of the rate, time counts twice.
    /// A replica that takes over goes on without a burst and from its own time on, whatever it does not know of what
    /// had started before: so nothing more is forgotten, and nothing before the failover.
    pub(super) fn paced_us(&self, at_us: u64) -> u64 {
        let twice = |(from_us, to_us): &(u64, u64)| at_us.min(*to_us).saturating_sub(*from_us);
        at_us + self.two_masters.iter().map(twice).sum::<u64>()
    }

    /// Whether two masters may have let calls start at some moment between these two.
    pub(super) fn had_two_masters(&self, from_us: u64, to_us: u64) -> bool {
        self.two_masters
            .iter()
            .any(|(began_us, ended_us)| *began_us <= to_us && from_us <= *ended_us)
    }

    /// Whether the caller may have given up before the answer came.
    pub(super) fn answered_too_late(&self, queue: &Queue, arrival: &Arrival) -> bool {
        arrival.answer_at_us >= self.patient_until_us(queue, arrival)
    }

    /// Until when its caller surely waited for the answer, if it lived: its clock ran before the call had been read
    /// here.
    fn patient_until_us(&self, queue: &Queue, arrival: &Arrival) -> u64 {
        let before_us = UNREAD_US + self.lag_us(arrival.at_us);
        arrival.at_us + (queue.timeout_ms * 1000).saturating_sub(before_us)
    }

    /// Until when a call surely was in flight: it was answered, or its caller gave up or was killed.
    pub(super) fn in_flight_until_us(&self, queue: &Queue, arrival: &Arrival) -> u64 {
        let killed_us = self.kills.get(&arrival.by).map_or(u64::MAX, |at_us| *at_us);
        let caller_us = self.patient_until_us(queue, arrival).min(killed_us);
        arrival.answer_at_us.min(caller_us).max(arrival.at_us)
    }

    /// Whether a node that had stood still may have sent this at once when it went on, without a look at whether it still
    /// might: it was stopped between this look and the first byte.
    pub(super) fn woken(&self, arrival: &Arrival) -> bool {
        self.history.faults.iter().any(|fault| {
            let until_us = fault.until_us + SETTLE_US + self.lag_us(arrival.at_us);
            fault.kind == FaultKind::DaemonPause
                && fault.life == Some(arrival.by)
                && (fault.at_us..=until_us).contains(&arrival.at_us)
        })
    }

    /// Whether a node that stood still may have sent so late that a newer attempt was first.
    pub(super) fn overtaken(&self, arrival: &Arrival) -> bool {
        self.history.faults.iter().any(|fault| {
            fault.kind == FaultKind::DaemonPause
                && fault.life == Some(arrival.by)
                && fault.at_us <= arrival.at_us
        })
    }

    /// Whether a replica that took over may not know all calls under way.
    pub(super) fn calls_forgotten(&self, queue: &Queue, at_us: u64) -> bool {
        self.history.faults.iter().filter(|fault| is_failover(fault.kind)).any(|fault| {
            (fault.at_us..=fault.until_us + 2 * queue.lease_ms * 1000).contains(&at_us)
        })
    }

    /// How long an item is "being sent": until its outcome surely was kept.
    fn settled_by_us(&self, arrival: &Arrival) -> u64 {
        let mut until_us = arrival.answer_at_us + SETTLE_US + self.lag_us(arrival.at_us);
        // An outcome waits for a Redis that is away.
        let first = self
            .away
            .partition_point(|fault| fault.at_us + self.away_us_max + RESUME_US < arrival.at_us);
        for fault in self.away[first..]
            .iter()
            .take_while(|fault| fault.at_us <= arrival.answer_at_us + self.away_us_max + RESUME_US)
        {
            if fault.at_us <= until_us && fault.until_us + RESUME_US >= arrival.at_us {
                until_us = until_us.max(fault.until_us + RESUME_US + SETTLE_US);
            }
        }
        until_us
    }
}

fn length_us(fault: &Fault) -> u64 {
    fault.until_us.saturating_sub(fault.at_us)
}

/// After each step: the larger of the offset that was and the one that is, until all have noticed. A
/// step that was over is taken back by then.
fn clock_errors(history: &History) -> Vec<(u64, u64)> {
    let mut steps = Vec::new();
    for fault in history.faults.iter().filter(|fault| fault.kind == FaultKind::ClockStep) {
        let by_ms = step_ms(&fault.detail);
        steps.push((fault.at_us, by_ms));
        if fault.until_us > fault.at_us {
            steps.push((fault.until_us, -by_ms));
        }
    }
    steps.sort_unstable();
    let mut offset_ms = 0_i64;
    let errors = steps.into_iter().map(|(at_us, by_ms)| {
        let was_ms = offset_ms.unsigned_abs();
        offset_ms += by_ms;
        (at_us, was_ms.max(offset_ms.unsigned_abs()) * 1000)
    });
    errors.collect()
}

/// From the beginning of a failover until another master takes writes and the old one has given way.
fn two_masters(history: &History) -> Vec<(u64, u64)> {
    let failovers = history.faults.iter().filter(|fault| is_failover(fault.kind));
    let mut all: Vec<_> = failovers.map(|fault| (fault.at_us, fault.until_us)).collect();
    all.sort_unstable();
    let mut apart: Vec<(u64, u64)> = Vec::new();
    for (from_us, to_us) in all {
        match apart.last_mut() {
            Some(last) if from_us <= last.1 => last.1 = last.1.max(to_us),
            _ => apart.push((from_us, to_us)),
        }
    }
    apart
}

/// The first number of a detail, with its sign.
fn step_ms(detail: &str) -> i64 {
    let from = detail.find(|c: char| c.is_ascii_digit() || c == '-').unwrap_or(detail.len());
    let text = &detail[from..];
    let end = text[1.min(text.len())..].find(|c: char| !c.is_ascii_digit());
    let number = end.map_or(text, |end| &text[..=end]);
    number.parse().expect("a step of the clock says its milliseconds first")
}

fn is_failover(kind: FaultKind) -> bool {
    use FaultKind::{FailoverKill, FailoverPause, FailoverPlanned};
    matches!(kind, FailoverKill | FailoverPause | FailoverPlanned)
}

/// Whether outcomes wait while it lasts.
fn is_away(kind: FaultKind) -> bool {
    use FaultKind::{
        DiskFull, MemoryFull, RedisKill, RedisPause, Reshard, WireBlackhole, WireCut, WireDelay,
        WireHalfReply,
    };
    is_failover(kind)
        || matches!(
            kind,
            DiskFull
                | MemoryFull
                | RedisKill
                | RedisPause
                | Reshard
                | WireBlackhole
                | WireCut
                | WireDelay
                | WireHalfReply
        )
}
