//! Waiting for a condition, never for a time.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long most things may take on a slow machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// How often is asked, where it costs little.
pub(crate) const PACE: Duration = Duration::from_millis(20);

/// Asks until the answer is `Ok`; fails with the last `Err` it saw.
pub(crate) async fn within<T, S, F>(limit: Duration, what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, S>>,
    S: Debug,
{
    paced(limit, PACE, what, ask).await
}

/// The same, asking less often: where what is asked costs time that is measured.
pub(crate) async fn paced<T, S, F>(limit: Duration, pace: Duration, what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, S>>,
    S: Debug,
{
    let end = Instant::now() + limit;
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(state) if Instant::now() >= end => panic!("not within {limit:?}: {what}; last seen: {state:#?}"),
            Err(_) => sleep(pace).await,
        }
    }
}

/// [`within`] [`LONG`].
pub(crate) async fn eventually<T, S, F>(what: &str, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, S>>,
    S: Debug,
{
    within(LONG, what, ask).await
}
