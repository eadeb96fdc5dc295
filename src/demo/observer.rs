//! Looks at the simulator and the replicas a few times a second and paints what it sees.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::cast::Actor;
use super::control::Control;
use super::happening::Happening;
use super::headline::{self, Event, Headline, Last};
use super::paint;
use super::picture::{Gallery, Mark, ReplicaRow};
use super::replica::Life;
use super::strips::{KEPT_MS, Strip};
use super::wire::{Audio, ReplicaState};

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
            self.gallery.paint(|picture| paint::world(picture, world, violations));
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
            let Life::Down {
                asked: false,
                at,
                signal,
            } = life
            else {
                continue;
            };
            if self.lives[index] != *life {
                let (replica, signal) = (self.actors[index].name.clone(), *signal);
                self.happened(Event::Died { replica, signal }, *at);
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
            .map(|((actor, life), state)| paint::row(&actor.name, life, actor.is_cut(), state.as_ref()));
        let rows: Vec<ReplicaRow> = rows.collect();
        let states = &self.states;
        self.gallery.paint(|picture| {
            paint::owners(picture, &rows, states);
            paint::recoveries(picture, states);
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
        // It may be older than the last look at the clock: what it broke was still whole then.
        let reckoned = self.read.map(|(now_ms, read)| {
            let (after, before) = (at.saturating_duration_since(read), read.saturating_duration_since(at));
            (now_ms + millis(after)).saturating_sub(millis(before))
        });
        let happening = self.gallery.paint(|picture| {
            let at_ms = reckoned.unwrap_or(picture.now_ms);
            picture.sections.marks.push(Mark {
                at_ms,
                text: event.label(only),
            });
            picture.sections.marks.retain(|mark| mark.at_ms + KEPT_MS > at_ms);
            Happening::new(event, at_ms, picture)
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
                then: headline::then(happening.effect(picture)),
            });
            picture.sections.headline = Headline {
                now: headline::now(paint::scene(picture)),
                last,
            };
        });
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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
