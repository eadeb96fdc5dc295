//! What happens a little later than what caused it, and people who come and go by the thousand.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::world::{Kind, World};

/// What is put off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Put {
    /// Voice connections are closed.
    Close { links: Vec<u64>, code: u16 },
    /// The events that answer a join.
    Joined { guild: u64, session: String },
    /// The event that tells that the bot left.
    Left { guild: u64, session: String },
    /// The event that names a voice server.
    Server { guild: u64 },
}

/// What is due when. Cheap when empty.
#[derive(Debug, Default)]
pub(crate) struct Later {
    due: BinaryHeap<Reverse<(u64, u64, Put)>>,
    count: u64,
}

impl Later {
    /// Puts something off until a moment; what is of the same moment keeps its order.
    pub(crate) fn put(&mut self, at_ms: u64, what: Put) {
        self.count += 1;
        self.due.push(Reverse((at_ms, self.count, what)));
    }

    fn next(&mut self, now: u64) -> Option<Put> {
        let Reverse((at_ms, ..)) = self.due.peek()?;
        if *at_ms > now {
            return None;
        }
        self.due.pop().map(|Reverse((.., what))| what)
    }
}

/// Events of a flood at one look at the clock. What a slow machine cannot do in time is not made up for.
const AT_ONCE: u64 = 4_000;

/// How far a flood has come.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    /// When people moved last, in ms.
    since_ms: u64,
    /// Thousandths of an event still owed.
    owed: u64,
    /// The guild whose turn it is.
    turn: u64,
}

impl World {
    /// Does what is due.
    pub(crate) fn catch_up(&mut self, now: u64) {
        while let Some(what) = self.later.next(now) {
            match what {
                Put::Close { links, code } => self.switchboard.close_links(&links, code),
                Put::Joined { guild, session } => self.tell_joined(guild, &session),
                Put::Left { guild, session } => self.tell_voice_state(guild, self.bot, &session),
                Put::Server { guild } => self.tell_voice_server(guild),
            }
        }
    }

    /// Lets people come and go while a flood is on.
    pub(crate) fn flood(&mut self, now: u64) {
        let floods = self.faults.floods();
        let elapsed = now.saturating_sub(self.flood.since_ms).min(1_000);
        self.flood.since_ms = now;
        for (per_s, shard) in floods {
            let owed = self.flood.owed + per_s * elapsed;
            self.flood.owed = owed % 1_000;
            for _ in 0..(owed / 1_000).min(AT_ONCE) {
                if !self.stir(shard) {
                    break;
                }
            }
        }
    }

    /// The last member of the next guild joins its first voice channel, or leaves it. `false` when the shard has no guild: all
    /// were looked at, and looking again would find none.
    fn stir(&mut self, shard: Option<u32>) -> bool {
        let turn = self.flood.turn;
        let mut round = self.guilds.range(turn + 1..).chain(self.guilds.range(..=turn));
        let found = round.find(|(id, _)| shard.is_none_or(|shard| self.shard_of(**id) == shard));
        let Some((id, guild)) = found.map(|(id, guild)| (*id, guild)) else {
            return false;
        };
        let place = guild.channels.values().find(|channel| channel.kind == Kind::Voice);
        let (Some(person), Some(place)) = (guild.members.keys().next_back(), place) else {
            self.flood.turn = id;
            return true;
        };
        let (person, place) = (*person, place.id);
        let inside = guild.voice.contains_key(&person);
        self.flood.turn = id;
        self.move_person(id, person, (!inside).then_some(place));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_not_before() {
        let mut later = Later::default();
        later.put(20, Put::Server { guild: 2 });
        later.put(10, Put::Server { guild: 9 });
        later.put(10, Put::Server { guild: 1 });
        assert_eq!(later.next(9), None);
        assert_eq!(later.next(10), Some(Put::Server { guild: 9 }));
        assert_eq!(later.next(10), Some(Put::Server { guild: 1 }));
        assert_eq!(later.next(19), None);
        assert_eq!(later.next(20), Some(Put::Server { guild: 2 }));
    }
}
