//! The pages over a real socket, and `segue healthcheck` against them.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use segue::lifecycle::Readiness;
use segue::telemetry::health::Heartbeats;
use segue::telemetry::http::{MOST_CONNECTIONS, Pages, serve};
use segue::telemetry::metrics::Metrics;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Served {
    address: SocketAddr,
    startup: Readiness,
    readiness: Readiness,
    heartbeats: Heartbeats,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn served() -> Served {
    served_at(TcpListener::bind("127.0.0.1:0").await.unwrap())
}

#[expect(clippy::disallowed_methods, reason = "the test awaits the server's end itself")]
fn served_at(listener: TcpListener) -> Served {
    let address = listener.local_addr().unwrap();
    let (startup, readiness, heartbeats) = (Readiness::default(), Readiness::default(), Heartbeats::default());
    let shutdown = CancellationToken::new();
    let pages = Pages {
        metrics: Arc::new(Metrics::default()),
        startup: startup.clone(),
        readiness: readiness.clone(),
        heartbeats: heartbeats.clone(),
        status: Arc::new(|| "<h1>all is well</h1>".to_owned()),
        state: Arc::new(|| serde_json::json!({ "members": 3 })),
        more: axum::Router::new().route("/more", axum::routing::get(|| async { "more" })),
    };
    let task = tokio::spawn(serve(listener, pages, shutdown.clone()));
    Served {
        address,
        startup,
        readiness,
        heartbeats,
        shutdown,
        task,
    }
}

/// Sends raw bytes, reads until the server closes.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(read.is_ok(), "the server keeps the connection; so far: {answer}");
    answer
}

async fn page(served: &Served, path: &str, accept: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    raw(served.address, &request).await
}

fn assert_says(answer: &str, status: &str, parts: &[&str]) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    for part in parts {
        assert!(answer.contains(part), "no {part:?} in {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_say_what_they_wait_for_and_change_as_it_comes() {
    let served = served().await;
    let store = served.startup.waiting("the store");
    let shard = served.readiness.waiting("shard 0");
    assert_says(
        &page(&served, "/startupz?verbose", "*/*").await,
        "503",
        &["waits for: the store"],
    );
    assert_says(
        &page(&served, "/readyz?verbose", "*/*").await,
        "503",
        &["not ready", "waits for: shard 0"],
    );
    let terse = page(&served, "/readyz", "*/*").await;
    assert!(!terse.contains("shard 0"), "{terse}");
    drop((store, shard));
    assert_says(&page(&served, "/startupz", "*/*").await, "200", &["started"]);
    assert_says(&page(&served, "/readyz", "*/*").await, "200", &["ready"]);
    served.readiness.drain();
    assert_says(
        &page(&served, "/readyz?verbose", "*/*").await,
        "503",
        &["waits for: leaving"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_come_in_the_format_that_was_asked_for() {
    let served = served().await;
    let plain = page(&served, "/metrics", "*/*").await;
    assert_says(
        &plain,
        "200",
        &["text/plain; version=0.0.4", "segue_build_info{", "segue_ready 1\n"],
    );
    assert!(!plain.contains("# EOF"), "{plain}");
    let open = page(&served, "/metrics", "application/openmetrics-text; version=1.0.0").await;
    assert_says(
        &open,
        "200",
        &["application/openmetrics-text; version=1.0.0", "# EOF\n"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_and_its_data_are_what_the_owner_gives() {
    let served = served().await;
    assert_says(
        &page(&served, "/", "*/*").await,
        "200",
        &["text/html", "<h1>all is well</h1>"],
    );
    assert_says(&page(&served, "/api/state", "*/*").await, "200", &[r#"{"members":3}"#]);
    assert_says(&page(&served, "/more", "*/*").await, "200", &["more"]);
    assert_says(&page(&served, "/nothing", "*/*").await, "404", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let served = served().await;
    let request = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(32 * 1024));
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    // The server may close before all of it is sent.
    stream.write_all(request.as_bytes()).await.ok();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_ends_when_told_even_with_an_idle_connection() {
    let served = served().await;
    let idle = TcpStream::connect(served.address).await.unwrap();
    page(&served, "/livez", "*/*").await;
    served.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(3), served.task).await;
    assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
    drop(idle);
}

/// Room for a few answers only, so that whoever does not read is soon waited for.
fn small() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(4_096).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_although_as_many_as_may_come_ask_and_never_read() {
    let socket = small();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let served = served_at(socket.listen(1_024).unwrap());
    let mut silent = Vec::new();
    for _ in 0..MOST_CONNECTIONS {
        let mut stream = small().connect(served.address).await.unwrap();
        let questions = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(64);
        stream.write_all(questions.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    for _ in 0..2 {
        assert_says(&page(&served, "/livez", "*/*").await, "200", &["alive"]);
    }
    drop(silent);
}

async fn healthcheck(listen: String) -> Output {
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_segue"))
            .args(["healthcheck", "--http-listen", &listen])
            .env_clear()
            .env("HOME", "/nowhere")
            .output()
            .unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_ends_with_one_when_a_task_is_stuck_or_nobody_listens() {
    let served = served().await;
    let well = healthcheck(served.address.to_string()).await;
    assert_eq!(
        (well.status.code(), well.stdout.as_slice()),
        (Some(0), &b"alive\n"[..]),
        "{well:?}"
    );
    let stuck = served.heartbeats.watch("auto-save", Duration::ZERO);
    let ill = healthcheck(served.address.to_string()).await;
    let said = String::from_utf8_lossy(&ill.stderr).into_owned();
    assert_eq!(ill.status.code(), Some(1), "{ill:?}");
    assert!(said.contains("503") && said.contains("auto-save is stuck"), "{said}");
    drop(stuck);
    served.shutdown.cancel();
    served.task.await.unwrap();
    let gone = healthcheck(served.address.to_string()).await;
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
}
