//! What needs a voice connection.

use anyhow::ensure;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use crate::bench::{Bench, Session};
use crate::socket::until;

async fn position(bench: &Bench, of: &Session) -> anyhow::Result<i64> {
    Ok(bench.shown(of).await?.body["state"]["position"]
        .as_i64()
        .unwrap_or_default())
}

pub(super) async fn l11(bench: &Bench) -> anyhow::Result<()> {
    let mut of = bench.playing().await?;
    let voice = bench.shown(&of).await?.body["voice"].clone();
    let same = bench.patch(&of, &json!({"voice": voice})).await?;
    ensure!(
        same["state"]["connected"] == true,
        "with the same voice: {}",
        same["state"]
    );
    let told = of
        .socket
        .tells_within("WebSocketClosedEvent", Duration::from_millis(500))
        .await;
    ensure!(!told, "the same voice closes the connection");
    let other = bench.sound.credentials(of.guild);
    let changed = bench.patch(&of, &json!({"voice": other})).await?;
    ensure!(changed["voice"] == other, "with another voice: {}", changed["voice"]);
    let closed = of.socket.event("WebSocketClosedEvent").await?;
    ensure!(
        closed["code"] == 1000 && closed["byRemote"] == false,
        "it says {closed}"
    );
    until("the new connection", async || {
        Ok((bench.shown(&of).await?.body["state"]["connected"] == true).then_some(()))
    })
    .await
}

pub(super) async fn l16(bench: &Bench) -> anyhow::Result<()> {
    let of = bench.playing().await?;
    let (began, from) = (Instant::now(), position(bench, &of).await?);
    sleep(Duration::from_secs(2)).await;
    let (took, to) = (began.elapsed().as_millis(), position(bench, &of).await?);
    let advanced = to - from;
    let off = (advanced - i64::try_from(took)?).abs();
    ensure!(off < 300, "it advances by {advanced} ms in {took} ms");
    bench.patch(&of, &json!({"paused": true})).await?;
    let frozen = position(bench, &of).await?;
    sleep(Duration::from_millis(600)).await;
    let later = position(bench, &of).await?;
    ensure!(later == frozen, "paused, it goes from {frozen} to {later}");
    bench.patch(&of, &json!({"position": 30_000, "paused": false})).await?;
    until("a position after the seek", async || {
        Ok((position(bench, &of).await? >= 30_000).then_some(()))
    })
    .await
}

pub(super) async fn l17(bench: &Bench) -> anyhow::Result<()> {
    let of = bench.playing().await?;
    bench.patch(&of, &json!({"position": 20_000})).await?;
    let encoded = async || -> anyhow::Result<String> {
        let player = bench.shown(&of).await?.body;
        Ok(player["track"]["encoded"].as_str().unwrap_or_default().to_owned())
    };
    let first = encoded().await?;
    let second = until("another encoding", async || {
        let next = encoded().await?;
        Ok((next != first).then_some(next))
    })
    .await?;
    let text: String = url::form_urlencoded::byte_serialize(second.as_bytes()).collect();
    let path = format!("/v4/decodetrack?encodedTrack={text}");
    let decoded = bench.rest(Method::GET, &path, None).await?.body;
    let at = decoded["info"]["position"].as_i64().unwrap_or_default();
    ensure!(at >= 20_000, "decoded it is at {at}");
    bench.patch(&of, &json!({"track": {"encoded": second}})).await?;
    until("the position inside the encoded track", async || {
        Ok((position(bench, &of).await? >= at).then_some(()))
    })
    .await
}

pub(super) async fn n11(bench: &Bench) -> anyhow::Result<()> {
    let mut of = bench.playing().await?;
    bench.patch(&of, &json!({"paused": true})).await?;
    let frozen = position(bench, &of).await?;
    // Those of the start came before; this one is the period's.
    let update = loop {
        let update = of.socket.next("playerUpdate").await?;
        if update["state"]["position"] == frozen {
            break update;
        }
    };
    ensure!(update["state"]["connected"] == true, "it says {update}");
    let began = Instant::now();
    let next = of.socket.next("playerUpdate").await?;
    let after = began.elapsed().as_millis();
    ensure!(
        next["state"]["position"] == frozen,
        "the next says {next}, not {frozen}"
    );
    ensure!((4_500..=5_500).contains(&after), "the next comes after {after} ms");
    Ok(())
}
