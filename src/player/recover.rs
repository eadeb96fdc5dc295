//! Recovery: what became of the two sessions decides what is done, and its end has one of four names.
//!
//! | gateway session | node session | outcome | what is done |
//! |---|---|---|---|
//! | resumed | resumed | `carried_on` | nothing |
//! | new | resumed | `rejoined` | voice is joined again, the track goes on where it was heard last |
//! | resumed | gone | `restored` | the stored voice credentials and the track are sent to a usable node |
//! | new | gone | `restored` | voice is joined again, then the same |
//!
//! Its phases, in this order, each as long as it took after the one before; what did not happen is left out:
//!
//! | phase | ends when |
//! |---|---|
//! | `detect` | the owner's death is proven, or its leaving is known |
//! | `fence` | it can write no more |
//! | `claim` | the guild is read and this member's |
//! | `resume` | both sessions are resumed, or known to be new or gone |
//! | `load` | voice is there again and the node is told what to play |
//! | `reconcile` | the node confirms it, or everything is as it should be |

use crate::model::ids::NodeName;
use crate::model::position::Anchor;
use crate::model::record::PauseReason;
use crate::model::signal::{EndReason, PlayerSeen};
use crate::model::view::Notice;

use super::{Context, Deck, Effect, Player, Priority, Recovered, Voice};

/// A node that played on while it was silent is at most this far from where it would be, milliseconds.
const PLAYED_ON_MS: u64 = 2_000;
/// After an IDENTIFY the guild's `GUILD_CREATE` is waited for this long, milliseconds.
const GUILD_WAIT_MS: i64 = 10_000;

/// What began a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The owner died.
    Crash,
    /// The owner left as asked.
    Handover,
    /// The owner gave the shard up so that the load is even.
    Rebalance,
    /// Nobody is known to have had the shard: a first start found something to carry on.
    Start,
    /// The node's session was lost with its players.
    NodeLost,
    /// The node is to be emptied.
    NodeDrain,
    /// The gateway session was lost, and voice with it.
    SessionLost,
}

impl Trigger {
    /// As metrics, traces and pages name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Handover => "drain",
            Self::Rebalance => "rebalance",
            Self::Start => "start",
            Self::NodeLost => "node_lost",
            Self::NodeDrain => "node_drain",
            Self::SessionLost => "session_lost",
        }
    }
}

/// How a recovery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing was heard of it.
    CarriedOn,
    /// A short cut, same position.
    Rejoined,
    /// A gap, then on from where audio stopped, playing or paused by policy.
    Restored,
    /// Silence; the snapshot is kept, the channel is told.
    Failed,
}

impl Outcome {
    /// As metrics, traces and pages name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CarriedOn => "carried_on",
            Self::Rejoined => "rejoined",
            Self::Restored => "restored",
            Self::Failed => "failed",
        }
    }
}

/// Under what circumstances a snapshot was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What began it.
    pub trigger: Trigger,
    /// Until when the owner before was surely alive, milliseconds since 1970: no later position is certain.
    pub alive_until_ms: i64,
    /// When the recovery began, milliseconds since 1970.
    pub began_ms: i64,
    /// What happened before the guild was loaded.
    pub before: Before,
}

/// When what came before ended, milliseconds since 1970; `None` where it did not happen or nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The owner's death was proven, or its leaving known.
    pub detected_ms: Option<i64>,
    /// It could write no more.
    pub fenced_ms: Option<i64>,
    /// The guild was read and this member's.
    pub claimed_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NodeFate {
    Resumed { connected: bool },
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The fates of the sessions are not all known.
    Judging,
    /// Judged; the end is heard of when the node confirms.
    Acting(Outcome),
}

/// A recovery under way.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    loaded: Loaded,
    /// Whether the gateway session went on.
    gateway: Option<bool>,
    node: Option<NodeFate>,
    /// `GUILD_CREATE` is not waited for longer than this.
    guild_by: Option<i64>,
    /// Not before (stabilization).
    not_before: Option<i64>,
    stage: Stage,
    /// Whether something was to be heard when it began.
    was_playing: bool,
    /// The node that was lost or left, if that began it.
    lost_node: Option<NodeName>,
    phases: Vec<(&'static str, i64)>,
}

impl Recovery {
    pub(super) fn new(loaded: Loaded, was_playing: bool) -> Self {
        Self {
            loaded,
            gateway: None,
            node: None,
            guild_by: None,
            not_before: None,
            stage: Stage::Judging,
            was_playing,
            lost_node: None,
            phases: [
                ("detect", loaded.before.detected_ms),
                ("fence", loaded.before.fenced_ms),
                ("claim", loaded.before.claimed_ms),
            ]
            .into_iter()
            .filter_map(|(phase, at)| Some((phase, at?)))
            .collect(),
        }
    }

    /// No later position is certain, milliseconds since 1970.
    pub(super) const fn alive_until_ms(&self) -> i64 {
        self.loaded.alive_until_ms
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        match self.stage {
            Stage::Judging => [self.guild_by, self.not_before].into_iter().flatten().min(),
            Stage::Acting(_) => None,
        }
    }

    /// A phase ended. One that ends again (another session was lost meanwhile) lasted longer; what followed it begins anew.
    fn reached(&mut self, phase: &'static str, cx: &Context) {
        if let Some(again) = self.phases.iter().position(|(known, _)| *known == phase) {
            self.phases.truncate(again);
        }
        self.phases.push((phase, cx.now_ms));
    }

    /// Durations of the phases in the order they were reached.
    fn durations(&self) -> Vec<(&'static str, u64)> {
        let mut before = self.loaded.began_ms;
        let mut durations = Vec::with_capacity(self.phases.len());
        for (phase, at) in &self.phases {
            durations.push((*phase, u64::try_from(at - before).unwrap_or(0)));
            before = *at;
        }
        durations
    }
}

impl Player {
    pub(super) fn recovery_may_start(&self, _cx: &Context) -> bool {
        self.recovery
            .as_ref()
            .is_none_or(|recovery| matches!(recovery.stage, Stage::Acting(_)))
    }

    pub(super) fn shard_ready(&mut self, resumed: bool, cx: &Context, effects: &mut Vec<Effect>) {
        if self.recovery.is_none() && !resumed && self.is_active() {
            let loaded = Loaded {
                trigger: Trigger::SessionLost,
                alive_until_ms: cx.now_ms,
                began_ms: cx.now_ms,
                before: Before::default(),
            };
            let mut recovery = Recovery::new(
                loaded,
                self.is_playing() || matches!(self.deck, Deck::Waiting { paused: None, .. }),
            );
            let connected = matches!(self.voice, Voice::In { .. });
            recovery.node = Some(if self.seat.open {
                NodeFate::Resumed { connected }
            } else {
                NodeFate::Gone
            });
            self.recovery = Some(recovery);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.gateway = Some(recovery.gateway.unwrap_or(true) && resumed);
            if !resumed {
                recovery.stage = Stage::Judging;
                recovery.guild_by = Some(cx.now_ms + GUILD_WAIT_MS);
            }
        }
        self.recovery_tick(cx, effects);
    }

    pub(super) fn recovery_guild_seen(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        if let Some(recovery) = &mut self.recovery
            && recovery.guild_by.is_some()
        {
            recovery.guild_by = None;
            self.recovery_tick(cx, effects);
        }
    }

    pub(super) fn recovery_node_resumed(&mut self, player: Option<&PlayerSeen>) {
        if let Some(recovery) = &mut self.recovery {
            recovery.node = Some(NodeFate::Resumed {
                connected: player.is_none_or(|seen| seen.connected || seen.paused),
            });
        }
    }

    /// The node came back without the track. Returns until when it can have been heard, if a recovery knows.
    pub(super) fn recovery_track_missing(&mut self) -> Option<i64> {
        let recovery = self.recovery.as_mut()?;
        recovery.node = Some(NodeFate::Gone);
        Some(recovery.alive_until_ms())
    }

    pub(super) fn recovery_node_gone(&mut self, was_playing: bool, alive_until_ms: i64, cx: &Context) {
        if self.recovery.is_none() && was_playing {
            let loaded = Loaded {
                trigger: Trigger::NodeLost,
                alive_until_ms,
                began_ms: cx.now_ms,
                before: Before::default(),
            };
            let mut recovery = Recovery::new(loaded, true);
            recovery.gateway = Some(true);
            recovery.lost_node.clone_from(&self.seat.node);
            self.recovery = Some(recovery);
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.node = Some(NodeFate::Gone);
            recovery.stage = Stage::Judging;
            recovery.loaded.alive_until_ms = recovery.loaded.alive_until_ms.min(alive_until_ms);
        }
    }

    /// The player moves off a node that is emptied, until the other one plays.
    pub(super) fn recovery_moves(&mut self, cx: &Context) {
        let loaded = Loaded {
            trigger: Trigger::NodeDrain,
            alive_until_ms: cx.now_ms,
            began_ms: cx.now_ms,
            before: Before::default(),
        };
        let mut recovery = Recovery::new(loaded, true);
        recovery.gateway = Some(true);
        recovery.node = Some(NodeFate::Resumed { connected: true });
        recovery.stage = Stage::Acting(Outcome::CarriedOn);
        recovery.lost_node.clone_from(&self.seat.node);
        self.recovery = Some(recovery);
    }

    /// What was taken for gone is there: everything is judged again.
    pub(super) const fn recovery_judged_too_soon(&mut self) {
        if let Some(recovery) = &mut self.recovery {
            recovery.stage = Stage::Judging;
        }
    }

    /// The node was told what to play, or how to speak where it plays on.
    pub(super) fn recovery_told(&mut self, cx: &Context) {
        if let Some(recovery) = &mut self.recovery
            && matches!(recovery.stage, Stage::Acting(_))
        {
            recovery.reached("load", cx);
        }
    }

    /// Judges as soon as everything is known.
    pub(super) fn recovery_tick(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        let needs_node = self.seat.node.is_some() && !matches!(self.deck, Deck::Empty);
        if self.end_may_be_told(cx.now_ms) {
            return;
        }
        let Some(recovery) = &mut self.recovery else { return };
        if recovery.stage != Stage::Judging {
            return;
        }
        let Some(gateway) = recovery.gateway else { return };
        let fate = match recovery.node {
            Some(fate) => fate,
            None if needs_node => return,
            None => NodeFate::Resumed { connected: true },
        };
        let carried_on = gateway && matches!(fate, NodeFate::Resumed { connected: true });
        if carried_on && !matches!(self.voice, Voice::Checking { .. } | Voice::Joining { .. }) {
            recovery.reached("resume", cx);
            self.finish(Outcome::CarriedOn, cx, effects);
            return;
        }
        if recovery.guild_by.is_some_and(|at| at > cx.now_ms) {
            return;
        }
        let not_before = *recovery
            .not_before
            .get_or_insert(cx.now_ms + self.policy.stabilization_ms);
        if not_before > cx.now_ms {
            return;
        }
        self.act(gateway, fate, cx, effects);
    }

    fn act(&mut self, gateway: bool, fate: NodeFate, cx: &Context, effects: &mut Vec<Effect>) {
        let Some(recovery) = &mut self.recovery else { return };
        let Loaded { alive_until_ms, .. } = recovery.loaded;
        let was_playing = recovery.was_playing;
        let outcome = if fate == NodeFate::Gone {
            Outcome::Restored
        } else {
            Outcome::Rejoined
        };
        recovery.reached("resume", cx);
        recovery.stage = Stage::Acting(outcome);
        recovery.guild_by = None;
        recovery.not_before = None;
        // Where the ear was: now if the node still speaks, else when it was last known to.
        let heard_until = if fate == (NodeFate::Resumed { connected: true }) {
            cx.now_ms
        } else {
            alive_until_ms
        };
        self.hold(&Context {
            now_ms: heard_until,
            best_node: None,
            voice_waits: false,
        });
        self.dirty.head = true;
        if cx.now_ms - alive_until_ms > self.policy.restore_max_age_ms || self.listeners.is_empty() {
            self.keep_for_later(gateway, cx, effects);
            return;
        }
        if fate == NodeFate::Gone
            && was_playing
            && !self.auto_resume()
            && let Deck::Waiting { paused, .. } = &mut self.deck
        {
            *paused = Some(PauseReason::Restored);
        }
        if let Deck::Paused {
            item,
            position_ms,
            reason,
            ..
        } = self.deck.clone()
            && fate == NodeFate::Gone
        {
            self.deck = Deck::Waiting {
                item,
                from_ms: position_ms,
                paused: Some(reason),
            };
        }
        if gateway && matches!(self.voice, Voice::In { .. }) {
            self.drive(cx, effects);
        } else if let Some(channel) = self.voice.channel() {
            self.hush(effects);
            self.rejoin(channel, cx, effects);
        } else {
            self.finish(Outcome::Failed, cx, effects);
        }
        self.finish_if_idle(cx, effects);
    }

    /// Too old, or nobody is there: not joined; the queue is kept and a Resume button offered.
    fn keep_for_later(&mut self, in_voice: bool, cx: &Context, effects: &mut Vec<Effect>) {
        self.go_out(PauseReason::Kept, cx, effects);
        if in_voice {
            effects.push(Effect::Voice {
                channel: None,
                priority: Priority::Background,
            });
        }
        self.finish(Outcome::Restored, cx, effects);
    }

    /// The node plays (or holds, paused) what it should.
    pub(super) fn recovery_playing(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        if let Some(Stage::Acting(outcome)) = self.recovery.as_ref().map(|recovery| recovery.stage) {
            self.finish(outcome, cx, effects);
        }
    }

    /// Nothing was playing: being in voice is all there was to recover.
    pub(super) fn finish_if_idle(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        if matches!(self.deck, Deck::Empty | Deck::Paused { held: false, .. })
            && matches!(self.voice, Voice::In { .. } | Voice::Out)
        {
            self.recovery_playing(cx, effects);
        }
    }

    pub(super) fn finish_failed(&mut self, cx: &Context, effects: &mut Vec<Effect>) {
        if self.recovery.is_some() {
            self.finish(Outcome::Failed, cx, effects);
        }
    }

    fn finish(&mut self, outcome: Outcome, cx: &Context, effects: &mut Vec<Effect>) {
        let Some(mut recovery) = self.recovery.take() else {
            return;
        };
        recovery.reached("reconcile", cx);
        let broke = recovery.was_playing && matches!(outcome, Outcome::Restored | Outcome::Rejoined);
        let gap_ms = if broke {
            u64::try_from(cx.now_ms - recovery.loaded.alive_until_ms).unwrap_or(0)
        } else {
            0
        };
        if broke && let Some(item) = self.deck.item() {
            let paused = match &self.deck {
                Deck::Paused { reason, .. }
                | Deck::Waiting {
                    paused: Some(reason), ..
                } => Some(*reason),
                Deck::Empty | Deck::Waiting { paused: None, .. } | Deck::Starting { .. } | Deck::Playing { .. } => None,
            };
            let position_ms = self.deck.heard_ms(cx.now_ms);
            effects.push(Effect::Notice(Notice::Restored {
                track: item.track.clone(),
                position_ms,
                paused,
            }));
        }
        // Carried on looks as it did: a replica that takes a thousand guilds over does not edit a thousand messages.
        if outcome != Outcome::CarriedOn {
            effects.push(Effect::Show);
        }
        effects.push(Effect::Recovered(Recovered {
            trigger: recovery.loaded.trigger,
            outcome,
            lost_node: recovery.lost_node.clone(),
            began_ms: recovery.loaded.began_ms,
            gap_ms,
            phases: recovery.durations(),
        }));
    }

    /// Where in the queue the track is that the node plays, if the owner before went on to it when the tracks before had ended,
    /// and died before that was stored. A track that begins at another time comes of a command that nobody confirmed: Discord
    /// sends it again.
    pub(super) fn went_on_to(&self, seen: &PlayerSeen) -> Option<usize> {
        let (Deck::Playing { anchor, .. }, Some(track)) = (&self.deck, &seen.track) else {
            return None;
        };
        let ends_at = self.ends_at(anchor.at_ms)?;
        let place = self.queue.upcoming().position(|item| item.track.same_as(track))?;
        let between = self.queue.upcoming().take(place).map(|item| item.track.length_ms);
        let begins_at = ends_at.saturating_add_unsigned(between.sum::<Option<u64>>()?);
        let began_at = seen.at_ms.saturating_sub_unsigned(seen.position_ms);
        (begins_at.abs_diff(began_at) <= PLAYED_ON_MS).then_some(place)
    }

    /// Goes on in the queue as far as the node did.
    pub(super) fn catch_up(&mut self, place: usize, seen: &PlayerSeen, cx: &Context, effects: &mut Vec<Effect>) {
        for _ in 0..=place {
            self.retire(EndReason::Finished, cx);
            self.cue_next();
        }
        if let Deck::Waiting { item, .. } = self.deck.clone() {
            let anchor = Anchor::playing(seen.position_ms, seen.at_ms);
            self.deck = Deck::Playing { item, anchor };
        }
        effects.push(Effect::Show);
    }
}

/// Whether a node that was silent and given up, with `from_ms` to start at, played on all the while.
pub(super) fn played_on(recovery: Option<&Recovery>, from_ms: u64, seen: &PlayerSeen) -> bool {
    let Some(recovery) = recovery else { return false };
    let passed = seen
        .at_ms
        .saturating_sub(recovery.alive_until_ms())
        .max(0)
        .cast_unsigned();
    seen.connected && !seen.paused && seen.position_ms.abs_diff(from_ms.saturating_add(passed)) <= PLAYED_ON_MS
}
