//! A database of its own for one test, handles on it, and things to put into it.

use std::sync::atomic::{AtomicU64, Ordering};

use mongodb::bson::{Bson, Document, doc};
use secrecy::SecretString;
use segue::model::ids::{Epoch, GuildId, ItemId, MemberId, Rev};
use segue::model::position::Anchor;
use segue::model::record::{DeckRecord, Head, Lists};
use segue::model::track::{Item, Track};
use segue::store::{self, Assignment, Checkpoint, GuildWrite, MemberRow, Origin, Sealed, ShardRow, SharedStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::mongod;

/// A place, and a store opened on it.
pub(crate) struct Bed {
    place: Place,
    _turn: Option<SemaphorePermit<'static>>,
    pub(crate) store: SharedStore,
}

enum Place {
    Sqlite(TempDir),
    Mongodb(String),
}

static NEXT: AtomicU64 = AtomicU64::new(0);
/// Few tests at a time work on the shared set, so that a small machine keeps the operations' deadline.
static TURNS: Semaphore = Semaphore::const_new(3);

impl Bed {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = sqlite_address(&folder);
        Self {
            store: open(&address).await,
            place: Place::Sqlite(folder),
            _turn: None,
        }
    }

    /// `None` when no `mongod` can be had.
    pub(crate) async fn mongodb(test: &str) -> Option<Self> {
        let set = mongod::shared().await?;
        let turn = TURNS.acquire().await.expect("never closed");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let short: String = test.chars().take(40).collect();
        let uri = set.uri(&format!("t{number}_{short}"));
        Some(Self {
            store: open(&uri).await,
            place: Place::Mongodb(uri),
            _turn: Some(turn),
        })
    }

    /// A second handle on the same database, as another process would have.
    pub(crate) async fn another(&self) -> SharedStore {
        match &self.place {
            Place::Sqlite(folder) => open(&sqlite_address(folder)).await,
            Place::Mongodb(uri) => open(uri).await,
        }
    }

    /// Where it is, as `SEGUE_STORE` says it.
    pub(crate) fn address(&self) -> String {
        match &self.place {
            Place::Sqlite(folder) => sqlite_address(folder),
            Place::Mongodb(uri) => uri.clone(),
        }
    }

    /// Puts a record there as another version of the program would have.
    pub(crate) async fn put_raw(&self, id: GuildId, owner: &MemberId, head: &Value, lists: Option<&Value>) {
        let schema = head["schema"].as_i64().expect("a schema");
        let key = id.get().cast_signed();
        match &self.place {
            Place::Sqlite(folder) => {
                let db = rusqlite::Connection::open(folder.path().join("segue.db")).expect("opens");
                db.execute(
                    "INSERT INTO guilds (id, shard, owner, epoch, rev, active, schema) VALUES (?1, 0, ?2, 3, 7, 1, ?3)",
                    rusqlite::params![key, owner.0, schema],
                )
                .expect("inserted");
                db.execute(
                    "INSERT INTO guild_heads VALUES (?1, ?2)",
                    rusqlite::params![key, head.to_string()],
                )
                .expect("inserted");
                if let Some(lists) = lists {
                    db.execute(
                        "INSERT INTO guild_lists VALUES (?1, ?2)",
                        rusqlite::params![key, lists.to_string()],
                    )
                    .expect("inserted");
                }
            }
            Place::Mongodb(_) => {
                let mut document = doc! {
                    "_id": key, "shard": 0, "owner": &owner.0, "epoch": 3_i64, "rev": 7_i64, "active": true,
                    "ends_at_ms": Bson::Null, "schema": schema, "head": plain(head),
                };
                if let Some(lists) = lists {
                    document.insert("lists", plain(lists));
                }
                self.collection("guilds")
                    .await
                    .insert_one(document)
                    .await
                    .expect("inserted");
            }
        }
    }

    /// The head as it lies there.
    pub(crate) async fn raw_head(&self, id: GuildId) -> Value {
        let key = id.get().cast_signed();
        match &self.place {
            Place::Sqlite(folder) => {
                let db = rusqlite::Connection::open(folder.path().join("segue.db")).expect("opens");
                let text: String = db
                    .query_row("SELECT head FROM guild_heads WHERE id = ?1", [key], |row| row.get(0))
                    .expect("a head");
                serde_json::from_str(&text).expect("JSON")
            }
            Place::Mongodb(_) => {
                let document = self.collection("guilds").await.find_one(doc! { "_id": key }).await;
                let document = document.expect("found").expect("a guild");
                let head = document.get("head").cloned().expect("a head");
                mongodb::bson::deserialize_from_bson(head).expect("plain JSON")
            }
        }
    }

    /// Makes all counted failures of a guild older.
    pub(crate) async fn age_failures(&self, id: GuildId, ms: i64) {
        let key = id.get().cast_signed();
        match &self.place {
            Place::Sqlite(folder) => {
                let db = rusqlite::Connection::open(folder.path().join("segue.db")).expect("opens");
                db.execute("UPDATE guild_failures SET at_ms = at_ms - ?2 WHERE id = ?1", [key, ms])
                    .expect("updated");
            }
            Place::Mongodb(_) => {
                let older = doc! { "$map": { "input": "$failures", "in": { "$subtract": ["$$this", ms] } } };
                let guilds = self.collection("guilds").await;
                let aged = guilds.update_one(doc! { "_id": key }, vec![doc! { "$set": { "failures": older } }]);
                assert_eq!(aged.await.expect("updated").modified_count, 1);
            }
        }
    }

    /// Makes a member look as if it had not renewed for longer.
    pub(crate) async fn age_member(&self, id: &MemberId, ms: i64) {
        match &self.place {
            Place::Sqlite(folder) => {
                let db = rusqlite::Connection::open(folder.path().join("segue.db")).expect("opens");
                let aged = "UPDATE members SET renewed_ms = renewed_ms - ?2 WHERE id = ?1";
                db.execute(aged, rusqlite::params![id.0, ms]).expect("updated");
            }
            Place::Mongodb(_) => {
                let older = doc! { "renewed_at": { "$subtract": ["$renewed_at", ms] } };
                let members = self.collection("members").await;
                let aged = members.update_one(doc! { "_id": &id.0 }, vec![doc! { "$set": older }]);
                assert_eq!(aged.await.expect("updated").modified_count, 1);
            }
        }
    }

    /// A collection of it, on MongoDB.
    pub(crate) async fn collection(&self, name: &str) -> mongodb::Collection<Document> {
        let Place::Mongodb(uri) = &self.place else {
            panic!("not on MongoDB")
        };
        let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
        client.default_database().expect("a database").collection(name)
    }
}

fn sqlite_address(folder: &TempDir) -> String {
    format!("sqlite:{}", folder.path().join("segue.db").display())
}

pub(crate) async fn open(address: &str) -> SharedStore {
    store::open(&SecretString::from(address))
        .await
        .expect("the store opens")
}

/// JSON without anything special in it, as BSON.
fn plain(value: &Value) -> Bson {
    mongodb::bson::serialize_to_bson(value).expect("plain JSON")
}

pub(crate) fn guild(number: u64) -> GuildId {
    GuildId::new(number)
}

pub(crate) fn me(name: &str) -> MemberId {
    MemberId(name.to_owned())
}

pub(crate) fn member(name: &str) -> MemberRow {
    MemberRow {
        origin: Origin {
            boot: Some("boot".into()),
            pid: 7,
            ..Origin::default()
        },
        http: Some("127.0.0.1:1".into()),
        ..MemberRow::new(me(name), name.to_owned())
    }
}

/// Says at term 0 that a member is to own a shard.
pub(crate) async fn want(store: &SharedStore, shard: u32, name: &str) {
    let assignment = Assignment {
        shard,
        want: me(name),
        trace: None,
    };
    let applied = store.assign(0, &[assignment]).await.expect("assigns");
    assert_eq!(applied, [shard]);
}

/// Assigns a shard to a member, and lets it claim it.
pub(crate) async fn take(store: &SharedStore, shard: u32, previous: Option<&str>, name: &str) -> ShardRow {
    want(store, shard, name).await;
    let claimed = store.claim_shard(shard, previous.map(me).as_ref(), &me(name)).await;
    claimed.expect("answers").expect("taken")
}

/// Takes all guilds of a shard, and reads them.
pub(crate) async fn seal(store: &SharedStore, shard: u32, previous: Option<&MemberId>, me: &MemberId) -> Sealed {
    store.seal(shard, previous, me).await.expect("seals");
    store.sealed(shard, me).await.expect("reads")
}

pub(crate) fn item(id: u64, title: &str) -> Item {
    Item {
        id: ItemId(id),
        track: Track {
            encoded: "QAAAjQIAJVJpY2sgQXN0bGV5".repeat(8),
            identifier: format!("track-{id}").into(),
            source: "http".into(),
            title: title.into(),
            author: "somebody".into(),
            uri: Some(format!("https://music.example/{id}").into()),
            artwork: None,
            length_ms: Some(200_000),
            seekable: true,
        },
        requester: segue::model::ids::UserId::new(42),
    }
}

pub(crate) fn playing(at_ms: i64) -> Head {
    Head {
        deck: DeckRecord::Playing {
            item: item(1, "one"),
            anchor: Anchor::playing(1_000, at_ms),
        },
        ..Head::default()
    }
}

pub(crate) fn write(id: GuildId, owner: &str, epoch: u64, rev: u64) -> GuildWrite {
    GuildWrite {
        id,
        owner: me(owner),
        epoch: Epoch(epoch),
        rev: Rev(rev),
        active: true,
        ends_at_ms: Some(200_000),
        head: playing(1_000),
        lists: None,
    }
}

pub(crate) fn lists(count: u64) -> Lists {
    Lists {
        queue: (0..count).map(|id| item(id, "queued")).collect(),
        history: vec![item(count, "played")],
    }
}

pub(crate) fn checkpoint(id: GuildId, owner: &str, epoch: u64, rev: u64, at_ms: i64) -> Checkpoint {
    Checkpoint {
        id,
        owner: me(owner),
        epoch: Epoch(epoch),
        rev: Rev(rev),
        anchor: Anchor::playing(50_000, at_ms),
        ends_at_ms: Some(at_ms + 150_000),
    }
}

/// Claims a guild that is not there yet, and writes it once with lists: rev 1, epoch 1.
pub(crate) async fn settle(store: &SharedStore, id: GuildId, owner: &str) {
    let row = store.claim_guild(id, 0, None, &me(owner)).await.expect("claims");
    let epoch = row.ours().expect("free").epoch.0;
    let first = GuildWrite {
        lists: Some(lists(3)),
        ..write(id, owner, epoch, 1)
    };
    assert_eq!(store.write_guild(&first).await.expect("writes"), store::Written::Done);
}

pub(crate) fn anchor(row: &store::GuildRow) -> Anchor {
    match &row.snapshot.head.deck {
        DeckRecord::Playing { anchor, .. } => *anchor,
        other @ (DeckRecord::Empty | DeckRecord::Paused { .. }) => panic!("plays nothing: {other:?}"),
    }
}
