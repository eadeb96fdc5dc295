//! A collector of traces: takes OTLP over HTTP and gRPC on a real socket, and tells what came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The path of an export over HTTP, and over gRPC.
const PATHS: [&str; 2] = [
    "/v1/traces",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
];

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otlp {
    Http,
    Grpc,
}

/// A span as it came, with the resource that it came from. Values are text.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for a root.
    pub(crate) parent: String,
    /// Trace, span and attributes.
    pub(crate) links: Vec<(String, String, BTreeMap<String, String>)>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) events: Vec<String>,
    pub(crate) failed: bool,
    pub(crate) to_ns: u64,
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    headers: Vec<HeaderMap>,
}

/// A collector; gone when dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    received: Arc<Mutex<Received>>,
    _tasks: JoinSet<()>,
}

impl Collector {
    pub(crate) async fn start(otlp: Otlp) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<Received>> = Arc::default();
        let kept = Arc::clone(&received);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (stream, kept) = (TokioIo::new(stream), Arc::clone(&kept));
                let answer = service_fn(move |request| take(request, otlp, Arc::clone(&kept)));
                connections.spawn(async move {
                    let served = match otlp {
                        Otlp::Http => {
                            hyper::server::conn::http1::Builder::new()
                                .serve_connection(stream, answer)
                                .await
                        }
                        Otlp::Grpc => {
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                                .serve_connection(stream, answer)
                                .await
                        }
                    };
                    // A process that was killed says no goodbye.
                    drop(served);
                });
            }
        });
        Self {
            url,
            received,
            _tasks: tasks,
        }
    }

    /// Everything that came so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    /// The names of what came so far.
    pub(crate) fn names(&self) -> Vec<String> {
        self.spans().into_iter().map(|span| span.name).collect()
    }

    /// The headers of every export.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.received.lock().unwrap().headers.clone()
    }
}

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>>;

async fn take(request: Request<Incoming>, otlp: Otlp, kept: Arc<Mutex<Received>>) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.path(), PATHS[usize::from(otlp == Otlp::Grpc)]);
    let body = body.collect().await?.to_bytes();
    // One message of a gRPC call is behind a flag, whether it is compressed, and its length.
    let message = match otlp {
        Otlp::Http => body,
        Otlp::Grpc => body.slice(5..),
    };
    let export = ExportTraceServiceRequest::decode(message).unwrap();
    {
        let mut kept = kept.lock().unwrap();
        kept.headers.push(head.headers);
        kept.spans.extend(spans(export));
    }
    Ok(match otlp {
        Otlp::Http => Response::builder()
            .header("content-type", "application/x-protobuf")
            .body(Full::default().boxed())
            .unwrap(),
        Otlp::Grpc => {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(std::future::ready(Some(Ok(trailers))));
            Response::builder()
                .header("content-type", "application/grpc")
                .body(body.boxed())
                .unwrap()
        }
    })
}

fn spans(export: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of in export.resource_spans {
        let resource = texts(&of.resource.unwrap_or_default().attributes);
        for span in of.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: span.links.iter().map(link).collect(),
                attributes: texts(&span.attributes),
                resource: resource.clone(),
                events: span.events.into_iter().map(|event| event.name).collect(),
                failed: span.status.is_some_and(|status| status.code == 2),
                to_ns: span.end_time_unix_nano,
            });
        }
    }
    spans
}

fn link(link: &Link) -> (String, String, BTreeMap<String, String>) {
    (hex(&link.trace_id), hex(&link.span_id), texts(&link.attributes))
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|one| (one.key.clone(), text(one))).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
