//! `silent_panel`: a track is heard for more than 10 s and no message of the bot shows it.
//!
//! A Now Playing message is one that everybody sees, with buttons, which names what plays. The bot gets a second more for
//! every 40 such messages that are due at once. It is excused while its shard has no socket or is excused by a note, while
//! a fault hurts REST, where it may not write, where announcing was switched off, and, until another track is heard, after a
//! person deleted the message or its channel.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::hearing::Hearing;
use super::reach::Reach;
use super::{Event, Rule, Violation, guild, number, text};

/// How long the bot may take.
const PATIENCE_MS: u64 = 10_000;
/// How many messages more give it another second.
const A_SECOND_FOR: u64 = 40;
/// How often time is looked at.
const LOOK_MS: u64 = 250;
/// How much of a title must stand in the message, which may be shortened.
const TITLE_LENGTH: usize = 60;
/// Messages of a guild that are remembered.
const MESSAGES: usize = 20;
/// Permissions without which there is no Now Playing message.
const NEEDED: [&str; 5] = ["view", "view_channel", "send", "send_messages", "embed_links"];

#[derive(Debug, Default)]
pub(super) struct SilentPanel {
    reach: Reach,
    guilds: BTreeMap<String, Place>,
    /// When time was looked at last.
    looked_ms: u64,
}

/// What is known of a guild.
#[derive(Debug, Default)]
struct Place {
    hearing: Hearing,
    /// What is heard and not shown, since when, and whether that was told already.
    waits: Option<(String, u64, bool)>,
    /// Messages with buttons, by id, as people read them.
    messages: BTreeMap<String, String>,
    /// Where people command the bot.
    channel: Option<String>,
    /// Channels in which the bot may not write.
    denied: HashSet<String>,
    silenced: bool,
    /// What was heard when a person deleted the message that named it.
    deleted: Option<String>,
}

/// What is left of a text once decoration, escapes and invisible signs are gone.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Everything that people read in a message.
fn words(event: &Event) -> String {
    let mut all = text(event, "content").to_owned();
    let embeds = event.get("embeds").and_then(Value::as_array);
    for embed in embeds.into_iter().flatten() {
        all.push_str(embed["title"].as_str().unwrap_or_default());
        all.push_str(embed["description"].as_str().unwrap_or_default());
    }
    plain(&all)
}

/// Whether a message, as people read it, names a title, which may be shortened.
fn names(message: &str, title: &str) -> bool {
    let wanted: String = plain(title).chars().take(TITLE_LENGTH).collect();
    message.contains(&wanted)
}

impl Place {
    fn shows(&self, title: &str) -> bool {
        self.messages.values().any(|message| names(message, title))
    }

    /// A message is gone.
    fn gone(&mut self, event: &Event) {
        let Some(message) = self.messages.remove(text(event, "message")) else {
            return;
        };
        // What is told of is heard a moment later, and what is paused is heard again.
        let heard = self.hearing.newest().map(|carried| carried.title.clone());
        let named = heard.filter(|title| text(event, "by") == "person" && names(&message, title));
        self.deleted = named.or_else(|| self.deleted.take());
    }

    fn may_write(&self) -> bool {
        match &self.channel {
            Some(channel) => !self.denied.contains(channel),
            None => self.denied.is_empty(),
        }
    }

    fn message(&mut self, event: &Event) {
        let flag = |name: &str| event.get(name).and_then(Value::as_bool).unwrap_or(false);
        let id = text(event, "message").to_owned();
        if flag("components") && !flag("ephemeral") && !flag("loading") {
            let words = words(event);
            if self.deleted.as_ref().is_some_and(|title| names(&words, title)) {
                self.deleted = None;
            }
            self.messages.insert(id, words);
        } else {
            self.messages.remove(&id);
        }
        while self.messages.len() > MESSAGES {
            self.messages.pop_first();
        }
    }

    fn asked(&mut self, event: &Event) {
        self.channel = Some(text(event, "channel").to_owned());
        let brief = event.get("brief").unwrap_or(&Value::Null);
        if let ("settings", Some(announce)) = (
            brief["name"].as_str().unwrap_or_default(),
            brief["options"]["announce"].as_bool(),
        ) {
            self.silenced = !announce;
        }
    }

    fn channel_changed(&mut self, event: &Event) {
        let channel = text(event, "channel").to_owned();
        let Some(denied) = event.get("fields").and_then(|fields| fields["bot_denied"].as_array()) else {
            return;
        };
        if denied
            .iter()
            .any(|name| NEEDED.contains(&name.as_str().unwrap_or_default()))
        {
            self.denied.insert(channel);
        } else {
            self.denied.remove(&channel);
        }
    }

    /// Nobody can write where no channel is.
    fn channel_deleted(&mut self, event: &Event) {
        self.denied.insert(text(event, "channel").to_owned());
    }

    /// Brings `waits` up to now. Whatever changed since the last look changed within `LOOK_MS` of it: the next event after
    /// that is preceded by a look.
    fn settle(&mut self, looked_ms: u64, now_ms: u64, excused: bool) {
        let excused = excused || self.silenced || !self.may_write();
        let heard = self.hearing.at(now_ms);
        if heard.is_some_and(|carried| self.deleted.as_ref().is_some_and(|title| *title != carried.title)) {
            self.deleted = None;
        }
        let heard = heard.filter(|carried| !excused && self.deleted.is_none() && !self.shows(&carried.title));
        let heard = heard.map(|carried| (carried.title.clone(), carried.from_ms));
        let before = self.waits.take();
        self.waits = heard.map(|(title, from_ms)| {
            let same = before.filter(|(waiting, ..)| *waiting == title);
            same.unwrap_or_else(|| (title, from_ms.max(looked_ms + LOOK_MS).min(now_ms), false))
        });
    }
}

impl SilentPanel {
    fn look(&mut self, now_ms: u64, found: &mut Vec<Violation>) {
        let looked_ms = std::mem::replace(&mut self.looked_ms, now_ms);
        let hurt = self.reach.rest_is_hurt();
        for (guild, place) in &mut self.guilds {
            let shard = self.reach.shard_of(guild);
            let excused = hurt || !self.reach.connected(shard) || self.reach.excuses(shard);
            place.settle(looked_ms, now_ms, excused);
        }
        let due = self.guilds.values().filter(|place| place.waits.is_some()).count() as u64;
        let patience = PATIENCE_MS + 1_000 * due / A_SECOND_FOR;
        for (guild, place) in &mut self.guilds {
            let Some((title, since_ms, told @ false)) = &mut place.waits else {
                continue;
            };
            if now_ms > *since_ms + patience {
                *told = true;
                found.push(Violation {
                    at_ms: now_ms,
                    rule: "silent_panel",
                    guild: Some(guild.clone()),
                    detail: format!("{title:?} is heard since {since_ms} ms and no message shows it"),
                });
            }
        }
    }
}

impl Rule for SilentPanel {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        if at_ms >= self.looked_ms + LOOK_MS {
            self.look(at_ms, found);
        }
        if self.reach.observe(kind, event) {
            return;
        }
        let act: fn(&mut Place, &Event) = match kind {
            "audio" => |place, event| {
                place.hearing.observe(event);
            },
            "message_created" | "message_edited" => Place::message,
            "message_deleted" => Place::gone,
            "interaction_issued" if number(event, "type") == Some(2) => Place::asked,
            "channel_changed" => Place::channel_changed,
            "channel_deleted" => Place::channel_deleted,
            _ => return,
        };
        if let Some(guild) = guild(event) {
            act(self.guilds.entry(guild).or_default(), event);
        }
    }

    fn advance(&mut self, now_ms: u64, found: &mut Vec<Violation>) {
        if now_ms > self.looked_ms {
            self.look(now_ms, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, event};
    use super::*;

    fn connected() -> Event {
        event(
            0,
            "session_opened",
            json!({"session": "s", "shard": 0, "shards": 1, "conn": 1}),
        )
    }

    fn plays(at: u64, title: &str) -> Event {
        let fields = json!({
            "guild": "1", "node": "a", "link": 1, "from_ms": at, "end": "stopped", "track": title, "title": title,
            "position_ms": 0, "speed": 1.0,
        });
        event(at, "audio", fields)
    }

    fn message(at: u64, kind: &str, title: &str, more: &Value) -> Event {
        let mut fields = json!({
            "guild": "1", "channel": "5", "message": "9", "content": "", "embeds": [{"title": title}],
            "components": true, "ephemeral": false, "loading": false,
        });
        for (name, value) in more.as_object().unwrap() {
            fields[name] = value.clone();
        }
        event(at, kind, fields)
    }

    fn panel(at: u64, title: &str) -> Event {
        message(at, "message_created", title, &json!({}))
    }

    fn asked(at: u64, brief: &Value) -> Event {
        let fields = json!({"guild": "1", "channel": "5", "type": 2, "interaction": "3", "brief": brief});
        event(at, "interaction_issued", fields)
    }

    #[test]
    fn it_fires_once_when_a_track_is_heard_for_more_than_ten_seconds_and_no_message_shows_it() {
        assert_eq!(
            broken(&[connected(), plays(1_000, "Blue Moon")], 30_000),
            ["silent_panel"]
        );
        assert!(broken(&[connected(), plays(1_000, "Blue Moon")], 10_900).is_empty());
        let stale = [
            connected(),
            plays(1_000, "Blue Moon"),
            panel(2_000, "Blue Moon"),
            plays(9_000, "Red Sun"),
        ];
        assert_eq!(broken(&stale, 20_000), ["silent_panel"]);
        for hidden in [
            json!({"ephemeral": true}),
            json!({"components": false}),
            json!({"loading": true}),
        ] {
            let log = [
                connected(),
                plays(0, "Blue Moon"),
                message(9, "message_created", "Blue Moon", &hidden),
            ];
            assert_eq!(broken(&log, 20_000), ["silent_panel"], "{hidden}");
        }
    }

    #[test]
    fn it_is_silent_while_a_message_shows_what_is_heard_however_it_is_decorated() {
        let shown = [
            connected(),
            plays(0, "Blue_Moon *live*"),
            panel(9_000, "**\u{2068}Blue\\_Moon \\*live\\*\u{2069}**"),
        ];
        assert!(broken(&shown, 60_000).is_empty());
        let edited = [
            connected(),
            plays(0, "Blue Moon"),
            panel(5_000, "Blue Moon"),
            plays(30_000, "Red Sun"),
            message(39_000, "message_edited", "Red Sun", &json!({})),
        ];
        assert!(broken(&edited, 90_000).is_empty());
    }

    #[test]
    fn it_gives_a_second_more_for_every_forty_messages_that_are_due() {
        let mut log = vec![connected()];
        for guild in 1..=80 {
            let mut event = plays(0, "Blue Moon");
            event.insert("guild".into(), guild.to_string().into());
            log.push(event);
        }
        assert!(broken(&log, 11_900).is_empty());
        assert_eq!(broken(&log, 12_300).len(), 80);
    }

    #[test]
    fn it_is_silent_where_the_bot_cannot_or_shall_not_write() {
        let fault =
            |what: &str, fields: Value| event(0, "fault_begin", json!({"fault": "4", "what": what, "fields": fields}));
        let denied = json!({"guild": "1", "channel": "5", "fields": {"bot_denied": ["send_messages"]}});
        let closed = json!({"session": "s", "shard": 0, "conn": 1, "by": "none"});
        let excuses = [
            vec![fault("refuse_rest", json!({"route": "*", "status": 500}))],
            vec![fault("note", json!({"excuse": [0]}))],
            vec![event(0, "gateway_closed", closed)],
            vec![event(0, "channel_changed", denied)],
            vec![asked(0, &json!({"name": "settings", "options": {"announce": false}}))],
            vec![
                asked(0, &json!({"name": "play", "options": {}})),
                event(1, "channel_deleted", json!({"guild": "1", "channel": "5"})),
            ],
        ];
        for excuse in excuses {
            let mut log = vec![connected()];
            log.extend(excuse);
            log.push(plays(2, "Blue Moon"));
            assert!(broken(&log, 60_000).is_empty(), "{log:?}");
            // It is held to its word again once the excuse is over.
            log.push(event(60_000, "fault_end", json!({"fault": "4"})));
            let back = json!({"session": "s", "shard": 0, "shards": 1, "conn": 2, "outcome": "ok"});
            log.push(event(60_000, "resume", back));
            let allowed = json!({"guild": "1", "channel": "5", "fields": {"bot_denied": []}});
            log.push(event(60_000, "channel_changed", allowed));
            log.push(asked(
                60_000,
                &json!({"name": "settings", "options": {"announce": true}}),
            ));
            log.push(panel(60_000, "Red Sun"));
            assert_eq!(broken(&log, 75_000), ["silent_panel"], "{log:?}");
        }
    }

    fn deleted(at: u64, id: &str) -> Event {
        let fields = json!({"guild": "1", "channel": "5", "message": id, "by": "person"});
        event(at, "message_deleted", fields)
    }

    #[test]
    fn a_person_who_deletes_the_message_wants_none_until_another_track_is_heard() {
        let mut log = vec![
            connected(),
            plays(0, "Blue Moon"),
            panel(100, "Blue Moon"),
            deleted(5_000, "9"),
        ];
        assert!(broken(&log, 60_000).is_empty());
        log.push(plays(60_000, "Red Sun"));
        assert_eq!(broken(&log, 75_000), ["silent_panel"]);
        log.push(message(61_000, "message_created", "Red Sun", &json!({"message": "10"})));
        assert!(broken(&log, 90_000).is_empty());
        let paused = [
            connected(),
            plays(0, "Blue Moon"),
            panel(100, "Blue Moon"),
            event(
                4_000,
                "audio",
                json!({"guild": "1", "link": 1, "from_ms": 4_000, "end": "stopped", "track": null}),
            ),
            deleted(5_000, "9"),
            plays(6_000, "Blue Moon"),
        ];
        assert!(broken(&paused, 60_000).is_empty(), "it is still the same one");
    }

    #[test]
    fn a_person_who_deletes_a_page_of_the_queue_excuses_nothing() {
        let page = message(50, "message_created", "The queue", &json!({"message": "8"}));
        let log = [connected(), page, plays(100, "Blue Moon"), deleted(5_000, "8")];
        assert_eq!(broken(&log, 60_000), ["silent_panel"]);
        let stood = [
            connected(),
            plays(0, "Blue Moon"),
            panel(100, "Blue Moon"),
            message(200, "message_created", "The queue", &json!({"message": "8"})),
            deleted(300, "8"),
            event(
                400,
                "message_deleted",
                json!({"guild": "1", "channel": "5", "message": "9", "by": "bot"}),
            ),
        ];
        assert_eq!(broken(&stood, 60_000), ["silent_panel"]);
    }

    #[test]
    fn a_message_goes_with_its_channel_and_people_who_go_on_elsewhere_want_another_one() {
        let mut log = vec![
            connected(),
            asked(0, &json!({"name": "play", "options": {}})),
            plays(0, "Blue Moon"),
            panel(100, "Blue Moon"),
            deleted(5_000, "9"),
            event(5_000, "channel_deleted", json!({"guild": "1", "channel": "5"})),
            plays(9_000, "Red Sun"),
        ];
        assert!(broken(&log, 60_000).is_empty(), "there is no place to write it");
        let mut elsewhere = asked(20_000, &json!({"name": "play", "options": {}}));
        elsewhere.insert("channel".into(), "6".into());
        log.push(elsewhere);
        assert_eq!(broken(&log, 60_000), ["silent_panel"]);
    }
}
