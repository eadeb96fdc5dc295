//! Against a small collector on a real socket, one that never answers, and none at all.

use std::sync::Mutex;

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::telemetry::metrics::labels::BySignal;

type Received = Arc<Mutex<Vec<u8>>>;

async fn collector(tasks: &mut JoinSet<()>) -> (String, Received) {
    let received = Received::default();
    let take = |State(received): State<Received>, body: Bytes| async move {
        received.lock().unwrap().extend_from_slice(&body);
    };
    let app = axum::Router::new()
        .route("/v1/logs", post(take))
        .with_state(Arc::clone(&received));
    (listening(tasks, app).await, received)
}

async fn listening(tasks: &mut JoinSet<()>, app: axum::Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}/v1/logs")
}

fn dropped(metrics: &Metrics) -> u64 {
    let lost = BySignal { signal: "logs" };
    metrics.process.telemetry_dropped.get_or_create(&lost).get()
}

fn settings(endpoint: String) -> OtelSettings {
    OtelSettings {
        logs: Some(Collector {
            endpoint,
            protocol: Protocol::Http,
            timeout: Duration::from_secs(10),
        }),
        ..OtelSettings::default()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_arrives_with_its_fields_and_its_trace_and_what_is_filtered_does_not() {
    let mut tasks = JoinSet::new();
    let (endpoint, received) = collector(&mut tasks).await;
    let logs = Logs::start(&settings(endpoint), "member-7", &Arc::default())
        .unwrap()
        .unwrap();
    let tracer = SdkTracerProvider::builder().build().tracer("test");
    let subscriber = tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(tracer))
        .with(logs.layer("info").unwrap());
    let mut trace = Vec::new();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("guild.recover").in_scope(|| {
            use opentelemetry::trace::TraceContextExt as _;
            let context = opentelemetry::Context::current();
            trace.extend(context.span().span_context().trace_id().to_bytes());
            tracing::warn!(took_ms = 7, "the node is slow");
        });
        tracing::debug!("a detail");
        tracing::error!(target: "hyper_util::client", "a connection");
    });
    assert!(logs.flush().await);
    let bytes = received.lock().unwrap().clone();
    for expected in [
        &b"the node is slow"[..],
        b"took_ms",
        b"WARN",
        b"member-7",
        b"segue",
        &trace,
    ] {
        assert!(contains(&bytes, expected), "{expected:?} is missing");
    }
    for unwanted in [&b"a detail"[..], b"a connection"] {
        assert!(!contains(&bytes, unwanted), "{unwanted:?} was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusing_port_loses_the_records_counts_them_and_ends_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/v1/logs", listener.local_addr().unwrap());
    drop(listener);
    let metrics = Arc::<Metrics>::default();
    let logs = Logs::start(&settings(endpoint), "m", &metrics).unwrap().unwrap();
    let subscriber = tracing_subscriber::registry().with(logs.layer("info").unwrap());
    tracing::subscriber::with_default(subscriber, || tracing::info!("lost"));
    let began = tokio::time::Instant::now();
    logs.flush().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(dropped(&metrics), 1);
}

#[tokio::test]
async fn without_a_collector_nothing_is_started() {
    let settings = OtelSettings::default();
    assert!(Logs::start(&settings, "m", &Arc::default()).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_collector_that_is_silent_so_many_records_are_kept_and_the_others_are_counted() {
    let (open, opened) = tokio::sync::watch::channel(false);
    let received = Received::default();
    let taken = Arc::clone(&received);
    let take = move |body: Bytes| {
        let (mut opened, taken) = (opened.clone(), Arc::clone(&taken));
        async move {
            drop(opened.wait_for(|open| *open).await);
            taken.lock().unwrap().extend_from_slice(&body);
        }
    };
    let mut tasks = JoinSet::new();
    let endpoint = listening(&mut tasks, axum::Router::new().route("/v1/logs", post(take))).await;
    let metrics = Arc::<Metrics>::default();
    let settings = OtelSettings {
        log_queue: 100,
        ..settings(endpoint)
    };
    let logs = Logs::start(&settings, "m", &metrics).unwrap().unwrap();
    let subscriber = tracing_subscriber::registry().with(logs.layer("info").unwrap());
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..3_000 {
            tracing::info!("one.record");
        }
    });
    assert_eq!(dropped(&metrics), 2_900, "at once, not when the collector answers");
    open.send_replace(true);
    assert!(logs.flush().await);
    let bytes = received.lock().unwrap().clone();
    let arrived = bytes.windows(10).filter(|window| *window == b"one.record").count();
    assert_eq!((arrived, dropped(&metrics)), (100, 2_900));
}
