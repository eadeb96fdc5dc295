//! The spans of a move are somebody else's: this says when they begin and end.

use std::fmt;

use super::duty::Cause;
use crate::store::MemberRow;

/// Keeps the trace of a move. A trace is told by its W3C `traceparent`, which travels with the rows in the store.
pub trait Trail: Send + Sync + fmt::Debug {
    /// A member is about to be declared dead: begins the trace of it (root and `detect`), linked to `member.trace` if it
    /// has one. `lost_ms`: the first sign, wall clock. Returns its `traceparent`.
    fn lost(&self, member: &MemberRow, cause: Cause, why: &str, lost_ms: i64) -> Option<String>;
    /// A member wants to leave, or a shard is to move so that the load is even (`shard`): begins the trace of it.
    fn leaving(&self, member: &MemberRow, shard: Option<u32>) -> Option<String>;
    /// The member was declared dead in the store (`done`), or was not after all; from when to when, wall clock.
    fn fenced(&self, trace: &str, done: bool, from_ms: i64, to_ms: i64);
    /// These shards of the trace were given to somebody, from when to when, wall clock.
    fn assigned(&self, trace: &str, shards: &[u32], from_ms: i64, to_ms: i64);
}

/// Keeps nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTrail;

impl Trail for NoTrail {
    fn lost(&self, _member: &MemberRow, _cause: Cause, _why: &str, _lost_ms: i64) -> Option<String> {
        None
    }

    fn leaving(&self, _member: &MemberRow, _shard: Option<u32>) -> Option<String> {
        None
    }

    fn fenced(&self, _trace: &str, _done: bool, _from_ms: i64, _to_ms: i64) {}

    fn assigned(&self, _trace: &str, _shards: &[u32], _from_ms: i64, _to_ms: i64) {}
}
