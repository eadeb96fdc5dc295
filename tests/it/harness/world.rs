//! The simulated Discord and its nodes, through their control API.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use segue::sim::{self, Ready, Sim};
use serde_json::{Value, json};

use super::wait::{eventually, within};

/// What came of an interaction, as `GET /interactions/{i}` tells it.
#[derive(Clone, Debug)]
pub(crate) struct Answer(pub(crate) Value);

impl Answer {
    /// Whether Discord took an answer in time.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.0["acknowledged_ms"].is_u64()
    }

    /// Everything a person reads in the reply: content, embed titles and descriptions, without the isolates and
    /// backslashes that keep strangers' text harmless.
    pub(crate) fn text(&self) -> String {
        plain(&self.0["message"])
    }
}

/// What a person reads of a message.
pub(crate) fn plain(message: &Value) -> String {
    let mut text = message["content"].as_str().unwrap_or_default().to_owned();
    for embed in message["embeds"].as_array().into_iter().flatten() {
        for part in ["title", "description"] {
            text.push('\n');
            text.push_str(embed[part].as_str().unwrap_or_default());
        }
    }
    text.replace(['\u{2068}', '\u{2069}', '\\'], "")
}

/// A running simulator.
pub(crate) struct World {
    pub(crate) ready: Ready,
    sim: Option<Sim>,
    http: reqwest::Client,
}

impl World {
    /// `guilds` guilds on one shard, two nodes `a` and `b`.
    pub(crate) async fn start(guilds: usize) -> Self {
        Self::with(sim::Options {
            guilds,
            nodes: vec!["a".into(), "b".into()],
            ..sim::Options::default()
        })
        .await
    }

    /// As told.
    pub(crate) async fn with(options: sim::Options) -> Self {
        let sim = sim::start(options).await.unwrap();
        Self {
            ready: sim.ready.clone(),
            sim: Some(sim),
            http: reqwest::Client::new(),
        }
    }

    /// One call to the control API; panics unless it succeeds.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, value) = self.try_call(method.clone(), path, body).await;
        assert!(status.is_success(), "{method} {path}: {status} {value}");
        value
    }

    /// One call to the control API.
    pub(crate) async fn try_call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.ready.control));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, path, Some(body)).await
    }

    /// `GET /world`.
    pub(crate) async fn world(&self) -> Value {
        self.get("/world").await
    }

    /// Ids of all guilds.
    pub(crate) async fn guilds(&self) -> Vec<String> {
        let world = self.world().await;
        world["guilds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|guild| guild["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// One guild as in `/world`.
    pub(crate) async fn guild(&self, id: &str) -> Value {
        let world = self.world().await;
        world["guilds"]
            .as_array()
            .unwrap()
            .iter()
            .find(|guild| guild["id"] == id)
            .cloned()
            .unwrap_or(Value::Null)
    }

    /// The `n`-th channel of a kind (`text`, `voice`).
    pub(crate) async fn channel(&self, guild: &str, kind: &str, n: usize) -> String {
        let guild = self.guild(guild).await;
        let of_kind = guild["channels"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|channel| channel["kind"] == kind);
        of_kind
            .map(|channel| channel["id"].as_str().unwrap().to_owned())
            .nth(n)
            .unwrap()
    }

    /// The `n`-th person.
    pub(crate) async fn person(&self, guild: &str, n: usize) -> String {
        self.guild(guild).await["members"][n]["id"].as_str().unwrap().to_owned()
    }

    /// A person (or `bot`) joins, moves or leaves.
    pub(crate) async fn moves(&self, guild: &str, user: &str, channel: Option<&str>) {
        self.post(
            &format!("/guilds/{guild}/voice"),
            json!({ "user": user, "channel": channel }),
        )
        .await;
    }

    /// The first person joins the first voice channel; returns (person, voice channel, text channel).
    pub(crate) async fn listener(&self, guild: &str) -> (String, String, String) {
        let person = self.person(guild, 0).await;
        let voice = self.channel(guild, "voice", 0).await;
        let text = self.channel(guild, "text", 0).await;
        self.moves(guild, &person, Some(&voice)).await;
        (person, voice, text)
    }

    /// The first person issues a command in the first text channel; the interaction's id. Waits until it is registered.
    pub(crate) async fn issue(&self, guild: &str, name: &str, options: Value) -> String {
        let (person, text) = (self.person(guild, 0).await, self.channel(guild, "text", 0).await);
        self.issue_as(guild, &person, &text, name, options).await
    }

    /// A person issues a command.
    pub(crate) async fn issue_as(
        &self,
        guild: &str,
        person: &str,
        channel: &str,
        name: &str,
        options: Value,
    ) -> String {
        let body = json!({ "user": person, "channel": channel, "name": name, "options": options });
        let path = format!("/guilds/{guild}/commands");
        let answer = eventually("the command is registered", || async {
            let (status, value) = self.try_call(Method::POST, &path, Some(body.clone())).await;
            if status.is_success() {
                Ok(value)
            } else {
                Err((status, value))
            }
        })
        .await;
        answer["interaction"].as_str().unwrap().to_owned()
    }

    /// The answer to an interaction, whenever it comes; deferred ones when they are finished.
    pub(crate) async fn answer(&self, interaction: &str) -> Answer {
        let path = format!("/interactions/{interaction}?wait_ms=4000");
        within(Duration::from_secs(20), "the interaction is answered", || async {
            let value = self.get(&path).await;
            if value["replied_ms"].is_u64() {
                Ok(Answer(value))
            } else {
                Err(value)
            }
        })
        .await
    }

    /// A command and its answer.
    pub(crate) async fn command(&self, guild: &str, name: &str, options: Value) -> Answer {
        let id = self.issue(guild, name, options).await;
        self.answer(&id).await
    }

    /// A person presses a button.
    pub(crate) async fn press(&self, message: &str, person: &str, custom_id: &str) -> Answer {
        let body = json!({ "user": person, "custom_id": custom_id });
        let pressed = self.post(&format!("/messages/{message}/components"), body).await;
        self.answer(pressed["interaction"].as_str().unwrap()).await
    }

    /// A listener joins and plays a track of 1,000 s called `title`; returns when it is heard.
    pub(crate) async fn play(&self, guild: &str, title: &str) {
        self.listener(guild).await;
        let answer = self
            .command(guild, "play", json!({ "query": format!("sim:{title}?length=1000") }))
            .await;
        assert!(answer.is_acknowledged(), "{answer:#?}");
        self.heard(guild, title).await;
    }

    /// Waits until a track is audible; returns the audio record.
    pub(crate) async fn heard(&self, guild: &str, title: &str) -> Value {
        eventually(&format!("{title} is heard in {guild}"), || async {
            let audio = self.audio(guild).await;
            let now = audio["segments"]
                .as_array()
                .and_then(|all| all.last())
                .cloned()
                .unwrap_or_default();
            let heard = audio["playing"] == true && now["title"] == title && now["to_ms"].is_null();
            if heard { Ok(audio) } else { Err(audio) }
        })
        .await
    }

    /// Waits until at least `ms` of a track were heard without a break.
    pub(crate) async fn heard_for(&self, guild: &str, ms: u64) {
        eventually(&format!("{ms} ms are heard in {guild}"), || async {
            let audio = self.audio(guild).await;
            let position = audio["segments"]
                .as_array()
                .and_then(|all| all.last()?["position_to_ms"].as_u64());
            if position.is_some_and(|position| position >= ms) {
                Ok(())
            } else {
                Err(audio)
            }
        })
        .await;
    }

    /// Waits until nothing is audible.
    pub(crate) async fn silent(&self, guild: &str) -> Value {
        eventually(&format!("silence in {guild}"), || async {
            let audio = self.audio(guild).await;
            if audio["playing"] == false {
                Ok(audio)
            } else {
                Err(audio)
            }
        })
        .await
    }

    /// The whole audio record of a guild.
    pub(crate) async fn audio(&self, guild: &str) -> Value {
        self.get(&format!("/guilds/{guild}/audio?since_ms=0")).await
    }

    /// Gaps of a guild so far.
    pub(crate) async fn gaps(&self, guild: &str) -> Vec<Value> {
        self.audio(guild).await["gaps"].as_array().unwrap().clone()
    }

    /// Messages in a channel.
    pub(crate) async fn messages(&self, channel: &str) -> Vec<Value> {
        self.get(&format!("/channels/{channel}/messages"))
            .await
            .as_array()
            .unwrap()
            .clone()
    }

    /// Waits for a message that reads `words`.
    pub(crate) async fn reads(&self, channel: &str, words: &str) -> Value {
        eventually(&format!("a message with {words:?}"), || async {
            let messages = self.messages(channel).await;
            messages
                .iter()
                .find(|message| plain(message).contains(words))
                .cloned()
                .ok_or(messages)
        })
        .await
    }

    /// A fault begins.
    pub(crate) async fn fault(&self, fault: Value) -> String {
        self.post("/faults", fault).await["id"]
            .to_string()
            .trim_matches('"')
            .to_owned()
    }

    /// `GET /counters`.
    pub(crate) async fn counters(&self) -> Value {
        self.get("/counters").await
    }

    /// Fails if the oracle found anything.
    pub(crate) async fn assert_no_violations(&self) {
        let found = self.get("/violations").await;
        assert_eq!(found, json!([]), "the oracle found violations");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.sim.take());
    }
}
