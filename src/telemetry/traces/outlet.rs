//! Sends spans earlier than the batches would, and waits for it: never long, and not at all for a collector that is silent.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::telemetry::kept::Kept;

/// How long somebody who has much to tell waits for room, while the collector answers.
const ROOM: Duration = Duration::from_secs(2);

/// The way out.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Outlet {
    provider: SdkTracerProvider,
    kept: Arc<Kept>,
    /// One at a time: whoever comes next finds that there is nothing left to send.
    turn: Arc<Mutex<()>>,
}

impl Outlet {
    pub(super) fn new(provider: SdkTracerProvider, kept: Arc<Kept>) -> Self {
        Self {
            provider,
            kept,
            turn: Arc::default(),
        }
    }

    /// Sends everything that ended, for at most `limit`. A collector that did not answer the last time is not waited for.
    pub(in crate::telemetry) async fn push(&self, limit: Duration) {
        if self.kept.is_silent() {
            return;
        }
        let sending = async {
            let _turn = self.turn.lock().await;
            if self.kept.is_empty() {
                return;
            }
            let provider = self.provider.clone();
            // It blocks on the exporter's thread, whose requests run on this runtime: never block a worker on it.
            drop(tokio::task::spawn_blocking(move || provider.force_flush()).await);
        };
        if timeout(limit, sending).await.is_err() {
            self.kept.waits();
        }
    }

    /// Waits until there is room for more, as long as the collector answers.
    pub(in crate::telemetry) async fn room(&self) {
        if self.kept.is_filling() {
            self.push(ROOM).await;
        }
    }

    #[cfg(test)]
    pub(super) fn is_silent(&self) -> bool {
        self.kept.is_silent()
    }
}
