//! What both databases share between what is stored and what is handed out.

use serde_json::Value;

use super::{GuildClaim, GuildRow, GuildWrite, MemberState, Quarantined, Sealed, StoreError, Written, schema};
use crate::model::ids::{Epoch, GuildId, MemberId, Rev};
use crate::model::position::Anchor;
use crate::model::record::SCHEMA;

/// A guild as it lies in the database.
#[derive(Clone, Debug)]
pub(super) struct StoredGuild {
    pub(super) id: GuildId,
    pub(super) shard: u32,
    pub(super) owner: Option<String>,
    pub(super) epoch: u64,
    pub(super) rev: u64,
    pub(super) active: bool,
    pub(super) ends_at_ms: Option<i64>,
    pub(super) head: Value,
    pub(super) lists: Option<Value>,
    pub(super) anchor: Option<Anchor>,
    /// Why it is not to be driven.
    pub(super) quarantined: Option<String>,
}

impl StoredGuild {
    /// Converted up, or why that cannot be.
    pub(super) fn into_row(self) -> Result<GuildRow, String> {
        Ok(GuildRow {
            id: self.id,
            shard: self.shard,
            owner: self.owner.map(MemberId),
            epoch: Epoch(self.epoch),
            rev: Rev(self.rev),
            active: self.active,
            ends_at_ms: self.ends_at_ms,
            snapshot: schema::read(self.head, self.lists, self.anchor)?,
        })
    }
}

/// Puts what was taken where it belongs: a quarantined snapshot is not even looked at.
pub(super) fn sort_into(sealed: &mut Sealed, stored: StoredGuild) {
    let guild = stored.id;
    if let Some(why) = stored.quarantined {
        sealed.quarantined.push(Quarantined { guild, why });
        return;
    }
    match stored.into_row() {
        Ok(row) => sealed.active.push(row),
        Err(why) => sealed.unreadable.push((guild, why)),
    }
}

/// The answer to who took it.
pub(super) fn claimed(stored: StoredGuild) -> Result<GuildClaim, StoreError> {
    if let Some(why) = stored.quarantined {
        return Ok(GuildClaim::Quarantined { why });
    }
    let id = stored.id;
    let row = stored.into_row().map_err(|why| unreadable(id, why))?;
    Ok(GuildClaim::Ours(Box::new(row)))
}

/// What is stored under a guild, as far as a write asks for it.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) owner: Option<String>,
    pub(super) epoch: u64,
    pub(super) rev: u64,
    pub(super) schema: u32,
}

/// What a look at the stored claim says about a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It may be applied.
    Apply,
    /// Nothing is left to do.
    Settled(Written),
    /// A newer version of the program wrote this record.
    Newer,
}

/// Decides about a write from what is stored. The same rev by the same owner is this very write, tried before.
pub(super) fn judge(write: &GuildWrite, stored: Option<&Claim>) -> Judged {
    match stored {
        Some(claim) if claim.owner.as_deref() == Some(&write.owner.0) && claim.epoch == write.epoch.0 => {
            if claim.schema > SCHEMA {
                Judged::Newer
            } else if claim.rev > write.rev.0 {
                Judged::Settled(Written::Stale)
            } else if claim.rev == write.rev.0 {
                Judged::Settled(Written::Done)
            } else {
                Judged::Apply
            }
        }
        Some(_) | None => Judged::Settled(Written::Lost),
    }
}

pub(super) fn unreadable(id: GuildId, detail: String) -> StoreError {
    StoreError::Unreadable {
        what: format!("guild {id}"),
        detail,
    }
}

/// A write that cannot be put into words of the database.
pub(super) fn unwritable(detail: String) -> StoreError {
    StoreError::Refused {
        what: "storing a snapshot",
        source: detail.into(),
    }
}

pub(super) fn state_of(text: &str) -> Option<MemberState> {
    [
        MemberState::Live,
        MemberState::Draining,
        MemberState::Fenced,
        MemberState::Gone,
    ]
    .into_iter()
    .find(|state| state.name() == text)
}

/// Soonest track end first; what does not end comes last.
pub(super) fn sort_by_end(rows: &mut [GuildRow]) {
    rows.sort_by_key(|row| (row.ends_at_ms.is_none(), row.ends_at_ms, row.id));
}
