//! What a shard is built from: its gateway, its nodes, and what its guilds share.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::metering;
use super::shard::Shard;
use crate::gateway::{self, FromShard, ShardHandle, ShardSpec};
use crate::guild::{Surroundings, Takeover};
use crate::lavalink::{self, Node, NodeMessage, Opening};
use crate::lifecycle::wall_ms;
use crate::model::ids::ShardId;
use crate::player::Policy;
use crate::store::GatewaySession;

/// Events that may wait between a socket and the guilds.
pub(super) const WAITING: usize = 1_024;

/// A gateway connection, and what it says. Dropped, it is cut without a word, so that its session can be resumed.
pub(super) struct Gateway {
    pub(super) handle: ShardHandle,
    pub(super) events: mpsc::Receiver<FromShard>,
    pub(super) task: JoinSet<Option<GatewaySession>>,
    pub(super) stop: CancellationToken,
    /// Since when it connects, milliseconds since 1970.
    pub(super) since_ms: i64,
}

/// Begins to connect. What is heard waits until somebody listens.
pub(super) fn gateway(start: &Shard) -> Gateway {
    let (out, events) = mpsc::channel(WAITING);
    let (stop, mut task) = (CancellationToken::new(), JoinSet::new());
    let (authority, queue) = (start.member.permit.clone(), Arc::clone(&start.queue));
    let (handle, connecting) = gateway::open(spec(start), queue, out, authority, stop.clone());
    task.spawn(connecting);
    Gateway {
        handle,
        events,
        task,
        stop,
        since_ms: wall_ms(),
    }
}

fn spec(start: &Shard) -> ShardSpec {
    let session = start.claimed.row.session.clone().map(|session| GatewaySession {
        seq: start.claimed.seq.unwrap_or(session.seq),
        ..session
    });
    ShardSpec {
        shard: ShardId::new(start.number, start.identity.shards),
        token: start.process.settings.discord_token.clone(),
        intents: gateway::INTENTS,
        gateway_url: Some(start.identity.gateway_url.clone()),
        session,
        bot: start.identity.user,
        member: start.member.id.clone(),
        now_ms: wall_ms,
    }
}

pub(super) fn nodes(
    start: &Shard,
    out: &mpsc::Sender<NodeMessage>,
    stop: &CancellationToken,
) -> (Arc<[Node]>, Vec<impl Future<Output = ()> + Send + 'static + use<>>) {
    let identity = lavalink::Identity {
        user: start.identity.user,
        member: start.member.id.clone(),
        shard: ShardId::new(start.number, start.identity.shards),
    };
    let (mut nodes, mut tasks) = (Vec::new(), Vec::new());
    for config in start.process.nodes.iter() {
        let opened = lavalink::open(Opening {
            config: config.clone(),
            identity: identity.clone(),
            stored_session: start.claimed.row.lavalink.get(&config.name).cloned(),
            authority: start.member.permit.clone(),
            out: out.clone(),
            metrics: Arc::new(metering::Nodes(Arc::clone(&start.process.metrics))),
            wall: wall_ms,
            stop: stop.clone(),
        });
        match opened {
            Ok((node, task)) => {
                nodes.push(node);
                tasks.push(task);
            }
            Err(error) => {
                tracing::error!(node = %config.name, %error, "the node cannot be used (SEGUE_LAVALINK_NODES)");
            }
        }
    }
    (nodes.into(), tasks)
}

/// `trace`: the span of taking the shard.
pub(super) fn surroundings(
    start: &Shard,
    gateway: ShardHandle,
    nodes: Arc<[Node]>,
    takeover: Arc<Takeover>,
) -> Surroundings {
    let settings = &start.process.settings;
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Surroundings {
        shard: start.number,
        member: start.member.id.clone(),
        permit: start.member.permit.clone(),
        store: Arc::clone(&start.process.store),
        discord: start.process.discord.clone(),
        application: start.identity.application,
        bot: start.identity.user,
        gateway,
        nodes,
        policy: Policy {
            auto_resume: settings.auto_resume,
            restore_max_age_ms: ms(settings.restore_max_age),
            alone_timeout_ms: ms(settings.alone_timeout),
            stabilization_ms: ms(settings.restore_stabilization),
            ..Policy::default()
        },
        metrics: Arc::clone(&start.process.metrics),
        recoveries: start.recoveries.clone(),
        takeover,
        playing: Arc::new(AtomicI64::new(0)),
    }
}
