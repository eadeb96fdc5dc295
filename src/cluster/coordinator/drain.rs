//! Leaving: every shard is given away first, if there is somebody to take it.

use super::event::Failed;
use crate::cluster::handle::Drained;
use crate::cluster::timing;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// This member stays.
    No,
    /// It wants to leave.
    Asked {
        since_ms: i64,
        stored: bool,
        /// When to tell the store (again); `None` while that is under way, or done.
        tell_ms: Option<i64>,
    },
    /// It need not wait any longer.
    Over(Drained),
}

/// What a decision needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// Nothing is ours any more.
    pub(super) empty: bool,
    /// No other member could take anything, as seen when this was asked for.
    pub(super) alone_ms: Option<i64>,
    /// Something is still to be ours, as far as the leader has said.
    pub(super) unmoved: bool,
}

impl Drain {
    pub(super) const fn ask(&mut self, now: i64) {
        if matches!(self, Self::No) {
            *self = Self::Asked {
                since_ms: now,
                stored: false,
                tell_ms: Some(now),
            };
        }
    }

    pub(super) const fn is_wanted(&self) -> bool {
        !matches!(self, Self::No)
    }

    /// Whether to write it to the store now.
    pub(super) const fn tell(&mut self, now: i64) -> bool {
        let Self::Asked { tell_ms, .. } = self else {
            return false;
        };
        match *tell_ms {
            Some(at) if now >= at => {
                *tell_ms = None;
                true
            }
            Some(_) | None => false,
        }
    }

    /// It was written, or not.
    pub(super) fn told(&mut self, answer: Result<(), Failed>, now: i64) {
        if let Self::Asked { stored, tell_ms, .. } = self {
            match answer {
                Ok(()) => *stored = true,
                Err(Failed) => *tell_ms = Some(now + timing::RETRY),
            }
        }
    }

    /// Ends it, if there is nothing to wait for. Returns how, once.
    pub(super) const fn over(&mut self, around: Around, now: i64) -> Option<Drained> {
        let Self::Asked { since_ms, stored, .. } = *self else {
            return None;
        };
        let alone = matches!(around.alone_ms, Some(at) if at >= since_ms);
        let impatient = now - since_ms >= timing::DRAIN_PATIENCE;
        let how = if around.empty {
            Drained::Given
        } else if (stored && alone) || (impatient && around.unmoved) {
            Drained::Nobody
        } else {
            return None;
        };
        *self = Self::Over(how);
        Some(how)
    }

    /// Waits no longer.
    pub(super) const fn hurry(&mut self) -> Option<Drained> {
        if matches!(self, Self::Over(_)) {
            return None;
        }
        *self = Self::Over(Drained::Hurried);
        Some(Drained::Hurried)
    }

    pub(super) fn wake_ms(&self) -> i64 {
        match self {
            Self::Asked { since_ms, tell_ms, .. } => tell_ms.unwrap_or(i64::MAX).min(since_ms + timing::DRAIN_PATIENCE),
            Self::No | Self::Over(_) => i64::MAX,
        }
    }
}
