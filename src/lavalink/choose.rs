//! Which node a guild's player is put on. Pure.

use crate::model::ids::{GuildId, NodeName};

use super::{NodeLoad, NodeState};

/// The node for this guild: the one it sits on while that is usable or may still be playing, else the least loaded of
/// the usable ones. Guilds spread evenly over nodes that are equally loaded. `None`: no node is usable.
pub fn choose(
    nodes: &[(NodeName, NodeState, NodeLoad)],
    current: Option<&NodeName>,
    guild: GuildId,
) -> Option<NodeName> {
    let own = nodes.iter().find(|(name, ..)| Some(name) == current);
    let stays = own.is_some_and(|(_, state, load)| may_stay(*state, load));
    if stays && own.is_some_and(|(.., load)| !load.draining) {
        return current.cloned();
    }
    let usable = nodes
        .iter()
        .filter(|(_, state, load)| matches!(state, NodeState::Ready { .. }) && !load.voice_cut);
    let best = usable.min_by_key(|(name, _, load)| (load.draining, penalty(load), spread(name, guild)));
    match best {
        // There is nowhere else to go.
        Some((.., load)) if load.draining && stays => current.cloned(),
        best => best
            .map(|(name, ..)| name.clone())
            .or_else(|| current.filter(|_| stays).cloned()),
    }
}

/// A player stays where it is while its audio may go on there: only a node that was given up, or that takes no voice, is
/// left.
const fn may_stay(state: NodeState, load: &NodeLoad) -> bool {
    match state {
        NodeState::Ready { .. } => !load.voice_cut,
        NodeState::Lost { .. } | NodeState::RestDead => true,
        NodeState::Connecting | NodeState::Gone => false,
    }
}

/// Load in coarse steps, so that small differences do not send every new player to the same node.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=100 before"
)]
fn penalty(load: &NodeLoad) -> u64 {
    let cpu = (load.cpu.clamp(0.0, 1.0) * 100.0) as u64;
    let busy = if cpu > 50 { (cpu - 50) * 4 } else { 0 };
    let bad_frames = u64::from(load.frames_missing_permille.min(1000));
    load.playing / 10 + busy / 10 + bad_frames
}

/// A stable pseudo-random order of the nodes for each guild (FNV-1a).
fn spread(name: &NodeName, guild: GuildId) -> u64 {
    let bytes = name.0.bytes().chain(guild.get().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: NodeState = NodeState::Ready { resumed: false };

    fn node(name: &str, state: NodeState, playing: u64) -> (NodeName, NodeState, NodeLoad) {
        (
            NodeName(name.into()),
            state,
            NodeLoad {
                playing,
                ..NodeLoad::default()
            },
        )
    }

    fn chosen(nodes: &[(NodeName, NodeState, NodeLoad)], current: Option<&str>) -> Option<String> {
        let current = current.map(|name| NodeName(name.into()));
        choose(nodes, current.as_ref(), GuildId::new(7)).map(|name| name.0)
    }

    #[test]
    fn health_load_and_stickiness_decide_in_that_order() {
        let gone = NodeState::Gone;
        let lost = NodeState::Lost { since_ms: 5 };
        let table = [
            (
                "the least loaded",
                vec![node("a", READY, 500), node("b", READY, 5)],
                None,
                Some("b"),
            ),
            (
                "it stays although another is idle",
                vec![node("a", READY, 500), node("b", READY, 5)],
                Some("a"),
                Some("a"),
            ),
            (
                "it stays while audio may go on",
                vec![node("a", lost, 5), node("b", READY, 5)],
                Some("a"),
                Some("a"),
            ),
            (
                "a dead REST moves nothing",
                vec![node("a", NodeState::RestDead, 5), node("b", READY, 5)],
                Some("a"),
                Some("a"),
            ),
            (
                "but gets nothing new",
                vec![node("a", NodeState::RestDead, 0), node("b", READY, 900)],
                None,
                Some("b"),
            ),
            (
                "it leaves a node that was given up",
                vec![node("a", gone, 0), node("b", READY, 900)],
                Some("a"),
                Some("b"),
            ),
            ("a lost node gets nothing new", vec![node("a", lost, 0)], None, None),
            ("none", vec![], Some("a"), None),
        ];
        for (name, nodes, current, expected) in table {
            assert_eq!(chosen(&nodes, current).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_node_that_swallows_voice_is_left_and_gets_nothing_new() {
        let mut nodes = vec![node("a", READY, 0), node("b", READY, 900)];
        nodes[0].2.voice_cut = true;
        assert_eq!(chosen(&nodes, Some("a")).as_deref(), Some("b"));
        assert_eq!(chosen(&nodes, None).as_deref(), Some("b"));
    }

    #[test]
    fn a_node_that_is_emptied_is_left_unless_there_is_no_other() {
        let mut nodes = vec![node("a", READY, 0), node("b", READY, 900)];
        nodes[0].2.draining = true;
        assert_eq!(chosen(&nodes, Some("a")).as_deref(), Some("b"));
        assert_eq!(chosen(&nodes, None).as_deref(), Some("b"));
        assert_eq!(chosen(&nodes, Some("b")).as_deref(), Some("b"));
        nodes[1].1 = NodeState::Gone;
        assert_eq!(chosen(&nodes, Some("a")).as_deref(), Some("a"), "better than none");
        assert_eq!(chosen(&nodes, None).as_deref(), Some("a"));
    }

    #[test]
    fn equally_loaded_nodes_share_the_guilds() {
        let nodes = [node("a", READY, 3), node("b", READY, 3), node("c", READY, 3)];
        let mut counts = std::collections::BTreeMap::new();
        for guild in 1..=300 {
            *counts
                .entry(choose(&nodes, None, GuildId::new(guild << 22)).unwrap().0)
                .or_insert(0) += 1;
        }
        assert!(counts.len() == 3 && counts.values().all(|n| *n > 50), "{counts:?}");
    }
}
