//! A player in JSON: what it tells in events, and what REST shows.

use serde_json::{Value, json};

use super::super::patch::Voice;
use super::{Effect, Link, Player};

impl Player {
    pub(super) fn closed_event(&self, code: u16, reason: &str, by_remote: bool) -> Effect {
        Effect::Event(json!({
            "op": "event", "type": "WebSocketClosedEvent", "guildId": self.guild.to_string(),
            "code": code, "reason": reason, "byRemote": by_remote,
        }))
    }

    pub(super) fn exception(&self, message: &str) -> Effect {
        let exception = json!({
            "message": message, "severity": "fault", "cause": "java.lang.NullPointerException",
            "causeStackTrace": "java.lang.NullPointerException\n\tat sim",
        });
        self.event(0, "TrackExceptionEvent", &[("exception", exception)])
    }

    pub(super) fn event(&self, now: u64, kind: &str, more: &[(&str, Value)]) -> Effect {
        let mut event = json!({
            "op": "event", "type": kind, "guildId": self.guild.to_string(), "track": self.track_json(now),
        });
        for (key, value) in more {
            event[*key] = value.clone();
        }
        Effect::Event(event)
    }

    fn track_json(&self, now: u64) -> Value {
        self.playing.as_ref().map_or(Value::Null, |playing| {
            playing.track.json(self.position(now), &playing.user_data)
        })
    }

    /// What it reports as its position. A paused player that pulled nothing yet says 0.
    fn position(&self, now: u64) -> u64 {
        self.playing.as_ref().map_or(0, |playing| {
            if !playing.head.ever_ran() {
                return 0;
            }
            let position = playing.head.reported(now);
            playing.track.length_ms.map_or(position, |length| position.min(length))
        })
    }

    /// `state`, with the wall clock `time_ms`.
    pub(in super::super) fn state(&self, now: u64, time_ms: i64) -> Value {
        let ping = match self.link {
            Link::Open { since_ms, .. } if now.saturating_sub(since_ms) < 41_250 => 0,
            Link::Open { .. } => 7,
            Link::None | Link::Dead { .. } => -1,
        };
        json!({"time": time_ms, "position": self.position(now), "connected": self.connected(), "ping": ping})
    }

    /// The player as REST shows it.
    pub(in super::super) fn json(&self, now: u64, time_ms: i64) -> Value {
        let voice = self.voice.as_ref().map_or_else(
            || json!({"token": "", "endpoint": "", "sessionId": "", "channelId": null}),
            Voice::json,
        );
        json!({
            "guildId": self.guild.to_string(), "track": self.track_json(now), "volume": self.volume,
            "paused": self.paused, "state": self.state(now, time_ms), "voice": voice, "filters": self.filters,
        })
    }
}

/// Discord's words for a voice close code.
pub(super) fn reason_of(code: u16) -> &'static str {
    match code {
        4004 => "Authentication failed.",
        4006 => "Session is no longer valid.",
        4011 => "Server not found.",
        4014 => "Disconnected.",
        4017 => "E2EE/DAVE protocol required",
        4021 => "Disconnected: rate limited.",
        4022 => "Disconnected: call terminated.",
        _ => "",
    }
}
