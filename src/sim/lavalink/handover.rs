//! Who owns a session: sockets that come, go, and come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng as _;
use serde_json::json;

use super::life::{Due, Life, Session, State, say};
use super::outbox::Outbox;
use super::session::{self, Input, Phase};

impl Life {
    /// Brings a session on and does what its machine says.
    pub(super) fn step(&self, state: &mut State, session: &Arc<str>, input: Input) {
        let Some(entry) = state.sessions.get_mut(session) else {
            return;
        };
        let (next, effect) = entry.phase.step(input);
        entry.phase = next;
        match effect {
            session::Effect::None | session::Effect::Refuse | session::Effect::Disarm => {}
            session::Effect::Hold | session::Effect::Arm => {
                if effect == session::Effect::Hold {
                    entry.out = None;
                    self.tell("node_session_paused", session, &entry.client);
                }
                if let Phase::Paused { until_ms: Some(at) } = next {
                    let session = Arc::clone(session);
                    self.schedule(state, at, Due::Timeout { session });
                }
            }
            session::Effect::Replay => self.replay(state, session),
            session::Effect::Destroy => {
                entry.out = None;
                self.tell("node_session_gone", session, &entry.client);
                let guilds: Vec<u64> = entry.players.keys().copied().collect();
                for guild in guilds {
                    self.destroy(state, session, guild, false);
                }
                state.sessions.remove(session);
            }
        }
    }

    fn replay(&self, state: &mut State, session: &Arc<str>) {
        let Some(entry) = state.sessions.get_mut(session) else {
            return;
        };
        self.tell("node_session_resumed", session, &entry.client);
        let held = std::mem::take(&mut entry.held);
        let guilds: Vec<u64> = entry.players.keys().copied().collect();
        say(state, session, ready(session, true));
        for message in held {
            say(state, session, message);
        }
        for guild in guilds {
            self.update(state, session, guild, None);
        }
    }

    pub(super) fn tell(&self, kind: &str, session: &str, client: &str) {
        self.shared
            .log
            .append(kind, json!({"node": self.name, "session": session, "client": client}));
    }

    /// A handshake names a session. Answers whether that cancelled its timer.
    pub(super) fn knock(&self, session: &str) -> bool {
        let mut state = self.state();
        let Some(entry) = state.sessions.get_mut(session) else {
            return false;
        };
        let (next, effect) = entry.phase.step(Input::Knocked);
        entry.phase = next;
        effect == session::Effect::Disarm
    }

    /// A socket is there: it takes its old session, or gets a new one. Answers the session and the socket's number.
    pub(super) fn connect(&self, wanted: Option<&str>, client: &str, out: Outbox) -> (Arc<str>, u64) {
        let mut state = self.state();
        state.sockets += 1;
        let socket = state.sockets;
        let switches = self.shared.switches.borrow().clone();
        let known = wanted.and_then(|wanted| state.sessions.get_key_value(wanted).map(|(id, _)| Arc::clone(id)));
        if let Some(id) = known
            && let Some(entry) = state.sessions.get_mut(&id)
        {
            let paused = matches!(entry.phase, Phase::Paused { .. });
            if switches.mute_socket {
                drop(out);
                return connect_mute(&mut state, &id, socket);
            }
            let until_ms = entry.until(self.now());
            if paused && !self.shared.loses_resume() {
                entry.out = Some(out);
                client.clone_into(&mut entry.client);
                self.step(&mut state, &id, Input::Connected { socket });
                return (id, socket);
            }
            self.step(&mut state, &id, Input::Missed { until_ms });
        }
        let id = self.open(&mut state, client, socket, out, switches.stats_first);
        (id, socket)
    }

    fn open(&self, state: &mut State, client: &str, socket: u64, out: Outbox, stats_first: bool) -> Arc<str> {
        let id: Arc<str> = (0..16)
            .map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[state.random.random_range(0..36)]))
            .collect::<String>()
            .into();
        let now = self.now();
        let session = Session {
            phase: Phase::Open { socket },
            resuming: false,
            timeout_s: 60,
            client: client.to_owned(),
            players: BTreeMap::new(),
            out: Some(out),
            held: Vec::new(),
            late: None,
            opened_ms: now,
        };
        state.sessions.insert(Arc::clone(&id), session);
        self.tell("node_session_open", &id, client);
        let told = self.stats(state, Some(&id)).to_string();
        let mut first = [ready(&id, false), told];
        if stats_first {
            first.reverse();
        }
        for message in first {
            say(state, &id, message);
        }
        let session = Arc::clone(&id);
        let at = now.saturating_add(self.shared.timing.stats_ms);
        self.schedule(state, at, Due::Stats { session });
        id
    }

    /// A socket ended.
    pub(super) fn socket_closed(&self, session: &Arc<str>, socket: u64) {
        let mut state = self.state();
        let Some(entry) = state.sessions.get(session) else {
            return;
        };
        let closed = Input::Closed {
            socket,
            resuming: entry.resuming,
            until_ms: entry.until(self.now()),
        };
        self.step(&mut state, session, closed);
    }
}

impl Life {
    /// Every session that waits to be resumed ends as if its time were up.
    pub(super) fn expire_paused(&self) {
        let mut state = self.state();
        let paused = |(id, entry): (&Arc<str>, &Session)| {
            let waits = matches!(entry.phase, Phase::Paused { .. });
            waits.then(|| Arc::clone(id))
        };
        let waiting: Vec<Arc<str>> = state.sessions.iter().filter_map(paused).collect();
        for session in waiting {
            if let Some(entry) = state.sessions.get_mut(&session) {
                entry.phase = Phase::Paused { until_ms: Some(0) };
            }
            let now_ms = self.now();
            self.step(&mut state, &session, Input::Tick { now_ms });
        }
    }
}

/// Two resumes at once: both are let in, the one before is told `ready` again, the newcomer nothing; yet it owns the session.
fn connect_mute(state: &mut State, id: &Arc<str>, socket: u64) -> (Arc<str>, u64) {
    if let Some(entry) = state.sessions.get_mut(id) {
        entry.phase = Phase::Open { socket };
        entry.held.clear();
    }
    say(state, id, ready(id, true));
    (Arc::clone(id), socket)
}

/// The first message.
fn ready(session: &str, resumed: bool) -> String {
    json!({"op": "ready", "resumed": resumed, "sessionId": session}).to_string()
}
