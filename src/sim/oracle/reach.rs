//! Whether the bot could hear and be heard, as the log tells it: sockets of shards, faults of REST, and excuses.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Event, number, text};

/// Faults that keep the bot's requests from working.
const REST_FAULTS: [&str; 4] = ["ban", "delay_rest", "rate_limit", "refuse_rest"];

/// Who is connected, and what is excused.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Sessions with a socket, by shard, and the socket.
    attached: HashMap<u64, HashMap<String, u64>>,
    /// Into how many shards the newest session splits the guilds.
    shards: u64,
    /// REST faults that last.
    rest_faults: HashSet<String>,
    /// Notes that last, and the shards that they excuse.
    notes: HashMap<String, Vec<u64>>,
}

impl Reach {
    /// Whether a shard has a socket.
    pub(super) fn connected(&self, shard: u64) -> bool {
        self.attached.get(&shard).is_some_and(|sessions| !sessions.is_empty())
    }

    /// The shard of a guild.
    pub(super) fn shard_of(&self, guild: &str) -> u64 {
        guild.parse::<u64>().map_or(0, |id| (id >> 22) % self.shards.max(1))
    }

    /// Whether a fault of REST lasts.
    pub(super) fn rest_is_hurt(&self) -> bool {
        !self.rest_faults.is_empty()
    }

    /// Whether a note that lasts excuses a shard.
    pub(super) fn excuses(&self, shard: u64) -> bool {
        self.notes.values().flatten().any(|each| *each == shard)
    }

    /// Reads an event; whether it was one of those that are read here.
    pub(super) fn observe(&mut self, kind: &str, event: &Event) -> bool {
        match kind {
            "session_opened" => self.attach(event),
            "resume" if text(event, "outcome") == "ok" => self.attach(event),
            "gateway_closed" | "session_ended" => self.detach(event),
            "fault_begin" => self.fault(event),
            "fault_end" => {
                self.rest_faults.remove(text(event, "fault"));
                self.notes.remove(text(event, "fault"));
            }
            _ => return false,
        }
        true
    }

    fn attach(&mut self, event: &Event) {
        let (Some(shard), Some(conn)) = (number(event, "shard"), number(event, "conn")) else {
            return;
        };
        self.shards = number(event, "shards").unwrap_or(self.shards);
        let sessions = self.attached.entry(shard).or_default();
        sessions.insert(text(event, "session").to_owned(), conn);
    }

    fn detach(&mut self, event: &Event) {
        let Some(shard) = number(event, "shard") else { return };
        let sessions = self.attached.entry(shard).or_default();
        let session = text(event, "session");
        let conn = number(event, "conn");
        // A socket that was replaced by a newer one takes nothing along.
        if conn.is_none() || sessions.get(session).copied() == conn {
            sessions.remove(session);
        }
    }

    fn fault(&mut self, event: &Event) {
        let id = text(event, "fault").to_owned();
        let Some(fields) = event.get("fields") else { return };
        let what = text(event, "what");
        if REST_FAULTS.contains(&what) {
            self.rest_faults.insert(id);
        } else if what == "note" {
            let shards = fields["excuse"].as_array().map_or(&[][..], Vec::as_slice);
            self.notes.insert(id, shards.iter().filter_map(Value::as_u64).collect());
        }
    }
}
