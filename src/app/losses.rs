//! One trace for one node that is lost or emptied, whichever replicas had players there: the first to tell of it says so in
//! the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use crate::model::ids::{MemberId, NodeName};
use crate::player::Trigger;
use crate::store::{RecoveryRow, SharedStore, StoreError};
use crate::telemetry::spans::{self, Beginning};

use super::giving::SEND;

/// What leaves a node within this of what is known to have left it left with it, milliseconds.
const SAME_MS: i64 = 30_000;

/// Why players leave a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    /// It is gone.
    Lost,
    /// An operator wants it to be empty.
    Drained,
}

impl Left {
    /// Whether that is what began a recovery.
    pub(super) const fn by(trigger: Trigger) -> Option<Self> {
        match trigger {
            Trigger::NodeLost => Some(Self::Lost),
            Trigger::NodeDrain => Some(Self::Drained),
            Trigger::Crash | Trigger::Handover | Trigger::Rebalance | Trigger::Start | Trigger::SessionLost => None,
        }
    }

    const fn root(self) -> &'static str {
        match self {
            Self::Lost => "node.lost",
            Self::Drained => "node.leaving",
        }
    }

    fn key(self, node: &NodeName) -> String {
        match self {
            Self::Lost => format!("lost_node:{node}"),
            Self::Drained => format!("left_node:{node}"),
        }
    }
}

/// The fact under [`Left::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Loss {
    trace: String,
    /// When it was lost, milliseconds since 1970.
    at_ms: i64,
}

/// The losses that this process knows of.
pub(super) struct Losses {
    store: SharedStore,
    me: MemberId,
    known: BTreeMap<(NodeName, Left), Loss>,
}

impl Losses {
    pub(super) fn new(store: SharedStore, me: MemberId) -> Self {
        Self {
            store,
            me,
            known: BTreeMap::new(),
        }
    }

    /// The `traceparent` of what began this recovery; `None` where nothing is traced.
    pub(super) async fn trace(&mut self, node: NodeName, left: Left, row: &RecoveryRow) -> Option<String> {
        let began_ms = row.lost_ms.unwrap_or(row.at_ms);
        let of = (node, left);
        if let Some(known) = self.known.get(&of).filter(|known| known.is_at(began_ms)) {
            return Some(known.trace.clone());
        }
        let mine = Loss {
            trace: spans::reserve()?,
            at_ms: began_ms,
        };
        let node = &of.0;
        let loss = match self.agree(&left.key(node), mine.clone()).await {
            Ok(loss) => loss,
            Err(error) => {
                debug!(%node, %error, "other replicas are not told of the trace of a node that is left");
                mine.clone()
            }
        };
        if loss == mine {
            self.tell(node, left, &loss, row);
            // Other replicas go on with it: they must find its root, even if this process is the next one to die.
            spans::push(SEND).await;
        }
        let trace = loss.trace.clone();
        spans::within(Some(&trace), || match left {
            Left::Lost => info!(%node, "a node is lost; its guilds go on elsewhere"),
            Left::Drained => info!(%node, "a node is emptied; its guilds go on elsewhere"),
        });
        self.known.insert(of, loss);
        Some(trace)
    }

    /// Ours, or that of whoever was faster.
    async fn agree(&self, key: &str, mine: Loss) -> Result<Loss, StoreError> {
        loop {
            let stored = self.store.meta(key).await?;
            let theirs = stored
                .clone()
                .and_then(|value| serde_json::from_value::<Loss>(value).ok());
            if let Some(theirs) = theirs.filter(|theirs| theirs.is_at(mine.at_ms)) {
                return Ok(theirs);
            }
            let Ok(value) = serde_json::to_value(&mine) else {
                return Ok(mine);
            };
            if self.store.put_meta(key, stored.as_ref(), &value).await? {
                return Ok(mine);
            }
        }
    }

    /// From when its music was followed last, or is to go elsewhere, until the first of its guilds is heard from there.
    fn tell(&self, node: &NodeName, left: Left, loss: &Loss, row: &RecoveryRow) {
        let silent_ms = row.at_ms - i64::try_from(row.gap_ms).unwrap_or(0);
        let from_ms = silent_ms.min(loss.at_ms);
        let root = spans::begin(Beginning {
            name: left.root(),
            reserved: Some(&loss.trace),
            from_ms,
            attributes: vec![
                ("lavalink.node.name", node.0.as_str().into()),
                ("segue.member.id", self.me.0.as_str().into()),
                ("segue.recovery.trigger", row.trigger.as_str().into()),
            ],
            ..Beginning::default()
        });
        if left == Left::Lost {
            spans::part(&loss.trace, "detect", from_ms).end(loss.at_ms);
        }
        root.end(row.at_ms);
    }
}

impl Loss {
    const fn is_at(&self, at_ms: i64) -> bool {
        (self.at_ms - at_ms).abs() < SAME_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_slower_goes_on_with_the_trace_of_the_first_and_a_later_loss_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("segue.db").display());
        let store = crate::store::open(&address.into()).await.unwrap();
        let losses = |me: &str| Losses::new(store.clone(), MemberId(me.to_owned()));
        let node = Left::Lost.key(&NodeName("a".to_owned()));
        let loss = |trace: &str, at_ms| Loss {
            trace: trace.to_owned(),
            at_ms,
        };
        let (first, other) = (losses("a"), losses("b"));
        let told = first.agree(&node, loss("1", 1_000)).await.unwrap();
        assert_eq!(told, loss("1", 1_000));
        let told = other.agree(&node, loss("2", 4_000)).await.unwrap();
        assert_eq!(told, loss("1", 1_000), "the same loss");
        let told = other.agree(&node, loss("3", 1_000 + SAME_MS)).await.unwrap();
        assert_eq!(told, loss("3", 1_000 + SAME_MS), "another one");
    }
}
