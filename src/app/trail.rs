//! The traces of lost and leaving members, as the leader tells them; whoever takes a shard goes on with them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::cluster::{Cause, Trail};
use crate::lifecycle::wall_ms;
use crate::store::MemberRow;
use crate::telemetry::spans::{self, Beginning, Open};

/// Traces that are open at most; the oldest ends when there are more.
const OPEN: usize = 64;

/// Keeps the root of each trace open until its shards are assigned.
#[derive(Debug, Default)]
pub(super) struct Recoveries(Mutex<BTreeMap<String, Open>>);

impl Recoveries {
    fn keep(&self, root: Open) -> Option<String> {
        let trace = root.traceparent()?;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN {
            open.pop_first();
        }
        open.insert(trace.clone(), root);
        Some(trace)
    }

    fn part(trace: &str, name: &'static str, from_ms: i64, to_ms: i64, done: bool) {
        let mut part = spans::begin(Beginning {
            name,
            parent: Some(trace),
            from_ms,
            ..Beginning::default()
        });
        if !done {
            part.fail("it was not to be done");
        }
        part.end(to_ms);
    }

    fn end(&self, trace: &str, at_ms: i64) {
        let root = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(trace);
        if let Some(root) = root {
            root.end(at_ms);
        }
    }
}

impl Trail for Recoveries {
    fn lost(&self, member: &MemberRow, cause: Cause, why: &str, lost_ms: i64) -> Option<String> {
        let root = spans::begin(Beginning {
            name: "member.lost",
            links: member
                .trace
                .as_deref()
                .map(|trace| (trace, "predecessor"))
                .into_iter()
                .collect(),
            from_ms: lost_ms,
            attributes: vec![
                ("segue.member.id", member.id.0.as_str().into()),
                ("segue.member.name", member.name.as_str().into()),
                ("segue.recovery.trigger", "crash".into()),
                ("segue.detect.cause", cause.name().into()),
                ("segue.detect.why", why.into()),
            ],
            ..Beginning::default()
        });
        let trace = self.keep(root)?;
        Self::part(&trace, "detect", lost_ms, wall_ms(), true);
        Some(trace)
    }

    fn leaving(&self, member: &MemberRow, shard: Option<u32>) -> Option<String> {
        let trigger = if shard.is_some() { "rebalance" } else { "drain" };
        let root = spans::begin(Beginning {
            name: "member.leaving",
            from_ms: wall_ms(),
            attributes: vec![
                ("segue.member.id", member.id.0.as_str().into()),
                ("segue.member.name", member.name.as_str().into()),
                ("segue.recovery.trigger", trigger.into()),
            ],
            ..Beginning::default()
        });
        self.keep(root)
    }

    fn fenced(&self, trace: &str, done: bool, from_ms: i64, to_ms: i64) {
        Self::part(trace, "fence", from_ms, to_ms, done);
        if !done {
            self.end(trace, to_ms);
        }
    }

    fn assigned(&self, trace: &str, shards: &[u32], from_ms: i64, to_ms: i64) {
        let mut part = spans::begin(Beginning {
            name: "assign",
            parent: Some(trace),
            from_ms,
            ..Beginning::default()
        });
        part.fact("segue.shards", i64::try_from(shards.len()).unwrap_or(i64::MAX));
        part.end(to_ms);
        self.end(trace, to_ms);
    }
}
