//! What both HTTP servers of the simulator share: a request taken apart, an answer, and a listener that serves.

use std::collections::HashMap;
use std::future::Future;
use std::io;

use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 1 << 20;

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Call {
    /// Upper case.
    pub(crate) method: String,
    /// The path's parts, percent-decoded, empty ones left out.
    pub(crate) path: Vec<String>,
    /// The query.
    pub(crate) query: HashMap<String, String>,
    /// `Authorization`, or empty.
    pub(crate) authorization: String,
    /// `User-Agent`, or empty.
    pub(crate) user_agent: String,
    /// The body; `Err` when it is too large, cut off, or no JSON. An empty body is null.
    pub(crate) body: Result<Value, &'static str>,
}

impl Call {
    /// Reads a request's body and takes the rest apart.
    pub(crate) async fn read(parts: &Parts, body: Body) -> Self {
        let body = match axum::body::to_bytes(body, LARGEST_BODY).await {
            Err(_) => Err("the body is too large or was cut off"),
            Ok(bytes) if bytes.is_empty() => Ok(Value::Null),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| "the body is not JSON"),
        };
        let text = |name| {
            let value = parts
                .headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Self {
            method: parts.method.as_str().to_owned(),
            path: path_of(parts.uri.path()),
            query: query_of(parts.uri.query()),
            authorization: text(header::AUTHORIZATION),
            user_agent: text(header::USER_AGENT),
            body,
        }
    }

    /// A call as its parts are written, without a request.
    pub(crate) fn of(method: &str, target: &str, body: &[u8]) -> Self {
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        Self {
            method: method.to_owned(),
            path: path_of(path),
            query: query_of(query),
            authorization: String::new(),
            user_agent: String::new(),
            body: match body {
                [] => Ok(Value::Null),
                body => serde_json::from_slice(body).map_err(|_| "the body is not JSON"),
            },
        }
    }

    /// A whole number in the query, 0 when missing or odd.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.query.get(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }
}

fn path_of(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect()
}

/// A query string taken apart.
pub(crate) fn query_of(query: Option<&str>) -> HashMap<String, String> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What stands in it.
    pub(crate) content: Content,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What stands in an answer.
#[derive(Debug)]
pub(crate) enum Content {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Value),
    /// Plain text.
    Text(String),
    /// JSON lines, made as they are read.
    Lines(Body),
}

impl Reply {
    /// 200 with JSON.
    pub(crate) fn json(value: Value) -> Self {
        Self::with(200, value)
    }

    /// Any status with JSON.
    pub(crate) fn with(status: u16, value: Value) -> Self {
        Self {
            status,
            content: Content::Json(value),
            headers: Vec::new(),
        }
    }

    /// 204.
    pub(crate) fn nothing() -> Self {
        Self {
            status: 204,
            content: Content::Empty,
            headers: Vec::new(),
        }
    }

    /// A refusal as both APIs word it: `{code, message}`.
    pub(crate) fn refuse(status: u16, code: u32, message: &str) -> Self {
        Self::with(status, json!({"code": code, "message": message}))
    }

    /// As an HTTP response.
    pub(crate) fn into_response(self) -> Response<Body> {
        let (kind, body) = match self.content {
            Content::Empty => (None, Body::empty()),
            Content::Json(value) => (Some("application/json"), Body::from(value.to_string())),
            Content::Text(text) => (Some("text/plain; charset=UTF-8"), Body::from(text)),
            Content::Lines(lines) => (Some("application/x-ndjson"), lines),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(kind) = kind {
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Serves requests until `stop`, then lets open requests end.
pub(crate) async fn serve<F, Answer>(listener: TcpListener, stop: CancellationToken, answer: F) -> io::Result<()>
where
    F: Fn(Request) -> Answer + Clone + Send + Sync + 'static,
    Answer: Future<Output = Response<Body>> + Send + 'static,
{
    use axum::serve::ListenerExt as _;

    let listener = listener.tap_io(|socket| {
        // A small frame must leave at once; where this fails the socket is dead already.
        drop(socket.set_nodelay(true));
    });
    let router = axum::Router::new().fallback(answer);
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}
