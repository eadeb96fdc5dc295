//! `two_drivers`: somebody drives a shard that another took over, at Discord's gateway or at a Lavalink node.

use std::collections::HashMap;

use super::{Event, Rule, Violation, guild, number, text};

/// Who drives what, as the wire tells it.
#[derive(Debug, Default)]
pub(super) struct TwoDrivers {
    /// The newest gateway socket of a shard.
    sockets: HashMap<(u64, u64), u64>,
    /// The member that connected a Lavalink session of a shard last, and when.
    members: HashMap<String, (String, u64)>,
}

/// A `Client-Name` of the form `… member=ID shard=n/total`: the member and the shard.
fn driver(client: &str) -> Option<(&str, &str)> {
    let word = |name: &str| {
        client
            .split(' ')
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    };
    word("member").zip(word("shard"))
}

impl TwoDrivers {
    fn took_socket(&mut self, event: &Event) {
        if let (Some(shard), Some(conn)) = (shard(event), number(event, "conn")) {
            let newest = self.sockets.entry(shard).or_default();
            *newest = conn.max(*newest);
        }
    }

    fn op_4(&self, at_ms: u64, event: &Event, found: &mut Vec<Violation>) {
        let (Some(of), Some(conn)) = (shard(event), number(event, "conn")) else {
            return;
        };
        if self.sockets.get(&of).is_some_and(|newest| conn < *newest) {
            found.push(Violation {
                at_ms,
                rule: "two_drivers",
                guild: guild(event),
                detail: format!(
                    "op 4 on socket {conn} of shard {}, which another socket took over",
                    of.0
                ),
            });
        }
    }

    /// What a member wrote for a guild. What was refused changed nothing; what was on its way before the handover counts
    /// as written before.
    fn write(&self, at_ms: u64, event: &Event, found: &mut Vec<Violation>) {
        let (Some(guild), Some((member, shard))) = (guild(event), driver(text(event, "client"))) else {
            return;
        };
        if number(event, "status").is_none_or(|status| status >= 400) {
            return;
        }
        let began_ms = number(event, "began_ms").unwrap_or(at_ms);
        let Some((owner, since_ms)) = self.members.get(shard) else {
            return;
        };
        if owner != member && began_ms >= *since_ms {
            let (route, node) = (text(event, "route"), text(event, "node"));
            found.push(Violation {
                at_ms,
                rule: "two_drivers",
                guild: Some(guild),
                detail: format!(
                    "{member} wrote {route} at node {node} for shard {shard}, which {owner} took at {since_ms} ms"
                ),
            });
        }
    }
}

/// Its number and how many there are.
fn shard(event: &Event) -> Option<(u64, u64)> {
    Some((number(event, "shard")?, number(event, "shards").unwrap_or(1)))
}

impl Rule for TwoDrivers {
    fn observe(&mut self, at_ms: u64, kind: &str, event: &Event, found: &mut Vec<Violation>) {
        match kind {
            "session_opened" => self.took_socket(event),
            "resume" if text(event, "outcome") == "ok" => self.took_socket(event),
            "voice_request" => self.op_4(at_ms, event, found),
            "node_session_open" | "node_session_resumed" => {
                let Some((member, shard)) = driver(text(event, "client")) else {
                    return;
                };
                let known = self.members.get(shard).is_some_and(|(owner, _)| owner == member);
                if !known {
                    self.members.insert(shard.to_owned(), (member.to_owned(), at_ms));
                }
            }
            "node_rest" => self.write(at_ms, event, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{broken, event};
    use super::*;

    fn resumed(conn: u64) -> Event {
        let fields = json!({"shard": 0, "shards": 2, "conn": conn, "outcome": "ok", "session": "s"});
        event(1, "resume", fields)
    }

    fn op_4(conn: u64, shard: u64) -> Event {
        let fields = json!({"shard": shard, "shards": 2, "conn": conn, "guild": "1"});
        event(2, "voice_request", fields)
    }

    fn connected(at: u64, kind: &str, member: &str, shard: &str) -> Event {
        let client = format!("segue/1 member={member} shard={shard}");
        event(at, kind, json!({"node": "a", "session": "s", "client": client}))
    }

    fn wrote(at: u64, began: u64, member: &str, shard: &str, status: u64) -> Event {
        let client = format!("segue/1 member={member} shard={shard}");
        let fields = json!({
            "node": "b", "guild": "7", "client": client, "route": "PATCH x", "status": status, "began_ms": began,
        });
        event(at, "node_rest", fields)
    }

    #[test]
    fn it_fires_on_an_op_4_of_an_older_socket_only() {
        assert_eq!(broken(&[resumed(1), resumed(2), op_4(1, 0)], 2), ["two_drivers"]);
        assert!(broken(&[resumed(1), op_4(1, 0), resumed(2), op_4(2, 0), op_4(1, 1)], 2).is_empty());
    }

    #[test]
    fn it_fires_when_a_member_writes_for_a_guild_of_a_shard_that_another_took() {
        for kind in ["node_session_open", "node_session_resumed"] {
            let log = [
                connected(0, "node_session_open", "one", "0/2"),
                connected(5, kind, "two", "0/2"),
                wrote(9, 8, "one", "0/2", 200),
            ];
            assert_eq!(broken(&log, 9), ["two_drivers"], "{kind}");
        }
    }

    #[test]
    fn it_is_silent_for_the_owner_for_what_was_refused_or_under_way_and_for_other_shards() {
        let log = [
            connected(0, "node_session_open", "one", "0/2"),
            connected(1, "node_session_open", "one", "1/2"),
            wrote(2, 2, "one", "0/2", 200),
            connected(5, "node_session_resumed", "two", "0/2"),
            wrote(6, 4, "one", "0/2", 200),
            wrote(7, 7, "one", "0/2", 404),
            wrote(8, 8, "two", "0/2", 204),
            wrote(9, 9, "one", "1/2", 200),
        ];
        assert!(broken(&log, 9).is_empty());
        let nameless = event(
            9,
            "node_rest",
            json!({"guild": "7", "client": "other/1", "status": 200}),
        );
        assert!(broken(&[connected(0, "node_session_open", "one", "0/2"), nameless], 9).is_empty());
    }
}
