//! Whatever strangers do to its ports, the simulator goes on.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _, stream};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::{Body, Client};
use rustix::process::{Resource, getrlimit, setrlimit};
use segue::sim::{Options, Sim, start};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{client_async, connect_async};

const LIMIT: Duration = Duration::from_secs(30);

async fn sim(guilds: usize) -> Sim {
    let options = Options {
        guilds,
        ..Options::default()
    };
    start(options).await.unwrap()
}

/// `host:port` of Discord, control and the node.
fn ports(sim: &Sim) -> [String; 3] {
    let bare = |url: &str| url.strip_prefix("http://").unwrap().to_owned();
    [
        bare(&sim.ready.discord_api),
        bare(&sim.ready.control),
        bare(&sim.ready.lavalink[0].url),
    ]
}

/// Everything still answers: a login, the world, a node.
async fn still_runs(sim: &Sim) {
    let works = async {
        let url = format!("{}/?v=10&encoding=json", sim.ready.discord_gateway);
        let (mut socket, _) = connect_async(url).await.unwrap();
        let hello = socket.next().await.unwrap().unwrap();
        assert!(hello.to_text().unwrap().contains("heartbeat_interval"));
        let http = Client::new();
        let world = http
            .get(format!("{}/world?guilds=none", sim.ready.control))
            .send()
            .await
            .unwrap();
        assert_eq!(world.status(), 200);
        let node = &sim.ready.lavalink[0];
        let stats = http
            .get(format!("{}/v4/stats", node.url))
            .header("Authorization", &node.password);
        assert_eq!(stats.send().await.unwrap().status(), 200);
    };
    timeout(LIMIT, works).await.expect("the simulator answers");
}

#[tokio::test]
async fn random_bytes_on_every_port_do_no_harm() {
    let sim = sim(1).await;
    let mut random = SmallRng::seed_from_u64(4);
    for port in ports(&sim) {
        for round in 0..60 {
            let mut socket = TcpStream::connect(&port).await.unwrap();
            let mut bytes = vec![0_u8; random.random_range(1..3_000)];
            random.fill(bytes.as_mut_slice());
            // Some get through the door first: what follows is no frame.
            let door = match round % 3 {
                0 => String::new(),
                1 => "GET /?v=10&encoding=json HTTP/1.1\r\n".to_owned(),
                _ => format!(
                    "GET /v4/websocket HTTP/1.1\r\nAuthorization: {}\r\nUser-Id: 1\r\n",
                    sim.ready.lavalink[0].password
                ),
            };
            let knock = if door.is_empty() {
                door
            } else {
                door + "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            };
            // The other side may hang up at any byte.
            drop(socket.write_all(knock.as_bytes()).await);
            drop(socket.write_all(&bytes).await);
            drop(socket.shutdown().await);
            let mut rest = Vec::new();
            drop(timeout(Duration::from_millis(50), socket.read_to_end(&mut rest)).await);
        }
    }
    still_runs(&sim).await;
}

#[tokio::test]
async fn malformed_frames_and_truncated_zstd_close_a_socket_and_no_more() {
    let sim = sim(1).await;
    let zstd = {
        let mut out = vec![0; 4_096];
        let length = zstd_safe::compress(out.as_mut_slice(), "x".repeat(3_000).as_bytes(), 3).unwrap();
        out.truncate(length / 2);
        out
    };
    let login = json!({"op": 2, "d": {"token": sim.ready.token, "intents": 129}}).to_string();
    let payloads = [
        Message::binary(zstd),
        Message::binary(vec![0x28, 0xb5, 0x2f, 0xfd]),
        Message::binary(vec![0xff; 60_000]),
        Message::text("{\"op\":2,\"d\":".repeat(300)),
        Message::text("[".repeat(4_000)),
        Message::text("{\"op\":1e400}"),
        Message::text("{\"op\":-1,\"d\":null}"),
        Message::text("null"),
        Message::text(login[..login.len() - 1].to_owned()),
        Message::text("x".repeat(1 << 20)),
    ];
    for payload in payloads {
        let url = format!("{}/?v=10&encoding=json&compress=zstd-stream", sim.ready.discord_gateway);
        let (mut socket, _) = connect_async(url).await.unwrap();
        drop(socket.send(payload.clone()).await);
        let closed = async { while let Some(Ok(_)) = socket.next().await {} };
        timeout(LIMIT, closed)
            .await
            .unwrap_or_else(|_| panic!("{payload:?} did not end it"));
    }
    still_runs(&sim).await;
}

#[tokio::test]
async fn bodies_of_100_mb_are_refused_unread() {
    let sim = sim(1).await;
    let node = &sim.ready.lavalink[0];
    let targets = [
        (format!("{}/guilds", sim.ready.control), String::new()),
        (
            format!("{}/api/v10/channels/1/messages", sim.ready.discord_api),
            format!("Bot {}", sim.ready.token),
        ),
        (format!("{}/v4/decodetracks", node.url), node.password.clone()),
    ];
    for (url, password) in targets {
        let chunks = stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 20])));
        let request = Client::new().post(&url).header("Authorization", password);
        let sent = timeout(LIMIT, request.body(Body::wrap_stream(chunks)).send()).await;
        // Who is refused while he still speaks may only see that the connection ended.
        if let Ok(answer) = sent.expect("it is not waited for") {
            assert!(answer.status().is_client_error(), "{url}: {}", answer.status());
        }
    }
    still_runs(&sim).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_loses_its_connection_and_not_its_session() {
    let sim = sim(5).await;
    let url = format!("{}/?v=10&encoding=json", sim.ready.discord_gateway);
    // The kernel holds little for it, so that soon the simulator must.
    let narrow = TcpSocket::new_v4().unwrap();
    narrow.set_recv_buffer_size(4_096).unwrap();
    let stream = narrow.connect(ports(&sim)[0].parse().unwrap()).await.unwrap();
    let (mut socket, _) = client_async(&url, stream).await.unwrap();
    let login = json!({"op": 2, "d": {"token": sim.ready.token, "intents": 129, "properties": {}}});
    socket.send(Message::text(login.to_string())).await.unwrap();
    let http = Client::new();
    let connected = async || {
        let world = http
            .get(format!("{}/world?guilds=none", sim.ready.control))
            .send()
            .await
            .unwrap();
        let world: Value = world.json().await.unwrap();
        world["shards"][0]["connected"].clone()
    };
    let until = async |wanted: bool| {
        let waiting = async {
            while connected().await != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, waiting)
            .await
            .unwrap_or_else(|_| panic!("connected never became {wanted}"));
    };
    until(true).await;
    let flood = json!({"kind": "flood", "per_s": 40_000, "for_ms": 60_000});
    let begun = http
        .post(format!("{}/faults", sim.ready.control))
        .json(&flood)
        .send()
        .await
        .unwrap();
    let id: Value = begun.json().await.unwrap();
    until(false).await;
    let ended = http.delete(format!("{}/faults/{}", sim.ready.control, id["id"].as_str().unwrap()));
    assert_eq!(ended.send().await.unwrap().status(), 204);
    still_runs(&sim).await;
}

#[tokio::test]
async fn five_thousand_idle_connections_hinder_nobody() {
    let sim = sim(1).await;
    // Both ends are in this process.
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let allowed = getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |count| usize::try_from(count).unwrap());
    let count = 5_000.min(allowed.saturating_sub(1_000) / 2);
    assert!(count >= 1_000, "only {allowed} files may be open here");
    let ports = ports(&sim);
    let mut idle = Vec::with_capacity(count);
    for nth in 0..count {
        let connecting = TcpStream::connect(&ports[nth % ports.len()]);
        idle.push(timeout(LIMIT, connecting).await.expect("it is let in").unwrap());
    }
    still_runs(&sim).await;
    drop(idle);
    still_runs(&sim).await;
}
