//! Why a call to a node failed, and what is to be done about it.

use crate::lifecycle::NoAuthority;

/// Longest piece of a node's own words kept for the log, in characters.
pub(super) const TEXT_LIMIT: usize = 200;

/// A failed call. Carries no secret and no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// This member may not act; nothing was sent.
    #[error(transparent)]
    NoAuthority(#[from] NoAuthority),
    /// The session is not usable at the moment, or the node answered that it does not know it.
    #[error("the session with the node is not open")]
    SessionGone,
    /// The player was deleted because an earlier voice call was swallowed: send voice and track together.
    #[error("the player had to be deleted after a swallowed voice call")]
    PlayerGone,
    /// The node swallowed too many voice calls and gets no more for a while; nothing was sent.
    #[error("the node swallows voice calls and is spared")]
    VoiceCut,
    /// The voice server turned the node down; the track is not to blame.
    #[error("the node could not connect to the voice server")]
    VoiceRefused,
    /// The queue for this node did not move in time; nothing was sent.
    #[error("too many calls to the node are under way")]
    Busy,
    /// No connection, or it broke.
    #[error("the node cannot be reached: {0}")]
    Unreachable(String),
    /// The deadline passed. It may or may not have been done.
    #[error("the node did not answer `{0}` in time")]
    Timeout(&'static str),
    /// Any other status than 2xx.
    #[error("the node answered {status}: {text}")]
    Status {
        /// HTTP status.
        status: u16,
        /// The node's words, cut; for the log, never to decide by.
        text: String,
    },
    /// A 2xx whose body could not be understood.
    #[error("the node's answer to `{0}` could not be understood")]
    Malformed(&'static str),
}

/// What to do about a [`CallError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try the same again after a while.
    Retry,
    /// Wait for [`crate::model::signal::NodeEvent::Ready`] and reconcile.
    SessionGone,
    /// The node holds no player: send everything.
    PlayerGone,
    /// Trying again does not help.
    Refused {
        /// HTTP status.
        status: u16,
        /// For the log.
        text: String,
    },
    /// Use another node.
    NodeDown,
    /// Stop acting.
    NoAuthority,
    /// Unknown whether it was done; look before trying again.
    Timeout,
}

impl CallError {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::NoAuthority(NoAuthority) => Class::NoAuthority,
            Self::SessionGone => Class::SessionGone,
            Self::PlayerGone => Class::PlayerGone,
            Self::VoiceCut | Self::Unreachable(_) => Class::NodeDown,
            Self::VoiceRefused
            | Self::Busy
            | Self::Status {
                status: 408 | 429 | 502..=504,
                ..
            } => Class::Retry,
            Self::Timeout(_) => Class::Timeout,
            Self::Status { status, text } => Class::Refused {
                status: *status,
                text: text.clone(),
            },
            Self::Malformed(what) => Class::Refused {
                status: 200,
                text: (*what).to_owned(),
            },
        }
    }

    /// A short fixed word for metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NoAuthority(_) => "no_authority",
            Self::SessionGone => "session_gone",
            Self::PlayerGone => "player_gone",
            Self::VoiceCut => "voice_cut",
            Self::VoiceRefused => "voice_refused",
            Self::Busy => "busy",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::Status { .. } => "status",
            Self::Malformed(_) => "malformed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_error_in_front_of_the_node_is_retried_and_a_bad_request_is_not() {
        let status = |status| {
            CallError::Status {
                status,
                text: String::new(),
            }
            .class()
        };
        for code in [408, 429, 502, 503, 504] {
            assert_eq!(status(code), Class::Retry, "{code}");
        }
        for code in [400, 401, 403, 500, 501, 505] {
            assert!(
                matches!(status(code), Class::Refused { status, .. } if status == code),
                "{code}"
            );
        }
    }
}
