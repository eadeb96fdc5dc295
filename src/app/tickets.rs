//! IDENTIFY tickets: the bucket's next free moment stands in the store, so that a restarted process keeps Discord's window
//! of five seconds too (<https://docs.discord.com/developers/events/gateway#rate-limiting>).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::RunError;
use super::identity::Identity;
use crate::gateway::SharedQueue;
use crate::gateway::identify::{Budget, IdentifyQueue, NoTicket, SPACING, Tickets, local_tickets};
use crate::store::{SharedStore, StoreError};

/// When the store does not answer: no store, no IDENTIFY.
const AGAIN: Duration = Duration::from_secs(1);
/// A moment further away than this was written by a clock that is wrong.
const FAR_MS: i64 = 60_000;

/// As many IDENTIFYs are never spent: Discord resets the token of a bot that spends all.
const IDENTIFY_FLOOR: u32 = 10;

/// The queue of this process's shards that want to IDENTIFY, as one of `tasks`.
pub(super) fn queue(
    store: &SharedStore,
    identity: &Identity,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) -> SharedQueue {
    let budget = Budget {
        max_concurrency: identity.max_concurrency,
        remaining: identity.starts_left,
        reset_after: Duration::from_hours(24),
        floor: IDENTIFY_FLOOR,
    };
    let local = local_tickets(budget, identity.starts);
    let tickets = of_store(Arc::clone(store), local, identity.max_concurrency);
    let (queue, task) = IdentifyQueue::new(tickets, stop.clone());
    tasks.spawn(async move {
        task.await;
        Ok(())
    });
    queue
}

/// Asks the store, then the process's own budget.
fn of_store(store: SharedStore, local: Tickets, max_concurrency: u32) -> Tickets {
    Arc::new(move |shard| {
        let (store, budget) = (store.clone(), local(shard));
        Box::pin(async move {
            let own = budget.await?;
            let bucket = shard % max_concurrency.max(1);
            match reserve(&store, bucket).await {
                Ok(wait) => Ok(wait.max(own)),
                Err(error) => {
                    tracing::warn!(shard, %error, "no IDENTIFY ticket without the store");
                    Err(NoTicket { retry_after: AGAIN })
                }
            }
        })
    })
}

/// Takes the bucket's next free moment; returns how long it is until then.
async fn reserve(store: &SharedStore, bucket: u32) -> Result<Duration, StoreError> {
    let key = format!("identify:{bucket}");
    loop {
        let stored = store.meta(&key).await?;
        let now = store.now_ms().await?;
        let (at, next) = slot(stored.as_ref(), now);
        if store
            .put_meta(&key, stored.as_ref(), &json!({ "not_before": next }))
            .await?
        {
            return Ok(Duration::from_millis(u64::try_from(at - now).unwrap_or(0)));
        }
    }
}

/// When this IDENTIFY may be sent, and when the one after it, milliseconds since 1970 by the store's clock.
fn slot(stored: Option<&Value>, now_ms: i64) -> (i64, i64) {
    let not_before = stored.and_then(|value| value["not_before"].as_i64()).unwrap_or(0);
    let at = if not_before > now_ms + FAR_MS {
        now_ms
    } else {
        not_before.max(now_ms)
    };
    (at, at + i64::try_from(SPACING.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_of_a_bucket_are_a_window_apart_and_a_wrong_clock_does_not_stop_them() {
        let spacing = i64::try_from(SPACING.as_millis()).unwrap();
        assert_eq!(slot(None, 1_000), (1_000, 1_000 + spacing));
        assert_eq!(
            slot(Some(&json!({ "not_before": 4_000 })), 1_000),
            (4_000, 4_000 + spacing)
        );
        assert_eq!(
            slot(Some(&json!({ "not_before": 500 })), 1_000),
            (1_000, 1_000 + spacing)
        );
        assert_eq!(slot(Some(&json!({ "not_before": 1_000 + FAR_MS + 1 })), 1_000).0, 1_000);
        assert_eq!(slot(Some(&json!("damaged")), 1_000).0, 1_000);
    }
}
