//! Who is let in.

use anyhow::ensure;
use reqwest::Method;

use crate::bench::Bench;
use crate::socket::Said;

pub(super) async fn l1(bench: &Bench) -> anyhow::Result<()> {
    let right = ("Authorization", bench.password.as_str());
    let user = ("User-Id", "1");
    let table = [
        (vec![user], 401),
        (vec![("Authorization", "wrong"), user], 401),
        (vec![right], 400),
        (vec![right, ("User-Id", "0")], 400),
    ];
    for (headers, wanted) in table {
        match bench.handshake(&headers).await? {
            Err(status) => ensure!(status == wanted, "{headers:?} gets {status}, not {wanted}"),
            Ok(_) => anyhow::bail!("{headers:?} is let in, not refused with {wanted}"),
        }
    }
    let socket = bench.session(None).await?.socket;
    for (name, wanted) in [("Session-Resumed", "false"), ("Lavalink-Api-Version", "4")] {
        let found = socket.headers.get(name).and_then(|value| value.to_str().ok());
        ensure!(found == Some(wanted), "the header {name} is {found:?}, not {wanted}");
    }
    Ok(())
}

pub(super) async fn l2(bench: &Bench) -> anyhow::Result<()> {
    let headers = [("Authorization", bench.password.as_str()), ("User-Id", "1")];
    let socket = bench.handshake(&headers).await?;
    let mut socket = socket.map_err(|status| anyhow::anyhow!("refused with {status}"))?;
    let mut first = Vec::new();
    for _ in 0..2 {
        match socket.read().await? {
            Said::Message(message) => first.push(message["op"].as_str().unwrap_or_default().to_owned()),
            Said::Closed(code) => anyhow::bail!("it closes with {code:?}"),
        }
    }
    first.sort_unstable();
    ensure!(first == ["ready", "stats"], "the first two messages are {first:?}");
    Ok(())
}

pub(super) async fn l3(bench: &Bench) -> anyhow::Result<()> {
    for (password, wanted) in [(None, 401), (Some("wrong"), 403)] {
        let answer = bench.ask(Method::GET, "/v4/info", password, None).await?;
        ensure!(
            (answer.status, answer.text.as_str()) == (wanted, ""),
            "with {password:?}: {answer:?}, not {wanted} and nothing"
        );
        ensure!(
            answer.api_version.as_deref() == Some("4"),
            "Lavalink-Api-Version is {:?}",
            answer.api_version
        );
    }
    let info = bench.rest(Method::GET, "/v4/info", None).await?;
    ensure!(info.status == 200 && info.body["version"].is_object(), "{info:?}");
    Ok(())
}

pub(super) async fn n14(bench: &Bench) -> anyhow::Result<()> {
    let headers = [("Authorization", bench.password.as_str()), ("User-Id", "segue")];
    let socket = bench.handshake(&headers).await?;
    let mut socket = socket.map_err(|status| anyhow::anyhow!("refused with {status}, not let in and closed"))?;
    let said = socket.read().await?;
    ensure!(matches!(said, Said::Closed(Some(1011))), "it says {said:?}");
    Ok(())
}

pub(super) async fn n14_path(bench: &Bench) -> anyhow::Result<()> {
    let answer = bench.ask(Method::GET, "/nowhere?trace=true", None, None).await?;
    ensure!(answer.status == 404, "{answer:?}");
    ensure!(
        answer.body["path"] == "/nowhere" && answer.body["status"] == 404,
        "{}",
        answer.body
    );
    ensure!(
        bench.rest(Method::GET, "/v4/info", None).await?.status == 200,
        "the server answers nothing else"
    );
    Ok(())
}
