//! The one thread that owns the connection, and group commit: what waits while the disk is busy shares the next sync.
//!
//! Each request runs in a savepoint of its own, so that one that fails takes nothing with it. If the whole transaction
//! is lost (a full disk rolls it back), every request of it runs again alone.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::fault::{commit_failed, failed};
use crate::store::gate::Gate;
use crate::store::{OPERATION_DEADLINE, StoreError};

/// Most requests that wait; the next one waits outside, up to its deadline.
const QUEUE: usize = 256;
/// Most requests that share one transaction.
const TOGETHER: usize = 64;

/// Whether a request changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// Ends when it is dropped, after what it is doing.
pub(super) struct Thread {
    requests: Option<mpsc::Sender<Box<dyn Request>>>,
    worker: Option<std::thread::JoinHandle<()>>,
    commits: Arc<AtomicU64>,
    pub(super) gate: Gate,
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread").finish_non_exhaustive()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.requests.take();
        if let Some(worker) = self.worker.take() {
            drop(worker.join());
        }
    }
}

impl Thread {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (requests, queue) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let worker = std::thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(move || serve(&connection, queue, &counter))
            .map_err(|error| StoreError::Refused {
                what: "starting the SQLite thread",
                source: Box::new(error),
            })?;
        Ok(Self {
            requests: Some(requests),
            worker: Some(worker),
            commits,
            gate: Gate::default(),
        })
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Runs `job` on the thread, inside a transaction. It may run more than once; only the last run counts.
    pub(super) async fn call<T, F>(&self, what: &'static str, kind: Kind, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.gate.pass(what)?;
        let deadline = Instant::now() + OPERATION_DEADLINE;
        let unavailable = || StoreError::Unavailable { what, source: None };
        let requests = self.requests.as_ref().ok_or_else(unavailable)?;
        let (reply, answer) = oneshot::channel();
        let call: Box<dyn Request> = Box::new(Call {
            kind,
            job,
            outcome: None,
            reply,
        });
        match timeout_at(deadline, requests.send(call)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(unavailable()),
        }
        match (timeout_at(deadline, answer).await, kind) {
            (Ok(Ok(result)), _) => result,
            (Ok(Err(_)), _) | (Err(_), Kind::Read) => Err(unavailable()),
            (Err(_), Kind::Write) => Err(StoreError::Unknown { what, source: None }),
        }
    }
}

/// One request, whatever it returns.
trait Request: Send {
    fn kind(&self) -> Kind;
    /// Nobody waits for the answer any more.
    fn abandoned(&self) -> bool;
    /// Whether it succeeded.
    fn run(&mut self, db: &Connection) -> bool;
    /// Answers; with the reason if the transaction as a whole failed.
    fn answer(self: Box<Self>, lost: Option<StoreError>);
}

struct Call<T, F> {
    kind: Kind,
    job: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Connection) -> Result<T, StoreError> + Send> Request for Call<T, F> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, db: &Connection) -> bool {
        let outcome = (self.job)(db);
        let good = outcome.is_ok();
        self.outcome = Some(outcome);
        good
    }

    fn answer(self: Box<Self>, lost: Option<StoreError>) {
        let result = match (self.outcome, lost) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(lost)) => Err(lost),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => return,
        };
        // Whoever asked may have given up meanwhile.
        drop(self.reply.send(result));
    }
}

fn serve(db: &Connection, mut queue: mpsc::Receiver<Box<dyn Request>>, commits: &AtomicU64) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < TOGETHER
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        batch.retain(|request| !request.abandoned());
        if batch.len() == 1 {
            alone(db, batch, commits);
            continue;
        }
        match together(db, &mut batch, commits) {
            Ok(()) => {
                for request in batch {
                    request.answer(None);
                }
            }
            // It may have happened: what is not idempotent must not run twice.
            Err(StoreError::Unknown { what, .. }) => {
                for request in batch {
                    request.answer(Some(StoreError::Unknown { what, source: None }));
                }
            }
            Err(_) => alone(db, batch, commits),
        }
    }
}

fn alone(db: &Connection, batch: Vec<Box<dyn Request>>, commits: &AtomicU64) {
    for request in batch {
        let mut one = [request];
        let lost = together(db, &mut one, commits).err();
        let [request] = one;
        request.answer(lost);
    }
}

/// Runs requests in one transaction. An error means that nothing of any of them was kept (or, of a commit that failed in
/// the disk, that nobody knows).
fn together(db: &Connection, batch: &mut [Box<dyn Request>], commits: &AtomicU64) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    let writes = batch.iter().any(|request| request.kind() == Kind::Write);
    let begin = if writes { "BEGIN IMMEDIATE" } else { "BEGIN" };
    db.execute_batch(begin).map_err(|error| failed("beginning", error))?;
    let done = batch
        .iter_mut()
        .try_for_each(|request| in_savepoint(db, request.as_mut()))
        .and_then(|()| db.execute_batch("COMMIT").map_err(commit_failed));
    if done.is_err() && !db.is_autocommit() {
        // The transaction is lost either way; SQLite rolls back what is left when the connection closes.
        drop(db.execute_batch("ROLLBACK"));
    }
    if done.is_ok() && writes {
        commits.fetch_add(1, Ordering::Relaxed);
    }
    done
}

fn in_savepoint(db: &Connection, request: &mut dyn Request) -> Result<(), StoreError> {
    let step = |sql| db.execute_batch(sql).map_err(|error| failed("a savepoint", error));
    step("SAVEPOINT request")?;
    let good = request.run(db);
    if db.is_autocommit() {
        // A full disk or a failing one made SQLite roll everything back by itself.
        return Err(StoreError::Full { what: "writing" });
    }
    if !good {
        step("ROLLBACK TO request")?;
    }
    step("RELEASE request")
}
