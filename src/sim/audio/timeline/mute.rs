//! A bot that sends and that nobody can hear: muted, suppressed on a stage, or forbidden to speak.

use super::{EXPLAINS_MS, History, LEAST_GAP_MS, whiles};

impl History {
    /// When the bot could not be heard in its channel, ascending; an open end is `u64::MAX`.
    pub(super) fn mutes(&self) -> Vec<(u64, u64)> {
        whiles(&self.audible, |audible| !audible)
    }

    /// What was sent until `now` while nobody could hear it, beyond the time in which a bot may still see to that.
    pub(super) fn sent_in_vain(&self, now: u64) -> Vec<(u64, u64)> {
        let mutes = self.mutes();
        if mutes.is_empty() {
            return Vec::new();
        }
        let sent: Vec<(u64, u64)> = self
            .pieces(now, &[])
            .iter()
            .map(|piece| (piece.from_ms, piece.to.map_or(u64::MAX, |(to, _)| to)))
            .collect();
        let mut vain: Vec<(u64, u64)> = Vec::new();
        for mute in mutes {
            let parts = sent.iter().filter_map(|piece| overlap(*piece, mute));
            let Some(patient) = parts.clone().map(|(from, _)| from).min().map(|from| self.patient(from)) else {
                continue;
            };
            for (from, to) in parts.filter_map(|part| overlap(part, (patient, u64::MAX))) {
                match vain.last_mut() {
                    Some((_, end)) if from.saturating_sub(*end) < LEAST_GAP_MS => *end = to.max(*end),
                    _ => vain.push((from, to)),
                }
            }
        }
        vain
    }

    /// Until when a bot that sends unheard from a moment on is given time; a move or command in it gives as much again.
    fn patient(&self, from: u64) -> u64 {
        let mut marks = self.marks.clone();
        marks.sort_unstable();
        let first = from.saturating_add(EXPLAINS_MS);
        marks
            .into_iter()
            .filter(|mark| *mark >= from)
            .fold(first, |until, mark| {
                if mark <= until {
                    mark.saturating_add(EXPLAINS_MS)
                } else {
                    until
                }
            })
    }
}

fn overlap(one: (u64, u64), other: (u64, u64)) -> Option<(u64, u64)> {
    let both = (one.0.max(other.0), one.1.min(other.1));
    (both.0 < both.1).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{attended, content, gaps, stretch};
    use super::super::{End, Gap};
    use super::*;

    /// A track from 1,000 on, and a bot that cannot be heard in these times.
    fn muted(audible: &[(u64, bool)]) -> History {
        History {
            audible: audible.to_vec(),
            ..attended(vec![stretch(1, 1_000, None, content("t", 0))])
        }
    }

    fn gap(from_ms: u64, to_ms: Option<u64>) -> Gap {
        Gap { from_ms, to_ms }
    }

    #[test]
    fn a_bot_that_is_muted_while_it_plays_is_a_gap_and_not_heard() {
        let history = muted(&[(5_000, false), (9_000, true)]);
        assert_eq!(gaps(&history, 8_000), [gap(5_000, None)]);
        assert_eq!(gaps(&history, 20_000), [gap(5_000, Some(9_000))]);
        let heard = history.heard(20_000);
        let times: Vec<_> = heard.iter().map(|one| (one.from_ms, one.to)).collect();
        assert_eq!(times, [(1_000, Some((5_000, End::Stopped))), (9_000, None)]);
        assert_eq!(heard[1].content.position_ms, 8_000, "the track went on meanwhile");
    }

    #[test]
    fn a_mute_that_a_user_caused_is_a_gap_only_after_three_seconds() {
        let mut history = muted(&[(5_000, false), (7_900, true)]);
        history.marks.push(5_000);
        assert_eq!(gaps(&history, 20_000), []);
        history.audible[1].0 = 12_000;
        assert_eq!(gaps(&history, 20_000), [gap(8_000, Some(12_000))]);
        history.audible.truncate(1);
        assert_eq!(gaps(&history, 8_050), [], "it has only just run out");
        assert_eq!(gaps(&history, 20_000), [gap(8_000, None)]);
        history.marks.push(7_000);
        assert_eq!(gaps(&history, 20_000), [gap(10_000, None)], "moved once more meanwhile");
    }

    #[test]
    fn a_bot_that_was_never_audible_is_a_gap_once_it_sends_for_three_seconds() {
        let history = muted(&[(0, false)]);
        assert_eq!(gaps(&history, 3_900), []);
        assert_eq!(gaps(&history, 9_000), [gap(4_000, None)]);
        assert!(history.heard(9_000).is_empty());
        let mut alone = muted(&[(0, false)]);
        alone.people = vec![(0, 0), (6_000, 1)];
        assert_eq!(gaps(&alone, 9_000), [gap(6_000, None)]);
    }

    #[test]
    fn a_mute_bot_that_sends_nothing_misses_nothing() {
        let mut history = muted(&[(500, false)]);
        history.cut(1, 3_000, End::Stopped);
        assert_eq!(gaps(&history, 20_000), []);
        history
            .stretches
            .push(stretch(1, 3_020, Some((9_000, End::Finished)), content("u", 0)));
        assert_eq!(
            gaps(&history, 20_000),
            [gap(4_000, Some(9_000))],
            "another track is no new beginning"
        );
    }
}
