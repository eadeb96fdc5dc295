//! A gateway session that another process may go on with: when it fits, and how it is written down.

use std::fmt::Write as _;

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use twilight_gateway::{Intents, ShardId};

use crate::store::GatewaySession;

/// Tells tokens apart without storing them: the first half of a SHA-256, in hex.
pub fn token_hash(token: &SecretString) -> String {
    let digest = Sha256::digest(token.expose_secret().trim_start_matches("Bot ").as_bytes());
    digest.iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _written = write!(hex, "{byte:02x}");
        hex
    })
}

/// The part of a session's key that RESUME does not carry: with another one, a stored session must not be resumed, because
/// the old shard count and intents would stay in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionKey {
    num_shards: u32,
    intents: u64,
    token_hash: String,
}

impl SessionKey {
    /// The key of this process's sessions for a shard.
    pub fn new(shard: ShardId, intents: Intents, token: &SecretString) -> Self {
        Self {
            num_shards: shard.total(),
            intents: intents.bits(),
            token_hash: token_hash(token),
        }
    }

    /// Whether a stored session may be resumed.
    pub fn fits(&self, session: &GatewaySession) -> bool {
        session.num_shards == self.num_shards
            && session.intents == self.intents
            && session.token_hash == self.token_hash
            && !session.id.is_empty()
    }

    /// The form that is stored.
    pub fn session(&self, id: &str, resume_url: &str, seq: u64) -> GatewaySession {
        GatewaySession {
            id: id.to_owned(),
            resume_url: resume_url.to_owned(),
            seq,
            num_shards: self.num_shards,
            intents: self.intents,
            token_hash: self.token_hash.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_another_shard_count_intents_or_token_is_not_resumed() {
        let key = |total, intents, token: &str| {
            SessionKey::new(
                ShardId::new(0, total),
                Intents::from_bits_truncate(intents),
                &SecretString::from(token),
            )
        };
        let ours = key(2, 129, "token");
        let stored = ours.session("abc", "wss://gateway.test", 7);
        assert!(ours.fits(&stored));
        assert!(key(2, 129, "Bot token").fits(&stored));
        for other in [key(3, 129, "token"), key(2, 1, "token"), key(2, 129, "other")] {
            assert!(!other.fits(&stored), "{other:?}");
        }
        assert!(!ours.fits(&ours.session("", "", 0)));
    }
}
