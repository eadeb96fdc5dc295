//! The server under examination: requests, sockets, identifiers of tracks, and voice credentials.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::socket::Socket;
use crate::target::{Sound, Tracks};

/// A Lavalink by its address.
pub(crate) struct Bench {
    pub(crate) url: String,
    pub(crate) password: String,
    pub(crate) tracks: Tracks,
    pub(crate) sound: Sound,
    http: reqwest::Client,
    guilds: AtomicU64,
}

/// What a server answered to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) api_version: Option<String>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

/// A session with its socket and a guild that nothing else uses.
pub(crate) struct Session {
    pub(crate) socket: Socket,
    pub(crate) id: String,
    pub(crate) resumed: bool,
    pub(crate) guild: u64,
}

impl Bench {
    pub(crate) fn new(url: String, password: String, tracks: Tracks, sound: Sound) -> Self {
        Self {
            url,
            password,
            tracks,
            sound,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            guilds: AtomicU64::new(1_000),
        }
    }

    pub(crate) fn has_sound(&self) -> bool {
        !matches!(self.sound, Sound::None)
    }

    /// A guild of one's own.
    pub(crate) fn guild(&self) -> u64 {
        self.guilds.fetch_add(1, Ordering::Relaxed)
    }

    /// A request with these headers instead of the password.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        authorization: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = tokio::time::timeout(crate::socket::LIMIT, request.send()).await;
        let answer = answer.with_context(|| format!("{method} {path} is not answered"))??;
        let version = answer.headers().get("Lavalink-Api-Version");
        let api_version = version.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        Ok(Answer {
            status,
            api_version,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        })
    }

    /// A request with the password.
    pub(crate) async fn rest(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        self.ask(method, path, Some(&self.password), body).await
    }

    /// Opens a socket with these headers.
    pub(crate) async fn handshake(&self, headers: &[(&'static str, &str)]) -> anyhow::Result<Result<Socket, u16>> {
        let url = format!("{}/v4/websocket", self.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse()?);
        }
        match connect_async(request).await {
            Ok((stream, response)) => Ok(Ok(Socket::new(stream, response.headers().clone()))),
            Err(Error::Http(refused)) => Ok(Err(refused.status().as_u16())),
            Err(error) => Err(error.into()),
        }
    }

    /// A session, a resumed one if `wanted` can be had.
    pub(crate) async fn session(&self, wanted: Option<&str>) -> anyhow::Result<Session> {
        let mut headers = vec![
            ("Authorization", self.password.as_str()),
            ("User-Id", "170939974227591168"),
            ("Client-Name", "rows/1"),
        ];
        headers.extend(wanted.map(|id| ("Session-Id", id)));
        let opened = self.handshake(&headers).await?;
        let mut socket = opened.map_err(|status| anyhow::anyhow!("the handshake is refused with {status}"))?;
        let ready = socket.next("ready").await?;
        Ok(Session {
            id: ready["sessionId"]
                .as_str()
                .context("ready has no sessionId")?
                .to_owned(),
            resumed: ready["resumed"].as_bool().context("ready has no resumed")?,
            guild: self.guild(),
            socket,
        })
    }

    /// `PATCH` of a session: armed for so many seconds.
    pub(crate) async fn arm(&self, session: &str, seconds: i64) -> anyhow::Result<()> {
        let body = json!({"resuming": true, "timeout": seconds});
        let answer = self
            .rest(Method::PATCH, &format!("/v4/sessions/{session}"), Some(&body))
            .await?;
        ensure!(answer.status == 200 && answer.body == body, "PATCH session: {answer:?}");
        Ok(())
    }

    /// `PATCH` of a player, whatever is answered.
    pub(crate) async fn player(&self, of: &Session, query: &str, body: &Value) -> anyhow::Result<Answer> {
        let path = format!("/v4/sessions/{}/players/{}{query}", of.id, of.guild);
        self.rest(Method::PATCH, &path, Some(body)).await
    }

    /// `PATCH` of a player that works; the player.
    pub(crate) async fn patch(&self, of: &Session, body: &Value) -> anyhow::Result<Value> {
        let answer = self.player(of, "", body).await?;
        ensure!(answer.status == 200, "PATCH {body}: {} {}", answer.status, answer.text);
        Ok(answer.body)
    }

    /// `GET` of a player.
    pub(crate) async fn shown(&self, of: &Session) -> anyhow::Result<Answer> {
        let path = format!("/v4/sessions/{}/players/{}", of.id, of.guild);
        self.rest(Method::GET, &path, None).await
    }

    /// Asks until a session is paused, as REST shows it.
    pub(crate) async fn paused(&self, session: &str) -> anyhow::Result<()> {
        let path = format!("/v4/sessions/{session}/players");
        crate::socket::until("the session is paused", async || {
            let answer = self.rest(Method::GET, &path, None).await?;
            Ok((answer.status == 404).then_some(()))
        })
        .await
    }

    /// A session whose player plays a minute of sound in a voice connection.
    pub(crate) async fn playing(&self) -> anyhow::Result<Session> {
        let mut of = self.session(None).await?;
        let identifier = self.tracks.named("Row", 60);
        let body = json!({"voice": self.sound.credentials(of.guild), "track": {"identifier": identifier}});
        self.patch(&of, &body).await?;
        of.socket.event("TrackStartEvent").await?;
        crate::socket::until("the position advances", async || {
            let position = self.shown(&of).await?.body["state"]["position"].as_u64();
            Ok((position > Some(0)).then_some(()))
        })
        .await?;
        Ok(of)
    }
}
