//! Snowflakes: the world's are the same for the same seed, those of acts carry the moment of the act.

use serde_json::Value;

use crate::sim::clock::Clock;

/// Discord's first moment, in Unix milliseconds.
const EPOCH_MS: u64 = 1_420_070_400_000;
/// The moment at which a simulated world was made: 2024-01-01.
const WORLD_MS: u64 = 1_704_067_200_000;

/// Makes ids.
#[derive(Debug)]
pub(crate) struct Ids {
    clock: Clock,
    /// Unix milliseconds when the clock was 0.
    start_ms: u64,
    world_ms: u64,
    guilds: u64,
    things: u64,
    acts: u64,
}

impl Ids {
    pub(crate) fn new(seed: u64, clock: Clock) -> Self {
        let wall = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(WORLD_MS);
        Self {
            clock,
            start_ms: wall.saturating_sub(clock.now_ms()),
            world_ms: WORLD_MS - EPOCH_MS + (seed % 1_000) * 10_000_000,
            guilds: 0,
            things: 0,
            acts: 0,
        }
    }

    /// A guild. One millisecond apart from the next, so that shards get equal parts.
    pub(crate) fn guild(&mut self) -> u64 {
        self.guilds += 1;
        ((self.world_ms + self.guilds) << 22) | 1
    }

    /// A channel, a role, a person or a command.
    pub(crate) fn thing(&mut self) -> u64 {
        self.things += 1;
        ((self.world_ms + self.things / 4_000) << 22) | (2 + self.things % 4_000)
    }

    /// Something that happens now: an interaction, a message.
    pub(crate) fn act(&mut self) -> u64 {
        self.acts += 1;
        ((self.wall_ms() - EPOCH_MS) << 22) | (self.acts & 0x3f_ffff)
    }

    /// Unix milliseconds.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.start_ms + self.clock.now_ms()
    }
}

/// Unix milliseconds as Discord writes them.
pub(crate) fn timestamp(wall_ms: u64) -> String {
    let at = i64::try_from(wall_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let at = at.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

/// The moment in an id, as Discord writes it.
pub(crate) fn timestamp_of(id: u64) -> String {
    timestamp((id >> 22) + EPOCH_MS)
}

/// An id in JSON: a string or a number.
pub(crate) fn id_of(value: &Value) -> Option<u64> {
    match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guild_ids_are_spread_evenly_and_repeatable() {
        let mut one = Ids::new(7, Clock::new());
        let mut other = Ids::new(7, Clock::new());
        let mut per_shard = [0; 4];
        for _ in 0..40 {
            let id = one.guild();
            assert_eq!(id, other.guild());
            per_shard[usize::try_from((id >> 22) % 4).unwrap()] += 1;
        }
        assert_eq!(per_shard, [10; 4]);
    }

    #[test]
    fn things_are_never_the_same() {
        let mut ids = Ids::new(1, Clock::new());
        let mut seen: Vec<u64> = (0..20_000).map(|_| ids.thing()).collect();
        seen.extend((0..20_000).map(|_| ids.guild()));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn timestamps_have_an_offset_and_microseconds() {
        assert_eq!(timestamp(WORLD_MS), "2024-01-01T00:00:00.000000+00:00");
    }
}
