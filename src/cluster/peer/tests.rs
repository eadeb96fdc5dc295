//! Members over real sockets on loopback.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::cluster::evidence::Sign;

struct Side {
    peers: Peers,
    events: mpsc::Receiver<Event>,
    address: String,
    listener: Arc<TcpListener>,
}

async fn side(name: &str) -> Side {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
    on(name, listener)
}

fn on(name: &str, listener: Arc<TcpListener>) -> Side {
    let (sender, events) = mpsc::channel(64);
    let address = listener.local_addr().unwrap().to_string();
    let peers = Peers::new(MemberId(name.into()), Clock::boot(), Arc::clone(&listener), sender);
    Side {
        peers,
        events,
        address,
        listener,
    }
}

impl Side {
    async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        let mut seen = Vec::new();
        let waiting = async {
            loop {
                let event = self.events.recv().await.expect("the peers live");
                if wanted(&event) {
                    return event;
                }
                seen.push(event);
            }
        };
        let found = timeout(Duration::from_secs(10), waiting).await;
        found.unwrap_or_else(|_| panic!("only {seen:?}"))
    }

    async fn sign(&mut self, wanted: Sign) {
        self.until(|event| matches!(event, Event::Sign { sign, .. } if *sign == wanted))
            .await;
    }
}

#[test]
fn other_members_are_told_an_address_with_a_port() {
    let at = "127.0.0.1:4711".parse().unwrap();
    let table = [
        (None, "127.0.0.1:4711"),
        (Some("10.1.2.3"), "10.1.2.3:4711"),
        (Some("10.1.2.3:7946"), "10.1.2.3:7946"),
        (Some("fd00::7"), "[fd00::7]:4711"),
        (Some("[fd00::7]:7946"), "[fd00::7]:7946"),
        (Some("segue-0.segue"), "segue-0.segue:4711"),
        (Some("segue-0.segue:7946"), "segue-0.segue:7946"),
    ];
    for (set, told) in table {
        assert_eq!(address(set, at), told, "{set:?}");
    }
}

#[test]
fn what_listens_everywhere_is_found_at_the_host_that_others_are_told() {
    let table = [
        ("10.1.2.3:7946", "0.0.0.0:8080", "10.1.2.3:8080"),
        ("[fd00::7]:7946", "[::]:8080", "[fd00::7]:8080"),
        ("segue-0.segue:7946", "0.0.0.0:8080", "segue-0.segue:8080"),
        ("10.1.2.3:7946", "127.0.0.1:8080", "127.0.0.1:8080"),
        ("0.0.0.0:7946", "0.0.0.0:8080", "0.0.0.0:8080"),
    ];
    for (peer_at, listener, told) in table {
        assert_eq!(beside(peer_at, listener.parse().unwrap()), told, "{peer_at} {listener}");
    }
}

#[tokio::test]
async fn a_member_that_ends_hangs_up_and_then_its_address_refuses() {
    let (mut a, mut b) = (side("a").await, side("b").await);
    a.peers.watch(vec![(MemberId("b".into()), b.address.clone())]);
    a.sign(Sign::Connected).await;
    b.until(|event| *event == Event::Poked).await;
    drop(b);
    a.sign(Sign::Cut).await;
    a.sign(Sign::Refused).await;
}

#[tokio::test]
async fn another_member_at_the_address_is_told_by_its_name() {
    let (mut a, b) = (side("a").await, side("b").await);
    a.peers.watch(vec![(MemberId("b".into()), b.address.clone())]);
    a.sign(Sign::Connected).await;
    let listener = Arc::clone(&b.listener);
    drop(b);
    let _again = on("c", listener);
    a.sign(Sign::Cut).await;
    a.sign(Sign::Answered(MemberId("c".into()))).await;
}

#[tokio::test]
async fn a_poke_says_look_and_a_question_is_answered() {
    let (mut a, mut b) = (side("a").await, side("b").await);
    a.peers.watch(vec![(MemberId("b".into()), b.address.clone())]);
    a.sign(Sign::Connected).await;
    b.until(|event| *event == Event::Poked).await;
    a.peers.poke(&[MemberId("b".into()), MemberId("nobody".into())]);
    b.until(|event| *event == Event::Poked).await;
    b.peers.renewed(b.peers.here.clock.now_ms());
    a.peers.ask();
    let answer = a.until(|event| matches!(event, Event::Renewing { .. })).await;
    assert!(
        matches!(answer, Event::Renewing { age_ms: 0..2_000, ref member } if member.0 == "b"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn garbage_is_hung_up_on_and_the_next_one_is_served() {
    let mut a = side("a").await;
    let garbage: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[0xff; 4_096],
        b"segue 1 \n",
        b"look\n",
        b"segue 1 x\nsegue 1 x\n",
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(&a.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        // Closed, or reset with what it had not read.
        drop(read.expect("hung up"));
        assert!(answer.len() <= 16, "{:?}", String::from_utf8_lossy(&answer));
    }
    let mut b = side("b").await;
    b.peers.watch(vec![(MemberId("a".into()), a.address.clone())]);
    b.sign(Sign::Connected).await;
    a.until(|event| *event == Event::Poked).await;
}
