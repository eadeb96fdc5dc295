//! Players and tracks, without a voice connection.

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::bench::{Answer, Bench, Session};

fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn load(bench: &Bench, identifier: &str) -> anyhow::Result<Answer> {
    let path = format!("/v4/loadtracks?identifier={}", percent(identifier));
    bench.rest(Method::GET, &path, None).await
}

fn track(bench: &Bench, title: &str) -> Value {
    json!({"identifier": bench.tracks.named(title, 60)})
}

fn identifier(value: &Value) -> &str {
    value["track"]["info"]["identifier"].as_str().unwrap_or_default()
}

pub(super) async fn l14(bench: &Bench) -> anyhow::Result<()> {
    let mut of = bench.session(None).await?;
    bench.patch(&of, &json!({"track": track(bench, "Row")})).await?;
    let began = Instant::now();
    of.socket.event("TrackStartEvent").await?;
    // Nothing is said of it for a minute but stats, so the wait is cut into pieces.
    let end = loop {
        match of.socket.event("TrackEndEvent").await {
            Ok(event) => break event,
            Err(_) if began.elapsed() < Duration::from_secs(85) => {}
            Err(error) => return Err(error),
        }
    };
    let after = began.elapsed().as_secs();
    ensure!(end["reason"] == "cleanup", "it ends with {}", end["reason"]);
    ensure!((59..=75).contains(&after), "it ends after {after} s");
    Ok(())
}

pub(super) async fn l15(bench: &Bench) -> anyhow::Result<()> {
    let mut of = bench.session(None).await?;
    let first = bench
        .patch(&of, &json!({"track": track(bench, "One"), "paused": true}))
        .await?;
    ensure!(
        identifier(&first) == bench.tracks.named("One", 60) && first["paused"] == true,
        "{first}"
    );
    of.socket.event("TrackStartEvent").await?;
    let kept = bench
        .player(
            &of,
            "?noReplace=true",
            &json!({"track": track(bench, "Two"), "volume": 2_000}),
        )
        .await?
        .body;
    ensure!(
        identifier(&kept) == bench.tracks.named("One", 60) && kept["volume"] == 1_000 && kept["paused"] == true,
        "with noReplace: {kept}"
    );
    let second = bench.patch(&of, &json!({"track": track(bench, "Two")})).await?;
    ensure!(
        identifier(&second) == bench.tracks.named("Two", 60) && second["paused"] == false,
        "{second}"
    );
    let end = of.socket.event("TrackEndEvent").await?;
    ensure!(end["reason"] == "replaced", "the first ends with {}", end["reason"]);
    of.socket.event("TrackStartEvent").await?;
    let none = bench.patch(&of, &json!({"track": {"encoded": null}})).await?;
    ensure!(none["track"].is_null(), "{none}");
    let end = of.socket.event("TrackEndEvent").await?;
    ensure!(end["reason"] == "stopped", "the second ends with {}", end["reason"]);
    for (body, status) in [
        (json!({"track": {"identifier": "nothing"}}), 400),
        (json!({"track": {"encoded": "x"}, "encodedTrack": "y"}), 400),
        (json!({"track": {"encoded": "???"}}), 500),
        (json!({"endTime": 0}), 400),
        (json!({"paused": "yes"}), 400),
    ] {
        let answer = bench.player(&of, "", &body).await?;
        ensure!(answer.status == status, "{body}: {} {}", answer.status, answer.text);
    }
    Ok(())
}

pub(super) async fn l18(bench: &Bench) -> anyhow::Result<()> {
    let found = load(bench, &bench.tracks.named("Row", 60)).await?;
    ensure!(
        found.status == 200 && found.body["loadType"] == "track",
        "{}",
        found.text
    );
    let length = found.body["data"]["info"]["length"].as_u64();
    ensure!(length == Some(60_000), "its length is {length:?}");
    let empty = load(bench, "nothing").await?;
    ensure!(
        empty.status == 200 && empty.body["loadType"] == "empty" && empty.text.contains("\"data\":null"),
        "{}",
        empty.text
    );
    let error = load(bench, &bench.tracks.failing()).await?;
    ensure!(
        error.status == 200 && error.body["loadType"] == "error" && error.body["data"]["severity"].is_string(),
        "{}",
        error.text
    );
    Ok(())
}

pub(super) async fn l19(bench: &Bench) -> anyhow::Result<()> {
    let of = bench.session(None).await?;
    bench.patch(&of, &json!({"volume": 50})).await?;
    let path = format!("/v4/sessions/{}/players/{}", of.id, of.guild);
    for _ in 0..2 {
        let answer = bench.rest(Method::DELETE, &path, None).await?;
        ensure!(answer.status == 204, "{answer:?}");
    }
    let gone = bench.shown(&of).await?;
    ensure!(
        gone.status == 404 && gone.body["message"] == "Player not found",
        "{gone:?}"
    );
    Ok(())
}

pub(super) async fn l21(bench: &Bench) -> anyhow::Result<()> {
    let count = async || -> anyhow::Result<(i64, i64)> {
        let stats = bench.rest(Method::GET, "/v4/stats", None).await?.body;
        Ok((
            stats["players"].as_i64().context("no players")?,
            stats["playingPlayers"].as_i64().context("no playingPlayers")?,
        ))
    };
    let (one, other) = (bench.session(None).await?, bench.session(None).await?);
    let before = count().await?;
    for of in [&one, &other] {
        bench.patch(of, &json!({"track": track(bench, "Row")})).await?;
    }
    bench.patch(&other, &json!({"paused": true})).await?;
    let after = count().await?;
    let more = (after.0 - before.0, after.1 - before.1);
    ensure!(
        more == (2, 1),
        "two players of two sessions, one paused, count {more:?}"
    );
    Ok(())
}

pub(super) async fn l22(bench: &Bench) -> anyhow::Result<()> {
    let mut of = bench.session(None).await?;
    let titles: Vec<String> = (0..6).map(|number| format!("Row{number}")).collect();
    for title in &titles {
        bench.patch(&of, &json!({"track": track(bench, title)})).await?;
    }
    let mut wanted = vec![("TrackStartEvent", 0)];
    for number in 1..titles.len() {
        wanted.extend([("TrackEndEvent", number - 1), ("TrackStartEvent", number)]);
    }
    for (kind, number) in wanted {
        let event = of.socket.next("event").await?;
        let right = event["type"] == kind && identifier(&event) == bench.tracks.named(&titles[number], 60);
        ensure!(right, "{kind} of {} should be next, and {event} is", titles[number]);
    }
    Ok(())
}

pub(super) async fn n6(bench: &Bench) -> anyhow::Result<()> {
    let of = bench.session(None).await?;
    let body = json!({"track": track(bench, "Row"), "position": 30_000, "paused": true});
    bench.patch(&of, &body).await?;
    let state = bench.shown(&of).await?.body["state"].clone();
    ensure!(state["position"] == 0, "its position is {}", state["position"]);
    Ok(())
}

pub(super) async fn n7(bench: &Bench) -> anyhow::Result<()> {
    let of = bench.session(None).await?;
    let failed = bench
        .player(&of, "", &json!({"track": {"identifier": "nothing"}}))
        .await?;
    ensure!(failed.status == 400, "{failed:?}");
    let path = format!("/v4/sessions/{}/players", of.id);
    let players = bench.rest(Method::GET, &path, None).await?.body;
    let guild = of.guild.to_string();
    let there = players
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one["guildId"] == guild));
    ensure!(there, "the players are {players}");
    Ok(())
}

pub(super) async fn n10(bench: &Bench) -> anyhow::Result<()> {
    let of = bench.session(None).await?;
    let whole = json!({"token": "t", "endpoint": "e", "sessionId": "s", "channelId": "1"});
    let changed = |key: &str, value: Option<Value>| {
        let mut voice = whole.clone();
        match value {
            Some(value) => voice[key] = value,
            None => drop(voice.as_object_mut().and_then(|fields| fields.remove(key))),
        }
        json!({"voice": voice})
    };
    let blank = "token, endpoint, sessionId and channelId must be provided in voice state";
    for (body, words) in [
        (changed("channelId", None), "Bad Request"),
        (changed("channelId", Some(json!(5))), "Bad Request"),
        (changed("token", None), "Bad Request"),
        (changed("endpoint", Some(Value::Null)), "Bad Request"),
        (changed("channelId", Some(Value::Null)), blank),
        (changed("channelId", Some(json!(""))), blank),
    ] {
        refused(bench, &of, &body, words).await?;
    }
    Ok(())
}

async fn refused(bench: &Bench, of: &Session, body: &Value, words: &str) -> anyhow::Result<()> {
    let answer = bench.player(of, "", body).await?;
    ensure!(
        answer.status == 400 && answer.body["message"] == words,
        "{body}: {} {}",
        answer.status,
        answer.text
    );
    Ok(())
}

pub(super) async fn n14(bench: &Bench) -> anyhow::Result<()> {
    for (path, status) in [("/v4/loadtracks", 400), ("/v4/decodetrack?encodedTrack=%3F%3F", 500)] {
        let answer = bench.rest(Method::GET, path, None).await?;
        ensure!(answer.status == status, "{path}: {} {}", answer.status, answer.text);
        ensure!(
            answer.body["path"].is_string(),
            "{path} is refused with {}",
            answer.text
        );
    }
    Ok(())
}

pub(super) async fn n15(bench: &Bench) -> anyhow::Result<()> {
    let of = bench.session(None).await?;
    let player = bench.patch(&of, &json!({"volume": 50})).await?;
    let state = &player["state"];
    ensure!(
        state["ping"] == -1 && state["connected"] == false,
        "its state is {state}"
    );
    Ok(())
}
