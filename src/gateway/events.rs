//! What a shard does with each frame it received.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeSeed as _;
use tokio::time::Instant;
use twilight_model::gateway::OpCode;
use twilight_model::gateway::event::{GatewayEvent, GatewayEventDeserializer};

use super::connection::Connection;
use super::reconnect::Ended;
use super::route::{Routed, route};
use super::shard::{PATIENCE, Task};
use super::tally::Kind;
use super::{FromShard, ShardState, lock};
use crate::model::ids::GuildId;
use crate::model::signal::Signal;

/// Most kinds of malformed frames that are logged, once each.
const KINDS_LIMIT: usize = 64;

#[derive(Deserialize)]
struct Frame<T> {
    d: T,
}

#[derive(Deserialize)]
struct Hello {
    heartbeat_interval: u64,
}

/// READY without what is not needed, so that a new field cannot keep the bot out.
#[derive(Deserialize)]
struct Ready {
    guilds: Vec<ReadyGuild>,
}

#[derive(Deserialize)]
struct ReadyGuild {
    id: GuildId,
}

type Header = GatewayEventDeserializer<'static>;

/// As `twilight_gateway::parse`, which would look for the header again. `None` when it cannot be read.
fn read(header: Header, text: String) -> Option<GatewayEvent> {
    let mut bytes = text.into_bytes();
    let mut json = simd_json::Deserializer::from_slice(&mut bytes).ok()?;
    header.deserialize(&mut json).ok()
}

impl Task {
    /// Takes one frame, after twilight did. Ends the connection when it returns `Some`.
    pub(super) fn text(&mut self, connection: &mut Connection, text: String) -> Option<Ended> {
        let Some(header) = GatewayEventDeserializer::from_json(&text) else {
            self.note_malformed("frame");
            return None;
        };
        match OpCode::from(header.op()) {
            Some(OpCode::Hello) => self.hello(connection, &text),
            Some(OpCode::Reconnect) => return Some(Ended::Asked),
            Some(OpCode::InvalidSession) => {
                let resumable = serde_json::from_str::<Frame<bool>>(&text).is_ok_and(|frame| frame.d);
                return Some(Ended::Invalid { resumable });
            }
            Some(OpCode::Dispatch) => match (header.sequence(), header.event_type()) {
                (Some(seq), Some(_)) => {
                    let header = header.into_owned();
                    self.dispatch(connection, seq, header, text);
                }
                (_, _) => self.note_malformed("dispatch"),
            },
            _ => {}
        }
        None
    }

    fn hello(&mut self, connection: &mut Connection, text: &str) {
        // 41.25 s is what Discord says in practice; an unreadable HELLO is not one that twilight accepted.
        let interval = serde_json::from_str::<Frame<Hello>>(text).map_or(41_250, |frame| frame.d.heartbeat_interval);
        lock(&self.shared.sends).connected(Duration::from_millis(interval));
        if std::mem::replace(&mut connection.greeted, true) {
            self.lost = Some(Ended::Closed(None).word());
        }
        if connection.resuming {
            lock(&self.shared.counts).resumes += 1;
            connection.overdue = Some(Instant::now() + PATIENCE);
            self.set_state(ShardState::Resuming);
        } else {
            connection.overdue = None;
            self.set_state(ShardState::Identifying);
        }
    }

    fn dispatch(&mut self, connection: &mut Connection, seq: u64, header: Header, text: String) {
        let kind = Kind::of(header.event_type().unwrap_or_default());
        self.shared.tally.arrived(kind);
        if kind == Kind::Ready {
            return self.on_ready(connection, seq, &text);
        }
        if kind == Kind::Resumed {
            self.shared.watermark.receive(seq);
            return self.ready(connection, true);
        }
        if connection.overdue.is_some() {
            // A long replay is not silence.
            connection.overdue = Some(Instant::now() + PATIENCE);
        }
        if !kind.is_parsed() {
            return self.shared.watermark.receive(seq);
        }
        match read(header, text) {
            Some(GatewayEvent::Dispatch(_, event)) => {
                let routed = route(event, self.spec.bot, &mut lock(&self.shared.voices));
                self.hand_on(seq, routed, connection.overdue.is_none());
            }
            Some(_) => self.shared.watermark.receive(seq),
            None => {
                self.note_malformed(kind.name());
                self.shared.watermark.receive(seq);
            }
        }
    }

    fn on_ready(&mut self, connection: &mut Connection, seq: u64, text: &str) {
        let (Some(session), Some(url)) = (connection.shard.session(), connection.shard.resume_url()) else {
            return self.note_malformed("READY");
        };
        let (id, url) = (session.id().to_owned(), url.to_owned());
        let guilds = serde_json::from_str::<Frame<Ready>>(text).map_or_else(|_| Vec::new(), |frame| frame.d.guilds);
        self.shared.watermark.restart(seq);
        lock(&self.shared.voices).restart(guilds.into_iter().map(|guild| guild.id));
        self.new_session(id, url);
        self.ready(connection, false);
    }

    fn hand_on(&mut self, seq: u64, routed: Routed, live: bool) {
        let message = match routed {
            Routed::Nothing => return self.shared.watermark.receive(seq),
            // What it says is in the cache already.
            Routed::Guild(guild, Signal::MemberVoice { .. }) if !self.shared.hears(guild) => {
                return self.shared.watermark.receive(seq);
            }
            Routed::Guild(guild, signal) => {
                let seen = self.shared.watermark.ticket(seq);
                if std::mem::take(&mut self.times) {
                    seen.timed(Instant::now());
                }
                FromShard::Guild { guild, signal, seen }
            }
            Routed::Interaction(interaction) => FromShard::Interaction {
                interaction,
                seen: self.shared.watermark.ticket(seq),
                received_ms: (self.spec.now_ms)(),
                live,
            },
        };
        lock(&self.shared.counts).events += 1;
        self.outbox.push(message);
    }

    /// Counted always, logged once by kind, never with its content: an interaction holds its token.
    pub(super) fn note_malformed(&mut self, kind: &str) {
        lock(&self.shared.counts).malformed += 1;
        if self.malformed.len() < KINDS_LIMIT && self.malformed.insert(kind.to_owned()) {
            tracing::warn!(
                shard = self.spec.shard.number(),
                kind,
                "cannot read an event from Discord"
            );
        }
    }
}
