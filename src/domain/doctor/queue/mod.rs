//! What is wrong with a queue. What holds it is asked of its gates.

mod downstream;
#[cfg(test)]
mod tests;

use self::downstream::{fails, hosts_fail, shut};
use super::finding::{Finding, FindingCode};
use crate::domain::failing::Failing;
use crate::domain::gates::{Gate, GateState, Gates, Why};
use crate::domain::human::{count, distance, span};
use crate::domain::id::QueueName;
use crate::domain::keys::WithoutEffect;
use crate::domain::limit::LimitName;

/// A ready message that has waited so long is worth a second look.
const AGE_MS_WORTH_A_LOOK: u64 = 60_000;

/// What was seen of a queue.
#[derive(Debug, Clone)]
pub struct QueueFacts {
    /// Its name.
    pub name: QueueName,
    /// Whether workers pull from it.
    pub is_pulled: bool,
    /// Whether it has left the configuration.
    pub is_retired: bool,
    /// What holds its messages.
    pub gates: Gates,
    /// Quotas that hold its first ready message, each with the moment at which it begins again, ms.
    pub quotas: Vec<(LimitName, Option<u64>)>,
    /// Scheduled messages and ready ones.
    pub waiting: u64,
    /// Messages that somebody holds.
    pub leased: u64,
    /// Messages that were given up.
    pub dead: u64,
    /// One of these, and why it was given up.
    pub dead_example: Option<(String, String)>,
    /// Messages of which nobody knows whether they arrived.
    pub uncertain: u64,
    /// How long the oldest ready message has been due that no key holds: what waits for its key may do so for as long as the
    /// key takes.
    pub oldest_free_age_ms: Option<u64>,
    /// The same at a look shortly before; `None`: there was none.
    pub oldest_free_age_ms_before: Option<u64>,
    /// What is kept of a pause.
    pub pause: Option<PauseFacts>,
    /// What is kept of a gate that the downstream's answers shut.
    pub shut: Option<ShutFacts>,
    /// Set while the downstream fails.
    pub failing: Option<Failing>,
    /// Accepted messages that Redis lost while this node ran.
    pub lost: u64,
    /// Callback hosts that take no calls, of this node.
    pub hosts_left_alone: u64,
    /// Whether this node follows the structure of another one.
    pub follows: bool,
    /// What this node has refused since the backlog is full; `None`: it has room.
    pub refused: Option<RefusedFacts>,
    /// Quotas by key that are smaller than the cost of a ready message, each with the id of one.
    pub too_costly: Vec<(LimitName, String)>,
    /// What keys were given at run time and has no effect: how many keys, which part, and why.
    pub keys_without_effect: Vec<(u64, WithoutEffect)>,
}

/// Messages that were refused, as the backlog is full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFacts {
    /// How many.
    pub count: u64,
    /// What is full, as a part of a sentence, with the setting.
    pub what: String,
}

/// What is kept of a pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseFacts {
    /// Who paused it; may be empty.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// What is kept of a shut gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutFacts {
    /// Whether the downstream asked for fewer calls; else it refuses our credentials or our address.
    pub is_throttle: bool,
    /// What it answered.
    pub reason: String,
}

impl QueueFacts {
    /// Whether its oldest message ought to have left: then a second look shows whether it goes on waiting.
    #[must_use]
    pub fn needs_second_look(&self) -> bool {
        self.old_ms().is_some()
    }

    /// How long the oldest message has waited that nothing holds for long.
    ///
    /// The next slot of a rate and a free call come soon: behind these a message that waits long has too many
    /// others before it.
    fn old_ms(&self) -> Option<u64> {
        let holds = [Gate::Pause, Gate::Window, Gate::Throttled, Gate::Batch];
        let is_held =
            holds.iter().any(|gate| self.gates.of(*gate).is_held()) || !self.quotas.is_empty();
        let may_send = !is_held && !self.is_retired && self.failing.is_none();
        self.oldest_free_age_ms.filter(|age_ms| may_send && *age_ms >= AGE_MS_WORTH_A_LOOK)
    }
}

/// Everything that is wrong with a queue.
#[must_use]
pub fn of_queue(facts: &QueueFacts, now_ms: u64) -> Vec<Finding> {
    let name = &facts.name;
    let mut findings = Vec::new();
    findings.extend(lost(facts));
    if let GateState::Held { .. } = facts.gates.of(Gate::Pause) {
        findings.push(paused(facts));
    }
    if let GateState::Held { why: Why::WindowClosed { opens_at_ms }, .. } =
        facts.gates.of(Gate::Window)
    {
        findings.push(closed(name, opens_at_ms, now_ms));
    }
    let quotas = facts.quotas.iter();
    findings.extend(quotas.map(|(limit, until_ms)| quota_used(name, limit, *until_ms, now_ms)));
    findings.extend(facts.refused.as_ref().map(|refused| backlog_full(name, refused)));
    findings.extend(facts.follows.then(|| follows(name)));
    findings.extend(facts.too_costly.iter().map(|(limit, id)| too_costly(name, limit, id)));
    let keys = facts.keys_without_effect.iter();
    findings.extend(keys.map(|(keys, found)| key_without_effect(name, *keys, found)));
    if let GateState::Held { until_ms, .. } = facts.gates.of(Gate::Throttled) {
        findings.push(shut(facts, until_ms));
    }
    findings.extend(facts.failing.as_ref().map(|failing| fails(name, failing)));
    findings.extend(hosts_fail(facts));
    if facts.dead > 0 {
        findings.push(dead(facts));
    }
    if facts.uncertain > 0 {
        findings.push(Finding::problem(
            FindingCode::UncertainMessages,
            name,
            format!("{} may or may not have arrived", count(facts.uncertain, "message")),
            format!("`tidegate list {name} --state uncertain`; ask the downstream, then `tidegate resolve` each"),
        ));
    }
    findings.extend(stuck(facts));
    findings
}

/// Redis has less than it had confirmed.
fn lost(facts: &QueueFacts) -> Option<Finding> {
    (facts.lost > 0).then(|| {
        Finding::problem(
            FindingCode::Rollback,
            &facts.name,
            format!(
                "messages that were accepted are lost: Redis does not have them any more ({})",
                facts.lost
            ),
            "let their producers send them again with the same idempotency keys; GET /v1/rollbacks lists the ids",
        )
    })
}

/// A pause matters as soon as something waits behind it.
fn paused(facts: &QueueFacts) -> Finding {
    let QueueFacts { name, pause, waiting, .. } = facts;
    let part = |text: Option<&str>, before: &str, after: &str| {
        text.filter(|text| !text.is_empty())
            .map_or_else(String::new, |text| format!("{before}{text}{after}"))
    };
    let by = part(pause.as_ref().map(|pause| pause.by.as_str()), " by ", "");
    let reason = part(pause.as_ref().map(|pause| pause.reason.as_str()), " (", ")");
    let remedy = format!("`tidegate resume {name}` when the reason is gone");
    if *waiting == 0 {
        return Finding::note(
            FindingCode::Paused,
            name,
            format!("it is paused{by}{reason}"),
            remedy,
        );
    }
    let detail = format!("it is paused{by}{reason}, and {} wait", count(*waiting, "message"));
    Finding::problem(FindingCode::Paused, name, detail, remedy)
}

/// A closed window is as planned, unless it never opens.
fn closed(name: &QueueName, opens_at_ms: Option<u64>, now_ms: u64) -> Finding {
    let Some(at_ms) = opens_at_ms else {
        return Finding::problem(
            FindingCode::WindowNeverOpens,
            name,
            "its window is closed and never opens",
            "correct open and closed_dates in its configuration, and reload (SIGHUP)",
        );
    };
    Finding::note(
        FindingCode::WindowClosed,
        name,
        format!("its window is closed and opens {}", distance(at_ms, now_ms)),
        format!("nothing to do; `tidegate windows {name}` shows the next ones"),
    )
    .at(Some(at_ms))
}

/// A quota that holds the first message is as planned, unless that message never fits.
fn quota_used(name: &QueueName, limit: &LimitName, until_ms: Option<u64>, now_ms: u64) -> Finding {
    let Some(at_ms) = until_ms else {
        return Finding::problem(
            FindingCode::QuotaUsed,
            name,
            format!(
                "its first message costs more than the limit \"{limit}\" has in a whole period, and holds those behind it"
            ),
            format!(
                "raise the quota in its configuration, and reload (SIGHUP); or cancel the message: `tidegate list {name} --state ready`"
            ),
        );
    };
    Finding::note(
        FindingCode::QuotaUsed,
        name,
        format!("its limit \"{limit}\" is used and begins again {}", distance(at_ms, now_ms)),
        format!("nothing to do; `tidegate queue {name}` shows what is left; a larger quota lets more pass"),
    )
    .at(Some(at_ms))
}

/// What comes in is more than what leaves, or nothing leaves.
fn backlog_full(name: &QueueName, refused: &RefusedFacts) -> Finding {
    Finding::problem(
        FindingCode::BacklogFull,
        name,
        format!("{}: this node has refused {}", refused.what, count(refused.count, "message")),
        format!(
            "`tidegate queue {name}` shows what waits and what holds it; let more leave, or raise its backlog in the configuration and reload (SIGHUP)"
        ),
    )
}

/// The configuration of this node says otherwise than the structure that is in force.
fn follows(name: &QueueName) -> Finding {
    Finding::problem(
        FindingCode::StructureFollowed,
        name,
        "this node follows another one in ordering, fairness, limits by key and collapse: its own configuration says otherwise",
        "give all nodes the same configuration, and reload them (SIGHUP); `tidegate nodes` shows who follows",
    )
}

/// A quota by key was lowered below what a message costs.
fn too_costly(name: &QueueName, limit: &LimitName, id: &str) -> Finding {
    Finding::problem(
        FindingCode::QuotaTooSmall,
        name,
        format!(
            "the message {id} costs more than its limit \"{limit}\" has in a whole period, and is not sent; it holds those behind it that have the same key"
        ),
        format!(
            "raise the quota in the configuration of {name}, and reload (SIGHUP), or that of its key (`tidegate key {name}`); or `tidegate cancel {id}`"
        ),
    )
}

/// The configuration has changed since keys were given this.
fn key_without_effect(name: &QueueName, keys: u64, found: &WithoutEffect) -> Finding {
    let what = found.part.title();
    Finding::problem(
        FindingCode::KeysWithoutEffect,
        name,
        format!("{} given {what} at run time, without effect: {}", count_were(keys), found.why),
        format!(
            "`tidegate key {name}` shows them; change the configuration of {name} back, or put or delete them"
        ),
    )
}

fn count_were(keys: u64) -> String {
    format!("{} {}", count(keys, "key"), if keys == 1 { "was" } else { "were" })
}

/// How many are dead, and why one of them is: of a single one, that is the whole reason.
fn dead(facts: &QueueFacts) -> Finding {
    let QueueFacts { name, dead: number, .. } = facts;
    let why = match &facts.dead_example {
        None => String::new(),
        Some((id, why)) if *number == 1 => format!(": {id} ({why})"),
        Some((id, why)) => format!(", for example {id} ({why})"),
    };
    Finding::problem(
        FindingCode::DeadMessages,
        name,
        format!("{}{why}", count(*number, "dead message")),
        format!(
            "`tidegate list {name} --state dead` says why; where the message is wrong, `tidegate edit ID -d BODY` and `tidegate requeue ID`; where the downstream was, `tidegate requeue-all {name} --state dead`; what nobody needs, `tidegate purge {name} --state dead`"
        ),
    )
}

/// Between two looks, the age of a message that nothing holds has grown.
fn stuck(facts: &QueueFacts) -> Option<Finding> {
    let before_ms = facts.oldest_free_age_ms_before?;
    let age_ms = facts.old_ms().filter(|age_ms| *age_ms > before_ms)?;
    let name = &facts.name;
    if facts.is_pulled && facts.leased == 0 {
        return Some(Finding::problem(
            FindingCode::NoWorker,
            name,
            format!(
                "no worker has claimed since its oldest ready message came, {} ago",
                span(age_ms)
            ),
            format!("start its workers, or look why they do not call POST /v1/queues/{name}/claim"),
        ));
    }
    // It leaves at the pace that was asked for.
    if let Some(limit) = facts.gates.held_rates().next() {
        return Some(Finding::note(
            FindingCode::QueueStuck,
            name,
            format!(
                "the oldest ready message waits for {}, as its limit \"{limit}\" lets no more pass",
                span(age_ms)
            ),
            format!(
                "nothing to do if less comes in later; else raise the limit if the downstream can take more: `tidegate queue {name}` shows it"
            ),
        ));
    }
    Some(Finding::problem(
        FindingCode::QueueStuck,
        name,
        format!("the oldest ready message waits for {}, and its age grows", span(age_ms)),
        format!(
            "`tidegate queue {name}` shows rate and concurrency; raise them if the downstream can take more"
        ),
    ))
}
