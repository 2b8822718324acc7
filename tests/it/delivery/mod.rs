//! How messages leave: calls, batches, windows, leases, and what a downstream in trouble changes.

mod answers;
mod batch_answers;
mod batches;
mod calls;
mod credentials;
mod explain;
mod failing;
mod forecast;
mod gates;
mod gateways;
mod leases;
mod load;
mod message_urls;
mod odd_answers;
#[cfg(feature = "failpoints")]
mod poison;
mod recipients;
mod reloading;
mod requests;
mod stopping;
mod waited;
mod waiting;
mod windows;
