//! The handle to a node: calls with deadlines, what is known of its health, and which guilds are interested.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::Method;
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout};

use crate::lifecycle::Authority;
use crate::model::ids::{GuildId, NodeName};
use crate::model::signal::PlayerSeen;

use super::breaker::Breaker;
use super::call::Operation;
use super::client::{self, Client};
use super::error::CallError;
use super::held::Held;
use super::metrics::NodeMetrics;
use super::wire::{self, PlayerFound};
use super::{BadNode, Identity, Loaded, NodeConfig, NodeLoad, NodeState, NodeStats, PlayerPatch};

/// Voice calls under way at once: each may hold one of the node's few threads.
const VOICE_CALLS: usize = 8;
/// Loads under way at once. They wait for servers that anybody may name, so they have turns of their own: what players need
/// never waits behind them.
const LOADS: usize = 16;
/// Other calls under way at once.
const CALLS: usize = 64;
/// One (shard, node). Clones are the same node.
#[derive(Clone, Debug)]
pub struct Node(Arc<Shared>);

pub(super) struct Shared {
    pub(super) name: NodeName,
    pub(super) client: Client,
    pub(super) authority: Arc<dyn Authority>,
    pub(super) metrics: Arc<dyn NodeMetrics>,
    wall: fn() -> i64,
    breaker: Arc<Mutex<Breaker>>,
    draining: Arc<AtomicBool>,
    voice_calls: Semaphore,
    calls: Semaphore,
    loads: Semaphore,
    /// Somebody was told that the open session is unknown.
    pub(super) suspect: Notify,
    /// The state changed by what calls met.
    pub(super) changed: Notify,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) state: NodeState,
    stats: Option<NodeStats>,
    pub(super) session: Option<String>,
    guilds: BTreeSet<GuildId>,
    held: Held,
    /// Guilds whose last voice call was not answered: their player is to be deleted before voice is sent again.
    unclean: BTreeSet<GuildId>,
    pub(super) silent_calls: u32,
    pub(super) resumed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name)
            .field("state", &self.lock().state)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(
        config: &NodeConfig,
        identity: &Identity,
        authority: Arc<dyn Authority>,
        metrics: Arc<dyn NodeMetrics>,
        wall: fn() -> i64,
    ) -> Result<Self, BadNode> {
        Ok(Self {
            name: config.name.clone(),
            client: Client::new(config, identity)?,
            authority,
            metrics,
            wall,
            breaker: Arc::clone(&config.breaker),
            draining: Arc::clone(&config.draining),
            voice_calls: Semaphore::new(VOICE_CALLS),
            calls: Semaphore::new(CALLS),
            loads: Semaphore::new(LOADS),
            suspect: Notify::new(),
            changed: Notify::new(),
            inner: Mutex::new(Inner {
                state: NodeState::Connecting,
                stats: None,
                session: None,
                guilds: BTreeSet::new(),
                held: Held::default(),
                unclean: BTreeSet::new(),
                silent_calls: 0,
                resumed: false,
            }),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a call waits for its turn.
    pub(super) const fn turns(&self, operation: Operation) -> &Semaphore {
        match operation {
            Operation::Load => &self.loads,
            Operation::Arm
            | Operation::Update
            | Operation::Voice
            | Operation::Destroy
            | Operation::Player
            | Operation::Players => &self.calls,
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    pub(super) fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// The operator's name for it.
    pub fn name(&self) -> &NodeName {
        &self.0.name
    }

    /// Where the session stands.
    pub fn state(&self) -> NodeState {
        self.0.lock().state
    }

    /// Whether it is to be emptied.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// How many more guilds of this session play than when the node counted.
    pub fn since_counted(&self) -> i64 {
        self.0.lock().held.since_counted()
    }

    /// How busy the node says it is; zeros until it said so.
    pub fn load(&self) -> NodeLoad {
        let voice_cut = self.0.breaker().is_open(Instant::now());
        let draining = self.is_draining();
        let inner = self.0.lock();
        inner.stats.map_or(
            NodeLoad {
                playing: inner.held.now_playing(0),
                voice_cut,
                draining,
                ..NodeLoad::default()
            },
            |stats| NodeLoad {
                players: stats.players,
                playing: inner.held.now_playing(stats.playing),
                cpu: stats.cpu,
                frames_missing_permille: stats.frames_missing_permille,
                voice_cut,
                draining,
            },
        )
    }

    /// From now on this guild is told what happens to the session, whether or not it has a player there. Returns the
    /// state at that moment: if it is ready already, ask [`Self::player`] what the node holds.
    pub fn register(&self, guild: GuildId) -> NodeState {
        let mut inner = self.0.lock();
        inner.guilds.insert(guild);
        inner.state
    }

    /// The guild is told no more, unless it has a player there.
    pub fn unregister(&self, guild: GuildId) {
        let mut inner = self.0.lock();
        inner.guilds.remove(&guild);
        inner.held.remove(guild);
        inner.unclean.remove(&guild);
    }

    /// Changes or creates the guild's player. With voice in it, an unanswered call deletes the player before the next
    /// one; if that next one has no track, it fails with [`CallError::PlayerGone`].
    ///
    /// Of one guild, one call at a time.
    pub async fn update(&self, guild: GuildId, patch: &PlayerPatch) -> Result<PlayerSeen, CallError> {
        let session = self.session()?;
        // Before the answer: others choose a node meanwhile.
        let starts = matches!(patch.track, Some(Some(_))) && self.0.lock().held.put(guild);
        let result = self.updated(&session, guild, patch).await;
        let stops = patch.track == Some(None);
        if (result.is_ok() && stops) || (result.is_err() && starts) {
            self.0.lock().held.remove(guild);
        }
        result
    }

    async fn updated(&self, session: &str, guild: GuildId, patch: &PlayerPatch) -> Result<PlayerSeen, CallError> {
        let result = self.update_in(session, guild, patch).await;
        let result = match result {
            // Which of the two was refused? Never tell by the words.
            Err(CallError::Status { status: 500, .. }) if patch.voice.is_some() && patch.track.is_some() => {
                self.update_apart(session, guild, patch).await
            }
            other => other,
        };
        if matches!(result, Err(CallError::Status { .. } | CallError::VoiceRefused)) {
            self.sweep(session, guild).await;
        }
        result
    }

    async fn update_apart(&self, session: &str, guild: GuildId, patch: &PlayerPatch) -> Result<PlayerSeen, CallError> {
        let voice = PlayerPatch {
            voice: patch.voice.clone(),
            ..PlayerPatch::default()
        };
        self.update_in(session, guild, &voice).await?;
        let rest = PlayerPatch {
            voice: None,
            ..patch.clone()
        };
        self.update_in(session, guild, &rest).await
    }

    /// A refused update may leave an empty player behind, which the node would keep for ever.
    async fn sweep(&self, session: &str, guild: GuildId) {
        let found = self.player_in(session, guild).await;
        if let Ok(Some(found)) = found
            && found.seen.track.is_none()
            && !found.seen.connected
        {
            let swept = self.destroy_in(session, guild).await;
            tracing::debug!(node = %self.name(), ok = swept.is_ok(), "deleted the empty player of a refused update");
        }
    }

    /// Deletes the guild's player, if there is one.
    pub async fn destroy(&self, guild: GuildId) -> Result<(), CallError> {
        let session = self.session()?;
        self.destroy_in(&session, guild).await?;
        let mut inner = self.0.lock();
        inner.unclean.remove(&guild);
        inner.held.remove(guild);
        Ok(())
    }

    /// The guild's player, if there is one.
    pub async fn player(&self, guild: GuildId) -> Result<Option<PlayerSeen>, CallError> {
        let session = self.session()?;
        Ok(self.player_in(&session, guild).await?.map(|found| found.seen))
    }

    /// Resolves a link or a search (`ytsearch:…`). Works without a session.
    pub async fn load_tracks(&self, identifier: &str) -> Result<Loaded, CallError> {
        let identifier = percent_encoding::utf8_percent_encode(identifier, percent_encoding::NON_ALPHANUMERIC);
        let path = format!("/loadtracks?identifier={identifier}");
        let reply = self.call(Operation::Load, Method::GET, &path, None).await?;
        wire::loaded(&reply.body).ok_or(CallError::Malformed("load"))
    }

    fn session(&self) -> Result<String, CallError> {
        self.0.lock().session.clone().ok_or(CallError::SessionGone)
    }

    /// [`Self::update`] in a given session, in one request.
    pub(super) async fn update_in(
        &self,
        session: &str,
        guild: GuildId,
        patch: &PlayerPatch,
    ) -> Result<PlayerSeen, CallError> {
        if patch.voice.is_none() {
            return self.patch(Operation::Update, session, guild, patch).await;
        }
        if self.0.lock().unclean.contains(&guild) {
            self.destroy_in(session, guild).await?;
            self.0.lock().unclean.remove(&guild);
            if patch.track.is_none() {
                return Err(CallError::PlayerGone);
            }
        }
        let waiting = timeout(Operation::Voice.limit(), self.0.voice_calls.acquire()).await;
        let Ok(Ok(_turn)) = waiting else {
            return Err(CallError::Busy);
        };
        if !self.0.breaker().admits(Instant::now()) {
            return Err(CallError::VoiceCut);
        }
        // Before, not after: the caller may drop this future while the node is stuck.
        self.0.lock().unclean.insert(guild);
        let result = self.patch(Operation::Voice, session, guild, patch).await;
        self.judge_voice(guild, &result);
        match result {
            Err(CallError::Status { status: 500, .. }) if patch.track.is_none() => Err(CallError::VoiceRefused),
            other => other,
        }
    }

    fn judge_voice(&self, guild: GuildId, result: &Result<PlayerSeen, CallError>) {
        match result {
            Err(CallError::Timeout(_)) => {
                self.0.metrics.swallowed(&self.0.name);
                if self.0.breaker().swallowed(Instant::now()) {
                    tracing::warn!(node = %self.0.name, "the node swallows voice calls: it gets none for a while");
                }
            }
            // Nothing is known of the node: it may or may not work on it.
            Err(CallError::Unreachable(_)) => {}
            Err(CallError::NoAuthority(_) | CallError::Busy) => {
                self.0.lock().unclean.remove(&guild);
            }
            Ok(_) | Err(_) => {
                self.0.breaker().answered();
                self.0.lock().unclean.remove(&guild);
            }
        }
    }

    async fn patch(
        &self,
        operation: Operation,
        session: &str,
        guild: GuildId,
        patch: &PlayerPatch,
    ) -> Result<PlayerSeen, CallError> {
        let target = format!("/sessions/{session}/players/{guild}?noReplace={}", patch.no_replace);
        let body = client::patch_body(patch);
        let reply = self
            .in_session(operation, session, Method::PATCH, &target, Some(&body))
            .await?;
        let found = serde_json::from_slice(&reply.body)
            .ok()
            .and_then(|value| wire::player(&value, self.wall()));
        found
            .map(|found| found.seen)
            .ok_or(CallError::Malformed(operation.word()))
    }

    pub(super) async fn destroy_in(&self, session: &str, guild: GuildId) -> Result<(), CallError> {
        let path = format!("/sessions/{session}/players/{guild}");
        self.in_session(Operation::Destroy, session, Method::DELETE, &path, None)
            .await?;
        Ok(())
    }

    async fn player_in(&self, session: &str, guild: GuildId) -> Result<Option<PlayerFound>, CallError> {
        let path = format!("/sessions/{session}/players/{guild}");
        match self.call(Operation::Player, Method::GET, &path, None).await {
            Ok(reply) => serde_json::from_slice(&reply.body)
                .ok()
                .and_then(|value: Value| wire::player(&value, self.wall()))
                .map(Some)
                .ok_or(CallError::Malformed("player")),
            // Is it the player or the session that is not found? Only another question tells.
            Err(CallError::Status { status: 404, .. }) => self.players_in(session).await.map(|_| None),
            Err(error) => Err(error),
        }
    }

    /// All players of a session, this node's current one or another.
    pub(super) async fn players_in(&self, session: &str) -> Result<Vec<PlayerFound>, CallError> {
        let path = format!("/sessions/{session}/players");
        let reply = self
            .in_session(Operation::Players, session, Method::GET, &path, None)
            .await?;
        let (found, unread) = wire::players(&reply.body, self.wall()).ok_or(CallError::Malformed("players"))?;
        if unread > 0 {
            tracing::warn!(node = %self.name(), unread, "some of the node's players cannot be read");
        }
        Ok(found)
    }

    /// Arms resuming, so that the players outlive the socket.
    pub(super) async fn arm(&self, session: &str, timeout_s: u32) -> Result<(), CallError> {
        let body = client::arming(timeout_s);
        let path = format!("/sessions/{session}");
        let reply = self
            .in_session(Operation::Arm, session, Method::PATCH, &path, Some(&body))
            .await?;
        client::is_armed(&reply.body, timeout_s)
            .then_some(())
            .ok_or(CallError::Malformed("arm"))
    }

    pub(super) fn wall(&self) -> i64 {
        (self.0.wall)()
    }

    pub(super) fn authority(&self) -> &dyn Authority {
        &*self.0.authority
    }

    /// The session is usable from now on.
    pub(super) fn opened(&self, session: &str, resumed: bool) {
        let mut inner = self.0.lock();
        inner.session = Some(session.to_owned());
        inner.resumed = resumed;
        inner.silent_calls = 0;
        if !resumed {
            inner.held.clear();
        }
        inner.state = NodeState::Ready { resumed };
    }

    /// The session is not usable; `true` if that changed the state.
    pub(super) fn closed(&self, state: NodeState) -> bool {
        let mut inner = self.0.lock();
        inner.session = None;
        std::mem::replace(&mut inner.state, state) != state
    }

    pub(super) fn registered(&self) -> BTreeSet<GuildId> {
        self.0.lock().guilds.clone()
    }

    /// Takes in what the node says of itself. A node that was restarted has its threads back.
    pub(super) fn took_stats(&self, stats: NodeStats) {
        let mut inner = self.0.lock();
        inner.held.counted();
        let before = inner.stats.replace(stats);
        drop(inner);
        if before.is_some_and(|before| stats.uptime_ms < before.uptime_ms) {
            self.0.breaker().restarted();
        }
    }
}
