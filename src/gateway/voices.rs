//! Who is in which voice channel, by guild of one shard. Ids only, bots left out: an idle guild costs about 50 bytes.

use std::collections::HashSet;

use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::model::ids::{ChannelId, GuildId, UserId};

/// People in voice channels of one guild.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuildVoices {
    /// Whether the whole picture is known (`GUILD_CREATE`). Otherwise (after a RESUME in a new process, or in an outage)
    /// only those are here whose voice state changed since, and absence says nothing.
    pub complete: bool,
    /// People and where they are, bots left out.
    pub people: Vec<(UserId, ChannelId)>,
}

/// How many of the guilds that READY named have been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuildCount {
    /// Named by READY, and not removed since; 0 after a RESUME in a new process, which names none.
    pub expected: usize,
    /// Of these, still to be described or declared unavailable.
    pub missing: usize,
    /// Guilds known by any event.
    pub seen: usize,
}

/// The cache of one shard.
#[derive(Debug, Default)]
pub struct Voices {
    /// Discord's ids are no attacker's choice, and every event looks one up.
    guilds: FxHashMap<GuildId, GuildVoices>,
    expected: usize,
    missing: HashSet<GuildId>,
}

impl Voices {
    /// A new session began: nothing is known but the guilds' names.
    pub fn restart(&mut self, guilds: impl IntoIterator<Item = GuildId>) {
        self.missing = guilds.into_iter().collect();
        self.expected = self.missing.len();
        self.guilds = FxHashMap::with_capacity_and_hasher(self.expected, FxBuildHasher);
    }

    /// The whole picture of a guild.
    pub fn describe(&mut self, guild: GuildId, people: Vec<(UserId, ChannelId)>) {
        self.missing.remove(&guild);
        self.guilds.insert(guild, GuildVoices { complete: true, people });
    }

    /// The guild cannot be reached: who is where is not known any more.
    pub fn unavailable(&mut self, guild: GuildId) {
        self.missing.remove(&guild);
        self.guilds.insert(guild, GuildVoices::default());
    }

    /// The bot is not in the guild any more.
    pub fn remove(&mut self, guild: GuildId) {
        if self.missing.remove(&guild) | self.guilds.remove(&guild).is_some() {
            self.expected = self.expected.saturating_sub(1);
        }
    }

    /// A person is in another channel, or in none.
    pub fn moved(&mut self, guild: GuildId, user: UserId, channel: Option<ChannelId>) {
        let people = &mut self.guilds.entry(guild).or_default().people;
        people.retain(|(who, _)| *who != user);
        match channel {
            Some(channel) => people.push((user, channel)),
            None if people.is_empty() => *people = Vec::new(),
            None => {}
        }
    }

    /// An event named the guild.
    pub fn seen(&mut self, guild: GuildId) {
        self.guilds.entry(guild).or_default();
    }

    /// What is known of a guild; `None` when nothing is.
    pub fn guild(&self, guild: GuildId) -> Option<&GuildVoices> {
        self.guilds.get(&guild)
    }

    /// For readiness.
    pub fn count(&self) -> GuildCount {
        GuildCount {
            expected: self.expected,
            missing: self.missing.len(),
            seen: self.guilds.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use twilight_model::id::Id;

    use super::*;

    #[test]
    fn after_a_resume_the_picture_is_filled_in_but_never_called_complete() {
        let mut voices = Voices::default();
        assert_eq!(voices.guild(Id::new(1)), None);
        voices.moved(Id::new(1), Id::new(7), Some(Id::new(10)));
        voices.moved(Id::new(1), Id::new(8), Some(Id::new(10)));
        voices.moved(Id::new(1), Id::new(7), None);
        let known = voices.guild(Id::new(1)).unwrap();
        assert!(!known.complete);
        assert_eq!(known.people, [(Id::new(8), Id::new(10))]);
    }

    #[test]
    fn readiness_counts_described_unavailable_and_removed_guilds() {
        let mut voices = Voices::default();
        voices.restart((1..=4).map(Id::new));
        assert_eq!(
            voices.count(),
            GuildCount {
                expected: 4,
                missing: 4,
                seen: 0
            }
        );
        voices.describe(Id::new(1), vec![(Id::new(7), Id::new(10))]);
        voices.unavailable(Id::new(2));
        voices.remove(Id::new(3));
        assert_eq!(
            voices.count(),
            GuildCount {
                expected: 3,
                missing: 1,
                seen: 2
            }
        );
        assert!(voices.guild(Id::new(1)).unwrap().complete);
        voices.unavailable(Id::new(1));
        assert_eq!(voices.guild(Id::new(1)), Some(&GuildVoices::default()));
    }

    #[test]
    fn an_idle_guild_costs_less_than_a_hundred_bytes() {
        assert!(size_of::<(GuildId, GuildVoices)>() <= 48);
    }
}
