//! MongoDB beside the kubelet: a replica set of one, asked in its own protocol for what the replicas wrote of deaths and
//! recoveries.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};

use super::node::{Node, until};

const PORT: u16 = 27_017;
const DATABASE: &str = "segue";
/// As many of anything as are asked for; more are never kept.
const MOST: i32 = 2_000;
/// Between two looks at what is written a moment later.
const LATER: Duration = Duration::from_millis(400);

/// A running MongoDB.
pub(super) struct Store {
    host: String,
}

/// A member that was declared dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Death {
    /// The replica's name.
    pub(super) name: String,
    /// How that was known.
    pub(super) why: String,
    /// The store's clock then.
    pub(super) at: DateTime,
}

/// How one guild was carried on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recovery {
    /// The guild's id.
    pub(super) guild: String,
    /// How it ended.
    pub(super) outcome: String,
    /// What set it off.
    trigger: String,
    /// Milliseconds from the first sign.
    pub(super) took_ms: i64,
    /// Milliseconds of silence.
    pub(super) gap_ms: i64,
}

impl Store {
    /// Starts it, and waits until it takes writes.
    pub(super) fn start(node: &Node) -> Result<Self, String> {
        // In memory inside: what else is written to the machine's disk is not to be waited for.
        let data = if node.own {
            PathBuf::from("/run/mongodb")
        } else {
            node.folder.join("mongodb")
        };
        std::fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        let (data, port) = (data.display().to_string(), PORT.to_string());
        let told = ["--replSet", "rs0", "--bind_ip", &node.address, "--port", &port];
        node.start(
            "mongod",
            &[&told[..], &["--dbpath", &data, "--wiredTigerCacheSizeGB", "0.25"]].concat(),
        )?;
        let store = Self {
            host: format!("{}:{PORT}", node.address),
        };
        let member = doc! { "_id": 0, "host": &store.host };
        let initiate = doc! { "replSetInitiate": { "_id": "rs0", "members": [member] }, "$db": "admin" };
        until("the replica set", || match store.ask(&initiate) {
            Err(error) if !error.contains("AlreadyInitialized") => Err(error),
            _ => Ok(()),
        })?;
        until("MongoDB's primary", || {
            let hello = store.hello()?;
            let writes = hello.get_bool("isWritablePrimary").unwrap_or_default();
            writes.then_some(()).ok_or_else(|| hello.to_string())
        })?;
        Ok(store)
    }

    /// The address that the bot is given.
    pub(super) fn address(&self) -> String {
        format!("mongodb://{}/{DATABASE}?replicaSet=rs0", self.host)
    }

    /// Its clock.
    pub(super) fn now(&self) -> Result<DateTime, String> {
        let hello = self.hello()?;
        let now = hello.get_datetime("localTime");
        now.copied().map_err(|error| format!("MongoDB: {error}"))
    }

    /// Members that were declared dead since.
    pub(super) fn deaths(&self, since: DateTime) -> Result<Vec<Death>, String> {
        let rows = self.find(
            "members",
            doc! { "ended_at": { "$gte": since }, "why": { "$type": "string" } },
        )?;
        let text = |row: &Document, key: &str| row.get_str(key).unwrap_or("?").to_owned();
        let death = |row: &Document| Death {
            name: text(row, "name"),
            why: text(row, "why"),
            at: row.get_datetime("ended_at").copied().unwrap_or(since),
        };
        Ok(rows.iter().map(death).collect())
    }

    /// Guilds that were carried on since. Replicas write them together, a moment later: until two looks see the same.
    pub(super) fn recoveries(&self, since: DateTime) -> Result<Vec<Recovery>, String> {
        let filter = doc! { "row.at_ms": { "$gte": since.timestamp_millis() } };
        let mut rows = self.find("recoveries", filter.clone())?;
        until("the end of recoveries", || {
            std::thread::sleep(LATER);
            let seen = std::mem::replace(&mut rows, self.find("recoveries", filter.clone())?);
            let over = seen.len() == rows.len();
            over.then_some(()).ok_or_else(|| format!("{} so far", rows.len()))
        })?;
        let row = |row: &Document| recovery(row.get_document("row").ok()?);
        Ok(rows.iter().filter_map(row).collect())
    }

    /// Whether this member lives, which is more than that it once did.
    pub(super) fn lives(&self, member: &str) -> Result<bool, String> {
        let alive = doc! { "_id": member, "state": { "$in": ["live", "draining"] } };
        Ok(!self.find("members", alive)?.is_empty())
    }

    /// The name of the replica that this member is.
    pub(super) fn name_of(&self, member: &str) -> Result<String, String> {
        let rows = self.find("members", doc! { "_id": member })?;
        let name = rows.first().and_then(|row| row.get_str("name").ok());
        name.map(str::to_owned)
            .ok_or_else(|| format!("there is no member {member}"))
    }

    /// The name of the replica that owns the most shards.
    pub(super) fn busiest(&self) -> Result<String, String> {
        let mut owned = BTreeMap::new();
        for row in self.find("shards", doc! {})? {
            if let Ok(owner) = row.get_str("owner") {
                *owned.entry(owner.to_owned()).or_insert(0) += 1;
            }
        }
        let most = owned.into_iter().max_by_key(|(_, shards)| *shards);
        most.map_or_else(
            || Err("nobody owns a shard".to_owned()),
            |(member, _)| self.name_of(&member),
        )
    }

    fn find(&self, collection: &str, filter: Document) -> Result<Vec<Document>, String> {
        let command =
            doc! { "find": collection, "filter": filter, "batchSize": MOST, "singleBatch": true, "$db": DATABASE };
        let answer = self.ask(&command)?;
        let batch = answer
            .get_document("cursor")
            .and_then(|cursor| cursor.get_array("firstBatch"));
        let batch = batch.map_err(|error| format!("MongoDB: {error} in {answer}"))?;
        Ok(batch.iter().filter_map(Bson::as_document).cloned().collect())
    }

    fn hello(&self) -> Result<Document, String> {
        self.ask(&doc! { "hello": 1, "$db": "admin" })
    }

    /// One command: a message of the protocol with one document in it.
    fn ask(&self, command: &Document) -> Result<Document, String> {
        let failed = |error: std::io::Error| format!("MongoDB: {error}");
        let document = command.to_vec().map_err(|error| format!("MongoDB: {error}"))?;
        let length = i32::try_from(21 + document.len()).map_err(|error| format!("MongoDB: {error}"))?;
        // Length, request, answer to, operation (a message), flags, and the kind of what follows.
        let numbers = [length, 1, 0, 2_013, 0];
        let head: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .chain([0])
            .collect();
        let mut stream = TcpStream::connect(&self.host).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(failed)?;
        stream.write_all(&[head, document].concat()).map_err(failed)?;
        let mut head = [0; 21];
        stream.read_exact(&mut head).map_err(failed)?;
        let answer = Document::from_reader(&mut stream).map_err(|error| format!("MongoDB: {error}"))?;
        if answer.get_f64("ok").is_ok_and(|ok| ok > 0.0) {
            Ok(answer)
        } else {
            Err(format!("MongoDB: {answer}"))
        }
    }
}

/// A row as it is stored.
pub(super) fn recovery(row: &Document) -> Option<Recovery> {
    let text = |key: &str| row.get_str(key).ok().map(str::to_owned);
    Some(Recovery {
        guild: text("guild")?,
        outcome: text("outcome")?,
        trigger: text("trigger")?,
        took_ms: row.get_i64("took_ms").ok()?,
        gap_ms: row.get_i64("gap_ms").ok()?,
    })
}

impl Recovery {
    /// How it ended, and what set it off.
    fn what(&self) -> String {
        format!("{} after {}", self.outcome, self.trigger)
    }
}

/// Recoveries that ended otherwise than they had to, in words.
pub(super) fn otherwise(recoveries: &[Recovery], wanted: &[&str]) -> Vec<String> {
    let other = recoveries.iter().filter(|one| !wanted.contains(&one.outcome.as_str()));
    other
        .map(|one| format!("guild {}: {}", one.guild, one.what()))
        .collect()
}

/// Recoveries for people: for each kind how many, how long they took, and the longest silence.
pub(super) fn told(recoveries: &[Recovery]) -> Vec<String> {
    let mut kinds: Vec<String> = recoveries.iter().map(Recovery::what).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let of_kind = |kind: &String| {
        let these = recoveries.iter().filter(|recovery| recovery.what() == *kind);
        let mut took: Vec<i64> = these.clone().map(|recovery| recovery.took_ms).collect();
        took.sort_unstable();
        let middle = took.get(took.len() / 2).copied().unwrap_or_default();
        let longest = took.last().copied().unwrap_or_default();
        let gap = these.map(|recovery| recovery.gap_ms).max().unwrap_or_default();
        format!(
            "{} {kind}: half within {middle} ms, all within {longest} ms; longest gap {gap} ms",
            took.len()
        )
    };
    kinds.iter().map(of_kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_read_from_its_row() {
        let row = doc! {
            "guild": "7", "outcome": "carried_on", "trigger": "crash", "took_ms": 90_i64, "gap_ms": 0_i64,
        };
        let read = recovery(&row).unwrap();
        assert_eq!(read, one("carried_on", 90, 0));
        assert_eq!(recovery(&doc! { "outcome": "carried_on" }), None);
    }

    #[test]
    fn a_recovery_that_ended_worse_than_it_had_to_is_told() {
        let all = [one("carried_on", 5, 0), one("failed", 9, 9)];
        assert_eq!(otherwise(&all, &["carried_on"]), ["guild 7: failed after crash"]);
        assert_eq!(otherwise(&all, &["carried_on", "failed"]), [""; 0]);
    }

    fn one(outcome: &str, took_ms: i64, gap_ms: i64) -> Recovery {
        Recovery {
            guild: "7".to_owned(),
            outcome: outcome.to_owned(),
            trigger: "crash".to_owned(),
            took_ms,
            gap_ms,
        }
    }

    #[test]
    fn recoveries_are_told_by_kind() {
        let all = [one("b", 90, 0), one("a", 5, 0), one("b", 30, 7)];
        assert_eq!(
            told(&all),
            [
                "1 a after crash: half within 5 ms, all within 5 ms; longest gap 0 ms",
                "2 b after crash: half within 90 ms, all within 90 ms; longest gap 7 ms",
            ]
        );
    }
}
