//! An API server for one Lease, in memory: it enforces `resourceVersion`, and calls may be cut off, lost or late.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// One Lease, and what happens to each candidate's calls.
#[derive(Debug, Default)]
pub(crate) struct Server {
    /// As it is stored.
    pub(crate) lease: Option<Value>,
    version: u64,
    /// Writes that were refused.
    pub(crate) conflicts: u32,
    /// Its annotations, whenever they changed.
    pub(crate) annotated: Vec<(Instant, Value)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    #[default]
    Up,
    /// Nothing gets through.
    Cut,
    /// Calls are carried out, answers do not come back.
    Mute,
    /// Writes are carried out after this many milliseconds.
    Slow(u64),
    /// All calls are carried out after this many milliseconds.
    Late(u64),
}

impl Server {
    fn answer(&mut self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        let failure = |code: StatusCode, reason: &str| {
            let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": reason, "reason": reason, "code": code.as_u16() });
            (code, status)
        };
        let mut sent: Value = serde_json::from_slice(body).unwrap_or_default();
        match (method, &self.lease) {
            (&Method::GET, Some(lease)) => (StatusCode::OK, lease.clone()),
            (&Method::GET | &Method::PUT, None) => failure(StatusCode::NOT_FOUND, "NotFound"),
            (&Method::POST, Some(_)) => failure(StatusCode::CONFLICT, "AlreadyExists"),
            (&Method::PUT, Some(lease))
                if sent["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"] =>
            {
                self.conflicts += 1;
                failure(StatusCode::CONFLICT, "Conflict")
            }
            (&Method::PUT | &Method::POST, _) => {
                self.version += 1;
                let annotations = sent["metadata"]["annotations"].clone();
                if self.annotated.last().is_none_or(|(_, last)| *last != annotations) {
                    self.annotated.push((Instant::now(), annotations));
                }
                sent["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.lease = Some(sent.clone());
                (StatusCode::OK, sent)
            }
            (method, _) => panic!("{method} is not for an elector"),
        }
    }
}

pub(crate) fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client whose calls pass the link.
pub(crate) fn client(server: &Arc<Mutex<Server>>, link: &Arc<Mutex<Link>>) -> Client {
    let (server, link) = (Arc::clone(server), Arc::clone(link));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (server, link) = (Arc::clone(&server), Arc::clone(&link));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let state = *lock(&link);
            match state {
                Link::Cut => std::future::pending().await,
                Link::Slow(ms) if parts.method != Method::GET => sleep(Duration::from_millis(ms)).await,
                Link::Late(ms) => sleep(Duration::from_millis(ms)).await,
                Link::Up | Link::Mute | Link::Slow(_) => {}
            }
            let (code, value) = lock(&server).answer(&parts.method, &body);
            if state == Link::Mute {
                std::future::pending::<()>().await;
            }
            let body = Body::from(value.to_string().into_bytes());
            Ok::<_, std::convert::Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    Client::new(service, "default")
}
