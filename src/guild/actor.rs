//! The loop of one guild: mail, finished jobs and one deadline; the player decides, the jobs do.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use tracing::{Span, field, info, info_span, warn};

use super::calls::{self, CallDone};
use super::metering;
use super::outward::{self, AccessDone};
use super::panel::{Panel, PanelDone};
use super::saving::{SaveDone, Saving};
use super::{Confirmed, Mail, Surroundings};
use crate::discord::Waits;
use crate::gateway::Seen;
use crate::lifecycle::wall_ms;
use crate::model::ids::{ChannelId, GuildId, MemberId, Rev};
use crate::model::order::{Asked, Order};
use crate::player::{Call, Context, Effect, Failure, Input, Outcomes, Player};
use crate::store::Checkpoint;
use crate::telemetry::metrics::labels::Stale;

/// An actor without anything to do ends after this; the store keeps the rest.
const RETIRE: Duration = Duration::from_mins(1);
/// Auto-save leaves a position alone that is stored within this, milliseconds.
const DRIFT_MS: u64 = 250;

/// Why an actor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Asked to, with everything saved as far as the store answered.
    Stopped,
    /// Nothing to do for a while.
    Retired,
    /// Another member owns the guild.
    Lost,
    /// The bot was removed from the guild.
    Forgotten,
}

/// What a finished job brings back.
pub(super) enum Done {
    Saved(SaveDone),
    Called(CallDone),
    Access(AccessDone),
    Panel(PanelDone),
    Nothing,
}

/// Among which guilds it is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    playing: bool,
    recovering: bool,
}

/// One guild.
pub(super) struct Actor {
    pub(super) around: Surroundings,
    pub(super) guild: GuildId,
    pub(super) player: Player,
    pub(super) saving: Saving,
    pub(super) panel: Panel,
    pub(super) jobs: JoinSet<Done>,
    calls: VecDeque<Call>,
    calling: bool,
    /// The channel whose permissions are being asked for.
    checking: Option<ChannelId>,
    forget: bool,
    counted: Counted,
    /// Open while a recovery is under way.
    restoring: Span,
    /// If nothing happens until then, it may be time to end.
    retire_at: Instant,
}

impl Actor {
    pub(super) fn new(around: Surroundings, guild: GuildId, saving: Saving, player: Player) -> Self {
        Self {
            guild,
            player,
            saving,
            panel: Panel::taken_over(guild),
            jobs: JoinSet::new(),
            calls: VecDeque::new(),
            calling: false,
            checking: None,
            forget: false,
            counted: Counted::default(),
            restoring: Span::none(),
            retire_at: Instant::now() + RETIRE,
            around,
        }
    }

    /// Runs until told to stop, lost, forgotten or retired. Boxed, because a future has room for every value that it moves.
    pub(super) async fn run(mut self: Box<Self>, mut mail: mpsc::Receiver<Box<Mail>>) -> Ended {
        loop {
            self.act();
            let deadline = self.deadline();
            tokio::select! {
                biased;
                Some(done) = self.jobs.join_next() => match done {
                    Ok(done) => {
                        if let Some(ended) = self.finished(done) {
                            return ended;
                        }
                    }
                    Err(error) => {
                        self.checking = None;
                        warn!(guild = %self.guild, %error, "a job failed");
                    }
                },
                message = mail.recv() => match message.map(|message| *message) {
                    None | Some(Mail::Stop) => return self.stop().await,
                    Some(Mail::Lost) => return self.lost(),
                    Some(message) => self.receive(message),
                },
                () = sleep_until(deadline) => {
                    if self.retires(&mail) {
                        return Ended::Retired;
                    }
                    self.step(Input::Tick);
                }
            }
        }
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let at = |ms: i64| now + Duration::from_millis(u64::try_from(ms - wall_ms()).unwrap_or(0));
        let player = self.player.deadline().map(at);
        [
            player,
            self.saving.deadline(),
            self.panel.deadline(self.player.is_playing(), now),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(self.retire_at)
        .max(now)
    }

    /// Whether it ends now, because nothing happened for a while. If anything is left to do, or somebody is about to ask for
    /// something, it is looked at again after another while.
    fn retires(&mut self, mail: &mpsc::Receiver<Box<Mail>>) -> bool {
        let now = Instant::now();
        if now < self.retire_at {
            return false;
        }
        self.retire_at = now + RETIRE;
        // One handle is kept for those who will ask.
        let wanted = mail.sender_strong_count() > 1 || !mail.is_empty();
        let idle = !self.player.is_active()
            && self.player.pending().is_empty()
            && !self.player.has_dirty()
            && self.jobs.is_empty()
            && self.saving.is_idle();
        idle && !wanted
    }

    fn receive(&mut self, mail: Mail) {
        if is_news(&mail) {
            self.retire_at = Instant::now() + RETIRE;
        }
        match mail {
            Mail::Order {
                asked,
                order,
                reply,
                seen,
            } => self.order(asked, order, reply, seen),
            Mail::Defer { pending, stored } => {
                self.player.add_pending(pending);
                self.saving.tell(stored);
            }
            Mail::Undefer(id) => {
                self.player.finish_pending(id);
            }
            Mail::Signal(signal, seen) => {
                drop(self.step(Input::Signal(signal)));
                self.saving.hold(seen);
            }
            Mail::Node(from) => {
                metering::node_said(&self.around.metrics, &from, self.player.track());
                drop(self.step(Input::Node(from)));
            }
            // If the node is to be emptied, the next round leaves it.
            Mail::NodesChanged => drop(self.step(Input::NodesChanged)),
            Mail::View(answer) => {
                drop(answer.send(self.player.view(wall_ms())));
            }
            Mail::IsRecovering(answer) => {
                let _ = answer.send(self.player.is_recovering());
            }
            Mail::Checkpoint(answer) => {
                drop(answer.send(self.checkpoint()));
            }
            Mail::CheckpointFailed => self.saving.forget_anchor(),
            Mail::Stop | Mail::Lost => {}
        }
    }

    fn order(&mut self, asked: Asked, order: Order, reply: oneshot::Sender<Confirmed>, seen: Option<Seen>) {
        if self.around.permit.check().is_err() {
            drop(reply.send(Confirmed::NoAuthority));
            return;
        }
        self.learn_listeners(&order);
        if let Some(outcome) = self.step(Input::Order { asked, order }) {
            let view = Box::new(self.player.view(wall_ms()));
            self.panel.asked(view.text_channel, Instant::now());
            self.saving.confirm(reply, outcome, view, self.player.has_dirty());
        }
        self.saving.hold(seen);
    }

    /// The gateway knows who sits where; the player only hears of changes.
    fn learn_listeners(&mut self, order: &Order) {
        if let Order::Play { .. }
        | Order::Join { .. }
        | Order::Resume
        | Order::TogglePause
        | Order::Skip { .. }
        | Order::Previous = order
        {
            self.saving.learn_voices = true;
        }
    }

    /// Feeds the player and carries its effects out.
    pub(super) fn step(&mut self, input: Input) -> Option<Outcomes> {
        let cx = Context {
            now_ms: wall_ms(),
            best_node: calls::best_node(&self.around.nodes, self.player.node(), self.guild),
            voice_waits: self.around.gateway.voice_waits(self.guild),
        };
        let mut effects = Vec::new();
        let outcome = self.player.step(input, &cx, &mut effects);
        self.trace_recovery();
        for effect in effects {
            self.perform(effect);
        }
        if std::mem::take(&mut self.saving.learn_voices)
            && let Some(signal) = outward::voices(&self.around, self.guild)
        {
            self.step(Input::Signal(signal));
        }
        outcome
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Voice { channel, priority } => {
                outward::send_voice(&self.around, self.guild, channel, priority, false);
            }
            Effect::Rejoin { channel, priority } => {
                outward::send_voice(&self.around, self.guild, Some(channel), priority, true);
            }
            Effect::Call(call) => self.calls.push_back(call),
            // Where hundreds of guilds ask at once, an answer takes longer than the player's patience: one question will do.
            Effect::CheckAccess { channel } if self.checking == Some(channel) => {}
            Effect::CheckAccess { channel } => {
                self.checking = Some(channel);
                let (around, guild) = (self.around.clone(), self.guild);
                let waits = if self.player.is_recovering() {
                    Waits::Nobody
                } else {
                    Waits::Person
                };
                self.jobs
                    .spawn(async move { Done::Access(outward::check_access(&around, guild, channel, waits).await) });
            }
            Effect::Unsuppress { channel } => {
                let (around, guild) = (self.around.clone(), self.guild);
                self.jobs.spawn(async move {
                    outward::unsuppress(&around, guild, channel).await;
                    Done::Nothing
                });
            }
            Effect::Show => self.panel.changed(),
            Effect::Notice(notice) => self.notice(&notice),
            Effect::Recovered(recovered) => {
                let span = std::mem::replace(&mut self.restoring, Span::none());
                span.record("trigger", recovered.trigger.name());
                span.record("outcome", recovered.outcome.name());
                span.record("gap_ms", recovered.gap_ms);
                outward::report(&self.around, self.guild, recovered);
            }
            Effect::Forget => self.forget = true,
        }
    }

    /// A recovery is one span, from the first step in which it is under way.
    fn trace_recovery(&mut self) {
        if self.player.is_recovering() && self.restoring.is_none() {
            self.restoring = info_span!(
                "restore",
                trigger = field::Empty,
                outcome = field::Empty,
                gap_ms = field::Empty
            );
        }
    }

    /// Starts what is due: one call, one save, one panel edit at a time.
    fn act(&mut self) {
        let recovered = self.counted.recovering && !self.player.is_recovering();
        if recovered {
            // If nothing was reported, nobody wants it any more.
            self.around.takeover.over(self.guild, wall_ms());
        }
        // In every round: what starts or recovers can move as soon as that is over, which nobody else tells.
        if calls::is_draining(&self.around.nodes, self.player.node()) {
            drop(self.step(Input::LeaveNode));
        }
        self.count(self.player.is_playing(), self.player.is_recovering());
        if !self.calling
            && let Some(call) = self.calls.pop_front()
        {
            self.calling = true;
            let (around, guild) = (self.around.clone(), self.guild);
            self.jobs
                .spawn(async move { Done::Called(calls::make(&around, guild, call).await) });
        }
        self.save();
        self.show();
    }

    /// Keeps the numbers of guilds right that play and that are being recovered.
    fn count(&mut self, playing: bool, recovering: bool) {
        if playing != std::mem::replace(&mut self.counted.playing, playing) {
            self.around
                .playing
                .fetch_add(if playing { 1 } else { -1 }, Ordering::Relaxed);
        }
        if recovering != std::mem::replace(&mut self.counted.recovering, recovering) {
            metering::recovering(&self.around.metrics, recovering);
        }
    }

    fn finished(&mut self, done: Done) -> Option<Ended> {
        match done {
            Done::Saved(done) => {
                if self.saved(done) {
                    return Some(self.lost());
                }
            }
            Done::Called(CallDone { generation, answer }) => {
                self.calling = false;
                if let Some(answer) = answer {
                    if !self.player.awaits(generation) {
                        self.around.metrics.process.stale(Stale::Play);
                    } else if let (Err(Failure::Refused), Some(node), Some(track)) =
                        (&answer, self.player.node(), self.player.track())
                    {
                        metering::track_failed(&self.around.metrics, node, track, "refused");
                    }
                    self.step(Input::Answer { generation, answer });
                }
            }
            Done::Access(AccessDone { channel, result }) => {
                self.checking = self.checking.filter(|asked| *asked != channel);
                if !self.player.checks(channel) {
                    self.around.metrics.process.stale(Stale::Join);
                }
                self.step(Input::Access { channel, result });
            }
            Done::Panel(done) => self.panel_done(&done),
            Done::Nothing => {}
        }
        (self.forget && !self.calling && self.calls.is_empty() && self.saving.is_idle()).then(|| self.forgotten())
    }

    fn lost(&mut self) -> Ended {
        self.saving.let_go();
        Ended::Lost
    }

    fn forgotten(&mut self) -> Ended {
        info!(guild = %self.guild, "removed from the guild: what was stored of it is deleted");
        Ended::Forgotten
    }

    fn checkpoint(&mut self) -> Option<Checkpoint> {
        let now = wall_ms();
        let (anchor, ends_at_ms) = self.player.checkpoint(now)?;
        // By the store's clock.
        let skew = self.around.store.skew_ms();
        let (anchor, ends_at_ms, now) = (anchor.by_clock(-skew), ends_at_ms.map(|at| at - skew), now - skew);
        self.saving
            .checkpoint(self.guild, &self.around.member, anchor, ends_at_ms, now, DRIFT_MS)
    }

    /// Whether the guild's owner in the store is still this member's, as far as was heard.
    pub(super) const fn owner(&self) -> &MemberId {
        &self.around.member
    }

    pub(super) const fn is_forgetting(&self) -> bool {
        self.forget
    }

    /// The last save; nothing is left or deleted.
    async fn stop(mut self: Box<Self>) -> Ended {
        self.saving.hurry();
        let limit = Instant::now() + Duration::from_secs(3);
        while Instant::now() < limit {
            self.save();
            if self.saving.is_idle() && !self.player.has_dirty() {
                break;
            }
            tokio::select! {
                done = self.jobs.join_next() => match done {
                    Some(Ok(Done::Saved(done))) => {
                        if self.saved(done) {
                            return self.lost();
                        }
                    }
                    Some(_) => {}
                    None => tokio::time::sleep(Duration::from_millis(20)).await,
                },
                () = sleep_until(limit) => break,
            }
        }
        Ended::Stopped
    }
}

/// Whether something happened in or to the guild; who only looks at it, or writes down where it is, does not keep it.
const fn is_news(mail: &Mail) -> bool {
    match mail {
        Mail::Order { .. } | Mail::Defer { .. } | Mail::Undefer(_) | Mail::Signal(..) | Mail::Node(_) => true,
        Mail::NodesChanged
        | Mail::View(_)
        | Mail::IsRecovering(_)
        | Mail::Checkpoint(_)
        | Mail::CheckpointFailed
        | Mail::Lost
        | Mail::Stop => false,
    }
}

/// The revision after `rev`.
pub(super) const fn next(rev: Rev) -> Rev {
    Rev(rev.0 + 1)
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.count(false, false);
        self.stop_saving();
    }
}
