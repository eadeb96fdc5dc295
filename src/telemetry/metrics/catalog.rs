//! Registers metrics and keeps a list of them, so that the catalogue cannot differ from what is exposed.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;

use super::labels::{Named, TraceLabel};

/// A gauge that takes fractions.
pub type GaugeF64 = Gauge<f64, AtomicU64>;
/// Counters by label.
pub type Counters<L> = Family<L, Counter>;
/// Whole gauges by label.
pub type Gauges<L> = Family<L, Gauge>;
/// Fractional gauges by label.
pub type GaugesF64<L> = Family<L, GaugeF64>;
/// Histograms by label.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
/// Histograms with exemplars by label.
pub type TracedHistograms<L> =
    Family<L, HistogramWithExemplars<TraceLabel>, fn() -> HistogramWithExemplars<TraceLabel>>;

/// One metric as people and tools read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The whole name as it is scraped.
    pub name: String,
    /// `counter`, `gauge`, `histogram`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `seconds`, `bytes`, or what is counted.
    pub unit: &'static str,
    /// The labels' names.
    pub labels: Vec<&'static str>,
    /// What it says.
    pub help: &'static str,
}

/// What every own metric's name begins with.
const PREFIX: &str = "segue";

/// Buckets for what people wait for: 15 s, the objective of a recovery, and 3 s, Discord's, are boundaries.
const PATIENCE: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0, 60.0,
];
/// Buckets for calls within a machine or a data centre.
const CALLS: [f64; 13] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];
/// Buckets for documents, in bytes.
const BYTES: [f64; 8] = [
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];

fn patience() -> Histogram {
    Histogram::new(PATIENCE)
}

fn calls() -> Histogram {
    Histogram::new(CALLS)
}

fn bytes() -> Histogram {
    Histogram::new(BYTES)
}

fn traced() -> HistogramWithExemplars<TraceLabel> {
    HistogramWithExemplars::new(PATIENCE.into_iter())
}

/// Registers under the prefix and writes everything down.
#[derive(Debug, Default)]
pub struct Catalog {
    registry: Registry,
    entries: Vec<Entry>,
}

impl Catalog {
    /// A counter; `name` without `_total`, `unit` is what it counts.
    pub fn counters<L>(&mut self, name: &str, unit: &'static str, help: &'static str) -> Counters<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = Counters::default();
        if let Some(alone) = L::ALONE {
            drop(family.get_or_create(&alone));
        }
        self.note::<L>(format!("{PREFIX}_{name}_total"), "counter", unit, help);
        self.own().register(name, help, family.clone());
        family
    }

    /// Whole gauges.
    pub fn gauges<L>(&mut self, name: &str, unit: &'static str, help: &'static str) -> Gauges<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = Gauges::default();
        self.note::<L>(format!("{PREFIX}_{name}"), "gauge", unit, help);
        self.own().register(name, help, family.clone());
        family
    }

    /// Gauges in seconds; `name` without the unit.
    pub fn gauges_seconds<L>(&mut self, name: &str, help: &'static str) -> GaugesF64<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = GaugesF64::default();
        self.note::<L>(format!("{PREFIX}_{name}_seconds"), "gauge", "seconds", help);
        self.own().register_with_unit(name, help, Unit::Seconds, family.clone());
        family
    }

    /// Gauges between 0 and 1.
    pub fn ratios<L>(&mut self, name: &str, help: &'static str) -> GaugesF64<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = GaugesF64::default();
        self.note::<L>(format!("{PREFIX}_{name}"), "gauge", "ratio", help);
        self.own().register(name, help, family.clone());
        family
    }

    /// Durations of what people wait for, in seconds; `name` without the unit.
    pub fn waits<L>(&mut self, name: &str, help: &'static str) -> Histograms<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        self.histograms(name, Unit::Seconds, help, patience)
    }

    /// Durations of short calls, in seconds; `name` without the unit.
    pub fn calls<L>(&mut self, name: &str, help: &'static str) -> Histograms<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        self.histograms(name, Unit::Seconds, help, calls)
    }

    /// Sizes in bytes; `name` without the unit.
    pub fn sizes<L>(&mut self, name: &str, help: &'static str) -> Histograms<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        self.histograms(name, Unit::Bytes, help, bytes)
    }

    /// Durations with the trace that tells one of them, in seconds; `name` without the unit.
    pub fn traced<L>(&mut self, name: &str, help: &'static str) -> TracedHistograms<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        let family = TracedHistograms::new_with_constructor(traced as fn() -> _);
        self.note::<L>(format!("{PREFIX}_{name}_seconds"), "histogram", "seconds", help);
        self.own().register_with_unit(name, help, Unit::Seconds, family.clone());
        family
    }

    /// Adds a collector with names of its own, and what it exposes.
    pub fn collector(
        &mut self,
        collector: Box<dyn prometheus_client::collector::Collector>,
        entries: impl IntoIterator<Item = Entry>,
    ) {
        self.registry.register_collector(collector);
        self.entries.extend(entries);
    }

    /// The finished registry and list.
    pub(super) fn finish(self) -> (Registry, Vec<Entry>) {
        (self.registry, self.entries)
    }

    fn histograms<L>(&mut self, name: &str, unit: Unit, help: &'static str, make: fn() -> Histogram) -> Histograms<L>
    where
        L: Named + EncodeLabelSet + Clone + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
    {
        let shown = if matches!(unit, Unit::Bytes) {
            "bytes"
        } else {
            "seconds"
        };
        let family = Histograms::new_with_constructor(make);
        if let Some(alone) = L::ALONE {
            drop(family.get_or_create(&alone));
        }
        self.note::<L>(format!("{PREFIX}_{name}_{shown}"), "histogram", shown, help);
        self.own().register_with_unit(name, help, unit, family.clone());
        family
    }

    fn own(&mut self) -> &mut Registry {
        // The same prefix gives a sub-registry of the same name each time; what is exposed is their union.
        self.registry.sub_registry_with_prefix(PREFIX)
    }

    fn note<L: Named>(&mut self, name: String, kind: &'static str, unit: &'static str, help: &'static str) {
        self.entries.push(Entry {
            name,
            kind,
            unit,
            labels: L::NAMES.to_vec(),
            help,
        });
    }
}
