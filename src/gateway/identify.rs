//! Who may send IDENTIFY when. Discord allows one per 5 s and bucket (`shard % max_concurrency`) and 1,000 a day; after the
//! last it ends all sessions and resets the token (<https://docs.discord.com/developers/events/gateway#session-start-limit>).
//!
//! The tickets come from a function, so that all replicas can share one source in the store.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use twilight_gateway::queue::Queue;

/// Discord's 5 s and a little: two IDENTIFYs must not bunch up on their way.
pub const SPACING: Duration = Duration::from_millis(5_250);
/// Most shards that wait for a ticket in one process.
const WAITING_LIMIT: usize = 1_024;

/// A queue that twilight's shards and ours can share.
pub type SharedQueue = Arc<dyn Queue + Send + Sync>;

/// No ticket now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no IDENTIFY ticket; ask again in {retry_after:?}")]
pub struct NoTicket {
    /// When to ask again.
    pub retry_after: Duration,
}

/// Reserves the next IDENTIFY of a shard: how long to wait before it may be sent.
pub type Tickets = Arc<dyn Fn(u32) -> BoxFuture<'static, Result<Duration, NoTicket>> + Send + Sync>;

/// Hands out tickets in the order the shards asked, per bucket.
#[derive(Debug)]
pub struct IdentifyQueue {
    asked: mpsc::Sender<Asked>,
}

type Asked = (u32, oneshot::Sender<()>);

impl IdentifyQueue {
    /// The queue, and the future that drives it until `stop`; somebody has to own and poll that.
    pub fn new(tickets: Tickets, stop: CancellationToken) -> (Arc<Self>, impl Future<Output = ()> + Send) {
        let (asked, waiting) = mpsc::channel(WAITING_LIMIT);
        (Arc::new(Self { asked }), drive(tickets, waiting, stop))
    }
}

impl Queue for IdentifyQueue {
    /// A full queue closes the channel at once, and the shard asks again.
    fn enqueue(&self, id: u32) -> oneshot::Receiver<()> {
        let (grant, granted) = oneshot::channel();
        if self.asked.try_send((id, grant)).is_err() {
            tracing::warn!(shard = id, "too many shards wait for an IDENTIFY ticket");
        }
        granted
    }
}

async fn drive(tickets: Tickets, mut waiting: mpsc::Receiver<Asked>, stop: CancellationToken) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = running.next(), if !running.is_empty() => {}
            asked = waiting.recv() => match asked {
                Some(asked) => running.push(grant(Arc::clone(&tickets), asked)),
                None => return,
            },
        }
    }
}

async fn grant(tickets: Tickets, (shard, mut grant): Asked) {
    let wait = async {
        loop {
            match tickets(shard).await {
                Ok(wait) => return sleep(wait).await,
                Err(NoTicket { retry_after }) => {
                    tracing::warn!(shard, ?retry_after, "no IDENTIFY ticket");
                    sleep(retry_after).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = grant.closed() => return,
        () = wait => {}
    }
    // The shard may have gone away at this very moment; then the ticket is lost, which only costs time.
    let _gone = grant.send(());
}

/// What `GET /gateway/bot` said of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Buckets.
    pub max_concurrency: u32,
    /// IDENTIFYs left.
    pub remaining: u32,
    /// Until it is full again.
    pub reset_after: Duration,
    /// As many are never spent, so that a crash loop cannot end in a token reset.
    pub floor: u32,
}

#[derive(Debug)]
struct Local {
    budget: Budget,
    resets_at: Instant,
    /// Per bucket: from when on the next may be sent.
    free_at: HashMap<u32, Instant>,
}

/// Tickets of a process that is alone.
pub fn local_tickets(budget: Budget, total: u32) -> Tickets {
    let local = Mutex::new(Local {
        budget,
        resets_at: Instant::now() + budget.reset_after,
        free_at: HashMap::new(),
    });
    Arc::new(move |shard| {
        let mut local = local.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = local.reserve(shard, total, Instant::now());
        Box::pin(std::future::ready(answer))
    })
}

impl Local {
    fn reserve(&mut self, shard: u32, total: u32, now: Instant) -> Result<Duration, NoTicket> {
        if now >= self.resets_at {
            self.budget.remaining = total;
            self.resets_at = now + Duration::from_hours(24);
        }
        if self.budget.remaining <= self.budget.floor {
            return Err(NoTicket {
                retry_after: self.resets_at - now,
            });
        }
        self.budget.remaining -= 1;
        let bucket = shard % self.budget.max_concurrency.max(1);
        let free_at = self.free_at.entry(bucket).or_insert(now);
        let at = (*free_at).max(now);
        *free_at = at + SPACING;
        Ok(at - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(max_concurrency: u32, remaining: u32) -> Budget {
        Budget {
            max_concurrency,
            remaining,
            reset_after: Duration::from_secs(3_600),
            floor: 10,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn shards_of_a_bucket_are_five_seconds_apart_and_buckets_do_not_wait_for_each_other() {
        let stop = CancellationToken::new();
        let (queue, drive) = IdentifyQueue::new(local_tickets(budget(2, 1_000), 1_000), stop.clone());
        let start = Instant::now();
        let asked: Vec<_> = (0..4).map(|shard| queue.enqueue(shard)).collect();
        let granted = async {
            let mut at = Vec::new();
            for receiver in asked {
                receiver.await.unwrap();
                at.push(start.elapsed().as_millis());
            }
            stop.cancel();
            at
        };
        let (at, ()) = tokio::join!(granted, drive);
        assert!(at[0] < 10 && at[1] < 10, "{at:?}");
        assert!(at[2] >= 5_250 && at[3] < 5_300, "{at:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_of_the_daily_budget_is_never_spent() {
        let tickets = local_tickets(budget(1, 12), 1_000);
        assert!(tickets(0).await.is_ok());
        assert!(tickets(0).await.is_ok());
        let refused = tickets(0).await.unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(3_600));
        tokio::time::advance(refused.retry_after).await;
        assert_eq!(tickets(0).await, Ok(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_went_away_takes_no_ticket_from_the_next() {
        let stop = CancellationToken::new();
        let (queue, drive) = IdentifyQueue::new(local_tickets(budget(1, 1_000), 1_000), stop.clone());
        drop(queue.enqueue(0));
        let next = queue.enqueue(1);
        let granted = async {
            next.await.unwrap();
            stop.cancel();
        };
        let start = Instant::now();
        tokio::join!(granted, drive);
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
