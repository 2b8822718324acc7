//! What is wrong with Redis, and whether new messages are taken.

use super::finding::{About, Finding, FindingCode};
use crate::domain::durability::Durability;

/// What Redis may have too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Space on its disk.
    Disk,
}

/// Why a test write was refused; the texts name the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntakeRefusal {
    /// The node is stopping.
    Draining,
    /// There is too little room.
    Full(String),
    /// Redis may not hold messages.
    Unfit(String),
    /// It is not safe enough, or nobody knows.
    NotDurable(String),
}

/// What was seen of Redis.
#[derive(Debug, Clone, Default)]
pub struct StoreFacts {
    /// Whether it answers.
    pub is_up: bool,
    /// Why new messages are refused; `None`: a test write was kept.
    pub refusal: Option<IntakeRefusal>,
    /// Why one of its servers may hold no messages, with the remedy.
    pub unfit: Option<String>,
    /// What any of its servers has too little of.
    pub short_of: Vec<Resource>,
    /// The level that holds; `None`: nobody has looked yet.
    pub durability: Option<Durability>,
    /// Whether an alarm stands because its clock stepped.
    pub has_clock_alarm: bool,
    /// Whether its data was deleted or replaced since this node started.
    pub was_erased: bool,
}

/// How a finding begins that says why no new messages are taken.
const REFUSED: &str = "new messages are refused";

/// Redis cannot be reached: nothing more can be looked at.
#[must_use]
pub fn away(why: &str) -> Finding {
    Finding::problem(
        FindingCode::StoreAway,
        About::Store,
        format!("the daemon is not ready: {why}"),
        "start Redis, or correct [redis] in the configuration; accepted messages are kept, and the daemon goes on by itself",
    )
}

/// What keeps new messages out.
#[must_use]
pub fn of_intake(facts: &StoreFacts) -> Vec<Finding> {
    let mut short_of = facts.short_of.clone();
    let mut unfit = facts.unfit.as_deref();
    let mut findings = Vec::new();
    // What a test write was told says more than what is known of the servers, and is said once.
    findings.extend(facts.refusal.as_ref().map(|refusal| match refusal {
        IntakeRefusal::Draining => draining(),
        IntakeRefusal::Full(why) => {
            let resource = (!short_of.is_empty()).then(|| short_of.remove(0));
            full(format!("{REFUSED}: {why}"), resource)
        }
        IntakeRefusal::Unfit(why) => {
            unfit = None;
            refused(FindingCode::StoreUnfit, why)
        }
        IntakeRefusal::NotDurable(why) => refused(FindingCode::NotDurable, why),
    }));
    findings.extend(unfit.map(|why| refused(FindingCode::StoreUnfit, why)));
    findings.extend(short_of.into_iter().map(|resource| {
        let of = match resource {
            Resource::Memory => "memory",
            Resource::Disk => "disk",
        };
        full(format!("{REFUSED}, as Redis has too little {of} left"), Some(resource))
    }));
    findings
}

/// Everything that is wrong with Redis itself.
#[must_use]
pub fn of_store(facts: &StoreFacts) -> Vec<Finding> {
    let mut findings = of_intake(facts);
    if !facts.is_up {
        findings.push(Finding::problem(
            FindingCode::StoreAway,
            About::Store,
            "Redis cannot be reached",
            "start Redis, or correct [redis] in the configuration; accepted messages are kept",
        ));
    }
    if facts.has_clock_alarm {
        findings.push(Finding::problem(
            FindingCode::ClockAlarm,
            About::Clock,
            "the clock of Redis stepped: due times, the end of leases, expiry and retention wait",
            "look at the time synchronisation of Redis' machine; `tidegate clock` says when they go on",
        ));
    }
    if facts.was_erased {
        findings.push(Finding::problem(
            FindingCode::StoreErased,
            About::Store,
            "the data in Redis was deleted or replaced while Redis ran (FLUSHALL, FLUSHDB, SWAPDB, DEL or a restore)",
            "find out who did that; GET /v1/rollbacks of each node lists the ids that it knows to be missing; pause again what was paused",
        ));
    }
    findings.extend(low_durability(facts.durability));
    findings
}

fn draining() -> Finding {
    Finding::problem(
        FindingCode::Draining,
        About::Daemon,
        format!("{REFUSED}: it is stopping"),
        "start it again, or send to another node",
    )
}

fn refused(code: FindingCode, why: &str) -> Finding {
    Finding::problem(
        code,
        About::Store,
        format!("{REFUSED}: {why}"),
        "change that at Redis: messages are accepted again a second later; stored messages are still sent",
    )
}

fn full(detail: String, resource: Option<Resource>) -> Finding {
    let remedy = match resource {
        Some(Resource::Disk) => {
            "free space on the disk that holds the data of Redis; stored messages are still sent while Redis can write"
        }
        Some(Resource::Memory) => {
            "stored messages are still sent; raise maxmemory, shorten retention.delivered or limit it (delivered_max_bytes), or purge what nobody needs"
        }
        None => "make room for Redis, in memory or on its disk",
    };
    Finding::problem(FindingCode::StoreFull, About::Store, detail, remedy)
}

fn low_durability(level: Option<Durability>) -> Option<Finding> {
    let level = level.filter(|level| *level < Durability::Disk)?;
    Some(Finding::note(
        FindingCode::LowDurability,
        About::Store,
        format!(
            "durability is \"{}\": a crash of Redis may lose accepted messages",
            level.as_str()
        ),
        "run Redis with appendonly yes and appendfsync always, and set redis.durability = \"disk\"",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> StoreFacts {
        StoreFacts { is_up: true, durability: Some(Durability::Disk), ..StoreFacts::default() }
    }

    fn words(findings: &[Finding]) -> Vec<String> {
        let shown = |f: &Finding| format!("{} {}: {}", f.code.as_str(), f.about.name(), f.detail);
        findings.iter().map(shown).collect()
    }

    #[test]
    fn a_store_that_is_well_has_no_findings() {
        assert!(of_store(&well()).is_empty());
    }

    #[test]
    fn each_thing_that_is_wrong_is_found() {
        let facts = StoreFacts {
            is_up: false,
            unfit: Some("this Redis evicts".to_owned()),
            short_of: vec![Resource::Memory],
            durability: Some(Durability::Everysec),
            has_clock_alarm: true,
            was_erased: true,
            refusal: None,
        };
        assert_eq!(
            words(&of_store(&facts)),
            [
                "store-unfit store: new messages are refused: this Redis evicts",
                "store-full store: new messages are refused, as Redis has too little memory left",
                "store-away store: Redis cannot be reached",
                "clock-alarm clock: the clock of Redis stepped: due times, the end of leases, expiry and retention wait",
                "store-erased store: the data in Redis was deleted or replaced while Redis ran (FLUSHALL, FLUSHDB, SWAPDB, DEL or a restore)",
                "low-durability store: durability is \"everysec\": a crash of Redis may lose accepted messages",
            ]
        );
    }

    #[test]
    fn what_a_write_was_told_is_said_once_and_with_its_remedy() {
        let of = |refusal: IntakeRefusal, facts: StoreFacts| {
            of_intake(&StoreFacts { refusal: Some(refusal), ..facts })
        };
        let short = StoreFacts { short_of: vec![Resource::Disk], ..well() };
        let full = of(IntakeRefusal::Full("10 MiB left".to_owned()), short);
        assert_eq!(words(&full), ["store-full store: new messages are refused: 10 MiB left"]);
        assert!(full[0].remedy.starts_with("free space on the disk"));
        let unfit = StoreFacts { unfit: Some("this Redis evicts".to_owned()), ..well() };
        let unfit = of(IntakeRefusal::Unfit("this Redis evicts".to_owned()), unfit);
        assert_eq!(
            words(&unfit),
            ["store-unfit store: new messages are refused: this Redis evicts"]
        );
        assert_eq!(unfit[0].runbook().unwrap(), "docs/runbook.md#tidegatestoreunfit");
        let stops = of(IntakeRefusal::Draining, well());
        assert_eq!(words(&stops), ["draining daemon: new messages are refused: it is stopping"]);
        assert_eq!(stops[0].runbook(), None);
    }
}
