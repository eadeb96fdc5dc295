//! When a member is dead beyond doubt. Pure.
//!
//! A member may be unreachable, deleted, not ready or terminating and still play music; such things are hints, and hints
//! move nothing. Proof is one of:
//!
//! * its container was seen to have ended, with the pod's UID and the container's id;
//! * its connection ended (FIN or RST) and then its address refused us, inside one network namespace;
//! * its connection ended and its pod is gone;
//! * its connection ended and another member answers at its address: one of its own pod, or of the one network namespace.
//!
//! What a newcomer can prove at its start is in [`crate::store::origin`].

use std::collections::{BTreeMap, VecDeque};

use crate::model::ids::MemberId;
use crate::store::{MemberRow, Origin};

/// Ended containers and gone pods that are remembered.
const REMEMBERED: usize = 512;

/// What the connection to a member shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It stands, and the member itself answered.
    Connected,
    /// It ended without a word: FIN or RST.
    Cut,
    /// After that, nobody listens at the address.
    Refused,
    /// After that, somebody else answers at the address.
    Answered(MemberId),
}

/// What the Pod watch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerEnd {
    /// This container of this pod was seen `terminated`.
    Terminated {
        /// The pod's UID.
        pod_uid: String,
        /// As the runtime names it.
        container_id: String,
    },
    /// There is no pod of this UID any more.
    PodGone {
        /// The pod's UID.
        pod_uid: String,
    },
}

#[derive(Clone, Debug, Default)]
struct Connection {
    cut_wall_ms: Option<i64>,
    refused: bool,
    answered: Option<MemberId>,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    connections: BTreeMap<MemberId, Connection>,
    ended: VecDeque<ContainerEnd>,
}

impl Evidence {
    /// Takes in a sign; `wall_ms`: when it was seen.
    pub fn sign(&mut self, member: MemberId, sign: Sign, wall_ms: i64) {
        let seen = self.connections.entry(member).or_default();
        match sign {
            Sign::Connected => {
                *seen = Connection::default();
                return;
            }
            Sign::Cut => {}
            Sign::Refused => seen.refused = true,
            Sign::Answered(other) => seen.answered = Some(other),
        }
        seen.cut_wall_ms.get_or_insert(wall_ms);
    }

    /// Takes in what the Pod watch shows.
    pub fn container(&mut self, end: ContainerEnd) {
        if !self.ended.contains(&end) {
            self.ended.truncate(REMEMBERED - 1);
            self.ended.push_front(end);
        }
    }

    /// Forgets the connections of members that are final.
    pub fn retain(&mut self, live: impl Fn(&MemberId) -> bool) {
        self.connections.retain(|id, _| live(id));
    }

    /// When the connection to a member ended, this machine's wall clock.
    pub fn first_sign(&self, member: &MemberId) -> Option<i64> {
        self.connections.get(member)?.cut_wall_ms
    }

    /// Why `member` is dead beyond doubt; `None` when that is not known. `me`: where this process runs; `members`: all.
    pub fn proves(&self, me: &Origin, member: &MemberRow, members: &[MemberRow]) -> Option<&'static str> {
        if member.state.is_final() {
            return None;
        }
        if self.terminated(member) {
            return Some("its container has ended");
        }
        let seen = self.connections.get(&member.id)?;
        seen.cut_wall_ms?;
        let pod_gone = member.origin.pod_uid.as_ref().is_some_and(|uid| {
            self.ended
                .iter()
                .any(|end| matches!(end, ContainerEnd::PodGone { pod_uid } if pod_uid == uid))
        });
        if pod_gone {
            return Some("it hung up and its pod is gone");
        }
        let here = same_network(me, &member.origin);
        if seen.refused && here {
            return Some("it hung up and nobody listens at its address");
        }
        let other = seen.answered.as_ref()?;
        let other = members.iter().find(|row| row.id == *other && row.id != member.id)?;
        let same_pod = other.origin.pod_uid.is_some() && other.origin.pod_uid == member.origin.pod_uid;
        (same_pod || (here && same_network(me, &other.origin))).then_some("it hung up and another has its address")
    }

    fn terminated(&self, member: &MemberRow) -> bool {
        let (Some(uid), Some(container)) = (&member.origin.pod_uid, &member.container_id) else {
            return false;
        };
        self.ended.iter().any(|end| {
            matches!(end, ContainerEnd::Terminated { pod_uid, container_id } if pod_uid == uid && container_id == container)
        })
    }
}

/// One network namespace of one running machine, known of both.
fn same_network(a: &Origin, b: &Origin) -> bool {
    a.boot.is_some() && a.boot == b.boot && a.net_namespace.is_some() && a.net_namespace == b.net_namespace
}

#[cfg(test)]
mod tests;
