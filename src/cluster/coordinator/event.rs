//! What the coordinator hears, and what it wants done.

use crate::cluster::duty::Duty;
use crate::cluster::evidence::{ContainerEnd, Sign};
use crate::cluster::handle::{Drained, Request};
use crate::cluster::member::Ended;
use crate::cluster::trail::Death;
use crate::model::ids::{Epoch, MemberId};
use crate::store::{Assignment, Campaign, MemberRow, Scan, ShardRow};

/// A call to the store failed, or nobody knows whether it did; the reason was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// What became of a renewal.
#[derive(Clone, Debug, PartialEq)]
pub enum Renewal {
    /// It is stored; the row as it is then.
    Done(Box<MemberRow>),
    /// This member is fenced, gone or unknown.
    Refused,
    /// The store did not answer.
    Failed,
    /// It was not sent: the process makes no progress.
    Held,
}

/// What the leader says of the store, on the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nobody reaches it, as far as the leader knows.
    Down,
    /// It is back, and those who lived by `Down` have not all noticed yet.
    Up,
}

/// The Lease as it was found, or as we wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSeen {
    /// When the question (or the write) was sent.
    pub sent_ms: i64,
    /// Who holds it.
    pub holder: Option<MemberId>,
    /// Until when it is ours.
    pub mine_until_ms: Option<i64>,
    /// What it says of the store.
    pub word: Option<Word>,
    /// When we saw it change last.
    pub changed_ms: i64,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The time has come for something, or may have.
    Tick,
    /// A renewal ended.
    Renewed {
        /// When it was sent.
        sent_ms: i64,
        /// How.
        answer: Renewal,
    },
    /// A look at the store ended.
    Looked {
        /// When it was sent.
        sent_ms: i64,
        /// This machine's wall clock when it was answered, milliseconds since 1970.
        wall_ms: i64,
        /// What was seen.
        answer: Result<Scan, Failed>,
    },
    /// A claim ended.
    Claimed {
        /// Of which shard.
        shard: u32,
        /// This machine's wall clock then.
        wall_ms: i64,
        /// The row if it is ours.
        answer: Result<Option<Box<ShardRow>>, Failed>,
    },
    /// A release ended.
    Released {
        /// Of which shard.
        shard: u32,
        /// Whether it is nobody's now.
        answer: Result<bool, Failed>,
    },
    /// A fence ended.
    Fenced {
        /// Whose.
        member: MemberId,
        /// The trace that tells of the death, a W3C `traceparent`.
        trace: Option<String>,
        /// This machine's wall clock when it was answered, milliseconds since 1970.
        wall_ms: i64,
        /// Whether this call did it.
        answer: Result<bool, Failed>,
    },
    /// An assignment ended.
    Assigned {
        /// Under which term.
        term: u64,
        /// The shards that took it, and what was asked.
        answer: Result<(Vec<u32>, Vec<Assignment>), Failed>,
    },
    /// Members were let know, or not.
    Told {
        /// Which.
        members: Vec<MemberId>,
        /// Whether it is stored.
        answer: Result<(), Failed>,
    },
    /// An election through the store ended.
    Campaigned {
        /// When it was sent.
        sent_ms: i64,
        /// Who leads.
        answer: Result<Campaign, Failed>,
    },
    /// The term of a Lease that was won.
    Term(Result<u64, Failed>),
    /// `draining` is stored, or not.
    Draining(Result<(), Failed>),
    /// The Lease was read or written.
    Lease(LeaseSeen),
    /// A sign of another member's death, or that there is none.
    Sign {
        /// Whose.
        member: MemberId,
        /// What was seen.
        sign: Sign,
        /// This machine's wall clock then.
        wall_ms: i64,
    },
    /// A container ended, or a pod is gone.
    Container(ContainerEnd),
    /// Somebody says that there is something new in the store.
    Poked,
    /// A member says how long ago it sent its last renewal that was stored.
    Renewing {
        /// Milliseconds.
        age_ms: i64,
        /// Who says so.
        member: MemberId,
    },
    /// Asked by the rest of this replica.
    Asked(Request),
    /// The end is wanted.
    Stop,
    /// Leadership is given up, or could not be.
    Resigned,
}

/// An order to the elector that holds, or tries for, the Kubernetes Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOrder {
    /// Write this on it, if it is ours.
    Say(Option<Word>),
    /// This member is dead in the store: its Lease need not run out.
    Dead(MemberId),
    /// Let it go, and do not try for it until then.
    Abstain {
        /// On the member's clock; [`i64::MAX`]: for ever.
        until_ms: i64,
    },
}

/// Something is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Renew this member; answered by [`Event::Renewed`].
    Renew,
    /// Read all members and shards; answered by [`Event::Looked`].
    Look,
    /// Take a shard; answered by [`Event::Claimed`].
    Claim {
        /// Which.
        shard: u32,
        /// From whom.
        previous: Option<MemberId>,
    },
    /// Give up a shard; answered by [`Event::Released`].
    Release {
        /// Which.
        shard: u32,
        /// Under which epoch it was ours.
        epoch: Epoch,
        /// The trace of the move.
        trace: Option<String>,
    },
    /// Declare a member dead; answered by [`Event::Fenced`].
    Fence {
        /// Whose.
        death: Box<Death>,
        /// Only if the store's clock is that far beyond its last renewal.
        overdue_ms: Option<i64>,
    },
    /// Say whose shards these are; answered by [`Event::Assigned`].
    Assign {
        /// Our term.
        term: u64,
        /// Per shard. The traces of those in `begin` are still to be begun.
        assignments: Vec<Assignment>,
        /// Those that say something new; the others only repeat it under our term.
        moved: Vec<u32>,
        /// The traces of the moves that nobody's death causes.
        begin: Vec<Beginning>,
    },
    /// Try to lead, through the store; answered by [`Event::Campaigned`].
    Campaign,
    /// Count the term up for a Lease that was won; answered by [`Event::Term`].
    NewTerm,
    /// Give leadership up in the store; answered by [`Event::Resigned`].
    Resign {
        /// Ours.
        term: u64,
    },
    /// To the elector.
    Lease(LeaseOrder),
    /// Store that this member drains; answered by [`Event::Draining`].
    Drain,
    /// The permit reaches until then.
    Permit {
        /// On the member's clock.
        until_ms: i64,
    },
    /// Let these members know with their next renewal, should the poke not reach them; answered by [`Event::Told`].
    Tell(Vec<MemberId>),
    /// Tell these members to look.
    Poke(Vec<MemberId>),
    /// Ask every member how long ago it renewed; answered by [`Event::Renewing`].
    AskOthers,
    /// Keep a connection to each of these and no others: id and address.
    Watch(Vec<(MemberId, String)>),
    /// To whoever drives shards.
    Duty(Duty),
    /// A drain ended.
    Drained(Drained),
    /// It is over. The permit is ended first when it is [`Ended::Fenced`].
    End(Ended),
}

/// A trace that begins with an assignment.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning {
    /// Whose shards move.
    pub member: MemberRow,
    /// Set when only this one does, so that the load is even.
    pub only: Option<u32>,
    /// Which assignments get the trace.
    pub shards: Vec<u32>,
}
