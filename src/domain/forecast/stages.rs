//! What comes into force while virtual time passes, since overrides end by themselves.

use super::lines::KeyCaps;
use super::model::Model;
use super::pace::turned;
use super::{rounded, whole};
use crate::domain::policy::QueuePolicy;

impl Model<'_> {
    /// What is in force at this moment of virtual time.
    pub(super) fn policy(&self) -> &QueuePolicy {
        match self.stage.checked_sub(1).and_then(|stage| self.facts.later.get(stage)) {
            Some(stage) => &stage.policy,
            None => self.facts.policy,
        }
    }

    /// The stages begin whose time has come. What was used of a limit stays used.
    pub(super) fn turn(&mut self) {
        while self.facts.later.get(self.stage).is_some_and(|it| whole(it.from_ms) <= self.now_ms) {
            self.stage += 1;
            let (rates, quotas) =
                (std::mem::take(&mut self.rates), std::mem::take(&mut self.quotas));
            let now_ms = rounded(self.now_ms);
            let turned = turned(self.policy(), (&rates, &quotas), self.facts.mean_cost, now_ms);
            (self.rates, self.quotas) = turned;
            let caps = KeyCaps::of(self.facts, self.policy(), now_ms);
            self.lines.iter_mut().for_each(|line| line.turn(&caps));
        }
    }
}
