//! Everything that is known to go wrong with Discord, Lavalink and bots, by its id, and where it is done on purpose.
//!
//! `docs/simulator.md` shows the same list with an example for each, and a test compares both.

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The simulated Discord, asked by `POST /faults`.
    Discord,
    /// A simulated node, asked by `POST /faults`.
    Lavalink,
    /// A test harness: it happens to a bot or its store, or an admin or a person does it.
    Harness,
    /// Nobody: a node always behaves so.
    Always,
}

impl Place {
    /// As the document says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Discord => "Discord",
            Self::Lavalink => "Lavalink",
            Self::Harness => "harness",
            Self::Always => "always",
        }
    }
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Injection {
    /// `F1` to `F36` and `N1` to `N16`.
    pub id: &'static str,
    /// Who does it.
    pub place: Place,
    /// The kinds of faults that do it; none where nobody has to.
    pub kinds: &'static [&'static str],
}

const fn at(id: &'static str, place: Place, kinds: &'static [&'static str]) -> Injection {
    Injection { id, place, kinds }
}

const fn discord(id: &'static str, kinds: &'static [&'static str]) -> Injection {
    at(id, Place::Discord, kinds)
}

const fn lavalink(id: &'static str, kinds: &'static [&'static str]) -> Injection {
    at(id, Place::Lavalink, kinds)
}

const fn harness(id: &'static str, kinds: &'static [&'static str]) -> Injection {
    at(id, Place::Harness, kinds)
}

const fn always(id: &'static str) -> Injection {
    at(id, Place::Always, &[])
}

/// All of them.
pub const INJECTIONS: [Injection; 52] = [
    harness("F1", &[]),
    harness("F2", &[]),
    harness("F3", &[]),
    discord("F4", &["flood", "refuse_resume"]),
    discord("F5", &["invalidate_session", "refuse_resume"]),
    discord("F6", &["drop_gateway"]),
    discord("F7", &["reconnect_early", "reconnect_gateway"]),
    discord("F8", &["withhold"]),
    discord("F9", &["withhold"]),
    harness("F10", &[]),
    harness("F11", &["note"]),
    lavalink("F12", &["half_open"]),
    lavalink("F13", &["expire_resume"]),
    harness("F14", &["hang_rest"]),
    harness("F15", &[]),
    lavalink("F16", &["lose_event"]),
    discord("F17", &["voice_parting"]),
    harness("F18", &["voice_parting"]),
    discord("F19", &["reconnect_gateway"]),
    discord("F20", &["expire_session", "voice_lost"]),
    discord("F21", &["hide_endpoint"]),
    discord("F22", &["swallow_op4", "voice_order"]),
    harness("F23", &[]),
    discord("F24", &["silent_voice"]),
    lavalink("F25", &["kill_node", "restart_node"]),
    lavalink("F26", &["fail_rest", "hang_rest", "refuse_voice"]),
    lavalink("F27", &["malformed", "reorder"]),
    lavalink("F28", &["stats_first"]),
    lavalink("F29", &["wrong_header"]),
    discord("F30", &["rate_limit"]),
    discord("F31", &["delay_rest"]),
    discord("F32", &["guild_outage"]),
    discord("F33", &["recommend_shards"]),
    discord("F34", &["identify_budget", "reset_token"]),
    harness("F35", &[]),
    harness("F36", &[]),
    lavalink("N1", &["swallow_voice"]),
    lavalink("N2", &["mute_socket"]),
    lavalink("N3", &["lose_resume"]),
    lavalink("N4", &["wrong_header"]),
    always("N5"),
    always("N6"),
    always("N7"),
    always("N8"),
    always("N9"),
    always("N10"),
    always("N11"),
    always("N12"),
    lavalink("N13", &["echo_close"]),
    always("N14"),
    always("N15"),
    discord("N16", &["refuse_voice_login", "voice_lost"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_there_once_and_every_kind_exists() {
        let wanted = (1..=36)
            .map(|n| format!("F{n}"))
            .chain((1..=16).map(|n| format!("N{n}")));
        assert!(wanted.eq(INJECTIONS.iter().map(|one| one.id.to_owned())));
        let known = crate::sim::fault_kinds();
        for one in INJECTIONS {
            assert!(one.kinds.iter().all(|kind| known.contains(kind)), "{one:?}");
            let done_by_fault = matches!(one.place, Place::Discord | Place::Lavalink);
            assert!(!done_by_fault || !one.kinds.is_empty(), "{one:?}");
        }
    }
}
