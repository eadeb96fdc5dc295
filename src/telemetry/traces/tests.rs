//! Against a small collector on a real socket, one that never answers, and none at all.

use std::sync::Mutex;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry::Context;
use opentelemetry::trace::{
    Span as _, SpanContext, TraceContextExt as _, TraceFlags, TraceState, Tracer as _, TracerProvider as _,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::telemetry::metrics::labels::BySignal;

type Received = Arc<Mutex<Vec<u8>>>;

fn settings(endpoint: String) -> OtelSettings {
    OtelSettings {
        traces: Some(Collector {
            endpoint,
            protocol: Protocol::Http,
            timeout: Duration::from_secs(10),
        }),
        logs: None,
        service_name: None,
        ..OtelSettings::default()
    }
}

async fn collector(tasks: &mut JoinSet<()>) -> (String, Received) {
    let received = Received::default();
    let app = axum::Router::new()
        .route(
            "/v1/traces",
            post(|State(received): State<Received>, body: Bytes| async move {
                received.lock().unwrap().extend_from_slice(&body);
            }),
        )
        .with_state(Arc::clone(&received));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (format!("http://{address}/v1/traces"), received)
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

fn dropped(metrics: &Metrics) -> u64 {
    let lost = BySignal { signal: "traces" };
    metrics.process.telemetry_dropped.get_or_create(&lost).get()
}

/// Ends one span, flushes, and tells how long that took and whether it worked.
async fn one_span(settings: &OtelSettings, metrics: &Arc<Metrics>) -> (Duration, bool) {
    let traces = Traces::start(settings, "member-7", metrics).unwrap().unwrap();
    drop(traces.provider().tracer("segue").start("guild.recover"));
    let began = Instant::now();
    let sent = traces.flush().await;
    (began.elapsed(), sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_arrives_with_the_services_name_and_the_members_id() {
    let mut tasks = JoinSet::new();
    let (endpoint, received) = collector(&mut tasks).await;
    let metrics = Arc::default();
    let (_, sent) = one_span(&settings(endpoint), &metrics).await;
    let bytes = received.lock().unwrap().clone();
    assert!(sent, "flush failed; {} bytes arrived", bytes.len());
    for expected in [
        "guild.recover",
        "service.name",
        "segue",
        "service.instance.id",
        "member-7",
    ] {
        assert!(
            contains(&bytes, expected),
            "no {expected} in {}",
            String::from_utf8_lossy(&bytes)
        );
    }
    assert_eq!(dropped(&metrics), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_delays_the_end_by_less_than_three_seconds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let (took, sent) = one_span(&settings(endpoint), &Arc::default()).await;
    assert!(!sent);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_port_loses_the_span_counts_it_and_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    drop(listener);
    let metrics = Arc::default();
    let (took, _) = one_span(&settings(endpoint), &metrics).await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(dropped(&metrics), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_too_a_collector_that_is_silent_or_gone_delays_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [silent.local_addr().unwrap(), gone.local_addr().unwrap()];
    drop(gone);
    for address in addresses {
        let mut settings = settings(format!("http://{address}"));
        if let Some(collector) = &mut settings.traces {
            collector.protocol = Protocol::Grpc;
        }
        let (took, _) = one_span(&settings, &Arc::default()).await;
        assert!(took < Duration::from_secs(3), "{address}: {took:?}");
    }
}

#[tokio::test]
async fn without_a_collector_nothing_is_started() {
    let settings = OtelSettings::default();
    assert!(Traces::start(&settings, "m", &Arc::default()).unwrap().is_none());
}

#[test]
fn the_service_is_called_segue_unless_somebody_chose_a_name() {
    let name = |settings: &OtelSettings| resource(settings, "m").get(&Key::from_static_str("service.name"));
    let mut settings = OtelSettings::default();
    assert_eq!(name(&settings).unwrap().as_str(), "segue");
    settings.service_name = Some("jukebox".to_owned());
    assert_eq!(name(&settings).unwrap().as_str(), "jukebox");
}

/// Takes nothing until it is opened.
struct Dam {
    open: tokio::sync::watch::Sender<bool>,
    spans: Arc<std::sync::atomic::AtomicUsize>,
}

impl Dam {
    async fn build(tasks: &mut JoinSet<()>) -> (String, Self) {
        let (open, opened) = tokio::sync::watch::channel(false);
        let spans = Arc::<std::sync::atomic::AtomicUsize>::default();
        let counted = Arc::clone(&spans);
        let take = move |body: Bytes| {
            let (mut opened, counted) = (opened.clone(), Arc::clone(&counted));
            async move {
                drop(opened.wait_for(|open| *open).await);
                let of_it = body.windows(8).filter(|window| *window == b"one.span").count();
                counted.fetch_add(of_it, std::sync::atomic::Ordering::Relaxed);
            }
        };
        let app = axum::Router::new().route("/v1/traces", post(take));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        (format!("http://{address}/v1/traces"), Self { open, spans })
    }

    fn count(&self) -> usize {
        self.spans.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c51_of_a_collector_that_is_silent_so_many_spans_are_kept_and_the_others_are_counted() {
    for queue in [2_048, 100] {
        let mut tasks = JoinSet::new();
        let (endpoint, dam) = Dam::build(&mut tasks).await;
        let metrics = Arc::default();
        let settings = OtelSettings {
            queue,
            ..settings(endpoint)
        };
        let traces = Traces::start(&settings, "m", &metrics).unwrap().unwrap();
        let spans = traces.provider().tracer("segue");
        for _ in 0..5_000 {
            drop(spans.start("one.span"));
        }
        dam.open.send_replace(true);
        assert!(traces.flush().await);
        assert_eq!((dam.count(), dropped(&metrics)), (queue, 5_000 - queue as u64));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_much_to_tell_waits_for_room_while_the_collector_answers() {
    let mut tasks = JoinSet::new();
    let (endpoint, dam) = Dam::build(&mut tasks).await;
    dam.open.send_replace(true);
    let metrics = Arc::default();
    let traces = Traces::start(&settings(endpoint), "m", &metrics).unwrap().unwrap();
    let (spans, outlet) = (traces.provider().tracer("segue"), traces.outlet.clone());
    for _ in 0..10_000 {
        outlet.room().await;
        drop(spans.start("one.span"));
    }
    assert!(traces.flush().await);
    assert_eq!((dam.count(), dropped(&metrics)), (10_000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_collector_is_waited_for_once_and_not_again_until_it_answers() {
    let mut tasks = JoinSet::new();
    let (endpoint, dam) = Dam::build(&mut tasks).await;
    let metrics = Arc::default();
    let traces = Traces::start(&settings(endpoint), "m", &metrics).unwrap().unwrap();
    let (spans, outlet, limit) = (
        traces.provider().tracer("segue"),
        traces.outlet.clone(),
        Duration::from_millis(200),
    );
    let push = async || {
        drop(spans.start("one.span"));
        let began = Instant::now();
        outlet.push(limit).await;
        began.elapsed()
    };
    let (first, second) = (push().await, push().await);
    assert!(first >= limit && first < limit * 5, "{first:?}");
    assert!(second < limit, "{second:?}");
    dam.open.send_replace(true);
    let end = Instant::now() + Duration::from_secs(10);
    while dam.count() == 0 || outlet.is_silent() {
        assert!(Instant::now() < end, "{} spans came", dam.count());
        tokio::task::yield_now().await;
    }
    push().await;
    assert_eq!(dam.count(), 3, "sent at once");
    assert_eq!(dropped(&metrics), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_kept_whatever_the_sampler_says_of_others_and_has_the_ids_that_were_reserved() {
    let mut tasks = JoinSet::new();
    let (endpoint, dam) = Dam::build(&mut tasks).await;
    dam.open.send_replace(true);
    let traces = Traces::start(&settings(endpoint), "m", &Arc::default())
        .unwrap()
        .unwrap();
    let (trace, span) = reserve();
    let context = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE);
    let unsampled = SpanContext::new(trace, span, TraceFlags::default(), true, TraceState::NONE);
    let spans = traces.recoveries.tracer("segue");
    {
        let _ids = Given::new(&context);
        let mut root = spans.start("one.span");
        assert_eq!(root.span_context(), &context);
        root.end();
    }
    let around = Context::new().with_remote_span_context(unsampled);
    let child = spans.start_with_context("one.span", &around);
    assert!(child.span_context().is_sampled(), "{child:?}");
    assert_ne!(child.span_context().span_id(), span);
    drop(child);
    assert!(traces.flush().await);
    assert_eq!(dam.count(), 2);
}
