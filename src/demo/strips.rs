//! What one guild's listeners heard in the last minutes, merged from one answer after another. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::wire::{Audio, Gap, Segment};

/// How far back the page looks, with some room.
pub const KEPT_MS: u64 = 150_000;
/// How far an open segment may run away from what the page reckons before it is told again.
const DRIFT_MS: u64 = 250;
/// Below this a segment is too short to tell its speed.
const SPEED_NEEDS_MS: u64 = 2_000;
/// How late the end of something may be told.
const HINDSIGHT_MS: u64 = 5_000;

/// A segment and when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The segment.
    #[serde(flatten)]
    pub segment: Segment,
    /// The clock at which an open segment was at `position_to_ms`.
    pub as_of_ms: u64,
}

impl Seen {
    /// Where in the track the segment is at `at_ms`, going on at the speed seen so far.
    pub fn position_at(&self, at_ms: u64) -> u64 {
        let Segment {
            from_ms,
            position_from_ms,
            position_to_ms,
            ..
        } = self.segment;
        let (seen, heard) = (
            self.as_of_ms.saturating_sub(from_ms),
            position_to_ms.saturating_sub(position_from_ms),
        );
        let passed = at_ms.saturating_sub(from_ms);
        if seen < SPEED_NEEDS_MS {
            return position_from_ms + passed;
        }
        position_from_ms + passed * heard / seen
    }
}

/// One guild's strip.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strip {
    segments: BTreeMap<u64, Seen>,
    gaps: BTreeMap<u64, Gap>,
    /// Whether something is audible.
    pub playing: bool,
    /// The clock of the last answer.
    asked_ms: u64,
}

/// What of a strip the page has not been told yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// New, ended or drifted segments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Seen>,
    /// New or ended gaps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// What was told as open and turned out not to be.
    #[serde(skip_serializing_if = "Withdrawn::is_empty")]
    pub withdrawn: Withdrawn,
    /// Whether it plays, where that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playing: Option<bool>,
}

/// Keys of what is to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Withdrawn {
    /// Their `from_ms`.
    pub segments: Vec<u64>,
    /// Their `from_ms`.
    pub gaps: Vec<u64>,
}

impl Withdrawn {
    fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.gaps.is_empty()
    }
}

impl Change {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.gaps.is_empty() && self.withdrawn.is_empty() && self.playing.is_none()
    }
}

impl Strip {
    /// Takes one answer in; what the page must be told of it.
    pub fn merge(&mut self, audio: Audio) -> Change {
        let Audio {
            now_ms,
            playing,
            segments,
            gaps,
        } = audio;
        let withdrawn = self.withdraw(&segments, &gaps);
        let mut change = Change {
            withdrawn,
            ..Change::default()
        };
        for segment in segments {
            let seen = Seen {
                as_of_ms: segment.to_ms.unwrap_or(now_ms),
                segment,
            };
            if self.is_news(&seen) {
                self.segments.insert(seen.segment.from_ms, seen.clone());
                change.segments.push(seen);
            }
        }
        for gap in gaps {
            if self.gaps.insert(gap.from_ms, gap) != Some(gap) {
                change.gaps.push(gap);
            }
        }
        if self.playing != playing {
            self.playing = playing;
            change.playing = Some(playing);
        }
        self.asked_ms = now_ms;
        self.forget_before(now_ms.saturating_sub(KEPT_MS));
        change
    }

    /// The `since_ms` of the next question. An end is sometimes known only a while after it happened.
    pub fn since_ms(&self) -> u64 {
        self.asked_ms.saturating_sub(HINDSIGHT_MS)
    }

    /// Forgets what was open and is not mentioned any more: an answer holds everything that is open.
    fn withdraw(&mut self, segments: &[Segment], gaps: &[Gap]) -> Withdrawn {
        let open = self
            .segments
            .values()
            .filter(|seen| seen.segment.to_ms.is_none())
            .map(|seen| seen.segment.from_ms);
        let gone = open
            .filter(|from| !segments.iter().any(|told| told.from_ms == *from))
            .collect();
        let open = self
            .gaps
            .values()
            .filter(|gap| gap.to_ms.is_none())
            .map(|gap| gap.from_ms);
        let no_gaps = open
            .filter(|from| !gaps.iter().any(|told| told.from_ms == *from))
            .collect();
        let withdrawn = Withdrawn {
            segments: gone,
            gaps: no_gaps,
        };
        self.segments.retain(|from, _| !withdrawn.segments.contains(from));
        self.gaps.retain(|from, _| !withdrawn.gaps.contains(from));
        withdrawn
    }

    fn is_news(&self, seen: &Seen) -> bool {
        let Some(known) = self.segments.get(&seen.segment.from_ms) else {
            return true;
        };
        let (old, new) = (&known.segment, &seen.segment);
        let reckoned = known.position_at(seen.as_of_ms);
        old.to_ms != new.to_ms
            || old.track != new.track
            || old.node != new.node
            || old.volume != new.volume
            || reckoned.abs_diff(new.position_to_ms) > DRIFT_MS
    }

    fn forget_before(&mut self, before_ms: u64) {
        self.segments
            .retain(|_, seen| seen.segment.to_ms.is_none_or(|to| to >= before_ms));
        self.gaps.retain(|_, gap| gap.to_ms.is_none_or(|to| to >= before_ms));
    }

    /// Everything, oldest first.
    pub fn whole(&self) -> Change {
        Change {
            segments: self.segments.values().cloned().collect(),
            gaps: self.gaps.values().copied().collect(),
            playing: Some(self.playing),
            withdrawn: Withdrawn::default(),
        }
    }

    /// Whether something was audible at `at_ms`.
    pub fn was_audible(&self, at_ms: u64) -> bool {
        self.segments
            .range(..=at_ms)
            .next_back()
            .is_some_and(|(_, seen)| seen.segment.to_ms.is_none_or(|to| to > at_ms))
    }

    /// The longest gap since `since_ms`, in milliseconds; an open one lasts until `now_ms`.
    pub fn longest_gap(&self, since_ms: u64, now_ms: u64) -> Option<u64> {
        let after = self
            .gaps
            .values()
            .filter(|gap| gap.to_ms.is_none_or(|to| to > since_ms));
        after
            .map(|gap| gap.to_ms.unwrap_or(now_ms).saturating_sub(gap.from_ms))
            .max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(from_ms: u64, to_ms: Option<u64>, position_to_ms: u64) -> Segment {
        Segment {
            from_ms,
            to_ms,
            track: "sim:one".into(),
            title: "one".into(),
            position_from_ms: 0,
            position_to_ms,
            node: "a".into(),
            volume: 100,
        }
    }

    fn audio(now_ms: u64, segments: Vec<Segment>, gaps: Vec<Gap>) -> Audio {
        let playing = segments.iter().any(|segment| segment.to_ms.is_none());
        Audio {
            now_ms,
            playing,
            segments,
            gaps,
        }
    }

    #[test]
    fn a_segment_that_plays_on_as_expected_is_told_once() {
        let mut strip = Strip::default();
        let first = strip.merge(audio(3_000, vec![segment(0, None, 3_000)], vec![]));
        assert_eq!((first.segments.len(), first.playing), (1, Some(true)));
        assert!(
            strip
                .merge(audio(3_500, vec![segment(0, None, 3_500)], vec![]))
                .is_empty()
        );
        assert!(
            strip
                .merge(audio(60_000, vec![segment(0, None, 60_100)], vec![]))
                .is_empty()
        );
    }

    #[test]
    fn a_segment_that_ends_or_runs_away_is_told_again() {
        let mut strip = Strip::default();
        strip.merge(audio(3_000, vec![segment(0, None, 3_000)], vec![]));
        assert_eq!(
            strip
                .merge(audio(6_000, vec![segment(0, None, 5_000)], vec![]))
                .segments
                .len(),
            1
        );
        let ended = strip.merge(audio(7_000, vec![segment(0, Some(6_500), 5_400)], vec![]));
        assert_eq!((ended.segments.len(), ended.playing), (1, Some(false)));
        assert!(strip.was_audible(6_400) && !strip.was_audible(6_600));
    }

    #[test]
    fn a_gap_is_told_when_it_opens_and_when_it_closes() {
        let mut strip = Strip::default();
        let open = Gap {
            from_ms: 1_000,
            to_ms: None,
        };
        let closed = Gap {
            from_ms: 1_000,
            to_ms: Some(1_400),
        };
        assert_eq!(strip.merge(audio(1_200, vec![], vec![open])).gaps, [open]);
        assert_eq!(strip.longest_gap(900, 1_300), Some(300));
        assert!(strip.merge(audio(1_300, vec![], vec![open])).is_empty());
        assert_eq!(strip.merge(audio(1_500, vec![], vec![closed])).gaps, [closed]);
        assert_eq!(strip.longest_gap(1_401, 2_000), None);
    }

    #[test]
    fn a_gap_that_turns_out_to_be_none_is_withdrawn() {
        let mut strip = Strip::default();
        strip.merge(audio(
            9_000,
            vec![],
            vec![Gap {
                from_ms: 8_000,
                to_ms: None,
            }],
        ));
        assert_eq!(strip.since_ms(), 4_000);
        let change = strip.merge(audio(9_300, vec![], vec![]));
        assert_eq!(change.withdrawn.gaps, [8_000]);
        assert_eq!(strip.longest_gap(0, 9_300), None);
    }

    #[test]
    fn what_is_too_old_is_forgotten_unless_it_still_lasts() {
        let mut strip = Strip::default();
        strip.merge(audio(10, vec![segment(0, Some(5), 5), segment(6, None, 4)], vec![]));
        strip.merge(audio(KEPT_MS + 100, vec![segment(6, None, KEPT_MS)], vec![]));
        assert_eq!(strip.whole().segments.len(), 1);
    }
}
