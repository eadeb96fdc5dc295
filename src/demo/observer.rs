//! Looks at the simulator and the replicas a few times a second and paints what it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::cast::Actor;
use super::control::Control;
use super::headline::{self, Effect, Event, Headline, Last, Scene};
use super::picture::{Gallery, GuildRow, Mark, NodeRow, Picture, ReplicaRow, ShardRow, Tenure};
use super::replica::Life;
use super::strips::{KEPT_MS, Strip};
use super::wire::{Audio, Recovery, ReplicaState, World};

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks from one question for the whole world to the next, for each 500 guilds.
const WORLD_EVERY: u32 = 2;
/// Guilds whose audio is asked for per look; more guilds take turns.
const GUILDS_PER_LOOK: usize = 60;
/// Questions under way at once.
const AT_ONCE: usize = 8;
/// How long a replica may take to tell its state.
const REPLICA_PATIENCE: Duration = Duration::from_millis(800);
/// Recoveries kept on the page.
const RECOVERIES_KEPT: usize = 500;
/// What counts as "the last two minutes" in the sentence.
const LATELY_MS: u64 = 120_000;

/// Something that happened, and what it did so far.
#[derive(Debug)]
struct Happening {
    event: Event,
    at_ms: u64,
    audible: Vec<String>,
    /// Shards that have no session of after the event yet.
    waiting: BTreeSet<u64>,
    back_after_ms: Option<u64>,
}

/// Builds the picture.
#[derive(Debug)]
pub struct Observer {
    control: Control,
    actors: Vec<Actor>,
    gallery: Gallery,
    http: reqwest::Client,
    events: mpsc::Receiver<(Event, Instant)>,
    /// The simulator's clock, and when it was read.
    read: Option<(u64, Instant)>,
    last: Option<Happening>,
    states: Vec<Option<ReplicaState>>,
    lives: Vec<Life>,
    turn: usize,
    seq: u64,
}

impl Observer {
    /// An observer that is told by `events` what the page did.
    pub fn new(
        control: Control,
        actors: Vec<Actor>,
        gallery: Gallery,
        events: mpsc::Receiver<(Event, Instant)>,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(REPLICA_PATIENCE)
            .build()?;
        let states = actors.iter().map(|_| None).collect();
        let lives = actors.iter().map(Actor::life).collect();
        Ok(Self {
            control,
            actors,
            gallery,
            http,
            events,
            read: None,
            last: None,
            states,
            lives,
            turn: 0,
            seq: 0,
        })
    }

    /// Looks until `end`.
    pub async fn watch(mut self, end: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut world_due = Instant::now();
        let mut failing = false;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                Some((event, at)) = self.events.recv() => self.happened(event, at),
                () = end.cancelled() => return,
            }
            let with_world = Instant::now() >= world_due;
            if with_world {
                world_due = Instant::now() + LOOK_EVERY * self.world_every();
            }
            let looked = tokio::select! {
                looked = self.look(with_world) => looked,
                () = end.cancelled() => return,
            };
            if let Err(error) = &looked
                && !failing
            {
                tracing::warn!(error = format!("{error:#}"), "the simulator could not be looked at");
            }
            failing = looked.is_err();
        }
    }

    async fn look(&mut self, with_world: bool) -> anyhow::Result<()> {
        if with_world {
            let world = self.control.world().await?;
            let violations = self.control.violations().await.unwrap_or_default();
            self.gallery.paint(|picture| paint_world(picture, world, violations));
        }
        self.replicas().await;
        self.listen().await;
        self.read_log().await;
        self.sum_up();
        self.gallery.publish();
        Ok(())
    }

    /// Asks the replicas, and notices those that died unasked.
    async fn replicas(&mut self) {
        let lives: Vec<Life> = self.actors.iter().map(Actor::life).collect();
        for (index, life) in lives.iter().enumerate() {
            let died = matches!(life, Life::Down { asked: false }) && self.lives[index] != *life;
            if died {
                self.happened(
                    Event::Died {
                        replica: self.actors[index].name.clone(),
                    },
                    Instant::now(),
                );
            }
        }
        let asked: Vec<_> = lives.iter().map(|life| ask(self.http.clone(), life.clone())).collect();
        self.states = stream::iter(asked).buffered(AT_ONCE).collect().await;
        self.lives = lives;
        let rows = self
            .actors
            .iter()
            .zip(&self.lives)
            .zip(&self.states)
            .map(|((actor, life), state)| row(actor, life, state.as_ref()));
        let rows: Vec<ReplicaRow> = rows.collect();
        let states = &self.states;
        self.gallery.paint(|picture| {
            paint_owners(picture, &rows, states);
            paint_recoveries(picture, states);
            picture.sections.replicas = rows;
        });
    }

    /// Asks for the audio of as many guilds as one look allows.
    async fn listen(&mut self) {
        let due = self.gallery.paint(|picture| {
            let all: Vec<&String> = picture.guilds.keys().collect();
            let many = all.len().min(GUILDS_PER_LOOK);
            let pick = (0..many).map(|index| all[(self.turn + index) % all.len()]);
            let with_since = pick.map(|id| (id.clone(), picture.strips.get(id).map_or(0, Strip::since_ms)));
            with_since.collect::<Vec<_>>()
        });
        self.turn = self.turn.wrapping_add(due.len());
        let asked: Vec<_> = due
            .into_iter()
            .map(|(guild, since_ms)| hear(self.control.clone(), guild, since_ms))
            .collect();
        let heard: Vec<(String, Option<Audio>)> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        self.gallery.paint(|picture| {
            for (guild, audio) in heard {
                let Some(audio) = audio else { continue };
                picture.now_ms = picture.now_ms.max(audio.now_ms);
                let change = picture.strips.entry(guild.clone()).or_default().merge(audio);
                picture.strip_changed(&guild, change);
            }
            let now_ms = picture.now_ms;
            if self.read.is_none_or(|(before, _)| now_ms > before) {
                self.read = Some((now_ms, Instant::now()));
            }
        });
    }

    async fn read_log(&mut self) {
        let Ok(events) = self.control.log(self.seq).await else {
            return;
        };
        for event in &events {
            self.seq = self.seq.max(event["seq"].as_u64().unwrap_or_default());
            if let Some(happening) = &mut self.last {
                happening.hear(event);
            }
        }
        self.gallery.paint(|picture| picture.logged(events));
    }

    fn happened(&mut self, event: Event, at: Instant) {
        let only = self.actors.len() == 1;
        let reckoned = self
            .read
            .map(|(now_ms, read)| now_ms + millis(at.saturating_duration_since(read)));
        let happening = self.gallery.paint(|picture| {
            let at_ms = reckoned.unwrap_or(picture.now_ms);
            picture.sections.marks.push(Mark {
                at_ms,
                text: event.label(only),
            });
            picture.sections.marks.retain(|mark| mark.at_ms + KEPT_MS > at_ms);
            let audible = picture.strips.iter().filter(|(_, strip)| strip.was_audible(at_ms));
            Happening {
                at_ms,
                audible: audible.map(|(id, _)| id.clone()).collect(),
                waiting: shards_of(&event, picture),
                back_after_ms: None,
                event,
            }
        });
        self.last = Some(happening);
    }

    fn world_every(&self) -> u32 {
        let guilds = self.gallery.paint(|picture| picture.guilds.len());
        WORLD_EVERY * (1 + u32::try_from(guilds / 500).unwrap_or(u32::MAX / 4))
    }

    fn sum_up(&mut self) {
        let only = self.actors.len() == 1;
        let last = self.last.as_ref();
        self.gallery.paint(|picture| {
            let last = last.map(|happening| Last {
                what: happening.event.said(only),
                at_ms: happening.at_ms,
                then: headline::then(&happening.event, happening.effect(picture)),
            });
            picture.sections.headline = Headline {
                now: headline::now(scene(picture)),
                last,
            };
        });
    }
}

impl Happening {
    /// Learns from the log when the shards have sessions again.
    fn hear(&mut self, event: &Value) {
        let at_ms = event["at_ms"].as_u64().unwrap_or_default();
        let opened = match event["kind"].as_str() {
            Some("session_opened") => true,
            Some("resume") => event["outcome"] == "ok",
            Some(_) | None => false,
        };
        let Some(shard) = event["shard"].as_u64().filter(|_| opened && at_ms >= self.at_ms) else {
            return;
        };
        if self.waiting.remove(&shard) && self.waiting.is_empty() {
            self.back_after_ms = Some(at_ms - self.at_ms);
        }
    }

    fn effect(&self, picture: &Picture) -> Effect {
        let strips = self.audible.iter().filter_map(|id| picture.strips.get(id));
        let gaps: Vec<u64> = strips
            .filter_map(|strip| strip.longest_gap(self.at_ms, picture.now_ms))
            .collect();
        Effect {
            audible: self.audible.len(),
            broken: gaps.len(),
            longest_ms: gaps.into_iter().max().unwrap_or_default(),
            back_after_ms: self.back_after_ms,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The shards that an event takes away.
fn shards_of(event: &Event, picture: &Picture) -> BTreeSet<u64> {
    let shards = picture.sections.shards.iter();
    match event {
        Event::Killed { replica } | Event::Stopped { replica } | Event::Died { replica } => shards
            .filter(|shard| shard.owner.as_ref().is_none_or(|owner| owner == replica))
            .map(|shard| shard.id)
            .collect(),
        Event::SessionExpired { shard } => BTreeSet::from([*shard]),
        Event::NodeKilled { .. } | Event::NodeBack { .. } => BTreeSet::new(),
    }
}

fn scene(picture: &Picture) -> Scene {
    let since = picture.now_ms.saturating_sub(LATELY_MS);
    let strips = || picture.guilds.keys().filter_map(|id| picture.strips.get(id));
    let Picture { sections, .. } = picture;
    Scene {
        guilds: picture.guilds.len(),
        playing: strips().filter(|strip| strip.playing).count(),
        replicas: (
            sections.replicas.len(),
            sections.replicas.iter().filter(|row| row.pid.is_some()).count(),
        ),
        nodes: (
            sections.nodes.len(),
            sections.nodes.iter().filter(|node| node.up).count(),
        ),
        with_gaps: strips()
            .filter(|strip| strip.longest_gap(since, picture.now_ms).is_some())
            .count(),
    }
}

async fn hear(control: Control, guild: String, since_ms: u64) -> (String, Option<Audio>) {
    let audio = control.audio(&guild, since_ms).await;
    (guild, audio.ok())
}

async fn ask(http: reqwest::Client, life: Life) -> Option<ReplicaState> {
    let Life::Up { http: base, .. } = life else {
        return None;
    };
    http.get(format!("{base}/api/state"))
        .send()
        .await
        .ok()?
        .json()
        .await
        .ok()
}

fn row(actor: &Actor, life: &Life, state: Option<&ReplicaState>) -> ReplicaRow {
    let (word, pid) = match life {
        Life::Starting { pid } => ("starting", Some(*pid)),
        Life::Up { pid, .. } => ("up", Some(*pid)),
        Life::Stopping { pid } => ("stopping", Some(*pid)),
        Life::Down { .. } | Life::GivenUp { .. } => ("down", None),
    };
    ReplicaRow {
        name: actor.name.clone(),
        state: word,
        pid,
        member: state.map(|state| state.member.clone()),
        leader: state.is_some_and(|state| state.leader),
        playing: state.map_or(0, |state| state.guilds.playing),
    }
}

fn paint_world(picture: &mut Picture, world: World, violations: Vec<Value>) {
    picture.now_ms = picture.now_ms.max(world.now_ms);
    let owners: BTreeMap<u64, (Option<String>, u64)> = picture
        .sections
        .shards
        .iter()
        .map(|shard| (shard.id, (shard.owner.clone(), shard.epoch)))
        .collect();
    let shards = world.shards.into_iter().map(|shard| {
        let (owner, epoch) = owners.get(&shard.id).cloned().unwrap_or_default();
        ShardRow {
            id: shard.id,
            connected: shard.connected,
            ready: shard.ready,
            owner,
            epoch,
        }
    });
    picture.sections.shards = shards.collect();
    let nodes = world.nodes.into_iter().map(|node| {
        let players = node.sessions.iter().map(|session| session.players.count()).sum();
        NodeRow {
            name: node.name,
            up: node.up,
            players,
        }
    });
    picture.sections.nodes = nodes.collect();
    picture.sections.violations = violations;
    let guilds = world.guilds.into_iter().map(|guild| {
        let row = GuildRow {
            name: guild.name,
            shard: guild.shard,
            channels: guild.channels,
            members: guild.members,
            bot: guild.bot.voice,
        };
        (guild.id, row)
    });
    picture.set_guilds(guilds.collect());
}

/// Who drives what now; the highest epoch wins where two say so.
fn paint_owners(picture: &mut Picture, rows: &[ReplicaRow], states: &[Option<ReplicaState>]) {
    let now_ms = picture.now_ms;
    let claims = rows
        .iter()
        .zip(states)
        .filter_map(|(row, state)| Some((row, state.as_ref()?)));
    let claims: Vec<_> = claims
        .flat_map(|(row, state)| state.shards.iter().map(move |shard| (row, state, shard)))
        .collect();
    let alive = |name: &String| rows.iter().any(|row| row.name == *name && row.pid.is_some());
    let mut owners = std::mem::take(&mut picture.sections.owners);
    for shard in &mut picture.sections.shards {
        let claim = claims
            .iter()
            .filter(|(_, _, owned)| owned.id == shard.id)
            .max_by_key(|(_, _, owned)| owned.epoch);
        match claim {
            Some((row, state, owned)) => {
                (shard.owner, shard.epoch) = (Some(row.name.clone()), owned.epoch);
                take_over(&mut owners, shard.id, &row.name, &state.member, now_ms);
            }
            // A replica that is alive but slow to answer still drives.
            None if shard.owner.as_ref().is_some_and(alive) => {}
            None => {
                shard.owner = None;
                close(&mut owners, shard.id, now_ms);
            }
        }
    }
    owners.retain(|tenure| tenure.to_ms.is_none_or(|to| to + KEPT_MS > now_ms));
    picture.sections.owners = owners;
}

fn take_over(owners: &mut Vec<Tenure>, shard: u64, replica: &str, member: &str, now_ms: u64) {
    let same = |tenure: &Tenure| tenure.shard == shard && tenure.to_ms.is_none() && tenure.member == member;
    if owners.iter().any(same) {
        return;
    }
    close(owners, shard, now_ms);
    let (replica, member) = (replica.to_owned(), member.to_owned());
    owners.push(Tenure {
        shard,
        replica,
        member,
        from_ms: now_ms,
        to_ms: None,
    });
}

fn close(owners: &mut [Tenure], shard: u64, now_ms: u64) {
    for tenure in owners
        .iter_mut()
        .filter(|tenure| tenure.shard == shard && tenure.to_ms.is_none())
    {
        tenure.to_ms = Some(now_ms);
    }
}

/// Adds what replicas tell; a replica forgets with its death what the page still shows.
fn paint_recoveries(picture: &mut Picture, states: &[Option<ReplicaState>]) {
    let known = &mut picture.sections.recoveries;
    let key = |one: &Recovery| (one.guild.clone(), one.at.clone(), one.trigger.clone());
    let mut keys: BTreeSet<_> = known.iter().map(key).collect();
    let told = states.iter().flatten().flat_map(|state| &state.recoveries);
    let news: Vec<Recovery> = told.filter(|one| keys.insert(key(one))).cloned().collect();
    if !news.is_empty() {
        known.extend(news);
        known.sort_by(|one, other| other.at.cmp(&one.at));
        known.truncate(RECOVERIES_KEPT);
    }
}
