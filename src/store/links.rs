//! Every connection of a store: which there are, what runs on the one for readings, and what a failed call
//! on each of them says about Redis.

use futures_util::future::join_all;

use super::link::Link;
use super::reply::Reply;
use super::script::Call;
use super::site::Site;
use super::{Store, StoreError};

impl Store {
    /// Every connection, to leave one that leads astray.
    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        let own = [&self.inner.scripts, &self.inner.readings, &self.inner.probes];
        own.into_iter().chain(self.inner.intake.links())
    }

    /// Makes every connection that is not there yet: where open files become short later, each is open.
    pub async fn connect(&self) {
        for made in join_all(self.links().map(Link::stand)).await {
            if let Err(error) = made {
                tracing::debug!(%error, "a connection to Redis is made when it is first used");
            }
        }
    }

    /// Runs a verb that only reads and whose reply may be large: nothing that sends or takes in waits
    /// behind it.
    pub(super) async fn read<'a>(
        &self,
        site: impl Into<Site<'a>>,
        call: &Call,
    ) -> Result<Reply, StoreError> {
        let called = self.call_on(&self.inner.readings, site.into(), call, &[]).await;
        Ok(called?.0)
    }

    /// What a failed call says about Redis. A reply that did not come in time may have stood in line
    /// behind others: whether Redis is away is then for the look at it to say, which has a connection
    /// of its own. A reading says nothing.
    pub(super) fn note_failure(&self, link: &Link, is_late: bool, error: &StoreError) {
        if is_late {
            self.inner.health.look_at_once();
        } else if !std::ptr::eq(link, &self.inner.readings) {
            self.inner.health.down(&self.inner.metrics, error);
        }
    }
}
