//! Actors as their mailboxes see them.

use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::SecretString;
use tokio::time::{Duration, advance};
use tokio_util::sync::CancellationToken;

use super::actor::Actor;
use super::*;
use crate::discord;
use crate::gateway::identify::{IdentifyQueue, Tickets};
use crate::gateway::{INTENTS, ShardSpec, open};
use crate::lifecycle::NoAuthority;
use crate::model::ids::{ApplicationId, Rev, ShardId};
use crate::model::record::Snapshot;
use crate::player::Dirty;
use crate::store::sqlite::SqliteStore;

#[derive(Debug, Default)]
struct Switch(AtomicBool);

impl Authority for Switch {
    fn check(&self) -> Result<(), NoAuthority> {
        self.0.load(Ordering::Relaxed).then_some(()).ok_or(NoAuthority)
    }
}

/// Nothing is connected to anything.
fn around(permit: Arc<Switch>, store: SharedStore) -> Surroundings {
    let member = MemberId("a".into());
    let token = || SecretString::from("token");
    let at_once: Tickets = Arc::new(|_| Box::pin(std::future::ready(Ok(Duration::ZERO))));
    let (queue, _drive) = IdentifyQueue::new(at_once, CancellationToken::new());
    let spec = ShardSpec {
        shard: ShardId::new(0, 1),
        token: token(),
        intents: INTENTS,
        gateway_url: None,
        session: None,
        bot: UserId::new(99),
        member: member.clone(),
        now_ms: wall_ms,
    };
    let (gateway, _run) = open(
        spec,
        queue,
        mpsc::channel(1).0,
        permit.clone(),
        CancellationToken::new(),
    );
    let discord = Discord::new(discord::Settings {
        token: token(),
        api_url: None,
        member: member.clone(),
        version: "0",
        hook: None,
        now_ms: wall_ms,
    });
    Surroundings {
        shard: 0,
        member,
        permit,
        store,
        discord: discord.unwrap(),
        application: ApplicationId::new(98),
        bot: UserId::new(99),
        gateway,
        nodes: Arc::new([]),
        policy: Policy::default(),
        metrics: Arc::default(),
        recoveries: mpsc::channel(1).0,
        takeover: Arc::new(Takeover::new(None, std::iter::empty())),
        playing: Arc::default(),
    }
}

/// One guild in which nobody asked for anything yet.
struct Scene {
    _folder: tempfile::TempDir,
    permit: Arc<Switch>,
    handle: GuildHandle,
    task: JoinSet<Ended>,
}

impl Scene {
    fn new(dirty: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("store")).unwrap();
        let permit = Arc::new(Switch::default());
        let guild = GuildId::new(7);
        let mut row = GuildRow {
            id: guild,
            shard: 0,
            owner: None,
            epoch: Epoch(1),
            rev: Rev(1),
            active: false,
            ends_at_ms: None,
            snapshot: Snapshot::default(),
        };
        let around = around(permit.clone(), Arc::new(store));
        let mut player = Player::restore(guild, around.policy, row.snapshot.clone(), None);
        player.mark_dirty(Dirty {
            head: dirty,
            lists: false,
        });
        let actor = Box::new(Actor::new(around, guild, Saving::of(&mut row, 0), player));
        let (mailbox, mail) = mpsc::channel(MAILBOX);
        let mut task = JoinSet::new();
        task.spawn(actor.run(mail));
        Self {
            _folder: folder,
            permit,
            handle: GuildHandle { mailbox },
            task,
        }
    }

    /// Two minutes in which auto-save asks every 15 s where the music is, and the status page how it looks. Whether it
    /// ended.
    async fn two_minutes(&self) -> bool {
        for _round in 0..8 {
            advance(Duration::from_secs(15)).await;
            let (answer, checkpoint) = oneshot::channel();
            self.handle.put(Mail::Checkpoint(answer));
            self.handle.put(Mail::NodesChanged);
            let asked = (checkpoint.await.is_ok(), self.handle.view().await.is_ok());
            if asked == (false, false) {
                return true;
            }
        }
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_guild_without_anything_to_do_ends_although_auto_save_asks_where_its_music_is() {
    let scene = Scene::new(false);
    assert!(scene.two_minutes().await);
    assert_eq!(scene.task.join_all().await, [Ended::Retired]);
}

#[tokio::test(start_paused = true)]
async fn a_guild_that_could_not_be_saved_or_that_somebody_is_about_to_ask_does_not_end() {
    let unsaved = Scene::new(true);
    assert!(!unsaved.two_minutes().await, "what it was told is stored nowhere");
    assert!(!unsaved.permit.0.load(Ordering::Relaxed));
    let asked = Scene::new(false);
    let about_to_ask = asked.handle.clone();
    assert!(!asked.two_minutes().await, "a load takes its time");
    drop(about_to_ask);
    assert!(asked.two_minutes().await);
}
