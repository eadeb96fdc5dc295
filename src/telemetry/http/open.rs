//! The connections that are open: never more than so many; one more closes the oldest.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::timeout;

/// Each is a task of its own.
#[derive(Debug)]
pub(super) struct Open {
    most: usize,
    tasks: JoinSet<()>,
    /// The oldest first.
    order: VecDeque<AbortHandle>,
}

impl Open {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            tasks: JoinSet::new(),
            order: VecDeque::new(),
        }
    }

    /// One more. Where there is no room, the oldest makes it: to let the newest wait would let those who neither leave nor
    /// read keep the probes out.
    pub(super) async fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(&ended);
        }
        while self.tasks.len() >= self.most {
            if let Some(oldest) = self.order.pop_front() {
                oldest.abort();
            }
            // It ends where it waits next, so this is short.
            self.one_ended().await;
        }
        self.order.push_back(self.tasks.spawn(connection));
    }

    /// Waits for one of them to end; `false` when there is none.
    pub(super) async fn one_ended(&mut self) -> bool {
        let ended = self.tasks.join_next_with_id().await;
        ended.inspect(|ended| self.forget(ended)).is_some()
    }

    /// Lets all of them end within the limit, then ends them.
    pub(super) async fn end(mut self, limit: Duration) {
        let ended = timeout(limit, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            self.tasks.shutdown().await;
        }
    }

    fn forget(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        self.order.retain(|open| open.id() != id);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;

    use super::*;

    /// Tells its number when it is dropped.
    struct Told(u32, mpsc::Sender<u32>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.1.try_send(self.0).unwrap();
        }
    }

    #[tokio::test]
    async fn one_more_than_there_may_be_ends_the_oldest_that_is_still_open() {
        let (tell, mut told) = mpsc::channel(16);
        let mut open = Open::new(2);
        for number in 1..=4 {
            let mine = Told(number, tell.clone());
            open.add(async move {
                // The second one ends by itself.
                if number != 2 {
                    pending::<()>().await;
                }
                drop(mine);
            })
            .await;
            if number == 2 {
                assert!(open.one_ended().await);
            }
        }
        assert_eq!((told.recv().await, told.recv().await), (Some(2), Some(1)));
        assert_eq!((open.tasks.len(), open.order.len()), (2, 2));
        open.end(Duration::ZERO).await;
        let mut last = [told.recv().await.unwrap(), told.recv().await.unwrap()];
        last.sort_unstable();
        assert_eq!(last, [3, 4]);
    }
}
