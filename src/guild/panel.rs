//! The Now Playing message: edited on change, otherwise at most every 15 s, and less often where so many guilds play that
//! Discord's limit is needed for what people wait for; the latest state wins.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::time::{Duration, Instant};
use tracing::debug;

use super::actor::{Actor, Done};
use crate::discord::DiscordError;
use crate::lifecycle::wall_ms;
use crate::model::ids::{ChannelId, GuildId, MessageId};
use crate::model::message::Message;
use crate::model::record::PanelRecord;
use crate::ui;

/// While playing, the position moves on this often.
const REFRESH: Duration = Duration::from_secs(15);
/// Asks again whether the position may move on after this.
const LATER: Duration = Duration::from_secs(5);
/// Changes within this are shown together.
const GAP: Duration = Duration::from_secs(1);
/// After Discord did not answer; twice as long each time, up to [`LONGEST_BACKOFF`].
const BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_mins(5);
/// After Discord refused; twice as long each time, up to [`LONGEST_REFUSAL`]. Most often somebody has to change a channel's
/// permissions first, and Discord shuts out an address that sends 10,000 calls in ten minutes that it has to refuse.
const REFUSAL: Duration = Duration::from_mins(1);
const LONGEST_REFUSAL: Duration = Duration::from_hours(1);

/// A finished edit.
pub(super) struct PanelDone {
    channel: ChannelId,
    result: Outcome,
}

enum Outcome {
    Shown(MessageId),
    /// Somebody deleted the message.
    Deleted,
    /// It will not work until something changes.
    Refused,
    Failed,
}

impl Outcome {
    /// `written`: a new message, not an edit.
    fn of(result: Result<MessageId, DiscordError>, written: bool) -> Self {
        match result {
            Ok(id) => Self::Shown(id),
            Err(error) if error.is_unknown() && !written => Self::Deleted,
            Err(error) => {
                debug!(%error, "the Now Playing message was not written");
                if error.is_passing() {
                    Self::Failed
                } else {
                    Self::Refused
                }
            }
        }
    }
}

/// What came of the last attempts.
#[derive(Clone, Copy, Debug)]
struct Failing {
    /// Where.
    channel: ChannelId,
    /// In a row.
    times: u32,
    /// When the last one ended.
    at: Instant,
}

impl Failing {
    fn again(self, first: Duration, longest: Duration) -> Instant {
        let times = 1 << self.times.saturating_sub(1).min(16);
        self.at + first.saturating_mul(times).min(longest)
    }
}

/// Why the message is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// Something changed.
    Changed,
    /// Time went by.
    Moved,
}

/// What is known of the message.
#[derive(Default)]
pub(super) struct Panel {
    dirty: bool,
    busy: bool,
    /// When the position is to move on.
    refresh_at: Option<Instant>,
    not_before: Option<Instant>,
    failing: Option<Failing>,
    /// The hash of what was shown: the message itself is several kilobytes, for each guild that plays.
    last: Option<u64>,
}

fn hash_of(message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.hash(&mut hasher);
    hasher.finish()
}

impl Panel {
    /// A message that another process showed last; refreshed within two periods, spread by guild.
    pub(super) fn taken_over(guild: GuildId) -> Self {
        let spread = Duration::from_millis((guild.get() >> 22) % 15_000);
        Self {
            refresh_at: Some(Instant::now() + REFRESH + spread),
            ..Self::default()
        }
    }

    /// Whether it is to be looked at now. If so it is not again before its time, whatever comes of it: a guild that wants no
    /// message, or must not act, would otherwise look without a pause.
    fn take_due(&mut self, playing: bool, now: Instant) -> Option<Due> {
        self.deadline(playing, now).filter(|at| *at <= now)?;
        self.refresh_at = Some(now + REFRESH);
        Some(if std::mem::take(&mut self.dirty) {
            Due::Changed
        } else {
            Due::Moved
        })
    }

    /// The player changed in a way that people see.
    pub(super) const fn changed(&mut self) {
        self.dirty = true;
    }

    /// A person asked for something: whoever set a channel right need not wait as long as nobody would. In another channel it
    /// is tried at once.
    pub(super) fn asked(&mut self, channel: Option<ChannelId>, now: Instant) {
        let Some(failing) = &mut self.failing else { return };
        if channel == Some(failing.channel) {
            failing.times = 0;
            let soonest = (failing.at + REFUSAL).max(now);
            self.not_before = self.not_before.map(|at| at.min(soonest));
        } else {
            self.failing = None;
            self.not_before = None;
        }
    }

    /// An attempt did not succeed.
    fn failed(&mut self, channel: ChannelId, refused: bool, now: Instant) {
        let before = self.failing.filter(|failing| failing.channel == channel);
        let failing = Failing {
            channel,
            times: before.map_or(0, |failing| failing.times).saturating_add(1),
            at: now,
        };
        self.failing = Some(failing);
        self.not_before = Some(if refused {
            failing.again(REFUSAL, LONGEST_REFUSAL)
        } else {
            failing.again(BACKOFF, LONGEST_BACKOFF)
        });
        self.last = None;
        self.dirty = true;
    }

    /// When it is to be shown next; a moment that is over means now.
    pub(super) fn deadline(&self, playing: bool, now: Instant) -> Option<Instant> {
        if self.busy {
            return None;
        }
        if self.dirty {
            return Some(self.not_before.unwrap_or(now));
        }
        let refresh = self.refresh_at.filter(|_| playing);
        refresh.map(|at| self.not_before.map_or(at, |earliest| at.max(earliest)))
    }
}

impl Actor {
    /// Starts an edit (or writes the message) if one is due.
    pub(super) fn show(&mut self) {
        let now = Instant::now();
        let Some(due) = self.panel.take_due(self.player.is_playing(), now) else {
            return;
        };
        let view = self.player.view(wall_ms());
        let wanted = view.settings.announce != Some(false);
        let Some(channel) = view.text_channel.filter(|_| wanted) else {
            return;
        };
        let known = view.panel.filter(|panel| panel.channel == channel);
        if known.is_none() && view.now.is_none() || self.around.permit.check().is_err() {
            return;
        }
        // Before it is written out: of thousands of players most have to wait.
        if due == Due::Moved && !self.around.discord.may_spare() {
            self.panel.refresh_at = Some(now + LATER);
            return;
        }
        let message = ui::now_playing(&view, super::locale_of(&view.settings));
        let hash = hash_of(&message);
        if known.is_some() && self.panel.last == Some(hash) {
            return;
        }
        self.panel.busy = true;
        self.panel.last = Some(hash);
        let around = self.around.clone();
        self.jobs.spawn(async move {
            let discord = &around.discord;
            let result = match known {
                Some(panel) => {
                    let edited = discord.edit_message(channel, panel.message, &message).await;
                    edited.map(|()| panel.message)
                }
                None => discord.create_message(channel, &message).await,
            };
            let result = Outcome::of(result, known.is_none());
            Done::Panel(PanelDone { channel, result })
        });
    }

    pub(super) fn panel_done(&mut self, done: &PanelDone) {
        let now = Instant::now();
        self.panel.busy = false;
        self.panel.not_before = Some(now + GAP);
        let channel = done.channel;
        match done.result {
            Outcome::Shown(message) => {
                self.panel.failing = None;
                self.panel.refresh_at = Some(now + REFRESH);
                self.player.set_panel(Some(PanelRecord { channel, message }));
            }
            Outcome::Deleted => {
                self.panel.last = None;
                self.player.set_panel(None);
                self.panel.dirty = true;
            }
            Outcome::Refused => self.panel.failed(channel, true, now),
            Outcome::Failed => self.panel.failed(channel, false, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_looked_at_is_not_looked_at_again_before_its_time() {
        let begun = Instant::now();
        let mut panel = Panel::taken_over(GuildId::new(1));
        assert_eq!(panel.take_due(true, begun), None);
        let later = begun + 3 * REFRESH;
        assert_eq!(panel.take_due(true, later), Some(Due::Moved));
        assert_eq!(
            panel.take_due(true, later),
            None,
            "nothing was shown, and still it waits"
        );
        assert_eq!(panel.deadline(true, later), Some(later + REFRESH));
        assert_eq!(
            panel.take_due(false, later + REFRESH),
            None,
            "paused: the position stands still"
        );
        panel.changed();
        assert_eq!(panel.take_due(false, later), Some(Due::Changed));
        assert_eq!(panel.take_due(true, later), None);
    }

    #[tokio::test]
    async fn a_channel_that_refuses_is_asked_ever_more_seldom_until_somebody_asks_or_it_is_another() {
        let (here, there) = (ChannelId::new(1), ChannelId::new(2));
        let mut now = Instant::now();
        let mut panel = Panel::default();
        let mut calls = 0;
        let day = now + Duration::from_hours(24);
        panel.changed();
        while let Some(at) = panel.deadline(true, now).filter(|at| *at < day) {
            now = now.max(at);
            assert!(panel.take_due(true, now).is_some());
            panel.failed(here, true, now);
            calls += 1;
        }
        assert_eq!(calls, 29, "six pauses that double, then one call an hour");
        panel.asked(Some(here), now + Duration::from_secs(1));
        assert_eq!(
            panel.deadline(true, now),
            Some(now + REFUSAL),
            "the channel may be right now"
        );
        panel.asked(Some(here), now + REFUSAL);
        panel.failed(here, true, now + REFUSAL);
        assert_eq!(
            panel.deadline(true, now),
            Some(now + 2 * REFUSAL),
            "and from the beginning"
        );
        panel.asked(Some(there), now);
        assert_eq!(panel.deadline(true, now), Some(now), "another channel");
    }

    #[tokio::test]
    async fn while_discord_does_not_answer_the_pause_doubles_up_to_five_minutes() {
        let (channel, now) = (ChannelId::new(1), Instant::now());
        let mut panel = Panel::default();
        let mut pauses = Vec::new();
        for _attempt in 0..7 {
            panel.failed(channel, false, now);
            pauses.push(panel.not_before.map(|at| (at - now).as_secs()));
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300].map(Some));
    }

    #[test]
    fn only_what_may_work_later_is_tried_again_soon() {
        let unknown = DiscordError::Unknown { code: 10_003 };
        let told = |error, written| match Outcome::of(Err(error), written) {
            Outcome::Shown(_) => "shown",
            Outcome::Deleted => "deleted",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        };
        assert_eq!(told(unknown, false), "deleted", "it is written anew");
        assert_eq!(told(unknown, true), "refused", "the channel is gone");
        assert_eq!(told(DiscordError::Forbidden { code: 50_013 }, true), "refused");
        assert_eq!(told(DiscordError::Timeout, true), "failed");
    }
}
