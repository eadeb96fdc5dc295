//! Carries the players of a session that a dead socket holds open over to the new one, without a gap in the audio.

use futures_util::{Stream, StreamExt as _, stream};

use crate::model::ids::GuildId;
use crate::model::position::NODE_LEAD_MS;
use crate::model::signal::PlayerSeen;

use super::PlayerPatch;
use super::error::CallError;
use super::node::Node;
use super::wire::PlayerFound;

/// Players carried over at once.
const AT_ONCE: usize = 8;

/// A player of the old session, and what became of it.
pub(super) struct Carried {
    pub(super) guild: GuildId,
    /// As the new session holds it, if that worked.
    pub(super) player: Option<PlayerSeen>,
    /// The old session was not to be found any more when it was to be deleted there.
    pub(super) left_over: bool,
}

/// Carries players from session `old` to session `new`.
///
/// Each is first started in the new session and then deleted in the old one: for a moment both speak, never none. One
/// that cannot be carried is deleted all the same, for its guild starts it anew and two must not speak.
pub(super) fn carry<'a>(
    node: &'a Node,
    old: &'a str,
    new: &'a str,
    players: Vec<PlayerFound>,
) -> impl Stream<Item = Carried> + Send + use<'a> {
    stream::iter(players)
        .map(move |player| carry_one(node, old, new, player))
        .buffer_unordered(AT_ONCE)
}

async fn carry_one(node: &Node, old: &str, new: &str, player: PlayerFound) -> Carried {
    let guild = player.guild;
    let started = match patch(&player, node.wall()) {
        Some(patch) => node.update_in(new, guild, &patch).await,
        None => Err(CallError::PlayerGone),
    };
    let ended = node.destroy_in(old, guild).await;
    if let Err(error) = &ended {
        tracing::warn!(node = %node.name(), %guild, %error, "a player of the old session could not be deleted");
    }
    let started = started
        .inspect_err(|error| tracing::warn!(node = %node.name(), %guild, %error, "a player could not be carried over"));
    Carried {
        guild,
        player: started.ok(),
        left_over: ended == Err(CallError::SessionGone),
    }
}

/// All that makes the player sound the same elsewhere. `None` if it has no voice, no track or no position.
fn patch(player: &PlayerFound, now_ms: i64) -> Option<PlayerPatch> {
    let seen = &player.seen;
    let track = seen.track.as_ref()?;
    if seen.paused && seen.position_ms == 0 {
        // A player that was restored paused says 0 wherever it stands; its guild knows better, and nothing is heard.
        return None;
    }
    let moved = if seen.paused {
        0
    } else {
        now_ms.saturating_sub(seen.at_ms).max(0).cast_unsigned()
    };
    // What the node has sent on but nobody heard yet is dropped with the old connection.
    let lead = if seen.paused { 0 } else { NODE_LEAD_MS };
    let position = seen.position_ms.saturating_add(moved).saturating_sub(lead);
    Some(PlayerPatch {
        track: Some(Some(track.encoded.clone())),
        position_ms: track.seekable.then_some(position),
        paused: Some(seen.paused),
        volume: Some(seen.volume),
        filters: player.filters.clone(),
        voice: Some(player.voice.clone()?),
        no_replace: false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lavalink::wire;

    fn found(paused: bool, seekable: bool) -> PlayerFound {
        let value = json!({ "guildId": "7", "volume": 55, "paused": paused, "filters": { "timescale": { "speed": 1.5 } },
            "track": { "encoded": "QAAA", "info": { "identifier": "i", "isSeekable": seekable, "length": 9_000 } },
            "state": { "position": 4_000, "connected": true },
            "voice": { "token": "t", "endpoint": "e", "sessionId": "s", "channelId": "5" } });
        wire::player(&value, 10_000).unwrap()
    }

    #[test]
    fn a_player_goes_on_where_the_ear_is_with_all_its_settings() {
        let moved = patch(&found(false, true), 10_100).unwrap();
        assert_eq!(moved.position_ms, Some(4_000 + 100 - NODE_LEAD_MS));
        assert_eq!((moved.volume, moved.paused), (Some(55), Some(false)));
        assert_eq!(moved.filters, Some(json!({ "timescale": { "speed": 1.5 } })));
        assert!(moved.voice.is_some() && moved.track == Some(Some("QAAA".into())));
        assert_eq!(
            patch(&found(true, true), 99_000).unwrap().position_ms,
            Some(4_000),
            "paused: it stands"
        );
        assert_eq!(
            patch(&found(false, false), 10_100).unwrap().position_ms,
            None,
            "not seekable"
        );
    }

    #[test]
    fn without_voice_or_track_nothing_is_carried() {
        let mut voiceless = found(false, true);
        voiceless.voice = None;
        assert_eq!(patch(&voiceless, 0), None);
        let mut empty = found(false, true);
        empty.seen.track = None;
        assert_eq!(patch(&empty, 0), None);
    }
}
