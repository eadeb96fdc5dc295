//! One player in a world of two nodes, with verbs.

use crate::model::ids::{ChannelId, GuildId, InteractionId, NodeName, UserId};
use crate::model::order::{Asked, Done, Order, Refusal, When};
use crate::model::record::Snapshot;
use crate::model::signal::{EndReason, FromNode, NodeEvent, PlayerSeen, Signal};
use crate::model::track::Track;
use crate::player::{Before, Call, Context, Effect, Input, Loaded, Outcomes, Patch, Player, Policy, Trigger};

/// The moment at which every scene begins, milliseconds since 1970.
pub(super) const BEGIN: i64 = 1_800_000_000_000;

pub(super) fn channel(n: u64) -> ChannelId {
    ChannelId::new(100 + n)
}

pub(super) fn person(n: u64) -> UserId {
    UserId::new(200 + n)
}

pub(super) fn node(name: &str) -> NodeName {
    NodeName(name.to_owned())
}

/// A track of 100 s.
pub(super) fn track(title: &str) -> Track {
    Track {
        encoded: format!("encoded {title}"),
        identifier: title.into(),
        source: "sim".into(),
        title: title.into(),
        author: "somebody".into(),
        uri: None,
        artwork: None,
        length_ms: Some(100_000),
        seekable: true,
    }
}

/// A player, the time, and what came out of it last.
pub(super) struct Scene {
    pub(super) player: Player,
    pub(super) now: i64,
    pub(super) best: Option<NodeName>,
    pub(super) voice_waits: bool,
    pub(super) effects: Vec<Effect>,
    next: u64,
}

impl Scene {
    pub(super) fn with(player: Player) -> Self {
        Self {
            player,
            now: BEGIN,
            best: Some(node("a")),
            voice_waits: false,
            effects: Vec::new(),
            next: 1,
        }
    }

    /// Nothing was ever played.
    pub(super) fn new() -> Self {
        Self::with(Player::restore(
            GuildId::new(1),
            Policy::default(),
            Snapshot::default(),
            None,
        ))
    }

    /// In channel 1 with person 1, `One` playing on node a, `Two` and `Three` queued.
    pub(super) fn playing() -> Self {
        let mut scene = Self::new();
        scene.order(play(&["One", "Two", "Three"])).unwrap();
        scene.joins(1);
        scene.answered();
        scene.effects.clear();
        scene.player.take_dirty();
        scene
    }

    pub(super) fn step(&mut self, input: Input) -> Option<Outcomes> {
        let cx = Context {
            now_ms: self.now,
            best_node: self.best.clone(),
            voice_waits: self.voice_waits,
        };
        self.effects.clear();
        self.player.step(input, &cx, &mut self.effects)
    }

    /// Person 1, who sits in channel 1, asks.
    pub(super) fn order(&mut self, order: Order) -> Result<Done, Refusal> {
        self.next += 1;
        let asked = Asked {
            interaction: InteractionId::new(self.next),
            user: person(1),
            text_channel: channel(9),
            voice_channel: Some(channel(1)),
        };
        self.step(Input::Order { asked, order }).expect("orders are answered")
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        self.step(Input::Signal(signal));
    }

    /// Discord answers a join of a channel.
    pub(super) fn joins(&mut self, n: u64) {
        self.signal(Signal::OwnVoice {
            channel: Some(channel(n)),
            session_id: "session".into(),
            suppressed: false,
        });
        self.signal(Signal::VoiceServer {
            token: format!("token {n}"),
            endpoint: Some("voice:443".into()),
        });
    }

    pub(super) fn from(&mut self, name: &str, event: NodeEvent) {
        self.step(Input::Node(FromNode {
            node: node(name),
            event,
        }));
    }

    pub(super) fn ended(&mut self, title: &str, reason: EndReason) {
        self.from(
            "a",
            NodeEvent::Ended {
                identifier: title.into(),
                reason,
            },
        );
    }

    /// The node did what it was told; it says where the track `One` is.
    pub(super) fn did(&mut self, position_ms: u64) {
        let generation = self.player.seat.generation;
        let answer = Ok(PlayerSeen {
            track: Some(track("One")),
            position_ms,
            at_ms: self.now,
            paused: false,
            volume: 100,
            connected: true,
        });
        self.step(Input::Answer { generation, answer });
    }

    /// The patches of the last step.
    pub(super) fn patches(&self) -> Vec<(NodeName, Patch)> {
        let update = |effect: &Effect| {
            if let Effect::Call(Call::Update { node, patch, .. }) = effect {
                Some((node.clone(), (**patch).clone()))
            } else {
                None
            }
        };
        self.effects.iter().filter_map(update).collect()
    }

    /// The node did what it was told to do last.
    pub(super) fn answered(&mut self) {
        let title = self.title().unwrap_or_default();
        let name = self.player.node().cloned().unwrap_or_else(|| node("a"));
        self.step(Input::Node(FromNode {
            node: name,
            event: NodeEvent::Started { identifier: title },
        }));
    }

    /// What plays, or is about to.
    pub(super) fn title(&self) -> Option<String> {
        self.player.view(self.now).now.map(|now| now.track.title.into())
    }

    pub(super) fn position(&self) -> u64 {
        self.player.view(self.now).now.map_or(0, |now| now.position_ms)
    }

    pub(super) fn queued(&self) -> Vec<String> {
        self.player
            .view(self.now)
            .queue
            .into_iter()
            .map(|item| item.track.title.into())
            .collect()
    }

    /// The process dies now; another one loads the snapshot `after_ms` later.
    pub(super) fn dies(self, after_ms: i64, policy: Policy) -> Self {
        let snapshot = Snapshot {
            head: self.player.head(self.now),
            lists: self.player.lists(),
        };
        let loaded = Loaded {
            trigger: Trigger::Crash,
            alive_until_ms: self.now,
            began_ms: self.now + after_ms - 70,
            before: Before {
                detected_ms: None,
                fenced_ms: Some(self.now + after_ms - 30),
                claimed_ms: Some(self.now + after_ms),
            },
        };
        let player = Player::restore(GuildId::new(1), policy, snapshot, Some(loaded));
        Self {
            now: self.now + after_ms,
            next: self.next,
            ..Self::with(player)
        }
    }

    pub(super) fn shard(&mut self, resumed: bool) {
        self.signal(Signal::ShardReady {
            resumed,
            session_id: "session".into(),
        });
        if !resumed {
            self.signal(Signal::GuildSeen {
                voices: vec![(person(1), channel(1))],
                bot: None,
            });
        }
    }

    /// Node a has what it had: `title` at a position.
    pub(super) fn resumed(&mut self, title: &str, position_ms: u64, paused: bool) {
        let player = PlayerSeen {
            track: Some(track(title)),
            position_ms,
            at_ms: self.now,
            paused,
            volume: 100,
            connected: true,
        };
        self.from(
            "a",
            NodeEvent::Ready {
                resumed: true,
                player: Some(player),
            },
        );
    }
}

/// Plays these, the first at once if nothing plays.
pub(super) fn play(titles: &[&str]) -> Order {
    Order::Play {
        tracks: titles.iter().map(|title| track(title)).collect(),
        playlist: None,
        when: When::Queue,
        channel: channel(1),
    }
}
