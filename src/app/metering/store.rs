//! Figures of the store, and of leases, which are nothing but some of its operations.

use std::sync::Arc;

use crate::store::observed::{Called, End, Observer};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::{
    ByLease, Lease, LeaseCall, LeaseChange, LeaseOperation, NoLabels, Operation, Outcome,
};

/// Counts calls to the store.
#[derive(Debug)]
pub(in crate::app) struct Calls(pub(in crate::app) Arc<Metrics>);

impl Observer for Calls {
    fn called(&self, called: Called) {
        let Called {
            collection,
            operation,
            end,
            took,
        } = called;
        let outcome = match end {
            End::Done => Outcome::Ok,
            End::Lost => Outcome::Lost,
            End::Unknown => Outcome::Timeout,
            End::Failed => Outcome::Error,
        };
        let (snapshots, took) = (&self.0.snapshots, took.as_secs_f64());
        let labels = Operation {
            collection,
            operation,
            outcome,
        };
        snapshots.operations.get_or_create(&labels).observe(took);
        if operation == "write_guild" && outcome == Outcome::Ok {
            snapshots.write_duration.get_or_create(&NoLabels {}).observe(took);
        }
        let ownership = &self.0.ownership;
        if let Some((kind, operation)) = lease(operation) {
            let labels = LeaseOperation {
                kind,
                operation,
                outcome,
            };
            ownership.operations.get_or_create(&labels).inc();
            let call = LeaseCall { kind, operation };
            ownership.durations.get_or_create(&call).observe(took);
        }
        if let Some(kind) = fenced(operation).filter(|_| outcome == Outcome::Lost) {
            ownership.fenced.get_or_create(&ByLease { kind }).inc();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a snapshot has a few megabytes")]
    fn snapshot(&self, bytes: usize) {
        self.0.snapshots.size.get_or_create(&NoLabels {}).observe(bytes as f64);
    }
}

/// What an operation of the store does to a lease.
fn lease(operation: &str) -> Option<(Lease, LeaseChange)> {
    Some(match operation {
        "join" => (Lease::Member, LeaseChange::Acquire),
        "renew" => (Lease::Member, LeaseChange::Renew),
        "set_state" => (Lease::Member, LeaseChange::Release),
        "fence" => (Lease::Member, LeaseChange::Steal),
        "new_term" => (Lease::Leader, LeaseChange::Acquire),
        "campaign" => (Lease::Leader, LeaseChange::Renew),
        "resign" => (Lease::Leader, LeaseChange::Release),
        "claim_shard" => (Lease::Shard, LeaseChange::Acquire),
        "release_shard" => (Lease::Shard, LeaseChange::Release),
        "claim_guild" => (Lease::Guild, LeaseChange::Acquire),
        _ => return None,
    })
}

/// Whose owner a writer believed to be, when the store said no.
fn fenced(operation: &str) -> Option<Lease> {
    Some(match operation {
        "renew" => Lease::Member,
        "save_session" | "save_node_session" | "release_shard" => Lease::Shard,
        "write_guild" | "delete_guild" => Lease::Guild,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::expose::Format;

    fn heard(operation: &'static str, end: End) -> String {
        let metrics = Arc::new(Metrics::default());
        let calls = Calls(Arc::clone(&metrics));
        calls.called(Called {
            collection: "guilds",
            operation,
            end,
            took: Duration::from_millis(3),
        });
        metrics.expose(Format::Plain).unwrap()
    }

    #[test]
    fn a_renewal_that_is_refused_counts_as_an_operation_of_a_lease_and_as_fenced() {
        let text = heard("renew", End::Lost);
        for line in [
            "segue_lease_operations_total{kind=\"member\",operation=\"renew\",outcome=\"lost\"} 1\n",
            "segue_lease_operation_duration_seconds_count{kind=\"member\",operation=\"renew\"} 1\n",
            "segue_lease_fenced_total{kind=\"member\"} 1\n",
            "segue_db_operation_duration_seconds_count{collection=\"guilds\",operation=\"renew\",outcome=\"lost\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn only_a_durable_write_says_how_long_a_write_takes() {
        for (end, count, fenced) in [
            (End::Done, 1, 0),
            (End::Lost, 0, 1),
            (End::Unknown, 0, 0),
            (End::Failed, 0, 0),
        ] {
            let text = heard("write_guild", end);
            let durable = format!("segue_snapshot_write_duration_seconds_count {count}\n");
            let refused = format!("segue_lease_fenced_total{{kind=\"guild\"}} {fenced}\n");
            assert!(text.contains(&durable) && text.contains(&refused), "{end:?}: {text}");
        }
    }

    #[test]
    fn a_claim_that_somebody_else_won_is_no_write_that_was_fenced() {
        let text = heard("claim_shard", End::Lost);
        assert!(
            text.contains("segue_lease_operations_total{kind=\"shard\",operation=\"acquire\",outcome=\"lost\"} 1\n"),
            "{text}"
        );
        assert!(text.contains("segue_lease_fenced_total{kind=\"shard\"} 0\n"), "{text}");
    }
}
