//! What an order needs from outside: where the person is, whether the bot may join, and the tracks.

use std::time::Duration;

use tokio::time::timeout;
use tracing::Instrument as _;

use crate::command::{Query, query};
use crate::discord::Waits;
use crate::guild::Surroundings;
use crate::guild::outward::present;
use crate::lavalink::{Loaded, NodeState};
use crate::model::ids::{ChannelId, GuildId, UserId};
use crate::model::message::Message;
use crate::model::order::{Asked, Refusal};
use crate::model::track::Track;
use crate::ui::{self, Locale, ReplyText};

/// Discord's REST is asked this long for a person's channel.
const VOICE_WAIT: Duration = Duration::from_millis(1_200);

/// Why an order was not even tried.
#[derive(Clone, Debug)]
pub(super) enum Why {
    /// Something around it is missing.
    Trouble(ReplyText),
    /// The person has to do something first.
    Refused(Refusal),
}

impl From<ReplyText> for Why {
    fn from(text: ReplyText) -> Self {
        Self::Trouble(text)
    }
}

impl From<Refusal> for Why {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Where a person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whereabouts {
    /// Their voice channel.
    pub(super) channel: Option<ChannelId>,
    /// `false`: Discord did not tell in time whether they are in one.
    pub(super) known: bool,
}

impl Whereabouts {
    /// The order, from there.
    pub(super) fn of(self, asked: &Asked) -> Asked {
        Asked {
            voice_channel: self.channel,
            ..asked.clone()
        }
    }

    /// Why nothing can be done for somebody who is nowhere.
    pub(super) fn nowhere(self) -> Why {
        if self.known {
            Refusal::YouAreNotInVoice.into()
        } else {
            ReplyText::VoiceUnknown.into()
        }
    }

    /// What to say to a refusal: nobody is sent to a voice channel who may sit in one.
    pub(super) fn refused(self, refusal: &Refusal, locale: Locale) -> Message {
        if !self.known && *refusal == Refusal::YouAreNotInVoice {
            ui::reply(&ReplyText::VoiceUnknown, locale)
        } else {
            ui::refusal(refusal, locale)
        }
    }
}

/// The voice channel a person is in. The gateway knows it, unless the process resumed a session it did not begin.
pub(super) async fn voice_of(around: &Surroundings, guild: GuildId, user: UserId) -> Whereabouts {
    let told = |channel| Whereabouts { channel, known: true };
    let voices = around.gateway.voices(guild).unwrap_or_default();
    if let Some((_, channel)) = voices.people.iter().find(|(person, _)| *person == user) {
        return told(Some(*channel));
    }
    if voices.complete {
        return told(None);
    }
    let asking = timeout(VOICE_WAIT, around.discord.user_voice(guild, user));
    let Ok(Ok(channel)) = asking.await else {
        return Whereabouts {
            channel: None,
            known: false,
        };
    };
    if let Some(channel) = channel {
        // Asked once: a person who gives many commands would use up what all guilds may ask of Discord.
        around.gateway.learn_voice(guild, user, channel, voices.changes);
    }
    told(channel)
}

/// Whether the bot may speak there.
pub(super) async fn may_join(around: &Surroundings, guild: GuildId, channel: ChannelId) -> Result<(), ReplyText> {
    match around
        .discord
        .voice_permissions(guild, channel, around.bot, Waits::Person)
        .await
    {
        Ok(access) => access
            .verdict(present(around, guild, channel))
            .map_err(|reason| ReplyText::NoPermission { channel, reason }),
        // Discord does not answer: the attempt itself decides.
        Err(_) => Ok(()),
    }
}

/// Tracks of a link or search, and the name of the playlist they come from. A search gives its first hit.
pub(super) async fn tracks(
    around: &Surroundings,
    query: &Query,
    words: &str,
) -> Result<(Vec<Track>, Option<String>), ReplyText> {
    let nothing = || ReplyText::NothingFound {
        query: words.to_owned(),
    };
    let span = tracing::info_span!("load");
    match load(around, query).instrument(span).await? {
        Loaded::Track(track) => Ok((vec![track], None)),
        Loaded::Search(tracks) => tracks
            .into_iter()
            .next()
            .map(|track| (vec![track], None))
            .ok_or_else(nothing),
        Loaded::Playlist { tracks, .. } if tracks.is_empty() => Err(nothing()),
        Loaded::Playlist {
            name,
            selected,
            mut tracks,
        } => {
            // A link into a playlist begins with the track it points at.
            let count = tracks.len();
            tracks.rotate_left(selected.filter(|at| *at < count).unwrap_or(0));
            Ok((tracks, Some(name)))
        }
        Loaded::Nothing => Err(nothing()),
        Loaded::Failed { .. } => Err(ReplyText::LoadFailed),
    }
}

/// What may be looked up while somebody types: a link is most often half typed, and its server would be asked at every key.
fn suggestible(text: &str) -> Option<Query> {
    match Query::classify(text) {
        Ok(query @ (Query::Search(_) | Query::Identifier(_))) => Some(query),
        Ok(Query::Link(_)) | Err(_) => None,
    }
}

/// Hits while somebody types.
pub(super) async fn suggestions(around: &Surroundings, text: &str) -> Vec<Track> {
    let Some(query) = suggestible(text) else {
        return Vec::new();
    };
    match load(around, &query).await {
        Ok(Loaded::Track(track)) => vec![track],
        Ok(Loaded::Search(tracks) | Loaded::Playlist { tracks, .. }) => tracks,
        Ok(Loaded::Nothing | Loaded::Failed { .. }) | Err(_) => Vec::new(),
    }
}

/// Asks the nodes in turn, the usable ones first; one that does not answer does not stop the other.
async fn load(around: &Surroundings, query: &Query) -> Result<Loaded, ReplyText> {
    let identifier = query.identifier(query::DEFAULT_SEARCH);
    let ready = |state: NodeState| matches!(state, NodeState::Ready { .. });
    let mut nodes: Vec<_> = around.nodes.iter().collect();
    nodes.sort_by_key(|node| (!ready(node.state()), node.load().playing));
    for node in nodes {
        match node.load_tracks(&identifier).await {
            Ok(loaded) => return Ok(loaded),
            Err(error) => tracing::info!(node = %node.name(), %error, "a node could not load; trying the next"),
        }
    }
    Err(ReplyText::NodeDown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_loaded_while_it_is_typed() {
        for link in [
            "https://example.com/a",
            "https://exam.com",
            "www.example.com/a.mp3",
            "<http://example.com/a>",
        ] {
            assert_eq!(suggestible(link), None, "{link}");
        }
        assert_eq!(suggestible("the song"), Some(Query::Search("the song".into())));
        assert_eq!(
            suggestible("ytsearch:the"),
            Some(Query::Identifier("ytsearch:the".into()))
        );
    }
}
