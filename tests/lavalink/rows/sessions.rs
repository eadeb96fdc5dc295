//! Sessions that are paused, resumed, and lost.

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::bench::{Bench, Session};
use crate::socket::{Said, until};

/// A session with a player, armed, whose socket is gone.
async fn paused(bench: &Bench, seconds: i64) -> anyhow::Result<(String, u64)> {
    let Session { socket, id, guild, .. } = with_player(bench).await?;
    bench.arm(&id, seconds).await?;
    socket.close(4000).await?;
    bench.paused(&id).await?;
    Ok((id, guild))
}

async fn with_player(bench: &Bench) -> anyhow::Result<Session> {
    let of = bench.session(None).await?;
    bench.patch(&of, &json!({"volume": 70})).await?;
    Ok(of)
}

pub(super) async fn l4(bench: &Bench) -> anyhow::Result<()> {
    let of = bench.session(None).await?;
    let path = format!("/v4/sessions/{}", of.id);
    let read = bench.rest(Method::PATCH, &path, Some(&json!({}))).await?;
    ensure!(
        read.body == json!({"resuming": false, "timeout": 60}),
        "at first it is {}",
        read.text
    );
    bench.arm(&of.id, 30).await?;
    let read = bench.rest(Method::PATCH, &path, Some(&json!({}))).await?;
    ensure!(
        read.body == json!({"resuming": true, "timeout": 30}),
        "armed it is {}",
        read.text
    );
    let unknown = bench
        .rest(Method::PATCH, "/v4/sessions/nobody", Some(&json!({})))
        .await?;
    ensure!(
        unknown.status == 404 && unknown.body["message"] == "Session not found",
        "{unknown:?}"
    );
    Ok(())
}

pub(super) async fn l5(bench: &Bench) -> anyhow::Result<()> {
    let Session { socket, id, .. } = with_player(bench).await?;
    socket.close(4000).await?;
    bench.paused(&id).await?;
    let next = bench.session(Some(&id)).await?;
    ensure!(
        !next.resumed && next.id != id,
        "it was resumed though it was never armed"
    );
    Ok(())
}

pub(super) async fn l6(bench: &Bench) -> anyhow::Result<()> {
    let (id, guild) = paused(bench, 60).await?;
    let player = format!("/v4/sessions/{id}/players/{guild}");
    let session = format!("/v4/sessions/{id}");
    for (method, path) in [
        (Method::GET, player.as_str()),
        (Method::PATCH, &player),
        (Method::DELETE, &player),
        (Method::PATCH, &session),
    ] {
        let answer = bench.rest(method.clone(), path, Some(&json!({}))).await?;
        ensure!(
            answer.status == 404 && answer.body["message"] == "Session not found",
            "{method} {path}: {answer:?}"
        );
    }
    Ok(())
}

pub(super) async fn l7(bench: &Bench) -> anyhow::Result<()> {
    let (id, guild) = paused(bench, 60).await?;
    let mut of = bench.session(Some(&id)).await?;
    ensure!(
        of.resumed && of.id == id,
        "resumed {}, with the id {}",
        of.resumed,
        of.id
    );
    let header = of
        .socket
        .headers
        .get("Session-Resumed")
        .context("no header Session-Resumed")?;
    ensure!(header == "true", "the header Session-Resumed is {header:?}");
    let update = of.socket.next("playerUpdate").await?;
    let wanted = guild.to_string();
    ensure!(update["guildId"] == wanted, "the first update is {update}");
    let path = format!("/v4/sessions/{id}");
    let settings = bench.rest(Method::PATCH, &path, Some(&json!({}))).await?;
    ensure!(
        settings.body == json!({"resuming": true, "timeout": 60}),
        "its settings are {}",
        settings.text
    );
    let player = bench
        .rest(Method::GET, &format!("{path}/players/{guild}"), None)
        .await?;
    ensure!(player.body["volume"] == 70, "its player is {}", player.text);
    Ok(())
}

pub(super) async fn l8(bench: &Bench) -> anyhow::Result<()> {
    let (id, _) = paused(bench, 1).await?;
    let began = Instant::now();
    until("the timeout", async || {
        Ok((began.elapsed() > Duration::from_millis(1_500)).then_some(()))
    })
    .await?;
    let next = bench.session(Some(&id)).await?;
    ensure!(
        !next.resumed && next.id != id,
        "it was resumed half a second after its timeout"
    );
    Ok(())
}

pub(super) async fn l9(bench: &Bench) -> anyhow::Result<()> {
    let mut of = with_player(bench).await?;
    bench.arm(&of.id, 60).await?;
    let second = bench.session(Some(&of.id)).await?;
    ensure!(
        !second.resumed && second.id != of.id,
        "the second socket took the session over"
    );
    ensure!(bench.shown(&of).await?.status == 200, "the first session is gone");
    bench
        .patch(&of, &json!({"track": {"identifier": bench.tracks.named("Row", 60)}}))
        .await?;
    of.socket
        .event("TrackStartEvent")
        .await
        .context("on the first socket")?;
    Ok(())
}

/// A handshake that names a session and is no upgrade; the header `Session-Resumed` of its answer.
async fn abort(bench: &Bench, session: &str) -> anyhow::Result<(u16, Option<String>)> {
    let request = reqwest::Client::builder().no_proxy().build()?;
    let answer = request
        .get(format!("{}/v4/websocket", bench.url))
        .header("Authorization", &bench.password)
        .header("User-Id", "1")
        .header("Session-Id", session)
        .send()
        .await?;
    let header = answer
        .headers()
        .get("Session-Resumed")
        .and_then(|value| value.to_str().ok());
    Ok((answer.status().as_u16(), header.map(str::to_owned)))
}

pub(super) async fn l10(bench: &Bench) -> anyhow::Result<()> {
    let (id, _) = paused(bench, 1).await?;
    abort(bench, &id).await?;
    let began = Instant::now();
    until("the time of its timeout", async || {
        Ok((began.elapsed() > Duration::from_millis(1_500)).then_some(()))
    })
    .await?;
    let next = bench.session(Some(&id)).await?;
    let header = next
        .socket
        .headers
        .get("Session-Resumed")
        .context("no header Session-Resumed")?;
    ensure!(header == "false", "the header Session-Resumed is {header:?}");
    ensure!(next.resumed && next.id == id, "the session died at its timeout");
    Ok(())
}

pub(super) async fn n4(bench: &Bench) -> anyhow::Result<()> {
    let (id, _) = paused(bench, 60).await?;
    let answer = abort(bench, &id).await?;
    ensure!(
        answer == (400, Some("true".to_owned())),
        "the status and the header are {answer:?}"
    );
    Ok(())
}

pub(super) async fn n14_timeout(bench: &Bench) -> anyhow::Result<()> {
    let mut of = bench.session(None).await?;
    for seconds in [0, -5] {
        bench.arm(&of.id, seconds).await?;
    }
    // It is alive all the same.
    bench
        .patch(&of, &json!({"track": {"identifier": bench.tracks.named("Row", 60)}}))
        .await?;
    let said = of.socket.read().await?;
    ensure!(matches!(said, Said::Message(_)), "the socket says {said:?}");
    Ok(())
}
