//! Many guilds at once: who sits where, and music in all of them.

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::harness::{World, within};

/// How many people ask at the same time.
const AT_ONCE: usize = 16;

/// A guild, a person in it, and where that person writes and listens.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) guild: String,
    pub(crate) shard: u64,
    pub(crate) person: String,
    pub(crate) text: String,
    pub(crate) voice: String,
}

/// Every guild of a world, in one look.
pub(crate) async fn places(world: &World) -> Vec<Place> {
    let seen = world.world().await;
    seen["guilds"].as_array().unwrap().iter().map(place).collect()
}

fn place(guild: &Value) -> Place {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let channel = |kind: &str| {
        let channels = guild["channels"].as_array().unwrap();
        text(&channels.iter().find(|channel| channel["kind"] == kind).unwrap()["id"])
    };
    Place {
        guild: text(&guild["id"]),
        shard: guild["shard"].as_u64().unwrap(),
        person: text(&guild["members"][0]["id"]),
        text: channel("text"),
        voice: channel("voice"),
    }
}

/// So many guilds, at most `each` of one shard: Discord allows a connection about a hundred joins a minute.
pub(crate) fn spread(places: &[Place], wanted: usize, each: usize) -> Vec<Place> {
    let mut taken = std::collections::BTreeMap::<u64, usize>::new();
    let mut chosen = Vec::new();
    for place in places {
        let of_shard = taken.entry(place.shard).or_default();
        if chosen.len() < wanted && *of_shard < each {
            *of_shard += 1;
            chosen.push(place.clone());
        }
    }
    assert_eq!(chosen.len(), wanted, "there are too few guilds");
    chosen
}

/// In each of them somebody sits down and plays something; returns when all of it is heard.
pub(crate) async fn play(world: &World, places: &[Place], title: &str) {
    begin(world, places, &format!("sim:{title}?length=3000")).await;
    heard(world, places, title).await;
}

/// In each of them somebody sits down and asks for something.
pub(crate) async fn begin(world: &World, places: &[Place], query: &str) {
    let started = places.iter().map(|place| async move {
        world.moves(&place.guild, &place.person, Some(&place.voice)).await;
        ask(world, place, "play", json!({ "query": query })).await;
    });
    futures_util::stream::iter(started)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

/// Waits until a title is heard in all of them.
pub(crate) async fn heard(world: &World, places: &[Place], title: &str) {
    for place in places {
        world.heard(&place.guild, title).await;
    }
}

/// In each of them somebody gives the same command.
pub(crate) async fn ask_all(world: &World, places: &[Place], name: &str, options: &Value) {
    let asked = places.iter().map(|place| ask(world, place, name, options.clone()));
    futures_util::stream::iter(asked)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<()>>()
        .await;
}

/// Somebody gives a command and waits for the answer, for as long as Discord lets an answer come.
pub(crate) async fn ask(world: &World, place: &Place, name: &str, options: Value) {
    let id = world
        .issue_as(&place.guild, &place.person, &place.text, name, options)
        .await;
    let path = format!("/interactions/{id}?wait_ms=4000");
    within(std::time::Duration::from_mins(1), "the command is answered", || async {
        let answer = world.get(&path).await;
        if answer["replied_ms"].is_u64() {
            Ok(())
        } else {
            Err(answer)
        }
    })
    .await;
}
