//! Telling a story: each step at its moment, over the control API, as everybody else acts on the simulated world.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep_until};

use super::{Act, Step, Story};

/// How long a call to the control API may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who carries out what the control API cannot, or what somebody else wants to know of.
#[async_trait]
pub trait Troupe: Send + Sync {
    /// Carries out an act; `None` leaves it to the control API. The error says why not, for people.
    async fn take(&self, act: &Act) -> Option<Result<(), String>>;
}

/// Nobody: a simulator alone.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

#[async_trait]
impl Troupe for Alone {
    async fn take(&self, _act: &Act) -> Option<Result<(), String>> {
        None
    }
}

/// Tells a story from now on, through the control API at `control` (`http://…`). Each step is told to `say` as it happens,
/// with what became of it where it failed: a story goes on as the evening does. An act that takes its time goes on beside the
/// next ones, and is told again when it is done. Ends after the last step.
///
/// # Errors
/// No HTTP client can be made.
pub async fn run(
    story: &Story,
    control: &str,
    troupe: &dyn Troupe,
    mut say: impl FnMut(&str),
) -> Result<(), reqwest::Error> {
    let mut world = World {
        http: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?,
        control: control.trim_end_matches('/').to_owned(),
        dead: HashMap::new(),
    };
    let mut long = FuturesUnordered::new();
    let began = Instant::now();
    for step in &story.steps {
        let mut moment = std::pin::pin!(sleep_until(moment_of(began, step)));
        loop {
            tokio::select! {
                () = &mut moment => break,
                Some(done) = long.next() => say(String::as_str(&done)),
            }
        }
        if step.act.takes_time() {
            say(&step.to_string());
            long.push(async move { finished(step, troupe.take(&step.act).await) });
            continue;
        }
        let outcome = match troupe.take(&step.act).await {
            Some(outcome) => outcome,
            None => world.perform(&step.act).await,
        };
        say(&told(step, &outcome));
    }
    while let Some(done) = long.next().await {
        say(&done);
    }
    Ok(())
}

/// When a step comes. A story that was not read from a text may name a time beyond all others: then with its last moment.
fn moment_of(began: Instant, step: &Step) -> Instant {
    began
        .checked_add(step.at)
        .unwrap_or_else(|| began + super::form::LONGEST)
}

fn finished(step: &Step, outcome: Option<Result<(), String>>) -> String {
    match outcome {
        Some(Ok(())) => format!("      {} – done", step.words),
        Some(Err(why)) => format!("      {} – but {why}", step.words),
        None => format!("      {} – but only `segue demo` has replicas", step.words),
    }
}

fn told(step: &Step, outcome: &Result<(), String>) -> String {
    match outcome {
        Ok(()) => step.to_string(),
        Err(why) => format!("{step} – but {why}"),
    }
}

/// The simulated world behind its control API.
struct World {
    http: reqwest::Client,
    control: String,
    /// The fault of each node that was killed.
    dead: HashMap<String, String>,
}

/// A guild, as far as a story needs it.
struct Guild(Value);

impl Guild {
    fn id(&self) -> &str {
        self.0["id"].as_str().unwrap_or_default()
    }

    /// The `nth` voice channel, from 1.
    fn voice(&self, nth: usize) -> Result<&str, String> {
        let channels = self.0["channels"].as_array().into_iter().flatten();
        let mut voices = channels
            .filter(|channel| channel["kind"] != "text")
            .filter_map(|channel| channel["id"].as_str());
        nth.checked_sub(1)
            .and_then(|index| voices.nth(index))
            .ok_or_else(|| format!("the guild has no voice channel {nth}"))
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let channels = self.0["channels"].as_array().into_iter().flatten();
        channels
            .filter(|channel| channel["kind"] == "text")
            .filter_map(|channel| channel["id"].as_str())
    }
}

impl World {
    async fn perform(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::KillNode(node) => {
                let fault = self.fault(json!({"kind": "kill_node", "node": node})).await?;
                match self.dead.insert(node.clone(), fault) {
                    // It was dead before: one start brings it back.
                    Some(before) => self.end(&before).await,
                    None => Ok(()),
                }
            }
            Act::StartNode(node) => match self.dead.remove(node) {
                Some(fault) => self.end(&fault).await,
                None => Err(format!("node {node} was not killed before")),
            },
            Act::RestartNode(node, down) => {
                let down = u64::try_from(down.as_millis()).unwrap_or(u64::MAX);
                let fault = json!({"kind": "restart_node", "node": node, "graceful": true, "down_ms": down});
                self.fault(fault).await.map(drop)
            }
            Act::KillReplica(_) | Act::StopReplica(_) | Act::RollReplicas => {
                Err("only `segue demo` has replicas".to_owned())
            }
            Act::UserJoins { user, voice } => self.joins(*user, *voice).await,
            Act::UserLeaves(user) => {
                let (guild, person) = self.person(*user).await?;
                self.moves(&guild, &person, &Value::Null).await
            }
            Act::UserRuns { user, command, options } => self.runs(*user, command, options).await,
            Act::UserPresses { user, button } => self.presses(*user, button).await,
            Act::MoveBot { guild, voice } => {
                let guild = self.guild(*guild).await?;
                self.moves(&guild, "bot", &guild.voice(*voice)?.into()).await
            }
            Act::KickBot(guild) => {
                let guild = self.guild(*guild).await?;
                self.moves(&guild, "bot", &Value::Null).await
            }
            Act::AddGuild => self.call(Method::POST, "/guilds", &json!({})).await.map(drop),
            Act::RemoveGuild(guild) => {
                let guild = self.guild(*guild).await?;
                let path = format!("/guilds/{}", guild.id());
                self.call(Method::DELETE, &path, &Value::Null).await.map(drop)
            }
            Act::Fault { kind, fields } => self.any_fault(kind, fields).await,
            Act::Note(text) => self.fault(json!({"kind": "note", "text": text})).await.map(drop),
        }
    }

    async fn end(&self, fault: &str) -> Result<(), String> {
        let path = format!("/faults/{fault}");
        self.call(Method::DELETE, &path, &Value::Null).await.map(drop)
    }

    async fn any_fault(&self, kind: &str, fields: &Map<String, Value>) -> Result<(), String> {
        let mut body = fields.clone();
        body.insert("kind".to_owned(), kind.into());
        if let Some(nth) = fields.get("guild").and_then(Value::as_u64) {
            let guild = self.guild(usize::try_from(nth).unwrap_or(usize::MAX)).await?;
            body.insert("guild".to_owned(), guild.id().into());
        }
        self.fault(body.into()).await.map(drop)
    }

    async fn joins(&self, user: usize, voice: Option<usize>) -> Result<(), String> {
        let (guild, person) = self.person(user).await?;
        let channel = match (voice, guild.0["bot"]["voice"].as_str()) {
            (Some(nth), _) => guild.voice(nth)?,
            (None, Some(with_bot)) => with_bot,
            (None, None) => guild.voice(1)?,
        };
        self.moves(&guild, &person, &channel.into()).await
    }

    async fn runs(&self, user: usize, command: &str, options: &Map<String, Value>) -> Result<(), String> {
        let (guild, person) = self.person(user).await?;
        // A command of two words is written with a dash or a blank in quotes.
        let name = command.replace('-', " ");
        let body = json!({"user": person, "name": name, "options": options});
        let path = format!("/guilds/{}/commands", guild.id());
        self.call(Method::POST, &path, &body).await.map(drop)
    }

    async fn presses(&self, user: usize, button: &str) -> Result<(), String> {
        let (guild, person) = self.person(user).await?;
        for channel in guild.texts() {
            let messages = self
                .call(Method::GET, &format!("/channels/{channel}/messages"), &Value::Null)
                .await?;
            let newest_first = messages.as_array().into_iter().flatten().rev();
            for message in newest_first {
                let mut names = Vec::new();
                buttons(&message["components"], &mut names);
                if let Some(name) = names.iter().find(|name| name.contains(button)) {
                    let path = format!("/messages/{}/components", message["id"].as_str().unwrap_or_default());
                    let body = json!({"user": person, "custom_id": name});
                    return self.call(Method::POST, &path, &body).await.map(drop);
                }
            }
        }
        Err(format!("no message of the guild has a button \"{button}\""))
    }

    /// The `nth` guild, from 1.
    async fn guild(&self, nth: usize) -> Result<Guild, String> {
        let world = self.call(Method::GET, "/world", &Value::Null).await?;
        let guild = nth.checked_sub(1).and_then(|index| world["guilds"].get(index));
        guild
            .cloned()
            .map(Guild)
            .ok_or_else(|| format!("there is no guild {nth}"))
    }

    /// The `nth` person of all guilds, from 1, and the guild.
    async fn person(&self, nth: usize) -> Result<(Guild, String), String> {
        let world = self.call(Method::GET, "/world", &Value::Null).await?;
        let guilds = world["guilds"].as_array().into_iter().flatten();
        let people = guilds.flat_map(|guild| {
            guild["members"]
                .as_array()
                .into_iter()
                .flatten()
                .map(move |who| (guild, who))
        });
        let found = nth.checked_sub(1).and_then(|index| people.into_iter().nth(index));
        found
            .and_then(|(guild, who)| Some((Guild(guild.clone()), who["id"].as_str()?.to_owned())))
            .ok_or_else(|| format!("there is no user {nth}"))
    }

    async fn moves(&self, guild: &Guild, user: &str, channel: &Value) -> Result<(), String> {
        let path = format!("/guilds/{}/voice", guild.id());
        self.call(Method::POST, &path, &json!({"user": user, "channel": channel}))
            .await
            .map(drop)
    }

    async fn fault(&self, body: Value) -> Result<String, String> {
        let begun = self.call(Method::POST, "/faults", &body).await?;
        Ok(begun["id"].as_str().unwrap_or_default().to_owned())
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let mut request = self.http.request(method, format!("{}{path}", self.control));
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| format!("the simulator does not answer: {error}"))?;
        let status = answer.status();
        let text = answer
            .text()
            .await
            .map_err(|error| format!("the simulator broke off: {error}"))?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        Err(format!(
            "the simulator refused: {}",
            value["message"].as_str().unwrap_or(&text)
        ))
    }
}

fn buttons(components: &Value, names: &mut Vec<String>) {
    for component in components.as_array().into_iter().flatten() {
        names.extend(component["custom_id"].as_str().map(str::to_owned));
        names.extend(component["accessory"]["custom_id"].as_str().map(str::to_owned));
        buttons(&component["components"], names);
    }
}
