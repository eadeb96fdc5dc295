//! Figures of one driven shard. It counts by itself; what it counted since the last look is added every other second, and once
//! more at its end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::gateway::{self, ShardHandle};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::labels::{
    ByEvent, ByInput, ByQueue, ByShard, ByShardState, Input, NoLabels, Queue, Reconnect, ShardState,
};

/// Adds a shard's figures to those of the whole process, and takes its gauges back when it ends.
#[derive(Debug)]
pub(in crate::app) struct ShardMeter {
    metrics: Arc<Metrics>,
    number: u32,
    gateway: ShardHandle,
    state: Option<ShardState>,
    events: HashMap<&'static str, u64>,
    reconnects: BTreeMap<(&'static str, bool), u64>,
    identifies: u64,
    malformed: u64,
    queues: HashMap<Queue, i64>,
}

impl ShardMeter {
    pub(in crate::app) fn new(metrics: Arc<Metrics>, number: u32, gateway: ShardHandle) -> Self {
        let mut meter = Self {
            metrics,
            number,
            gateway,
            state: None,
            events: HashMap::new(),
            reconnects: BTreeMap::new(),
            identifies: 0,
            malformed: 0,
            queues: HashMap::new(),
        };
        meter.look(&[]);
        meter
    }

    /// Brings everything up to date. `waiting`: how long the queues are that the shard's handle does not know.
    pub(in crate::app) fn look(&mut self, waiting: &[(Queue, usize)]) {
        self.show_state(Some(state(self.gateway.state())));
        self.count();
        let known = [
            (Queue::Unprocessed, self.gateway.unprocessed()),
            (Queue::VoiceRequests, self.gateway.voice_requests()),
        ];
        for (queue, length) in known.iter().chain(waiting) {
            self.show_queue(*queue, i64::try_from(*length).unwrap_or(i64::MAX));
        }
        if let Some(latency_ms) = self.gateway.latency_ms() {
            let seconds = Duration::from_millis(latency_ms).as_secs_f64();
            let heartbeat = &self.metrics.gateway.heartbeat;
            heartbeat.get_or_create(&self.label()).set(seconds);
        }
    }

    fn label(&self) -> ByShard {
        ByShard { shard_id: self.number }
    }

    fn count(&mut self) {
        let metrics = &self.metrics.gateway;
        for (event, now) in self.gateway.events() {
            let before = self.events.insert(event, now).unwrap_or(0);
            if now > before {
                metrics.events.get_or_create(&ByEvent { event }).inc_by(now - before);
            }
        }
        for ((reason, resumed), now) in self.gateway.reconnects() {
            let before = self.reconnects.insert((reason, resumed), now).unwrap_or(0);
            // Also when it grew by nothing: then it is exposed, and grows the next time.
            let labels = Reconnect { reason, resumed };
            metrics.reconnects.get_or_create(&labels).inc_by(now - before);
        }
        for lag in self.gateway.lags() {
            metrics.event_lag.get_or_create(&NoLabels {}).observe(lag.as_secs_f64());
        }
        let counts = self.gateway.counts();
        let identifies = counts.identifies - std::mem::replace(&mut self.identifies, counts.identifies);
        metrics.identifies.get_or_create(&NoLabels {}).inc_by(identifies);
        let malformed = counts.malformed - std::mem::replace(&mut self.malformed, counts.malformed);
        let source = Input::Gateway;
        let bad_input = &self.metrics.process.bad_input;
        bad_input.get_or_create(&ByInput { source }).inc_by(malformed);
    }

    fn show_state(&mut self, state: Option<ShardState>) {
        let before = std::mem::replace(&mut self.state, state);
        let shards = &self.metrics.gateway.shards;
        if let Some(state) = before {
            shards.get_or_create(&ByShardState { state }).dec();
        }
        if let Some(state) = state {
            shards.get_or_create(&ByShardState { state }).inc();
        }
    }

    fn show_queue(&mut self, queue: Queue, length: i64) {
        let before = self.queues.insert(queue, length).unwrap_or(0);
        let depth = &self.metrics.process.queue_depth;
        depth.get_or_create(&ByQueue { queue }).inc_by(length - before);
    }
}

impl Drop for ShardMeter {
    fn drop(&mut self) {
        self.count();
        self.show_state(None);
        for queue in Queue::ALL {
            self.show_queue(*queue, 0);
        }
        self.metrics.gateway.heartbeat.remove(&self.label());
    }
}

const fn state(state: gateway::ShardState) -> ShardState {
    match state {
        gateway::ShardState::Waiting | gateway::ShardState::Connecting => ShardState::Connecting,
        gateway::ShardState::Identifying => ShardState::Identifying,
        gateway::ShardState::Resuming => ShardState::Resuming,
        gateway::ShardState::Active => ShardState::Ready,
        gateway::ShardState::Closed | gateway::ShardState::Fatal(_) => ShardState::Closed,
    }
}
