//! `closed_for_good`: a client closed a live session with 1000 or 1001 while guilds of its shard played.

use std::collections::{BTreeMap, HashSet};

use super::{Event, Rule, Violation, guild, number, text};

#[derive(Debug, Default)]
pub(super) struct ClosedForGood {
    /// The links that send frames, by guild.
    playing: BTreeMap<u64, HashSet<String>>,
}

impl ClosedForGood {
    fn playing_on(&self, shard: u64, shards: u64) -> Vec<String> {
        let of_shard = self
            .playing
            .iter()
            .filter(|(guild, links)| !links.is_empty() && (**guild >> 22) % shards.max(1) == shard);
        of_shard.map(|(guild, _)| guild.to_string()).collect()
    }
}

impl Rule for ClosedForGood {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        let link = || event.get("link").map(ToString::to_string).unwrap_or_default();
        let of_guild = || guild(event).and_then(|id| id.parse::<u64>().ok());
        match kind {
            "frames_begin" => {
                if let Some(guild) = of_guild() {
                    self.playing.entry(guild).or_default().insert(link());
                }
            }
            "frames_end" => {
                if let Some(links) = of_guild().and_then(|guild| self.playing.get_mut(&guild)) {
                    links.remove(&link());
                }
            }
            "gateway_closed" => {
                let live = event
                    .get("attached")
                    .and_then(serde_json::Value::as_bool)
                    .unwrap_or(false);
                let for_good = matches!(number(event, "code"), Some(1_000 | 1_001)) && text(event, "by") == "client";
                let (Some(shard), Some(shards)) = (number(event, "shard"), number(event, "shards")) else {
                    return;
                };
                let playing = self.playing_on(shard, shards);
                if live && for_good && !playing.is_empty() {
                    found.push(Violation {
                        at_ms,
                        rule: "closed_for_good",
                        guild: playing.first().cloned(),
                        detail: format!(
                            "shard {shard} was closed for good while {} guilds played",
                            playing.len()
                        ),
                    });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, event};
    use super::*;

    fn plays() -> Event {
        event(
            1,
            "frames_begin",
            json!({"guild": (5_u64 << 22).to_string(), "link": 1}),
        )
    }

    fn closed(code: u64, attached: bool, shard: u64) -> Event {
        let fields = json!({"by": "client", "code": code, "attached": attached, "shard": shard, "shards": 2});
        event(9, "gateway_closed", fields)
    }

    #[test]
    fn it_fires_on_1000_and_1001_while_a_guild_of_the_shard_plays() {
        assert_eq!(broken(&[plays(), closed(1_000, true, 1)], 9), ["closed_for_good"]);
        assert_eq!(broken(&[plays(), closed(1_001, true, 1)], 9), ["closed_for_good"]);
    }

    #[test]
    fn it_is_silent_otherwise() {
        assert!(broken(&[plays(), closed(4_000, true, 1)], 9).is_empty());
        assert!(broken(&[plays(), closed(1_000, false, 1)], 9).is_empty());
        assert!(broken(&[plays(), closed(1_000, true, 0)], 9).is_empty());
        let ended = event(5, "frames_end", json!({"guild": (5_u64 << 22).to_string(), "link": 1}));
        assert!(broken(&[plays(), ended, closed(1_000, true, 1)], 9).is_empty());
    }
}
