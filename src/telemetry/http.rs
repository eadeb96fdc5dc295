//! The pages: `/livez`, `/readyz`, `/startupz`, `/metrics`, the status page at `/` and its data at `/api/state`.

mod open;
mod stall;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::health::Heartbeats;
use super::metrics::Metrics;
use super::metrics::expose::Format;
use super::metrics::labels::NoLabels;
use crate::lifecycle::Readiness;
use open::Open;
use stall::Impatient;

/// How long a client may take to send its request's head, also on a kept connection that is idle.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may read nothing of what it asked for: the limit above does not run meanwhile.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Most bytes of a request's head; these pages take no bodies.
const MOST_HEAD: usize = 16 * 1024;
/// Most headers of a request.
const MOST_HEADERS: usize = 64;
/// Most connections at a time; one more closes the oldest.
pub const MOST_CONNECTIONS: usize = 256;
/// How long open requests may go on after the server was told to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// After an accept that failed (usually: no file descriptors left).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What `/startupz` waits for.
    pub startup: Readiness,
    /// What `/readyz` waits for.
    pub readiness: Readiness,
    /// What `/livez` watches.
    pub heartbeats: Heartbeats,
    /// The status page, HTML.
    pub status: Arc<dyn Fn() -> String + Send + Sync>,
    /// The same as data.
    pub state: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Further routes, such as the demo's.
    pub more: Router,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

/// No further routes.
pub fn no_more() -> Router {
    Router::new()
}

/// Serves the pages until `shutdown`; then lets open requests end for a second.
pub async fn serve(listener: TcpListener, pages: Pages, shutdown: CancellationToken) {
    let router = router(pages);
    let mut open = Open::new(MOST_CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            true = open.one_ended() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => open.add(converse(stream, router.clone(), shutdown.clone())).await,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    open.end(LAST_REQUESTS).await;
}

async fn converse<S>(stream: S, router: Router, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MOST_HEAD)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(Impatient::new(stream, READ_WITHIN)), service)
        .with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the pages ended early");
    }
}

fn router(pages: Pages) -> Router {
    let more = pages.more.clone();
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .route("/api/state", get(state))
        .route("/", get(status))
        .with_state(pages)
        .merge(more)
        .layer(axum::extract::DefaultBodyLimit::max(MOST_HEAD))
}

async fn livez(State(pages): State<Pages>) -> Response {
    let stuck = pages.heartbeats.stuck(Instant::now());
    if stuck.is_empty() {
        return "alive\n".into_response();
    }
    let lines: Vec<String> = stuck
        .iter()
        .map(|(name, silent)| format!("{name} is stuck: silent for {} s\n", silent.as_secs()))
        .collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines.concat()).into_response()
}

async fn readyz(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    waits("ready", &pages.readiness, query.as_deref())
}

async fn startupz(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    waits("started", &pages.startup, query.as_deref())
}

fn waits(done: &str, readiness: &Readiness, query: Option<&str>) -> Response {
    let missing = readiness.missing();
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    let status = if missing.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let head = if missing.is_empty() {
        format!("{done}\n")
    } else {
        format!("not {done}\n")
    };
    let listed: Vec<String> = missing
        .iter()
        .filter(|_| verbose)
        .map(|reason| format!("waits for: {reason}\n"))
        .collect();
    (status, head + &listed.concat()).into_response()
}

async fn metrics(State(pages): State<Pages>, headers: HeaderMap) -> Response {
    let ready = i64::from(pages.readiness.is_ready());
    pages.metrics.process.ready.get_or_create(&NoLabels {}).set(ready);
    let leaving = i64::from(pages.readiness.is_draining());
    pages.metrics.process.draining.get_or_create(&NoLabels {}).set(leaving);
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::wanted(accept.unwrap_or_default());
    match pages.metrics.expose(format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn status(State(pages): State<Pages>) -> Html<String> {
    Html((pages.status)())
}

async fn state(State(pages): State<Pages>) -> Response {
    axum::Json((pages.state)()).into_response()
}
