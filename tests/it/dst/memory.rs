//! What is stored, in memory, with the rules of the real stores; and an audit of every change against the invariants.

use std::collections::BTreeMap;

use segue::model::ids::{Epoch, GuildId, MemberId, Rev};
use segue::model::record::Snapshot;
use segue::store::{
    Assignment, Beat, Campaign, Fence, GuildClaim, GuildRow, GuildWrite, LeaderRow, MemberRow, MemberState, Released,
    Scan, ShardRow, Written,
};
use serde_json::Value;

/// The store's clock at the beginning, milliseconds since 1970.
const BEGINNING: i64 = 1_700_000_000_000;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) members: BTreeMap<MemberId, MemberRow>,
    pub(super) shards: BTreeMap<u32, ShardRow>,
    guilds: BTreeMap<GuildId, GuildRow>,
    confirmed: BTreeMap<GuildId, Rev>,
    leader: LeaderRow,
    lease_until_ms: i64,
    meta: BTreeMap<String, Value>,
    /// How far the store's clock was moved.
    pub(super) jumped_ms: i64,
    /// The highest term that has said of every shard whose it is.
    complete_term: u64,
    /// What happened, for a failing seed.
    pub(super) history: Vec<String>,
    /// Invariants that were broken.
    pub(super) broken: Vec<String>,
}

impl Memory {
    pub(super) fn broke(&mut self, now: i64, what: &str) {
        self.history.push(format!("{now:>7} BROKEN {what}"));
        self.broken.push(format!("at {now}: {what}"));
    }

    pub(super) fn note(&mut self, now: i64, what: &str) {
        self.history.push(format!("{now:>7} {what}"));
    }

    pub(super) fn clock(&self, now: i64) -> i64 {
        BEGINNING + now + self.jumped_ms
    }

    fn is_final(&self, id: &MemberId) -> bool {
        self.members.get(id).is_none_or(|row| row.state.is_final())
    }

    pub(super) fn join(&mut self, now: i64, row: MemberRow) {
        let row = MemberRow {
            seq: 1,
            renewed_ms: self.clock(now),
            ..row
        };
        self.note(now, &format!("{} joins", row.id));
        self.members.entry(row.id.clone()).or_insert(row);
    }

    pub(super) fn renew(&mut self, now: i64, id: &MemberId, beat: &Beat) -> Option<MemberRow> {
        let clock = self.clock(now);
        let row = self.members.get_mut(id).filter(|row| !row.state.is_final())?;
        row.seq += 1;
        row.renewed_ms = clock;
        row.shard_seq.clone_from(&beat.shard_seq);
        row.playing.clone_from(&beat.playing);
        row.without_discord = beat.without_discord;
        Some(row.clone())
    }

    pub(super) fn fence(&mut self, now: i64, fence: &Fence) -> bool {
        let clock = self.clock(now);
        let Some(row) = self.members.get_mut(&fence.id).filter(|row| !row.state.is_final()) else {
            return false;
        };
        if fence.overdue_ms.is_some_and(|overdue| clock < row.renewed_ms + overdue) {
            return false;
        }
        row.state = MemberState::Fenced;
        row.why = Some(fence.why.clone());
        row.final_ms = Some(clock);
        self.note(now, &format!("{} is fenced: {}", fence.id, fence.why));
        true
    }

    pub(super) fn set_state(&mut self, now: i64, id: &MemberId, state: MemberState) -> bool {
        let clock = self.clock(now);
        let Some(row) = self.members.get_mut(id).filter(|row| !row.state.is_final()) else {
            return false;
        };
        row.state = state;
        row.final_ms = state.is_final().then_some(clock);
        self.note(now, &format!("{id} is {}", state.name()));
        true
    }

    pub(super) fn scan(&self, now: i64) -> Scan {
        Scan {
            now_ms: self.clock(now),
            members: self.members.values().cloned().collect(),
            shards: self.shards.values().cloned().collect(),
            leader: self.leader.clone(),
        }
    }

    pub(super) fn new_term(&mut self, now: i64, me: &MemberId) -> u64 {
        self.leader.term += 1;
        self.leader.holder = Some(me.clone());
        self.note(now, &format!("{me} leads in term {}", self.leader.term));
        self.leader.term
    }

    pub(super) fn campaign(&mut self, now: i64, me: &MemberId, lease_ms: i64) -> Campaign {
        let clock = self.clock(now);
        let mine = self.leader.holder.as_ref() == Some(me);
        let holder = self.leader.holder.clone();
        match holder {
            Some(holder) if !mine && !self.is_final(&holder) && clock < self.lease_until_ms => {
                return Campaign::Follower {
                    holder,
                    term: self.leader.term,
                };
            }
            Some(_) | None => {}
        }
        if !mine {
            self.new_term(now, me);
        }
        self.lease_until_ms = clock + lease_ms;
        Campaign::Leader { term: self.leader.term }
    }

    pub(super) fn resign(&mut self, now: i64, me: &MemberId, term: u64) -> bool {
        let mine = self.leader.holder.as_ref() == Some(me) && self.leader.term == term;
        if mine {
            self.leader.holder = None;
            self.note(now, &format!("{me} resigns"));
        }
        mine
    }

    /// I6: what a term says is never undone by a lower one.
    pub(super) fn assign(&mut self, now: i64, term: u64, assignments: &[Assignment], total: u32) -> Vec<u32> {
        let mut applied = Vec::new();
        for one in assignments {
            let row = self.shards.entry(one.shard).or_insert_with(|| unowned(one.shard));
            if row.want_term > term {
                continue;
            }
            let moves = row.want.as_ref() != Some(&one.want);
            row.want = Some(one.want.clone());
            row.want_term = term;
            row.trace.clone_from(&one.trace);
            applied.push(one.shard);
            if moves {
                self.note(
                    now,
                    &format!("shard {} is to be {}'s (term {term})", one.shard, one.want),
                );
            }
        }
        if term < self.complete_term && !applied.is_empty() {
            let what = format!(
                "I6: term {term} moved {applied:?} after term {} was complete",
                self.complete_term
            );
            self.broke(now, &what);
        }
        let complete = (0..total).all(|id| self.shards.get(&id).is_some_and(|row| row.want_term >= term));
        if complete {
            self.complete_term = self.complete_term.max(term);
        }
        applied
    }

    pub(super) fn tell(&mut self, members: &[MemberId]) {
        for id in members {
            if let Some(member) = self.members.get_mut(id) {
                member.assign_gen += 1;
            }
        }
    }

    /// I5: only what was given up, or a dead member's, is taken. I3: the epoch grows.
    pub(super) fn claim(&mut self, now: i64, id: u32, previous: Option<&MemberId>, me: &MemberId) -> Option<ShardRow> {
        let row = self.shards.get(&id)?.clone();
        if row.owner.as_ref() == Some(me) {
            return Some(row);
        }
        if row.owner.as_ref() != previous || row.want.as_ref() != Some(me) {
            return None;
        }
        if let Some(owner) = row.owner.as_ref().filter(|owner| !self.is_final(owner)) {
            self.broke(now, &format!("I5: {me} took shard {id} from {owner}, which is alive"));
        }
        let row = self.shards.get_mut(&id)?;
        row.released = row.released.take().filter(|_| row.owner.is_none());
        row.owner = Some(me.clone());
        row.epoch = Epoch(row.epoch.0 + 1);
        let row = row.clone();
        self.note(now, &format!("{me} takes shard {id} (epoch {})", row.epoch.0));
        Some(row)
    }

    pub(super) fn release(&mut self, now: i64, id: u32, me: &MemberId, epoch: Epoch) -> bool {
        let at_ms = self.clock(now);
        let Some(row) = self.shards.get_mut(&id).filter(|row| row.epoch == epoch) else {
            return false;
        };
        if row.owner.as_ref() != Some(me) {
            return row.owner.is_none();
        }
        row.owner = None;
        row.released = Some(Released { by: me.clone(), at_ms });
        for guild in self.guilds.values_mut() {
            if guild.shard == id && guild.owner.as_ref() == Some(me) {
                guild.owner = None;
            }
        }
        self.note(now, &format!("{me} gives shard {id} up"));
        true
    }

    /// I2: whoever takes a guild finds everything that was confirmed.
    pub(super) fn claim_guild(
        &mut self,
        now: i64,
        id: GuildId,
        shard: u32,
        previous: Option<&MemberId>,
        me: &MemberId,
    ) -> GuildClaim {
        let known = self.guilds.get(&id).cloned().unwrap_or_else(|| GuildRow {
            id,
            shard,
            owner: None,
            epoch: Epoch(0),
            rev: Rev(0),
            active: true,
            ends_at_ms: None,
            snapshot: Snapshot::default(),
        });
        let mine = known.owner.as_ref() == Some(me);
        let free = known
            .owner
            .as_ref()
            .is_none_or(|owner| previous == Some(owner) || self.is_final(owner));
        if !mine && !free {
            return GuildClaim::Theirs;
        }
        let confirmed = self.confirmed.get(&id).copied().unwrap_or_default();
        if known.rev < confirmed {
            self.broke(
                now,
                &format!(
                    "I2: {me} found guild {id} at {:?}, {confirmed:?} was confirmed",
                    known.rev
                ),
            );
        }
        let row = GuildRow {
            owner: Some(me.clone()),
            epoch: Epoch(known.epoch.0 + u64::from(!mine)),
            ..known
        };
        self.guilds.insert(id, row.clone());
        GuildClaim::Ours(Box::new(row))
    }

    pub(super) fn write_guild(&mut self, write: &GuildWrite) -> Written {
        match self.guilds.get_mut(&write.id) {
            Some(row) if row.owner.as_ref() == Some(&write.owner) && row.epoch == write.epoch => {
                if row.rev >= write.rev {
                    return Written::Stale;
                }
                row.rev = write.rev;
                Written::Done
            }
            Some(_) | None => Written::Lost,
        }
    }

    /// A person was told that this is saved.
    pub(super) fn confirm(&mut self, id: GuildId, rev: Rev) {
        let known = self.confirmed.entry(id).or_default();
        *known = (*known).max(rev);
    }

    pub(super) fn meta(&self, key: &str) -> Option<Value> {
        self.meta.get(key).cloned()
    }

    pub(super) fn put_meta(&mut self, key: &str, expected: Option<&Value>, value: &Value) -> bool {
        let same = self.meta.get(key) == expected;
        if same {
            self.meta.insert(key.to_owned(), value.clone());
        }
        same
    }
}

fn unowned(id: u32) -> ShardRow {
    ShardRow {
        id,
        owner: None,
        epoch: Epoch(0),
        want: None,
        want_term: 0,
        session: None,
        lavalink: BTreeMap::new(),
        trace: None,
        owner_trace: None,
        released: None,
    }
}
