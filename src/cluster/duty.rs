//! What the cluster asks of whoever drives shards.

use crate::model::ids::MemberId;
use crate::store::ShardRow;

/// In order per shard: `Drive`, later perhaps `Give`, then (after [`super::Handle::given`]) perhaps `Drive` again.
#[derive(Debug)]
pub enum Duty {
    /// The shard is ours in the store: drive it.
    Drive(Box<Claimed>),
    /// Stop driving it: save, close so that it can be resumed, then call [`super::Handle::given`].
    Give {
        /// Which.
        shard: u32,
        /// The trace of the move, a W3C `traceparent`.
        trace: Option<String>,
    },
}

/// How a shard came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody had it before.
    First,
    /// Its owner left, or gave it up because it leaves.
    Handover,
    /// Its owner gave it up so that the load is even, and stays.
    Rebalance,
    /// Its owner was proven dead.
    Proven,
    /// Its owner did not renew in time.
    TimedOut,
}

impl Cause {
    /// The word in logs, metrics and traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Handover => "handover",
            Self::Rebalance => "rebalance",
            Self::Proven => "proven",
            Self::TimedOut => "timed_out",
        }
    }
}

/// A shard that is ours now.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// As stored, with our epoch.
    pub row: ShardRow,
    /// Who had it before.
    pub previous: Option<MemberId>,
    /// How it came to us.
    pub cause: Cause,
    /// Whether it was given up, or left behind, as asked.
    pub left: bool,
    /// Until when the owner before was surely alive, by this machine's wall clock, milliseconds since 1970.
    pub alive_until_ms: i64,
    /// The highest sequence number that it processed.
    pub seq: Option<u64>,
    /// The trace to continue, a W3C `traceparent`: that of the death or of the handover.
    pub trace: Option<String>,
    /// The owner's last context, to link to.
    pub owner_trace: Option<String>,
    /// When what happened.
    pub moments: Moments,
}

/// The steps of a move, by this machine's wall clock, milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moments {
    /// The first sign that the owner is gone: its hanging up, or its last renewal; of a handover, when it was given up.
    pub lost_ms: Option<i64>,
    /// When it was declared dead.
    pub fenced_ms: Option<i64>,
    /// When we learned that the shard is to be ours.
    pub assigned_ms: Option<i64>,
    /// When it became ours.
    pub claimed_ms: i64,
}
