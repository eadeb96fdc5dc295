//! Whether Discord takes the token, what it leaves of today's session starts, and how far the clock is off.

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use url::Url;

use super::fetch::{Answer, Fetch};
use super::verdict::Verdict;
use crate::cluster::budget;
use crate::config::{Settings, Shards};

/// Discord's REST API.
const DISCORD: &str = "https://discord.com";

/// A clock that is further off than this is told of; `Date` has whole seconds, so less cannot be told.
const MOST_OFFSET: SignedDuration = SignedDuration::from_secs(2);

#[derive(Debug, Deserialize)]
struct Me {
    id: String,
    username: String,
    #[serde(default)]
    bot: bool,
}

#[derive(Debug, Deserialize)]
struct GatewayBot {
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

/// The token, and the clock by the same answer.
pub(super) async fn token_and_clock(settings: &Settings, fetch: &Fetch) -> (Verdict, Verdict) {
    let before = Timestamp::now();
    let answer = ask(settings, fetch, "users/@me").await;
    let after = Timestamp::now();
    let middle = before + after.duration_since(before) / 2;
    let clock = match &answer {
        Ok(answer) => judge_clock(answer.date.as_deref(), middle),
        Err(_) => Verdict::careful("not compared, since Discord did not answer", "see the token's line"),
    };
    (judge_token(&answer), clock)
}

/// The session starts that are left.
pub(super) async fn gateway(settings: &Settings, fetch: &Fetch) -> Verdict {
    judge_gateway(&ask(settings, fetch, "gateway/bot").await, settings.shards)
}

async fn ask(settings: &Settings, fetch: &Fetch, route: &str) -> Result<Answer, String> {
    let base = settings.discord_api_url.clone();
    let base = base
        .map_or_else(|| Url::parse(DISCORD), Ok)
        .map_err(|error| error.to_string())?;
    let url = base
        .join(&format!("/api/v10/{route}"))
        .map_err(|error| error.to_string())?;
    let authorization = format!("Bot {}", settings.discord_token.expose_secret());
    fetch.get(&url, &authorization).await
}

/// What keeps any answer from being judged further.
fn refused(answer: &Result<Answer, String>) -> Result<&Answer, Verdict> {
    let answer = answer.as_ref().map_err(|why| {
        Verdict::wrong(
            format!("Discord cannot be reached ({why})"),
            "let this machine reach discord.com on port 443, and check SEGUE_DISCORD_API_URL if it is set",
        )
    })?;
    match answer.status {
        200 => Ok(answer),
        401 => Err(Verdict::wrong(
            "Discord refuses the token (401)",
            "copy it again from https://discord.com/developers/applications (Bot, Reset Token) into DISCORD_TOKEN",
        )),
        429 => Err(Verdict::careful(
            "Discord asks to slow down (429)",
            "wait a few minutes and ask again; nothing else should use this token",
        )),
        status => Err(Verdict::wrong(
            format!("Discord answered {status}"),
            "look at https://discordstatus.com, and check SEGUE_DISCORD_API_URL if it is set",
        )),
    }
}

fn judge_token(answer: &Result<Answer, String>) -> Verdict {
    match refused(answer).map(Answer::json::<Me>) {
        Err(verdict) => verdict,
        Ok(Some(me)) if me.bot => Verdict::fine(format!("logged in as {} ({})", me.username, me.id)),
        Ok(Some(_)) => Verdict::wrong(
            "the token is a person's, not a bot's",
            "create a bot at https://discord.com/developers/applications; automated persons are against Discord's terms",
        ),
        Ok(None) => Verdict::wrong("the answer is not Discord's", "check SEGUE_DISCORD_API_URL"),
    }
}

fn judge_gateway(answer: &Result<Answer, String>, wanted: Shards) -> Verdict {
    let bot: GatewayBot = match refused(answer).map(Answer::json) {
        Err(verdict) => return verdict,
        Ok(None) => return Verdict::wrong("the answer is not Discord's", "check SEGUE_DISCORD_API_URL"),
        Ok(Some(bot)) => bot,
    };
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

fn judge_clock(date: Option<&str>, here: Timestamp) -> Verdict {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let there = date.and_then(|date| PARSER.parse_timestamp(date.replace("GMT", "+0000")).ok());
    let Some(there) = there else {
        return Verdict::careful(
            "not compared, since Discord's answer has no date",
            "compare it with another clock",
        );
    };
    // The header is cut to the second, so the middle of that second is the best guess.
    let offset = here.duration_since(there) - SignedDuration::from_millis(500);
    if offset.abs() <= MOST_OFFSET {
        return Verdict::fine("agrees with Discord's");
    }
    let direction = if offset.is_negative() { "behind" } else { "ahead of" };
    Verdict::careful(
        format!("{:.1} s {direction} Discord's", offset.abs().as_secs_f64()),
        "run an NTP client (systemd-timesyncd, chrony); ages of snapshots are told by this clock",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "as the judges take it")]
    fn answer(status: u16, body: &str) -> Result<Answer, String> {
        Ok(Answer {
            status,
            date: None,
            body: body.to_owned(),
        })
    }

    fn said(verdict: &Verdict) -> (char, String) {
        match verdict {
            Verdict::Fine(seen) => ('f', seen.clone()),
            Verdict::Careful { what, todo } => ('c', format!("{what} {todo}")),
            Verdict::Wrong { what, todo } => ('w', format!("{what} {todo}")),
        }
    }

    #[test]
    fn a_token_is_judged_by_what_discord_says_to_it() {
        let cases = [
            (answer(200, r#"{"id":"7","username":"Ann","bot":true}"#), 'f', "Ann (7)"),
            (answer(200, r#"{"id":"7","username":"Ann"}"#), 'w', "a person's"),
            (answer(401, r#"{"message":"401: Unauthorized"}"#), 'w', "DISCORD_TOKEN"),
            (answer(429, ""), 'c', "slow down"),
            (answer(503, ""), 'w', "503"),
            (answer(200, "<html>"), 'w', "not Discord's"),
            (Err("refused".to_owned()), 'w', "cannot be reached (refused)"),
        ];
        for (answer, kind, part) in cases {
            let (found, text) = said(&judge_token(&answer));
            assert!(found == kind && text.contains(part), "{answer:?}: {found} {text}");
        }
    }

    #[test]
    fn the_budget_of_session_starts_is_judged_by_what_the_shards_need() {
        let bot = |shards: u32, remaining: u32| {
            answer(
                200,
                &format!(
                    r#"{{"url":"wss://x","shards":{shards},"session_start_limit":{{"total":1000,"remaining":{remaining},"reset_after":7000000,"max_concurrency":1}}}}"#
                ),
            )
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
            (answer(401, ""), Shards::Auto, 'w', "refuses the token"),
        ];
        for (answer, shards, kind, part) in cases {
            let (found, text) = said(&judge_gateway(&answer, shards));
            assert!(found == kind && text.contains(part), "{answer:?}: {found} {text}");
        }
    }

    #[test]
    fn a_clock_may_be_two_seconds_off() {
        let date = "Tue, 15 Nov 1994 08:12:31 GMT";
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let cases = [
            ("1994-11-15T08:12:31.9Z", 'f', "agrees"),
            ("1994-11-15T08:12:33.4Z", 'f', "agrees"),
            ("1994-11-15T08:12:34.5Z", 'c', "3.0 s ahead of"),
            ("1994-11-15T08:12:01.5Z", 'c', "30.0 s behind"),
        ];
        for (here, kind, part) in cases {
            let (found, text) = said(&judge_clock(Some(date), at(here)));
            assert!(found == kind && text.contains(part), "{here}: {found} {text}");
        }
        assert_eq!(said(&judge_clock(None, Timestamp::UNIX_EPOCH)).0, 'c');
        assert_eq!(said(&judge_clock(Some("soon"), Timestamp::UNIX_EPOCH)).0, 'c');
    }
}
