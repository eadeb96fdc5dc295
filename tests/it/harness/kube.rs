//! A small Kubernetes API over loopback: Leases with `resourceVersion`, and pods that can be watched. It can go away and
//! come back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Objects by namespace and name, and the last version that was given.
#[derive(Default)]
struct Objects {
    leases: BTreeMap<(String, String), Value>,
    /// By name; all are in one namespace.
    pods: BTreeMap<String, Value>,
    /// What watches are told of pods, and at which version.
    told: Vec<(u64, Value)>,
    /// Wakes watches; says nothing.
    wake: watch::Sender<()>,
    version: u64,
}

type Shared = Arc<Mutex<Objects>>;

/// The API server; gone when dropped.
pub(crate) struct KubeApi {
    address: SocketAddr,
    objects: Shared,
    serving: JoinSet<()>,
    folder: TempDir,
}

impl KubeApi {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut api = Self {
            address,
            objects: Shared::default(),
            serving: JoinSet::new(),
            folder,
        };
        std::fs::write(api.kubeconfig(), kubeconfig(address)).unwrap();
        api.serve(listener);
        api
    }

    /// The file for `KUBECONFIG`.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Goes away: connections are cut, new ones refused.
    pub(crate) async fn stop(&mut self) {
        self.serving.shutdown().await;
    }

    /// Comes back at the same address with what it had.
    pub(crate) fn again(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.serve(socket.listen(64).unwrap());
    }

    /// What a Lease holds; null when there is none.
    pub(crate) fn lease(&self, name: &str) -> Value {
        let objects = self.objects.lock().unwrap();
        let found = objects.leases.iter().find(|((_, known), _)| known == name);
        found.map(|(_, lease)| lease.clone()).unwrap_or_default()
    }

    /// A pod of a part of our release comes, or changes; `leaving`: its deletion was asked for.
    pub(crate) fn put_pod(&self, name: &str, component: &str, leaving: bool) {
        let mut objects = self.objects.lock().unwrap();
        let change = if objects.pods.contains_key(name) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        let mut pod = json!({
            "kind": "Pod", "apiVersion": "v1", "status": {},
            "metadata": {
                "name": name, "namespace": "test", "uid": format!("{name}-{}", objects.version),
                "labels": {
                    "app.kubernetes.io/name": "segue", "app.kubernetes.io/instance": "test",
                    "app.kubernetes.io/component": component,
                },
            },
        });
        if let Some(before) = objects.pods.get(name) {
            pod["metadata"]["uid"] = before["metadata"]["uid"].clone();
        }
        if leaving {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        let pod = tell(&mut objects, change, pod);
        objects.pods.insert(name.to_owned(), pod);
    }

    /// A pod is gone.
    pub(crate) fn remove_pod(&self, name: &str) {
        let mut objects = self.objects.lock().unwrap();
        let pod = objects.pods.remove(name).unwrap();
        tell(&mut objects, "DELETED", pod);
    }

    fn serve(&mut self, listener: TcpListener) {
        let leases = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases";
        let router = Router::new()
            .route(leases, get(list).post(create))
            .route(&format!("{leases}/{{name}}"), get(read).put(replace).delete(remove))
            .route("/api/v1/namespaces/{namespace}/pods", get(pods))
            .route("/api/v1/namespaces/{namespace}/pods/{name}", get(pod))
            .with_state(Arc::clone(&self.objects));
        self.serving.spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
    }
}

fn kubeconfig(address: SocketAddr) -> String {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "test", "user": {} }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "test" } }],
    });
    // JSON is YAML.
    config.to_string()
}

fn status(code: StatusCode, reason: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason,
        "code": code.as_u16(), "metadata": {},
    });
    (code, Json(body)).into_response()
}

fn missing(_what: &str) -> Response {
    status(StatusCode::NOT_FOUND, "NotFound")
}

async fn list(State(objects): State<Shared>, Path(namespace): Path<String>) -> Response {
    let objects = objects.lock().unwrap();
    let items: Vec<&Value> = objects
        .leases
        .iter()
        .filter(|((known, _), _)| *known == namespace)
        .map(|(_, lease)| lease)
        .collect();
    let body = json!({
        "kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "items": items,
        "metadata": { "resourceVersion": objects.version.to_string() },
    });
    Json(body).into_response()
}

async fn create(State(objects): State<Shared>, Path(namespace): Path<String>, Json(lease): Json<Value>) -> Response {
    let name = lease["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let mut objects = objects.lock().unwrap();
    if objects.leases.contains_key(&(namespace.clone(), name.clone())) {
        return status(StatusCode::CONFLICT, "AlreadyExists");
    }
    Json(store(&mut objects, namespace, name, lease)).into_response()
}

async fn read(State(objects): State<Shared>, Path(key): Path<(String, String)>) -> Response {
    match objects.lock().unwrap().leases.get(&key) {
        Some(lease) => Json(lease.clone()).into_response(),
        None => missing("leases"),
    }
}

async fn replace(
    State(objects): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    Json(lease): Json<Value>,
) -> Response {
    let mut objects = objects.lock().unwrap();
    let Some(stored) = objects.leases.get(&(namespace.clone(), name.clone())) else {
        return missing("leases");
    };
    let asked = &lease["metadata"]["resourceVersion"];
    if !asked.is_null() && *asked != stored["metadata"]["resourceVersion"] {
        return status(StatusCode::CONFLICT, "Conflict");
    }
    Json(store(&mut objects, namespace, name, lease)).into_response()
}

async fn remove(State(objects): State<Shared>, Path(key): Path<(String, String)>) -> Response {
    match objects.lock().unwrap().leases.remove(&key) {
        Some(lease) => Json(lease).into_response(),
        None => missing("leases"),
    }
}

fn store(objects: &mut Objects, namespace: String, name: String, mut lease: Value) -> Value {
    objects.version += 1;
    lease["metadata"]["resourceVersion"] = objects.version.to_string().into();
    lease["metadata"]["namespace"] = namespace.clone().into();
    objects.leases.insert((namespace, name), lease.clone());
    lease
}

/// Gives a pod its next version, and tells watches of it.
fn tell(objects: &mut Objects, change: &str, mut pod: Value) -> Value {
    objects.version += 1;
    pod["metadata"]["resourceVersion"] = objects.version.to_string().into();
    objects
        .told
        .push((objects.version, json!({ "type": change, "object": pod.clone() })));
    objects.wake.send_replace(());
    pod
}

/// Whether a pod has all labels of a selector `a=b,c=d`.
fn has_labels(pod: &Value, selector: &str) -> bool {
    let pairs = selector.split(',').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap())
        .all(|(key, value)| pod["metadata"]["labels"][key] == value)
}

async fn pod(State(objects): State<Shared>, Path((_namespace, name)): Path<(String, String)>) -> Response {
    match objects.lock().unwrap().pods.get(&name) {
        Some(pod) => Json(pod.clone()).into_response(),
        None => missing("pods"),
    }
}

async fn pods(State(objects): State<Shared>, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    let selector = asked.get("labelSelector").cloned().unwrap_or_default();
    if asked.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
        let from = asked
            .get("resourceVersion")
            .map_or(0, |version| version.parse().unwrap());
        return watched(objects, selector, from);
    }
    let objects = objects.lock().unwrap();
    let items: Vec<&Value> = objects.pods.values().filter(|pod| has_labels(pod, &selector)).collect();
    let version = objects.version.max(1).to_string();
    let body =
        json!({ "kind": "PodList", "apiVersion": "v1", "items": items, "metadata": { "resourceVersion": version } });
    Json(body).into_response()
}

/// What happens to pods after a version, one line each, until the watch is cut.
fn watched(objects: Shared, selector: String, from: u64) -> Response {
    let woken = objects.lock().unwrap().wake.subscribe();
    let batches = stream::unfold((objects, woken, from), move |(objects, mut woken, from)| {
        let selector = selector.clone();
        async move {
            loop {
                woken.borrow_and_update();
                let (lines, upto) = lines_after(&objects, &selector, from);
                if !lines.is_empty() {
                    return Some((lines, (objects, woken, upto)));
                }
                woken.changed().await.ok()?;
            }
        }
    });
    Body::from_stream(batches.map(Ok::<_, Infallible>)).into_response()
}

fn lines_after(objects: &Shared, selector: &str, from: u64) -> (String, u64) {
    let objects = objects.lock().unwrap();
    let new = objects.told.iter().filter(|(version, _)| *version > from);
    let fitting = new.filter(|(_, told)| has_labels(&told["object"], selector));
    let lines: Vec<String> = fitting.map(|(_, told)| format!("{told}\n")).collect();
    (lines.concat(), objects.version)
}
