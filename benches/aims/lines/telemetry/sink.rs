//! A collector that takes everything and keeps nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Ends when dropped.
pub(super) struct Sink {
    pub(super) url: String,
    bytes: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Sink {
    /// On a port of its own.
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bytes = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&bytes);
        let take = move |body: Bytes| {
            counted.fetch_add(body.len() as u64, Ordering::Relaxed);
            std::future::ready([("content-type", "application/x-protobuf")])
        };
        let router = Router::new().fallback(take).layer(DefaultBodyLimit::disable());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            bytes,
            _tasks: tasks,
        }
    }

    /// How much came so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
