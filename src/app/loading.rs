//! Whether owners live through loading a shard, as a fact in the store: so that a guild whose snapshot kills whole
//! processes does not walk through all replicas.
//!
//! Whoever takes a shard first says durably that it is about to load it, and [`LIVED`] after that it lived. If it died in
//! between, any guild of the shard may be why: its successor loads one guild at a time and says which. The next death then
//! names a guild, and the death before, of which only the shard was known, is laid to that guild too: at the third death
//! in five minutes it is quarantined. A guild that kills later than [`LIVED`] is not told apart.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::cluster::{Cause, Claimed};
use crate::guild::Guilds;
use crate::interact;
use crate::model::ids::{Epoch, GuildId, MemberId};
use crate::model::record::PendingRecord;
use crate::player::Loaded;
use crate::store::{SharedStore, StoreError};

/// Who has driven a shard for so long did not die of loading it.
const LIVED: Duration = Duration::from_secs(3);
/// When the store does not answer, it is asked again after this.
const AGAIN: Duration = Duration::from_millis(250);
/// Why a guild counts as failed.
const WHY: &str = "its owner died while it loaded this guild";

/// What an owner is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// It loads all guilds of the shard.
    All,
    /// It loads this guild.
    One(GuildId),
    /// It has loaded all, and lives.
    Lived,
}

/// What the owner before may have died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Suspect {
    /// Nothing that was loaded.
    None,
    /// A guild of the shard, nobody knows which.
    Any,
    /// This guild.
    Guild(GuildId),
}

/// The fact under `loading:SHARD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    member: MemberId,
    epoch: Epoch,
    stage: Stage,
    suspect: Suspect,
}

/// What stands in the store of an owner that loads a shard.
#[derive(Debug)]
pub(super) struct Loading {
    store: SharedStore,
    key: String,
    mark: Mark,
    stored: Option<Value>,
}

impl Loading {
    /// Says that the shard is about to be loaded; durable when it returns.
    pub(super) async fn begin(store: &SharedStore, me: &MemberId, claimed: &Claimed) -> Result<Self, StoreError> {
        let key = format!("loading:{}", claimed.row.id);
        let stored = store.meta(&key).await?;
        let before = stored.clone().and_then(|mark| serde_json::from_value(mark).ok());
        let mut loading = Self {
            store: Arc::clone(store),
            key,
            mark: Mark {
                member: me.clone(),
                epoch: claimed.row.epoch,
                stage: Stage::All,
                suspect: suspect(before.as_ref(), me, claimed),
            },
            stored,
        };
        loading.say(Stage::All).await?;
        Ok(loading)
    }

    /// See [`Suspect`].
    pub(super) const fn suspect(&self) -> Suspect {
        self.mark.suspect
    }

    async fn say(&mut self, stage: Stage) -> Result<(), StoreError> {
        self.mark.stage = stage;
        let value = json!(self.mark);
        if self.store.put_meta(&self.key, self.stored.as_ref(), &value).await? {
            self.stored = Some(value);
            return Ok(());
        }
        // Ours from an attempt whose answer was lost; or the next owner's, and then nothing that is said here matters.
        self.stored = self.store.meta(&self.key).await?;
        let theirs = |mark: Mark| mark.member != self.mark.member && mark.epoch >= self.mark.epoch;
        let stored = self.stored.clone().and_then(|mark| serde_json::from_value(mark).ok());
        if self.stored.as_ref() == Some(&value) || stored.is_some_and(theirs) {
            return Ok(());
        }
        Err(StoreError::Unavailable {
            what: "saying what is being loaded: somebody else did at the same time",
            source: None,
        })
    }

    /// The same until it is durable.
    async fn insist(&mut self, stage: Stage) {
        let mut told = false;
        while let Err(error) = self.say(stage.clone()).await {
            if !std::mem::replace(&mut told, true) {
                warn!(%error, "cannot store what is being loaded; trying until it works");
            }
            sleep(AGAIN).await;
        }
    }

    /// Says that the owner lived, when it has.
    pub(super) async fn lived(mut self) {
        sleep(LIVED).await;
        self.insist(Stage::Lived).await;
    }
}

/// What the owner before may have died of. Pure.
fn suspect(mark: Option<&Mark>, me: &MemberId, claimed: &Claimed) -> Suspect {
    let Some(mark) = mark else { return Suspect::None };
    if mark.member == *me && mark.epoch == claimed.row.epoch {
        // Said before by an attempt whose answer was lost.
        return mark.suspect;
    }
    let died = matches!(claimed.cause, Cause::Proven | Cause::TimedOut);
    let theirs = claimed.previous.as_ref() == Some(&mark.member) && mark.epoch.0 + 1 == claimed.row.epoch.0;
    match mark.stage {
        Stage::All if died && theirs => Suspect::Any,
        Stage::One(guild) if died && theirs => Suspect::Guild(guild),
        Stage::All | Stage::One(_) | Stage::Lived => Suspect::None,
    }
}

/// The guilds of a shard whose owner died while it loaded them.
pub(super) struct Careful {
    pub(super) loading: Loading,
    pub(super) guilds: Vec<(GuildId, Epoch)>,
    pub(super) loaded: Loaded,
}

impl Careful {
    /// Loads one guild after the other, each marked while it may do harm. They must be held ([`Guilds::hold`]).
    pub(super) async fn load(self, guilds: Arc<Guilds>) {
        let Self {
            mut loading,
            guilds: mut order,
            loaded,
        } = self;
        let suspect = loading.suspect();
        // The others need not wait for what is suspected.
        order.sort_by_key(|(guild, _)| suspect == Suspect::Guild(*guild));
        let mut deferred = JoinSet::new();
        for (guild, epoch) in order {
            if suspect == Suspect::Guild(guild) && !blame(&guilds, guild, epoch).await {
                guilds.let_in(guild);
                continue;
            }
            loading.insist(Stage::One(guild)).await;
            for pending in admit(&guilds, guild, loaded).await {
                deferred.spawn(interact::finish_pending(Arc::clone(&guilds), guild, pending));
            }
            guilds.let_in(guild);
            guilds.prove(guild).await;
        }
        loading.insist(Stage::All).await;
        info!(shard = guilds.around().shard, "every guild was loaded by itself");
        tokio::join!(loading.lived(), async { while deferred.join_next().await.is_some() {} });
    }
}

/// Whether the guild may be loaded once more.
async fn blame(guilds: &Guilds, guild: GuildId, epoch: Epoch) -> bool {
    warn!(%guild, "the owner before died while it loaded this guild");
    // Once for that death, once for the one before: it was why guilds were loaded one at a time.
    guilds.failed(guild, epoch, WHY).await && guilds.failed(guild, epoch, WHY).await
}

async fn admit(guilds: &Guilds, guild: GuildId, loaded: Loaded) -> Vec<PendingRecord> {
    loop {
        match guilds.admit(guild, loaded).await {
            Ok(pending) => return pending,
            Err(error) if error.is_passing() => {
                warn!(%guild, %error, "a guild cannot be loaded yet");
                sleep(AGAIN).await;
            }
            Err(error) => {
                warn!(%guild, %error, "a snapshot cannot be read; it is left as it is");
                return Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Moments;
    use crate::store::ShardRow;

    fn member(name: &str) -> MemberId {
        MemberId(name.to_owned())
    }

    /// Shard 3 as `b` took it from `a`, whose epoch was 4.
    fn claimed(cause: Cause) -> Claimed {
        let row = ShardRow {
            id: 3,
            owner: Some(member("b")),
            epoch: Epoch(5),
            want: Some(member("b")),
            want_term: 1,
            session: None,
            lavalink: std::collections::BTreeMap::new(),
            trace: None,
            owner_trace: None,
            released: None,
        };
        Claimed {
            previous: Some(member("a")),
            left: matches!(cause, Cause::Handover | Cause::Rebalance),
            alive_until_ms: 0,
            seq: None,
            trace: None,
            owner_trace: None,
            moments: Moments::default(),
            cause,
            row,
        }
    }

    fn mark(name: &str, epoch: u64, stage: Stage) -> Mark {
        Mark {
            member: member(name),
            epoch: Epoch(epoch),
            stage,
            suspect: Suspect::None,
        }
    }

    #[test]
    fn only_an_owner_that_died_while_it_loaded_makes_a_guild_suspect() {
        let (me, guild) = (member("b"), GuildId::new(7));
        let table = [
            (Cause::Proven, mark("a", 4, Stage::All), Suspect::Any),
            (Cause::TimedOut, mark("a", 4, Stage::One(guild)), Suspect::Guild(guild)),
            (Cause::Proven, mark("a", 4, Stage::Lived), Suspect::None),
            (Cause::Handover, mark("a", 4, Stage::All), Suspect::None),
            (Cause::Rebalance, mark("a", 4, Stage::One(guild)), Suspect::None),
            // An older owner's: the one before us died before it began to load.
            (Cause::Proven, mark("a", 3, Stage::All), Suspect::None),
            (Cause::Proven, mark("z", 4, Stage::All), Suspect::None),
        ];
        for (cause, mark, expected) in table {
            assert_eq!(
                suspect(Some(&mark), &me, &claimed(cause)),
                expected,
                "{cause:?} {mark:?}"
            );
        }
        assert_eq!(suspect(None, &me, &claimed(Cause::Proven)), Suspect::None);
        let own = Mark {
            suspect: Suspect::Any,
            ..mark("b", 5, Stage::All)
        };
        assert_eq!(
            suspect(Some(&own), &me, &claimed(Cause::Proven)),
            Suspect::Any,
            "said by an attempt whose answer was lost"
        );
    }

    #[tokio::test]
    async fn a_stage_is_durable_when_it_is_said_and_an_owner_before_says_nothing_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("segue.db").display());
        let store = crate::store::open(&address.into()).await.unwrap();
        let stage = async || store.meta("loading:3").await.unwrap().unwrap()["stage"].clone();
        let guild = GuildId::new(7);
        let before = Claimed {
            row: ShardRow {
                epoch: Epoch(4),
                ..claimed(Cause::First).row
            },
            ..claimed(Cause::First)
        };
        let mut a = Loading::begin(&store, &member("a"), &before).await.unwrap();
        assert_eq!((a.suspect(), stage().await), (Suspect::None, json!("all")));
        a.insist(Stage::One(guild)).await;
        assert_eq!(stage().await, json!({ "one": "7" }));
        let b = Loading::begin(&store, &member("b"), &claimed(Cause::Proven))
            .await
            .unwrap();
        assert_eq!(b.suspect(), Suspect::Guild(guild));
        a.insist(Stage::Lived).await;
        assert_eq!(stage().await, json!("all"), "the successor's word stands");
    }
}
