//! Who leads, what is whose, and whether that is renewed in time.

use super::catalog::{Catalog, Counters, Gauges, GaugesF64, Histograms};
use super::labels::{ByLease, Lease, LeaseCall, LeaseChange, LeaseOperation, NoLabels, Outcome};

/// Leadership and leases. A lease is what only one member may have: being this member, leading, a shard, a guild.
#[derive(Clone, Debug)]
pub struct Ownership {
    /// 1 while this replica leads.
    pub leader: Gauges<NoLabels>,
    /// Terms of leaders that this replica saw begin.
    pub leader_transitions: Counters<NoLabels>,
    /// What this replica holds.
    pub held: Gauges<ByLease>,
    /// What was done about leases.
    pub operations: Counters<LeaseOperation>,
    /// How long that takes.
    pub durations: Histograms<LeaseCall>,
    /// Until this replica has to stop acting, unless it renews.
    pub margin: GaugesF64<NoLabels>,
    /// Writes that the store refused because somebody else owns the thing.
    pub fenced: Counters<ByLease>,
    /// Shards that no living member owns.
    pub shards_unowned: Gauges<NoLabels>,
}

impl Ownership {
    pub(super) fn register(catalog: &mut Catalog) -> Self {
        let ownership = Self {
            leader: catalog.gauges("leader", "0/1", "Whether this replica leads"),
            leader_transitions: catalog.counters(
                "leader_transitions",
                "terms",
                "Terms of leaders that this replica saw begin, whoever led",
            ),
            held: catalog.gauges(
                "lease_held",
                "leases",
                "What this replica holds: itself, leadership, shards",
            ),
            operations: catalog.counters(
                "lease_operations",
                "operations",
                "What was done about leases, and how it ended",
            ),
            durations: catalog.calls("lease_operation_duration", "How long an operation on a lease takes"),
            margin: catalog.gauges_seconds(
                "lease_expiry_margin",
                "Until this replica has to stop acting, unless it renews; zero while it is paused",
            ),
            fenced: catalog.counters(
                "lease_fenced",
                "writes",
                "Own writes that the store refused because somebody else owns the thing",
            ),
            shards_unowned: catalog.gauges(
                "shards_unowned",
                "shards",
                "Shards that no living member owns, as the leader sees it; zero where none leads",
            ),
        };
        ownership.begin();
        ownership
    }

    /// What is counted is exposed from the start: a counter that is born with its value never grows.
    fn begin(&self) {
        self.leader.get_or_create(&NoLabels {}).set(0);
        self.shards_unowned.get_or_create(&NoLabels {}).set(0);
        self.margin.get_or_create(&NoLabels {}).set(0.0);
        for kind in [Lease::Member, Lease::Leader, Lease::Shard] {
            self.held.get_or_create(&ByLease { kind }).set(0);
        }
        for kind in [Lease::Member, Lease::Shard, Lease::Guild] {
            drop(self.fenced.get_or_create(&ByLease { kind }));
        }
        let operation = LeaseChange::Renew;
        for outcome in [Outcome::Ok, Outcome::Error, Outcome::Timeout, Outcome::Lost] {
            drop(self.operations.get_or_create(&LeaseOperation {
                kind: Lease::Member,
                operation,
                outcome,
            }));
        }
    }
}
