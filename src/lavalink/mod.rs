//! Segue's Lavalink client: one WebSocket session for each shard and node, and the calls that go with it.
//!
//! ```text
//!  socket ─► wire ─► session ─► NodeMessage ─► guilds        guilds ─► Node ─► client ─► the node's REST
//!                      │  ▲                                              │
//!                      ▼  │ what next                                    ▼ may voice be sent?
//!                      link (pure)                                  breaker (pure)
//! ```
//!
//! What a guild sees of a node, in this order:
//! * [`NodeEvent::Ready`] once for every connection, for each guild that is registered or has a player on the node.
//!   Its `player` is newer than the events that follow at once: these are what happened while nobody was connected,
//!   each exactly once and in the node's order. So `player` without the expected track, followed by that track's
//!   [`NodeEvent::Ended`], means that it ended while away; without such an event the node lost it.
//! * then everything the node says, in its order.
//! * [`NodeEvent::Lost`] when the socket closes. Audio may go on.
//! * [`NodeEvent::Gone`] when the node refuses connections, cannot be reached for long, or came back without its
//!   players; in the last case `Ready { resumed: false }` follows.
//!
//! A node whose REST hangs while its socket lives is [`NodeState::RestDead`]: nothing is said to guilds.
//!
//! [`NodeEvent::Ready`]: crate::model::signal::NodeEvent::Ready
//! [`NodeEvent::Ended`]: crate::model::signal::NodeEvent::Ended
//! [`NodeEvent::Lost`]: crate::model::signal::NodeEvent::Lost
//! [`NodeEvent::Gone`]: crate::model::signal::NodeEvent::Gone

mod breaker;
mod call;
mod choose;
mod client;
mod clock;
mod error;
mod held;
mod link;
mod metrics;
mod node;
mod session;
mod socket;
mod takeover;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::lifecycle::Authority;
use crate::model::ids::{GuildId, MemberId, NodeName, ShardId, UserId};
use crate::model::record::VoiceCredentials;
use crate::model::signal::FromNode;
use crate::model::track::Track;

pub use choose::choose;
pub use error::{CallError, Class};
pub use metrics::{NoMetrics, NodeMetrics};
pub use node::Node;

/// How long a node keeps a session whose socket closed, in seconds.
pub const RESUME_TIMEOUT_S: u32 = 120;

/// One node of the settings. Clones share what is known of the node's health, so clone it for every shard.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The operator's name for it.
    pub name: NodeName,
    /// `http` or `https`; a path is kept, user and password in it are not used.
    pub url: Url,
    /// Lavalink's password.
    pub password: SecretString,
    breaker: Arc<Mutex<breaker::Breaker>>,
    draining: Arc<AtomicBool>,
}

impl NodeConfig {
    /// A node of which nothing is known yet.
    pub fn new(name: NodeName, url: Url, password: SecretString) -> Self {
        Self {
            name,
            url,
            password,
            breaker: Arc::default(),
            draining: Arc::default(),
        }
    }

    /// Whether the node is to be emptied: it gets no new players, and [`choose`] names another for those it has.
    pub fn drain(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// `host:port` as it stands in the URL.
    fn authority(&self) -> Result<String, BadNode> {
        let host = self.url.host_str().ok_or(BadNode::Url)?;
        Ok(self
            .url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    /// Scheme, host, port and path without a slash at the end.
    fn root(&self) -> Result<String, BadNode> {
        let scheme = self.url.scheme();
        if scheme != "http" && scheme != "https" {
            return Err(BadNode::Url);
        }
        Ok(format!(
            "{scheme}://{}{}",
            self.authority()?,
            self.url.path().trim_end_matches('/')
        ))
    }

    fn websocket(&self) -> Result<String, BadNode> {
        let root = self.root()?;
        Ok(format!(
            "ws{}/v4/websocket",
            root.strip_prefix("http").ok_or(BadNode::Url)?
        ))
    }
}

/// Who talks to the node.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The bot's user.
    pub user: UserId,
    /// This process.
    pub member: MemberId,
    /// The shard whose guilds this session plays for.
    pub shard: ShardId,
}

impl Identity {
    /// `Client-Name` and `User-Agent`.
    pub fn client_name(&self) -> String {
        let (number, total) = (self.shard.number(), self.shard.total());
        format!(
            "segue/{} member={} shard={number}/{total}",
            env!("CARGO_PKG_VERSION"),
            self.member
        )
    }
}

/// A node that can never be connected to as it is written in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadNode {
    /// Not `http://host` or `https://host`.
    #[error("a node's address must be http://HOST:PORT or https://HOST:PORT")]
    Url,
    /// Holds characters that cannot stand in a header.
    #[error("a node's password may only hold visible ASCII characters")]
    Password,
    /// The member's id cannot stand in a header.
    #[error("the member's id may only hold visible ASCII characters")]
    Member,
    /// TLS could not be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Where the session with a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Never connected yet.
    Connecting,
    /// Usable.
    Ready {
        /// Whether the session before was carried on.
        resumed: bool,
    },
    /// The socket closed; audio may go on.
    Lost {
        /// Since when, milliseconds since 1970.
        since_ms: i64,
    },
    /// Calls are not answered, but the socket lives and audio goes on: nothing is to be moved.
    RestDead,
    /// Given up; still tried.
    Gone,
}

impl NodeState {
    /// As pages name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Ready { .. } => "ready",
            Self::Lost { .. } => "lost",
            Self::RestDead => "audio only",
            Self::Gone => "gone",
        }
    }
}

/// How busy a node is, over all its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeLoad {
    /// Players on the node.
    pub players: u64,
    /// Those with a track that moves, with those that this process started since the node counted.
    pub playing: u64,
    /// System load, 0 to 1.
    pub cpu: f64,
    /// Frames missing or nulled of those due, in thousandths.
    pub frames_missing_permille: u32,
    /// It swallows voice calls and gets none for a while.
    pub voice_cut: bool,
    /// It is to be emptied.
    pub draining: bool,
}

/// Audio frames of an average player of a session in the last minute; 3,000 are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStats {
    /// Sent.
    pub sent: u64,
    /// Silence was sent in their place.
    pub nulled: u64,
    /// Missing.
    pub deficit: u64,
}

/// What a node says of itself once a minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeStats {
    /// Players on the node.
    pub players: u64,
    /// Those with a track that moves.
    pub playing: u64,
    /// Milliseconds since it was started.
    pub uptime_ms: u64,
    /// System load, 0 to 1.
    pub cpu: f64,
    /// Frames missing or nulled of those due, in thousandths.
    pub frames_missing_permille: u32,
    /// Frames of this session; `None` until its players have played for a while.
    pub frames: Option<FrameStats>,
}

/// What a session task tells its owner. The channel is bounded: while it is full, the socket is not read.
#[derive(Debug)]
pub enum NodeMessage {
    /// A session is armed and is to be stored; nobody is told of it before `ack`.
    Session {
        /// The node.
        node: NodeName,
        /// To be passed as [`Opening::stored_session`] next time.
        session_id: String,
        /// To be sent when it is durable. Dropped: the session is closed and tried again.
        ack: oneshot::Sender<()>,
    },
    /// For one guild.
    Guild {
        /// Which.
        guild: GuildId,
        /// What.
        event: FromNode,
    },
    /// The state changed. Sent after the guilds were told.
    State {
        /// The node.
        node: NodeName,
        /// Its state now.
        state: NodeState,
    },
    /// The node's figures.
    Stats {
        /// The node.
        node: NodeName,
        /// What it said.
        stats: NodeStats,
    },
}

/// A change of a player. Absent fields stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlayerPatch {
    /// A track to start, as the node encoded it, or with `Some(None)` none.
    pub track: Option<Option<String>>,
    /// Milliseconds. Always to be sent with a track: an encoded track carries a position of its own.
    pub position_ms: Option<u64>,
    /// Standing still? Starting a track without it goes on.
    pub paused: Option<bool>,
    /// 0 to 1,000.
    pub volume: Option<u16>,
    /// Lavalink's filter object, whole.
    pub filters: Option<serde_json::Value>,
    /// Where to speak.
    pub voice: Option<VoiceCredentials>,
    /// Leave a track that plays; the rest is applied all the same.
    pub no_replace: bool,
}

/// What an identifier led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// One track.
    Track(Track),
    /// A list.
    Playlist {
        /// Its name.
        name: String,
        /// Which of its tracks the link named, from 0.
        selected: Option<usize>,
        /// Those that could be read.
        tracks: Vec<Track>,
    },
    /// Best first.
    Search(Vec<Track>),
    /// Nothing was found.
    Nothing,
    /// The source failed.
    Failed {
        /// The node's words, cut, if it had any.
        message: Option<String>,
    },
}

/// All that a session needs.
#[derive(Debug)]
pub struct Opening {
    /// Which node.
    pub config: NodeConfig,
    /// For whom.
    pub identity: Identity,
    /// The session that was last stored for this shard and node, by whomever.
    pub stored_session: Option<String>,
    /// Asked before everything that changes something.
    pub authority: Arc<dyn Authority>,
    /// Where messages go.
    pub out: mpsc::Sender<NodeMessage>,
    /// Where figures go.
    pub metrics: Arc<dyn NodeMetrics>,
    /// The wall clock, milliseconds since 1970.
    pub wall: fn() -> i64,
    /// Ends the task; the socket is closed so that the session can be resumed at once.
    pub stop: CancellationToken,
}

/// A handle to the node, and the session's task, which the caller is to run until it ends.
pub fn open(opening: Opening) -> Result<(Node, impl Future<Output = ()> + Send + 'static), BadNode> {
    let Opening {
        config,
        identity,
        stored_session,
        authority,
        out,
        metrics,
        wall,
        stop,
    } = opening;
    let shared = node::Shared::new(&config, &identity, authority, metrics, wall)?;
    let request = socket::request(&config, &identity)?;
    let node = Node::new(shared);
    let session = session::Session::new(node.clone(), request, out, stored_session);
    Ok((node, session.run(stop)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> NodeConfig {
        NodeConfig::new(NodeName("a".into()), Url::parse(url).unwrap(), "pass".into())
    }

    #[test]
    fn addresses_are_built_from_what_operators_write() {
        let table = [
            ("http://node:2333", "http://node:2333", "ws://node:2333/v4/websocket"),
            (
                "http://:pw@node:2333/",
                "http://node:2333",
                "ws://node:2333/v4/websocket",
            ),
            (
                "https://node/lava/",
                "https://node/lava",
                "wss://node/lava/v4/websocket",
            ),
            ("http://[::1]:2333", "http://[::1]:2333", "ws://[::1]:2333/v4/websocket"),
        ];
        for (url, root, socket) in table {
            assert_eq!(config(url).root().as_deref(), Ok(root), "{url}");
            assert_eq!(config(url).websocket().as_deref(), Ok(socket), "{url}");
        }
        assert_eq!(config("ftp://node").root(), Err(BadNode::Url));
    }

    #[test]
    fn the_password_is_not_shown_by_debug() {
        assert!(!format!("{:?}", config("http://node")).contains("pass\""));
    }

    #[test]
    fn a_member_can_be_told_by_its_client_name() {
        let identity = Identity {
            user: UserId::new(1),
            member: MemberId("m-1".into()),
            shard: ShardId::new(2, 16),
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(identity.client_name(), format!("segue/{version} member=m-1 shard=2/16"));
    }
}
