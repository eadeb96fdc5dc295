//! One seed: a shape, replicas that come up, faults at random, and then a time in which everything must mend itself.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use segue::cluster::timing;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use super::replica::{Ice, Place, process};
use super::world::{Shape, World};
use crate::harness::lease_api::{self, lock};

/// After the last fault everything is well within this (I12): a time-out, an election and the grace, with room.
const MENDED: u64 = 45_000;
/// And then the load is even (I10) within the quiet after which it is evened, once more if that began late, and a moment
/// for each shard.
const EVEN: i64 = 2 * (timing::SETTLED + timing::UNEVEN);
/// Every so-manieth seed waits for the even load.
const EVENED: u64 = 4;
/// One move for the sake of an even load, with logins as slow as they get.
const MOVE: i64 = 30_000;
/// How often the audit looks.
const AUDIT: Duration = Duration::from_millis(100);

/// What came of a seed.
pub(super) struct Story {
    pub(super) shape: Shape,
    pub(super) history: Vec<String>,
    pub(super) broken: Vec<String>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.shape)?;
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        self.broken.iter().try_for_each(|line| writeln!(f, "BROKEN {line}"))
    }
}

/// Runs a seed in a runtime of its own, whose time passes only when nobody has anything to do.
pub(super) fn seed(seed: u64) -> Story {
    let mut rng = SmallRng::seed_from_u64(seed);
    let shape = Shape::draw(&mut rng);
    in_paused_time(async move {
        let mut cluster = Cluster::new(shape, seed);
        cluster.come_up(&mut rng).await;
        for _ in 0..rng.random_range(2..8) {
            cluster.fault(&mut rng).await;
            let pause = rng.random_range(0..12_000);
            cluster.pass(pause).await;
        }
        cluster.mend().await;
        // The quiet that evening waits for is long: a part of the seeds has it.
        if seed.is_multiple_of(EVENED) {
            cluster.must_be_even().await;
        }
        cluster.story()
    })
}

pub(super) fn in_paused_time<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(story)
}

/// The replicas of a run.
pub(super) struct Cluster {
    pub(super) world: Arc<World>,
    pub(super) places: Vec<Place>,
    processes: JoinSet<()>,
    running: Vec<Option<AbortHandle>>,
}

impl Cluster {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        let world = World::new(shape, seed);
        let places = (0..shape.replicas).map(|replica| Place {
            world: Arc::clone(&world),
            link: Arc::new(Link {
                world: Arc::clone(&world),
                cut_until_ms: AtomicI64::new(i64::MIN),
                replica,
            }),
            api: Arc::default(),
            ice: Arc::default(),
            lives: Arc::new(Mutex::new(0)),
            term: CancellationToken::new(),
        });
        Self {
            places: places.collect(),
            world,
            processes: JoinSet::new(),
            running: vec![None; shape.replicas],
        }
    }

    async fn come_up(&mut self, rng: &mut SmallRng) {
        for replica in 0..self.places.len() {
            self.start(replica);
            self.pass(rng.random_range(0..4_000)).await;
        }
        self.pass(rng.random_range(5_000..15_000)).await;
    }

    pub(super) fn start(&mut self, replica: usize) {
        let place = &mut self.places[replica];
        place.ice = Arc::new(Ice::default());
        place.term = CancellationToken::new();
        self.running[replica] = Some(self.processes.spawn(process(place.clone())));
    }

    pub(super) fn kill(&mut self, replica: usize) {
        self.world.note(format!("r{replica} is killed"));
        if let Some(running) = self.running[replica].take() {
            running.abort();
        }
        self.world.died(replica);
    }

    pub(super) fn is_running(&self, replica: usize) -> bool {
        self.running[replica]
            .as_ref()
            .is_some_and(|running| !running.is_finished())
    }

    /// SIGTERM.
    pub(super) fn terminate(&self, replica: usize) {
        self.world.note(format!("r{replica} is asked to leave"));
        self.places[replica].term.cancel();
    }

    pub(super) fn freeze(&self, replica: usize, frozen: bool) {
        self.world
            .note(format!("r{replica} is {}", if frozen { "frozen" } else { "thawed" }));
        for id in self.world.of(replica) {
            if let Some(life) = self.world.lives().get_mut(&id) {
                life.frozen = frozen;
            }
        }
        if frozen {
            self.places[replica].ice.freeze();
        } else {
            self.places[replica].ice.thaw();
        }
    }

    pub(super) fn cut(&self, replica: usize, for_ms: i64) {
        self.world
            .note(format!("r{replica} is cut off from the store for {for_ms}"));
        let until = self.world.now() + for_ms;
        self.places[replica]
            .link
            .cut_until_ms
            .fetch_max(until, Ordering::SeqCst);
        self.world.outage(Some(replica), for_ms);
    }

    pub(super) fn api(&self, replica: usize, link: lease_api::Link) {
        *lock(&self.places[replica].api) = link;
    }

    /// Lets time pass under audit.
    pub(super) async fn pass(&self, ms: u64) {
        let until = self.world.now() + i64::try_from(ms).unwrap_or(i64::MAX);
        while self.world.now() < until {
            sleep(AUDIT).await;
            self.world.audit_drivers();
        }
    }

    /// One thing goes wrong.
    async fn fault(&mut self, rng: &mut SmallRng) {
        let replica = rng.random_range(0..self.places.len());
        let long: u64 = rng.random_range(300..25_000);
        let for_ms = i64::try_from(long).unwrap_or(i64::MAX);
        match rng.random_range(0..12) {
            0 | 1 => {
                self.kill(replica);
                self.pass(rng.random_range(0..20_000)).await;
                self.start(replica);
            }
            2 => {
                self.kill(replica);
                self.start(replica);
            }
            3 | 4 => {
                self.freeze(replica, true);
                self.pass(long).await;
                self.freeze(replica, false);
            }
            5 | 6 => self.cut(replica, for_ms),
            7 => {
                self.world.note(format!("the store is down for {for_ms}"));
                self.world.store_goes_down(for_ms);
                if rng.random() {
                    self.pass(long).await;
                }
            }
            8 => {
                let link = if rng.random() {
                    lease_api::Link::Cut
                } else {
                    lease_api::Link::Mute
                };
                let all = rng.random_ratio(1, 3);
                self.world
                    .note(format!("r{replica} (all: {all}) and the API: {link:?} for {for_ms}"));
                let whom = (0..self.places.len()).filter(|other| all || *other == replica);
                whom.clone().for_each(|replica| self.api(replica, link));
                self.pass(long).await;
                whom.for_each(|replica| self.api(replica, lease_api::Link::Up));
            }
            9 | 10 => {
                self.terminate(replica);
                self.pass(rng.random_range(0..10_000)).await;
                if self.is_running(replica) {
                    self.kill(replica);
                }
                self.pass(rng.random_range(0..5_000)).await;
                self.start(replica);
            }
            _ if self.world.shape.clock_moves => {
                let ms = rng.random_range(-20_000..20_000);
                self.world.note(format!("the store's clock jumps by {ms}"));
                self.world.memory().jumped_ms += ms;
            }
            _ => {}
        }
    }

    /// Everything is put right, and then must come right.
    async fn mend(&mut self) {
        for replica in 0..self.places.len() {
            self.api(replica, lease_api::Link::Up);
            if !self.is_running(replica) {
                self.start(replica);
            }
        }
        let faults_end = self
            .places
            .iter()
            .map(|place| place.link.cut_until_ms.load(Ordering::SeqCst))
            .max();
        while faults_end.is_some_and(|end| self.world.now() < end) || self.world.store_is_down() {
            self.pass(100).await;
        }
        self.world.note("everything is put right");
        let moved = self.world.memory().jumped_ms.min(0).unsigned_abs();
        self.pass(MENDED + moved).await;
        self.must_be_served().await;
    }

    /// I10, after the last fault: who came back without shards gets its share.
    async fn must_be_even(&self) {
        let end = self.world.now() + EVEN + i64::from(self.world.shards) * MOVE;
        while let Some(loads) = self.world.unevenly() {
            let now = self.world.now();
            if now >= end {
                return self.world.memory().broke(now, &format!("I10: {loads}"));
            }
            self.pass(500).await;
        }
        self.must_be_served().await;
    }

    /// I12, with some patience: a shard may be on its way for the sake of an even load, or an answer was lost.
    pub(super) async fn must_be_served(&self) {
        let mut patience = 50;
        while patience > 0 && !self.world.unserved().is_empty() {
            patience -= 1;
            self.pass(100).await;
        }
        let unserved = self.world.unserved();
        if !unserved.is_empty() {
            let now = self.world.now();
            self.world.memory().broke(now, &format!("I12: {}", unserved.join("; ")));
        }
    }

    pub(super) fn story(&self) -> Story {
        let mut memory = self.world.memory();
        Story {
            shape: self.world.shape,
            history: std::mem::take(&mut memory.history),
            broken: std::mem::take(&mut memory.broken),
        }
    }
}
