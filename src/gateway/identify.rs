//! Who may send IDENTIFY when. Discord allows one per 5 s and bucket (`shard % max_concurrency`) and 1,000 a day; after the
//! last it ends all sessions and resets the token (<https://docs.discord.com/developers/events/gateway#session-start-limit>).
//!
//! The tickets come from a function, because all replicas share one source in the store.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    /// Tickets with these answers, in this order; and for whom they were asked.
    fn answering(answers: &[Result<Duration, NoTicket>]) -> (Tickets, Arc<Mutex<Vec<u32>>>) {
        let asked = Arc::<Mutex<Vec<u32>>>::default();
        let (answers, kept) = (answers.to_vec(), Arc::clone(&asked));
        let tickets: Tickets = Arc::new(move |shard| {
            let mut asked = kept.lock().unwrap();
            let answer = answers[asked.len()];
            asked.push(shard);
            Box::pin(std::future::ready(answer))
        });
        (tickets, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn each_shard_waits_as_long_as_its_ticket_says_and_not_for_the_others() {
        let stop = CancellationToken::new();
        let (tickets, _) = answering(&[Ok(SPACING), Ok(Duration::ZERO)]);
        let (queue, drive) = IdentifyQueue::new(tickets, stop.clone());
        let start = Instant::now();
        let (late, early) = (queue.enqueue(0), queue.enqueue(1));
        let granted = async {
            early.await.unwrap();
            assert!(start.elapsed() < Duration::from_secs(1));
            late.await.unwrap();
            stop.cancel();
        };
        tokio::join!(granted, drive);
        assert_eq!(start.elapsed(), SPACING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_gets_no_ticket_asks_again_when_it_was_told_to() {
        let stop = CancellationToken::new();
        let retry_after = Duration::from_mins(5);
        let (tickets, asked) = answering(&[Err(NoTicket { retry_after }), Ok(Duration::ZERO)]);
        let (queue, drive) = IdentifyQueue::new(tickets, stop.clone());
        let granted = async {
            queue.enqueue(3).await.unwrap();
            stop.cancel();
        };
        let start = Instant::now();
        tokio::join!(granted, drive);
        assert_eq!(
            (start.elapsed(), asked.lock().unwrap().clone()),
            (retry_after, vec![3, 3])
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_shard_that_went_away_takes_no_ticket_from_the_next() {
        let stop = CancellationToken::new();
        let (tickets, asked) = answering(&[Ok(Duration::ZERO)]);
        let (queue, drive) = IdentifyQueue::new(tickets, stop.clone());
        drop(queue.enqueue(0));
        let next = queue.enqueue(1);
        let granted = async {
            next.await.unwrap();
            stop.cancel();
        };
        tokio::join!(granted, drive);
        assert_eq!(*asked.lock().unwrap(), [1]);
    }
}
