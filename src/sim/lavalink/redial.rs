//! What a node does when Discord closes a voice connection: with some codes it logs in again and says nothing.

use std::sync::Arc;

use serde_json::json;

use super::life::{Life, State};
use crate::sim::voice::{Answer, Closed, Minted};

/// How often it logs in again, without a pause between (N16).
const ATTEMPTS: u32 = 4;

/// Close codes after which koe tries again by itself.
fn may_retry(code: u16) -> bool {
    matches!(
        code,
        1001 | 1006 | 4000..=4003 | 4005 | 4009 | 4012 | 4015 | 4016 | 4020 | 4900
    )
}

impl Life {
    /// A voice connection belongs to a player from now on.
    pub(super) fn own_link(&self, state: &mut State, session: &Arc<str>, guild: u64, link: u64, answer: Answer) {
        state.links.insert(link, (Arc::clone(session), guild));
        match answer {
            Answer::Heard => self.shared.audio.link_opened(guild, link),
            Answer::Unheard => {
                state.unheard.insert(link);
            }
            Answer::Refused(_) => {}
        }
    }

    /// Discord closed a connection.
    pub(super) fn link_closed(&self, gone: Closed) {
        let mut state = self.state();
        let Some((session, guild)) = state.links.get(&gone.link).cloned() else {
            return;
        };
        let player = state.sessions.get(&session).and_then(|entry| entry.players.get(&guild));
        let Some((connected, offered)) = player.map(|player| (player.connected(), player.offered())) else {
            state.links.remove(&gone.link);
            return;
        };
        let code = match offered.map(|offered| self.redial(&session, &gone, &offered)) {
            Some(Ok(())) => {
                if !connected {
                    self.shared.audio.link_opened(guild, gone.link);
                    self.change(&mut state, &session, guild, |player, now, fx| {
                        player.reconnected(now, gone.link, fx);
                    });
                }
                return;
            }
            Some(Err(code)) => code,
            None => gone.code,
        };
        state.links.remove(&gone.link);
        self.change(&mut state, &session, guild, |player, now, fx| {
            player.disconnected(now, gone.link, code, fx);
        });
    }

    /// Logs in again where that may help; fails with the code that is to be told.
    fn redial(&self, session: &str, gone: &Closed, offered: &Minted) -> Result<(), u16> {
        let mut code = gone.code;
        for attempt in 1..=ATTEMPTS {
            if !may_retry(code) {
                break;
            }
            let answer = self
                .shared
                .switchboard
                .resume(gone.link, gone.guild, offered, self.closed.clone());
            self.shared.log.append(
                "voice_retry",
                json!({
                    "guild": gone.guild.to_string(), "node": self.name, "session": session, "link": gone.link,
                    "code": code, "attempt": attempt, "accepted": answer.is_ok(),
                }),
            );
            match answer {
                Ok(()) => return Ok(()),
                Err(refused) => code = refused,
            }
        }
        Err(code)
    }
}
