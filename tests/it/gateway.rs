//! One shard against a gateway that does exactly what each test says.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in what it is built from")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use secrecy::SecretString;
use segue::gateway::identify::{IdentifyQueue, Tickets};
use segue::gateway::{
    FromShard, INTENTS, Priority, ShardHandle, ShardSpec, ShardState, SharedQueue, VoiceRequest, open,
};
use segue::lifecycle::{Authority, NoAuthority};
use segue::model::ids::{MemberId, ShardId};
use segue::model::signal::Signal;
use segue::store::GatewaySession;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};
use tokio_util::sync::CancellationToken;
use twilight_model::id::Id;

const LIMIT: Duration = Duration::from_secs(5);

/// A listener whose connections the test drives by hand.
struct Fake {
    listener: TcpListener,
    url: String,
}

/// One connection, from the gateway's side.
struct Peer(WebSocketStream<TcpStream>);

impl Fake {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Accepts the next connection and says HELLO.
    async fn hello(&self, heartbeat_ms: u64) -> Peer {
        let mut peer = self.accept().await;
        peer.send(json!({"t": null, "s": null, "op": 10, "d": {"heartbeat_interval": heartbeat_ms}}))
            .await;
        peer
    }

    async fn accept(&self) -> Peer {
        let (stream, _) = timeout(LIMIT, self.listener.accept())
            .await
            .expect("a connection")
            .unwrap();
        Peer(accept_async(stream).await.unwrap())
    }

    /// Up to READY. Returns the connection and what IDENTIFY said.
    async fn identified(&self, heartbeat_ms: u64, session: &str) -> (Peer, Value) {
        let mut peer = self.hello(heartbeat_ms).await;
        let identify = peer.expect(2).await;
        peer.dispatch(
            1,
            "READY",
            &json!({"v": 10, "session_id": session, "resume_gateway_url": self.url,
            "user": {"id": "99"}, "guilds": [{"id": "1", "unavailable": true}], "application": {"id": "98", "flags": 0}}),
        )
        .await;
        (peer, identify)
    }
}

impl Peer {
    async fn send(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn dispatch(&mut self, seq: u64, name: &str, data: &Value) {
        self.send(json!({"t": name, "s": seq, "op": 0, "d": data})).await;
    }

    async fn leaves(&mut self, seq: u64, guild: u64) {
        self.dispatch(seq, "GUILD_DELETE", &json!({"id": guild.to_string()}))
            .await;
    }

    /// The next frame, whatever it is; `None` when the connection is gone.
    async fn frame(&mut self) -> Option<Message> {
        timeout(LIMIT, self.0.next())
            .await
            .expect("a frame")
            .and_then(Result::ok)
    }

    /// The `d` of the next frame with this opcode; heartbeats between are answered.
    async fn expect(&mut self, op: u64) -> Value {
        loop {
            match self.frame().await {
                Some(Message::Text(text)) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["op"] == op {
                        return frame["d"].clone();
                    }
                    assert_eq!(frame["op"], 1, "expected op {op}: {frame}");
                    self.send(json!({"t": null, "s": null, "op": 11, "d": null})).await;
                }
                other => panic!("expected op {op}: {other:?}"),
            }
        }
    }

    /// The code of the close frame, which is answered; `None` for a bare end.
    async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(frame) = self.frame().await {
            if let Message::Close(frame) = frame {
                code = frame.map(|frame| frame.code.into());
            }
        }
        code
    }

    async fn close(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        self.0.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = timeout(LIMIT, self.0.next()).await.expect("an end") {}
    }
}

#[derive(Debug)]
struct Switch(AtomicBool);

impl Authority for Switch {
    fn check(&self) -> Result<(), NoAuthority> {
        if self.0.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(NoAuthority)
        }
    }
}

/// A shard under test, and all that was made for it.
struct Run {
    handle: ShardHandle,
    events: mpsc::Receiver<FromShard>,
    authority: Arc<Switch>,
    stop: CancellationToken,
    tasks: JoinSet<Option<GatewaySession>>,
}

impl Run {
    fn start(fake: &Fake, session: Option<GatewaySession>, capacity: usize) -> Self {
        let (out, events) = mpsc::channel(capacity);
        let (stop, authority) = (CancellationToken::new(), Arc::new(Switch(AtomicBool::new(true))));
        let at_once: Tickets = Arc::new(|_| Box::pin(std::future::ready(Ok(Duration::ZERO))));
        let (queue, drive) = IdentifyQueue::new(at_once, stop.clone());
        let queue: SharedQueue = queue;
        let spec = ShardSpec {
            shard: ShardId::new(0, 1),
            token: SecretString::from("token"),
            intents: INTENTS,
            gateway_url: Some(fake.url.clone()),
            session,
            bot: Id::new(99),
            member: MemberId("m1".into()),
            now_ms: || 1_700_000_000_000,
        };
        let (handle, run) = open(spec, queue, out, authority.clone(), stop.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(run);
        tasks.spawn(async move {
            drive.await;
            None
        });
        Self {
            handle,
            events,
            authority,
            stop,
            tasks,
        }
    }

    async fn next(&mut self) -> FromShard {
        let state = self.handle.clone();
        match timeout(LIMIT, self.events.recv()).await {
            Ok(event) => event.expect("the shard goes on"),
            Err(late) => panic!("nothing came ({late}): {:?} {:?}", state.state(), state.counts()),
        }
    }

    /// Takes the next READY or RESUMED and acknowledges it.
    async fn ready(&mut self) -> (bool, GatewaySession) {
        let event = self.next().await;
        let FromShard::Ready { resumed, session, ack } = event else {
            panic!("not ready: {event:?}");
        };
        ack.send(()).unwrap();
        (resumed, session)
    }

    async fn guild(&mut self) -> (u64, segue::gateway::Seen) {
        let event = self.next().await;
        let FromShard::Guild {
            guild,
            signal: Signal::GuildRemoved,
            seen,
        } = event
        else {
            panic!("not a guild's: {event:?}");
        };
        (guild.get(), seen)
    }

    async fn ended(mut self) -> Option<GatewaySession> {
        let mut session = None;
        while let Some(done) = timeout(LIMIT, self.tasks.join_next()).await.expect("an end") {
            session = session.or(done.unwrap());
        }
        session
    }
}

/// A shard whose first session, `abc`, is ready, and both ends of its connection.
async fn begun() -> (Fake, Run, Peer) {
    let fake = Fake::new().await;
    let mut run = Run::start(&fake, None, 16);
    let (peer, _) = fake.identified(41_250, "abc").await;
    run.ready().await;
    (fake, run, peer)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn voice(guild: u64) -> VoiceRequest {
    VoiceRequest {
        guild: Id::new(guild),
        channel: Some(Id::new(10)),
        leave_first: false,
        priority: Priority::Person,
    }
}

#[tokio::test]
async fn a_stopped_shard_leaves_a_session_that_the_next_one_resumes_from_what_was_processed() {
    let fake = Fake::new().await;
    let mut first = Run::start(&fake, None, 16);
    let (mut peer, identify) = fake.identified(41_250, "abc").await;
    assert_eq!(identify["intents"], 129);
    assert!(!first.ready().await.0);
    for (seq, guild) in [(2, 2), (3, 3), (4, 4)] {
        peer.leaves(seq, guild).await;
    }
    let (_, two) = first.guild().await;
    let (_, _three) = first.guild().await;
    let (_, four) = first.guild().await;
    drop(two);
    drop(four);
    assert_eq!(first.handle.processed(), 2);
    let stopped = Instant::now();
    first.stop.cancel();
    assert_eq!(peer.closed().await, Some(4000));
    let session = first.ended().await.expect("a session");
    assert!(stopped.elapsed() < Duration::from_secs(1), "{:?}", stopped.elapsed());
    assert_eq!((session.id.as_str(), session.seq), ("abc", 2));

    let mut second = Run::start(&fake, Some(session), 16);
    let mut peer = fake.hello(41_250).await;
    let resume = peer.expect(6).await;
    assert_eq!((&resume["session_id"], &resume["seq"]), (&json!("abc"), &json!(2)));
    peer.leaves(3, 3).await;
    peer.leaves(4, 4).await;
    peer.dispatch(5, "RESUMED", &json!({})).await;
    let replayed = [second.guild().await.0, second.guild().await.0];
    assert_eq!(replayed, [3, 4]);
    let (resumed, session) = second.ready().await;
    assert!(resumed);
    assert_eq!(session.seq, 2, "what was replayed was not finished when RESUMED came");
    assert_eq!(second.handle.processed(), 5);
    assert_eq!(second.handle.counts().identifies, 0);
}

#[tokio::test]
async fn a_gateway_that_hangs_up_on_a_close_frame_is_not_connected_to_again() {
    let (fake, run, mut peer) = begun().await;
    run.stop.cancel();
    assert!(matches!(peer.frame().await, Some(Message::Close(Some(frame))) if u16::from(frame.code) == 4000));
    drop(peer);
    let resumed = async {
        let mut peer = fake.hello(41_250).await;
        peer.frame().await.filter(Message::is_text)
    };
    tokio::select! {
        ended = run.ended() => assert_eq!(ended.map(|session| session.id).as_deref(), Some("abc")),
        Some(frame) = resumed => panic!("{frame:?}"),
    }
}

#[tokio::test]
async fn nothing_is_handed_on_before_the_new_session_is_stored() {
    let fake = Fake::new().await;
    let mut run = Run::start(&fake, None, 16);
    let (mut peer, _) = fake.identified(41_250, "abc").await;
    let FromShard::Ready {
        ack, resumed: false, ..
    } = run.next().await
    else {
        panic!("not ready")
    };
    peer.leaves(2, 2).await;
    let handle = run.handle.clone();
    until("the event is read", || handle.counts().events == 1).await;
    assert!(run.events.try_recv().is_err());
    assert_eq!(run.handle.processed(), 1);
    ack.send(()).unwrap();
    assert_eq!(run.guild().await.0, 2);
}

#[tokio::test]
async fn a_wrong_sequence_number_costs_one_identify_and_no_hot_loop() {
    let fake = Fake::new().await;
    let stored = {
        let mut run = Run::start(&fake, None, 16);
        let (mut peer, _) = fake.identified(41_250, "abc").await;
        let session = run.ready().await.1;
        run.stop.cancel();
        peer.closed().await;
        GatewaySession { seq: 9_999, ..session }
    };
    let mut run = Run::start(&fake, Some(stored), 16);
    let mut peer = fake.hello(41_250).await;
    assert_eq!(peer.expect(6).await["seq"], 9_999);
    peer.close(4007).await;
    assert!(matches!(run.next().await, FromShard::Down { code: Some(4007) }));
    assert!(matches!(run.next().await, FromShard::SessionLost));
    let (_peer, _) = fake.identified(41_250, "new").await;
    assert!(!run.ready().await.0);
    let counts = run.handle.counts();
    assert_eq!((counts.resumes, counts.identifies, counts.ends), (1, 1, 1));
}

#[tokio::test]
async fn an_invalid_session_is_never_closed_with_1000_and_a_new_one_begins() {
    let (fake, mut run, mut peer) = begun().await;
    peer.send(json!({"t": null, "s": null, "op": 9, "d": false})).await;
    assert_eq!(peer.closed().await, None);
    let start = Instant::now();
    assert!(matches!(run.next().await, FromShard::Down { code: None }));
    assert!(matches!(run.next().await, FromShard::SessionLost));
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "told before the wait, not after it"
    );
    let (_peer, _) = fake.identified(41_250, "new").await;
    assert_eq!(run.ready().await.1.id, "new");
}

#[tokio::test]
async fn a_request_to_reconnect_is_followed_at_once_with_a_resume() {
    let (fake, mut run, mut peer) = begun().await;
    peer.send(json!({"t": null, "s": null, "op": 7, "d": null})).await;
    assert_eq!(peer.closed().await, Some(4000));
    let mut peer = fake.hello(41_250).await;
    run.handle.voice(voice(5)).unwrap();
    assert_eq!(peer.expect(6).await["session_id"], "abc");
    peer.dispatch(2, "RESUMED", &json!({})).await;
    assert!(matches!(run.next().await, FromShard::Down { code: None }));
    assert!(run.ready().await.0);
    assert_eq!(
        peer.expect(4).await["guild_id"],
        "5",
        "the session goes on, and with it what was asked"
    );
}

#[tokio::test]
async fn a_refused_token_ends_the_task() {
    let fake = Fake::new().await;
    let mut run = Run::start(&fake, None, 16);
    let mut peer = fake.hello(41_250).await;
    peer.expect(2).await;
    peer.close(4004).await;
    assert!(matches!(run.next().await, FromShard::Down { code: Some(4004) }));
    assert!(matches!(run.next().await, FromShard::Fatal { code: 4004 }));
    assert_eq!(run.handle.state(), ShardState::Fatal(4004));
    run.stop.cancel();
    assert_eq!(run.ended().await, None);
}

#[tokio::test]
async fn voice_requests_need_authority_and_do_not_outlive_their_session() {
    let fake = Fake::new().await;
    let mut run = Run::start(&fake, None, 16);
    run.handle.voice(voice(1)).unwrap();
    let (mut peer, _) = fake.identified(41_250, "abc").await;
    run.ready().await;
    assert_eq!(run.handle.counts().voice_dropped, 1, "asked before the session began");
    run.handle.voice(voice(2)).unwrap();
    let sent = peer.expect(4).await;
    assert_eq!((&sent["guild_id"], &sent["channel_id"]), (&json!("2"), &json!("10")));
    run.authority.0.store(false, Ordering::SeqCst);
    run.handle.voice(voice(3)).unwrap();
    let handle = run.handle.clone();
    until("it is dropped", || handle.counts().voice_dropped == 2).await;
    run.authority.0.store(true, Ordering::SeqCst);
    run.handle.voice(voice(4)).unwrap();
    assert_eq!(peer.expect(4).await["guild_id"], "4");
}

#[tokio::test]
async fn without_authority_no_connection_is_made_and_none_is_closed() {
    let fake = Fake::new().await;
    let mut run = Run::start(&fake, None, 16);
    let (mut peer, _) = fake.identified(150, "abc").await;
    run.ready().await;
    run.authority.0.store(false, Ordering::SeqCst);
    peer.expect(1).await;
    peer.send(json!({"t": null, "s": null, "op": 11, "d": null})).await;
    peer.expect(1).await;
    peer.close(4000).await;
    assert!(matches!(run.next().await, FromShard::Down { code: Some(4000) }));
    assert!(
        timeout(Duration::from_millis(600), fake.listener.accept())
            .await
            .is_err()
    );
    assert_eq!(run.handle.state(), ShardState::Waiting);
    run.authority.0.store(true, Ordering::SeqCst);
    let mut peer = fake.hello(41_250).await;
    peer.expect(6).await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_stops_nothing() {
    let (_fake, mut run, mut peer) = begun().await;
    peer.dispatch(2, "INTERACTION_CREATE", &json!({"token": "secret"}))
        .await;
    peer.dispatch(3, "SOMETHING_NEW", &json!({})).await;
    peer.leaves(4, 2).await;
    assert_eq!(run.guild().await.0, 2);
    assert_eq!(run.handle.counts().malformed, 1);
    assert_eq!(run.handle.processed(), 4);
}

#[tokio::test]
async fn who_comes_and_goes_where_nobody_listens_is_known_and_not_handed_on() {
    let fake = Fake::new().await;
    let mut run = Run::start(&fake, None, 16);
    run.handle.only_heard(|guild| guild.get() == 1);
    let (mut peer, _) = fake.identified(41_250, "abc").await;
    run.ready().await;
    for (seq, guild) in [(2, "2"), (3, "1")] {
        let state = json!({"guild_id": guild, "user_id": "7", "channel_id": "10", "session_id": "s", "deaf": false, "mute": false,
            "self_deaf": false, "self_mute": false, "self_video": false, "suppress": false, "request_to_speak_timestamp": null});
        peer.dispatch(seq, "VOICE_STATE_UPDATE", &state).await;
    }
    let FromShard::Guild { guild, seen, .. } = run.next().await else {
        panic!("not a guild's")
    };
    assert_eq!(guild.get(), 1, "guild 2 is not handed on");
    assert_eq!(run.handle.processed(), 2, "and counts as processed");
    drop(seen);
    for guild in [1, 2] {
        let known = run.handle.voices(Id::new(guild)).unwrap();
        assert_eq!(known.people, [(Id::new(7), Id::new(10))], "guild {guild}");
    }
    // What the bot itself was told is never held back.
    let server = json!({"guild_id": "2", "token": "t", "endpoint": "e"});
    peer.dispatch(4, "VOICE_SERVER_UPDATE", &server).await;
    let FromShard::Guild { guild, .. } = run.next().await else {
        panic!("not a guild's")
    };
    assert_eq!(guild.get(), 2);
}

#[tokio::test]
async fn heartbeats_go_on_while_nobody_takes_the_events() {
    let fake = Fake::new().await;
    let mut run = Run::start(&fake, None, 1);
    let (mut peer, _) = fake.identified(100, "abc").await;
    run.ready().await;
    for seq in 2..200 {
        peer.leaves(seq, seq).await;
    }
    for _ in 0..3 {
        peer.expect(1).await;
        peer.send(json!({"t": null, "s": null, "op": 11, "d": null})).await;
    }
    assert_eq!(run.handle.counts().ends, 0);
    for seq in 2..200 {
        assert_eq!(run.guild().await.0, seq);
    }
}

#[tokio::test]
async fn the_shard_goes_on_reading_however_many_events_are_not_durable_yet() {
    let (_fake, mut run, mut peer) = begun().await;
    let mut held = Vec::new();
    for seq in 2..9_002 {
        peer.leaves(seq, seq).await;
        held.push(run.guild().await.1.pending());
    }
    assert_eq!((held.len(), run.handle.unprocessed()), (9_000, 9_000));
    assert_eq!((run.handle.processed(), run.handle.counts().ends), (1, 0));
    for seen in held {
        seen.processed();
    }
    assert_eq!(run.handle.processed(), 9_001);
}

#[tokio::test]
async fn a_gateway_that_says_nothing_is_left_after_ten_seconds() {
    let fake = Fake::new().await;
    let mut run = Run::start(&fake, None, 16);
    let mut peer = fake.accept().await;
    let start = Instant::now();
    assert!(
        timeout(Duration::from_secs(12), peer.0.next()).await.is_ok(),
        "still connected"
    );
    assert!(start.elapsed() >= Duration::from_secs(9), "{:?}", start.elapsed());
    assert!(matches!(run.next().await, FromShard::Down { code: None }));
    fake.hello(41_250).await.expect(2).await;
}
