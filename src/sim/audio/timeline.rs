//! The arithmetic of hearing: from what nodes sent and who was there to segments and gaps. Pure.

mod mute;

/// Silence shorter than this is not noticed.
pub(super) const LEAST_GAP_MS: u64 = 60;
/// A command or a move explains a silence that begins at most this long after it, and so long may a bot be muted where it
/// sends.
const EXPLAINS_MS: u64 = 3_000;
/// A track that follows another's end within this time should have followed at once.
const FOLLOWS_MS: u64 = 60_000;
/// A track's end is told this long before it is heard, so a command from then on is one between two tracks.
const TOLD_AHEAD_MS: u64 = 350;

/// Why a stretch of audio ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The track was over.
    Finished,
    /// The track itself failed.
    Failed,
    /// Anything else: pause, stop, another track, a dead node, a closed voice connection.
    Stopped,
}

impl End {
    /// As the log names it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// What one voice connection carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The track's identifier.
    pub track: String,
    /// Its title.
    pub title: String,
    /// Milliseconds into the track where the stretch begins.
    pub position_ms: u64,
    /// Track time per time; 1 unless a timescale filter says otherwise.
    pub speed: f64,
    /// Percent.
    pub volume: u16,
}

/// A stretch of frames on one voice connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) link: u64,
    pub(super) node: String,
    pub(super) from_ms: u64,
    /// Its end, if known.
    pub(super) to: Option<(u64, End)>,
    pub(super) content: Content,
}

/// A voice connection's life; while it lives, older ones are not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkLife {
    pub(super) link: u64,
    pub(super) from_ms: u64,
    pub(super) to_ms: Option<u64>,
}

/// Everything known of one guild, in any order.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub(super) stretches: Vec<Stretch>,
    pub(super) links: Vec<LinkLife>,
    /// When somebody did something that explains silence.
    pub(super) marks: Vec<u64>,
    /// From when on how many people were in the bot's channel, ascending.
    pub(super) people: Vec<(u64, u32)>,
    /// When the bot was removed.
    pub(super) removed: Vec<u64>,
    /// From when on the bot could be heard in its channel, or not: muted, suppressed, forbidden to speak. Ascending; until
    /// the first it could.
    pub(super) audible: Vec<(u64, bool)>,
}

/// What was heard without a break.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) from_ms: u64,
    /// `None` while it is heard.
    pub(super) to: Option<(u64, End)>,
    pub(super) node: String,
    pub(super) content: Content,
}

/// Silence that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) from_ms: u64,
    pub(super) to_ms: Option<u64>,
}

impl Content {
    /// The position `elapsed` ms later.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "milliseconds of a track, never negative; more than there can be is the most there can be"
    )]
    pub(in crate::sim) fn position_after(&self, elapsed_ms: u64) -> u64 {
        let played = (elapsed_ms as f64 * self.speed).round() as u64;
        self.position_ms.saturating_add(played)
    }
}

impl Segment {
    /// Where it ends, or `now`.
    pub(super) fn until(&self, now: u64) -> u64 {
        self.to.map_or(now, |(to, _)| to)
    }

    /// The position at its end, or at `now`.
    pub(super) fn position_to(&self, now: u64) -> u64 {
        self.content
            .position_after(self.until(now).saturating_sub(self.from_ms))
    }

    fn continues_in(&self, next: &Self, now: u64) -> bool {
        self.node == next.node
            && self.content.track == next.content.track
            && self.content.volume == next.content.volume
            && (self.content.speed - next.content.speed).abs() < 1e-9
            && next.from_ms.saturating_sub(self.until(now)) < LEAST_GAP_MS
            && self.position_to(now).abs_diff(next.content.position_ms) < LEAST_GAP_MS
    }
}

impl History {
    /// Everything a connection sends from `at` on is void; what was under way ends there.
    pub(super) fn cut(&mut self, link: u64, at: u64, end: End) {
        self.stretches
            .retain(|stretch| stretch.link != link || stretch.from_ms < at);
        for stretch in self.stretches.iter_mut().filter(|stretch| stretch.link == link) {
            if stretch.to.is_none_or(|(to, _)| to > at) {
                stretch.to = Some((at, end));
            }
        }
    }

    /// What was heard until `now`, oldest first, merged.
    pub(super) fn heard(&self, now: u64) -> Vec<Segment> {
        let pieces = self.pieces(now, &self.mutes());
        let mut heard: Vec<Segment> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match heard.last_mut() {
                Some(last) if last.to.is_some() && last.continues_in(&piece, now) => last.to = piece.to,
                _ => heard.push(piece),
            }
        }
        heard
    }

    /// What was sent until `now` on what was then the newest connection, outside of `mutes`; oldest first.
    pub(super) fn pieces(&self, now: u64, mutes: &[(u64, u64)]) -> Vec<Segment> {
        let mut pieces: Vec<Segment> = self
            .stretches
            .iter()
            .filter(|stretch| stretch.from_ms <= now)
            .flat_map(|stretch| self.unmasked(stretch, now, mutes))
            .collect();
        pieces.sort_by_key(|piece| piece.from_ms);
        pieces
    }

    /// The parts of a stretch during which no newer connection was open or still draining, outside of `mutes`.
    fn unmasked(&self, stretch: &Stretch, now: u64, mutes: &[(u64, u64)]) -> Vec<Segment> {
        let to = stretch.to.filter(|(to, _)| *to <= now);
        // What ends after now has not ended yet.
        let ended = |to: Option<u64>| to.filter(|to| *to <= now).unwrap_or(u64::MAX);
        let newer_links = self
            .links
            .iter()
            .filter(|life| life.link > stretch.link)
            .map(|life| (life.from_ms, ended(life.to_ms)));
        let newer_audio = self
            .stretches
            .iter()
            .filter(|other| other.link > stretch.link)
            .map(|other| (other.from_ms, ended(other.to.map(|(to, _)| to))));
        let masks = newer_links
            .chain(newer_audio)
            .chain(mutes.iter().map(|(from, to)| (*from, ended(Some(*to)))))
            .filter(|(from, _)| *from <= now)
            .collect();
        subtract((stretch.from_ms, to.map_or(u64::MAX, |(to, _)| to)), masks)
            .into_iter()
            .map(|(from, until)| {
                let mut content = stretch.content.clone();
                content.position_ms = stretch.content.position_after(from - stretch.from_ms);
                Segment {
                    from_ms: from,
                    to: match to {
                        Some((to, end)) if to == until => Some((to, end)),
                        Some(_) | None if until == u64::MAX => None,
                        Some(_) | None => Some((until, End::Stopped)),
                    },
                    node: stretch.node.clone(),
                    content,
                }
            })
            .collect()
    }

    /// The gaps between what was heard, and after it; and where a bot goes on sending although nobody can hear it.
    pub(super) fn gaps(&self, heard: &[Segment], now: u64) -> Vec<Gap> {
        let nexts = heard.iter().skip(1).map(|next| Some(next.from_ms)).chain([None]);
        let broken: Vec<(u64, u64)> = heard
            .iter()
            .zip(nexts)
            .filter_map(|(segment, next)| segment.to.map(|(at, end)| (at, end, next)))
            .filter(|(at, end, next)| self.unexplained(*at, *end, *next))
            .flat_map(|(at, _, next)| self.with_listeners(at, next.unwrap_or(u64::MAX)))
            .collect();
        // What is a gap already is none a second time.
        let muted = self
            .sent_in_vain(now)
            .into_iter()
            .flat_map(|(from, to)| self.with_listeners(from, to))
            .flat_map(|silence| subtract(silence, broken.clone()));
        let mut silences: Vec<(u64, u64)> = broken.iter().copied().chain(muted).collect();
        silences.sort_unstable();
        silences
            .into_iter()
            .filter(|(from, to)| (*to).min(now).saturating_sub(*from) >= LEAST_GAP_MS)
            .map(|(from_ms, to)| Gap {
                from_ms,
                to_ms: Some(to).filter(|to| *to <= now),
            })
            .collect()
    }

    fn unexplained(&self, at: u64, end: End, next: Option<u64>) -> bool {
        let marked = |from: u64, to: u64| self.marks.iter().any(|mark| (from..=to).contains(mark));
        match end {
            End::Failed => false,
            End::Finished => {
                next.is_some_and(|next| next <= at + FOLLOWS_MS && !marked(at.saturating_sub(TOLD_AHEAD_MS), next))
            }
            End::Stopped => !marked(at.saturating_sub(EXPLAINS_MS), at),
        }
    }

    /// A silence without the time when nobody was there, and without all after a removal.
    fn with_listeners(&self, at: u64, to: u64) -> Vec<(u64, u64)> {
        let mut to = to;
        let since = at.saturating_sub(EXPLAINS_MS);
        if let Some(removed) = self.removed.iter().filter(|removed| **removed >= since).min() {
            to = to.min((*removed).max(at));
        }
        let first = self.people.first().map_or(u64::MAX, |(from, _)| *from);
        let empty = whiles(&self.people, |count| count == 0);
        subtract((at, to), [(0, first)].into_iter().chain(empty).collect())
    }
}

/// The times in which what is known from certain moments on (ascending) is as asked for; an open one ends at `u64::MAX`.
fn whiles<T: Copy>(known: &[(u64, T)], asked: impl Fn(T) -> bool) -> Vec<(u64, u64)> {
    let ends = known.iter().skip(1).map(|(from, _)| *from).chain([u64::MAX]);
    known
        .iter()
        .zip(ends)
        .filter(|((_, what), _)| asked(*what))
        .map(|((from, _), end)| (*from, end))
        .collect()
}

/// What is left of an interval, ascending; `u64::MAX` is an open end.
fn subtract(whole: (u64, u64), mut holes: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    holes.sort_unstable();
    let (mut from, to) = whole;
    let mut left = Vec::new();
    for (start, end) in holes.into_iter().filter(|(start, end)| start < end) {
        if start >= to {
            break;
        }
        if from < start {
            left.push((from, start));
        }
        from = from.max(end);
    }
    if from < to {
        left.push((from, to));
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn content(track: &str, position_ms: u64) -> Content {
        Content {
            track: track.to_owned(),
            title: track.to_owned(),
            position_ms,
            speed: 1.0,
            volume: 100,
        }
    }

    pub(super) fn stretch(link: u64, from_ms: u64, to: Option<(u64, End)>, content: Content) -> Stretch {
        Stretch {
            link,
            node: "a".to_owned(),
            from_ms,
            to,
            content,
        }
    }

    pub(super) fn attended(stretches: Vec<Stretch>) -> History {
        History {
            stretches,
            people: vec![(0, 1)],
            ..History::default()
        }
    }

    pub(super) fn gaps(history: &History, now: u64) -> Vec<Gap> {
        history.gaps(&history.heard(now), now)
    }

    /// Ten seconds of `t` from 1,000, stopped at 5,000, and again from 7,000.
    fn broken() -> History {
        attended(vec![
            stretch(1, 1_000, Some((5_000, End::Stopped)), content("t", 0)),
            stretch(2, 7_000, None, content("t", 4_000)),
        ])
    }

    const BROKEN: Gap = Gap {
        from_ms: 5_000,
        to_ms: Some(7_000),
    };

    #[test]
    fn silence_in_a_track_is_a_gap() {
        assert_eq!(gaps(&broken(), 8_000), [BROKEN]);
        let open = Gap { to_ms: None, ..BROKEN };
        assert_eq!(gaps(&broken(), 6_000), [open]);
        assert_eq!(gaps(&broken(), 5_059), []);
        assert_eq!(gaps(&broken(), 4_999), []);
    }

    #[test]
    fn a_mark_in_the_three_seconds_before_explains_it() {
        for (mark, explained) in [(1_999, false), (2_000, true), (5_000, true), (5_001, false)] {
            let mut history = broken();
            history.marks.push(mark);
            assert_eq!(gaps(&history, 8_000).is_empty(), explained, "mark at {mark}");
        }
    }

    #[test]
    fn nobody_there_or_no_bot_there_is_no_gap() {
        let mut empty = broken();
        empty.people = vec![(0, 1), (5_500, 0), (6_000, 2)];
        let parts = [(5_000, 5_500), (6_000, 7_000)].map(|(from_ms, to)| Gap {
            from_ms,
            to_ms: Some(to),
        });
        assert_eq!(gaps(&empty, 8_000), parts);
        empty.people = vec![];
        assert_eq!(gaps(&empty, 8_000), []);
        let mut removed = broken();
        removed.removed = vec![4_990];
        assert_eq!(gaps(&removed, 8_000), []);
        removed.removed = vec![5_100];
        let short = Gap {
            to_ms: Some(5_100),
            ..BROKEN
        };
        assert_eq!(gaps(&removed, 8_000), [short]);
        removed.removed = vec![1_500];
        assert_eq!(
            gaps(&removed, 8_000),
            [BROKEN],
            "an earlier removal says nothing about later silence"
        );
    }

    #[test]
    fn after_a_tracks_end_only_a_late_follower_is_a_gap() {
        let after = |end, next: u64| {
            attended(vec![
                stretch(1, 0, Some((5_000, end)), content("t", 0)),
                stretch(1, next, None, content("u", 0)),
            ])
        };
        assert_eq!(gaps(&after(End::Finished, 6_000), 5_900), [], "nothing followed yet");
        assert_eq!(gaps(&after(End::Finished, 6_000), 6_000).len(), 1);
        assert_eq!(gaps(&after(End::Finished, 5_059), 9_000), []);
        assert_eq!(gaps(&after(End::Finished, 65_001), 66_000), []);
        assert_eq!(gaps(&after(End::Failed, 6_000), 9_000), []);
        let mut asked = after(End::Finished, 6_000);
        asked.marks.push(5_500);
        assert_eq!(gaps(&asked, 9_000), []);
    }

    #[test]
    fn the_newest_connection_is_heard() {
        let history = attended(vec![
            stretch(1, 0, Some((5_380, End::Stopped)), content("t", 0)),
            stretch(2, 5_000, None, content("t", 5_330)),
        ]);
        let heard = history.heard(6_000);
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert_eq!(heard[0].to, Some((5_000, End::Stopped)));
        assert_eq!((heard[1].from_ms, heard[1].content.position_ms), (5_000, 5_330));
        assert_eq!(gaps(&history, 6_000), []);
        let mut mute = history;
        mute.links.push(LinkLife {
            link: 3,
            from_ms: 5_500,
            to_ms: None,
        });
        assert_eq!(
            gaps(&mute, 6_000).len(),
            1,
            "an open connection that sends nothing is heard as silence"
        );
    }

    #[test]
    fn a_track_that_goes_on_is_one_segment_and_a_seek_or_volume_splits_it() {
        let mut louder = content("t", 8_000);
        louder.volume = 50;
        let history = attended(vec![
            stretch(1, 0, Some((5_000, End::Stopped)), content("t", 0)),
            stretch(2, 5_020, Some((8_000, End::Stopped)), content("t", 5_000)),
            stretch(2, 8_000, Some((9_000, End::Stopped)), louder.clone()),
            stretch(
                2,
                9_000,
                None,
                Content {
                    position_ms: 60_000,
                    ..louder
                },
            ),
        ]);
        let starts: Vec<u64> = history.heard(10_000).iter().map(|segment| segment.from_ms).collect();
        assert_eq!(starts, [0, 8_000, 9_000]);
    }

    #[test]
    fn a_cut_takes_all_that_comes_after_on_its_connection_only() {
        let mut history = attended(vec![
            stretch(1, 0, Some((1_330, End::Stopped)), content("t", 0)),
            stretch(1, 1_330, None, content("u", 0)),
            stretch(2, 0, None, content("v", 0)),
        ]);
        history.cut(1, 1_000, End::Stopped);
        assert_eq!(history.stretches.len(), 2);
        assert_eq!(history.stretches[0].to, Some((1_000, End::Stopped)));
        assert_eq!(history.stretches[1].to, None);
    }

    proptest! {
        #[test]
        fn what_is_left_and_the_holes_make_the_whole(
            from in 0_u64..100, length in 1_u64..100, holes in proptest::collection::vec((0_u64..200, 0_u64..40), 0..8),
        ) {
            let holes: Vec<(u64, u64)> = holes.into_iter().map(|(from, length)| (from, from + length)).collect();
            let left = subtract((from, from + length), holes.clone());
            for at in 0..250_u64 {
                let inside = |list: &[(u64, u64)]| list.iter().filter(|(from, to)| (*from..*to).contains(&at)).count();
                let expected = usize::from((from..from + length).contains(&at) && inside(&holes) == 0);
                prop_assert_eq!(inside(&left), expected, "at {}", at);
            }
        }

        #[test]
        fn segments_never_overlap_and_gaps_are_silent(
            parts in proptest::collection::vec((1_u64..4, 0_u64..3_000, 1_u64..1_500, 0_u64..5), 1..12),
            empty in proptest::collection::vec((0_u64..4_000, 0_u32..2), 0..6),
            mut audible in proptest::collection::vec((0_u64..4_000, proptest::bool::ANY), 0..4), now in 0_u64..9_000,
        ) {
            let mut history = History::default();
            for (link, from, length, track) in parts {
                history.cut(link, from, End::Stopped);
                let content = content(&format!("t{track}"), 0);
                history.stretches.push(stretch(link, from, Some((from + length, End::Stopped)), content));
            }
            history.people = empty;
            history.people.sort_unstable();
            audible.sort_unstable();
            history.audible = audible;
            let heard = history.heard(now);
            for pair in heard.windows(2) {
                prop_assert!(pair[0].to.is_some_and(|(to, _)| to <= pair[1].from_ms), "{pair:?}");
            }
            let gaps = history.gaps(&heard, now);
            for pair in gaps.windows(2) {
                prop_assert!(pair[0].to_ms.is_some_and(|to| to <= pair[1].from_ms), "{pair:?}");
            }
            for gap in gaps {
                let to = gap.to_ms.unwrap_or(now);
                prop_assert!(to - gap.from_ms >= LEAST_GAP_MS);
                prop_assert!(!heard.iter().any(|segment| segment.from_ms < to && segment.until(now) > gap.from_ms));
            }
        }
    }
}
