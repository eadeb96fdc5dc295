//! Whether shards can connect to Discord's gateway, and whether enough of today's session starts are left for them.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::discord::{ask, refused};
use super::fetch::{Answer, Fetch, causes};
use super::verdict::Verdict;
use crate::cluster::budget;
use crate::config::{Settings, Shards};

/// How long the gateway may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize)]
struct GatewayBot {
    /// Where shards connect to.
    url: String,
    shards: u32,
    session_start_limit: SessionStarts,
}

#[derive(Debug, Deserialize)]
struct SessionStarts {
    total: u32,
    remaining: u32,
    /// Milliseconds.
    reset_after: u64,
    max_concurrency: u32,
}

/// The session starts that are left, and the gateway's hello; nobody logs in.
pub(super) async fn check(settings: &Settings, fetch: &Fetch) -> Verdict {
    let answer = ask(settings, fetch, "gateway/bot").await;
    let bot: GatewayBot = match refused(&answer).map(Answer::json) {
        Err(verdict) => return verdict,
        Ok(None) => return Verdict::wrong("the answer is not Discord's", "check SEGUE_DISCORD_API_URL"),
        Ok(Some(bot)) => bot,
    };
    let starts = judge_starts(&bot, settings.shards);
    if starts.is_wrong() {
        return starts;
    }
    let url = settings.discord_gateway_url.as_ref().unwrap_or(&bot.url);
    let hello = tokio::time::timeout(HELLO_WITHIN, hello(url)).await;
    let hello = hello.unwrap_or_else(|_| Err(format!("no hello within {} s", HELLO_WITHIN.as_secs())));
    hello.map_or_else(|why| unreachable(url, &why), |()| starts)
}

/// Opens a connection until it is greeted (<https://docs.discord.com/developers/events/gateway#hello-event>).
async fn hello(url: &str) -> Result<(), String> {
    let mut url = Url::parse(url).map_err(|error| error.to_string())?;
    url.set_query(Some("v=10&encoding=json"));
    let (mut socket, _) = connect_async(url.as_str()).await.map_err(|error| causes(&error))?;
    let first = socket
        .next()
        .await
        .ok_or("it hung up")?
        .map_err(|error| causes(&error))?;
    let _already_gone = socket.close(None).await;
    match first {
        Message::Text(text) if is_hello(&text) => Ok(()),
        Message::Text(_)
        | Message::Binary(_)
        | Message::Ping(_)
        | Message::Pong(_)
        | Message::Close(_)
        | Message::Frame(_) => Err("what answers is not Discord's gateway".to_owned()),
    }
}

fn is_hello(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|payload| payload["op"] == 10)
}

fn unreachable(url: &str, why: &str) -> Verdict {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_else(|| "gateway.discord.gg".to_owned());
    Verdict::wrong(
        format!("the gateway at {host} cannot be reached ({why})"),
        "let this machine open WebSockets there, and check SEGUE_DISCORD_GATEWAY_URL if it is set",
    )
}

fn judge_starts(bot: &GatewayBot, wanted: Shards) -> Verdict {
    let SessionStarts {
        total,
        remaining,
        reset_after,
        max_concurrency,
    } = bot.session_start_limit;
    let shards = match wanted {
        Shards::Auto => bot.shards,
        Shards::Count(count) => count,
    };
    let seen = format!(
        "{shards} shard(s), {max_concurrency} at a time; {remaining} of {total} session starts left; no privileged intents needed"
    );
    // As every replica does before it starts a session.
    let reserve = budget::reserve(shards, total);
    if total.saturating_sub(reserve) < shards {
        return Verdict::wrong(
            format!(
                "{total} session starts a day, {reserve} of them kept in reserve, are too few for {shards} shard(s)"
            ),
            "start fewer shards, as SEGUE_SHARDS=auto does",
        );
    }
    if remaining.saturating_sub(reserve) < shards {
        let hours = reset_after.div_ceil(3_600_000);
        return Verdict::wrong(
            format!(
                "only {remaining} of {total} session starts left, {reserve} of them kept in reserve, and {shards} shard(s) to start"
            ),
            format!("wait {hours} h until Discord resets them, and find out what reconnects so often"),
        );
    }
    if shards < bot.shards {
        return Verdict::careful(
            format!("{shards} shard(s), but Discord recommends {}", bot.shards),
            "set SEGUE_SHARDS=auto; above 2,500 guilds a shard Discord refuses to connect",
        );
    }
    if remaining < total / 10 {
        return Verdict::careful(seen, "find out what reconnects so often before the rest is used up");
    }
    Verdict::fine(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_of_session_starts_is_judged_by_what_the_shards_need() {
        let bot = |shards: u32, remaining: u32| GatewayBot {
            url: String::new(),
            shards,
            session_start_limit: SessionStarts {
                total: 1_000,
                remaining,
                reset_after: 7_000_000,
                max_concurrency: 1,
            },
        };
        let cases = [
            (bot(1, 998), Shards::Auto, 'f', "998 of 1000"),
            (bot(4, 3), Shards::Auto, 'w', "wait 2 h"),
            (bot(1, 3), Shards::Count(4), 'w', "4 shard(s) to start"),
            (bot(4, 998), Shards::Count(2), 'c', "recommends 4"),
            (bot(1, 0), Shards::Auto, 'w', "wait 2 h"),
            (bot(1, 10), Shards::Auto, 'w', "10 of them kept in reserve"),
            (bot(1, 11), Shards::Auto, 'c', "reconnects so often"),
            (bot(1, 50), Shards::Auto, 'c', "reconnects so often"),
            (bot(20, 39), Shards::Auto, 'w', "20 of them kept in reserve"),
            (bot(20, 40), Shards::Auto, 'c', "reconnects so often"),
            (bot(1, 999), Shards::Count(600), 'w', "too few for 600"),
        ];
        for (bot, shards, kind, part) in cases {
            let (found, text) = judge_starts(&bot, shards).said();
            assert!(found == kind && text.contains(part), "{bot:?}: {found} {text}");
        }
    }
}
