//! The Pod watch: which containers ended, which pods are gone, which container this process runs in, and which Lavalink
//! pods are leaving.

mod leaving;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::runtime::watcher;
use kube::{Api, Client, Error};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use self::leaving::Leaving;
use super::coordinator::event::Event;
use super::evidence::ContainerEnd;
use super::lease::OPERATION;
use super::member::Member;
use super::permit::boot_ms;
use crate::lifecycle::wall_ms;
use crate::store::Origin;

/// Labels of our own pod that all its siblings carry.
const SIBLINGS: [&str; 2] = ["app.kubernetes.io/name", "app.kubernetes.io/instance"];
/// What the container is called in a pod with several.
const CONTAINER: &str = "segue";
/// What `/proc` counts starts of processes in, milliseconds; the kernel's `USER_HZ`.
const TICK: i64 = 10;
/// A container is said to have started up to this before it did, milliseconds: the API knows whole seconds, and clocks are
/// set right.
const STARTED_EARLY: i64 = 2_000;
/// After a watch that broke.
const AGAIN: Duration = Duration::from_secs(1);
/// A watch is begun anew after this, seconds; one whose connection is dead, a little later.
pub(super) const RENEWED: u32 = 20;
/// Our own Pod is asked for again after this,
const OWN_AGAIN: Duration = Duration::from_millis(250);
/// then after twice as long each time, up to this;
const OWN_AGAIN_MOST: Duration = Duration::from_secs(2);
/// and after this when we may not read it.
const OWN_FORBIDDEN: Duration = Duration::from_secs(10);

/// What the watch needs to know, and whom it tells.
pub(super) struct Watch {
    /// The namespace of all pods.
    pub(super) namespace: String,
    /// The name of the pod that this process runs in.
    pub(super) pod: String,
    /// Who runs in it.
    pub(super) member: Member,
    /// Gets what our pod goes with, such as its `StatefulSet`.
    pub(super) owner: watch::Sender<Option<OwnerReference>>,
    /// Gets the id of our own container as soon as the API server shows it.
    pub(super) container: watch::Sender<Option<String>>,
    /// Gets the names of Lavalink's pods that are leaving.
    pub(super) leaving: watch::Sender<BTreeSet<String>>,
    /// Gets what became of the others.
    pub(super) events: mpsc::Sender<Event>,
}

/// The containers of earlier processes of the member's pod, as the store knows them; read until it answers.
async fn predecessors(member: &Member) -> BTreeSet<String> {
    let me = &member.origin;
    let one_process = |other: &Origin| {
        (&me.boot, me.pid_namespace, me.pid, me.pid_start)
            == (&other.boot, other.pid_namespace, other.pid, other.pid_start)
    };
    loop {
        match member.store().members().await {
            Ok(members) => {
                let earlier = members
                    .into_iter()
                    .filter(|row| row.origin.pod_uid == me.pod_uid && !one_process(&row.origin));
                return earlier.filter_map(|row| row.container_id).collect();
            }
            Err(error) => debug!(%error, "cannot read who ran in this pod before"),
        }
        sleep(AGAIN).await;
    }
}

/// Watches until dropped.
pub(super) async fn watch_pods(client: Client, watch: Watch) {
    let Watch {
        namespace,
        pod: name,
        member,
        owner,
        container,
        leaving,
        events,
    } = watch;
    let api: Api<Pod> = Api::namespaced(client, &namespace);
    let own = own_pod(&api, &name).await;
    owner.send_replace(controller(&own));
    drop(owner);
    let labels = siblings(&own);
    let mut watched = Watched {
        uid: member.origin.pod_uid.clone(),
        predecessors: predecessors(&member).await,
        began_ms: began_ms(&member.origin, wall_ms(), boot_ms()),
        container,
        lavalink: Leaving::default(),
        leaving,
        events,
        there: BTreeSet::new(),
        listed: None,
    };
    let mut pods = std::pin::pin!(watching(api, &labels));
    let mut told = false;
    while let Some(event) = pods.next().await {
        match event {
            Ok(event) => {
                told = false;
                watched.hear(event).await;
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    warn!(%error, "the Pod watch broke; deaths are noticed by other means until it is back");
                }
                sleep(AGAIN).await;
            }
        }
    }
}

/// What happens to the pods with these labels, over one watch after the other.
fn watching(api: Api<Pod>, labels: &str) -> impl Stream<Item = watcher::Result<watcher::Event<Pod>>> {
    watcher(api, watcher::Config::default().labels(labels).timeout(RENEWED))
}

/// The Pod that this process runs in; asked for until the API server tells it. Whoever makes the Lease waits for that.
async fn own_pod(api: &Api<Pod>, name: &str) -> Pod {
    let (mut again, mut told) = (OWN_AGAIN, false);
    loop {
        let (error, wait) = match timeout(OPERATION, api.get(name)).await {
            Ok(Ok(pod)) => return pod,
            Ok(Err(Error::Api(status))) if status.is_forbidden() => (status.to_string(), OWN_FORBIDDEN),
            Ok(Err(error)) => (error.to_string(), again),
            Err(_) => ("no answer in time".to_owned(), again),
        };
        if !std::mem::replace(&mut told, true) {
            warn!(
                error,
                pod = name,
                "cannot read this process's own Pod; deaths are noticed by other means until that changes"
            );
        }
        sleep(wait).await;
        again = (again * 2).min(OWN_AGAIN_MOST);
    }
}

fn siblings(pod: &Pod) -> String {
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    let pairs = SIBLINGS
        .iter()
        .filter_map(|key| Some(format!("{key}={}", labels.get(*key)?)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Who made the pod, and goes when the release goes. It is not kept from being deleted.
fn controller(pod: &Pod) -> Option<OwnerReference> {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let controller = owners.iter().find(|owner| owner.controller == Some(true))?;
    Some(OwnerReference {
        controller: None,
        block_owner_deletion: None,
        ..controller.clone()
    })
}

struct Watched {
    /// Our own pod's UID.
    uid: Option<String>,
    /// Containers of processes that ran in it before.
    predecessors: BTreeSet<String>,
    /// When this process began, by the wall clock, if that is known.
    began_ms: Option<i64>,
    container: watch::Sender<Option<String>>,
    lavalink: Leaving,
    leaving: watch::Sender<BTreeSet<String>>,
    events: mpsc::Sender<Event>,
    /// UIDs of pods that were seen and not yet seen to go.
    there: BTreeSet<String>,
    /// While the watch begins anew: the UIDs so far.
    listed: Option<BTreeSet<String>>,
}

impl Watched {
    async fn hear(&mut self, event: watcher::Event<Pod>) {
        // First, since the coordinator may make it wait.
        let leaving = self.lavalink.hear(&event);
        if *self.leaving.borrow() != *leaving {
            info!(pods = ?leaving, "Lavalink pods that are leaving");
            self.leaving.send_replace(leaving.clone());
        }
        match event {
            watcher::Event::Init => self.listed = Some(BTreeSet::new()),
            watcher::Event::InitApply(pod) => {
                if let (Some(listed), Some(uid)) = (&mut self.listed, &pod.metadata.uid) {
                    listed.insert(uid.clone());
                }
                self.seen(&pod).await;
            }
            watcher::Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                let gone: Vec<String> = self.there.difference(&listed).cloned().collect();
                for uid in gone {
                    self.gone(uid).await;
                }
            }
            watcher::Event::Apply(pod) => self.seen(&pod).await,
            watcher::Event::Delete(pod) => {
                self.seen(&pod).await;
                if let Some(uid) = pod.metadata.uid {
                    self.gone(uid).await;
                }
            }
        }
    }

    async fn seen(&mut self, pod: &Pod) {
        let Some(uid) = pod.metadata.uid.clone() else { return };
        let statuses = pod
            .status
            .as_ref()
            .and_then(|status| status.container_statuses.as_deref());
        for container_id in statuses.unwrap_or_default().iter().flat_map(ended) {
            let (pod_uid, container_id) = (uid.clone(), container_id.to_owned());
            self.tell(ContainerEnd::Terminated { pod_uid, container_id }).await;
        }
        if self.uid.as_ref() == Some(&uid)
            && let Some(id) = running(statuses.unwrap_or_default(), &self.predecessors, self.began_ms)
            && self.container.borrow().as_ref() != Some(&id)
        {
            info!(container = id, "runs in this container");
            self.container.send_replace(Some(id));
        }
        self.there.insert(uid);
    }

    async fn gone(&mut self, pod_uid: String) {
        self.there.remove(&pod_uid);
        self.tell(ContainerEnd::PodGone { pod_uid }).await;
    }

    async fn tell(&self, end: ContainerEnd) {
        debug!(?end, "the Pod watch");
        let _gone = self.events.send(Event::Container(end)).await;
    }
}

/// The ids of the containers that a status shows to have ended: this one, and the one before it.
fn ended(status: &ContainerStatus) -> impl Iterator<Item = &str> {
    [&status.state, &status.last_state]
        .into_iter()
        .filter_map(|state| state.as_ref()?.terminated.as_ref()?.container_id.as_deref())
}

/// When the process began, by the wall clock, as the kernel knows it: its start does not become later by how long it took
/// until the first line of ours ran.
fn began_ms(origin: &Origin, wall_ms: i64, boot_ms: i64) -> Option<i64> {
    let started = i64::try_from(origin.pid_start?).ok()?;
    Some(wall_ms - (boot_ms - started * TICK))
}

/// The id of the container that this process runs in, once the status shows it and not its predecessor. A predecessor that
/// never learned its own id, or never stored it, is told by its start: ours is said to have started when this process had
/// begun, by the clock of the same node. Whoever took a predecessor's id would be proven dead by that one's end.
fn running(statuses: &[ContainerStatus], predecessors: &BTreeSet<String>, began_ms: Option<i64>) -> Option<String> {
    let own = match statuses {
        [only] => only,
        several => several.iter().find(|status| status.name == CONTAINER)?,
    };
    let running = own.state.as_ref()?.running.as_ref()?;
    let started_ms = running.started_at.as_ref().map(|at| at.0.as_millisecond());
    if let (Some(started_ms), Some(began_ms)) = (started_ms, began_ms)
        && started_ms + STARTED_EARLY < began_ms
    {
        debug!(
            container = own.container_id,
            "started before this process: a predecessor's"
        );
        return None;
    }
    own.container_id.clone().filter(|id| !predecessors.contains(id))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::{ContainerState, ContainerStateRunning, ContainerStateTerminated};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kube::client::Body;
    use tokio::time::Instant;

    use super::*;

    fn status(name: &str, id: &str, runs: bool, last: Option<&str>) -> ContainerStatus {
        let terminated = |id: &str| ContainerState {
            terminated: Some(ContainerStateTerminated {
                container_id: Some(id.to_owned()),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        };
        let state = if runs {
            ContainerState {
                running: Some(ContainerStateRunning::default()),
                ..ContainerState::default()
            }
        } else {
            terminated(id)
        };
        ContainerStatus {
            name: name.to_owned(),
            container_id: Some(id.to_owned()),
            state: Some(state),
            last_state: last.map(terminated),
            ..ContainerStatus::default()
        }
    }

    /// An API server that answers requests in turn with what this makes of their number and whether they watch.
    fn api<F>(answer: impl Fn(usize, bool) -> F + Send + Sync + 'static) -> (Api<Pod>, Arc<AtomicUsize>)
    where
        F: Future<Output = (u16, axum::body::Body)> + Send + 'static,
    {
        let (asked, watches) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&watches);
        let service = tower::service_fn(move |request: Request<Body>| {
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            counted.fetch_add(usize::from(is_watch), Ordering::SeqCst);
            let answer = answer(asked.fetch_add(1, Ordering::SeqCst), is_watch);
            async move {
                let (code, body) = answer.await;
                let response = Response::builder().status(code).body(body);
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        (Api::namespaced(Client::new(service, "default"), "default"), watches)
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_pod_is_asked_for_again_soon_after_a_failure_and_after_no_answer() {
        let (api, _) = api(|number, _| async move {
            match number {
                0 => (500, axum::body::Body::from("no")),
                1 => std::future::pending().await,
                _ => {
                    let pod = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"segue-0"}}"#;
                    (200, axum::body::Body::from(pod))
                }
            }
        });
        let began = Instant::now();
        let pod = own_pod(&api, "segue-0").await;
        assert_eq!(pod.metadata.name.as_deref(), Some("segue-0"));
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_says_nothing_is_begun_anew_within_half_a_minute() {
        let (api, watches) = api(|_, is_watch| async move {
            if is_watch {
                let silent = futures_util::stream::pending::<Result<Vec<u8>, Infallible>>();
                return (200, axum::body::Body::from_stream(silent));
            }
            let none = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;
            (200, axum::body::Body::from(none))
        });
        let silence = watching(api, "").for_each(|_| std::future::ready(()));
        assert!(timeout(Duration::from_secs(70), silence).await.is_err(), "it goes on");
        assert_eq!(watches.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn the_lease_goes_with_what_made_the_pod() {
        let owner = |kind: &str, controller| OwnerReference {
            kind: kind.to_owned(),
            controller,
            block_owner_deletion: Some(true),
            ..OwnerReference::default()
        };
        let of = |owners: Vec<OwnerReference>| {
            let mut pod = Pod::default();
            pod.metadata.owner_references = Some(owners);
            controller(&pod).map(|owner| (owner.kind, owner.controller, owner.block_owner_deletion))
        };
        assert_eq!(
            of(vec![owner("Other", None), owner("StatefulSet", Some(true))]),
            Some(("StatefulSet".to_owned(), None, None))
        );
        assert_eq!(of(vec![owner("Other", Some(false))]), None);
        assert_eq!(controller(&Pod::default()), None, "a pod by itself");
    }

    #[test]
    fn an_ended_container_is_told_by_either_state() {
        let both = status("segue", "c2", false, Some("c1"));
        assert_eq!(ended(&both).collect::<Vec<_>>(), ["c2", "c1"]);
        assert_eq!(ended(&status("segue", "c2", true, None)).count(), 0);
    }

    #[test]
    fn our_own_container_is_the_running_one_that_is_not_a_predecessors() {
        let before = BTreeSet::from(["c1".to_owned()]);
        let running_in = |statuses: &[ContainerStatus]| running(statuses, &before, Some(1_000_000));
        assert_eq!(running_in(&[status("any", "c1", true, None)]), None, "the status lags");
        assert_eq!(running_in(&[status("any", "c2", false, None)]), None);
        assert_eq!(running_in(&[status("any", "c2", true, None)]).as_deref(), Some("c2"));
        let several = [status("sidecar", "s", true, None), status("segue", "c3", true, None)];
        assert_eq!(running_in(&several).as_deref(), Some("c3"));
        assert_eq!(running_in(&several[..1]).as_deref(), Some("s"));
    }

    #[test]
    fn a_container_that_started_well_before_this_process_is_a_predecessors_even_if_nobody_stored_that() {
        let started = |at_ms: Option<i64>, began_ms: Option<i64>| {
            let mut own = status("segue", "c1", true, None);
            let runs = own.state.as_mut().and_then(|state| state.running.as_mut());
            runs.unwrap().started_at = at_ms.map(|at| Time(jiff::Timestamp::from_millisecond(at).unwrap()));
            running(&[own], &BTreeSet::new(), began_ms).is_some()
        };
        let began = Some(1_700_000_000_900);
        assert!(!started(Some(1_699_999_990_000), began), "the one before");
        assert!(started(Some(1_700_000_000_000), began), "ours, in whole seconds");
        assert!(started(Some(1_700_000_004_000), began), "ours, noted late");
        assert!(started(None, began), "not everybody says it");
        assert!(
            started(Some(1_699_999_990_000), None),
            "when this process began is not known"
        );
    }

    #[test]
    fn a_process_began_as_long_ago_as_the_kernel_says() {
        let began = |origin: Origin| began_ms(&origin, 1_700_000_000_000, 5_000_000);
        let origin = Origin {
            pid_start: Some(499_000),
            ..Origin::default()
        };
        assert_eq!(began(origin), Some(1_699_999_990_000), "ten seconds ago");
        assert_eq!(began(Origin::default()), None);
        let me = Origin::of_this_process(None);
        let now = wall_ms();
        let mine = began_ms(&me, now, boot_ms()).unwrap();
        assert!((now - 600_000..=now + 10).contains(&mine), "{mine} of {now}");
    }
}
