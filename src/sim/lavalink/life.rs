//! One run of a node, from its start to its death: sessions, players, and what is due when. All of it is memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::outbox::{Out, Outbox};
use super::player::{Effect, Player, Wake};
use super::session::{Input, Phase};
use crate::sim::audio::{Content, End};
use crate::sim::voice::Closed;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) phase: Phase,
    pub(super) resuming: bool,
    pub(super) timeout_s: i64,
    pub(super) client: String,
    pub(super) players: BTreeMap<u64, Player>,
    pub(super) out: Option<Outbox>,
    pub(super) held: Vec<String>,
    /// An event that a fault lets come after the next message.
    pub(super) late: Option<String>,
    pub(super) opened_ms: u64,
}

impl Session {
    /// When it would die if its timer began now.
    pub(super) fn until(&self, now: u64) -> u64 {
        let timeout = u64::try_from(self.timeout_s).unwrap_or(0);
        now.saturating_add(timeout.saturating_mul(1_000))
    }
}

/// What the clock brings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Player { session: Arc<str>, guild: u64, what: Wake },
    Timeout { session: Arc<str> },
    Stats { session: Arc<str> },
}

/// The memory of a run.
#[derive(Debug)]
pub(super) struct State {
    pub(super) sessions: BTreeMap<Arc<str>, Session>,
    /// Which player a voice connection belongs to.
    pub(super) links: HashMap<u64, (Arc<str>, u64)>,
    /// Voice connections that nobody hears.
    pub(super) unheard: HashSet<u64>,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
    dues: u64,
    /// How many changes of players there were.
    changes: u64,
    pub(super) sockets: u64,
    pub(super) random: SmallRng,
}

/// A run of a node.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) name: String,
    pub(super) shared: Shared,
    state: Mutex<State>,
    /// Ends every connection and task of this run.
    pub(super) killed: CancellationToken,
    /// Everything this run started.
    pub(super) tasks: TaskTracker,
    /// Threads that answer REST and handshakes.
    pub(super) workers: Arc<Semaphore>,
    pub(super) started_ms: u64,
    wake: Notify,
    /// Where Discord says that it closed a voice connection.
    pub(super) closed: mpsc::UnboundedSender<Closed>,
}

impl Life {
    pub(super) fn new(name: String, shared: Shared, seed: u64, closed: mpsc::UnboundedSender<Closed>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                sessions: BTreeMap::new(),
                links: HashMap::new(),
                unheard: HashSet::new(),
                due: BinaryHeap::new(),
                dues: 0,
                changes: 0,
                sockets: 0,
                random: SmallRng::seed_from_u64(seed),
            }),
            killed: CancellationToken::new(),
            tasks: TaskTracker::new(),
            workers: Arc::new(Semaphore::new(shared.timing.workers)),
            started_ms: shared.clock.now_ms(),
            wake: Notify::new(),
            name,
            shared,
            closed,
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// Does things as they fall due and takes what Discord says, until the run is killed.
    pub(super) async fn run(self: Arc<Self>, mut closed: mpsc::UnboundedReceiver<Closed>) {
        loop {
            let next = self.do_what_is_due();
            let wait = next.map(|at| std::time::Duration::from_millis(at.saturating_sub(self.now()).max(1)));
            let timer = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.killed.cancelled() => return,
                () = timer => {}
                () = self.wake.notified() => {}
                Some(gone) = closed.recv() => self.link_closed(gone),
            }
        }
    }

    /// Answers when the next thing falls due.
    fn do_what_is_due(&self) -> Option<u64> {
        let mut state = self.state();
        loop {
            let now = self.now();
            let Reverse((at, _, _)) = state.due.peek()?;
            if *at > now {
                return Some(*at);
            }
            let Reverse((at, _, due)) = state.due.pop()?;
            match due {
                Due::Player { session, guild, what } => self.player_due(&mut state, at, &session, guild, what),
                Due::Timeout { session } => self.step(&mut state, &session, Input::Tick { now_ms: now }),
                Due::Stats { session } => {
                    if state.sessions.contains_key(&session) {
                        let told = self.stats(&state, Some(&session)).to_string();
                        say(&mut state, &session, told);
                        let at = at.saturating_add(self.shared.timing.stats_ms);
                        self.schedule(&mut state, at, Due::Stats { session });
                    }
                }
            }
        }
    }

    pub(super) fn schedule(&self, state: &mut State, at: u64, due: Due) {
        state.dues += 1;
        let entry = Reverse((at, state.dues, due));
        // The sleeper only needs to know of what comes before that which it sleeps towards.
        let sooner = state.due.peek().is_none_or(|first| entry > *first);
        state.due.push(entry);
        if sooner {
            self.wake.notify_one();
        }
    }

    fn player_due(&self, state: &mut State, at: u64, session: &Arc<str>, guild: u64, what: Wake) {
        let now = self.now();
        let mut fx = Vec::new();
        let Some(player) = state
            .sessions
            .get_mut(session)
            .and_then(|entry| entry.players.get_mut(&guild))
        else {
            return;
        };
        if player.wake(now, what, &mut fx) && matches!(what, Wake::Update { .. }) {
            let at_ms = at.saturating_add(self.shared.timing.update_ms);
            fx.push(Effect::Wake { at_ms, what });
        }
        self.apply(state, session, guild, fx);
    }

    /// Changes a player, made if need be, and does what follows.
    pub(super) fn change<T>(
        &self,
        state: &mut State,
        session: &Arc<str>,
        guild: u64,
        act: impl FnOnce(&mut Player, u64, &mut Vec<Effect>) -> T,
    ) -> Option<T> {
        let now = self.now();
        let cleanup = self.shared.timing.cleanup_ms;
        let mut fx = Vec::new();
        state.changes += 1;
        let number = state.changes << 32;
        let players = &mut state.sessions.get_mut(session)?.players;
        let player = players
            .entry(guild)
            .or_insert_with(|| Player::new(guild, cleanup, number));
        let answer = act(player, now, &mut fx);
        self.apply(state, session, guild, fx);
        Some(answer)
    }

    fn apply(&self, state: &mut State, session: &Arc<str>, guild: u64, fx: Vec<Effect>) {
        for effect in fx {
            match effect {
                Effect::Event(event) => self.event(state, session, guild, event),
                Effect::Update => self.update(state, session, guild, None),
                Effect::Lost => self.update(state, session, guild, Some(false)),
                Effect::Started => {
                    for _ in 0..2 {
                        self.update(state, session, guild, None);
                    }
                    let Some(player) = state.sessions.get(session).and_then(|entry| entry.players.get(&guild)) else {
                        continue;
                    };
                    let what = Wake::Update {
                        start: player.start_number(),
                    };
                    let at = self.now().saturating_add(self.shared.timing.update_ms);
                    let session = Arc::clone(session);
                    self.schedule(state, at, Due::Player { session, guild, what });
                }
                Effect::Wake { at_ms, what } => {
                    let session = Arc::clone(session);
                    self.schedule(state, at_ms, Due::Player { session, guild, what });
                }
                Effect::Frames { begin, link, track } => {
                    self.shared.log.append(
                        if begin { "frames_begin" } else { "frames_end" },
                        json!({
                            "guild": guild.to_string(), "node": self.name, "session": &**session, "link": link, "track": track,
                        }),
                    );
                }
                Effect::Carries {
                    link,
                    at_ms,
                    end,
                    content,
                } => self.carries(state, session, guild, (link, at_ms, end), content),
                Effect::HangUp { link, at_ms } => {
                    self.carries(state, session, guild, (link, at_ms, End::Stopped), None);
                    state.links.remove(&link);
                    self.shared.switchboard.disconnect(link);
                    if !state.unheard.remove(&link) {
                        self.shared.audio.link_closed(guild, link, at_ms);
                    }
                }
            }
        }
    }

    /// What a connection carries from a moment on, for the ear and for the log.
    fn carries(
        &self,
        state: &State,
        session: &str,
        guild: u64,
        (link, at_ms, end): (u64, u64, End),
        content: Option<Content>,
    ) {
        if state.unheard.contains(&link) {
            return;
        }
        let mut told = json!({
            "guild": guild.to_string(), "node": self.name, "session": session, "link": link, "from_ms": at_ms,
            "end": end.word(), "track": null,
        });
        if let Some(content) = &content {
            told["track"] = content.track.as_str().into();
            told["title"] = content.title.as_str().into();
            told["position_ms"] = content.position_ms.into();
            told["speed"] = content.speed.into();
            told["volume"] = content.volume.into();
        }
        self.shared.log.append("audio", told);
        self.shared.audio.carries(guild, link, &self.name, at_ms, end, content);
    }

    fn event(&self, state: &mut State, session: &Arc<str>, guild: u64, mut event: Value) {
        if event["code"] == 1000 && self.shared.switches.borrow().echo_close {
            event["byRemote"] = json!(true);
        }
        let kind = match event["type"].as_str() {
            Some("TrackStartEvent") => "track_start",
            Some("TrackEndEvent") => "track_end",
            Some("TrackExceptionEvent") => "track_exception",
            Some("TrackStuckEvent") => "track_stuck",
            _ => "voice_closed",
        };
        let mut fields = json!({"guild": guild.to_string(), "node": self.name, "session": &**session});
        for key in ["reason", "code", "byRemote"] {
            if let Some(value) = event.get(key) {
                fields[key] = value.clone();
            }
        }
        if let Some(track) = event["track"]["info"].get("identifier") {
            fields["track"] = track.clone();
        }
        let lost = self.shared.loses_event(event["type"].as_str().unwrap_or_default());
        if lost {
            fields["lost"] = true.into();
        }
        self.shared.log.append(kind, fields);
        if lost {
            return;
        }
        match state.sessions.get_mut(session) {
            Some(entry) if self.shared.delays_event() => entry.late = Some(event.to_string()),
            _ => say(state, session, event.to_string()),
        }
    }

    pub(super) fn update(&self, state: &mut State, session: &Arc<str>, guild: u64, connected: Option<bool>) {
        let (now, time) = (self.now(), self.shared.wall_ms());
        let Some(entry) = state.sessions.get(session) else {
            return;
        };
        if !matches!(entry.phase, Phase::Open { .. }) {
            return;
        }
        if let Some(player) = entry.players.get(&guild) {
            let mut shown = player.state(now, time);
            if let Some(connected) = connected {
                shown["connected"] = json!(connected);
            }
            let update = json!({"op": "playerUpdate", "guildId": guild.to_string(), "state": shown});
            say(state, session, update.to_string());
        }
    }

    /// Destroys a player; `abrupt` as a dying node does.
    pub(super) fn destroy(&self, state: &mut State, session: &Arc<str>, guild: u64, abrupt: bool) {
        let now = self.now();
        let mut fx = Vec::new();
        let Some(entry) = state.sessions.get_mut(session) else {
            return;
        };
        if let Some(mut player) = entry.players.remove(&guild) {
            player.destroy(now, abrupt, &mut fx);
        }
        self.apply(state, session, guild, fx);
    }

    /// Everything dies at once: no frame, no event, no close.
    pub(super) fn die(&self) {
        let mut state = self.state();
        let now = self.now();
        let sessions: Vec<Arc<str>> = state.sessions.keys().cloned().collect();
        for id in sessions {
            let Some(entry) = state.sessions.get_mut(&id) else {
                continue;
            };
            entry.out = None;
            let client = std::mem::take(&mut entry.client);
            let players = std::mem::take(&mut entry.players);
            for (guild, mut player) in players {
                let mut fx = Vec::new();
                player.destroy(now, true, &mut fx);
                fx.retain(|effect| {
                    !matches!(
                        effect,
                        Effect::Event(_) | Effect::Update | Effect::Lost | Effect::Wake { .. }
                    )
                });
                self.apply(&mut state, &id, guild, fx);
            }
            self.tell("node_session_gone", &id, &client);
        }
        state.sessions.clear();
    }

    /// Says something to every socket.
    pub(super) fn tell_sockets(&self, out: &Out) {
        for session in self.state().sessions.values() {
            if let Some(socket) = &session.out {
                socket.send(out.clone());
            }
        }
    }

    /// `stats`; frames only for a session that has played long enough.
    pub(super) fn stats(&self, state: &State, session: Option<&str>) -> Value {
        let all = || state.sessions.values().flat_map(|entry| entry.players.values());
        let frames = session
            .and_then(|id| state.sessions.get(id))
            .filter(|entry| self.now().saturating_sub(entry.opened_ms) >= self.shared.timing.stats_ms.saturating_mul(2))
            .filter(|entry| entry.players.values().any(Player::is_playing))
            .map(|_| json!({"sent": 3000, "nulled": 0, "deficit": 0}));
        json!({
            "op": "stats",
            "players": all().count(),
            "playingPlayers": all().filter(|player| player.is_playing()).count(),
            "uptime": self.now().saturating_sub(self.started_ms),
            "memory": {"free": 120_000_000, "used": 80_000_000, "allocated": 200_000_000, "reservable": 1_000_000_000},
            "cpu": {"cores": 2, "systemLoad": 0.1, "lavalinkLoad": 0.05},
            "frameStats": frames,
        })
    }
}

/// Sends, or keeps it for a resume.
pub(super) fn say(state: &mut State, session: &Arc<str>, message: String) {
    let Some(entry) = state.sessions.get_mut(session) else {
        return;
    };
    for message in [Some(message), entry.late.take()].into_iter().flatten() {
        match (&entry.phase, &entry.out) {
            (Phase::Open { .. }, Some(out)) => out.send(Out::Text(message)),
            (Phase::Paused { .. }, _) => entry.held.push(message),
            (Phase::Open { .. } | Phase::Gone, _) => {}
        }
    }
}
