//! Which metrics there are, concern by concern.

use std::time::Duration;

use tokio::time::Instant;

use super::age::SnapshotAge;
use super::catalog::{Catalog, Counters, Gauges, GaugesF64, Histograms, TracedHistograms};
use super::labels::{
    Build, ByCommand, ByEvent, ByInput, ByKind, ByNode, ByOutcome, ByPhase, ByQueue, ByShard, ByShardState, BySignal,
    ByTrigger, Input, NoLabels, NodeFrames, NodePlayers, NodeReconnect, NodeRequest, Operation, Phase, Queue,
    RateLimited, Reconnect, Recovered, Recovery, Rest, Stale, TraceLabel, TrackError, Trigger,
};

/// The commit this was built from, when the build said so.
const REVISION: &str = match option_env!("SEGUE_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// The process as a whole.
#[derive(Clone, Debug)]
pub struct Process {
    /// 1 while `/readyz` says ready.
    pub ready: Gauges<NoLabels>,
    /// 1 once the process is leaving.
    pub draining: Gauges<NoLabels>,
    /// Input that could not be understood.
    pub bad_input: Counters<ByInput>,
    /// Replies whose question nobody asks any more.
    pub stale_replies: Counters<ByKind>,
    /// How full the bounded queues are.
    pub queue_depth: Gauges<ByQueue>,
    /// Telemetry that was lost.
    pub telemetry_dropped: Counters<BySignal>,
    /// How late the runtime is.
    pub loop_lag: Histograms<NoLabels>,
    /// How busy its threads are.
    pub workers_busy: GaugesF64<NoLabels>,
}

impl Process {
    pub(super) fn register(catalog: &mut Catalog) -> Self {
        let build = catalog.gauges::<Build>("build_info", "", "Always 1; says what was built");
        build
            .get_or_create(&Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                revision: REVISION.to_owned(),
            })
            .set(1);
        let process = Self {
            ready: catalog.gauges("ready", "0/1", "Whether /readyz says ready"),
            draining: catalog.gauges("draining", "0/1", "Whether the process is leaving"),
            bad_input: catalog.counters(
                "bad_input",
                "messages",
                "Input that could not be understood, by where it came from",
            ),
            stale_replies: catalog.counters(
                "stale_replies",
                "replies",
                "Replies whose question nobody asks any more",
            ),
            queue_depth: catalog.gauges("queue_depth", "entries", "Entries that wait in a bounded queue"),
            telemetry_dropped: catalog.counters("telemetry_dropped", "items", "Telemetry that could not be sent"),
            loop_lag: catalog.calls(
                "event_loop_lag",
                "How late a task is woken that asked to be woken each second",
            ),
            workers_busy: catalog.ratios(
                "tokio_workers_busy_ratio",
                "The part of the last second in which the runtime's threads were busy, over all of them",
            ),
        };
        process.ready.get_or_create(&NoLabels {}).set(0);
        process.draining.get_or_create(&NoLabels {}).set(0);
        for source in Input::ALL {
            drop(process.bad_input.get_or_create(&ByInput { source: *source }));
        }
        for signal in ["traces", "logs"] {
            drop(process.telemetry_dropped.get_or_create(&BySignal { signal }));
        }
        for kind in Stale::ALL {
            drop(process.stale_replies.get_or_create(&ByKind { kind: *kind }));
        }
        for queue in Queue::ALL {
            drop(process.queue_depth.get_or_create(&ByQueue { queue: *queue }));
        }
        process
    }

    /// A reply came to a question that nobody asks any more.
    pub fn stale(&self, kind: Stale) {
        self.stale_replies.get_or_create(&ByKind { kind }).inc();
    }
}

/// Gateway shards.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Shards of this process by what they do.
    pub shards: Gauges<ByShardState>,
    /// Shards that there are in all.
    pub shards_expected: Gauges<NoLabels>,
    /// Dispatches.
    pub events: Counters<ByEvent>,
    /// From the socket until what an event changed is durable.
    pub event_lag: Histograms<NoLabels>,
    /// The last heartbeat's round trip.
    pub heartbeat: GaugesF64<ByShard>,
    /// New connections.
    pub reconnects: Counters<Reconnect>,
    /// IDENTIFYs sent.
    pub identifies: Counters<NoLabels>,
    /// What is left of today's budget.
    pub session_starts_remaining: Gauges<NoLabels>,
}

impl Gateway {
    pub(super) fn register(catalog: &mut Catalog) -> Self {
        Self {
            shards: catalog.gauges("gateway_shards", "shards", "Shards of this process by what they do"),
            shards_expected: catalog.gauges("gateway_shards_expected", "shards", "Shards that there are in all"),
            events: catalog.counters("gateway_events", "events", "Dispatches received"),
            event_lag: catalog.calls(
                "gateway_event_lag",
                "From the socket until the effects of a guild's event are durable; one event of a bunch is timed",
            ),
            heartbeat: catalog.gauges_seconds("gateway_heartbeat", "Round trip of the last heartbeat"),
            reconnects: catalog.counters(
                "gateway_reconnects",
                "connections",
                "New connections of a shard that had one",
            ),
            identifies: catalog.counters("gateway_identifies", "identifies", "IDENTIFYs sent"),
            session_starts_remaining: catalog.gauges(
                "gateway_session_starts_remaining",
                "identifies",
                "What Discord leaves of today's IDENTIFYs",
            ),
        }
    }
}

/// Discord's REST API and what people asked.
#[derive(Clone, Debug)]
pub struct Discord {
    /// REST requests.
    pub requests: Histograms<Rest>,
    /// 429s.
    pub rate_limited: Counters<RateLimited>,
    /// From the interaction to its reply.
    pub commands: Histograms<ByCommand>,
}

impl Discord {
    pub(super) fn register(catalog: &mut Catalog) -> Self {
        Self {
            requests: catalog.waits(
                "discord_request_duration",
                "REST requests; status 0 when there was no answer",
            ),
            rate_limited: catalog.counters(
                "discord_ratelimited",
                "responses",
                "Requests that Discord answered with 429",
            ),
            commands: catalog.waits("command_duration", "From the interaction to its reply"),
        }
    }
}

/// Lavalink nodes.
#[derive(Clone, Debug)]
pub struct Lavalink {
    /// 1 while the socket is ready.
    pub node_up: Gauges<ByNode>,
    /// Players by what they do.
    pub players: Gauges<NodePlayers>,
    /// REST requests.
    pub requests: Histograms<NodeRequest>,
    /// Sessions that became usable.
    pub reconnects: Counters<NodeReconnect>,
    /// Audio frames, from the node's stats.
    pub frames: Counters<NodeFrames>,
    /// Tracks that failed or got stuck.
    pub track_errors: Counters<TrackError>,
}

impl Lavalink {
    pub(super) fn register(catalog: &mut Catalog) -> Self {
        Self {
            node_up: catalog.gauges("lavalink_node_up", "0/1", "Whether the node's socket is ready"),
            players: catalog.gauges("lavalink_players", "players", "Players by what they do"),
            requests: catalog.waits("lavalink_request_duration", "REST requests to a node"),
            reconnects: catalog.counters(
                "lavalink_reconnects",
                "connections",
                "Sessions with a node that became usable, by whether the one before went on",
            ),
            frames: catalog.counters(
                "lavalink_frames",
                "frames",
                "Audio frames of an average player by what became of them, as each session says once a minute",
            ),
            track_errors: catalog.counters("lavalink_track_errors", "tracks", "Tracks that failed or got stuck"),
        }
    }
}

/// Snapshots, auto-save and the store.
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// Writes of a guild's snapshot.
    pub writes: Counters<ByOutcome>,
    /// How long one takes.
    pub write_duration: Histograms<NoLabels>,
    /// How large one is.
    pub size: Histograms<NoLabels>,
    /// The oldest snapshot of a guild that plays; [`Snapshots::age`] says it.
    max_age: GaugesF64<NoLabels>,
    /// How old that may be.
    pub age: SnapshotAge,
    /// Auto-save rounds.
    pub autosave_rounds: Counters<ByOutcome>,
    /// How long a round takes.
    pub autosave_duration: Histograms<NoLabels>,
    /// Positions that rounds wrote.
    pub autosave_written: Counters<NoLabels>,
    /// Operations on the store.
    pub operations: Histograms<Operation>,
}

impl Snapshots {
    pub(super) fn register(catalog: &mut Catalog) -> Self {
        Self {
            writes: catalog.counters("snapshot_writes", "writes", "Writes of a guild's snapshot"),
            write_duration: catalog.calls(
                "snapshot_write_duration",
                "How long one write takes until it is durable",
            ),
            size: catalog.sizes(
                "snapshot_size",
                "How large the parts of a snapshot are that are written, as JSON",
            ),
            max_age: catalog.gauges_seconds(
                "snapshot_max_age",
                "How old the oldest snapshot of a guild that plays may be; zero while nothing plays",
            ),
            age: SnapshotAge::default(),
            autosave_rounds: catalog.counters("autosave_rounds", "rounds", "Auto-save rounds"),
            autosave_duration: catalog.calls("autosave_round_duration", "How long an auto-save round takes"),
            autosave_written: catalog.counters("autosave_written", "positions", "Positions that auto-save wrote"),
            operations: catalog.calls("db_operation_duration", "Operations on the store"),
        }
    }

    /// Brings what only time moves up to date.
    pub(super) fn refresh(&self, now: Instant) {
        let age = self.age.at(now).as_secs_f64();
        self.max_age.get_or_create(&NoLabels {}).set(age);
    }
}

/// Recoveries and what listeners heard of them.
#[derive(Clone, Debug)]
pub struct Recoveries {
    /// From the first sign to the first confirmed frame, with a trace.
    pub duration: TracedHistograms<Recovery>,
    /// Each phase.
    pub phases: Histograms<ByPhase>,
    /// Those under way.
    pub inflight: Gauges<NoLabels>,
    /// How long nothing was heard.
    pub audio_gap: Histograms<ByTrigger>,
}

impl Recoveries {
    pub(super) fn register(catalog: &mut Catalog) -> Self {
        let recoveries = Self {
            duration: catalog.traced(
                "guild_recovery_duration",
                "From the first sign of trouble to the first confirmed frame",
            ),
            phases: catalog.waits("guild_recovery_phase_duration", "Each phase of a recovery"),
            inflight: catalog.gauges("guild_recoveries_inflight", "guilds", "Recoveries that are under way"),
            audio_gap: catalog.waits("player_audio_gap", "How long listeners heard nothing"),
        };
        recoveries.inflight.get_or_create(&NoLabels {}).set(0);
        // A rolling update ends every process, and all that a new one recovers it recovers at once: a series that is born
        // with its value never grows, and an alert would not see it.
        for trigger in Trigger::ALL {
            drop(recoveries.audio_gap.get_or_create(&ByTrigger { trigger: *trigger }));
            for outcome in Recovered::ALL {
                drop(recoveries.duration.get_or_create(&Recovery {
                    trigger: *trigger,
                    outcome: *outcome,
                }));
            }
        }
        recoveries
    }

    /// Counts a recovery that ended; `trace_id` (32 hexadecimal digits) tells it.
    pub fn ended(&self, trigger: Trigger, outcome: Recovered, took: Duration, trace_id: Option<String>) {
        let exemplar = trace_id.map(|trace_id| TraceLabel { trace_id });
        self.duration
            .get_or_create(&Recovery { trigger, outcome })
            .observe(took.as_secs_f64(), exemplar, None);
    }

    /// A phase of one took so long.
    pub fn phase(&self, phase: Phase, took: Duration) {
        self.phases
            .get_or_create(&ByPhase { phase })
            .observe(took.as_secs_f64());
    }
}
