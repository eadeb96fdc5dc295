//! The connection: options, deadlines, and what the driver's errors mean.
//!
//! Futures of the driver must not be dropped half-way, so each runs as a task and only the wait for it ends at the
//! deadline. How many run at once is limited, also during an outage.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use mongodb::bson::Document;
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, ServerAddress, WriteConcern,
};
use mongodb::{Client, Collection, Database};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::store::gate::Gate;
use crate::store::{OPERATION_DEADLINE, StoreError};

/// Most operations under way at once, and connections in the pool.
const SLOTS: u32 = 64;
/// Below the operation's deadline: without a primary nothing is sent, and the caller learns just that.
const SELECTION: Duration = Duration::from_millis(1_300);
/// How long an operation may hold its slot while the majority does not answer.
const MAJORITY: Duration = Duration::from_secs(5);
/// How long the end may take.
const CLOSING: Duration = Duration::from_millis(500);
/// Between two looks at what became of a write.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The server's code for a unique index that is violated.
pub(super) const DUPLICATE: i32 = 11_000;

/// Whether an operation that got no answer may have changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

pub(super) struct Link {
    client: Client,
    database: Database,
    place: String,
    tasks: Mutex<JoinSet<()>>,
    slots: Arc<Semaphore>,
    pub(super) gate: Gate,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.place).finish()
    }
}

impl Link {
    pub(super) fn new(mut options: ClientOptions) -> Result<Self, StoreError> {
        let name = options.default_database.clone().unwrap_or_else(|| "segue".to_owned());
        let hosts: Vec<_> = options.hosts.iter().map(ServerAddress::to_string).collect();
        options.connect_timeout = Some(Duration::from_secs(2));
        options.heartbeat_freq = Some(Duration::from_secs(2));
        options.server_selection_timeout = Some(SELECTION);
        options.max_pool_size = Some(SLOTS);
        options.app_name.get_or_insert_with(|| "segue".to_owned());
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        options.read_concern = Some(ReadConcern::majority());
        options.write_concern = Some(durable());
        let client = Client::with_options(options).map_err(|error| StoreError::Refused {
            what: "using the MongoDB address",
            source: Box::new(error),
        })?;
        Ok(Self {
            database: client.database(&name),
            client,
            place: format!("mongodb://{}/{name}", hosts.join(",")),
            tasks: Mutex::default(),
            slots: Arc::new(Semaphore::new(SLOTS as usize)),
            gate: Gate::default(),
        })
    }

    /// Says goodbye to the server. Else the driver does when the client is dropped, in a task that panics if the runtime
    /// ends before it.
    pub(super) async fn close(&self) {
        let ending = self.client.clone().shutdown().immediate(true);
        drop(timeout(CLOSING, ending).await);
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn database(&self) -> Database {
        self.database.clone()
    }

    pub(super) fn admin(&self) -> Database {
        self.client.database("admin")
    }

    pub(super) fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// Runs one operation of the driver within [`OPERATION_DEADLINE`].
    pub(super) async fn run<T, F>(&self, what: &'static str, kind: Kind, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = mongodb::error::Result<T>> + Send + 'static,
    {
        let deadline = Instant::now() + OPERATION_DEADLINE;
        self.run_until(deadline, what, kind, operation)
            .await
            .map_err(|error| meaning(what, kind, error))
    }

    /// A write whose outcome can be looked up; the whole ends at the caller's one deadline.
    pub(super) async fn certain<T, F>(
        &self,
        deadline: Instant,
        what: &'static str,
        operation: F,
    ) -> Result<Outcome<T>, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = mongodb::error::Result<T>> + Send + 'static,
    {
        match self.run_until(deadline, what, Kind::Write, operation).await {
            Ok(result) => Ok(Outcome::Known(result)),
            Err(failure) => match meaning(what, Kind::Write, failure) {
                unknown @ StoreError::Unknown { .. } => Ok(Outcome::Unknown(UnknownOutcome(unknown))),
                certain @ (StoreError::Unavailable { .. }
                | StoreError::Full { .. }
                | StoreError::Unreadable { .. }
                | StoreError::Refused { .. }) => Err(certain),
            },
        }
    }

    /// A read within what is left of a deadline.
    pub(super) async fn look<T, F>(&self, deadline: Instant, what: &'static str, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = mongodb::error::Result<T>> + Send + 'static,
    {
        self.run_until(deadline, what, Kind::Read, read)
            .await
            .map_err(|failure| meaning(what, Kind::Read, failure))
    }

    /// The same with the driver's error as it is (`None`: no answer in time, or nothing was sent).
    pub(super) async fn run_until<T, F>(
        &self,
        deadline: Instant,
        what: &'static str,
        kind: Kind,
        operation: F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = mongodb::error::Result<T>> + Send + 'static,
    {
        self.gate.pass(what).map_err(Failure::Ours)?;
        let unsent = Failure::Ours(StoreError::Unavailable { what, source: None });
        let Ok(Ok(slot)) = timeout_at(deadline, Arc::clone(&self.slots).acquire_owned()).await else {
            return Err(unsent);
        };
        let (reply, answer) = oneshot::channel();
        {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            // Boxed: one kind of task, not one for each operation.
            tasks.spawn(Box::pin(async move {
                let result = operation.await;
                drop(slot);
                // Nobody waits any more when the deadline has passed.
                drop(reply.send(result));
            }) as BoxFuture<'static, ()>);
        }
        match (timeout_at(deadline, answer).await, kind) {
            (Ok(Ok(result)), _) => result.map_err(Failure::Driver),
            (Ok(Err(_)) | Err(_), Kind::Read) => Err(unsent),
            (Ok(Err(_)) | Err(_), Kind::Write) => Err(Failure::Ours(StoreError::Unknown { what, source: None })),
        }
    }
}

/// What is known about a write that did not fail for certain.
#[derive(Debug)]
pub(super) enum Outcome<T> {
    /// It happened, with this result.
    Known(T),
    /// It may have happened: look what is stored.
    Unknown(UnknownOutcome),
}

/// What to tell when looking does not help either.
#[derive(Debug)]
pub(super) struct UnknownOutcome(StoreError);

impl UnknownOutcome {
    /// Looks again and again until the deadline: what is late to reach the majority shows up late.
    pub(super) async fn look<T, Look, Seen>(self, deadline: Instant, look: Look) -> Result<T, StoreError>
    where
        Look: Fn() -> Seen,
        Seen: Future<Output = Result<Option<T>, StoreError>>,
    {
        while Instant::now() < deadline {
            if let Ok(Some(value)) = look().await {
                return Ok(value);
            }
            sleep_until(deadline.min(Instant::now() + LOOK_AGAIN)).await;
        }
        Err(self.0)
    }
}

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The driver said so.
    Driver(Error),
    /// Its deadline passed.
    Ours(StoreError),
}

pub(super) fn durable() -> WriteConcern {
    let mut concern = WriteConcern::majority();
    concern.w = Some(Acknowledgment::Majority);
    concern.journal = Some(true);
    concern.w_timeout = Some(MAJORITY);
    concern
}

/// Whether somebody else inserted the same `_id`.
pub(super) fn is_duplicate(failure: &Failure) -> bool {
    matches!(failure, Failure::Driver(error) if is_duplicate_key(error))
}

pub(super) fn is_duplicate_key(error: &Error) -> bool {
    if let ErrorKind::Command(error) = error.kind.as_ref() {
        error.code == DUPLICATE
    } else if let ErrorKind::Write(WriteFailure::WriteError(error)) = error.kind.as_ref() {
        error.code == DUPLICATE
    } else {
        false
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the driver's list of errors is long and open"
)]
pub(super) fn meaning(what: &'static str, kind: Kind, failure: Failure) -> StoreError {
    let error = match failure {
        Failure::Ours(error) => return error,
        Failure::Driver(error) => error,
    };
    let sent = match error.kind.as_ref() {
        ErrorKind::ServerSelection { .. } | ErrorKind::ConnectionPoolCleared { .. } => Some(false),
        ErrorKind::Io(_)
        | ErrorKind::InvalidResponse { .. }
        | ErrorKind::Shutdown
        | ErrorKind::Write(WriteFailure::WriteConcernError(_)) => Some(true),
        // Not the primary (any more): it refused.
        ErrorKind::Command(command) if matches!(command.code, 10_107 | 13_435) => Some(false),
        _ if error.contains_label("RetryableWriteError") => Some(true),
        _ => None,
    };
    let source: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    match (sent, kind) {
        (Some(true), Kind::Write) => StoreError::Unknown {
            what,
            source: Some(source),
        },
        (Some(_), _) => StoreError::Unavailable {
            what,
            source: Some(source),
        },
        (None, _) => StoreError::Refused { what, source },
    }
}
