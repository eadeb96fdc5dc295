//! The elector: a Kubernetes `Lease`, written with `PUT` and its `resourceVersion`, so that of two writers one is refused.
//!
//! The Lease decides only who tries to lead. A `PUT` that got no answer may have been applied: then the next look shows our
//! name, and we carry on with it. What we hold is good for [`timing::LEASE_RENEW`] from *sending* the write, on our own
//! clock, whatever happens to the API server.
//!
//! The Lease belongs to the set of pods that its candidates are of, so that uninstalling leaves none behind. That is said
//! only when it is made: to change it later takes the right to delete on clusters that look at owners closely.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client, Error};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::coordinator::event::{Event, LeaseOrder, LeaseSeen, Word};
use super::election::{Election, Move, Record};
use super::permit::Clock;
use super::{pods, timing};
use crate::lifecycle::wall_ms;
use crate::model::ids::MemberId;

/// The annotation that says what the leader knows of the store ([`Word`]): `down`, `up`, or it is not there.
pub const STORE: &str = "segue/store";
/// One call to the API server.
pub(super) const OPERATION: Duration = Duration::from_millis(timing::OPERATION.unsigned_abs());
/// Without an API server to be found at all, the settings are read again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// A connection from which nothing comes for so long after something was sent is dead. What nobody else limits, such as the
/// list that a watch begins with, would hang on it for a quarter of an hour.
const DEAD: Duration = Duration::from_secs(30);
const _: () = assert!(
    pods::RENEWED < 25,
    "a quiet watch must be renewed before its connection counts as dead"
);
/// The Lease is made without an owner when none is known after this.
const OWNER: i64 = 5_000;

/// A client as `KUBECONFIG`, the pod, or the user's own settings say, and the namespace; tried until it works.
pub(super) async fn connect(namespace: Option<String>) -> (Client, String) {
    let mut told = false;
    loop {
        let found = match kube::Config::infer().await {
            Ok(mut config) => {
                config.read_timeout = Some(DEAD);
                config.reset_reader_on_write = true;
                let namespace = namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
                Client::try_from(config)
                    .map(|client| (client, namespace))
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(found) => return found,
            Err(error) if !std::mem::replace(&mut told, true) => {
                warn!(error, "cannot find the Kubernetes API; nobody can lead from here");
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
}

/// Who stands for which Lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The Lease's name.
    pub lease: String,
    /// Who holds it then: the member's id, which no other incarnation has.
    pub me: MemberId,
    /// The member's clock.
    pub clock: Clock,
    /// With whom the Lease goes when it is made by us, once that is known; nobody when the sender is gone.
    pub owner: watch::Receiver<Option<OwnerReference>>,
}

/// One candidate's task.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    me: MemberId,
    clock: Clock,
    owner: watch::Receiver<Option<OwnerReference>>,
    /// Until when it is waited for; not yet.
    owner_until_ms: Option<i64>,
    election: Election,
    /// The Lease as we wrote it last, and until when it is ours.
    held: Option<(Lease, i64)>,
    /// What it should say of the store.
    word: Option<Word>,
    orders: mpsc::Receiver<LeaseOrder>,
    events: mpsc::Sender<Event>,
    failing: bool,
}

/// How a call to the API server ended.
enum Answer {
    Lease(Box<Lease>),
    /// There is none; or, of a write, somebody was faster.
    Not,
    /// Whether it was carried out is not known.
    Unknown,
}

impl Elector {
    /// Stands for a Lease; `orders` come from the coordinator, `events` go there.
    pub fn new(
        client: Client,
        namespace: &str,
        candidate: Candidate,
        orders: mpsc::Receiver<LeaseOrder>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let Candidate {
            lease,
            me,
            clock,
            owner,
        } = candidate;
        Self {
            api: Api::namespaced(client, namespace),
            name: lease,
            election: Election::new(me.clone()),
            me,
            clock,
            owner,
            owner_until_ms: None,
            held: None,
            word: None,
            orders,
            events,
            failing: false,
        }
    }

    /// Until nobody gives orders any more.
    pub async fn run(mut self) {
        loop {
            let until_ms = self.round().await;
            let wait = (until_ms - self.clock.now_ms()).clamp(1, timing::LEASE_RETRY);
            tokio::select! {
                biased;
                () = sleep(Duration::from_millis(wait.unsigned_abs())) => {}
                order = self.orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
            }
        }
    }

    async fn obey(&mut self, order: LeaseOrder) {
        match order {
            LeaseOrder::Say(word) => self.word = word,
            LeaseOrder::Dead(member) => self.election.dead(member),
            LeaseOrder::Abstain { until_ms } => {
                self.election.abstain(until_ms);
                self.release().await;
                if until_ms == i64::MAX {
                    let _gone = self.events.send(Event::Resigned).await;
                }
            }
        }
    }

    /// One look or write. Returns when the next one is due, at the latest.
    async fn round(&mut self) -> i64 {
        let now = self.clock.now_ms();
        if let Some((lease, _)) = self.held.clone()
            && self.election.stands(now)
        {
            match self.write(&lease).await {
                Answer::Lease(_) => return now + timing::LEASE_RETRY,
                // Somebody else wrote it, or our own write of which we heard nothing: look.
                Answer::Not => {}
                Answer::Unknown => {
                    self.lapse();
                    return now + timing::RETRY;
                }
            }
        }
        self.look().await
    }

    async fn look(&mut self) -> i64 {
        let sent_ms = self.clock.now_ms();
        let again_ms = sent_ms + timing::LEASE_RETRY;
        let lease = match call(&mut self.failing, "read the Lease", self.api.get(&self.name)).await {
            Answer::Lease(lease) => *lease,
            Answer::Not => return self.create().await,
            Answer::Unknown => {
                self.lapse();
                return sent_ms + timing::RETRY;
            }
        };
        let now = self.clock.now_ms();
        let record = record(&lease);
        let changed_ms = self.election.saw(&record.version, now);
        let verdict = self.election.judge(&record, now);
        if verdict != Move::Renew {
            self.held = None;
            self.tell(sent_ms, &lease, None, changed_ms);
        }
        match verdict {
            // A slow answer, or a clock that jumped, may have it due already.
            Move::Wait { until_ms } => until_ms.min(again_ms).max(now + 1),
            Move::Renew => {
                let _answer = self.write(&lease).await;
                again_ms
            }
            Move::Take => {
                // What the leader before said of the store stays until we say otherwise.
                self.word = word(&lease);
                if let Answer::Lease(_) = self.write(&lease).await {
                    info!(member = %self.me, from = record.holder.map(|id| id.0), "took the Lease");
                }
                again_ms
            }
        }
    }

    async fn create(&mut self) -> i64 {
        let now = self.clock.now_ms();
        if !self.election.stands(now) {
            return now + timing::LEASE_RETRY;
        }
        if self.waits_for_owner(now) {
            return now + timing::RETRY;
        }
        let owner = self.owner.borrow().clone();
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            spec: None,
        };
        let lease = self.ours(&lease);
        let created = self.api.create(&POST, &lease);
        if let Answer::Lease(lease) = call(&mut self.failing, "create the Lease", created).await {
            info!(member = %self.me, "made the Lease");
            self.hold(now, *lease);
        }
        now + timing::LEASE_RETRY
    }

    /// Whether the owner of a new Lease may still be told. Our pod was asked for when we began; an API server that does not
    /// tell it in time gets a Lease of nobody's.
    fn waits_for_owner(&mut self, now: i64) -> bool {
        let until_ms = *self.owner_until_ms.get_or_insert(now + OWNER);
        now < until_ms && self.owner.has_changed().is_ok() && self.owner.borrow().is_none()
    }

    /// Writes it as ours, if nobody wrote it since.
    async fn write(&mut self, lease: &Lease) -> Answer {
        let sent_ms = self.clock.now_ms();
        let ours = self.ours(lease);
        let replaced = self.api.replace(&self.name, &POST, &ours);
        let answer = call(&mut self.failing, "write the Lease", replaced).await;
        match &answer {
            Answer::Lease(lease) => self.hold(sent_ms, (**lease).clone()),
            Answer::Not => self.held = None,
            Answer::Unknown => {
                // The version may be another one now.
                self.held = self.held.take().map(|(_, until_ms)| (lease.clone(), until_ms));
            }
        }
        answer
    }

    fn hold(&mut self, sent_ms: i64, lease: Lease) {
        let until_ms = sent_ms + timing::LEASE_RENEW;
        let changed_ms = self.election.saw(&record(&lease).version, self.clock.now_ms());
        self.tell(sent_ms, &lease, Some(until_ms), changed_ms);
        self.held = Some((lease, until_ms));
    }

    /// What we held and could not renew is not ours any more once its time is up.
    fn lapse(&mut self) {
        let now = self.clock.now_ms();
        if self.held.as_ref().is_some_and(|(_, until_ms)| now >= *until_ms) {
            warn!(member = %self.me, "leadership ends: the Lease could not be renewed in time");
            self.held = None;
        }
    }

    /// Lets it go, so that nobody has to wait.
    async fn release(&mut self) {
        let Some((mut lease, _)) = self.held.take() else { return };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(micro_now());
        let released = self.api.replace(&self.name, &POST, &lease);
        let sent_ms = self.clock.now_ms();
        if let Answer::Lease(lease) = call(&mut self.failing, "release the Lease", released).await {
            info!(member = %self.me, "released the Lease");
            let changed_ms = self.election.saw(&record(&lease).version, self.clock.now_ms());
            self.tell(sent_ms, &lease, None, changed_ms);
        }
    }

    fn tell(&self, sent_ms: i64, lease: &Lease, mine_until_ms: Option<i64>, changed_ms: i64) {
        let seen = LeaseSeen {
            sent_ms,
            holder: record(lease).holder,
            mine_until_ms,
            word: word(lease),
            changed_ms,
        };
        if self.events.try_send(Event::Lease(seen)).is_err() {
            debug!("the coordinator has enough to do");
        }
    }

    /// The same Lease, held by us from now on.
    fn ours(&self, lease: &Lease) -> Lease {
        let (mut lease, now) = (lease.clone(), micro_now());
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(&self.me.0) {
            spec.holder_identity = Some(self.me.0.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(-1).saturating_add(1));
        }
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = i32::try_from(timing::LEASE / 1_000).ok();
        let notes: &mut BTreeMap<String, String> = lease.metadata.annotations.get_or_insert_default();
        match self.word {
            Some(Word::Down) => drop(notes.insert(STORE.to_owned(), "down".to_owned())),
            Some(Word::Up) => drop(notes.insert(STORE.to_owned(), "up".to_owned())),
            None => drop(notes.remove(STORE)),
        }
        lease
    }
}

/// One call to the API server, within its time. `failing`: whether the last one got no answer.
async fn call(failing: &mut bool, what: &'static str, call: impl Future<Output = Result<Lease, Error>>) -> Answer {
    let problem = match timeout(OPERATION, call).await {
        Ok(Ok(lease)) => {
            if std::mem::take(failing) {
                info!("the Kubernetes API answers again");
            }
            return Answer::Lease(Box::new(lease));
        }
        Ok(Err(Error::Api(status))) if status.is_conflict() || status.is_not_found() || status.is_already_exists() => {
            debug!(%status, "cannot {what}");
            return Answer::Not;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    if !std::mem::replace(failing, true) {
        warn!(problem, "cannot {what}; leadership ends unless that changes");
    }
    Answer::Unknown
}

const POST: PostParams = PostParams {
    dry_run: false,
    field_manager: None,
};

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec: &LeaseSpec| spec.holder_identity.clone());
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Record {
        holder: holder.filter(|holder| !holder.is_empty()).map(MemberId),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        duration_ms: i64::from(seconds) * 1_000,
    }
}

fn word(lease: &Lease) -> Option<Word> {
    match lease.metadata.annotations.as_ref()?.get(STORE)?.as_str() {
        "down" => Some(Word::Down),
        "up" => Some(Word::Up),
        _ => None,
    }
}

fn micro_now() -> MicroTime {
    MicroTime(jiff::Timestamp::from_millisecond(wall_ms()).unwrap_or_default())
}
