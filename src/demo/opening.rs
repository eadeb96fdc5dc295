//! The opening scene: in every guild people sit down in a voice channel and ask for music.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::acts::answer;
use super::control::Control;
use super::wire::{Channel, Guild};

/// Guilds that are served at the same time.
const AT_ONCE: usize = 6;
/// How long one guild may take until it plays.
const PLAYS_WITHIN: Duration = Duration::from_mins(1);
/// From one try or look to the next.
const TRY_AGAIN: Duration = Duration::from_millis(300);
/// Tracks that each guild asks for.
const TRACKS_EACH: usize = 3;
/// Title and length in seconds.
const TRACKS: [(&str, u64); 20] = [
    ("Night Drive", 74),
    ("Paper Boats", 58),
    ("Harbour Lights", 91),
    ("Slow Weather", 66),
    ("Copper Wires", 83),
    ("The Long Corridor", 102),
    ("Second Sunrise", 71),
    ("Glass Elevator", 64),
    ("Moth and Lantern", 88),
    ("Northbound", 79),
    ("Salt on the Window", 95),
    ("A Room with Echoes", 69),
    ("Velvet Static", 61),
    ("Orchard Road", 86),
    ("Tin Roof Rain", 77),
    ("Halfway to Anywhere", 98),
    ("Blue Hour", 56),
    ("Quiet Machines", 81),
    ("Lighthouse Keeper", 93),
    ("Last Tram Home", 67),
];

/// Makes every guild play; `progress` is told how many do and how many there are.
pub async fn play(control: &Control, mut progress: impl FnMut(usize, usize)) -> anyhow::Result<()> {
    let guilds = control.world().await?.guilds;
    let all = guilds.len();
    let mut served = stream::iter(guilds.into_iter().enumerate())
        .map(|(index, guild)| serve(control, index, guild))
        .buffer_unordered(AT_ONCE);
    let mut playing = 0;
    while let Some(outcome) = served.next().await {
        outcome?;
        playing += 1;
        progress(playing, all);
    }
    Ok(())
}

async fn serve(control: &Control, index: usize, guild: Guild) -> anyhow::Result<()> {
    let name = guild.name.clone();
    let mut last = Value::Null;
    let scene = seat_and_ask(control, index, &guild, &mut last);
    let limited = tokio::time::timeout(PLAYS_WITHIN, scene).await;
    limited
        .map_err(|_| {
            anyhow::anyhow!(
                "no music within {} s; the bot's last answer: {last}",
                PLAYS_WITHIN.as_secs()
            )
        })
        .flatten()
        .with_context(|| format!("guild {name} ({})", guild.id))
}

async fn seat_and_ask(control: &Control, index: usize, guild: &Guild, last: &mut Value) -> anyhow::Result<()> {
    let voice = channel(&guild.channels, "voice")?;
    let text = channel(&guild.channels, "text")?;
    let people = guild.members.iter().take(1 + index % 3);
    for person in people {
        control.voice(&guild.id, &person.id, Some(&voice.id)).await?;
    }
    let host = &guild.members.first().context("nobody is in the guild")?.id;
    for turn in 0..TRACKS_EACH {
        let (title, seconds) = TRACKS[(index * 7 + turn * 3) % TRACKS.len()];
        let options = json!({"query": format!("sim:{}?length={seconds}", title.replace(' ', "+"))});
        *last = ask(control, guild, host, &text.id, "play", options).await?;
    }
    *last = ask(control, guild, host, &text.id, "loop", json!({"mode": "queue"})).await?;
    while !control.audio(&guild.id, 0).await?.playing {
        sleep(TRY_AGAIN).await;
    }
    Ok(())
}

/// Issues a command, again while Discord does not know it yet or the bot does not answer.
async fn ask(
    control: &Control,
    guild: &Guild,
    user: &str,
    channel: &str,
    name: &str,
    options: Value,
) -> anyhow::Result<Value> {
    let body = json!({"user": user, "channel": channel, "name": name, "options": options});
    let until = Instant::now() + PLAYS_WITHIN / 2;
    loop {
        let refused = match control.command(&guild.id, &body).await {
            Ok(id) => match answer(control, &id).await {
                Ok(seen) if !seen["replied_ms"].is_null() => return Ok(seen["message"].clone()),
                Ok(seen) => anyhow::anyhow!("/{name} got no answer: {seen}"),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if Instant::now() >= until {
            return Err(refused);
        }
        sleep(TRY_AGAIN).await;
    }
}

fn channel<'a>(channels: &'a [Channel], kind: &str) -> anyhow::Result<&'a Channel> {
    channels
        .iter()
        .find(|channel| channel.kind == kind)
        .with_context(|| format!("there is no {kind} channel"))
}
