//! The table of commands. A new command is a new entry here, a new [`Name`], and an arm in `parse`.

use super::locale::Wording;
use crate::model::track::QUEUE_LIMIT;

/// Longest `query`, in characters.
pub const QUERY_LIMIT: u16 = 500;
/// Loudest volume, percent.
pub const VOLUME_LIMIT: i64 = 200;
/// The last place in a queue.
#[expect(clippy::cast_possible_wrap, reason = "the limit is a small constant")]
const LAST_PLACE: i64 = QUEUE_LIMIT as i64;

/// Every command there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is described, for people, in the table below")]
pub enum Name {
    Play,
    Pause,
    Resume,
    Skip,
    Previous,
    Stop,
    Seek,
    Volume,
    Loop,
    Shuffle,
    Queue,
    Remove,
    Move,
    Clear,
    NowPlaying,
    Join,
    Leave,
    Settings,
}

/// One command as Discord shows it.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Which.
    pub command: Name,
    /// What people type after the slash.
    pub name: &'static str,
    /// At most 100 characters.
    pub about: Wording,
    /// Required ones first.
    pub options: &'static [OptionDefinition],
}

/// One option of a command.
#[derive(Clone, Copy, Debug)]
pub struct OptionDefinition {
    /// What people see and the parser reads.
    pub name: &'static str,
    /// At most 100 characters.
    pub about: Wording,
    /// Whether the command needs it.
    pub required: bool,
    /// What it holds.
    pub holds: Holds,
}

/// What an option holds, with its limits.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// Words.
    Text {
        /// In characters.
        longest: u16,
        /// Whether Discord asks the bot while a person types.
        autocomplete: bool,
    },
    /// One of a few words.
    Choice(&'static [Choice]),
    /// A whole number.
    Number {
        /// Smallest.
        from: i64,
        /// Largest.
        to: i64,
    },
    /// Yes or no.
    Switch,
    /// A voice or stage channel.
    VoiceChannel,
}

/// A word to choose.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// What the parser reads.
    pub value: &'static str,
    /// What people see.
    pub label: Wording,
}

/// `query` of `play`.
pub const QUERY: &str = "query";
/// `when` of `play`.
pub const WHEN: &str = "when";
/// `to` of `skip`, `remove` and `move`.
pub const TO: &str = "to";
/// `from` of `remove` and `move`.
pub const FROM: &str = "from";
/// `position` of `seek`.
pub const POSITION: &str = "position";
/// `level` of `volume`.
pub const LEVEL: &str = "level";
/// `mode` of `loop`.
pub const MODE: &str = "mode";
/// `page` of `queue`.
pub const PAGE: &str = "page";
/// `channel` of `join`.
pub const CHANNEL: &str = "channel";
/// `auto-resume` of `settings`.
pub const AUTO_RESUME: &str = "auto-resume";

const fn words(en: &'static str, de: &'static str) -> Wording {
    Wording { en, de }
}

const fn command(
    command: Name,
    name: &'static str,
    about: Wording,
    options: &'static [OptionDefinition],
) -> Definition {
    Definition {
        command,
        name,
        about,
        options,
    }
}

const fn needed(name: &'static str, about: Wording, holds: Holds) -> OptionDefinition {
    OptionDefinition {
        name,
        about,
        required: true,
        holds,
    }
}

const fn optional(name: &'static str, about: Wording, holds: Holds) -> OptionDefinition {
    OptionDefinition {
        name,
        about,
        required: false,
        holds,
    }
}

const fn choice(value: &'static str, label: Wording) -> Choice {
    Choice { value, label }
}

/// The word for [`crate::model::order::When::Queue`].
pub const WHEN_QUEUE: &str = "queue";
/// The word for [`crate::model::order::When::Next`].
pub const WHEN_NEXT: &str = "next";
/// The word for [`crate::model::order::When::Now`].
pub const WHEN_NOW: &str = "now";
/// The word for [`crate::model::record::LoopMode::Off`].
pub const LOOP_OFF: &str = "off";
/// The word for [`crate::model::record::LoopMode::Track`].
pub const LOOP_TRACK: &str = "track";
/// The word for [`crate::model::record::LoopMode::Queue`].
pub const LOOP_QUEUE: &str = "queue";

const WHENS: &[Choice] = &[
    choice(
        WHEN_QUEUE,
        words("At the end of the queue", "Ans Ende der Warteschlange"),
    ),
    choice(WHEN_NEXT, words("Next", "Als Nächstes")),
    choice(WHEN_NOW, words("Now", "Sofort")),
];

const MODES: &[Choice] = &[
    choice(LOOP_OFF, words("Off", "Aus")),
    choice(LOOP_TRACK, words("This track", "Diesen Titel")),
    choice(LOOP_QUEUE, words("The whole queue", "Die ganze Warteschlange")),
];

const PLACE: Holds = Holds::Number {
    from: 1,
    to: LAST_PLACE,
};

/// All commands, in the order people see them documented.
pub const COMMANDS: &[Definition] = &[
    command(
        Name::Play,
        "play",
        words(
            "Play a link, or search for music",
            "Einen Link abspielen oder nach Musik suchen",
        ),
        &[
            needed(
                QUERY,
                words(
                    "A link, or what to search for",
                    "Ein Link oder wonach gesucht werden soll",
                ),
                Holds::Text {
                    longest: QUERY_LIMIT,
                    autocomplete: true,
                },
            ),
            optional(
                WHEN,
                words(
                    "When to play it (at the end of the queue)",
                    "Wann es spielen soll (am Ende der Warteschlange)",
                ),
                Holds::Choice(WHENS),
            ),
        ],
    ),
    command(
        Name::Pause,
        "pause",
        words("Pause the music", "Die Musik anhalten"),
        &[],
    ),
    command(
        Name::Resume,
        "resume",
        words(
            "Go on where the music was paused",
            "Weiterspielen, wo die Musik angehalten wurde",
        ),
        &[],
    ),
    command(
        Name::Skip,
        "skip",
        words(
            "Skip to the next track, or further",
            "Zum nächsten Titel springen oder noch weiter",
        ),
        &[optional(
            TO,
            words(
                "Place in the queue to skip to",
                "Platz in der Warteschlange, zu dem gesprungen wird",
            ),
            PLACE,
        )],
    ),
    command(
        Name::Previous,
        "previous",
        words("Go back to the track before", "Zurück zum vorherigen Titel"),
        &[],
    ),
    command(
        Name::Stop,
        "stop",
        words(
            "Stop the music and empty the queue",
            "Die Musik beenden und die Warteschlange leeren",
        ),
        &[],
    ),
    command(
        Name::Seek,
        "seek",
        words("Jump to a position in the track", "An eine Stelle des Titels springen"),
        &[needed(
            POSITION,
            words("For example 1:23, 83 or 1m23s", "Zum Beispiel 1:23, 83 oder 1m23s"),
            Holds::Text {
                longest: 20,
                autocomplete: false,
            },
        )],
    ),
    command(
        Name::Volume,
        "volume",
        words("Show or change the volume", "Die Lautstärke zeigen oder ändern"),
        &[optional(
            LEVEL,
            words("Percent, 0 to 200", "Prozent, 0 bis 200"),
            Holds::Number {
                from: 0,
                to: VOLUME_LIMIT,
            },
        )],
    ),
    command(
        Name::Loop,
        "loop",
        words(
            "Repeat the track or the queue",
            "Den Titel oder die Warteschlange wiederholen",
        ),
        &[needed(
            MODE,
            words("What to repeat", "Was wiederholt wird"),
            Holds::Choice(MODES),
        )],
    ),
    command(
        Name::Shuffle,
        "shuffle",
        words("Mix the queue", "Die Warteschlange mischen"),
        &[],
    ),
    command(
        Name::Queue,
        "queue",
        words("Show what comes next", "Zeigen, was als Nächstes kommt"),
        &[optional(PAGE, words("Which page", "Welche Seite"), PLACE)],
    ),
    command(
        Name::Remove,
        "remove",
        words("Take tracks out of the queue", "Titel aus der Warteschlange nehmen"),
        &[
            needed(
                FROM,
                words("Place of the (first) track", "Platz des (ersten) Titels"),
                PLACE,
            ),
            optional(TO, words("Place of the last one", "Platz des letzten Titels"), PLACE),
        ],
    ),
    command(
        Name::Move,
        "move",
        words(
            "Move a track within the queue",
            "Einen Titel in der Warteschlange verschieben",
        ),
        &[
            needed(FROM, words("Where it is", "Wo er steht"), PLACE),
            needed(TO, words("Where it goes", "Wohin er soll"), PLACE),
        ],
    ),
    command(
        Name::Clear,
        "clear",
        words(
            "Empty the queue; the current track goes on",
            "Die Warteschlange leeren; der Titel läuft weiter",
        ),
        &[],
    ),
    command(
        Name::NowPlaying,
        "nowplaying",
        words("Show what plays now", "Zeigen, was gerade läuft"),
        &[],
    ),
    command(
        Name::Join,
        "join",
        words(
            "Call the bot into a voice channel",
            "Den Bot in einen Sprachkanal holen",
        ),
        &[optional(
            CHANNEL,
            words("Which one (the one you are in)", "Welchen (den, in dem du bist)"),
            Holds::VoiceChannel,
        )],
    ),
    command(
        Name::Leave,
        "leave",
        words(
            "Send the bot out of the voice channel; the queue is kept",
            "Den Bot wegschicken; die Warteschlange bleibt",
        ),
        &[],
    ),
    command(
        Name::Settings,
        "settings",
        words(
            "Show or change the settings of this server",
            "Die Einstellungen dieses Servers zeigen oder ändern",
        ),
        &[optional(
            AUTO_RESUME,
            words(
                "Go on by itself after an interruption",
                "Nach einer Unterbrechung von selbst weiterspielen",
            ),
            Holds::Switch,
        )],
    ),
];

/// Looks a command up by the name people type.
pub fn find(name: &str) -> Option<&'static Definition> {
    COMMANDS.iter().find(|definition| definition.name == name)
}
