//! REST calls to nodes for one guild: one after the other, each with its own deadline inside the node.

use tracing::{Instrument as _, Span, info_span};

use super::Surroundings;
use crate::lavalink::{CallError, Class, Node, PlayerPatch, choose};
use crate::model::ids::{GuildId, NodeName};
use crate::model::signal::PlayerSeen;
use crate::player::{Call, Failure, Patch};

/// A finished call.
pub(super) struct CallDone {
    pub(super) generation: u32,
    /// `None`: nobody waits for it.
    pub(super) answer: Option<Result<PlayerSeen, Failure>>,
}

/// The node a player would sit on now.
pub(super) fn best_node(nodes: &[Node], current: Option<&NodeName>, guild: GuildId) -> Option<NodeName> {
    let candidates: Vec<_> = nodes
        .iter()
        .map(|node| (node.name().clone(), node.state(), node.load()))
        .collect();
    choose(&candidates, current, guild)
}

/// Whether the node a player sits on is to be emptied.
pub(super) fn is_draining(nodes: &[Node], current: Option<&NodeName>) -> bool {
    nodes
        .iter()
        .any(|node| Some(node.name()) == current && node.is_draining())
}

pub(super) async fn make(around: &Surroundings, guild: GuildId, call: Call) -> CallDone {
    match call {
        Call::Update {
            node,
            generation,
            patch,
        } => {
            let answer = match around.nodes.iter().find(|known| *known.name() == node) {
                Some(node) => {
                    let starts = matches!(patch.track, Some(Some(_)));
                    let span = if starts {
                        info_span!("play", node = %node.name())
                    } else {
                        Span::none()
                    };
                    let answer = node.update(guild, &wire(*patch)).instrument(span).await;
                    answer.map_err(|error| failure(&error))
                }
                None => Err(Failure::Unreachable),
            };
            CallDone {
                generation,
                answer: Some(answer),
            }
        }
        Call::Destroy { node } => {
            if let Some(node) = around.nodes.iter().find(|known| *known.name() == node)
                && let Err(error) = node.destroy(guild).await
            {
                tracing::debug!(%guild, %error, "a player could not be deleted");
            }
            CallDone {
                generation: 0,
                answer: None,
            }
        }
    }
}

fn wire(patch: Patch) -> PlayerPatch {
    let Patch {
        track,
        position_ms,
        paused,
        volume,
        filters,
        voice,
    } = patch;
    PlayerPatch {
        track,
        position_ms,
        paused,
        volume,
        filters,
        voice,
        no_replace: false,
    }
}

fn failure(error: &CallError) -> Failure {
    match error.class() {
        Class::SessionGone => Failure::SessionGone,
        Class::Refused { .. } => Failure::Refused,
        Class::NoAuthority => Failure::NoAuthority,
        Class::Retry | Class::PlayerGone | Class::NodeDown | Class::Timeout => Failure::Unreachable,
    }
}
