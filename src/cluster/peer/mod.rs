//! Members among themselves: each keeps a TCP connection to each other. That it ends is the quickest sign of a death; what
//! is said on it means at most "look in the store".

mod line;
mod listen;
mod watch;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::line::Line;
use super::coordinator::event::Event;
use super::permit::Clock;
use crate::model::ids::MemberId;

/// Lines that may wait for one member.
const WAITING: usize = 16;

/// The address that others are told: what the operator says, with the listener's port where that has none, or the
/// listener's own.
pub fn address(advertised: Option<&str>, listener: SocketAddr) -> String {
    let Some(advertised) = advertised else {
        return listener.to_string();
    };
    if let Ok(ip) = advertised.parse::<std::net::IpAddr>() {
        return SocketAddr::new(ip, listener.port()).to_string();
    }
    match advertised.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => advertised.to_owned(),
        Some(_) | None => format!("{advertised}:{}", listener.port()),
    }
}

/// The address of another listener of this process: its own, or, where it listens on every interface, the host of `peer_at`,
/// which others are told, with the listener's port.
pub fn beside(peer_at: &str, listener: SocketAddr) -> String {
    match peer_at.rsplit_once(':') {
        Some((host, _)) if listener.ip().is_unspecified() => format!("{host}:{}", listener.port()),
        _ => listener.to_string(),
    }
}

/// What both sides of every connection know of this member.
#[derive(Clone, Debug)]
struct Here {
    me: MemberId,
    clock: Clock,
    /// When the last renewal that is stored was sent.
    renewed_ms: Arc<AtomicI64>,
    events: mpsc::Sender<Event>,
}

impl Here {
    /// Says something to the coordinator; when that has no room, it has enough reason to look anyway.
    fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            tracing::debug!("the coordinator has enough to do");
        }
    }

    fn hello(&self) -> Line {
        Line::Hello(self.me.clone())
    }

    fn renewed(&self) -> Line {
        let age_ms = self.clock.now_ms() - self.renewed_ms.load(Ordering::SeqCst);
        Line::Renewed { age_ms: age_ms.max(0) }
    }
}

/// The connections to the others.
#[derive(Debug)]
pub(super) struct Peers {
    here: Here,
    links: HashMap<MemberId, Link>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Link {
    address: String,
    say: mpsc::Sender<Line>,
    stop: CancellationToken,
}

impl Peers {
    /// Begins to listen. Dropping it ends everything.
    pub(super) fn new(me: MemberId, clock: Clock, listener: Arc<TcpListener>, events: mpsc::Sender<Event>) -> Self {
        let renewed_ms = Arc::new(AtomicI64::new(clock.now_ms()));
        let here = Here {
            me,
            clock,
            renewed_ms,
            events,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(listen::serve(listener, here.clone()));
        Self {
            here,
            links: HashMap::new(),
            tasks,
        }
    }

    /// Connects to each of these and to no others.
    pub(super) fn watch(&mut self, members: Vec<(MemberId, String)>) {
        while self.tasks.try_join_next().is_some() {}
        self.links.retain(|id, link| {
            let stays = members
                .iter()
                .any(|(member, address)| member == id && *address == link.address);
            if !stays {
                link.stop.cancel();
            }
            stays
        });
        for (id, address) in members {
            if id == self.here.me || self.links.contains_key(&id) {
                continue;
            }
            let (say, lines) = mpsc::channel(WAITING);
            let stop = CancellationToken::new();
            let watch = watch::Watch::new(self.here.clone(), id.clone(), address.clone(), lines);
            let until = stop.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = until.cancelled() => {}
                    () = watch.run() => {}
                }
            });
            self.links.insert(id, Link { address, say, stop });
        }
    }

    pub(super) fn poke(&self, members: &[MemberId]) {
        for link in members.iter().filter_map(|id| self.links.get(id)) {
            // Where there is no room, the same is already on its way.
            let _full = link.say.try_send(Line::Look);
        }
    }

    pub(super) fn ask(&self) {
        for link in self.links.values() {
            let _full = link.say.try_send(Line::AskRenewed);
        }
    }

    pub(super) fn renewed(&self, sent_ms: i64) {
        self.here.renewed_ms.fetch_max(sent_ms, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
