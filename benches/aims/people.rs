//! People who give commands all the time, one guild of each shard, and whether each of them was served.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::crowd::Place;
use crate::harness::{Setup, World, plain, titles, within};

/// From one command in a guild to the next.
const EVERY: Duration = Duration::from_millis(50);
/// One in so many queues a track; the others ask for the volume.
const QUEUES: u64 = 20;

/// A track that somebody asked for.
#[derive(Clone, Debug)]
struct Wish {
    guild: String,
    interaction: String,
    title: String,
}

/// People at work.
pub(crate) struct People {
    tasks: JoinSet<Vec<Wish>>,
    stop: CancellationToken,
    before: Value,
}

impl People {
    /// They begin, one in each of these guilds.
    pub(crate) async fn begin(world: &World, places: impl IntoIterator<Item = Place>) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let http = reqwest::Client::new();
        for place in places {
            let url = format!("{}/guilds/{}/commands", world.ready.control, place.guild);
            tasks.spawn(person(http.clone(), url, place, stop.clone()));
        }
        Self {
            tasks,
            stop,
            before: world.counters().await["interactions"].clone(),
        }
    }

    /// They stop; how many commands they gave, how many of these were not acknowledged in time, and how many tracks that
    /// were confirmed are not in the queue exactly once.
    pub(crate) async fn end(mut self, world: &World, setup: &Setup) -> Served {
        self.stop.cancel();
        let mut wishes = Vec::new();
        while let Some(of_one) = self.tasks.join_next().await {
            wishes.extend(of_one.unwrap());
        }
        let before = |key: &str| self.before[key].as_u64().unwrap();
        // Three seconds after the last one Discord has decided on all of them.
        let (issued, missed) = within(Duration::from_secs(10), "every command is decided", || async {
            let now = world.counters().await["interactions"].clone();
            let count = |key: &str| now[key].as_u64().unwrap() - before(key);
            let (issued, in_time) = (count("issued"), count("acknowledged_in_time"));
            let missed = count("late") + count("never");
            if in_time + missed >= issued {
                Ok((issued, missed))
            } else {
                Err(now)
            }
        })
        .await;
        let (confirmed, broken) = kept(world, setup, &wishes).await;
        Served {
            issued,
            missed,
            asked: wishes.len(),
            confirmed,
            broken,
        }
    }
}

/// What came of all commands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) issued: u64,
    pub(crate) missed: u64,
    pub(crate) asked: usize,
    pub(crate) confirmed: usize,
    pub(crate) broken: usize,
}

async fn person(http: reqwest::Client, url: String, place: Place, stop: CancellationToken) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let mut rounds = interval(EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for nth in 0_u64.. {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = rounds.tick() => {}
        }
        let title = (nth % QUEUES == 0).then(|| format!("W{}N{}", place.guild, nth));
        let (name, options) = match &title {
            Some(title) => ("play", json!({ "query": format!("sim:{title}?length=900") })),
            None => ("volume", json!({})),
        };
        let body = json!({ "user": place.person, "channel": place.text, "name": name, "options": options });
        let answer = http.post(&url).json(&body).send().await.unwrap();
        let told: Value = answer.error_for_status().unwrap().json().await.unwrap();
        if let Some(title) = title {
            let interaction = told["interaction"].as_str().unwrap().to_owned();
            wishes.push(Wish {
                guild: place.guild.clone(),
                interaction,
                title,
            });
        }
    }
    wishes
}

/// How many titles were confirmed, and how many are not as they have to be: confirmed and not stored exactly once, or stored
/// twice.
async fn kept(world: &World, setup: &Setup, wishes: &[Wish]) -> (usize, usize) {
    let store = segue::store::open(&setup.address().to_owned().into()).await.unwrap();
    let mut of_guild: BTreeMap<&str, Vec<(&str, bool)>> = BTreeMap::new();
    for wish in wishes {
        let answer = world.get(&format!("/interactions/{}", wish.interaction)).await;
        // A refusal ("nothing was found", "the queue is full") is an answer too, and promises nothing.
        let said = plain(&answer["message"]);
        let confirmed = said.contains(&wish.title);
        if !confirmed {
            crate::report::say(&format!("{} was answered {said:?}", wish.title));
        }
        of_guild.entry(&wish.guild).or_default().push((&wish.title, confirmed));
    }
    let (mut confirmed_in_all, mut broken) = (0, 0);
    for (guild, wishes) in of_guild {
        let row = store.guild(guild.parse().unwrap()).await.unwrap().unwrap();
        let titles = titles(row);
        for (title, confirmed) in wishes {
            confirmed_in_all += usize::from(confirmed);
            let stored = titles.iter().filter(|stored| *stored == title).count();
            if stored > 1 || (confirmed && stored == 0) {
                crate::report::say(&format!("{title} is stored {stored} times; confirmed: {confirmed}"));
                broken += 1;
            }
        }
    }
    (confirmed_in_all, broken)
}
