//! Players that this process put on a node since the node counted its players last. Pure.
//!
//! A node says how many it plays once a minute. When a hundred guilds start within that minute, its figure is still the
//! old one, and all of them would find the same node the least loaded.

use std::collections::BTreeSet;

use crate::model::ids::GuildId;

/// The players of one session.
#[derive(Debug, Default)]
pub(super) struct Held {
    guilds: BTreeSet<GuildId>,
    /// How many there were when the node counted.
    counted: usize,
}

impl Held {
    /// A guild's track is being started there. `true` if it had none.
    pub(super) fn put(&mut self, guild: GuildId) -> bool {
        self.guilds.insert(guild)
    }

    /// The guild plays there no more, or never did.
    pub(super) fn remove(&mut self, guild: GuildId) {
        self.guilds.remove(&guild);
    }

    /// The session is another one: it holds nothing.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The node counted.
    pub(super) fn counted(&mut self) {
        self.counted = self.guilds.len();
    }

    /// What the node plays now, as far as this process knows, where it last counted `playing`.
    pub(super) fn now_playing(&self, playing: u64) -> u64 {
        playing.saturating_add_signed(self.since_counted())
    }

    /// How many more there are since the node counted.
    pub(super) fn since_counted(&self) -> i64 {
        let number = |of: usize| i64::try_from(of).unwrap_or(i64::MAX);
        number(self.guilds.len()) - number(self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guild(n: u64) -> GuildId {
        GuildId::new(n)
    }

    #[test]
    fn what_was_put_there_counts_until_the_node_counts_it_itself() {
        let mut held = Held::default();
        assert!(held.put(guild(1)) && held.put(guild(2)) && !held.put(guild(2)));
        assert_eq!(held.now_playing(5), 7);
        held.counted();
        assert_eq!(held.now_playing(7), 7);
        held.put(guild(3));
        assert_eq!(held.now_playing(7), 8);
    }

    #[test]
    fn what_ended_since_counts_less_and_never_below_nothing() {
        let mut held = Held::default();
        held.put(guild(1));
        held.put(guild(2));
        held.counted();
        held.remove(guild(1));
        held.remove(guild(9));
        assert_eq!(held.now_playing(2), 1);
        held.remove(guild(2));
        assert_eq!(held.now_playing(1), 0);
        held.clear();
        assert_eq!(held.now_playing(4), 4);
    }
}
