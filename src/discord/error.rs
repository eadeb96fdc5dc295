//! Why Discord did not do what was asked.

use std::time::Duration;

use serde::Deserialize;

/// A call to Discord's REST API that failed. The codes: <https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscordError {
    /// There is no such thing (any more): the interaction is too old (10062), the message (10008), channel (10003), guild
    /// (10004) or voice state (10065) is gone.
    #[error("Discord knows no such thing (code {code})")]
    Unknown {
        /// Discord's code.
        code: u64,
    },
    /// The interaction was answered before (40060).
    #[error("the interaction was answered before")]
    AlreadyAcknowledged,
    /// The interaction's or webhook's token is over its 15 minutes.
    #[error("the interaction's token has expired")]
    Expired,
    /// The bot lacks a permission or access.
    #[error("Discord forbids it (code {code})")]
    Forbidden {
        /// Discord's code.
        code: u64,
    },
    /// Too much was asked, by us or (globally) by all replicas.
    #[error("rate limited for {retry_after:?}")]
    RateLimited {
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// The bot's token is not valid. Nothing is sent with it for a minute.
    #[error("Discord refused the bot's token")]
    TokenRefused,
    /// Any other refusal: a mistake of ours.
    #[error("Discord refused (status {status}, code {code})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Discord's code; 0 without.
        code: u64,
    },
    /// Discord cannot be reached, answers with a server error, or with something unreadable.
    #[error("Discord is not available (status {status})")]
    Down {
        /// HTTP status; 0 when nothing came back.
        status: u16,
    },
    /// No answer within the deadline; it may or may not have been done.
    #[error("Discord did not answer in time")]
    Timeout,
}

impl DiscordError {
    /// Whether the thing is gone.
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether the same call may succeed later.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Down { .. } | Self::Timeout)
    }
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    code: u64,
}

/// What an answer that is neither success nor 429 means. `bot`: the call carried the bot's token.
pub(super) fn classify(status: u16, body: &[u8], bot: bool) -> DiscordError {
    let code = serde_json::from_slice::<Body>(body).map_or(0, |body| body.code);
    match (status, code) {
        (_, 40_060) => DiscordError::AlreadyAcknowledged,
        (_, 50_027 | 10_015) => DiscordError::Expired,
        (401, _) if bot => DiscordError::TokenRefused,
        (401, _) => DiscordError::Expired,
        (403, _) | (_, 50_001 | 50_013) => DiscordError::Forbidden { code },
        (404, _) => DiscordError::Unknown { code },
        (500..=599, _) => DiscordError::Down { status },
        (_, _) => DiscordError::Refused { status, code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_protocol_says() {
        let body = |code: u64| format!(r#"{{"message":"m","code":{code}}}"#).into_bytes();
        let cases = [
            (404, body(10_062), false, DiscordError::Unknown { code: 10_062 }),
            (400, body(40_060), false, DiscordError::AlreadyAcknowledged),
            (401, body(50_027), false, DiscordError::Expired),
            (404, body(10_015), false, DiscordError::Expired),
            (401, body(0), true, DiscordError::TokenRefused),
            (401, Vec::new(), false, DiscordError::Expired),
            (403, body(50_013), true, DiscordError::Forbidden { code: 50_013 }),
            (404, body(10_065), true, DiscordError::Unknown { code: 10_065 }),
            (
                400,
                body(50_035),
                true,
                DiscordError::Refused {
                    status: 400,
                    code: 50_035,
                },
            ),
            (502, b"<html>".to_vec(), true, DiscordError::Down { status: 502 }),
        ];
        for (status, body, bot, expected) in cases {
            assert_eq!(classify(status, &body, bot), expected, "{status}");
        }
    }
}
