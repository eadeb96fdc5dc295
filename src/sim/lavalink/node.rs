//! A node over its runs: what survives its death is its port, its password and its faults.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::life::Life;
use super::listen::{self, Mortal};
use super::outbox::Out;
use super::session::Phase;
use super::{NodeReady, Shared, rest};

/// How long a node that is told to go waits for its sockets to close.
const GRACE: Duration = Duration::from_millis(500);
/// Between two tries to have the port again.
const REBIND: Duration = Duration::from_millis(10);

/// A node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    password: String,
    url: String,
    at: SocketAddr,
    pub(super) shared: Shared,
    seed: u64,
    runs: AtomicU64,
    over: AtomicBool,
    life: Mutex<Option<Arc<Life>>>,
}

impl Node {
    /// Listens and lives.
    pub(super) fn start(
        name: &str,
        at: SocketAddr,
        advertise: Option<&str>,
        shared: Shared,
        seed: u64,
    ) -> io::Result<Arc<Self>> {
        let listener = listen::bind(at)?;
        let at = listener.local_addr()?;
        let host = advertise.map_or_else(|| at.ip().to_string(), str::to_owned);
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host
        };
        let node = Arc::new(Self {
            name: name.to_owned(),
            password: format!("sim-{name}-{seed:x}"),
            url: format!("http://{host}:{}", at.port()),
            at,
            shared,
            seed,
            runs: AtomicU64::new(0),
            over: AtomicBool::new(false),
            life: Mutex::new(None),
        });
        node.live(listener);
        Ok(node)
    }

    #[expect(clippy::disallowed_methods, reason = "the switchboard must never block")]
    fn live(&self, listener: TcpListener) {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let (closed, closings) = mpsc::unbounded_channel();
        let life = Life::new(
            self.name.clone(),
            self.shared.clone(),
            self.seed.wrapping_add(run),
            closed,
        );
        let router = rest::router(&life, &self.password);
        let killed = life.killed.clone();
        let mortal = Mortal {
            listener,
            killed: killed.clone(),
        };
        life.tasks.spawn(async move {
            killed
                .run_until_cancelled(axum::serve(mortal, router).into_future())
                .await
        });
        life.tasks.spawn(Arc::clone(&life).run(closings));
        self.shared.log.append("node_up", json!({"node": self.name}));
        *self.life.lock().unwrap_or_else(PoisonError::into_inner) = Some(life);
    }

    pub(super) fn life(&self) -> Option<Arc<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Dies at once: no close frame, no event, nothing heard any more.
    pub(super) fn kill(&self) {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(life) = life {
            life.killed.cancel();
            life.die();
            life.tasks.close();
            self.shared.log.append("node_down", json!({"node": self.name}));
        }
    }

    /// Dies as a server that was told to stop: every socket gets 1001 first.
    pub(super) async fn stop(&self) {
        if let Some(life) = self.life() {
            life.tell_sockets(&Out::Close(1001));
            let closed = async {
                while life
                    .state()
                    .sessions
                    .values()
                    .any(|entry| matches!(entry.phase, Phase::Open { .. }))
                {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let _ = tokio::time::timeout(GRACE, closed).await;
            self.kill();
            life.tasks.wait().await;
        }
    }

    /// As [`Node::stop`], and it never starts again.
    pub(super) async fn stop_for_good(&self) {
        self.over.store(true, Ordering::Relaxed);
        self.stop().await;
    }

    /// Lives again on the same port, with nothing in its memory. Does nothing to a node that is up.
    pub(super) async fn revive(&self) {
        while !self.over.load(Ordering::Relaxed) && self.life().is_none() {
            match listen::bind(self.at) {
                Ok(listener) => self.live(listener),
                Err(_) => tokio::time::sleep(REBIND).await,
            }
        }
    }

    /// Stays down for a while.
    pub(super) async fn asleep(&self, down: Duration) {
        let over = async {
            while !self.over.load(Ordering::Relaxed) {
                tokio::time::sleep(REBIND).await;
            }
        };
        let _ = tokio::time::timeout(down, over).await;
    }

    pub(super) fn ready(&self) -> NodeReady {
        NodeReady {
            name: self.name.clone(),
            url: self.url.clone(),
            password: self.password.clone(),
        }
    }

    pub(super) fn world(&self) -> Value {
        let life = self.life();
        let sessions: Vec<Value> = life.iter().flat_map(|life| sessions(life)).collect();
        json!({"name": self.name, "up": life.is_some(), "sessions": sessions})
    }
}

fn sessions(life: &Life) -> Vec<Value> {
    let state = life.state();
    state
        .sessions
        .iter()
        .map(|(id, entry)| {
            json!({
                "id": &**id, "connected": matches!(entry.phase, Phase::Open { .. }), "resuming": entry.resuming,
                "players": entry.players.len(), "client": entry.client,
            })
        })
        .collect()
}
