//! Whether Discord takes the token, and how far the clock is off.

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use url::Url;

use super::fetch::{Answer, Fetch};
use super::verdict::Verdict;
use crate::config::Settings;

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

/// What Discord's REST API answers to the token.
pub(super) async fn ask(settings: &Settings, fetch: &Fetch, route: &str) -> Result<Answer, String> {
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
pub(super) fn refused(answer: &Result<Answer, String>) -> Result<&Answer, Verdict> {
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
        429 => Err(Verdict::wrong(
            "not known, since Discord asks to slow down (429)",
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

    #[test]
    fn a_token_is_judged_by_what_discord_says_to_it() {
        let cases = [
            (answer(200, r#"{"id":"7","username":"Ann","bot":true}"#), 'f', "Ann (7)"),
            (answer(200, r#"{"id":"7","username":"Ann"}"#), 'w', "a person's"),
            (answer(401, r#"{"message":"401: Unauthorized"}"#), 'w', "DISCORD_TOKEN"),
            (answer(429, ""), 'w', "slow down"),
            (answer(503, ""), 'w', "503"),
            (answer(200, "<html>"), 'w', "not Discord's"),
            (Err("refused".to_owned()), 'w', "cannot be reached (refused)"),
        ];
        for (answer, kind, part) in cases {
            let (found, text) = judge_token(&answer).said();
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
            let (found, text) = judge_clock(Some(date), at(here)).said();
            assert!(found == kind && text.contains(part), "{here}: {found} {text}");
        }
        assert_eq!(judge_clock(None, Timestamp::UNIX_EPOCH).said().0, 'c');
        assert_eq!(judge_clock(Some("soon"), Timestamp::UNIX_EPOCH).said().0, 'c');
    }
}
