//! The guilds of a shard that are to be recovered because it was taken: their recoveries are parts of one trace, which is
//! whole when the last one is over.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::ids::GuildId;
use crate::telemetry::spans;

/// One, from the claim of a shard.
#[derive(Debug, Default)]
pub struct Takeover {
    trace: Option<Arc<str>>,
    guilds: usize,
    under_way: Mutex<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    left: BTreeSet<GuildId>,
    connected_ms: Option<i64>,
}

impl Takeover {
    /// `trace`: the span of taking the shard, a W3C `traceparent`. `active`: the guilds that are to be recovered.
    pub fn new(trace: Option<&str>, active: impl Iterator<Item = GuildId>) -> Self {
        let left: BTreeSet<GuildId> = active.collect();
        Self {
            trace: trace.map(Arc::from),
            guilds: left.len(),
            under_way: Mutex::new(UnderWay {
                left,
                connected_ms: None,
            }),
        }
    }

    /// The shard's first READY or RESUMED came; its guilds are told next.
    pub fn connected(&self, now_ms: i64) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.connected_ms.get_or_insert(now_ms);
    }

    /// The guild is recovered, or there is nothing to recover there any more. Returns the trace, if its recovery was a part
    /// of it: what comes later, when it was recovered already, is something else.
    pub(super) fn over(&self, guild: GuildId, now_ms: i64) -> Option<Arc<str>> {
        let since = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if !under_way.left.remove(&guild) {
                return None;
            }
            under_way.connected_ms.filter(|_| under_way.left.is_empty())
        };
        let trace = self.trace.clone()?;
        if let Some(since) = since {
            let mut part = spans::part(&trace, "reconcile", since);
            part.fact("segue.guilds", i64::try_from(self.guilds).unwrap_or(i64::MAX));
            part.end(now_ms.max(since));
        }
        Some(trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guild_is_a_part_of_the_takeover_once_and_others_never() {
        let (a, b, other) = (GuildId::new(1), GuildId::new(2), GuildId::new(3));
        let takeover = Takeover::new(Some("trace"), [a, b].into_iter());
        takeover.connected(10);
        let over = |guild| takeover.over(guild, 20).is_some();
        assert_eq!([a, other, a, b, b].map(over), [true, false, false, true, false]);
    }
}
