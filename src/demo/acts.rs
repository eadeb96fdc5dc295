//! What the page's buttons do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cast::Actor;
use super::control::Control;
use super::headline::Event;
use super::picture::Gallery;
use super::replica::Order;

/// How long the page waits for the bot's answer, deferrals included.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// How long one replica may take to leave and be ready again.
const ROLLED_WITHIN: Duration = Duration::from_mins(1);
/// One wait for an interaction.
const ONE_WAIT: Duration = Duration::from_secs(3);

/// An act, as `POST /act/{name}` names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// SIGKILL for a replica.
    Kill {
        /// Which.
        replica: String,
    },
    /// SIGTERM for a replica.
    Stop {
        /// Which.
        replica: String,
    },
    /// SIGSTOP for a replica.
    Freeze {
        /// Which.
        replica: String,
    },
    /// SIGCONT for a replica.
    Thaw {
        /// Which.
        replica: String,
    },
    /// A replica is cut off from its store.
    Cut {
        /// Which.
        replica: String,
    },
    /// A replica reaches its store again.
    Reconnect {
        /// Which.
        replica: String,
    },
    /// Every replica is stopped and started again, one after the other, as a rolling update does.
    Roll {},
    /// A node dies.
    KillNode {
        /// Which.
        node: String,
    },
    /// A dead node is started.
    RestartNode {
        /// Which.
        node: String,
    },
    /// Discord forgets a shard's session.
    ExpireSession {
        /// Which.
        shard: u64,
    },
    /// A person joins or leaves a voice channel.
    Voice {
        /// Where.
        guild: String,
        /// Who.
        user: String,
        /// Into which channel; out with `None`.
        channel: Option<String>,
    },
    /// A person issues a command.
    Command {
        /// Where.
        guild: String,
        /// The body of the control API's call.
        #[serde(flatten)]
        body: serde_json::Map<String, Value>,
    },
    /// A person presses a button or chooses from a menu.
    Component {
        /// Of which message.
        message: String,
        /// The body of the control API's call.
        #[serde(flatten)]
        body: serde_json::Map<String, Value>,
    },
}

/// Carries acts out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stagehand {
    control: Control,
    actors: Arc<[Actor]>,
    gallery: Gallery,
    events: mpsc::Sender<(Event, Instant)>,
    /// The fault of each dead node.
    dead: Arc<Mutex<HashMap<String, String>>>,
}

impl Stagehand {
    /// One that tells `events` what it did.
    pub fn new(control: Control, actors: Vec<Actor>, gallery: Gallery, events: mpsc::Sender<(Event, Instant)>) -> Self {
        Self {
            control,
            actors: actors.into(),
            gallery,
            events,
            dead: Arc::default(),
        }
    }

    /// Does it; the answer for the page.
    pub async fn act(&self, act: Act) -> anyhow::Result<Value> {
        match act {
            Act::Kill { replica } => {
                self.note(&format!("kill -9 replica {replica}")).await;
                self.order(&replica, Order::Kill)?;
                self.tell(Event::Killed { replica }).await
            }
            Act::Stop { replica } => {
                self.note(&format!("SIGTERM for replica {replica}")).await;
                self.order(&replica, Order::Stop)?;
                self.tell(Event::Stopped { replica }).await
            }
            Act::Freeze { replica } => {
                self.excuse("freeze", &replica).await;
                self.order(&replica, Order::Freeze)?;
                self.tell(Event::Frozen { replica }).await
            }
            Act::Thaw { replica } => {
                self.note(&format!("thaw replica {replica}")).await;
                self.order(&replica, Order::Thaw)?;
                self.tell(Event::Thawed { replica }).await
            }
            Act::Cut { replica } => {
                self.excuse("cut off from the store:", &replica).await;
                self.actor(&replica)?.cut(true).context("cutting it off")?;
                self.tell(Event::Cut { replica }).await
            }
            Act::Reconnect { replica } => {
                self.note(&format!("replica {replica} reaches the store again")).await;
                self.actor(&replica)?.cut(false).context("connecting it again")?;
                self.tell(Event::Reconnected { replica }).await
            }
            Act::Roll {} => self.roll().await,
            Act::KillNode { node } => self.kill_node(node).await,
            Act::RestartNode { node } => self.restart_node(node).await,
            Act::ExpireSession { shard } => {
                let began = Instant::now();
                self.control
                    .fault(&json!({"kind": "expire_session", "shard": shard}))
                    .await?;
                self.tell_since(began, Event::SessionExpired { shard }).await
            }
            Act::Voice { guild, user, channel } => {
                self.control.voice(&guild, &user, channel.as_deref()).await?;
                Ok(json!({}))
            }
            Act::Command { guild, body } => {
                let id = self.control.command(&guild, &body.into()).await?;
                answer(&self.control, &id).await
            }
            Act::Component { message, body } => {
                let id = self.control.component(&message, &body.into()).await?;
                answer(&self.control, &id).await
            }
        }
    }

    /// Tells the simulator's log; that it is not told harms nothing.
    async fn note(&self, text: &str) {
        drop(self.control.fault(&json!({"kind": "note", "text": text})).await);
    }

    /// What a frozen replica, or one without its store, does not answer in time is nobody's fault.
    async fn excuse(&self, what: &str, replica: &str) {
        let shards = self.gallery.paint(|picture| {
            let owned = picture.sections.shards.iter();
            let owned = owned.filter(|shard| shard.owner.as_deref() == Some(replica));
            owned.map(|shard| shard.id).collect::<Vec<_>>()
        });
        let note = json!({"kind": "note", "text": format!("{what} replica {replica}"), "excuse": shards});
        drop(self.control.fault(&note).await);
    }

    async fn roll(&self) -> anyhow::Result<Value> {
        self.note("roll all replicas").await;
        self.tell(Event::Rolled).await?;
        for actor in self.actors.iter() {
            let Some(pid) = actor.listening(ROLLED_WITHIN).await else {
                continue;
            };
            self.note(&format!("SIGTERM for replica {}", actor.name)).await;
            self.order(&actor.name, Order::Stop)?;
            actor.ready_again(pid, ROLLED_WITHIN).await?;
        }
        Ok(json!({}))
    }

    fn actor(&self, replica: &str) -> anyhow::Result<&Actor> {
        let actor = self.actors.iter().find(|actor| actor.name == replica);
        actor.with_context(|| format!("there is no replica {replica}"))
    }

    fn order(&self, replica: &str, order: Order) -> anyhow::Result<()> {
        let actor = self.actor(replica)?;
        anyhow::ensure!(actor.order(order), "replica {replica} takes no orders right now");
        Ok(())
    }

    async fn kill_node(&self, node: String) -> anyhow::Result<Value> {
        let began = Instant::now();
        let fault = self.control.fault(&json!({"kind": "kill_node", "node": node})).await?;
        let before = fault.and_then(|fault| {
            let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
            dead.insert(node.clone(), fault)
        });
        if let Some(before) = before {
            // It was dead before: one start brings it back.
            self.control.end_fault(&before).await?;
        }
        self.tell_since(began, Event::NodeKilled { node }).await
    }

    async fn restart_node(&self, node: String) -> anyhow::Result<Value> {
        let fault = self.dead.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
        match fault {
            Some(fault) => self.control.end_fault(&fault).await?,
            None => drop(
                self.control
                    .fault(&json!({"kind": "restart_node", "node": node}))
                    .await?,
            ),
        }
        self.tell(Event::NodeBack { node }).await
    }

    async fn tell(&self, event: Event) -> anyhow::Result<Value> {
        self.tell_since(Instant::now(), event).await
    }

    /// For what happens while it is still asked for: a gap that begins before the answer is there belongs to it.
    async fn tell_since(&self, began: Instant, event: Event) -> anyhow::Result<Value> {
        self.events.send((event, began)).await.context("the demo is ending")?;
        Ok(json!({}))
    }
}

/// Waits for the bot's answer to an interaction, past a deferral.
pub async fn answer(control: &Control, id: &str) -> anyhow::Result<Value> {
    let until = Instant::now() + ANSWER_WITHIN;
    loop {
        let seen = control.interaction(id, ONE_WAIT).await?;
        let deferred = seen["kind"] == "deferred" && seen["message"].is_null();
        let answered = !seen["replied_ms"].is_null() || !seen["kind"].is_null();
        if (answered && !deferred) || Instant::now() >= until {
            return Ok(seen);
        }
        // The wait above may return at once for a deferral: do not ask in a tight circle.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
