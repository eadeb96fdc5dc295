//! The elector: candidates for one Lease in paused time: partitions, races, lost answers, writes that arrive late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use segue::cluster::coordinator::event::{Event, LeaseOrder, Word};
use segue::cluster::lease::{Candidate, Elector, STORE};
use segue::cluster::permit::Clock;
use segue::model::ids::MemberId;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::harness::lease_api::{Link, Server, client, lock};

struct Scene {
    server: Arc<Mutex<Server>>,
    began: Instant,
    tasks: JoinSet<()>,
}

struct Stands {
    name: &'static str,
    link: Arc<Mutex<Link>>,
    orders: mpsc::Sender<LeaseOrder>,
    events: mpsc::Receiver<Event>,
    /// Until when it believed to lead, from when on.
    led: Vec<(i64, i64)>,
}

fn now_of(began: Instant) -> Clock {
    Clock::of(move || i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX))
}

impl Scene {
    fn new() -> Self {
        Self {
            server: Arc::default(),
            began: Instant::now(),
            tasks: JoinSet::new(),
        }
    }

    fn stand(&mut self, name: &'static str) -> Stands {
        self.stand_with(name, watch::channel(None).1)
    }

    fn stand_with(&mut self, name: &'static str, owner: watch::Receiver<Option<OwnerReference>>) -> Stands {
        let link = Arc::default();
        let (orders, ordered) = mpsc::channel(16);
        let (sender, events) = mpsc::channel(1_024);
        let candidate = Candidate {
            lease: "segue".into(),
            me: MemberId(name.into()),
            clock: now_of(self.began),
            owner,
        };
        let elector = Elector::new(client(&self.server, &link), "default", candidate, ordered, sender);
        self.tasks.spawn(elector.run());
        Stands {
            name,
            link,
            orders,
            events,
            led: Vec::new(),
        }
    }

    fn now(&self) -> i64 {
        now_of(self.began).now_ms()
    }

    /// Lets time pass, and hears what the candidates believe.
    async fn pass(&self, ms: u64, candidates: &mut [&mut Stands]) {
        for _ in 0..ms / 10 {
            sleep(Duration::from_millis(10)).await;
            let now = self.now();
            for candidate in candidates.iter_mut() {
                while let Ok(event) = candidate.events.try_recv() {
                    let Event::Lease(seen) = event else { continue };
                    if let Some(until) = seen.mine_until_ms {
                        candidate.led.push((now, until));
                    }
                }
            }
        }
    }
}

impl Stands {
    fn link(&self, link: Link) {
        *lock(&self.link) = link;
    }

    fn leads(&self, now: i64) -> bool {
        self.led.last().is_some_and(|(_, until)| now < *until)
    }

    fn last(&self) -> i64 {
        self.led.last().map_or(i64::MIN, |(_, until)| *until)
    }

    fn first(&self) -> i64 {
        self.led.first().map_or(i64::MAX, |(at, _)| *at)
    }

    async fn order(&self, order: LeaseOrder) {
        self.orders.send(order).await.expect("the elector listens");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_cut_off_from_the_api_ends_before_another_begins() {
    let mut scene = Scene::new();
    let mut a = scene.stand("a");
    scene.pass(500, &mut [&mut a]).await;
    let mut b = scene.stand("b");
    scene.pass(5_000, &mut [&mut a, &mut b]).await;
    assert!(a.leads(scene.now()) && b.led.is_empty());
    a.link(Link::Cut);
    let cut = scene.now();
    scene.pass(12_000, &mut [&mut a, &mut b]).await;
    assert!(a.last() <= cut + 5_000, "{} after {cut}", a.last());
    assert!(
        b.first() >= a.last() && b.first() <= cut + 10_000,
        "{} {}",
        a.last(),
        b.first()
    );
    a.link(Link::Up);
    scene.pass(3_000, &mut [&mut a, &mut b]).await;
    assert!(b.leads(scene.now()) && !a.leads(scene.now()));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_it_at_the_same_time_one_is_refused() {
    let mut scene = Scene::new();
    let mut a = scene.stand("a");
    scene.pass(500, &mut [&mut a]).await;
    let (mut b, mut c) = (scene.stand("b"), scene.stand("c"));
    scene.pass(2_000, &mut [&mut a, &mut b, &mut c]).await;
    b.link(Link::Slow(700));
    c.link(Link::Slow(700));
    a.link(Link::Cut);
    scene.pass(14_000, &mut [&mut a, &mut b, &mut c]).await;
    let now = scene.now();
    assert_eq!(
        [&a, &b, &c]
            .map(|one| one.leads(now))
            .into_iter()
            .filter(|leads| *leads)
            .count(),
        1
    );
    assert!(b.led.is_empty() != c.led.is_empty(), "{:?} {:?}", b.led, c.led);
    assert!(lock(&scene.server).conflicts > 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_found_and_carried_on() {
    let mut scene = Scene::new();
    let mut a = scene.stand("a");
    scene.pass(2_000, &mut [&mut a]).await;
    a.link(Link::Mute);
    scene.pass(1_800, &mut [&mut a]).await;
    a.link(Link::Up);
    scene.pass(10_000, &mut [&mut a]).await;
    let gaps = a.led.windows(2).filter(|pair| pair[1].0 > pair[0].1).count();
    assert_eq!(gaps, 0, "{:?}", a.led);
    assert!(
        lock(&scene.server).conflicts > 0,
        "the write that was applied made the version old"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_or_released_lease_is_taken_within_a_second() {
    let mut scene = Scene::new();
    let (mut a, mut b);
    a = scene.stand("a");
    scene.pass(500, &mut [&mut a]).await;
    b = scene.stand("b");
    scene.pass(2_000, &mut [&mut a, &mut b]).await;
    a.link(Link::Cut);
    let dead = scene.now();
    b.order(LeaseOrder::Dead(MemberId("a".into()))).await;
    scene.pass(2_000, &mut [&mut a, &mut b]).await;
    assert!(b.first() - dead < 1_100, "{} after {dead}", b.first());
    let mut c = scene.stand("c");
    scene.pass(2_000, &mut [&mut b, &mut c]).await;
    let released = scene.now();
    b.order(LeaseOrder::Abstain { until_ms: i64::MAX }).await;
    scene.pass(2_000, &mut [&mut b, &mut c]).await;
    assert!(c.first() - released < 1_100, "{} after {released}", c.first());
    assert_eq!((b.name, c.name), ("b", "c"));
}

#[tokio::test(start_paused = true)]
async fn a_candidate_whose_calls_take_longer_than_a_round_goes_on_and_takes_over() {
    let mut scene = Scene::new();
    let mut a = scene.stand("a");
    scene.pass(500, &mut [&mut a]).await;
    let mut b = scene.stand("b");
    b.link(Link::Late(1_200));
    scene.pass(10_000, &mut [&mut a, &mut b]).await;
    assert!(a.leads(scene.now()) && b.led.is_empty());
    assert!(!b.orders.is_closed(), "the elector still listens");
    a.link(Link::Cut);
    scene.pass(14_000, &mut [&mut a, &mut b]).await;
    assert!(b.leads(scene.now()) && b.first() >= a.last(), "{:?} {:?}", a.led, b.led);
}

#[tokio::test(start_paused = true)]
async fn the_word_of_the_store_is_on_the_lease_and_inherited() {
    let mut scene = Scene::new();
    let mut a = scene.stand("a");
    scene.pass(500, &mut [&mut a]).await;
    a.order(LeaseOrder::Say(Some(Word::Down))).await;
    scene.pass(100, &mut [&mut a]).await;
    let said = |scene: &Scene| lock(&scene.server).lease.as_ref().unwrap()["metadata"]["annotations"][STORE].clone();
    assert_eq!(said(&scene), json!("down"), "at once, not with the next renewal");
    let mut b = scene.stand("b");
    scene.pass(2_000, &mut [&mut a, &mut b]).await;
    b.order(LeaseOrder::Dead(MemberId("a".into()))).await;
    a.link(Link::Cut);
    scene.pass(3_000, &mut [&mut b]).await;
    assert!(b.leads(scene.now()));
    assert_eq!(said(&scene), json!("down"), "nobody has said otherwise");
    b.order(LeaseOrder::Say(None)).await;
    scene.pass(100, &mut [&mut b]).await;
    assert_eq!(said(&scene), Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_lease_goes_with_what_its_maker_runs_in() {
    let mut scene = Scene::new();
    let (owner, owned_by) = watch::channel(None);
    let mut a = scene.stand_with("a", owned_by);
    scene.pass(4_000, &mut [&mut a]).await;
    assert!(
        lock(&scene.server).lease.is_none(),
        "who owns it is not known yet, and is not to be said later"
    );
    let set = OwnerReference {
        name: "segue".into(),
        uid: "u1".into(),
        ..OwnerReference::default()
    };
    owner.send_replace(Some(set));
    scene.pass(3_000, &mut [&mut a]).await;
    assert!(a.leads(scene.now()));
    let lease = lock(&scene.server).lease.clone().unwrap();
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], "u1", "{lease}");
    // Nobody says who owns it: the Lease is made without.
    lock(&scene.server).lease = None;
    owner.send_replace(None);
    scene.pass(5_000, &mut [&mut a]).await;
    assert!(a.leads(scene.now()));
    let lease = lock(&scene.server).lease.clone().unwrap();
    assert_eq!(lease["metadata"]["ownerReferences"], Value::Null, "{lease}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_made_without_an_owner_when_none_is_told_for_five_seconds_or_ever_will_be() {
    let mut scene = Scene::new();
    let (_silent, owned_by) = watch::channel(None);
    let mut a = scene.stand_with("a", owned_by);
    scene.pass(6_500, &mut [&mut a]).await;
    assert!(a.leads(scene.now()));
    let mut scene = Scene::new();
    let mut b = scene.stand("b");
    scene.pass(100, &mut [&mut b]).await;
    assert!(b.leads(scene.now()), "nobody is there who could tell it");
}
