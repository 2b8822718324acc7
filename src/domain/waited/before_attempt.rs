//! What a message waited for before one attempt.

use super::{Parts, QueueHold, Waited, WaitedFor};

/// The wait for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitBefore {
    /// Whether it is the wait for the first attempt.
    pub is_first: bool,
    /// When it began, ms.
    pub from_ms: u64,
    /// When the attempt was due, ms.
    pub due_ms: u64,
    /// When the attempt began, ms.
    pub to_ms: u64,
    /// How much of the wait for the due time the hours of the recipient took, ms.
    pub hours_ms: u64,
    /// What held it while it stood first in its line, its order key or a limit, and for how long, ms.
    pub stood: Vec<(WaitedFor, u64)>,
}

impl WaitBefore {
    /// The parts of the wait, which add up to it; `holds`: what held the queue meanwhile. Where nobody knows that (`None`), what
    /// would be left for its turn is no part.
    #[must_use]
    pub fn parts(&self, holds: Option<&[QueueHold]>) -> Waited {
        let mut parts = Parts { holds: holds.unwrap_or_default(), sums: Vec::new() };
        let due_ms = self.due_ms.clamp(self.from_ms, self.to_ms);
        parts.before_due(self.is_first, self.from_ms, due_ms, self.hours_ms);
        parts.waiting(due_ms, self.to_ms, &self.stood);
        parts.sums.retain(|(what, _)| holds.is_some() || *what != WaitedFor::Turn);
        parts.sums.sort();
        Waited(parts.sums)
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_holds;
    use super::*;

    #[test]
    fn a_wait_is_told_by_what_held_it() {
        let wait = WaitBefore {
            is_first: true,
            from_ms: 1000,
            due_ms: 3000,
            to_ms: 10_000,
            hours_ms: 500,
            stood: vec![(WaitedFor::Order, 1000)],
        };
        let told = |wait: &WaitBefore, holds: Option<&str>| {
            let Waited(parts) = wait.parts(holds.map(read_holds).as_deref());
            parts.iter().map(|(what, ms)| format!("{what} {ms}")).collect::<Vec<_>>().join(", ")
        };
        let all = "due 1500, window 2000, hours 500, pause 1000, order 1000, turn 3000";
        assert_eq!(told(&wait, Some("p2000+2000 w4000+2000")), all);
        assert_eq!(told(&wait, None), "due 1500, hours 500, order 1000", "the rest is unknown");
        let again = WaitBefore { is_first: false, due_ms: 20_000, hours_ms: 0, ..wait };
        assert_eq!(told(&again, Some("")), "retry 9000");
    }
}
