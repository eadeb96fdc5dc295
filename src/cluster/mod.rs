//! This process as a member of the cluster: joining, renewing, and the permit that every outward act asks.
//!
//! Invariants: a member acts only while its permit is valid; the permit's end is counted from *sending* the renewal, on
//! a clock that goes on while the machine sleeps; a fenced member never acts again under that id.

pub mod claim;
pub mod member;
pub mod permit;
