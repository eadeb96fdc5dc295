//! The witness of a store that is down: what the leader says of it on the Lease, and what a member may conclude. Pure.
//!
//! A store outage that everybody sees must fence nobody. So the leader writes `down` on the Lease, which it alone may write,
//! and who reads that may act for a little longer; and nobody is fenced by time-out while `down` may still be believed:
//! not until [`timing::WITNESS_GRACE`] after `up` was written. `up` stays there that long, for the next leader to know.

use super::coordinator::event::{LeaseSeen, Word};
use super::timing;

/// The leader's side.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// `down` may stand on the Lease, or arrive there.
    open: bool,
    /// Since when `up` stands there, as far as we know.
    up_ms: Option<i64>,
}

impl Witness {
    /// Leadership begins, with the Lease as it was when we took it.
    pub fn begin(&mut self, word: Option<Word>, now: i64) {
        self.open = word == Some(Word::Down);
        self.up_ms = (word == Some(Word::Up)).then_some(now);
    }

    /// The Lease is ours and says this.
    pub fn seen(&mut self, word: Option<Word>, now: i64) {
        match word {
            Some(Word::Down) => {
                self.open = true;
                self.up_ms = None;
            }
            Some(Word::Up) => {
                self.open = false;
                self.up_ms.get_or_insert(now);
            }
            None => {}
        }
    }

    /// What the Lease should say now. `store_ok_ms`: when the store answered last.
    pub fn word(&mut self, store_ok_ms: i64, now: i64) -> Option<Word> {
        if now - store_ok_ms >= timing::WITNESS_AFTER {
            self.open = true;
            self.up_ms = None;
            return Some(Word::Down);
        }
        (self.open || self.is_grace(now)).then_some(Word::Up)
    }

    /// Whether nobody may be fenced by time-out.
    pub fn is_grace(&self, now: i64) -> bool {
        self.open || self.up_ms.is_some_and(|at| now < at + timing::WITNESS_GRACE)
    }
}

/// Until when a member whose renewals fail may act because of what the Lease says, if at all.
pub const fn extends(lease: &LeaseSeen, now: i64) -> Option<i64> {
    match lease.word {
        Some(Word::Down) if is_fresh(lease, now) => Some(lease.sent_ms + timing::WITNESS_EXTENDS),
        Some(Word::Down | Word::Up) | None => None,
    }
}

/// Whether the Lease shows a leader that reaches the store.
pub fn others_reach_the_store(lease: &LeaseSeen, now: i64) -> bool {
    lease.holder.is_some() && lease.mine_until_ms.is_none() && lease.word != Some(Word::Down) && is_fresh(lease, now)
}

const fn is_fresh(lease: &LeaseSeen, now: i64) -> bool {
    now - lease.changed_ms <= timing::WITNESS_FRESH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::MemberId;

    #[test]
    fn the_word_is_down_then_up_for_the_grace_and_then_nothing() {
        let mut witness = Witness::default();
        witness.begin(None, 0);
        assert_eq!(witness.word(0, 2_499), None);
        assert_eq!(witness.word(0, 2_500), Some(Word::Down));
        assert!(witness.is_grace(2_501), "before anybody can have read it");
        witness.seen(Some(Word::Down), 2_600);
        assert_eq!(witness.word(9_000, 9_100), Some(Word::Up));
        assert!(
            witness.is_grace(60_000),
            "until `up` stands there, however long that takes"
        );
        witness.seen(Some(Word::Up), 60_000);
        witness.seen(Some(Word::Up), 61_000);
        assert!(witness.is_grace(67_999));
        assert_eq!(witness.word(67_900, 67_999), Some(Word::Up));
        assert!(!witness.is_grace(68_000));
        assert_eq!(witness.word(67_900, 68_000), None);
    }

    #[test]
    fn a_leader_inherits_what_its_predecessor_said() {
        for (word, grace_ms) in [(None, 0), (Some(Word::Up), timing::WITNESS_GRACE)] {
            let mut witness = Witness::default();
            witness.begin(word, 100);
            assert_eq!(witness.is_grace(100), grace_ms > 0, "{word:?}");
            assert!(!witness.is_grace(100 + grace_ms), "{word:?}");
        }
        let mut witness = Witness::default();
        witness.begin(Some(Word::Down), 100);
        assert!(witness.is_grace(1_000_000));
        assert_eq!(witness.word(1_000_000, 1_000_001), Some(Word::Up));
    }

    #[test]
    fn only_a_fresh_down_extends_counted_from_sending_the_question() {
        let lease = |word, changed_ms| LeaseSeen {
            sent_ms: 900,
            holder: Some(MemberId("l".into())),
            mine_until_ms: None,
            word,
            changed_ms,
        };
        assert_eq!(extends(&lease(Some(Word::Down), 1_000), 1_000), Some(6_900));
        assert_eq!(extends(&lease(Some(Word::Down), 1_000), 4_001), None);
        assert_eq!(extends(&lease(Some(Word::Up), 1_000), 1_000), None);
        assert_eq!(extends(&lease(None, 1_000), 1_000), None);
        assert!(others_reach_the_store(&lease(None, 1_000), 1_000));
        assert!(
            !others_reach_the_store(&lease(None, 1_000), 4_001),
            "the leader may be dead"
        );
        assert!(!others_reach_the_store(&lease(Some(Word::Down), 1_000), 1_000));
    }
}
