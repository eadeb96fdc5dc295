//! The spans of taking a shard: from its claim to its first READY or RESUMED.

use super::shard::Shard;
use crate::lifecycle::wall_ms;
use crate::telemetry::spans::{self, Beginning, Open};

/// The span of taking a shard, until it is connected.
pub(super) fn taking(shard: &Shard) -> Open {
    let claimed = &shard.claimed;
    let moments = claimed.moments;
    spans::begin(Beginning {
        name: "shard.take",
        parent: claimed.trace.as_deref(),
        links: claimed
            .owner_trace
            .as_deref()
            .map(|trace| (trace, "predecessor"))
            .into_iter()
            .collect(),
        from_ms: moments.assigned_ms.unwrap_or(moments.claimed_ms),
        attributes: vec![
            ("discord.shard.id", shard.number.into()),
            ("segue.member.id", shard.member.id.0.as_str().into()),
            ("segue.recovery.cause", claimed.cause.name().into()),
            (
                "segue.lease.epoch",
                i64::try_from(claimed.row.epoch.0).unwrap_or(i64::MAX).into(),
            ),
        ],
    })
}

/// A part of it.
pub(super) fn part(taking: &Open, name: &'static str, from_ms: i64) -> Open {
    spans::begin(Beginning {
        name,
        parent: taking.traceparent().as_deref(),
        from_ms,
        ..Beginning::default()
    })
}

/// What of it is under way.
pub(super) struct Taking {
    whole: Open,
    gateway: Open,
}

impl Taking {
    /// The gateway connects.
    pub(super) fn begin(whole: Open, now_ms: i64) -> Self {
        Self {
            gateway: part(&whole, "gateway.resume", now_ms),
            whole,
        }
    }

    /// READY or RESUMED came.
    pub(super) fn connected(self, resumed: bool) {
        let Self { whole, mut gateway } = self;
        gateway.fact("discord.gateway.session.resumed", resumed);
        gateway.end(wall_ms());
        whole.end(wall_ms());
    }
}
