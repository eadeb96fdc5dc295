//! One replica: joins, runs the real coordinator and, where the cluster is elected so, the real elector, and pretends to
//! drive shards: it writes to one guild of each, and believes what the store confirms.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::Rng as _;
use segue::cluster::claim::fence_proven;
use segue::cluster::coordinator::event::{Event, LeaseOrder};
use segue::cluster::lease::{Candidate, Elector};
use segue::cluster::member::BeatSource;
use segue::cluster::permit::Clock;
use segue::cluster::task::{self, Outside, Parts};
use segue::cluster::{Claimed, Duty, Ended, Handle, Member, NoTrail};
use segue::lifecycle::Authority as _;
use segue::model::ids::{Epoch, GuildId, MemberId, Rev};
use segue::model::record::Head;
use segue::store::{Beat, GatewaySession, GuildClaim, GuildWrite, MemberRow, Origin, SharedStore, Written};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::world::{Life, World};
use crate::harness::lease_api::{self, lock};

/// Between two writes of each shard.
const WRITES: Duration = Duration::from_secs(1);

/// A process that can be stopped and made to go on (SIGSTOP, SIGCONT): while it is frozen it is not polled.
#[derive(Default)]
pub(super) struct Ice {
    frozen: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Ice {
    pub(super) fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
    }

    pub(super) fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }

    async fn around<F: Future>(&self, process: F) -> F::Output {
        let mut process = Box::pin(process);
        std::future::poll_fn(|cx: &mut Context<'_>| {
            if self.frozen.load(Ordering::SeqCst) {
                *lock(&self.waker) = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Pin::as_mut(&mut process).poll(cx)
        })
        .await
    }
}

/// Where one replica is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) world: Arc<World>,
    pub(super) link: Arc<Link>,
    /// Its way to the Kubernetes API.
    pub(super) api: Arc<Mutex<lease_api::Link>>,
    pub(super) ice: Arc<Ice>,
    /// Counts its lives, over all processes.
    pub(super) lives: Arc<Mutex<u32>>,
    /// Asks it to leave.
    pub(super) term: CancellationToken,
}

/// The whole life of a process.
pub(super) async fn process(place: Place) {
    let ice = Arc::clone(&place.ice);
    ice.around(async {
        loop {
            if live(&place).await == Ended::Stopped {
                return;
            }
        }
    })
    .await;
}

async fn live(place: &Place) -> Ended {
    let world = &place.world;
    let store: SharedStore = Arc::clone(&place.link) as SharedStore;
    let row = row(place);
    let name = row.name.clone();
    let clock_of = Arc::clone(world);
    let clock = Clock::of(move || clock_of.now());
    let member = loop {
        match Member::join_as(Arc::clone(&store), row.clone(), clock.clone()).await {
            Ok(member) => break member,
            Err(_) => sleep(Duration::from_millis(250)).await,
        }
    };
    // A newcomer in the same place knows that the process before it is gone.
    let proof = |other: &MemberRow| (world.shape.proofs && other.name == name).then_some("its process is gone");
    while fence_proven(&store, &member.id, &NoTrail, proof).await.is_err() {
        sleep(Duration::from_millis(250)).await;
    }
    let (events, inbox) = mpsc::channel(task::INBOX);
    let life = Life {
        replica: place.link.replica,
        permit: Arc::clone(&member.permit),
        inbox: events.clone(),
        renewed_ms: world.now(),
        drives: BTreeMap::new(),
        frozen: false,
    };
    world.lives().insert(member.id.clone(), life);
    let (orders, ordered) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let (handle, duties, coordinator) = task::start(Parts {
        member: member.clone(),
        shards: world.shards,
        lease: world.shape.lease,
        seed: world.rng().random(),
        beat: beat(Arc::clone(world), place.link.replica),
        healthy: Arc::new(|| Ok(())),
        alive: Arc::new(|| ()),
        trail: Arc::new(NoTrail),
        outside: Box::new(Others {
            world: Arc::clone(world),
            me: member.id.clone(),
            watched: Vec::new(),
            orders,
        }),
        inbox,
        leaving: watch::channel(BTreeSet::new()).1,
        stop: stop.clone(),
    });
    let elector = elector(place, &member, clock, ordered, events);
    let drive = drive(place, &member, &store, handle, duties, &stop);
    let ended = tokio::select! {
        biased;
        ended = coordinator => ended,
        () = elector => unreachable!("it has orders as long as the coordinator lives"),
        () = drive => unreachable!("it ends with the coordinator"),
    };
    world.lives().remove(&member.id);
    world.note(format!("{} ends: {ended:?}", member.id));
    if ended == Ended::Stopped {
        let _store_is_down = member.leave(&Beat::default()).await;
    }
    ended
}

fn beat(world: Arc<World>, replica: usize) -> BeatSource {
    Arc::new(move || Beat {
        without_discord: world.is_without_discord(replica),
        ..Beat::default()
    })
}

fn row(place: &Place) -> MemberRow {
    let mut lives = lock(&place.lives);
    *lives += 1;
    let replica = place.link.replica;
    let origin = Origin {
        boot: Some("boot".into()),
        net_namespace: Some(if place.world.shape.proofs {
            1
        } else {
            100 + replica as u64
        }),
        ..Origin::default()
    };
    MemberRow {
        origin,
        peer: Some(format!("10.0.0.{replica}:7946")),
        ..MemberRow::new(MemberId(format!("r{replica}-{lives:02}")), format!("r{replica}"))
    }
}

async fn elector(
    place: &Place,
    member: &Member,
    clock: Clock,
    mut ordered: mpsc::Receiver<LeaseOrder>,
    events: mpsc::Sender<Event>,
) {
    if !place.world.shape.lease {
        while ordered.recv().await.is_some() {}
        return std::future::pending().await;
    }
    let client = lease_api::client(&place.world.server, &place.api);
    let candidate = Candidate {
        lease: "segue".into(),
        me: member.id.clone(),
        clock,
        owner: watch::channel(None).1,
    };
    Elector::new(client, "default", candidate, ordered, events).run().await;
    std::future::pending::<()>().await;
}

/// What is written for a shard: one guild.
struct Driven {
    epoch: Option<Epoch>,
    rev: Rev,
}

fn guild_of(shard: u32) -> GuildId {
    GuildId::new(u64::from(shard) + 1)
}

async fn drive(
    place: &Place,
    member: &Member,
    store: &SharedStore,
    handle: Handle,
    mut duties: mpsc::Receiver<Duty>,
    stop: &CancellationToken,
) {
    let world = &place.world;
    let mut driven: BTreeMap<u32, Driven> = BTreeMap::new();
    let mut writes: JoinSet<(u32, Wrote)> = JoinSet::new();
    let mut beat = interval(WRITES);
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            duty = duties.recv() => match duty {
                Some(Duty::Drive(claimed)) => {
                    let (shard, epoch) = (claimed.row.id, claimed.row.epoch);
                    own(world, member, |drives| {
                        drives.insert(shard, epoch.0);
                    });
                    driven.insert(shard, Driven { epoch: None, rev: Rev(0) });
                    let wait = world.rng().random_range(0..world.shape.identify_ms);
                    writes.spawn(seal(Arc::clone(store), member.id.clone(), *claimed, wait));
                }
                Some(Duty::Give { shard, .. }) => {
                    driven.remove(&shard);
                    let wait = world.rng().random_range(1..200);
                    sleep(Duration::from_millis(wait)).await;
                    own(world, member, |drives| {
                        drives.remove(&shard);
                    });
                    handle.given(shard, None);
                }
                None => return std::future::pending().await,
            },
            () = place.term.cancelled(), if !draining => {
                draining = true;
                handle.drain();
            }
            _how = handle.drained(), if draining && !stop.is_cancelled() => {
                driven.clear();
                own(world, member, BTreeMap::clear);
                stop.cancel();
            }
            Some(Ok((shard, wrote))) = writes.join_next() => note(world, &mut driven, shard, wrote),
            _ = beat.tick() => {
                for (shard, driven) in &mut driven {
                    if let Some(epoch) = driven.epoch.filter(|_| member.permit.check().is_ok()) {
                        driven.rev = Rev(driven.rev.0 + 1);
                        writes.spawn(write(Arc::clone(store), member.id.clone(), *shard, epoch, driven.rev));
                    }
                }
            }
        }
    }
}

fn own(world: &World, member: &Member, change: impl FnOnce(&mut BTreeMap<u32, u64>)) {
    if let Some(life) = world.lives().get_mut(&member.id) {
        change(&mut life.drives);
    }
}

enum Wrote {
    Sealed(Epoch, Rev),
    Confirmed(Rev),
    /// Somebody else's.
    Lost,
    Unknown,
}

fn note(world: &World, driven: &mut BTreeMap<u32, Driven>, shard: u32, wrote: Wrote) {
    match (wrote, driven.get_mut(&shard)) {
        (Wrote::Sealed(epoch, rev), Some(driven)) => {
            driven.epoch = Some(epoch);
            driven.rev = rev;
        }
        (Wrote::Confirmed(rev), _) => world.memory().confirm(guild_of(shard), rev),
        (Wrote::Lost, Some(driven)) => driven.epoch = None,
        (Wrote::Unknown | Wrote::Sealed(..) | Wrote::Lost, _) => {}
    }
}

/// Takes the shard's guild; a session is got first, if there is none.
async fn seal(store: SharedStore, me: MemberId, claimed: Claimed, wait_ms: u64) -> (u32, Wrote) {
    let (shard, epoch) = (claimed.row.id, claimed.row.epoch);
    if claimed.row.session.is_none() {
        sleep(Duration::from_millis(wait_ms)).await;
        let session = GatewaySession {
            id: format!("{shard}-{}", epoch.0),
            resume_url: "wss://gateway.example".into(),
            seq: 1,
            num_shards: 1,
            intents: 0,
            token_hash: String::new(),
        };
        let _not_stored = store.save_session(shard, &me, epoch, Some(&session), None).await;
    }
    loop {
        let claim = store
            .claim_guild(guild_of(shard), shard, claimed.previous.as_ref(), &me)
            .await;
        match claim {
            Ok(GuildClaim::Ours(row)) => return (shard, Wrote::Sealed(row.epoch, row.rev)),
            Ok(GuildClaim::Theirs | GuildClaim::Quarantined { .. }) => return (shard, Wrote::Lost),
            Err(_) => sleep(Duration::from_millis(250)).await,
        }
    }
}

async fn write(store: SharedStore, me: MemberId, shard: u32, epoch: Epoch, rev: Rev) -> (u32, Wrote) {
    let write = GuildWrite {
        id: guild_of(shard),
        owner: me,
        epoch,
        rev,
        active: true,
        ends_at_ms: None,
        head: Head::default(),
        lists: None,
    };
    let outcome = match store.write_guild(&write).await {
        Ok(Written::Done) => Wrote::Confirmed(rev),
        Ok(Written::Lost) => Wrote::Lost,
        Ok(Written::Stale) | Err(_) => Wrote::Unknown,
    };
    (shard, outcome)
}

/// The other members, over ways that lose things.
struct Others {
    world: Arc<World>,
    me: MemberId,
    watched: Vec<MemberId>,
    orders: mpsc::Sender<LeaseOrder>,
}

impl Outside for Others {
    fn watch(&mut self, members: Vec<(MemberId, String)>) {
        for (id, _) in members {
            if !self.watched.contains(&id) {
                self.world.tell(&id, Event::Poked, false);
                self.watched.push(id);
            }
        }
    }

    fn poke(&mut self, members: &[MemberId]) {
        for id in members {
            self.world.tell(id, Event::Poked, false);
        }
    }

    fn ask(&mut self) {
        let now = self.world.now();
        let answers: Vec<(MemberId, i64)> = {
            let lives = self.world.lives();
            let others = lives.iter().filter(|(id, life)| **id != self.me && !life.frozen);
            others.map(|(id, life)| (id.clone(), now - life.renewed_ms)).collect()
        };
        for (member, age_ms) in answers {
            self.world.tell(&self.me, Event::Renewing { age_ms, member }, false);
        }
    }

    fn renewed(&mut self, sent_ms: i64) {
        if let Some(life) = self.world.lives().get_mut(&self.me) {
            life.renewed_ms = sent_ms;
        }
    }

    fn lease(&mut self, order: LeaseOrder) {
        self.orders.try_send(order).expect("the elector listens");
    }
}
