//! Spans of a running replica, as a collector gets them.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::harness::{Setup, World, eventually};

/// Takes everything that is sent to it and says yes.
struct Collector {
    url: String,
    received: Arc<Mutex<Vec<u8>>>,
    _tasks: JoinSet<()>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&received);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                connections.spawn(async move {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        kept.lock().unwrap().extend_from_slice(&buffer[..count]);
                        let yes =
                            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                        drop(stream.write_all(yes).await);
                    }
                });
            }
        });
        Self {
            url,
            received,
            _tasks: tasks,
        }
    }

    /// Whether a span of this name came: its name stands with its length in front of it.
    fn has(&self, span: &str) -> bool {
        let mut wanted = vec![0x2a, u8::try_from(span.len()).unwrap()];
        wanted.extend_from_slice(span.as_bytes());
        self.received
            .lock()
            .unwrap()
            .windows(wanted.len())
            .any(|window| window == wanted)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn command_load_play_save_and_restore_reach_a_collector() {
    let (world, collector) = (World::start(1).await, Collector::start().await);
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world)
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        .set("OTEL_BSP_SCHEDULE_DELAY", "100");
    let bot = setup.ready().await;
    world.play(&guild, "One").await;
    drop(bot.kill().await);
    let _bot = setup.ready().await;
    world
        .command(&guild, "play", json!({ "query": "sim:Two?length=500", "when": "now" }))
        .await;
    eventually("every span came", || async {
        let missing: Vec<_> = ["command", "load", "play", "save", "restore"]
            .into_iter()
            .filter(|span| !collector.has(span))
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_collector_holds_neither_the_music_nor_the_exit() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let bot = Setup::sqlite(&world)
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
        .ready()
        .await;
    world.play(&guild, "One").await;
    let began = tokio::time::Instant::now();
    let (status, log) = bot.terminate().await;
    assert!(status.success(), "{log:#?}");
    assert!(began.elapsed().as_millis() < 6_000, "took {:?}", began.elapsed());
    assert_eq!(world.gaps(&guild).await, Vec::<serde_json::Value>::new());
}
