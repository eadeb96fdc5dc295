//! IDENTIFY tickets: the bucket's next free moment and the daily budget stand in the store, so that they hold for all
//! replicas together, and a restarted process keeps Discord's window of five seconds too
//! (<https://docs.discord.com/developers/events/gateway#rate-limiting>). No store, no IDENTIFY.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use super::{Process, RunError, metering};
use crate::cluster::budget;
use crate::gateway::SharedQueue;
use crate::gateway::identify::{IdentifyQueue, NoTicket, SPACING, Tickets};
use crate::model::ids::UserId;
use crate::store::{SharedStore, StoreError};
use crate::telemetry::metrics::Metrics;

/// When the store does not answer, it is asked again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// When the day's budget is spent, it is asked again at the latest after this: the window may have ended by Discord's clock.
const SPENT: Duration = Duration::from_mins(5);
/// A moment further away than this was written by a clock that is wrong.
const FAR_MS: i64 = 60_000;

/// What Discord allows this bot.
#[derive(Clone, Copy, Debug)]
struct Allowed {
    bot: UserId,
    /// IDENTIFYs a day, and how many of them are never spent.
    total: u32,
    reserve: u32,
    max_concurrency: u32,
}

/// The queue of this process's shards that want to IDENTIFY, as one of `tasks`.
pub(super) fn queue(
    process: &Process,
    identity: &Identity,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) -> SharedQueue {
    let allowed = Allowed {
        bot: identity.user,
        total: identity.starts,
        reserve: budget::reserve(identity.shards, identity.starts),
        max_concurrency: identity.max_concurrency,
    };
    let metrics = Arc::clone(&process.metrics);
    let tickets = of_store(Arc::clone(&process.store), allowed, metrics);
    let (queue, task) = IdentifyQueue::new(tickets, stop.clone());
    tasks.spawn(async move {
        task.await;
        Ok(())
    });
    queue
}

fn of_store(store: SharedStore, allowed: Allowed, metrics: Arc<Metrics>) -> Tickets {
    Arc::new(move |shard| {
        let (store, metrics) = (Arc::clone(&store), Arc::clone(&metrics));
        Box::pin(async move {
            match ticket(&store, allowed, shard).await {
                Ok(Ok((wait, left))) => {
                    metering::starts_left(&metrics, left);
                    Ok(wait)
                }
                Ok(Err(until_full)) => {
                    tracing::error!(
                        shard,
                        reserve = allowed.reserve,
                        ?until_full,
                        "only the reserve of the day's IDENTIFYs is left; Discord resets the token of a bot that spends all"
                    );
                    Err(NoTicket {
                        retry_after: until_full.min(SPENT),
                    })
                }
                Err(error) => {
                    tracing::warn!(shard, %error, "no IDENTIFY ticket without the store");
                    Err(NoTicket { retry_after: AGAIN })
                }
            }
        })
    })
}

/// How long to wait before the shard may IDENTIFY, and how many are left then. `Ok(Err(wait))`: the day's budget is spent, and
/// full again after that.
/// The bucket comes first: what is lost when the second step fails is then a moment, not one of a thousand.
async fn ticket(
    store: &SharedStore,
    allowed: Allowed,
    shard: u32,
) -> Result<Result<(Duration, u32), Duration>, StoreError> {
    let wait = reserve(store, shard % allowed.max_concurrency.max(1)).await?;
    let taken = budget::take(store, allowed.bot, allowed.total, allowed.reserve).await?;
    Ok(taken.map(|left| (wait, left.remaining)))
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

    const ALLOWED: Allowed = Allowed {
        bot: UserId::new(7),
        total: 14,
        reserve: 11,
        max_concurrency: 2,
    };

    async fn store(folder: &tempfile::TempDir) -> SharedStore {
        let address = format!("sqlite:{}", folder.path().join("segue.db").display());
        crate::store::open(&address.into()).await.unwrap()
    }

    #[tokio::test]
    async fn replicas_on_one_store_share_the_buckets_and_the_days_budget() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (store(&folder).await, store(&folder).await);
        let wait = |ticket: Result<(Duration, u32), Duration>| ticket.unwrap().0.as_millis();
        let first = wait(ticket(&a, ALLOWED, 0).await.unwrap());
        let other_bucket = wait(ticket(&b, ALLOWED, 1).await.unwrap());
        let same_bucket = wait(ticket(&b, ALLOWED, 2).await.unwrap());
        assert_eq!((first, other_bucket), (0, 0));
        assert!((4_000..=SPACING.as_millis()).contains(&same_bucket), "{same_bucket} ms");
        for store in [&a, &b] {
            let spent = ticket(store, ALLOWED, 0).await.unwrap().unwrap_err();
            assert!(spent > Duration::from_hours(23), "full again after {spent:?}");
        }
        let refused = of_store(a, ALLOWED, Arc::default())(0).await.unwrap_err();
        assert_eq!(refused.retry_after, SPENT);
    }

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
