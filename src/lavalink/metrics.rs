//! What can be counted of a node. Given from outside, so that many replicas fit into one process.

use std::time::Duration;

use crate::model::ids::NodeName;

/// Told what happens with a node. Never blocks; names no guild.
pub trait NodeMetrics: Send + Sync + std::fmt::Debug {
    /// A call was answered or failed: `outcome` is `ok` or [`super::CallError::word`].
    fn request(&self, _node: &NodeName, _operation: &'static str, _outcome: &'static str, _took: Duration) {}
    /// An attempt to connect ended: `resumed`, `new`, `taken_over`, or why it failed.
    fn connected(&self, _node: &NodeName, _outcome: &'static str) {}
    /// A message could not be understood.
    fn odd(&self, _node: &NodeName) {}
    /// A voice call was swallowed.
    fn swallowed(&self, _node: &NodeName) {}
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMetrics;

impl NodeMetrics for NoMetrics {}
