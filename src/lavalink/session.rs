//! One session's task: connect, be ready, arm, store, take over, tell the guilds, then read until the socket ends.
//!
//! Between `ready` and the guilds' [`NodeEvent::Ready`] the socket is not read: what the node replays waits in it, in
//! order. Every step in between has a deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::model::ids::GuildId;
use crate::model::signal::{FromNode, NodeEvent, PlayerSeen};

use super::clock::NodeClock;
use super::error::CallError;
use super::link::{Link, Trouble, Verdict};
use super::node::Node;
use super::socket::{End, Request, Socket};
use super::wire::{self, Frame, Odd, PlayerFound};
use super::{NodeMessage, NodeState, RESUME_TIMEOUT_S, takeover};

/// Longest wait for `ready` on an open socket: a lost race between two resumes leaves one mute.
const READY_LIMIT: Duration = Duration::from_secs(2);
/// Longest wait for the session's id to be durable.
const STORE_LIMIT: Duration = Duration::from_secs(5);
/// How often authority is looked at while nothing happens.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How often a dead REST is asked whether it is back.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Kinds of odd messages that are logged; more are only counted.
const ODD_KINDS: usize = 64;

type Probe = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Session {
    node: Node,
    request: Request,
    out: mpsc::Sender<NodeMessage>,
    link: Link,
    socket: Option<Socket>,
    clock: NodeClock,
    /// When the node last said anything in a usable session, milliseconds since 1970; 0 before it did.
    heard_ms: i64,
    /// Guilds of which the node spoke.
    known: BTreeSet<GuildId>,
    odd_kinds: BTreeSet<String>,
}

/// A connection on which `ready` was said.
struct Open {
    id: String,
    resumed: bool,
    /// The session that was asked for and not given.
    old: Option<String>,
}

/// Why a connection did not come about or ended.
struct Failure {
    trouble: Trouble,
    why: String,
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self {
            trouble: Trouble::Closed,
            why: error.to_string(),
        }
    }
}

impl From<(Trouble, String)> for Failure {
    fn from((trouble, why): (Trouble, String)) -> Self {
        Self { trouble, why }
    }
}

fn closed(why: &str) -> Failure {
    Failure {
        trouble: Trouble::Closed,
        why: why.to_owned(),
    }
}

impl Session {
    pub(super) fn new(node: Node, request: Request, out: mpsc::Sender<NodeMessage>, stored: Option<String>) -> Self {
        Self {
            node,
            request,
            out,
            link: Link::new(stored),
            socket: None,
            clock: NodeClock::default(),
            heard_ms: 0,
            known: BTreeSet::new(),
            odd_kinds: BTreeSet::new(),
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep()).await;
        self.node.closed(NodeState::Lost {
            since_ms: self.node.wall(),
        });
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
    }

    /// Keeps a connection for as long as somebody listens.
    async fn keep(&mut self) {
        while !self.out.is_closed() {
            if self.node.authority().check().is_err() {
                sleep(CHECK_EVERY).await;
                continue;
            }
            let failure = match Box::pin(self.establish()).await {
                Ok(session) => self.serve(&session).await,
                Err(failure) => failure,
            };
            if let Some(socket) = self.socket.take() {
                socket.close().await;
            }
            self.lost(&failure.why).await;
            let next = self.link.failed(failure.trouble, self.node.wall(), rand::random());
            if next.give_up {
                self.gone().await;
            }
            sleep(next.after).await;
        }
    }

    /// Connects until the session is usable and everybody knows; the session's id.
    async fn establish(&mut self) -> Result<String, Failure> {
        let result = self.try_establish().await;
        let shared = self.node.shared();
        match &result {
            Ok((_, outcome)) => {
                tracing::info!(node = %shared.name, outcome, "the session with the node is usable");
                shared.metrics.connected(&shared.name, outcome);
            }
            Err(failure) => {
                if failure.trouble == Trouble::Denied {
                    tracing::error!(node = %shared.name, "the node refuses the password");
                }
                tracing::debug!(node = %shared.name, why = failure.why, "no session with the node");
                shared.metrics.connected(&shared.name, failure.trouble.word());
            }
        }
        result.map(|(id, _)| id)
    }

    async fn try_establish(&mut self) -> Result<(String, &'static str), Failure> {
        let open = self.connect().await?;
        self.node.arm(&open.id, RESUME_TIMEOUT_S).await?;
        let found = match (&open.old, open.resumed) {
            (_, true) => self.node.players_in(&open.id).await?,
            (None, false) => Vec::new(),
            (Some(old), false) => match self.node.players_in(old).await {
                Ok(found) => found,
                Err(CallError::SessionGone) if self.link.vanished() => {
                    return Err(closed(
                        "the session that was asked for ended just now; it may be resumed",
                    ));
                }
                Err(CallError::SessionGone) => Vec::new(),
                Err(error) => return Err(error.into()),
            },
        };
        self.store(&open).await?;
        let (players, outcome) = match &open.old {
            Some(old) if !open.resumed && !found.is_empty() => (self.carry(old, &open.id, found).await, "taken_over"),
            _ if open.resumed => (
                found
                    .into_iter()
                    .map(|PlayerFound { guild, seen, .. }| (guild, seen))
                    .collect(),
                "resumed",
            ),
            _ => (Vec::new(), "new"),
        };
        self.node.opened(&open.id, open.resumed);
        self.tell_ready(open.resumed, players.into_iter().collect()).await;
        self.link.settled();
        Ok((open.id, outcome))
    }

    /// Connects and waits for `ready`; asks again for the old session while that may help.
    async fn connect(&mut self) -> Result<Open, Failure> {
        loop {
            self.node
                .authority()
                .check()
                .map_err(|error| closed(&error.to_string()))?;
            let mut socket = Socket::connect(&self.request, self.link.wanted()).await?;
            self.clock = NodeClock::default();
            let ready = timeout(READY_LIMIT, self.ready(&mut socket)).await;
            let (id, resumed) = ready.map_err(|_| closed("no ready in time"))??;
            match self.link.ready(resumed) {
                Verdict::Resumed => {
                    self.socket = Some(socket);
                    return Ok(Open {
                        id,
                        resumed: true,
                        old: None,
                    });
                }
                Verdict::New { old } => {
                    self.socket = Some(socket);
                    return Ok(Open {
                        id,
                        resumed: false,
                        old,
                    });
                }
                Verdict::AskAgain(wait) => {
                    socket.close().await;
                    sleep(wait).await;
                }
            }
        }
    }

    /// Reads up to `ready`; figures may come before it.
    async fn ready(&mut self, socket: &mut Socket) -> Result<(String, bool), Failure> {
        loop {
            let text = socket.next().await.map_err(|end| closed(&end.to_string()))?;
            match self.read(&text) {
                Some(Frame::Ready { session_id, resumed }) => return Ok((session_id, resumed)),
                Some(Frame::Stats(stats)) => self.node.took_stats(stats),
                Some(Frame::Guild { .. }) | None => {}
            }
        }
    }

    /// Has a new session's id made durable, so that whoever comes next can resume it.
    async fn store(&mut self, open: &Open) -> Result<(), Failure> {
        if self.link.wanted() == Some(open.id.as_str()) {
            return Ok(());
        }
        let (ack, acked) = oneshot::channel();
        self.send(NodeMessage::Session {
            node: self.node.name().clone(),
            session_id: open.id.clone(),
            ack,
        })
        .await;
        let stored = timeout(STORE_LIMIT, acked).await;
        stored
            .map_err(|_| closed("the session was not stored in time"))?
            .map_err(|_| closed("the session was not stored"))?;
        self.link.stored(&open.id);
        Ok(())
    }

    /// Carries players over. Where the dead socket of the old session closes meanwhile, the node lets nobody touch what plays
    /// in it, and it would play on beside the new players until its time is up: then it is resumed until all are carried.
    async fn carry(&mut self, old: &str, new: &str, found: Vec<PlayerFound>) -> Vec<(GuildId, PlayerSeen)> {
        let node = self.node.clone();
        let mut players = Vec::with_capacity(found.len());
        let mut held: Option<Socket> = None;
        let mut one_by_one = std::pin::pin!(takeover::carry(&node, old, new, found));
        while let Some(carried) = one_by_one.next().await {
            players.extend(carried.player.map(|player| (carried.guild, player)));
            if !carried.left_over {
                continue;
            }
            if held.is_none() {
                held = self.hold(old).await;
            }
            if let Err(error) = node.destroy_in(old, carried.guild).await {
                tracing::warn!(node = %node.name(), guild = %carried.guild, %error, "it plays on in the old session");
            }
        }
        if let Some(socket) = held {
            socket.close().await;
        }
        players
    }

    /// Resumes the old session beside the new one; its messages are not read. `None` if that cannot be had.
    async fn hold(&mut self, old: &str) -> Option<Socket> {
        let resumed = async {
            let mut socket = Socket::connect(&self.request, Some(old)).await?;
            let ready = timeout(READY_LIMIT, self.ready(&mut socket)).await;
            let (_, resumed) = ready.map_err(|_| closed("no ready in time"))??;
            Ok::<_, Failure>(resumed.then_some(socket))
        };
        match resumed.await {
            Ok(socket) => socket,
            Err(failure) => {
                tracing::warn!(node = %self.node.name(), why = failure.why, "the old session cannot be resumed");
                None
            }
        }
    }

    /// Tells every guild that has a player, or wants to know, how things stand.
    async fn tell_ready(&mut self, resumed: bool, mut players: BTreeMap<GuildId, PlayerSeen>) {
        let said_gone = self.link.gave_up();
        let heard_ms = self.heard_ms;
        let mut guilds = self.node.registered();
        guilds.extend(players.keys());
        self.known.clone_from(&guilds);
        for guild in guilds {
            let player = players.remove(&guild);
            let carried = resumed || player.is_some();
            if !carried && !said_gone {
                self.tell(
                    guild,
                    NodeEvent::Gone {
                        alive_until_ms: heard_ms,
                    },
                )
                .await;
            }
            self.tell(
                guild,
                NodeEvent::Ready {
                    resumed: carried,
                    player,
                },
            )
            .await;
        }
        self.heard_ms = self.node.wall();
        self.tell_state().await;
    }

    /// Reads the socket until it ends.
    async fn serve(&mut self, session: &str) -> Failure {
        let node = self.node.clone();
        let mut check_at = Instant::now() + CHECK_EVERY;
        let mut probe_at = Instant::now();
        let mut probe: Option<Probe> = None;
        loop {
            let Some(socket) = &mut self.socket else {
                return closed("no socket");
            };
            tokio::select! {
                message = socket.next() => match message {
                    Ok(text) => self.take(&text).await,
                    Err(end) => {
                        self.socket = None;
                        if !matches!(end, End::HalfOpen) {
                            // It ended just now: up to here the node lived.
                            self.heard_ms = node.wall();
                        }
                        return closed(&end.to_string());
                    }
                },
                () = node.shared().suspect.notified() => return closed("the node does not know the open session"),
                () = node.shared().changed.notified() => self.tell_state().await,
                () = async { match &mut probe { Some(probe) => probe.await, None => pending().await } } => probe = None,
                () = sleep_until(check_at) => {
                    check_at = Instant::now() + CHECK_EVERY;
                    if node.authority().check().is_err() {
                        return closed("this member has no authority any more");
                    }
                    if node.state() == NodeState::RestDead && probe.is_none() && probe_at <= check_at {
                        probe_at = check_at + PROBE_EVERY;
                        probe = Some(rest_probe(node.clone(), session.to_owned()));
                    }
                }
            }
        }
    }

    async fn take(&mut self, text: &str) {
        self.heard_ms = self.node.wall();
        match self.read(text) {
            Some(Frame::Guild { guild, event }) => {
                self.known.insert(guild);
                self.tell(guild, event).await;
            }
            Some(Frame::Stats(stats)) => {
                self.node.took_stats(stats);
                self.send(NodeMessage::Stats {
                    node: self.node.name().clone(),
                    stats,
                })
                .await;
            }
            // A second one comes from a lost race of two resumes and says nothing new.
            Some(Frame::Ready { .. }) | None => {}
        }
    }

    fn read(&mut self, text: &str) -> Option<Frame> {
        let now_ms = self.node.wall();
        match wire::frame(text, now_ms, &mut self.clock) {
            Ok(frame) => Some(frame),
            Err(Odd(kind)) => {
                let shared = self.node.shared();
                shared.metrics.odd(&shared.name);
                if self.odd_kinds.len() < ODD_KINDS && self.odd_kinds.insert(kind.clone()) {
                    tracing::warn!(node = %shared.name, kind, "the node sent something that cannot be understood");
                }
                None
            }
        }
    }

    /// The socket is closed: nobody may use the session, and those who knew of it are told once.
    async fn lost(&mut self, why: &str) {
        let since_ms = self.node.wall();
        let (NodeState::Ready { .. } | NodeState::RestDead) = self.node.state() else {
            return;
        };
        self.node.closed(NodeState::Lost { since_ms });
        tracing::warn!(node = %self.node.name(), why, "the session with the node was lost");
        for guild in self.interested() {
            self.tell(guild, NodeEvent::Lost { at_ms: since_ms }).await;
        }
        self.tell_state().await;
    }

    async fn gone(&mut self) {
        if self.node.closed(NodeState::Gone) {
            tracing::warn!(node = %self.node.name(), "the node was given up");
        }
        for guild in self.interested() {
            self.tell(
                guild,
                NodeEvent::Gone {
                    alive_until_ms: self.heard_ms,
                },
            )
            .await;
        }
        self.tell_state().await;
    }

    fn interested(&self) -> BTreeSet<GuildId> {
        self.node.registered().union(&self.known).copied().collect()
    }

    async fn tell(&self, guild: GuildId, event: NodeEvent) {
        let event = FromNode {
            node: self.node.name().clone(),
            event,
        };
        self.send(NodeMessage::Guild { guild, event }).await;
    }

    async fn tell_state(&self) {
        self.send(NodeMessage::State {
            node: self.node.name().clone(),
            state: self.node.state(),
        })
        .await;
    }

    /// A closed channel ends the task at its next turn; nobody misses the message.
    async fn send(&self, message: NodeMessage) {
        if self.out.send(message).await.is_err() {
            tracing::debug!(node = %self.node.name(), "nobody listens to the node any more");
        }
    }
}

/// Asks a dead REST for something small; the answer is judged where all answers are.
fn rest_probe(node: Node, session: String) -> Probe {
    Box::pin(async move {
        if let Err(error) = node.players_in(&session).await {
            tracing::debug!(node = %node.name(), %error, "the node's REST is still dead");
        }
    })
}
