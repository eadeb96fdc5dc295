//! `/v4/sessions/{s}/players…`: reading, changing and destroying players.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::catalogue::Loaded;
use super::life::{self, Life};
use super::patch::{Key, Patch, Refusal, Voice};
use super::player::Start;
use super::rest::answer;
use super::session::Phase;
use super::track::Track;
use crate::sim::voice::{Answer, Minted};

/// `GET …/players`
pub(super) async fn list(State(life): State<Arc<Life>>, Path(session): Path<String>, uri: Uri) -> Response {
    let (now, time) = (life.now(), life.shared.wall_ms());
    let state = life.state();
    let players = open(&state, &session).map(|id| {
        let players = state.sessions.get(&id).map(|entry| &entry.players);
        let players: Vec<Value> = players
            .into_iter()
            .flat_map(|players| players.values())
            .map(|player| player.json(now, time))
            .collect();
        Json(players).into_response()
    });
    answer(players, &uri)
}

/// `GET …/players/{g}`
pub(super) async fn one(State(life): State<Arc<Life>>, Path(at): Path<(String, String)>, uri: Uri) -> Response {
    let found = located(&life, &at).and_then(|(session, guild)| {
        let state = life.state();
        let player = state.sessions.get(&session).and_then(|entry| entry.players.get(&guild));
        player
            .map(|player| Json(player.json(life.now(), life.shared.wall_ms())).into_response())
            .ok_or_else(|| Refusal(404, "Player not found".to_owned()))
    });
    answer(found, &uri)
}

/// `DELETE …/players/{g}`: 204, whether or not there was one.
pub(super) async fn delete(State(life): State<Arc<Life>>, Path(at): Path<(String, String)>, uri: Uri) -> Response {
    let done = located(&life, &at).map(|(session, guild)| {
        life.destroy(&mut life.state(), &session, guild, false);
        StatusCode::NO_CONTENT.into_response()
    });
    answer(done, &uri)
}

/// `PATCH …/players/{g}?noReplace=`
pub(super) async fn patch(
    State(life): State<Arc<Life>>,
    Path(at): Path<(String, String)>,
    Query(asked): Query<HashMap<String, String>>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let no_replace = asked.get("noReplace").is_some_and(|value| value == "true");
    answer(change(&life, &at, no_replace, &body).await, &uri)
}

fn open(state: &life::State, session: &str) -> Result<Arc<str>, Refusal> {
    state
        .sessions
        .get_key_value(session)
        .filter(|(_, entry)| matches!(entry.phase, Phase::Open { .. }))
        .map(|(id, _)| Arc::clone(id))
        .ok_or_else(no_session)
}

fn no_session() -> Refusal {
    Refusal(404, "Session not found".to_owned())
}

fn located(life: &Life, at: &(String, String)) -> Result<(Arc<str>, u64), Refusal> {
    let session = open(&life.state(), &at.0)?;
    Ok((session, at.1.parse().map_err(|_| Refusal::malformed())?))
}

async fn change(life: &Life, at: &(String, String), no_replace: bool, body: &[u8]) -> Result<Response, Refusal> {
    let (session, guild) = located(life, at)?;
    let mut patch = Patch::read(body)?;
    // The player exists from here on, whatever becomes of the request.
    let gate = life
        .change(&mut life.state(), &session, guild, |player, _, _| {
            Arc::clone(&player.gate)
        })
        .ok_or_else(no_session)?;
    if let Some(voice) = patch.voice.take() {
        let _alone = gate.lock_owned().await;
        connect(life, &session, guild, voice).await?;
    }
    let mut state = life.state();
    life.change(&mut state, &session, guild, |player, now, fx| {
        if !patch.names_track() {
            if let Some(paused) = patch.paused {
                player.pause(now, paused, fx);
            }
            if let Some(user_data) = patch.user_data.clone() {
                player.set_user_data(user_data);
            }
        }
        if let Some(volume) = patch.volume {
            player.set_volume(now, volume, fx);
        }
        if !patch.names_track() {
            if let Some(position) = patch.position {
                player.seek(now, position, fx);
            }
            match patch.end_time {
                Key::Absent => {}
                Key::Null => player.set_end_time(now, None, fx),
                Key::Is(end) => player.set_end_time(now, Some(end), fx),
            }
        }
        if let Some(filters) = patch.filters.clone() {
            player.set_filters(now, filters, fx);
        }
    })
    .ok_or_else(no_session)?;
    let wall = life.shared.wall_ms();
    let shown = life.change(&mut state, &session, guild, |player, now, fx| {
        if patch.names_track() && !(no_replace && player.has_track()) {
            let paused = patch.paused.unwrap_or(false);
            if let Some(start) = resolve(life, patch)? {
                player.play(now, start, fx);
            } else {
                player.pause(now, paused, fx);
                player.stop(now, fx);
            }
        }
        Ok(player.json(now, wall))
    });
    let shown: Value = shown.ok_or_else(no_session)??;
    Ok(Json(shown).into_response())
}

/// The track a body names; `None` to stop.
fn resolve(life: &Life, patch: Patch) -> Result<Option<Start>, Refusal> {
    let (track, embedded) = match (patch.encoded, patch.identifier) {
        (Key::Is(encoded), _) => Track::decode(&encoded).map_err(|why| Refusal(500, why.message().to_owned()))?,
        (Key::Null | Key::Absent, Some(identifier)) => match life.shared.catalogue.load(&identifier) {
            Loaded::Track(track) => (track, 0),
            Loaded::Playlist(..) | Loaded::Search(_) => {
                return Err(Refusal::bad("Cannot play a playlist or search result"));
            }
            Loaded::Empty => return Err(Refusal::bad("No matches found for identifier")),
            Loaded::Error => return Err(Refusal::bad("Something broke when loading the track.")),
        },
        (Key::Null | Key::Absent, None) => return Ok(None),
    };
    Ok(Some(Start {
        track,
        user_data: patch.user_data.unwrap_or_else(|| json!({})),
        position: patch.position.unwrap_or(embedded),
        end_time: match patch.end_time {
            Key::Is(end) => Some(end),
            Key::Null | Key::Absent => None,
        },
        paused: patch.paused.unwrap_or(false),
    }))
}

/// Connects to Discord's voice server, unless the connection is there and alive.
async fn connect(life: &Life, session: &Arc<str>, guild: u64, voice: Voice) -> Result<(), Refusal> {
    let channel: u64 = voice
        .channel_id
        .parse()
        .map_err(|_| Refusal(500, format!("For input string: \"{}\"", voice.channel_id)))?;
    let needed = life.change(&mut life.state(), session, guild, |player, _, _| {
        player.needs_connection(&voice)
    });
    if !needed.ok_or_else(no_session)? {
        return Ok(());
    }
    let (swallow, refuse) = {
        let switches = life.shared.switches.borrow();
        (switches.swallow_voice, switches.refuse_voice)
    };
    if swallow {
        // The thread waits for a connection that never comes, and for ever.
        return std::future::pending().await;
    }
    if refuse {
        return Err(Refusal(500, "Failed to connect to voice server".to_owned()));
    }
    tokio::time::sleep(Duration::from_millis(life.shared.timing.voice_connect_ms)).await;
    let offered = Minted {
        token: voice.token.clone(),
        endpoint: voice.endpoint.clone(),
        session_id: voice.session_id.clone(),
        channel,
    };
    // Discord's verdict on the new connection must not be heard before the player has it.
    let mut state = life.state();
    if !state.sessions.contains_key(session) {
        return Err(no_session());
    }
    let (link, answer) = life.shared.switchboard.connect(guild, &offered, life.closed.clone());
    let accepted = !matches!(answer, Answer::Refused(_));
    life.own_link(&mut state, session, guild, link, answer);
    life.change(&mut state, session, guild, |player, now, fx| {
        player.connect(now, voice, link, accepted, fx);
    });
    Ok(())
}
