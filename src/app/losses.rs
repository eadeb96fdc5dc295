//! One trace for one lost node, whichever replicas had players there: the first to tell of it says so in the store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tracing::{debug, info};

use crate::model::ids::{MemberId, NodeName};
use crate::store::{RecoveryRow, SharedStore, StoreError};
use crate::telemetry::spans::{self, Beginning};

/// What is lost of a node within this of what is known to be lost of it was lost with it, milliseconds.
const SAME_MS: i64 = 30_000;

/// The fact under `lost_node:NODE`.
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
    known: BTreeMap<NodeName, Loss>,
}

impl Losses {
    pub(super) fn new(store: SharedStore, me: MemberId) -> Self {
        Self {
            store,
            me,
            known: BTreeMap::new(),
        }
    }

    /// The `traceparent` of the loss that began this recovery; `None` where nothing is traced.
    pub(super) async fn trace(&mut self, node: &NodeName, row: &RecoveryRow) -> Option<String> {
        let began_ms = row.lost_ms.unwrap_or(row.at_ms);
        if let Some(known) = self.known.get(node).filter(|known| known.is_at(began_ms)) {
            return Some(known.trace.clone());
        }
        let mine = Loss {
            trace: spans::reserve()?,
            at_ms: began_ms,
        };
        let loss = match self.agree(node, mine.clone()).await {
            Ok(loss) => loss,
            Err(error) => {
                debug!(%node, %error, "other replicas are not told of the trace of a lost node");
                mine.clone()
            }
        };
        if loss == mine {
            self.tell(node, &loss, row);
        }
        let trace = loss.trace.clone();
        spans::within(Some(&trace), || {
            info!(%node, "a node is lost; its guilds go on elsewhere");
        });
        self.known.insert(node.clone(), loss);
        Some(trace)
    }

    /// Ours, or that of whoever was faster.
    async fn agree(&self, node: &NodeName, mine: Loss) -> Result<Loss, StoreError> {
        let key = format!("lost_node:{node}");
        loop {
            let stored = self.store.meta(&key).await?;
            let theirs = stored
                .clone()
                .and_then(|value| serde_json::from_value::<Loss>(value).ok());
            if let Some(theirs) = theirs.filter(|theirs| theirs.is_at(mine.at_ms)) {
                return Ok(theirs);
            }
            let Ok(value) = serde_json::to_value(&mine) else {
                return Ok(mine);
            };
            if self.store.put_meta(&key, stored.as_ref(), &value).await? {
                return Ok(mine);
            }
        }
    }

    /// From when its music was followed last until the first of its guilds is heard from elsewhere.
    fn tell(&self, node: &NodeName, loss: &Loss, row: &RecoveryRow) {
        let silent_ms = row.at_ms - i64::try_from(row.gap_ms).unwrap_or(0);
        let from_ms = silent_ms.min(loss.at_ms);
        let root = spans::begin(Beginning {
            name: "node.lost",
            reserved: Some(&loss.trace),
            from_ms,
            attributes: vec![
                ("lavalink.node.name", node.0.as_str().into()),
                ("segue.member.id", self.me.0.as_str().into()),
                ("segue.recovery.trigger", "node_lost".into()),
            ],
            ..Beginning::default()
        });
        spans::part(&loss.trace, "detect", from_ms).end(loss.at_ms);
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
        let node = NodeName("a".to_owned());
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
