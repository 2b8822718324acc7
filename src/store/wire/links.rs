//! Every connection of a store: which there are, what runs on the one for readings, and what a failed call
//! on each of them says about Redis.

use super::Wire;
use crate::store::StoreError;
use crate::store::link::Link;
use crate::store::reply::Reply;
use crate::store::script::Call;
use crate::store::site::Site;

impl Wire {
    /// Every connection, to leave one that leads astray.
    pub(in crate::store) fn links(&self) -> impl Iterator<Item = &Link> {
        let own = [&self.scripts, &self.readings, &self.probes];
        own.into_iter().chain(self.intake.links())
    }

    /// Runs a verb that only reads and whose reply may be large: nothing that sends or takes in waits
    /// behind it.
    pub(in crate::store) async fn read<'a>(
        &self,
        site: impl Into<Site<'a>>,
        call: &Call,
    ) -> Result<Reply, StoreError> {
        let called = self.call_on(&self.readings, site.into(), call, &[]).await;
        Ok(called?.0)
    }

    /// What a failed call says about Redis. A reply that did not come in time may have stood in line
    /// behind others: whether Redis is away is then for the look at it to say, which has a connection
    /// of its own. A reading says nothing.
    pub(in crate::store) fn note_failure(&self, link: &Link, is_late: bool, error: &StoreError) {
        if is_late {
            self.health.look_at_once();
        } else if !std::ptr::eq(link, &self.readings) {
            self.health.down(&self.metrics, error);
        }
    }
}
