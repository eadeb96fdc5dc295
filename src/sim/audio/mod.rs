//! The truth about sound: which audio could be heard in which guild, when, and where silence was nobody's wish.

mod timeline;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

pub use timeline::{Content, End};
use timeline::{History, LinkLife, Segment, Stretch};

use super::clock::Clock;

/// What every guild could hear. Cheap to clone. Times are those of the simulator's clock and may lie a little ahead: a node
/// that pauses still has a third of a second on its way.
#[derive(Clone, Debug)]
pub struct Audio {
    clock: Clock,
    guilds: Arc<Mutex<HashMap<u64, History>>>,
}

impl Audio {
    /// Silence everywhere.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            guilds: Arc::default(),
        }
    }

    fn with<T>(&self, guild: u64, act: impl FnOnce(&mut History, u64) -> T) -> T {
        let now = self.clock.now_ms();
        let mut guilds = self.guilds.lock().unwrap_or_else(PoisonError::into_inner);
        act(guilds.entry(guild).or_default(), now)
    }

    /// A command or button that changes what is heard was used: it explains a silence within 3 s.
    pub fn mark_interaction(&self, guild: u64) {
        self.with(guild, |history, now| history.marks.push(now));
    }

    /// The bot was moved or kicked: as an interaction.
    pub fn mark_moved(&self, guild: u64) {
        self.with(guild, |history, now| history.marks.push(now));
    }

    /// How many people are in the bot's channel from now on. Until this is told there is nobody.
    pub fn people(&self, guild: u64, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.with(guild, |history, now| {
            if history.people.last().is_none_or(|(_, last)| *last != count) {
                history.people.push((now, count));
            }
        });
    }

    /// Whether people can hear the bot in its channel from now on: not muted, not suppressed, allowed to speak. Until this is
    /// told they can. A user who silences it explains the silence as one who moves it does.
    pub fn audible(&self, guild: u64, audible: bool, by_user: bool) {
        self.with(guild, |history, now| {
            let before = history.audible.last().is_none_or(|(_, last)| *last);
            if before != audible {
                history.audible.push((now, audible));
                history.marks.extend((by_user && !audible).then_some(now));
            }
        });
    }

    /// The bot is no longer in the guild: silence is right from now on, until it plays again.
    pub fn removed(&self, guild: u64) {
        self.with(guild, |history, now| history.removed.push(now));
    }

    /// A voice connection opened; older ones of the guild are not heard while it is open.
    pub fn link_opened(&self, guild: u64, link: u64) {
        self.with(guild, |history, now| {
            history.links.push(LinkLife {
                link,
                from_ms: now,
                to_ms: None,
            });
        });
    }

    /// A voice connection ended; what it still had on its way is heard until `at_ms`.
    pub fn link_closed(&self, guild: u64, link: u64, at_ms: u64) {
        self.with(guild, |history, _| {
            history.cut(link, at_ms, End::Stopped);
            for life in history.links.iter_mut().filter(|life| life.link == link) {
                life.to_ms = Some(life.to_ms.map_or(at_ms, |to| to.min(at_ms)));
            }
        });
    }

    /// From `at_ms` on a connection carries `content`, or nothing; what it carried until then ended by `end`.
    pub fn carries(&self, guild: u64, link: u64, node: &str, at_ms: u64, end: End, content: Option<Content>) {
        self.with(guild, |history, _| {
            history.cut(link, at_ms, end);
            if let Some(content) = content {
                history.stretches.push(Stretch {
                    link,
                    node: node.to_owned(),
                    from_ms: at_ms,
                    to: None,
                    content,
                });
            }
        });
    }

    /// `GET /guilds/{g}/audio`: `{now_ms, playing, segments, gaps}` with all that ended after `since_ms`.
    pub fn report(&self, guild: u64, since_ms: u64) -> Value {
        let now = self.clock.now_ms();
        let guilds = self.guilds.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = History::default();
        let history = guilds.get(&guild).unwrap_or(&nothing);
        let heard = history.heard(now);
        let gaps: Vec<Value> = history
            .gaps(&heard, now)
            .into_iter()
            .filter(|gap| gap.to_ms.is_none_or(|to| to > since_ms))
            .map(|gap| json!({"from_ms": gap.from_ms, "to_ms": gap.to_ms}))
            .collect();
        let segments: Vec<Value> = heard
            .iter()
            .filter(|segment| segment.to.is_none_or(|(to, _)| to > since_ms))
            .map(|segment| told(segment, now))
            .collect();
        json!({
            "now_ms": now,
            "playing": heard.last().is_some_and(|last| last.to.is_none()),
            "segments": segments,
            "gaps": gaps,
        })
    }
}

fn told(segment: &Segment, now: u64) -> Value {
    json!({
        "from_ms": segment.from_ms,
        "to_ms": segment.to.map(|(to, _)| to),
        "track": segment.content.track,
        "title": segment.content.title,
        "position_from_ms": segment.content.position_ms,
        "position_to_ms": segment.position_to(now),
        "node": segment.node,
        "volume": segment.content.volume,
    })
}
