//! `/v4/…` but the WebSocket: who may ask, what is answered, and the shape of errors.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::life::Life;
use super::patch::Refusal;
use super::session::Phase;
use super::track::Track;
use super::{players, socket};

type Answer = Result<Response, Refusal>;
type Asked = Query<HashMap<String, String>>;

/// Everything a node answers.
pub(super) fn router(life: &Arc<Life>, password: &str) -> Router {
    let guard = Guard {
        life: Arc::clone(life),
        password: password.into(),
    };
    Router::new()
        .route("/version", get(|| async { "4.2.2" }))
        .route("/v4/info", get(|| async { Json(info()) }))
        .route("/v4/stats", get(stats))
        .route("/v4/loadtracks", get(load))
        .route("/v4/decodetrack", get(decode))
        .route("/v4/decodetracks", post(decode_all))
        .route("/v4/websocket", get(socket::upgrade))
        .route("/v4/sessions/{session}", patch(patch_session))
        .route("/v4/sessions/{session}/players", get(players::list))
        .route(
            "/v4/sessions/{session}/players/{guild}",
            get(players::one).patch(players::patch).delete(players::delete),
        )
        .fallback(async |uri: Uri| error(404, "Not Found", &uri))
        .method_not_allowed_fallback(async |uri: Uri| error(405, "Method Not Allowed", &uri))
        .layer(middleware::from_fn_with_state(guard, watch))
        .with_state(Arc::clone(life))
}

#[derive(Clone)]
struct Guard {
    life: Arc<Life>,
    password: Arc<str>,
}

/// A request's template and what it names.
#[derive(Debug, PartialEq, Eq)]
struct Route<'a> {
    template: &'static str,
    session: Option<&'a str>,
    guild: Option<&'a str>,
}

fn route(path: &str) -> Option<Route<'_>> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (template, session, guild) = match parts.as_slice() {
        ["version"] => ("/version", None, None),
        ["v4", "info"] => ("/v4/info", None, None),
        ["v4", "stats"] => ("/v4/stats", None, None),
        ["v4", "loadtracks"] => ("/v4/loadtracks", None, None),
        ["v4", "decodetrack"] => ("/v4/decodetrack", None, None),
        ["v4", "decodetracks"] => ("/v4/decodetracks", None, None),
        ["v4", "websocket"] => ("/v4/websocket", None, None),
        ["v4", "sessions", session] => ("/v4/sessions/{session}", Some(*session), None),
        ["v4", "sessions", session, "players"] => ("/v4/sessions/{session}/players", Some(*session), None),
        ["v4", "sessions", session, "players", guild] => {
            ("/v4/sessions/{session}/players/{guild}", Some(*session), Some(*guild))
        }
        _ => return None,
    };
    Some(Route {
        template,
        session,
        guild,
    })
}

/// Before and after every request: password, faults, a worker, the log, the version header.
async fn watch(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let began_ms = guard.life.now();
    let client = ["client-name", "user-agent"]
        .iter()
        .find_map(|name| request.headers().get(*name))
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut response = match route(uri.path()) {
        None => error(404, "Not Found", &uri),
        Some(known) => {
            guard.life.shared.count(&format!("{method} {}", known.template));
            let response = match refused(&guard, request.headers(), known.template) {
                Some(status) => status.into_response(),
                None => work(&guard.life, request, next, known.template == "/v4/websocket").await,
            };
            if !matches!(method, Method::GET) {
                guard.life.shared.log.append(
                    "node_rest",
                    json!({
                        "node": guard.life.name, "session": known.session, "guild": known.guild, "client": client,
                        "route": format!("{method} {}", known.template), "status": response.status().as_u16(),
                        "began_ms": began_ms,
                    }),
                );
            }
            response
        }
    };
    response
        .headers_mut()
        .insert("Lavalink-Api-Version", HeaderValue::from_static("4"));
    response
}

fn refused(guard: &Guard, headers: &HeaderMap, template: &str) -> Option<StatusCode> {
    match headers.get(header::AUTHORIZATION) {
        Some(given) if given.as_bytes() == guard.password.as_bytes() => None,
        Some(_) if template != "/v4/websocket" => Some(StatusCode::FORBIDDEN),
        Some(_) | None => Some(StatusCode::UNAUTHORIZED),
    }
}

/// Answers on one of the few workers. A client that goes away does not free its worker: only the answer does.
async fn work(life: &Arc<Life>, request: Request, next: Next, handshake: bool) -> Response {
    let mut switches = life.shared.switches.subscribe();
    if !handshake {
        drop(switches.wait_for(|switches| !switches.hang_rest).await);
        let failing = switches.borrow().fail_rest;
        if let Some(status) = failing {
            return match status {
                401 | 403 => StatusCode::from_u16(status).unwrap_or_default().into_response(),
                _ => error(status, "Internal Server Error", request.uri()),
            };
        }
    }
    let Ok(worker) = Arc::clone(&life.workers).acquire_owned().await else {
        return std::future::pending().await;
    };
    let killed = life.killed.clone();
    let answer = life.tasks.spawn(async move {
        let _worker = worker;
        killed.run_until_cancelled(next.run(request)).await
    });
    match answer.await {
        Ok(Some(response)) => response,
        // The connection is about to break with the node.
        Ok(None) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Lavalink's error JSON; `?trace=true` adds a trace.
pub(super) fn error(status: u16, message: &str, uri: &Uri) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut body = json!({
        "timestamp": super::wall_now_ms(), "status": status, "error": code.canonical_reason().unwrap_or_default(),
        "message": message, "path": uri.path(),
    });
    if uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "trace=true"))
    {
        body["trace"] = json!(format!(
            "org.springframework.web.server.ResponseStatusException: {status}\n\tat sim"
        ));
    }
    (code, Json(body)).into_response()
}

/// An answer, or the refusal as JSON.
pub(super) fn answer(result: Answer, uri: &Uri) -> Response {
    result.unwrap_or_else(|Refusal(status, message)| error(status, &message, uri))
}

async fn stats(State(life): State<Arc<Life>>) -> Json<Value> {
    let mut stats = life.stats(&life.state(), None);
    if let Some(stats) = stats.as_object_mut() {
        stats.remove("op");
    }
    Json(stats)
}

async fn load(State(life): State<Arc<Life>>, Query(asked): Asked, uri: Uri) -> Response {
    match asked.get("identifier") {
        Some(identifier) => Json(life.shared.catalogue.load(identifier).json()).into_response(),
        None => error(400, "Bad Request", &uri),
    }
}

async fn decode(Query(asked): Asked, uri: Uri) -> Response {
    match asked.get("encodedTrack").or_else(|| asked.get("track")) {
        Some(encoded) => answer(decoded(encoded).map(|track| Json(track).into_response()), &uri),
        None => error(400, "No track to decode provided", &uri),
    }
}

async fn decode_all(uri: Uri, body: Bytes) -> Response {
    match serde_json::from_slice::<Vec<String>>(&body) {
        Ok(list) if !list.is_empty() => {
            let tracks: Result<Vec<Value>, Refusal> = list.iter().map(|encoded| decoded(encoded)).collect();
            answer(tracks.map(|tracks| Json(tracks).into_response()), &uri)
        }
        Ok(_) => error(400, "No tracks to decode provided", &uri),
        Err(_) => error(400, "Bad Request", &uri),
    }
}

fn decoded(encoded: &str) -> Result<Value, Refusal> {
    Track::decode(encoded)
        .map(|(track, position)| track.json(position, &json!({})))
        .map_err(|why| Refusal(500, why.message().to_owned()))
}

async fn patch_session(State(life): State<Arc<Life>>, Path(id): Path<String>, uri: Uri, body: Bytes) -> Response {
    answer(change_session(&life, &id, &body), &uri)
}

fn change_session(life: &Life, id: &str, body: &[u8]) -> Answer {
    let mut state = life.state();
    let session = state
        .sessions
        .get_mut(id)
        .filter(|entry| matches!(entry.phase, Phase::Open { .. }))
        .ok_or_else(|| Refusal(404, "Session not found".to_owned()))?;
    let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
        return Err(Refusal::malformed());
    };
    let resuming = body
        .get("resuming")
        .map(|value| value.as_bool().ok_or_else(Refusal::malformed));
    let timeout = body
        .get("timeout")
        .map(|value| value.as_i64().ok_or_else(Refusal::malformed));
    let (resuming, timeout) = (resuming.transpose()?, timeout.transpose()?);
    session.resuming = resuming.unwrap_or(session.resuming);
    session.timeout_s = timeout.unwrap_or(session.timeout_s);
    Ok(Json(json!({"resuming": session.resuming, "timeout": session.timeout_s})).into_response())
}

fn info() -> Value {
    json!({
        "version": {"semver": "4.2.2", "major": 4, "minor": 2, "patch": 2, "preRelease": null, "build": null},
        "buildTime": 1_770_000_000_000_i64,
        "git": {"branch": "main", "commit": "d7d5a54", "commitTime": 1_770_000_000_000_i64},
        "jvm": "17.0.17",
        "lavaplayer": "2.2.6",
        "sourceManagers": [super::track::SOURCE],
        "filters": [
            "volume", "equalizer", "karaoke", "timescale", "tremolo", "vibrato", "distortion", "rotation", "channelMix",
            "lowPass",
        ],
        "plugins": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_names_its_session_and_guild() {
        let found = route("/v4/sessions/abc/players/5").unwrap();
        assert_eq!((found.session, found.guild), (Some("abc"), Some("5")));
        assert_eq!(found.template, "/v4/sessions/{session}/players/{guild}");
        assert_eq!(route("/v3/x"), None);
    }
}
