//! The demo's own web server: the page, its stream of state, and its buttons. Only for this machine.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::acts::{Act, Stagehand};
use super::picture::Gallery;
use super::{guard, page};

/// Nothing but our own files; no inline script or style, no frame around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Clone, Debug)]
struct Shared {
    gallery: Gallery,
    hand: Stagehand,
    end: CancellationToken,
}

/// All routes; open streams end with `end`.
pub fn router(gallery: Gallery, hand: Stagehand, end: CancellationToken) -> Router {
    Router::new()
        .route("/", get(|| async { page::file("index.html") }))
        .route(
            "/{file}",
            get(|Path(name): Path<String>| async move { page::file(&name) }),
        )
        .route("/events", get(events))
        .route("/act/{act}", post(act))
        .layer(from_fn(only_here))
        .with_state(Shared { gallery, hand, end })
}

async fn only_here(request: Request, next: Next) -> Response {
    if !guard::is_local(request.headers()) {
        return refused(StatusCode::FORBIDDEN, "this page is only for the machine it runs on");
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn events(State(shared): State<Shared>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let Shared { gallery, end, .. } = shared;
    Sse::new(stream::unfold(None, move |changes: Option<Receiver<Arc<str>>>| {
        let (gallery, end) = (gallery.clone(), end.clone());
        async move {
            tokio::select! {
                next = following(&gallery, changes) => next.map(|(event, changes)| (Ok(event), Some(changes))),
                () = end.cancelled() => None,
            }
        }
    }))
}

/// The next event of a stream: everything at first and after falling behind, otherwise the next change.
async fn following(gallery: &Gallery, changes: Option<Receiver<Arc<str>>>) -> Option<(Event, Receiver<Arc<str>>)> {
    if let Some(mut changes) = changes {
        match changes.recv().await {
            Ok(change) => return Some((Event::default().event("change").data(&*change), changes)),
            Err(RecvError::Closed) => return None,
            Err(RecvError::Lagged(_)) => {}
        }
    }
    let (whole, changes) = gallery.visit();
    Some((Event::default().event("whole").data(whole), changes))
}

async fn act(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(mut body): Json<Value>,
) -> Response {
    if !guard::may_act(&headers) {
        return refused(StatusCode::FORBIDDEN, "only the demo's own page may do this");
    }
    if let Some(fields) = body.as_object_mut() {
        fields.insert("act".into(), name.into());
    }
    let act: Act = match serde_json::from_value(body) {
        Ok(act) => act,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match shared.hand.act(act).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => refused(StatusCode::BAD_GATEWAY, &format!("{error:#}")),
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({"error": why}))).into_response()
}
