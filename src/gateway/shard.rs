//! One shard: connect, resume or identify, hand events on, send op 4, and end in a way that a successor can go on.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use rand::Rng as _;
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use twilight_gateway::error::ReceiveMessageErrorType;
use twilight_gateway::{Config, ConfigBuilder, Message, Session, Shard};
use twilight_model::gateway::payload::outgoing::UpdateVoiceState;
use twilight_model::gateway::payload::outgoing::identify::IdentifyProperties;

use super::connection::{Connection, Slot, Turn, close_resumable, usable};
use super::outbox::{Closed, Outbox};
use super::reconnect::{Ended, Reconnect, Verdict};
use super::sends::Next;
use super::session::SessionKey;
use super::{FromShard, NO_LATENCY, ShardSpec, ShardState, Shared, SharedQueue, lock};
use crate::lifecycle::Authority;
use crate::store::GatewaySession;

/// HELLO, READY and RESUMED have to come within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Most events taken before everything else is looked at again.
const BUNCH: usize = 32;
/// How often authority is asked again while there is none.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How often the task goes round at least, so that one that is stuck can be told.
const TURN: Duration = Duration::from_secs(1);

/// Why the task stops connecting.
enum Over {
    Stopped,
    Fatal,
}

/// A session that lives, as this process knows it.
struct Live {
    id: String,
    resume_url: String,
}

pub(super) struct Task {
    pub(super) spec: ShardSpec,
    pub(super) queue: SharedQueue,
    pub(super) outbox: Outbox,
    pub(super) authority: Arc<dyn Authority>,
    pub(super) shared: Arc<Shared>,
    stop: CancellationToken,
    key: SessionKey,
    live: Option<Live>,
    reconnect: Reconnect,
    pub(super) malformed: HashSet<String>,
    /// Whether the next event of a guild is timed: one of a bunch, so that the clock is not asked for each.
    pub(super) times: bool,
    /// Why the last connection ended.
    pub(super) lost: Option<&'static str>,
}

impl Task {
    pub(super) fn new(
        spec: ShardSpec,
        queue: SharedQueue,
        out: mpsc::Sender<FromShard>,
        authority: Arc<dyn Authority>,
        stop: CancellationToken,
        shared: Arc<Shared>,
    ) -> Self {
        let key = SessionKey::new(spec.shard, spec.intents, &spec.token);
        let mut outbox = Outbox::new(out);
        let live = match &spec.session {
            Some(session) if key.fits(session) => {
                shared.watermark.restart(session.seq);
                Some(Live {
                    id: session.id.clone(),
                    resume_url: session.resume_url.clone(),
                })
            }
            Some(_) => {
                outbox.push(FromShard::SessionLost);
                None
            }
            None => None,
        };
        Self {
            spec,
            queue,
            outbox,
            authority,
            shared,
            stop,
            key,
            live,
            reconnect: Reconnect::default(),
            malformed: HashSet::new(),
            times: false,
            lost: None,
        }
    }

    pub(super) async fn run(mut self) -> Option<GatewaySession> {
        let mut after = Duration::ZERO;
        let over = loop {
            self.set_state(ShardState::Waiting);
            if self.may_connect(after).await.is_break() {
                break Over::Stopped;
            }
            match Box::pin(self.connection()).await {
                ControlFlow::Break(()) => break Over::Stopped,
                ControlFlow::Continue(ended) => match self.after(ended) {
                    Ok(delay) => after = delay,
                    Err(code) => {
                        self.set_state(ShardState::Fatal(code));
                        break Over::Fatal;
                    }
                },
            }
        };
        self.finish(&over).await
    }

    /// Waits for the delay and for authority. Breaks on `stop`.
    async fn may_connect(&mut self, after: Duration) -> ControlFlow<()> {
        let mut at = Instant::now() + after;
        loop {
            self.shared.turns.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return ControlFlow::Break(()),
                delivered = self.outbox.deliver() => if delivered == Err(Closed) {
                    return ControlFlow::Break(());
                },
                () = sleep_until(at.min(Instant::now() + TURN)) => {}
            }
            if Instant::now() < at {
                continue;
            }
            if self.authority.check().is_ok() {
                return ControlFlow::Continue(());
            }
            at = Instant::now() + ASK_AGAIN;
        }
    }

    /// One connection from its beginning to its end. Breaks on `stop`.
    async fn connection(&mut self) -> ControlFlow<(), Ended> {
        let mut connection = match self.connect() {
            Ok(connection) => connection,
            Err(ended) => return ControlFlow::Continue(ended),
        };
        self.set_state(ShardState::Connecting);
        loop {
            let turn = Instant::now() + TURN;
            self.shared.turns.fetch_add(1, Ordering::Relaxed);
            let look_again = self.send_voice(&connection.shard);
            let full = self.outbox.is_full();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.leave(connection).await,
                delivered = self.outbox.deliver() => if delivered == Err(Closed) {
                    return self.leave(connection).await;
                },
                granted = connection.turn.came() => self.identify(&mut connection, granted),
                () = at(connection.overdue), if !full => return ControlFlow::Continue(Ended::Silent),
                () = self.shared.asked.notified() => {}
                () = at(look_again) => {}
                () = sleep_until(turn) => {}
                item = connection.shard.next(), if !full => {
                    if let Some(ended) = self.items(&mut connection, item) {
                        if ended == Ended::Asked {
                            close_resumable(&mut connection.shard).await;
                        }
                        return ControlFlow::Continue(ended);
                    }
                    self.note_latency(&connection.shard);
                    self.take_question(&mut connection);
                }
            }
        }
    }

    /// Only a session needs a close frame; anything earlier is simply dropped.
    async fn leave(&self, mut connection: Connection) -> ControlFlow<(), Ended> {
        if connection.shard.state().is_identified() {
            close_resumable(&mut connection.shard).await;
        }
        ControlFlow::Break(())
    }

    fn connect(&mut self) -> Result<Connection, Ended> {
        let (ask, questions) = mpsc::channel(1);
        let mut builder = ConfigBuilder::new(self.spec.token.expose_secret().to_owned(), self.spec.intents)
            .identify_properties(IdentifyProperties::new(
                "segue",
                format!("segue/{}", self.spec.member),
                std::env::consts::OS,
            ))
            .queue(Slot(ask));
        if let Some(url) = &self.spec.gateway_url {
            let url = usable(url).ok_or(Ended::Unreachable)?;
            builder = builder.proxy_url(url);
        }
        if let Some(live) = &self.live {
            let seq = self.shared.watermark.received();
            builder = builder.session(Session::new(seq, live.id.clone()));
            // After a failure the general address is tried in turn, because the session's own may be gone.
            if let (Some(url), true) = (usable(&live.resume_url), self.reconnect.use_resume_url()) {
                builder = builder.resume_url(url);
            }
        }
        let config: Config<Slot> = builder.build();
        Ok(Connection {
            shard: Shard::with_config(self.spec.shard, config),
            questions,
            turn: Turn::Not,
            overdue: Some(Instant::now() + PATIENCE),
            resuming: self.live.is_some(),
            greeted: false,
        })
    }

    /// twilight asked for a ticket: asks the real queue.
    fn take_question(&self, connection: &mut Connection) {
        if let Ok(grant) = connection.questions.try_recv() {
            connection.turn = Turn::Asked(grant, self.queue.enqueue(self.spec.shard.number()));
        }
    }

    /// The queue answered, or it is time to ask it again. Without authority a ticket is not used.
    fn identify(&self, connection: &mut Connection, granted: bool) {
        connection.turn = match std::mem::replace(&mut connection.turn, Turn::Not) {
            Turn::Not => Turn::Not,
            // A ticket that cannot be used would be wasted, so it is not even asked for.
            Turn::Later(grant, _) if self.authority.check().is_ok() => {
                Turn::Asked(grant, self.queue.enqueue(self.spec.shard.number()))
            }
            Turn::Asked(grant, _) if granted && self.authority.check().is_ok() => {
                lock(&self.shared.counts).identifies += 1;
                connection.overdue = Some(Instant::now() + PATIENCE);
                let _gone = grant.send(());
                Turn::Not
            }
            Turn::Asked(grant, _) | Turn::Later(grant, _) => Turn::Later(grant, Instant::now() + ASK_AGAIN),
        };
    }

    /// Takes what came and what else is there already: to ask everything else between two events costs as much as an event.
    /// Ends the connection when it returns `Some`.
    fn items(
        &mut self,
        connection: &mut Connection,
        first: Option<Result<Message, twilight_gateway::error::ReceiveMessageError>>,
    ) -> Option<Ended> {
        let (mut next, mut taken) = (Some(first), 0);
        self.times = true;
        while let Some(item) = next {
            if let Some(ended) = self.item(connection, item) {
                return Some(ended);
            }
            taken += 1;
            let more = taken < BUNCH && !self.outbox.is_full();
            next = more.then(|| connection.shard.next().now_or_never()).flatten();
        }
        None
    }

    /// Ends the connection when it returns `Some`.
    fn item(
        &mut self,
        connection: &mut Connection,
        item: Option<Result<Message, twilight_gateway::error::ReceiveMessageError>>,
    ) -> Option<Ended> {
        match item {
            None => Some(Ended::Closed(None)),
            Some(Ok(Message::Close(frame))) => Some(Ended::Closed(frame.map(|frame| frame.code))),
            Some(Ok(Message::Text(text))) => self.text(connection, text),
            Some(Err(error)) => match error.kind() {
                ReceiveMessageErrorType::Reconnect => {
                    tracing::warn!(shard = self.spec.shard.number(), "cannot reach Discord's gateway");
                    Some(Ended::Unreachable)
                }
                ReceiveMessageErrorType::Deserializing { .. } => {
                    self.note_malformed("frame");
                    None
                }
                ReceiveMessageErrorType::Compression | _ => Some(Ended::Closed(None)),
            },
        }
    }

    /// READY: a new session. What was asked of the one before is not sent on this one.
    pub(super) fn new_session(&mut self, id: String, resume_url: String) {
        let dropped = lock(&self.shared.sends).discard();
        lock(&self.shared.counts).voice_dropped += dropped as u64;
        self.live = Some(Live { id, resume_url });
    }

    /// READY or RESUMED arrived.
    pub(super) fn ready(&mut self, connection: &mut Connection, resumed: bool) {
        self.reconnect.succeeded();
        if let Some(reason) = self.lost.take() {
            self.shared.tally.reconnected(reason, resumed);
        }
        connection.overdue = None;
        self.set_state(ShardState::Active);
        let Some(session) = self.session() else { return };
        self.outbox.push_gated(|ack| FromShard::Ready { resumed, session, ack });
    }

    /// Sends what may be sent. Returns when to look again.
    fn send_voice(&self, shard: &Shard<Slot>) -> Option<Instant> {
        if shard.state() != twilight_gateway::ShardState::Active {
            return None;
        }
        loop {
            let mut sends = lock(&self.shared.sends);
            if sends.waiting() == 0 {
                return None;
            }
            if self.authority.check().is_err() {
                lock(&self.shared.counts).voice_dropped += sends.discard() as u64;
                return None;
            }
            match sends.next(Instant::now()) {
                Next::Idle => return None,
                Next::Wait(at) => return Some(at),
                Next::Send(request) => {
                    lock(&self.shared.counts).voice_sent += 1;
                    shard.command(&UpdateVoiceState::new(request.guild, request.channel, true, false));
                }
            }
        }
    }

    /// Decides what comes after a connection; `Err` when nothing may.
    fn after(&mut self, ended: Ended) -> Result<Duration, u16> {
        let jitter = rand::rng().random_range(0.0..1.0);
        let verdict = self.reconnect.ended(ended, self.live.is_some(), Instant::now(), jitter);
        lock(&self.shared.counts).ends += 1;
        self.lost = Some(ended.word());
        self.shared.latency_ms.store(NO_LATENCY, Ordering::Relaxed);
        tracing::info!(
            shard = self.spec.shard.number(),
            ?ended,
            ?verdict,
            "gateway connection ended"
        );
        self.outbox.push(FromShard::Down { code: ended.code() });
        match verdict {
            Verdict::Fatal(code) => {
                self.outbox.push(FromShard::Fatal { code });
                Err(code)
            }
            Verdict::Again { after, forget } => {
                if forget {
                    self.live = None;
                    self.outbox.push(FromShard::SessionLost);
                }
                Ok(after)
            }
        }
    }

    /// The session for whoever goes on with it, up to what is processed now.
    fn session(&self) -> Option<GatewaySession> {
        let live = self.live.as_ref()?;
        Some(
            self.key
                .session(&live.id, &live.resume_url, self.shared.watermark.processed()),
        )
    }

    async fn finish(mut self, over: &Over) -> Option<GatewaySession> {
        let dropped = lock(&self.shared.sends).discard();
        lock(&self.shared.counts).voice_dropped += dropped as u64;
        match over {
            Over::Fatal => {
                while !self.outbox.is_empty() {
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        delivered = self.outbox.deliver() => if delivered.is_err() { break },
                    }
                }
                None
            }
            Over::Stopped => {
                self.outbox.leave();
                self.set_state(ShardState::Closed);
                self.session()
            }
        }
    }

    pub(super) fn set_state(&self, state: ShardState) {
        self.shared.state.send_if_modified(|now| {
            let changed = *now != state;
            *now = state;
            changed
        });
    }

    fn note_latency(&self, shard: &Shard<Slot>) {
        if let Some(latest) = shard.latency().recent().first() {
            let ms = u64::try_from(latest.as_millis()).unwrap_or(NO_LATENCY);
            self.shared.latency_ms.store(ms, Ordering::Relaxed);
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
