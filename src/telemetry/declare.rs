//! One declaration for each metric: its name, its kind and its description stand in one place.

/// Declares a group of metrics as a struct, and registers it.
///
/// A field has the name that is scraped, without the prefix `tidegate_` and without the `_total` of a counter,
/// which the registry adds. The description is both the field's documentation and the `HELP` line.
macro_rules! declare_metrics {
    (
        $(#[$about:meta])*
        $group:ident {
            $($name:ident: $kind:ty = $help:literal,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $group {
            $(
                #[doc = $help]
                pub $name: $kind,
            )*
        }

        impl $group {
            /// Every metric of the group, without a value yet, in the registry.
            pub(super) fn registered(registry: &mut prometheus_client::registry::Registry) -> Self {
                let group = Self {
                    $($name: <$kind as $crate::telemetry::declare::Fresh>::fresh(),)*
                };
                $(registry.register(stringify!($name), $help, group.$name.clone());)*
                group
            }
        }
    };
}

pub(super) use declare_metrics;

use std::hash::Hash;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

/// Histograms by their labels.
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
/// Gauges with a fraction, by their labels.
pub(super) type Fractions<L> = Family<L, Gauge<f64, AtomicU64>>;

/// Counters with a fraction, by their labels.
pub(super) type Seconds<L> = Family<L, Counter<f64, AtomicU64>>;

/// 0.1 ms to 100 s: script calls and lateness alike.
const BUCKETS: [f64; 19] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 25.0, 50.0, 100.0,
];

/// A metric without a value yet.
pub(super) trait Fresh {
    fn fresh() -> Self;
}

impl Fresh for Counter {
    fn fresh() -> Self {
        Self::default()
    }
}

impl Fresh for Gauge {
    fn fresh() -> Self {
        Self::default()
    }
}

impl<L: Clone + Hash + Eq> Fresh for Seconds<L> {
    fn fresh() -> Self {
        Self::default()
    }
}

impl<L: Clone + Hash + Eq> Fresh for Family<L, Counter> {
    fn fresh() -> Self {
        Self::default()
    }
}

impl<L: Clone + Hash + Eq> Fresh for Family<L, Gauge> {
    fn fresh() -> Self {
        Self::default()
    }
}

impl<L: Clone + Hash + Eq> Fresh for Fractions<L> {
    fn fresh() -> Self {
        Self::default()
    }
}

impl<L: Clone + Hash + Eq> Fresh for Histograms<L> {
    fn fresh() -> Self {
        Self::new_with_constructor(|| Histogram::new(BUCKETS))
    }
}
