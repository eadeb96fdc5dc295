//! What goes into the player and what comes out of it.

use crate::model::ids::{ChannelId, NodeName};
use crate::model::order::{Asked, Order};
use crate::model::record::VoiceCredentials;
use crate::model::signal::{FromNode, PlayerSeen, Signal};
use crate::model::view::{FailReason, Notice};

use super::recover::{Outcome, Trigger};

/// What the machine may know of the world at the moment of a step.
#[derive(Clone, Debug)]
pub struct Context {
    /// Wall clock, milliseconds since 1970; never runs backwards within a process.
    pub now_ms: i64,
    /// The node that a player of this guild would be put on now: the one it sits on while that is usable.
    pub best_node: Option<NodeName>,
    /// An op 4 of this guild waits for its turn: Discord has not heard of it yet.
    pub voice_waits: bool,
}

/// Everything that can happen to a player.
#[derive(Clone, Debug)]
pub enum Input {
    /// A person asked for something.
    Order {
        /// Who, where, in which interaction.
        asked: Asked,
        /// What.
        order: Order,
    },
    /// Discord said something.
    Signal(Signal),
    /// A node said something.
    Node(FromNode),
    /// A [`Call`] was answered.
    Answer {
        /// The call's.
        generation: u32,
        /// What came back.
        answer: Result<PlayerSeen, Failure>,
    },
    /// [`Effect::CheckAccess`] was answered.
    Access {
        /// The channel that was checked.
        channel: ChannelId,
        /// Whether the bot may speak there.
        result: Result<(), FailReason>,
    },
    /// A node became usable or unusable.
    NodesChanged,
    /// The node that holds the player is to be emptied: go to the best one while everything plays.
    LeaveNode,
    /// [`super::Player::deadline`] passed.
    Tick,
}

/// Why a call to a node failed, by what is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The session is paused or gone: it comes back and brings news, or a node can be used again without any.
    SessionGone,
    /// No answer in time, or the node is down: try again, elsewhere if there is another.
    Unreachable,
    /// The node took the call and refused it: trying again does not help.
    Refused,
    /// This process may not act for the guild now.
    NoAuthority,
}

/// How urgent a gateway send is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A person waits for it.
    Person,
    /// People listen there.
    Listeners,
    /// Everything else.
    Background,
}

/// A change of a node's player. Absent fields stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    /// A track to start, or with `Some(None)` to stop.
    pub track: Option<Option<String>>,
    /// Milliseconds.
    pub position_ms: Option<u64>,
    /// Standing still?
    pub paused: Option<bool>,
    /// Percent.
    pub volume: Option<u16>,
    /// Lavalink's filter object.
    pub filters: Option<serde_json::Value>,
    /// Where to speak.
    pub voice: Option<VoiceCredentials>,
}

/// One REST call about this guild's player. Calls of one guild are made one after the other, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// `PATCH` the player.
    Update {
        /// The node.
        node: NodeName,
        /// Answers carry it back.
        generation: u32,
        /// What changes.
        patch: Box<Patch>,
    },
    /// `DELETE` the player.
    Destroy {
        /// The node.
        node: NodeName,
    },
}

/// What the actor is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Op 4: join, move or (`None`) leave.
    Voice {
        /// Where to.
        channel: Option<ChannelId>,
        /// How urgent.
        priority: Priority,
    },
    /// Op 4 twice: leave, then join. An attempt to join was not answered, so Discord may believe that the bot is there.
    Rejoin {
        /// Where to.
        channel: ChannelId,
        /// How urgent.
        priority: Priority,
    },
    /// Ask a node.
    Call(Call),
    /// May the bot see, join and speak there? Answered by [`Input::Access`].
    CheckAccess {
        /// The channel.
        channel: ChannelId,
    },
    /// On a stage: ask to speak.
    Unsuppress {
        /// The stage channel.
        channel: ChannelId,
    },
    /// The Now Playing message is out of date.
    Show,
    /// Tell the text channel.
    Notice(Notice),
    /// A recovery ended.
    Recovered(Recovered),
    /// The bot was removed from the guild: delete what is stored.
    Forget,
}

/// How a recovery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// What began it.
    pub trigger: Trigger,
    /// How it ended.
    pub outcome: Outcome,
    /// The node that was lost or left, if that began it.
    pub lost_node: Option<NodeName>,
    /// When it began, milliseconds since 1970.
    pub began_ms: i64,
    /// How long nothing was heard, as far as this side can know; 0 when carried on, and when it failed: then the silence lasts.
    pub gap_ms: u64,
    /// What took how long, in order: name and milliseconds.
    pub phases: Vec<(&'static str, u64)>,
}

/// What is to be saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// The small part changed.
    pub head: bool,
    /// Queue or history changed.
    pub lists: bool,
}

impl Dirty {
    /// Whether anything changed.
    pub const fn any(self) -> bool {
        self.head || self.lists
    }
}
