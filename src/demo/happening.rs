//! Something that happened to the cluster, and what it did to the listeners so far. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::headline::{Commands, Effect, Event};
use super::picture::Picture;

/// Something that happened, and what it did so far.
#[derive(Debug)]
pub struct Happening {
    /// What.
    pub event: Event,
    /// When, by the simulator's clock.
    pub at_ms: u64,
    audible: Vec<String>,
    /// Shards that have no session of after the event yet.
    waiting: BTreeSet<u64>,
    commands: Commands,
}

impl Happening {
    /// Notes who was audible and which shards were taken away. It may be noticed after some of them came back: what the log
    /// says of that is read again.
    pub fn new(event: Event, at_ms: u64, picture: &Picture) -> Self {
        let audible = picture.strips.iter().filter(|(_, strip)| strip.was_audible(at_ms));
        let audible = audible.map(|(id, _)| id.clone()).collect();
        let waiting = shards_of(&event, picture);
        let commands = if waiting.is_empty() {
            Commands::Untouched
        } else {
            Commands::Away
        };
        let mut happening = Self {
            event,
            at_ms,
            audible,
            waiting,
            commands,
        };
        picture.log.iter().for_each(|logged| happening.hear(logged));
        happening
    }

    /// Learns from the log when the shards have sessions again.
    pub fn hear(&mut self, event: &Value) {
        let at_ms = event["at_ms"].as_u64().unwrap_or_default();
        let opened = match event["kind"].as_str() {
            Some("session_opened") => true,
            Some("resume") => event["outcome"] == "ok",
            Some(_) | None => false,
        };
        let Some(shard) = event["shard"].as_u64().filter(|_| opened && at_ms >= self.at_ms) else {
            return;
        };
        if self.waiting.remove(&shard) && self.waiting.is_empty() {
            self.commands = Commands::Back {
                after_ms: at_ms - self.at_ms,
            };
        }
    }

    /// What it did so far.
    pub fn effect(&self, picture: &Picture) -> Effect {
        let strips = self.audible.iter().filter_map(|id| picture.strips.get(id));
        let gaps: Vec<u64> = strips
            .filter_map(|strip| strip.longest_gap(self.at_ms, picture.now_ms))
            .collect();
        Effect {
            audible: self.audible.len(),
            broken: gaps.len(),
            longest_ms: gaps.into_iter().max().unwrap_or_default(),
            commands: self.commands,
        }
    }
}

/// The shards that an event takes away.
fn shards_of(event: &Event, picture: &Picture) -> BTreeSet<u64> {
    let shards = picture.sections.shards.iter();
    match event {
        Event::Killed { replica }
        | Event::Stopped { replica }
        | Event::Frozen { replica }
        | Event::Cut { replica }
        | Event::Died { replica, .. } => shards
            .filter(|shard| shard.owner.as_ref().is_none_or(|owner| owner == replica))
            .map(|shard| shard.id)
            .collect(),
        Event::SessionExpired { shard } => BTreeSet::from([*shard]),
        Event::Thawed { .. }
        | Event::Reconnected { .. }
        | Event::Rolled
        | Event::NodeKilled { .. }
        | Event::NodeBack { .. } => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::picture::ShardRow;
    use crate::demo::strips::Strip;
    use crate::demo::wire::{Audio, Gap, Segment};

    fn shard(id: u64, owner: &str) -> ShardRow {
        ShardRow {
            id,
            connected: true,
            ready: true,
            owner: Some(owner.into()),
            epoch: 1,
        }
    }

    fn hear(strip: &mut Strip, now_ms: u64, gaps: Vec<Gap>) {
        let segment = Segment {
            from_ms: 1,
            position_to_ms: now_ms,
            ..Segment::default()
        };
        strip.merge(Audio {
            now_ms,
            playing: true,
            segments: vec![segment],
            gaps,
        });
    }

    #[test]
    fn commands_are_back_when_every_shard_of_the_dead_has_a_session_again_and_never_away_where_it_had_none() {
        let mut picture = Picture::default();
        picture.sections.shards = vec![shard(0, "a"), shard(1, "b"), shard(2, "a")];
        let mut kill = Happening::new(Event::Killed { replica: "a".into() }, 1_000, &picture);
        kill.hear(&json!({"kind": "resume", "outcome": "ok", "shard": 0, "at_ms": 900}));
        kill.hear(&json!({"kind": "resume", "outcome": "invalid", "shard": 2, "at_ms": 1_100}));
        kill.hear(&json!({"kind": "resume", "outcome": "ok", "shard": 0, "at_ms": 1_200}));
        assert_eq!(kill.effect(&picture).commands, Commands::Away);
        kill.hear(&json!({"kind": "session_opened", "shard": 2, "at_ms": 1_310}));
        assert_eq!(kill.effect(&picture).commands, Commands::Back { after_ms: 310 });
        let idle = Happening::new(Event::Killed { replica: "c".into() }, 1_000, &picture);
        assert_eq!(idle.effect(&picture).commands, Commands::Untouched, "it had no shard");
    }

    #[test]
    fn a_death_that_is_noticed_late_knows_what_came_back_meanwhile_and_nothing_older() {
        let mut picture = Picture::default();
        picture.sections.shards = vec![shard(0, "a")];
        let resumed = |at_ms: u64| json!({"kind": "resume", "outcome": "ok", "shard": 0, "at_ms": at_ms});
        let died = || Event::Died {
            replica: "a".into(),
            signal: Some(9),
        };
        picture.logged(vec![resumed(900)]);
        let late = Happening::new(died(), 1_000, &picture);
        assert_eq!(late.effect(&picture).commands, Commands::Away);
        picture.logged(vec![resumed(1_050)]);
        let late = Happening::new(died(), 1_000, &picture);
        assert_eq!(late.effect(&picture).commands, Commands::Back { after_ms: 50 });
    }

    #[test]
    fn only_gaps_of_guilds_that_played_count() {
        let mut picture = Picture::default();
        for guild in ["1", "2"] {
            hear(picture.strips.entry(guild.into()).or_default(), 1_000, vec![]);
        }
        let kill = Happening::new(Event::NodeKilled { node: "a".into() }, 1_000, &picture);
        picture.now_ms = 2_000;
        let gap = Gap {
            from_ms: 1_100,
            to_ms: Some(1_580),
        };
        for guild in ["2", "3"] {
            hear(picture.strips.entry(guild.into()).or_default(), 2_000, vec![gap]);
        }
        let Effect {
            audible,
            broken,
            longest_ms,
            ..
        } = kill.effect(&picture);
        assert_eq!((audible, broken, longest_ms), (2, 1, 480));
    }
}
