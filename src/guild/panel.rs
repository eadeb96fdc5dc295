//! The Now Playing message: edited on change, otherwise at most every 15 s, and less often where so many guilds play that
//! Discord's limit is needed for what people wait for; the latest state wins.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tokio::time::{Duration, Instant};
use tracing::debug;

use super::actor::{Actor, Done};
use crate::lifecycle::wall_ms;
use crate::model::ids::{GuildId, MessageId};
use crate::model::message::Message;
use crate::model::record::PanelRecord;
use crate::ui;

/// While playing, the position moves on this often.
const REFRESH: Duration = Duration::from_secs(15);
/// Asks again whether the position may move on after this.
const LATER: Duration = Duration::from_secs(5);
/// Changes within this are shown together.
const GAP: Duration = Duration::from_secs(1);
/// After Discord refused or did not answer.
const BACKOFF: Duration = Duration::from_secs(10);

/// A finished edit.
pub(super) struct PanelDone {
    panel: PanelRecord,
    result: Outcome,
}

enum Outcome {
    Shown(MessageId),
    /// Somebody deleted the message.
    Deleted,
    Failed,
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
            let (result, id) = match known {
                Some(panel) => (
                    discord
                        .edit_message(channel, panel.message, &message)
                        .await
                        .map(|()| panel.message),
                    panel.message,
                ),
                None => (discord.create_message(channel, &message).await, MessageId::new(1)),
            };
            let result = match result {
                Ok(id) => Outcome::Shown(id),
                Err(error) if error.is_unknown() => Outcome::Deleted,
                Err(error) => {
                    debug!(%error, "the Now Playing message was not written");
                    Outcome::Failed
                }
            };
            let message = if let Outcome::Shown(id) = &result { *id } else { id };
            Done::Panel(PanelDone {
                panel: PanelRecord { channel, message },
                result,
            })
        });
    }

    pub(super) fn panel_done(&mut self, done: &PanelDone) {
        let now = Instant::now();
        self.panel.busy = false;
        self.panel.not_before = Some(now + GAP);
        match done.result {
            Outcome::Shown(_) => {
                self.panel.refresh_at = Some(now + REFRESH);
                self.player.set_panel(Some(done.panel));
            }
            Outcome::Deleted => {
                self.panel.last = None;
                self.player.set_panel(None);
                self.panel.dirty = true;
            }
            Outcome::Failed => {
                self.panel.last = None;
                self.panel.dirty = true;
                self.panel.not_before = Some(now + BACKOFF);
            }
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
}
