//! The sections of a configuration, one file each: their settings, and the checks across them.
//!
//! Owns every setting: its key, type, default, check and tests. Refuses to know what is done with it.

mod answers;
mod backlog;
mod batch;
pub(in crate::config) mod calendar;
mod callback;
mod collapse;
mod downstream;
mod headers;
mod hours;
pub(in crate::config) mod inbox;
mod keys;
pub(in crate::config) mod limits;
mod message_table;
mod method;
mod oauth2;
mod probe;
mod proxy;
pub(in crate::config) mod queue;
mod receipts;
mod recipient_hours;
pub(in crate::config) mod redis;
mod redis_target;
mod request;
mod retention;
mod retry;
pub(in crate::config) mod schedule;
pub(in crate::config) mod server;
mod signing;
pub(in crate::config) mod telemetry;
mod tls;
pub(in crate::config) mod token;
pub(in crate::config) mod topic;
mod window;

use super::setting::DeclaredSection;

/// Every section, with what the manual says of its settings.
#[must_use]
pub fn declared() -> Vec<DeclaredSection> {
    vec![
        server::Server::declared(),
        redis::Redis::declared(),
        queue::Own::declared(),
        limits::OneLimit::declared(),
        keys::Order::declared(),
        keys::Shares::declared(),
        retention::Kept::declared(),
        receipts::Receipts::declared(),
        receipts::Parse::declared(),
        downstream::declared(),
        tls::Tls::declared(),
        oauth2::OAuth2::declared(),
        request::Request::declared(),
        answers::Conditions::declared(),
        answers::ListOf::declared(),
        window::Opening::declared(),
        calendar::Dated::declared(),
        recipient_hours::Recipients::declared(),
        backlog::Backlog::declared(),
        batch::Batch::declared(),
        collapse::Collapse::declared(),
        probe::declared(),
        callback::Callback::declared(),
        retry::Retry::declared(),
        limits::shared::AccountSettings::declared(),
        calendar::Shared::declared(),
        topic::Topic::declared(),
        schedule::Recurring::declared(),
        inbox::Inbox::declared(),
        telemetry::Telemetry::declared(),
    ]
}
