//! The leader's assignment: what [`assign`] says, when it may be said, and how it is written.

use std::collections::{BTreeMap, BTreeSet};

use super::desk::{Desk, is_alive};
use super::event::{Beginning, Effect};
use super::look::Seen;
use crate::cluster::assign::{self, Placed};
use crate::cluster::timing;
use crate::model::ids::MemberId;
use crate::store::{Assignment, MemberRow, MemberState};

/// When the leader may move shards for the sake of an even load.
#[derive(Debug)]
pub(super) struct Allot {
    live: BTreeSet<MemberId>,
    settled_ms: i64,
    /// Since when each live member is without Discord.
    cut_ms: BTreeMap<MemberId, i64>,
    uneven_ms: Option<i64>,
    /// When nobody had any shard yet, if that is how it began.
    cold_ms: Option<i64>,
    assigning: bool,
    /// Members that could not be let know of what they were given, or are to give.
    untold: BTreeSet<MemberId>,
    /// When it was last unknown whether an assignment was written, and so whom it concerns was told nothing.
    doubted_ms: Option<i64>,
}

impl Allot {
    /// Leadership begins.
    pub(super) const fn new(now: i64) -> Self {
        Self {
            live: BTreeSet::new(),
            settled_ms: now,
            cut_ms: BTreeMap::new(),
            uneven_ms: None,
            cold_ms: None,
            assigning: false,
            untold: BTreeSet::new(),
            // Whoever led before may have ended between an assignment and the telling.
            doubted_ms: Some(now),
        }
    }

    /// What is to be written after a look. `total`: how many shards there are to be.
    pub(super) fn decide(&mut self, term: u64, total: u32, seen: &Seen, desk: &Desk, now: i64) -> Option<Effect> {
        let live = self.able(seen, desk, now);
        self.note_who_lives(&live, now);
        if live.is_empty() || self.assigning {
            return None;
        }
        self.resolve_doubt(seen);
        if seen
            .scan
            .shards
            .iter()
            .all(|row| row.session.is_none() && row.owner.is_none())
        {
            self.cold_ms = Some(now);
        }
        // Replicas of a first start come one after the other: whoever was the first gives away what nobody listens to yet.
        let cold = self.cold_ms.is_some_and(|at| now - at < timing::COLD);
        let mut placed: Vec<Placed> = (0..total).filter_map(|shard| placed(shard, cold, seen, desk)).collect();
        let mut moved = assign::place(&mut placed, &live);
        while let Some(shard) = assign::level(&mut placed, &live, true) {
            moved.push(shard);
        }
        let voluntary = self.voluntary(&mut placed, &live, moved.is_empty(), seen, now);
        let effect = write(term, &placed, voluntary, seen);
        self.assigning = effect.is_some();
        effect
    }

    /// An assignment ended.
    pub(super) const fn ended(&mut self, answered: bool, now: i64) {
        self.assigning = false;
        if !answered {
            self.doubted_ms = Some(now);
        }
    }

    /// A look that began after the doubt shows what was written: who is to give or to take something may not know.
    fn resolve_doubt(&mut self, seen: &Seen) {
        if self.doubted_ms.take_if(|at| seen.sent_ms >= *at).is_some() {
            let under_way = seen
                .scan
                .shards
                .iter()
                .filter(|row| row.want.is_some() && row.want != row.owner);
            self.untold
                .extend(under_way.flat_map(|row| row.want.iter().chain(&row.owner)).cloned());
        }
    }

    /// These still do not know.
    pub(super) fn not_told(&mut self, members: Vec<MemberId>) {
        self.untold.extend(members);
    }

    /// Lets those know that still do not.
    pub(super) fn tell_again(&mut self) -> Option<Effect> {
        let untold = std::mem::take(&mut self.untold);
        (!untold.is_empty()).then(|| Effect::Tell(untold.into_iter().collect()))
    }

    /// Who may have shards: whoever lives, except those that are without Discord while others are not.
    fn able(&mut self, seen: &Seen, desk: &Desk, now: i64) -> Vec<MemberId> {
        let lives = |row: &&MemberRow| row.state == MemberState::Live && !desk.is_fencing(&row.id);
        let live: Vec<&MemberRow> = seen.scan.members.iter().filter(lives).collect();
        let before = std::mem::take(&mut self.cut_ms);
        let cut = live.iter().filter(|row| row.without_discord);
        self.cut_ms = cut
            .map(|row| (row.id.clone(), before.get(&row.id).copied().unwrap_or(now)))
            .collect();
        // Where all are without it, Discord is what is gone.
        let some = self.cut_ms.len() < live.len();
        let keeps = |id: &MemberId| !some || self.cut_ms.get(id).is_none_or(|since| now - since < timing::CUT_OFF);
        let ids = live.iter().map(|row| row.id.clone());
        ids.filter(keeps).collect()
    }

    fn note_who_lives(&mut self, live: &[MemberId], now: i64) {
        let live: BTreeSet<MemberId> = live.iter().cloned().collect();
        if live != self.live {
            self.live = live;
            self.settled_ms = now;
        }
    }

    /// One move for the sake of an even load: after it was uneven for long, nobody came or went, and no move is under way.
    fn voluntary(
        &mut self,
        placed: &mut [Placed],
        live: &[MemberId],
        idle: bool,
        seen: &Seen,
        now: i64,
    ) -> Option<u32> {
        if !assign::is_uneven(placed, live) {
            self.uneven_ms = None;
            return None;
        }
        let since = *self.uneven_ms.get_or_insert(now);
        let under_way = seen
            .scan
            .shards
            .iter()
            .any(|row| row.want.is_some() && row.want != row.owner);
        let leaving = seen.scan.members.iter().any(|row| row.state == MemberState::Draining);
        let calm = idle && !under_way && !leaving && now - self.settled_ms >= timing::SETTLED;
        if !calm || now - since < timing::UNEVEN {
            return None;
        }
        assign::level(placed, live, false)
    }
}

/// `None`: its keeper is being fenced, and until that is done it stays where it is, so that whoever gets it finds it free.
fn placed(shard: u32, cold: bool, seen: &Seen, desk: &Desk) -> Option<Placed> {
    let row = seen.shard(shard);
    let at = row.and_then(|row| row.want.clone().or_else(|| row.owner.clone()));
    if at.as_ref().is_some_and(|at| desk.is_fencing(at)) {
        return None;
    }
    let keeper = at.as_ref().and_then(|at| seen.member(at));
    let playing = row
        .and_then(|row| seen.member(row.owner.as_ref()?)?.playing.get(&shard).copied())
        .unwrap_or(0);
    Some(Placed {
        shard,
        at: at.filter(|_| keeper.is_some_and(|row| row.state == MemberState::Live)),
        playing,
        idle: playing == 0 && (cold || row.is_none_or(|row| row.session.is_none())),
    })
}

/// Every shard whose row does not say so already under this term.
fn write(term: u64, placed: &[Placed], voluntary: Option<u32>, seen: &Seen) -> Option<Effect> {
    let (mut assignments, mut moved) = (Vec::new(), Vec::new());
    let mut begin: Vec<Beginning> = Vec::new();
    for Placed { shard, at, .. } in placed {
        let (row, Some(want)) = (seen.shard(*shard), at) else {
            continue;
        };
        let stays = row.is_some_and(|row| row.want.as_ref() == Some(want));
        if stays && row.is_some_and(|row| row.want_term >= term) {
            continue;
        }
        let trace = if stays {
            row.and_then(|row| row.trace.clone())
        } else {
            moved.push(*shard);
            let from = row.and_then(|row| seen.member(row.owner.as_ref()?));
            if let Some(from) = from.filter(|from| is_alive(from) && from.id != *want) {
                begins(&mut begin, from, *shard, voluntary);
            }
            from.and_then(|from| from.trace.clone())
        };
        assignments.push(Assignment {
            shard: *shard,
            want: want.clone(),
            trace,
        });
    }
    (!assignments.is_empty()).then_some(Effect::Assign {
        term,
        assignments,
        moved,
        begin,
    })
}

fn begins(begin: &mut Vec<Beginning>, from: &MemberRow, shard: u32, voluntary: Option<u32>) {
    let only = voluntary.filter(|moved| *moved == shard);
    match begin
        .iter_mut()
        .find(|known| known.member.id == from.id && known.only == only)
    {
        Some(known) => known.shards.push(shard),
        None => begin.push(Beginning {
            member: from.clone(),
            only,
            shards: vec![shard],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Scan, ShardRow};

    #[test]
    fn whoever_could_not_be_told_is_told_again_once() {
        let mut allot = Allot::new(0);
        assert!(allot.tell_again().is_none());
        let member = |name: &str| MemberId(name.to_owned());
        allot.not_told(vec![member("b"), member("a")]);
        allot.not_told(vec![member("b")]);
        let Some(Effect::Tell(told)) = allot.tell_again() else {
            panic!("nobody is told");
        };
        assert_eq!(told, [member("a"), member("b")]);
        assert!(allot.tell_again().is_none(), "until that fails as well");
    }

    #[test]
    fn whom_an_assignment_without_an_answer_concerns_is_told_when_a_later_look_shows_it() {
        let member = |name: &str| Some(MemberId(name.to_owned()));
        let row = |id: u32, owner: Option<MemberId>, want: Option<MemberId>| ShardRow {
            id,
            owner,
            want,
            ..ShardRow::default()
        };
        let scan = Scan {
            shards: vec![
                row(0, member("a"), member("b")),
                row(1, None, member("c")),
                row(2, member("d"), member("d")),
            ],
            ..Scan::default()
        };
        let seen = |sent_ms: i64| Seen::new(scan.clone(), sent_ms, sent_ms);
        let told = |allot: &mut Allot, sent_ms: i64| {
            allot.resolve_doubt(&seen(sent_ms));
            let told = allot.tell_again();
            let Some(Effect::Tell(told)) = told else {
                return Vec::new();
            };
            told.into_iter().map(|id| id.0).collect::<Vec<_>>()
        };
        let mut allot = Allot::new(100);
        assert_eq!(told(&mut allot, 100), ["a", "b", "c"], "a new leader cannot know");
        allot.ended(true, 200);
        assert_eq!(told(&mut allot, 300), [""; 0]);
        allot.ended(false, 400);
        assert_eq!(told(&mut allot, 399), [""; 0], "it began before");
        assert_eq!(told(&mut allot, 500), ["a", "b", "c"]);
        assert_eq!(told(&mut allot, 600), [""; 0], "once");
    }
}
