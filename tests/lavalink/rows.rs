//! Every row that an address is enough for, in the list's order.

mod handshake;
mod players;
mod sessions;
mod voice;

use std::future::Future;
use std::pin::Pin;

use crate::bench::Bench;

/// What a row found: nothing, or how the server differs.
type Verdict<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// A row of the list.
pub(crate) struct Row {
    /// Its id, and what it says.
    pub(crate) name: &'static str,
    /// Whether it needs a voice connection.
    pub(crate) needs_sound: bool,
    /// Whether it waits a minute.
    pub(crate) is_long: bool,
    /// The check.
    pub(crate) check: for<'a> fn(&'a Bench) -> Verdict<'a>,
}

macro_rules! row {
    ($name:literal, $check:path) => {
        row!($name, $check, false, false)
    };
    ($name:literal, sound, $check:path) => {
        row!($name, $check, true, false)
    };
    ($name:literal, long, $check:path) => {
        row!($name, $check, false, true)
    };
    ($name:literal, $check:path, $sound:literal, $long:literal) => {
        Row {
            name: $name,
            needs_sound: $sound,
            is_long: $long,
            check: |bench| Box::pin($check(bench)),
        }
    };
}

/// The rows. Those left out need a hand on the server (L20), on Discord (L12, L13) or a listener's ear (N8, N9).
pub(crate) const ROWS: [Row; 29] = [
    row!("L1 a handshake needs the password and a user", handshake::l1),
    row!("L2 ready comes first, or right after stats", handshake::l2),
    row!("L3 REST without the password is refused with no body", handshake::l3),
    row!("L4 an empty session PATCH reads; unknown is 404", sessions::l4),
    row!("L5 a session that may not be resumed dies at once", sessions::l5),
    row!("L6 a paused session is 404 to REST", sessions::l6),
    row!("L7 a session in time resumes with its players", sessions::l7),
    row!("L8 after the timeout a new session comes", sessions::l8),
    row!("L9 a second socket gets a session of its own", sessions::l9),
    row!("L10 an aborted handshake cancels the timeout", sessions::l10),
    row!("L11 the same voice does nothing, another reconnects", sound, voice::l11),
    row!("L14 a track that nobody pulls ends after a minute", long, players::l14),
    row!("L15 tracks start, are replaced, and stop", players::l15),
    row!("L16 the position advances with the sound", sound, voice::l16),
    row!("L17 an encoded track carries its position", sound, voice::l17),
    row!("L18 what loadtracks answers", players::l18),
    row!("L19 deleting a player is always 204", players::l19),
    row!("L21 stats count the whole node", players::l21),
    row!("L22 a session's events keep their order", players::l22),
    row!("N4 an aborted handshake says it resumed", sessions::n4),
    row!("N6 a restored paused player says 0", players::n6),
    row!("N7 a failed PATCH leaves a player behind", players::n7),
    row!("N10 missing voice keys are a bad request", players::n10),
    row!("N11 a paused player is still told of", sound, voice::n11),
    row!("N14 a user that is no number is closed with 1011", handshake::n14),
    row!(
        "N14 an unknown path is 404 JSON without a password",
        handshake::n14_path
    ),
    row!("N14 a timeout of 0 or less is taken", sessions::n14_timeout),
    row!("N14 loadtracks and decodetrack refuse nonsense", players::n14),
    row!("N15 the ping is -1 without a voice connection", players::n15),
];
