//! Discord's voice servers as both sides see them: Discord mints credentials, nodes connect with them.

use std::collections::{HashMap, HashSet};
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

/// How a voice server took a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is open and heard.
    Heard,
    /// It is open, and what it carries is heard by nobody: another channel's encryption, or a fault.
    Unheard,
    /// The handshake was made and then closed with this code.
    Refused(u16),
}

/// Session is no longer valid.
const STALE: u16 = 4006;

/// Who may speak where. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Switchboard(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    minted: HashMap<u64, Minted>,
    links: HashMap<u64, Link>,
    next_link: u64,
    /// Guilds whose voice server closes every login with a code.
    refusing: HashMap<u64, u16>,
    /// Guilds whose new connections nobody hears.
    unheard: HashSet<u64>,
}

impl State {
    fn answer(&self, guild: u64, offered: &Minted) -> Answer {
        if let Some(code) = self.refusing.get(&guild) {
            return Answer::Refused(*code);
        }
        let Some(minted) = self.minted.get(&guild) else {
            return Answer::Refused(STALE);
        };
        let elsewhere = minted.channel != offered.channel;
        let rest = (&minted.token, &minted.endpoint, &minted.session_id);
        if rest != (&offered.token, &offered.endpoint, &offered.session_id) {
            Answer::Refused(STALE)
        } else if elsewhere || self.unheard.contains(&guild) {
            Answer::Unheard
        } else {
            Answer::Heard
        }
    }
}

#[derive(Debug)]
struct Link {
    guild: u64,
    closed: mpsc::UnboundedSender<Closed>,
}

impl Switchboard {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Discord: new credentials for a guild; those before are stale from now on. Open links stay until closed.
    pub fn mint(&self, guild: u64, minted: Minted) {
        self.with(|state| state.minted.insert(guild, minted));
    }

    /// The credentials of a guild that hold now.
    pub fn minted(&self, guild: u64) -> Option<Minted> {
        self.with(|state| state.minted.get(&guild).cloned())
    }

    /// Discord: the guild's voice connection ends (kick, move, session gone); every link is closed with `code`, and
    /// with `forget` the credentials are void.
    pub fn close(&self, guild: u64, code: u16, forget: bool) {
        if forget {
            self.forget(guild);
        }
        self.close_links(&self.links(guild), code);
    }

    /// Discord: the credentials of a guild are void; open links stay until closed.
    pub fn forget(&self, guild: u64) {
        self.with(|state| state.minted.remove(&guild));
    }

    /// The open links of a guild.
    pub fn links(&self, guild: u64) -> Vec<u64> {
        self.with(|state| {
            let of_guild = state.links.iter().filter(|(_, link)| link.guild == guild);
            of_guild.map(|(id, _)| *id).collect()
        })
    }

    /// Discord closes these links.
    pub fn close_links(&self, links: &[u64], code: u16) {
        self.with(|state| {
            for id in links {
                if let Some(link) = state.links.remove(id) {
                    let (guild, id) = (link.guild, *id);
                    // A node that died hears nothing.
                    link.closed.send(Closed { guild, link: id, code }).ok();
                }
            }
        });
    }

    /// From now on the guild's voice server closes every login with `code`; with none it lets them in again.
    pub fn refuse(&self, guild: u64, code: Option<u16>) {
        self.with(|state| match code {
            Some(code) => drop(state.refusing.insert(guild, code)),
            None => drop(state.refusing.remove(&guild)),
        });
    }

    /// Whether nobody hears connections that are made from now on.
    pub fn hush(&self, guild: u64, on: bool) {
        self.with(|state| {
            if on {
                state.unheard.insert(guild);
            } else {
                state.unheard.remove(&guild);
            }
        });
    }

    /// A node connects. The handshake always succeeds, as with Discord; stale credentials are closed with 4006 at once.
    pub fn connect(&self, guild: u64, offered: &Minted, closed: mpsc::UnboundedSender<Closed>) -> (u64, Answer) {
        self.with(|state| {
            state.next_link += 1;
            let id = state.next_link;
            let answer = state.answer(guild, offered);
            match answer {
                Answer::Refused(code) => {
                    closed.send(Closed { guild, link: id, code }).ok();
                }
                Answer::Heard | Answer::Unheard => drop(state.links.insert(id, Link { guild, closed })),
            }
            (id, answer)
        })
    }

    /// A node logs in again on a connection that was closed; it keeps its number.
    ///
    /// # Errors
    /// The code that the voice server closes with.
    pub fn resume(
        &self,
        link: u64,
        guild: u64,
        offered: &Minted,
        closed: mpsc::UnboundedSender<Closed>,
    ) -> Result<(), u16> {
        self.with(|state| match state.answer(guild, offered) {
            Answer::Refused(code) => Err(code),
            Answer::Heard | Answer::Unheard => {
                state.links.insert(link, Link { guild, closed });
                Ok(())
            }
        })
    }

    /// A node hangs up.
    pub fn disconnect(&self, link: u64) {
        self.with(|state| state.links.remove(&link));
    }
}
