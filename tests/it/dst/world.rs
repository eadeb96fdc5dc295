//! Everything around the replicas of one run: time, chance, the store, the ways between them; and what must hold there.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use segue::cluster::coordinator::event::Event;
use segue::cluster::evidence::Sign;
use segue::cluster::lease::STORE;
use segue::cluster::permit::{Permit, Standing};
use segue::cluster::timing;
use segue::model::ids::MemberId;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::link::Quality;
use super::memory::Memory;
use crate::harness::lease_api::{Server, lock};

/// What a run is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) replicas: usize,
    pub(super) shards: u32,
    /// A Kubernetes Lease elects the leader.
    pub(super) lease: bool,
    /// All run in one network namespace, so that a death is proven by its connections.
    pub(super) proofs: bool,
    pub(super) quality: Quality,
    /// Parts in a hundred of the pokes that do not arrive.
    pub(super) deaf: u32,
    /// A shard without a session gets one within this, milliseconds.
    pub(super) identify_ms: u64,
    /// The store's clock may be moved. Then two may drive for a moment (and nothing else may break).
    pub(super) clock_moves: bool,
}

impl Shape {
    pub(super) fn draw(rng: &mut SmallRng) -> Self {
        let pick = |rng: &mut SmallRng, of: &[u32]| of[rng.random_range(0..of.len())];
        Self {
            replicas: if rng.random_ratio(3, 4) {
                3
            } else {
                rng.random_range(2..=5)
            },
            shards: rng.random_range(1..=6),
            lease: rng.random(),
            proofs: rng.random(),
            quality: Quality {
                latency_ms: i64::from(pick(rng, &[2, 20, 150, 400])),
                lost: pick(rng, &[0, 5, 30]),
                late: pick(rng, &[0, 2, 10]),
            },
            deaf: pick(rng, &[0, 20, 100]),
            identify_ms: u64::from(pick(rng, &[50, 2_000, 20_000])),
            clock_moves: rng.random_ratio(1, 10),
        }
    }

    /// Everything works, and quickly.
    pub(super) const fn calm(replicas: usize, shards: u32, lease: bool) -> Self {
        Self {
            replicas,
            shards,
            lease,
            proofs: true,
            quality: Quality {
                latency_ms: 4,
                lost: 0,
                late: 0,
            },
            deaf: 0,
            identify_ms: 4_000,
            clock_moves: false,
        }
    }
}

/// A member as the others and the audit see it.
pub(super) struct Life {
    pub(super) replica: usize,
    pub(super) permit: Arc<Permit>,
    pub(super) inbox: mpsc::Sender<Event>,
    /// When its last renewal that is stored was sent.
    pub(super) renewed_ms: i64,
    /// What it drives, with the epoch.
    pub(super) drives: BTreeMap<u32, u64>,
    pub(super) frozen: bool,
}

/// One run.
pub(super) struct World {
    began: Instant,
    pub(super) shards: u32,
    pub(super) quality: Quality,
    pub(super) shape: Shape,
    rng: Mutex<SmallRng>,
    memory: Mutex<Memory>,
    packets: Mutex<JoinSet<()>>,
    lives: Mutex<BTreeMap<MemberId, Life>>,
    down_until_ms: AtomicI64,
    /// When which replica's way to the store led nowhere: from, until, whose (`None`: everybody's).
    outages: Mutex<Vec<(i64, i64, Option<usize>)>>,
    pub(super) server: Arc<Mutex<Server>>,
    /// Replicas that cannot reach Discord.
    without_discord: Mutex<BTreeSet<usize>>,
}

impl World {
    pub(super) fn new(shape: Shape, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            shards: shape.shards,
            quality: shape.quality,
            shape,
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
            memory: Mutex::default(),
            packets: Mutex::default(),
            lives: Mutex::default(),
            down_until_ms: AtomicI64::new(i64::MIN),
            outages: Mutex::default(),
            server: Arc::default(),
            without_discord: Mutex::default(),
        })
    }

    pub(super) fn now(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    pub(super) fn discord(&self, replica: usize, reaches: bool) {
        let mut without = lock(&self.without_discord);
        if reaches {
            without.remove(&replica);
        } else {
            without.insert(replica);
        }
    }

    pub(super) fn is_without_discord(&self, replica: usize) -> bool {
        lock(&self.without_discord).contains(&replica)
    }

    pub(super) fn rng(&self) -> MutexGuard<'_, SmallRng> {
        lock(&self.rng)
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    pub(super) fn lives(&self) -> MutexGuard<'_, BTreeMap<MemberId, Life>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, what: impl AsRef<str>) {
        self.memory().note(self.now(), what.as_ref());
    }

    /// Something is under way, whatever becomes of its sender.
    pub(super) fn send(&self, packet: impl Future<Output = ()> + Send + 'static) {
        let mut packets = lock(&self.packets);
        while packets.try_join_next().is_some() {}
        packets.spawn(packet);
    }

    /// Says something to a member, some time later, perhaps.
    pub(super) fn tell(self: &Arc<Self>, id: &MemberId, event: Event, sure: bool) {
        let (deaf, wait) = {
            let mut rng = self.rng();
            (rng.random_range(0..100) < self.shape.deaf, rng.random_range(1..20))
        };
        if deaf && !sure {
            return;
        }
        let Some(inbox) = self.lives().get(id).map(|life| life.inbox.clone()) else {
            return;
        };
        self.send(async move {
            sleep(Duration::from_millis(wait)).await;
            let _gone = inbox.try_send(event);
        });
    }

    /// The process of a replica is no more: its connections end, and its address refuses.
    pub(super) fn died(self: &Arc<Self>, replica: usize) {
        let dead: Vec<MemberId> = self.of(replica);
        let others: Vec<MemberId> = self.lives().keys().filter(|id| !dead.contains(id)).cloned().collect();
        for id in &dead {
            self.lives().remove(id);
            for other in others.iter().filter(|_| self.shape.proofs) {
                for sign in [Sign::Cut, Sign::Refused] {
                    let event = Event::Sign {
                        member: id.clone(),
                        sign,
                        wall_ms: self.now(),
                    };
                    self.tell(other, event, true);
                }
            }
        }
    }

    pub(super) fn of(&self, replica: usize) -> Vec<MemberId> {
        let lives = self.lives();
        let its = lives.iter().filter(|(_, life)| life.replica == replica);
        its.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn store_is_down(&self) -> bool {
        self.now() < self.down_until_ms.load(Ordering::SeqCst)
    }

    /// The store answers nobody for so long.
    pub(super) fn store_goes_down(&self, for_ms: i64) {
        let now = self.now();
        self.down_until_ms.fetch_max(now + for_ms, Ordering::SeqCst);
        self.outage(None, for_ms);
    }

    pub(super) fn outage(&self, replica: Option<usize>, for_ms: i64) {
        let now = self.now();
        lock(&self.outages).push((now, now + for_ms, replica));
    }

    /// I7: whoever fences by time-out has watched for as long, and the store was there all the time; not in the grace.
    pub(super) fn audit_time_out(&self, memory: &mut Memory, replica: usize, sent_ms: i64, overdue_ms: i64) {
        let watch = if overdue_ms == timing::MEMBER_TIMEOUT + timing::STORE_CLOCK_MARGIN {
            timing::MEMBER_TIMEOUT
        } else {
            timing::NEWCOMER_WATCH
        };
        let unseen = |(from, until, whose): &(i64, i64, Option<usize>)| {
            let both = (*until).min(sent_ms) - (*from).max(sent_ms - watch);
            (whose.is_none() || *whose == Some(replica)) && both > timing::SCAN_GAP
        };
        if let Some(outage) = lock(&self.outages).iter().find(|outage| unseen(outage)) {
            memory.broke(
                sent_ms,
                &format!("I7: fenced by time-out although the store was away: {outage:?}"),
            );
        }
        let server = lock(&self.server);
        let said = |at: usize| &server.annotated[at].1[STORE];
        for at in (0..server.annotated.len()).filter(|at| *said(*at) == "down") {
            let ended = server.annotated.get(at + 1).map(|(until, _)| self.ms(*until));
            let began = self.ms(server.annotated[at].0);
            if began < sent_ms && ended.is_none_or(|ended| sent_ms < ended + timing::WITNESS_GRACE) {
                memory.broke(sent_ms, "I7: fenced by time-out within the grace");
            }
        }
    }

    fn ms(&self, at: Instant) -> i64 {
        i64::try_from(at.duration_since(self.began).as_millis()).unwrap_or(i64::MAX)
    }

    /// I1: of each shard, at most one member may act.
    pub(super) fn audit_drivers(&self) {
        let mut drivers: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for (id, life) in self.lives().iter() {
            if matches!(life.permit.standing(), Standing::Valid { .. }) {
                for (shard, epoch) in &life.drives {
                    drivers
                        .entry(*shard)
                        .or_default()
                        .push(format!("{id} in epoch {epoch}"));
                }
            }
        }
        for (shard, who) in drivers.into_iter().filter(|(_, who)| who.len() > 1) {
            if !self.shape.clock_moves {
                self.memory()
                    .broke(self.now(), &format!("I1: shard {shard} is driven by {who:?}"));
            }
        }
    }

    /// I12, and of I10 that everybody agrees: each shard is driven by the one live member that is to own it.
    pub(super) fn unserved(&self) -> Vec<String> {
        let (memory, lives) = (self.memory(), self.lives());
        let mut wrong = Vec::new();
        for shard in 0..self.shards {
            let Some(row) = memory.shards.get(&shard) else {
                wrong.push(format!("shard {shard} was never assigned"));
                continue;
            };
            let driver = row.owner.as_ref().and_then(|owner| lives.get(owner));
            let is_driven = driver.is_some_and(|life| {
                !life.frozen
                    && life.drives.get(&shard) == Some(&row.epoch.0)
                    && matches!(life.permit.standing(), Standing::Valid { .. })
            });
            if row.owner.is_none() || row.owner != row.want || !is_driven {
                let holder = row.owner.as_ref().and_then(|owner| memory.members.get(owner));
                wrong.push(format!(
                    "shard {shard}: want {:?}, owner {:?} ({:?}), driven {is_driven}",
                    row.want,
                    row.owner,
                    holder.map(|row| row.state)
                ));
            }
        }
        wrong
    }

    /// I10: nobody has two shards more than another and a quarter more than the mean. Who has how many, if not.
    pub(super) fn unevenly(&self) -> Option<String> {
        let lives = self.lives();
        let loads: Vec<usize> = lives.values().map(|life| life.drives.len()).collect();
        let (most, least) = (*loads.iter().max()?, *loads.iter().min()?);
        let uneven = most - least > 1 && most * 4 * loads.len() > loads.iter().sum::<usize>() * 5;
        uneven.then(|| {
            let who = lives.iter().map(|(id, life)| format!("{id}: {}", life.drives.len()));
            who.collect::<Vec<_>>().join(", ")
        })
    }
}
