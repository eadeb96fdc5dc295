//! The constants of the protocol and how they hang together. All in milliseconds.
//!
//! A silent death is noticed after [`MEMBER_TIMEOUT`] less up to one [`RENEWAL`], plus up to one [`SCAN`] and the
//! [`STORE_CLOCK_MARGIN`]: 8.5 to 11.5 s. What a member may still do then ended at [`SELF_FENCE`] after its last renewal
//! was sent.

/// How often a member renews, give or take a tenth.
pub const RENEWAL: i64 = 2_000;
/// A failed renewal is repeated after this.
pub const RETRY: i64 = 250;
/// A member whose `seq` did not change for this long may be fenced.
pub const MEMBER_TIMEOUT: i64 = 10_000;
/// From *sending* a renewal, how long it lets a member act.
pub const SELF_FENCE: i64 = 8_000;
/// One store operation; the store answers within it.
pub const OPERATION: i64 = 1_500;
/// How often the leader looks at all members and shards.
pub const SCAN: i64 = 1_000;
/// Scans further apart than this show nothing about the time between them.
pub const SCAN_GAP: i64 = 2_000;
/// The store's clock must be this far beyond a member's expiry, inside the compare-and-set that fences it.
pub const STORE_CLOCK_MARGIN: i64 = 500;
/// A new leader that has no history of its own may fence a member whose expiry is this long ago by the store's clock,
pub const NEWCOMER_MARGIN: i64 = 2_000;
/// after it has itself watched the member not renew for this long.
pub const NEWCOMER_WATCH: i64 = 4_000;
/// How long leadership lasts after the holder was last heard of.
pub const LEASE: i64 = 8_000;
/// How long the leader itself believes in it, from sending the renewal.
pub const LEASE_RENEW: i64 = 5_000;
/// How often it is renewed, or tried for.
pub const LEASE_RETRY: i64 = 1_000;
/// The leader says `store=down` after this long without the store.
pub const WITNESS_AFTER: i64 = 2_500;
/// From sending the question, how long the answer `store=down` lets a member act.
pub const WITNESS_EXTENDS: i64 = 6_000;
/// After `store=up` was published, nobody is fenced by time-out for this long.
pub const WITNESS_GRACE: i64 = 8_000;
/// A witness that was silent for longer than this is none.
pub const WITNESS_FRESH: i64 = 3_000;
/// A leader that alone does not reach the store for this long gives leadership up,
pub const LEADER_CUT_OFF: i64 = 10_000;
/// and does not stand for election again for this long.
pub const ABSTAIN: i64 = 30_000;
/// Others "reach the store" when one of them renewed at most this long ago.
pub const OTHERS_FRESH: i64 = 3_000;
/// They must have been seen to reach it for so long: after an outage not all come back in the same moment.
pub const OTHERS_SURE: i64 = 3_500;
/// A draining member waits this long for a leader to move its shards.
pub const DRAIN_PATIENCE: i64 = 3_000;
/// A member that leads nothing looks at the store at least this often.
pub const BACKSTOP: i64 = 30_000;
/// Looks that others asked for are at least this far apart.
pub const LOOK_SPACING: i64 = 20;
/// Nobody joined or left for this long: no rollout is under way.
pub const SETTLED: i64 = 30_000;
/// A member is without Discord for so long, while another is not, before its shards are given to others: where Discord itself
/// is gone, not all say so in the same moment.
pub const CUT_OFF: i64 = 5_000;
/// Shards are moved to even the load only after it was uneven for this long.
pub const UNEVEN: i64 = 60_000;
/// So long after a first start, shards on which nothing plays are shared out as replicas come.
pub const COLD: i64 = 20_000;

const _: () = assert!(
    SELF_FENCE + OPERATION < MEMBER_TIMEOUT,
    "a call begun under the permit must end before a take-over"
);
const _: () = assert!(
    WITNESS_EXTENDS + OPERATION <= WITNESS_GRACE,
    "what the witness allowed must have ended before anybody is fenced by time-out"
);
const _: () = assert!(
    SELF_FENCE >= RENEWAL + WITNESS_AFTER + LEASE_RETRY + LEASE_RETRY + 500,
    "the witness must be heard before the permit ends"
);
const _: () = assert!(
    LEASE_RENEW + OPERATION < LEASE,
    "an old leader must have ended before a new one begins"
);
const _: () = assert!(SCAN + OPERATION / 2 < SCAN_GAP, "a scan of ordinary slowness is no gap");
