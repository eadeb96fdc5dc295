//! The simulator's control API, as the demo calls it.

use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::wire::{Audio, World};

/// How long any single call may take, beyond what it asked to wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client of one simulator. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    http: reqwest::Client,
    base: String,
}

impl Control {
    /// A client of the control API at `base` (`http://host:port`).
    pub fn new(base: impl Into<String>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let base = base.into().trim_end_matches('/').to_owned();
        Ok(Self { http, base })
    }

    /// Everything that exists.
    pub async fn world(&self) -> anyhow::Result<World> {
        self.get("/world").await
    }

    /// What one guild's listeners heard since `since_ms`.
    pub async fn audio(&self, guild: &str, since_ms: u64) -> anyhow::Result<Audio> {
        self.get(&format!("/guilds/{guild}/audio?since_ms={since_ms}")).await
    }

    /// Log events with a `seq` above `since`.
    pub async fn log(&self, since: u64) -> anyhow::Result<Vec<Value>> {
        let path = format!("/log?since={since}");
        let text = self
            .send(self.http.get(self.url(&path)), PATIENCE)
            .await?
            .text()
            .await?;
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    /// What the oracle found.
    pub async fn violations(&self) -> anyhow::Result<Vec<Value>> {
        self.get("/violations").await
    }

    /// A person joins or leaves a voice channel.
    pub async fn voice(&self, guild: &str, user: &str, channel: Option<&str>) -> anyhow::Result<()> {
        let body = json!({"user": user, "channel": channel});
        self.post(&format!("/guilds/{guild}/voice"), &body).await.map(drop)
    }

    /// A slash command; the interaction's id.
    pub async fn command(&self, guild: &str, body: &Value) -> anyhow::Result<String> {
        let answer = self.post(&format!("/guilds/{guild}/commands"), body).await?;
        interaction_id(&answer)
    }

    /// A button or select of a message; the interaction's id.
    pub async fn component(&self, message: &str, body: &Value) -> anyhow::Result<String> {
        let answer = self.post(&format!("/messages/{message}/components"), body).await?;
        interaction_id(&answer)
    }

    /// An interaction, waiting up to `wait` for its reply.
    pub async fn interaction(&self, id: &str, wait: Duration) -> anyhow::Result<Value> {
        let path = format!("/interactions/{id}?wait_ms={}", wait.as_millis());
        let request = self.http.get(self.url(&path));
        Ok(self.send(request, PATIENCE + wait).await?.json().await?)
    }

    /// Does something to Discord or Lavalink; the fault's id.
    pub async fn fault(&self, body: &Value) -> anyhow::Result<Option<String>> {
        let answer = self.post("/faults", body).await?;
        Ok(answer
            .get("id")
            .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned)))
    }

    /// Ends a fault.
    pub async fn end_fault(&self, id: &str) -> anyhow::Result<()> {
        let request = self.http.delete(self.url(&format!("/faults/{id}")));
        self.send(request, PATIENCE).await.map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.send(self.http.get(self.url(path)), PATIENCE).await?;
        response
            .json()
            .await
            .with_context(|| format!("the simulator's answer to {path}"))
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let response = self.send(self.http.post(self.url(path)).json(body), PATIENCE).await?;
        let text = response.text().await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn send(&self, request: reqwest::RequestBuilder, limit: Duration) -> anyhow::Result<reqwest::Response> {
        let response = request
            .timeout(limit)
            .send()
            .await
            .context("the simulator does not answer")?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let said: String = response.text().await.unwrap_or_default().chars().take(300).collect();
        anyhow::bail!("the simulator refused ({}): {said}", status.as_u16())
    }
}

fn interaction_id(answer: &Value) -> anyhow::Result<String> {
    let id = answer.get("interaction").context("the simulator gave no interaction")?;
    Ok(id.as_str().map_or_else(|| id.to_string(), str::to_owned))
}
