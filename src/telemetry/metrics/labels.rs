//! The label sets and their closed values. No guild, channel or user ever stands in a label: their number has no bound.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// A label set that can name its labels, for the catalogue.
pub trait Named: Sized {
    /// The labels' names in order.
    const NAMES: &'static [&'static str];
    /// The only set where there are no labels: what it counts is exposed from the start, not from the first time on.
    const ALONE: Option<Self> = None;
}

/// No labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NoLabels {}

impl Named for NoLabels {
    const NAMES: &'static [&'static str] = &[];
    const ALONE: Option<Self> = Some(Self {});
}

macro_rules! label_sets {
    ($($(#[$doc:meta])* $set:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $set { $($(#[$field_doc])* pub $field: $type),+ }

        impl Named for $set {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];
        }
    )+};
}

macro_rules! label_values {
    ($($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$value_doc])* $value),+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// As it stands in labels.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                self.as_str().encode(encoder)
            }
        }
    )+};
}

label_values! {
    /// What a gateway shard is doing.
    ShardState {
        /// Opens its socket.
        Connecting = "connecting",
        /// Waits for READY.
        Identifying = "identifying",
        /// Waits for RESUMED.
        Resuming = "resuming",
        /// Receives events.
        Ready = "ready",
        /// Has no socket.
        Closed = "closed",
    }
    /// How something ended.
    Outcome {
        /// As wished.
        Ok = "ok",
        /// The other side refused or did not answer.
        Error = "error",
        /// It took too long.
        Timeout = "timeout",
        /// Somebody else owns the thing.
        Lost = "lost",
        /// A person was told no.
        Refused = "refused",
    }
    /// Why a guild had to be recovered.
    Trigger {
        /// A member died.
        Crash = "crash",
        /// A member left as planned.
        Drain = "drain",
        /// A Lavalink node was lost.
        NodeLost = "node_lost",
        /// A Lavalink node is to be emptied.
        NodeDrain = "node_drain",
        /// The gateway session was lost, and voice with it.
        SessionLost = "session_lost",
        /// The leader moved a shard.
        Rebalance = "rebalance",
        /// The process started and found something to carry on.
        Start = "start",
    }
    /// The four ends of a recovery.
    Recovered {
        /// Nothing was heard.
        CarriedOn = "carried_on",
        /// A short cut.
        Rejoined = "rejoined",
        /// A gap, then the saved position.
        Restored = "restored",
        /// Silence; the snapshot is kept.
        Failed = "failed",
    }
    /// A phase of a recovery.
    Phase {
        /// From the first sign until it is known.
        Detect = "detect",
        /// The dead owner's writes are made impossible.
        Fence = "fence",
        /// The shard or guild is taken.
        Claim = "claim",
        /// The gateway or Lavalink session is resumed.
        Resume = "resume",
        /// The snapshot is read and the track loaded.
        Load = "load",
        /// What is wanted is compared with what is.
        Reconcile = "reconcile",
    }
    /// Where input came from that could not be understood.
    Input {
        /// Discord's gateway.
        Gateway = "gateway",
        /// Discord's REST API.
        Discord = "discord",
        /// A Lavalink node.
        Lavalink = "lavalink",
        /// The store.
        Store = "store",
        /// Another member.
        Peer = "peer",
    }
    /// What a Lavalink player is doing.
    PlayerState {
        /// A track is audible.
        Playing = "playing",
        /// A track is held.
        Paused = "paused",
        /// Nothing is loaded.
        Idle = "idle",
    }
    /// What became of an audio frame.
    Frames {
        /// It was sent.
        Sent = "sent",
        /// Silence was sent in its place.
        Nulled = "nulled",
        /// It was missing.
        Deficit = "deficit",
    }
    /// What only one member may have.
    Lease {
        /// Being this member.
        Member = "member",
        /// Leading.
        Leader = "leader",
        /// A shard.
        Shard = "shard",
        /// A guild.
        Guild = "guild",
    }
    /// What is done about a lease.
    LeaseChange {
        /// It is taken.
        Acquire = "acquire",
        /// It goes on.
        Renew = "renew",
        /// It is given up.
        Release = "release",
        /// Its holder is declared dead.
        Steal = "steal",
    }
    /// What a reply was to.
    Stale {
        /// A call to a node: the player has told the node something else since.
        Play = "play",
        /// The question whether a channel may be joined: another one is wanted since.
        Join = "join",
    }
    /// Something that waits in order.
    Queue {
        /// Events between the gateway's socket and the shard.
        GatewayEvents = "gateway_events",
        /// Events that were handed on and whose effects are not durable yet.
        Unprocessed = "unprocessed_events",
        /// Requests for voice channels that Discord's limit holds back.
        VoiceRequests = "voice_requests",
        /// What nodes said, between their sockets and the shard.
        NodeMessages = "node_messages",
    }
}

label_sets! {
    /// What was built.
    Build {
        /// The crate's version.
        version: String,
        /// The commit.
        revision: String,
    }
    /// Shards by what they do.
    ByShardState {
        /// What they do.
        state: ShardState,
    }
    /// A shard.
    ByShard {
        /// Its number.
        shard_id: u32,
    }
    /// A dispatch.
    ByEvent {
        /// Discord's name for it; those that nobody needs count as `other`.
        event: &'static str,
    }
    /// A new gateway connection.
    Reconnect {
        /// A close code, `io`, `unreachable`, `reconnect`, `invalid_session`, `silent`.
        reason: &'static str,
        /// Whether the session went on.
        resumed: bool,
    }
    /// A REST request.
    Rest {
        /// `GET`, …
        method: &'static str,
        /// The template, never with ids.
        route: &'static str,
        /// The status code; 0 when there was no answer.
        status: u16,
    }
    /// A 429.
    RateLimited {
        /// The template.
        route: &'static str,
        /// `user`, `global`, `shared`.
        scope: &'static str,
    }
    /// A command.
    ByCommand {
        /// Its name; unknown ones count as `other`.
        command: &'static str,
        /// How it ended.
        outcome: Outcome,
    }
    /// A Lavalink node.
    ByNode {
        /// The operator's name for it.
        node: String,
    }
    /// Players of a node.
    NodePlayers {
        /// The node.
        node: String,
        /// What they do.
        state: PlayerState,
    }
    /// A request to a node.
    NodeRequest {
        /// The node.
        node: String,
        /// `load`, `update`, `destroy`, …
        operation: &'static str,
        /// How it ended.
        outcome: Outcome,
    }
    /// A new connection to a node.
    NodeReconnect {
        /// The node.
        node: String,
        /// Whether the session went on.
        resumed: bool,
    }
    /// Audio frames of a node.
    NodeFrames {
        /// The node.
        node: String,
        /// What became of them.
        kind: Frames,
    }
    /// A track that failed.
    TrackError {
        /// The node.
        node: String,
        /// The audio source, such as `http`.
        source: String,
        /// `common`, `suspicious`, `fault`, `stuck`, or `refused`.
        severity: String,
    }
    /// How something ended.
    ByOutcome {
        /// How.
        outcome: Outcome,
    }
    /// An operation on the store.
    Operation {
        /// The table or collection.
        collection: &'static str,
        /// The call.
        operation: &'static str,
        /// How it ended.
        outcome: Outcome,
    }
    /// A recovery of a guild.
    Recovery {
        /// Why.
        trigger: Trigger,
        /// How it ended.
        outcome: Recovered,
    }
    /// A phase of a recovery.
    ByPhase {
        /// Which.
        phase: Phase,
    }
    /// Why a guild had to be recovered.
    ByTrigger {
        /// Why.
        trigger: Trigger,
    }
    /// Where bad input came from.
    ByInput {
        /// Where.
        source: Input,
    }
    /// A reply whose question nobody asks any more.
    ByKind {
        /// What it was to.
        kind: Stale,
    }
    /// A bounded queue.
    ByQueue {
        /// Its name.
        queue: Queue,
    }
    /// A lease.
    ByLease {
        /// What of.
        kind: Lease,
    }
    /// An operation on a lease.
    LeaseCall {
        /// What of.
        kind: Lease,
        /// What is done.
        operation: LeaseChange,
    }
    /// An operation on a lease that ended.
    LeaseOperation {
        /// What of.
        kind: Lease,
        /// What was done.
        operation: LeaseChange,
        /// How it ended.
        outcome: Outcome,
    }
    /// A signal of telemetry.
    BySignal {
        /// `traces`, `logs`.
        signal: &'static str,
    }
}

/// The label of an exemplar.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TraceLabel {
    /// The trace, 32 hexadecimal digits.
    pub trace_id: String,
}
