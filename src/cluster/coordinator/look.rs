//! When to look at the store: all members and all shards at once.

use std::collections::BTreeMap;

use super::desk::is_alive;
use crate::cluster::timing;
use crate::model::ids::{Epoch, MemberId};
use crate::store::{Assignment, MemberRow, MemberState, Scan, ShardRow};

/// What was seen last.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) scan: Scan,
    /// When it was asked for.
    pub(super) sent_ms: i64,
    /// How long the answer took.
    pub(super) took_ms: i64,
    /// This machine's wall clock less the store's, about.
    pub(super) offset_ms: i64,
}

impl Seen {
    /// `wall_ms`: this machine's wall clock when the answer came.
    pub(super) fn new(mut scan: Scan, sent_ms: i64, wall_ms: i64) -> Self {
        scan.members.sort_by(|a, b| a.id.cmp(&b.id));
        scan.shards.sort_by_key(|row| row.id);
        Self {
            sent_ms,
            took_ms: 0,
            offset_ms: wall_ms - scan.now_ms,
            scan,
        }
    }

    pub(super) fn member(&self, id: &MemberId) -> Option<&MemberRow> {
        let at = self.scan.members.binary_search_by(|row| row.id.cmp(id)).ok()?;
        self.scan.members.get(at)
    }

    /// When a member that is fenced or gone by now renewed last, by the store's clock.
    pub(super) fn last_sign_of_the_dead(&self) -> Option<i64> {
        let dead = self.scan.members.iter().filter(|row| row.state.is_final());
        dead.map(|row| row.renewed_ms).max()
    }

    pub(super) fn shard(&self, id: u32) -> Option<&ShardRow> {
        let at = self.scan.shards.binary_search_by_key(&id, |row| row.id).ok()?;
        self.scan.shards.get(at)
    }

    /// Puts a row there as it is known to be now.
    pub(super) fn put_shard(&mut self, row: ShardRow) {
        match self.scan.shards.binary_search_by_key(&row.id, |row| row.id) {
            Ok(at) => self.scan.shards[at] = row,
            Err(at) => self.scan.shards.insert(at, row),
        }
    }

    /// Puts an assignment there that was just written. Returns the row as it is known to be now.
    pub(super) fn assign(&mut self, assignment: &Assignment, term: u64) -> ShardRow {
        let row = self
            .shard(assignment.shard)
            .cloned()
            .unwrap_or_else(|| unowned(assignment.shard));
        let row = ShardRow {
            want: Some(assignment.want.clone()),
            want_term: term,
            trace: assignment.trace.clone(),
            ..row
        };
        self.put_shard(row.clone());
        row
    }

    /// A member was declared dead under this trace, when this machine's wall clock showed `wall_ms`.
    pub(super) fn bury(&mut self, id: &MemberId, trace: Option<String>, wall_ms: i64) {
        if let Ok(at) = self.scan.members.binary_search_by(|row| row.id.cmp(id)) {
            let row = &mut self.scan.members[at];
            row.state = MemberState::Fenced;
            row.trace = trace;
            row.final_ms = Some(wall_ms - self.offset_ms);
        }
    }

    /// A shard is not ours any more.
    pub(super) fn released(&mut self, id: u32, me: &MemberId) {
        if let Ok(at) = self.scan.shards.binary_search_by_key(&id, |row| row.id) {
            let row = &mut self.scan.shards[at];
            row.owner = row.owner.take().filter(|owner| owner != me);
        }
    }

    /// The live and draining members but this one.
    pub(super) fn others<'a>(&'a self, me: &'a MemberId) -> impl Iterator<Item = &'a MemberRow> {
        self.scan
            .members
            .iter()
            .filter(move |row| is_alive(row) && row.id != *me)
    }
}

/// A row as the store makes it for a shard that was never assigned.
fn unowned(id: u32) -> ShardRow {
    ShardRow {
        id,
        owner: None,
        epoch: Epoch::default(),
        want: None,
        want_term: 0,
        session: None,
        lavalink: BTreeMap::new(),
        trace: None,
        owner_trace: None,
        released: None,
    }
}

/// One look at a time; what is asked for meanwhile comes after it.
#[derive(Debug)]
pub(super) struct Look {
    in_flight: bool,
    wanted: bool,
    not_before_ms: i64,
    last_ms: i64,
}

impl Look {
    pub(super) const fn new(now: i64) -> Self {
        Self {
            in_flight: false,
            wanted: true,
            not_before_ms: now,
            last_ms: now,
        }
    }

    /// There may be something new.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    /// Whether to look now; `period_ms`: how often in any case.
    pub(super) fn due(&mut self, period_ms: i64, now: i64) -> bool {
        let due = !self.in_flight && now >= self.at_ms(period_ms);
        if due {
            self.in_flight = true;
            self.wanted = false;
            self.last_ms = now;
            self.not_before_ms = now + timing::LOOK_SPACING;
        }
        due
    }

    pub(super) const fn ended(&mut self, well: bool, now: i64) {
        self.in_flight = false;
        if !well {
            self.wanted = true;
            self.not_before_ms = now + timing::RETRY;
        }
    }

    fn at_ms(&self, period_ms: i64) -> i64 {
        let at = if self.wanted {
            self.last_ms
        } else {
            self.last_ms + period_ms
        };
        at.max(self.not_before_ms)
    }

    pub(super) fn wake_ms(&self, period_ms: i64) -> i64 {
        if self.in_flight {
            i64::MAX
        } else {
            self.at_ms(period_ms)
        }
    }
}
