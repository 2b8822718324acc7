//! The schedules of this node's configuration, and how Redis comes to know them.
//!
//! Redis has one definition of a schedule, whatever the nodes' files say: the one that was loaded last.
//! A node writes its own when it has loaded them, and never again, unless one is missing: two nodes with
//! different files disagree at their reloads and not at every tick. A schedule of the configuration is
//! there as long as a living node has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{PutSchedule, Schedules};
use crate::config::Settings;
use crate::domain::schedule::Schedule;
use crate::store::StoreError;
use crate::store::redis::script::arg;
use crate::store::redis::script::{call, fields, rows};

impl Schedules {
    /// Takes the schedules of a configuration; Redis is told by [`Self::configure`].
    pub fn set(&self, settings: &Settings) {
        self.state.configured.store(Arc::new(settings.schedules.clone()));
        self.are_news();
    }

    /// Redis is to be told of the schedules once more: it has forgotten them.
    pub(in crate::store) fn are_news(&self) {
        self.state.is_news.store(true, Ordering::Release);
        self.wire.wake_schedules();
    }

    /// Whether a configuration was loaded of which Redis has not been told.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.state.is_news.load(Ordering::Acquire)
    }

    /// Tells Redis which schedules this node's configuration has: all of them if it is newly loaded,
    /// else those that are missing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Full`], [`StoreError::NotDurable`]: to be tried again.
    pub async fn configure(&self) -> Result<(), StoreError> {
        let schedules = &self.state;
        let is_news = schedules.is_news.swap(false, Ordering::AcqRel);
        let told = self.tell(is_news).await;
        if told.is_err() && is_news {
            schedules.is_news.store(true, Ordering::Release);
        }
        told
    }

    async fn tell(&self, is_news: bool) -> Result<(), StoreError> {
        let configured = self.state.configured.load_full();
        if is_news {
            for schedule in configured.values() {
                self.put_configured(schedule).await?;
            }
        }
        let living = self.wire.living_nodes().await?;
        let names = living.iter().map(arg).chain(configured.keys().map(arg));
        let (this_node, rows) = (self.wire.node().as_str(), names.map(|name| [name]));
        let call = call!(Configure, this_node = this_node, nodes = living.len(), ..rows);
        let mut reply = self.wire.call(&self.wire.schedules_shard, &call).await?;
        fields!(reply as Configure; gone: u64);
        rows!(reply as Configure);
        if gone > 0 {
            tracing::info!(gone, "schedules that are in no configuration any more were deleted");
        }
        while reply.len() > 0 {
            fields!(row of reply as Configure; missing: String);
            if let Some(schedule) = configured.values().find(|s| s.name.as_str() == missing) {
                self.put_configured(schedule).await?;
            }
        }
        Ok(())
    }

    async fn put_configured(&self, schedule: &Schedule) -> Result<(), StoreError> {
        let (put, was_api) = self.write(schedule, self.wire.node().as_str()).await?;
        let name = &schedule.name;
        if was_api {
            tracing::warn!(schedule = %name, "the configuration replaces a schedule that was made over the API");
        }
        match put {
            PutSchedule::Created => tracing::info!(schedule = %name, "schedule added"),
            PutSchedule::Replaced => tracing::info!(schedule = %name, "schedule changed"),
            PutSchedule::Same => {}
            PutSchedule::TooMany | PutSchedule::Configured => {
                tracing::error!(schedule = %name, "there are too many schedules; this one does not tick");
            }
        }
        Ok(())
    }
}
