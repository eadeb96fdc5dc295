//! Discord's voice servers as both sides see them: Discord mints credentials, nodes connect with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

/// The credentials of one voice connection of one gateway session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// Secret of the connection.
    pub token: String,
    /// `host:port`.
    pub endpoint: String,
    /// The gateway session that asked.
    pub session_id: String,
    /// The voice channel.
    pub channel: u64,
}

/// Discord closed a node's voice connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The guild.
    pub guild: u64,
    /// The connection, as [`Switchboard::connect`] named it.
    pub link: u64,
    /// A voice close code (4006, 4014, 4022, …).
    pub code: u16,
}

/// Who may speak where. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Switchboard(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    minted: HashMap<u64, Minted>,
    links: HashMap<u64, Link>,
    next_link: u64,
}

#[derive(Debug)]
struct Link {
    guild: u64,
    closed: mpsc::UnboundedSender<Closed>,
}

impl Switchboard {
    /// Discord: new credentials for a guild; those before are stale from now on. Open links stay until closed.
    pub fn mint(&self, guild: u64, minted: Minted) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .minted
            .insert(guild, minted);
    }

    /// The credentials of a guild that hold now.
    pub fn minted(&self, guild: u64) -> Option<Minted> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .minted
            .get(&guild)
            .cloned()
    }

    /// Discord: the guild's voice connection ends (kick, move, session gone); every link is closed with `code`, and
    /// with `forget` the credentials are void.
    pub fn close(&self, guild: u64, code: u16, forget: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if forget {
            state.minted.remove(&guild);
        }
        let ended: Vec<u64> = state
            .links
            .iter()
            .filter(|(_, link)| link.guild == guild)
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            if let Some(link) = state.links.remove(&id) {
                let _ = link.closed.send(Closed { guild, link: id, code });
            }
        }
    }

    /// A node connects. The handshake always succeeds, as with Discord; stale credentials are closed with 4006 at once.
    pub fn connect(&self, guild: u64, offered: &Minted, closed: mpsc::UnboundedSender<Closed>) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.next_link += 1;
        let id = state.next_link;
        if state.minted.get(&guild).is_some_and(|minted| minted == offered) {
            state.links.insert(id, Link { guild, closed });
        } else {
            let _ = closed.send(Closed {
                guild,
                link: id,
                code: 4006,
            });
        }
        id
    }

    /// A node hangs up.
    pub fn disconnect(&self, link: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .links
            .remove(&link);
    }

    /// Whether a link is open.
    pub fn is_open(&self, link: u64) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .links
            .contains_key(&link)
    }
}
