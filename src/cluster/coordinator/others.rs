//! Whether others reach the store while this member does not: then it is cut off, and not the store down.

use crate::cluster::timing;
use crate::model::ids::MemberId;

/// How often others are asked.
const ASK: i64 = 1_000;
/// Answers that are remembered.
const REMEMBERED: usize = 64;

/// What was heard since the store stopped answering.
#[derive(Debug, Default)]
pub(super) struct Others {
    asked_ms: Option<i64>,
    /// Who renewed lately, and when that was heard.
    heard: Vec<(MemberId, i64)>,
    /// Since when there always was somebody.
    since_ms: Option<i64>,
    last_ms: i64,
}

impl Others {
    /// The store answers us, or has not been silent for long.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether to ask now.
    pub(super) fn ask(&mut self, now: i64) -> bool {
        let due = self.asked_ms.is_none_or(|at| now - at >= ASK);
        if due {
            self.asked_ms = Some(now);
        }
        due
    }

    /// A member renewed lately, as it says.
    pub(super) fn heard(&mut self, member: MemberId, now: i64) {
        self.heard
            .retain(|(id, at)| *id != member && now - at <= timing::OTHERS_FRESH);
        self.heard.truncate(REMEMBERED - 1);
        self.heard.push((member, now));
        self.reach_it(now);
    }

    /// Somebody reaches the store.
    pub(super) fn reach_it(&mut self, now: i64) {
        if self.since_ms.is_none() || now - self.last_ms > timing::OTHERS_FRESH {
            self.since_ms = Some(now);
        }
        self.last_ms = now;
    }

    /// Whether others have reached it for long enough, and still do.
    pub(super) fn are_sure(&self, now: i64) -> bool {
        now - self.last_ms <= timing::OTHERS_FRESH
            && self.since_ms.is_some_and(|since| now - since >= timing::OTHERS_SURE)
    }

    /// How many said so lately.
    pub(super) fn count(&self, now: i64) -> usize {
        let fresh = |(_, at): &&(MemberId, i64)| now - at <= timing::OTHERS_FRESH;
        self.heard.iter().filter(fresh).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_sure_only_after_a_while_without_a_break() {
        let mut others = Others::default();
        let id = || MemberId("b".into());
        others.heard(id(), 1_000);
        assert!(!others.are_sure(1_000));
        others.heard(id(), 4_000);
        assert!(!others.are_sure(4_400) && others.are_sure(4_500));
        assert_eq!(others.count(4_500), 1);
        assert!(!others.are_sure(7_001), "it is long ago");
        others.heard(id(), 7_001);
        assert!(!others.are_sure(7_001), "there was a break");
        others.forget();
        assert_eq!(others.count(7_001), 0);
    }
}
