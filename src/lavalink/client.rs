//! The one file that names `lavalink_rs`: its HTTP client and its models of the wire.
//!
//! Its own request functions ignore the status and have no deadline, so requests are sent through the HTTP client
//! inside it and judged here. Where its models are stricter than real nodes, [`super::wire`] reads instead.

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lavalink_rs::http::Http;
use lavalink_rs::model::events::{Ready, Stats, TrackEndReason};
use lavalink_rs::model::http::{ResumingState, UpdatePlayer};
use lavalink_rs::model::player::ConnectionInfo;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::model::record::VoiceCredentials;
use crate::model::signal::EndReason;

use super::error::{CallError, TEXT_LIMIT};
use super::{BadNode, FrameStats, Identity, NodeConfig, NodeStats, PlayerPatch};

/// Largest answer read, in bytes. A playlist of a few thousand tracks is below 10 MB.
pub(super) const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// Longest wait for a TCP connection.
const CONNECT_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);
/// What a connection reads at once, bytes. Left alone it would grow with a long playlist and stay so while it is pooled.
const READ_BUFFER: usize = 16 * 1024;

/// The REST side of one node.
pub(super) struct Client {
    http: Http,
}

/// What came back, whatever the status.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Client {
    pub(super) fn new(config: &NodeConfig, identity: &Identity) -> Result<Self, BadNode> {
        let root = config.root()?;
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| BadNode::Tls(error.to_string()))?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = tls.https_or_http().enable_http1().wrap_connector(tcp);
        let http = Http {
            authority: config.authority()?,
            rest_address: format!("{root}/v4"),
            rest_address_versionless: root,
            headers: rest_headers(config, identity)?,
            request_client: hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                .http1_read_buf_exact_size(READ_BUFFER)
                .build(connector)
                .into(),
        };
        Ok(Self { http })
    }

    /// Sends one request; `path` begins with `/` and follows `/v4`. Has no deadline of its own.
    pub(super) async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, CallError> {
        let unsent = |error: &dyn std::error::Error| CallError::Unreachable(cut(&deepest(error)));
        let uri: Uri = self.http.path_to_uri(path, true).map_err(|error| unsent(&error))?;
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header(HOST, &self.http.authority);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.http.headers.clone());
            if body.is_some() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
        }
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(bytes.into()).map_err(|error| unsent(&error))?;
        let response = self
            .http
            .request_client
            .request(request)
            .await
            .map_err(|error| unsent(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_LIMIT);
        let body = body
            .collect()
            .await
            .map_err(|error| CallError::Unreachable(cut(&error.to_string())))?;
        Ok(Reply {
            status,
            body: body.to_bytes(),
        })
    }
}

fn rest_headers(config: &NodeConfig, identity: &Identity) -> Result<HeaderMap, BadNode> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, password(config)?);
    headers.insert(USER_AGENT, name(identity)?);
    Ok(headers)
}

/// The password as a header value that `Debug` does not show.
pub(super) fn password(config: &NodeConfig) -> Result<HeaderValue, BadNode> {
    let mut value = HeaderValue::from_str(config.password.expose_secret()).map_err(|_| BadNode::Password)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What tells this member on the wire, as a header value.
pub(super) fn name(identity: &Identity) -> Result<HeaderValue, BadNode> {
    HeaderValue::from_str(&identity.client_name()).map_err(|_| BadNode::Member)
}

/// The innermost cause says what happened; the outer ones only that something did.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Cuts a text for the log.
pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_LIMIT).collect()
}

/// The body that arms resuming.
pub(super) fn arming(timeout_s: u32) -> Value {
    let state = ResumingState {
        resuming: Some(true),
        timeout: Some(timeout_s),
    };
    serde_json::to_value(state).unwrap_or_default()
}

/// Whether the answer to [`arming`] says that it was done.
pub(super) fn is_armed(body: &[u8], timeout_s: u32) -> bool {
    let state: Option<ResumingState> = serde_json::from_slice(body).ok();
    state.is_some_and(|state| state.resuming == Some(true) && state.timeout == Some(timeout_s))
}

/// The body of a player update.
pub(super) fn patch_body(patch: &PlayerPatch) -> Value {
    let typed = UpdatePlayer {
        volume: patch.volume,
        position: patch.position_ms,
        paused: patch.paused,
        voice: patch.voice.as_ref().map(voice_body),
        ..UpdatePlayer::default()
    };
    let mut body = serde_json::to_value(typed).unwrap_or_else(|_| json!({}));
    // The model cannot say "no track", and would drop filters it does not know.
    if let Some(encoded) = &patch.track {
        body["track"] = json!({ "encoded": encoded });
    }
    if let Some(filters) = &patch.filters {
        body["filters"] = filters.clone();
    }
    body
}

fn voice_body(voice: &VoiceCredentials) -> ConnectionInfo {
    ConnectionInfo {
        endpoint: voice.endpoint.clone(),
        token: voice.token.clone(),
        session_id: voice.session_id.clone(),
        channel_id: Some(voice.channel.get().into()),
    }
}

/// `ready`, if it is one: the session's id, and whether it was resumed.
pub(super) fn ready(message: Value) -> Option<(String, bool)> {
    let ready: Ready = serde_json::from_value(message).ok()?;
    Some((ready.session_id, ready.resumed))
}

/// `stats`, if they are complete.
pub(super) fn stats(message: Value) -> Option<NodeStats> {
    let stats: Stats = serde_json::from_value(message).ok()?;
    let frames = stats.frame_stats.map(|frames| FrameStats {
        sent: frames.sent,
        nulled: frames.nulled,
        // Below zero when more were sent than were due.
        deficit: u64::try_from(frames.deficit).unwrap_or(0),
    });
    let missing = frames.map_or(0, |frames| {
        let missing = frames.deficit.saturating_add(frames.nulled);
        missing.saturating_mul(1000) / frames.sent.saturating_add(missing).max(1)
    });
    Some(NodeStats {
        players: stats.players,
        playing: stats.playing_players,
        uptime_ms: stats.uptime,
        cpu: stats.cpu.system_load,
        frames_missing_permille: u32::try_from(missing).unwrap_or(1000),
        frames,
    })
}

/// Why a track ended, if it is one of the known words.
pub(super) fn end_reason(word: &Value) -> Option<EndReason> {
    let reason: TrackEndReason = serde_json::from_value(word.clone()).ok()?;
    Some(match reason {
        TrackEndReason::Finished => EndReason::Finished,
        TrackEndReason::LoadFailed => EndReason::LoadFailed,
        TrackEndReason::Stopped => EndReason::Stopped,
        TrackEndReason::Replaced => EndReason::Replaced,
        TrackEndReason::Cleanup => EndReason::Cleanup,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::ChannelId;

    #[test]
    fn a_patch_says_only_what_changes_and_null_stops() {
        assert_eq!(patch_body(&PlayerPatch::default()), json!({}));
        let stop = PlayerPatch {
            track: Some(None),
            ..PlayerPatch::default()
        };
        assert_eq!(patch_body(&stop), json!({ "track": { "encoded": null } }));
        let whole = PlayerPatch {
            track: Some(Some("QAA=".into())),
            position_ms: Some(5),
            paused: Some(false),
            volume: Some(80),
            filters: Some(json!({ "lowPass": { "smoothing": 20.0 }, "future": 1 })),
            voice: Some(VoiceCredentials {
                session_id: "s".into(),
                token: "t".into(),
                endpoint: "e:443".into(),
                channel: ChannelId::new(9),
            }),
            no_replace: false,
        };
        assert_eq!(
            patch_body(&whole),
            json!({
                "track": { "encoded": "QAA=" }, "position": 5, "paused": false, "volume": 80,
                "filters": { "lowPass": { "smoothing": 20.0 }, "future": 1 },
                "voice": { "sessionId": "s", "token": "t", "endpoint": "e:443", "channelId": "9" }
            })
        );
    }

    #[test]
    fn arming_is_believed_only_when_the_answer_says_so() {
        assert_eq!(arming(120), json!({ "resuming": true, "timeout": 120 }));
        assert!(is_armed(br#"{"resuming":true,"timeout":120,"more":1}"#, 120));
        let answers: [&[u8]; 5] = [
            b"",
            br#"{"resuming":false,"timeout":120}"#,
            br#"{"resuming":true,"timeout":60}"#,
            br#"{"timestamp":1,"status":404,"error":"Not Found","message":"Session not found","path":"/"}"#,
            b"[]",
        ];
        for answer in answers {
            assert!(!is_armed(answer, 120), "{}", String::from_utf8_lossy(answer));
        }
    }

    #[test]
    fn missing_frames_count_against_a_node() {
        let message = |frames: Value| {
            json!({ "op": "stats", "players": 3, "playingPlayers": 2, "uptime": 9, "frameStats": frames,
                "memory": { "free": 1, "used": 1, "allocated": 1, "reservable": 1 },
                "cpu": { "cores": 2, "systemLoad": 0.25, "lavalinkLoad": 0.1 } })
        };
        let seen = |frames| stats(message(frames)).unwrap().frames_missing_permille;
        assert_eq!(seen(Value::Null), 0);
        assert_eq!(seen(json!({ "sent": 2700, "nulled": 0, "deficit": 300 })), 100);
        assert_eq!(seen(json!({ "sent": 3000, "nulled": 0, "deficit": -5 })), 0);
        let frames = stats(message(json!({ "sent": 3005, "nulled": 2, "deficit": -7 })))
            .unwrap()
            .frames;
        let expected = FrameStats {
            sent: 3005,
            nulled: 2,
            deficit: 0,
        };
        assert_eq!(frames, Some(expected), "more than were due are not missing");
        assert_eq!(stats(json!({ "op": "stats" })), None);
    }
}
