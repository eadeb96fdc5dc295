//! Three hundred guilds of one shard have to join voice again: how fast, and who goes first.

use std::collections::BTreeSet;
use std::time::Duration;

use segue::model::ids::{MemberId, Rev};
use segue::model::record::{Head, VoiceCredentials, VoiceRecord};
use segue::store::{self, GuildWrite, MemberRow, MemberState, SharedStore};
use serde_json::{Value, json};

use super::Line;
use crate::crowd::{self, Place};
use crate::figure::{Aim, Figure, Outcome};
use crate::harness::{Setup, World, within};

pub(crate) const LINE: Line = Line {
    name: "joins",
    about: "300 guilds on one shard lost their voice: op 4 a minute, and whose go first (takes four minutes)",
    run: || Box::pin(measure()),
};

/// Guilds that come back.
const GUILDS: usize = 300;
/// Guilds in which somebody asks for something meanwhile.
const PEOPLE: usize = 10;
/// Guilds that are left again meanwhile, because nobody is there any more.
const DESERTED: usize = 20;
/// What a recovery may use of Discord's 120 frames a minute, at least.
const BUDGET: usize = 95;
const MINUTE_MS: u64 = 60_000;

async fn measure() -> Outcome {
    let world = World::start(GUILDS + PEOPLE).await;
    let setup = Setup::sqlite(&world).set("SEGUE_ALONE_TIMEOUT", "2s");
    let places = crowd::places(&world).await;
    let (back, idle) = places.split_at(GUILDS);
    for place in &places {
        world.moves(&place.guild, &place.person, Some(&place.voice)).await;
    }
    everybody_played(&world, &setup, back).await;
    for fault in [
        json!({ "kind": "restart_node", "node": "a" }),
        json!({ "kind": "restart_node", "node": "b" }),
        json!({ "kind": "expire_session", "shard": 0 }),
    ] {
        world.fault(fault).await;
    }
    let before = requests(&world).await.len();
    let bot = setup.ready().await;
    // What the recovery may use of a minute is used up; hundreds wait.
    let first = sent(&world, before, BUDGET).await;
    let waits = people_ask(&world, idle).await;
    for request in first.iter().take(DESERTED) {
        let place = back.iter().find(|place| place.guild == request.guild).unwrap();
        world.moves(&place.guild, &place.person, None).await;
    }
    let all = sent(&world, before, GUILDS + PEOPLE + DESERTED).await;
    within(Duration::from_mins(1), "the bot tells what became of all", || async {
        let count = bot.count("recovered");
        if count >= GUILDS { Ok(()) } else { Err(count) }
    })
    .await;
    let failed = bot.log().iter().filter(|line| line["outcome"] == "failed").count();
    let cut = world.counters().await["closes"]["4008"].as_u64().unwrap_or(0);
    bot.kill().await;
    let people: BTreeSet<&str> = idle.iter().map(|place| place.guild.as_str()).collect();
    Outcome::Measured(figures(&all, &people, &waits, [failed.try_into().unwrap(), cut]))
}

/// Who an op 4 was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Person,
    Listeners,
    Nobody,
}

fn whose(request: &Request, people: &BTreeSet<&str>) -> Whose {
    match request.joins {
        _ if people.contains(request.guild.as_str()) => Whose::Person,
        true => Whose::Listeners,
        false => Whose::Nobody,
    }
}

fn figures(all: &[Request], people: &BTreeSet<&str>, waits: &[f64], [failed, cut]: [u64; 2]) -> Vec<Figure> {
    let of = |who: Whose| all.iter().filter(move |request| whose(request, people) == who);
    let begun = all[0].at_ms;
    let minute = |nth: u64| {
        let (from, to) = (begun + nth * MINUTE_MS, begun + (nth + 1) * MINUTE_MS);
        of(Whose::Listeners)
            .filter(|request| (from..to).contains(&request.at_ms))
            .count()
    };
    let last = of(Whose::Listeners).map(|request| request.at_ms).max().unwrap();
    let early = of(Whose::Nobody).filter(|request| request.at_ms < last).count();
    let none = Aim::AtMost(0.0);
    vec![
        Figure::new(
            "op 4 of the recovery in a minute, the slower of two",
            count(minute(0).min(minute(1))),
            "",
            95.0,
            "wanted",
            Aim::AtLeast(1.0),
        ),
        Figure::new(
            "connections that Discord cut (4008)",
            count(cut),
            "",
            1.0,
            "one would be too many",
            none,
        ),
        Figure::new(
            "a person's op 4 meanwhile, slowest of ten",
            waits.iter().copied().fold(0.0, f64::max),
            "ms",
            1_000.0,
            "at once",
            Aim::AtMost(1.0),
        ),
        Figure::new(
            "op 4 for nobody before the last for listeners",
            count(early),
            "",
            count(DESERTED),
            "of those asked for",
            none,
        ),
        Figure::new(
            "guilds that were given up",
            count(failed),
            "",
            count(GUILDS),
            "all",
            none,
        ),
        Figure::new(
            "until the last of 300 was asked for",
            count(last - begun) / 1_000.0,
            "s",
            60.0 * count(GUILDS) / 95.0,
            "95 a minute",
            Aim::AtMost(1.0),
        ),
    ]
}

fn count(number: impl TryInto<u32, Error: std::fmt::Debug>) -> f64 {
    f64::from(number.try_into().unwrap())
}

/// An op 4 as Discord received it.
#[derive(Clone, Debug)]
struct Request {
    at_ms: u64,
    guild: String,
    joins: bool,
}

/// All op 4 so far.
async fn requests(world: &World) -> Vec<Request> {
    let log = world.get("/log?since=0").await;
    let lines = log.as_str().unwrap_or_default().lines();
    lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["kind"] == "voice_request")
        .map(|event| Request {
            at_ms: event["at_ms"].as_u64().unwrap(),
            guild: event["guild"].as_str().unwrap().to_owned(),
            joins: event["channel"].is_string(),
        })
        .collect()
}

/// Waits for so many op 4 after the first `before`.
async fn sent(world: &World, before: usize, wanted: usize) -> Vec<Request> {
    within(Duration::from_mins(6), &format!("{wanted} op 4"), || async {
        let all = requests(world).await.split_off(before);
        if all.len() >= wanted { Ok(all) } else { Err(all.len()) }
    })
    .await
}

/// In guilds that are idle somebody asks for music, one after the other. Milliseconds from each command to its op 4.
async fn people_ask(world: &World, idle: &[Place]) -> Vec<f64> {
    let mut waits = Vec::new();
    for place in idle {
        let before = requests(world).await.len();
        let id = world
            .issue_as(&place.guild, &place.person, &place.text, "join", json!({}))
            .await;
        let issued = world.get(&format!("/interactions/{id}")).await["issued_ms"]
            .as_u64()
            .unwrap();
        let request = within(
            Duration::from_secs(70),
            "the bot joins where somebody asked",
            || async {
                let since = requests(world).await.split_off(before);
                let here = since.iter().find(|request| request.guild == place.guild).cloned();
                here.ok_or(since)
            },
        )
        .await;
        waits.push(count(request.at_ms - issued));
    }
    waits
}

/// One guild really plays; the others are stored as if they had, so that it does not take three minutes to seat them.
async fn everybody_played(world: &World, setup: &Setup, back: &[Place]) {
    let bot = setup.ready().await;
    crowd::play(world, &back[..1], "Alpha").await;
    let (status, log) = bot.terminate().await;
    assert!(status.success(), "{log:#?}");
    let store = store::open(&setup.address().to_owned().into()).await.unwrap();
    let played = store
        .guild(back[0].guild.parse().unwrap())
        .await
        .unwrap()
        .unwrap()
        .snapshot
        .head;
    let seed = MemberId("seed".to_owned());
    store
        .join(MemberRow::new(seed.clone(), "seed".to_owned()))
        .await
        .unwrap();
    for place in &back[1..] {
        copy(&store, &seed, &played, place).await;
    }
    assert!(store.set_state(&seed, MemberState::Gone).await.unwrap());
}

async fn copy(store: &SharedStore, seed: &MemberId, played: &Head, place: &Place) {
    let id = place.guild.parse().unwrap();
    let row = store.claim_guild(id, 0, None, seed).await.unwrap().ours().unwrap();
    let channel = place.voice.parse().unwrap();
    let head = Head {
        voice: played.voice.clone().map(|voice| VoiceRecord {
            channel,
            credentials: voice.credentials.map(|known| VoiceCredentials { channel, ..known }),
            listeners: vec![place.person.parse().unwrap()],
            ..voice
        }),
        text_channel: Some(place.text.parse().unwrap()),
        panel: None,
        ..played.clone()
    };
    let write = GuildWrite {
        id,
        owner: seed.clone(),
        epoch: row.epoch,
        rev: Rev(row.rev.0 + 1),
        active: true,
        ends_at_ms: None,
        head,
        lists: Some(row.snapshot.lists),
    };
    assert_eq!(store.write_guild(&write).await.unwrap(), store::Written::Done);
}
