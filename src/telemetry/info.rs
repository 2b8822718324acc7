//! What does not change while the daemon runs: its version, and which Redis it uses.
//!
//! Owns metrics that are always 1 and say something in a label.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::VersionLabel;

/// `{address}`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AddressLabel {
    address: String,
}

/// The facts.
#[derive(Debug, Default)]
pub struct Info {
    /// `tidegate_store_info{address}`
    store: Family<AddressLabel, Gauge>,
}

impl Info {
    /// Says which Redis is used; the address holds no password.
    pub fn set_store(&self, address: &str) {
        self.store.get_or_create(&AddressLabel { address: address.to_owned() }).set(1);
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register("store_info", "Which Redis keeps the messages", self.store.clone());
        let build = Family::<VersionLabel, Gauge>::default();
        build.get_or_create(&VersionLabel { version: env!("CARGO_PKG_VERSION") }).set(1);
        r.register("build_info", "The version that runs", build);
    }
}
