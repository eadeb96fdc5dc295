//! Snowflakes: the world's are the same for the same seed, those of acts carry the moment of the act.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
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
    /// How many ids of acts there are, by what acted.
    acts: [u64; 3],
}

/// What has an id of its moment. Each counts for itself, so that what people do has the same ids whatever the bot does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Interaction,
    Message,
    Command,
}

/// A random word of hexadecimal digits, the same for the same seed, purpose and number.
pub(crate) fn word(seed: u64, purpose: &str, number: u64) -> String {
    // FNV-1a over all three: a stream of its own for each.
    let bytes = purpose.bytes().chain(seed.to_be_bytes()).chain(number.to_be_bytes());
    let mixed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut random = SmallRng::seed_from_u64(mixed);
    format!("{:016x}{:016x}", random.random::<u64>(), random.random::<u64>())
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
            acts: [0; 3],
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

    /// Something that happens now. The lower 22 bits say what it is and the how manieth of its kind.
    pub(crate) fn act(&mut self, what: Act) -> u64 {
        let kind = what as usize;
        self.acts[kind] += 1;
        ((self.wall_ms() - EPOCH_MS) << 22) | ((kind as u64) << 20) | (self.acts[kind] & 0xf_ffff)
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
    fn what_people_do_has_ids_that_differ_in_their_moment_only() {
        let (mut one, mut other) = (Ids::new(7, Clock::new()), Ids::new(7, Clock::new()));
        other.act(Act::Message);
        let low = |id: u64| id & 0x3f_ffff;
        for _ in 0..3 {
            assert_eq!(low(one.act(Act::Interaction)), low(other.act(Act::Interaction)));
        }
        assert_ne!(low(one.act(Act::Message)), low(one.act(Act::Command)));
    }

    #[test]
    fn words_are_repeatable_and_differ_by_seed_purpose_and_number() {
        assert_eq!(word(1, "voice", 2), word(1, "voice", 2));
        let all = [
            word(1, "voice", 2),
            word(2, "voice", 2),
            word(1, "token", 2),
            word(1, "voice", 3),
        ];
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn timestamps_have_an_offset_and_microseconds() {
        assert_eq!(timestamp(WORLD_MS), "2024-01-01T00:00:00.000000+00:00");
    }
}
