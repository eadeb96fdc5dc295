//! Reads what a node sends, and believes as little of it as possible. Pure.
//!
//! Whatever cannot be understood is an [`Odd`]: it is counted and logged once for each kind, and changes nothing.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::ids::{ChannelId, GuildId};
use crate::model::record::VoiceCredentials;
use crate::model::signal::{NodeEvent, PlayerSeen, Severity};
use crate::model::track::{TITLE_LIMIT, Track};

use super::clock::NodeClock;
use super::{Loaded, NodeStats, client};

/// The length a node gives a stream.
const NO_LENGTH: u64 = i64::MAX.cast_unsigned();
/// Longest kind kept of an [`Odd`], in characters.
const KIND_LIMIT: usize = 40;
/// Longest forms of a track that are taken, in bytes. A full queue of the longest stays below the 16 MB that a document of
/// MongoDB may have; in practice all of a track is one kilobyte, and addresses with signatures in them two.
const ENCODED_LIMIT: usize = 8 * 1_024;
const IDENTIFIER_LIMIT: usize = 2 * 1_024;
/// Longest name of a source, in characters; the rest is cut off.
const SOURCE_LIMIT: usize = 40;
/// Longer addresses are left out.
const URI_LIMIT: usize = 2 * 1_024;
const ARTWORK_LIMIT: usize = 1_024;

/// One message of the socket.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame {
    Ready { session_id: String, resumed: bool },
    Stats(NodeStats),
    Guild { guild: GuildId, event: NodeEvent },
}

/// A message that could not be understood, by its kind: `op` or the event's type, never its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Odd(pub(super) String);

/// A player as `GET players` lists it, with all that is needed to carry it to another session.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlayerFound {
    pub(super) guild: GuildId,
    pub(super) seen: PlayerSeen,
    pub(super) filters: Option<Value>,
    /// `None` when the node does not say all of it.
    pub(super) voice: Option<VoiceCredentials>,
}

/// Reads one message received at `now_ms`.
pub(super) fn frame(text: &str, now_ms: i64, clock: &mut NodeClock) -> Result<Frame, Odd> {
    let message: Value = serde_json::from_str(text).map_err(|_| Odd("not JSON".into()))?;
    let op = message["op"].as_str().unwrap_or("no op").to_owned();
    let odd = || Odd(op.chars().filter(|c| !c.is_control()).take(KIND_LIMIT).collect());
    match op.as_str() {
        "ready" => client::ready(message)
            .map(|(session_id, resumed)| Frame::Ready { session_id, resumed })
            .ok_or_else(odd),
        "stats" => client::stats(message).map(Frame::Stats).ok_or_else(odd),
        "playerUpdate" => {
            let guild = guild(&message["guildId"]).ok_or_else(odd)?;
            let state = &message["state"];
            let event = NodeEvent::Update {
                position_ms: number(&state["position"]).ok_or_else(odd)?,
                at_ms: clock.ours(number(&state["time"]), now_ms),
                connected: state["connected"].as_bool().unwrap_or(false),
            };
            Ok(Frame::Guild { guild, event })
        }
        "event" => event(&message),
        _ => Err(odd()),
    }
}

fn event(message: &Value) -> Result<Frame, Odd> {
    let kind = message["type"].as_str().unwrap_or("event without type");
    let odd = || Odd(kind.chars().filter(|c| !c.is_control()).take(KIND_LIMIT).collect());
    let guild = guild(&message["guildId"]).ok_or_else(odd)?;
    let identifier = || {
        message["track"]["info"]["identifier"]
            .as_str()
            .map(clean)
            .ok_or_else(odd)
    };
    let event = match kind {
        "TrackStartEvent" => NodeEvent::Started {
            identifier: identifier()?,
        },
        "TrackEndEvent" => NodeEvent::Ended {
            identifier: identifier()?,
            reason: client::end_reason(&message["reason"]).ok_or_else(odd)?,
        },
        "TrackExceptionEvent" => NodeEvent::Failed {
            identifier: identifier()?,
            message: message["exception"]["message"].as_str().map(client::cut),
            severity: match message["exception"]["severity"].as_str() {
                Some("common") => Severity::Common,
                Some("suspicious") => Severity::Suspicious,
                Some(_) | None => Severity::Fault,
            },
        },
        "TrackStuckEvent" => NodeEvent::Stuck {
            identifier: identifier()?,
        },
        "WebSocketClosedEvent" => NodeEvent::VoiceClosed {
            code: number(&message["code"])
                .and_then(|code| u16::try_from(code).ok())
                .ok_or_else(odd)?,
            by_remote: message["byRemote"].as_bool().unwrap_or(false),
        },
        _ => return Err(odd()),
    };
    Ok(Frame::Guild { guild, event })
}

/// Reads one player, answered at `now_ms`.
pub(super) fn player(value: &Value, now_ms: i64) -> Option<PlayerFound> {
    let state = &value["state"];
    let found = &value["track"];
    Some(PlayerFound {
        guild: guild(&value["guildId"])?,
        seen: PlayerSeen {
            track: track(found),
            position_ms: number(&state["position"])
                .or_else(|| number(&found["info"]["position"]))
                .unwrap_or(0),
            at_ms: now_ms,
            paused: value["paused"].as_bool().unwrap_or(false),
            volume: number(&value["volume"])
                .and_then(|volume| u16::try_from(volume).ok())
                .unwrap_or(100),
            connected: state["connected"].as_bool().unwrap_or(false),
        },
        filters: value["filters"]
            .as_object()
            .filter(|set| !set.is_empty())
            .map(|set| Value::Object(set.clone())),
        voice: voice(&value["voice"]),
    })
}

fn voice(value: &Value) -> Option<VoiceCredentials> {
    let text = |key: &str| value[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Some(VoiceCredentials {
        session_id: text("sessionId")?,
        token: text("token")?,
        endpoint: text("endpoint")?,
        channel: ChannelId::new_checked(number(&value["channelId"])?)?,
    })
}

/// Reads a list of players; those that cannot be read are left out and counted in the second value.
pub(super) fn players(body: &[u8], now_ms: i64) -> Option<(Vec<PlayerFound>, usize)> {
    let list: Vec<Value> = serde_json::from_slice(body).ok()?;
    let found: Vec<_> = list.iter().filter_map(|value| player(value, now_ms)).collect();
    let unread = list.len() - found.len();
    Some((found, unread))
}

/// Whether a track could not be kept, because what it is played by is too long.
fn is_too_long(value: &Value) -> bool {
    let longer = |value: &Value, limit| value.as_str().is_some_and(|text| text.len() > limit);
    longer(&value["encoded"], ENCODED_LIMIT) || longer(&value["info"]["identifier"], IDENTIFIER_LIMIT)
}

/// Reads a track. `None` if what is needed to play it or to tell it from others is missing or too long.
pub(super) fn track(value: &Value) -> Option<Track> {
    if is_too_long(value) {
        tracing::debug!("a track is too long to be kept");
        return None;
    }
    let info = &value["info"];
    let text = |key: &str| info[key].as_str().map(clean).filter(|text| !text.is_empty());
    let stream = info["isStream"].as_bool().unwrap_or(false);
    Some(Track {
        encoded: value["encoded"].as_str().filter(|text| !text.is_empty())?.to_owned(),
        identifier: text("identifier")?.into(),
        source: text("sourceName")
            .unwrap_or_default()
            .chars()
            .take(SOURCE_LIMIT)
            .collect(),
        title: shorten(&text("title").unwrap_or_default()).into(),
        author: shorten(&text("author").unwrap_or_default()).into(),
        uri: text("uri").filter(|uri| uri.len() <= URI_LIMIT).map(Into::into),
        artwork: text("artworkUrl")
            .filter(|artwork| artwork.len() <= ARTWORK_LIMIT)
            .map(Into::into),
        length_ms: number(&info["length"]).filter(|length| !stream && *length < NO_LENGTH),
        seekable: !stream && info["isSeekable"].as_bool().unwrap_or(false),
    })
}

/// The answer to `loadtracks`, its tracks unread: one is read after the other, so that what a long playlist costs in passing
/// is one track.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(rename = "loadType", borrow)]
    sort: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Playlist<'a> {
    #[serde(default)]
    info: Value,
    #[serde(borrow)]
    tracks: Vec<&'a RawValue>,
}

/// Reads the answer to `loadtracks`. `None` if it is none.
pub(super) fn loaded(body: &[u8]) -> Option<Loaded> {
    let Answer { sort, data } = serde_json::from_slice(body).ok()?;
    let one = |raw: &&RawValue| track(&serde_json::from_str(raw.get()).ok()?);
    let data = data.map_or("null", RawValue::get);
    Some(match &*sort {
        "track" => {
            let value = serde_json::from_str(data).ok()?;
            if is_too_long(&value) {
                // Another node would say the same.
                return Some(Loaded::Failed {
                    message: Some("what the node says of the track is too long".to_owned()),
                });
            }
            Loaded::Track(track(&value)?)
        }
        "playlist" => {
            let Playlist { info, tracks } = serde_json::from_str(data).ok()?;
            Loaded::Playlist {
                name: shorten(&info["name"].as_str().map(clean).unwrap_or_default()),
                selected: number(&info["selectedTrack"]).and_then(|at| usize::try_from(at).ok()),
                tracks: tracks.iter().filter_map(one).collect(),
            }
        }
        "search" => {
            let tracks: Vec<&RawValue> = serde_json::from_str(data).ok()?;
            Loaded::Search(tracks.iter().filter_map(one).collect())
        }
        "empty" => Loaded::Nothing,
        "error" => {
            let data: Value = serde_json::from_str(data).ok()?;
            Loaded::Failed {
                message: data["message"].as_str().map(client::cut),
            }
        }
        _ => return None,
    })
}

fn guild(value: &Value) -> Option<GuildId> {
    GuildId::new_checked(number(value)?)
}

/// A whole number that is not negative, as a number, a float or a text.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float's cast saturates"
)]
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number
            .as_u64()
            .or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64)),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Without NULs, which one of the stores cannot keep.
fn clean(text: &str) -> String {
    text.replace('\0', "")
}

fn shorten(text: &str) -> String {
    if text.chars().nth(TITLE_LIMIT).is_none() {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(TITLE_LIMIT - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
