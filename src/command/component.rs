//! The custom ids of buttons: `segue:1:ACTION[:ARGUMENT]`. The number is the version; a button of another version or of
//! another bot is refused in words, never guessed at.

use crate::model::ids::InteractionId;
use crate::model::order::Order;

/// Longest custom id Discord takes, in bytes.
pub const CUSTOM_ID_LIMIT: usize = 100;
/// By how much one press of a volume button changes it, percent points.
pub const VOLUME_STEP: i16 = 10;

const PREFIX: &str = "segue:1:";

/// What a button does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentAction {
    /// Back to the track before.
    Previous,
    /// Pause if playing, resume if paused.
    TogglePause,
    /// Go on; does nothing to a player that plays.
    Resume,
    /// To the next track.
    Skip,
    /// End the music.
    Stop,
    /// The next repeat mode.
    Loop,
    /// Mix the queue.
    Shuffle,
    /// Show a page of the queue in a message of its own.
    Queue {
        /// From 1.
        page: u32,
    },
    /// Turn to a page of the queue in the message the button stands under.
    Page {
        /// From 1.
        page: u32,
    },
    /// A step quieter.
    VolumeDown,
    /// A step louder.
    VolumeUp,
}

impl ComponentAction {
    /// The custom id, at most [`CUSTOM_ID_LIMIT`] bytes.
    pub fn encode(self) -> String {
        match self {
            ComponentAction::Queue { page } | ComponentAction::Page { page } => {
                format!("{PREFIX}{}:{page}", self.word())
            }
            ComponentAction::Previous
            | ComponentAction::TogglePause
            | ComponentAction::Resume
            | ComponentAction::Skip
            | ComponentAction::Stop
            | ComponentAction::Loop
            | ComponentAction::Shuffle
            | ComponentAction::VolumeDown
            | ComponentAction::VolumeUp => format!("{PREFIX}{}", self.word()),
        }
    }

    /// Reads a custom id back; `None` for anything this version did not write.
    pub fn decode(custom_id: &str) -> Option<Self> {
        if custom_id.len() > CUSTOM_ID_LIMIT {
            return None;
        }
        let body = custom_id.strip_prefix(PREFIX)?;
        let action = match body.split_once(':') {
            None => match body {
                "previous" => ComponentAction::Previous,
                "toggle_pause" => ComponentAction::TogglePause,
                "resume" => ComponentAction::Resume,
                "skip" => ComponentAction::Skip,
                "stop" => ComponentAction::Stop,
                "loop" => ComponentAction::Loop,
                "shuffle" => ComponentAction::Shuffle,
                "volume_down" => ComponentAction::VolumeDown,
                "volume_up" => ComponentAction::VolumeUp,
                _ => return None,
            },
            Some(("queue", page)) => ComponentAction::Queue {
                page: page.parse().ok()?,
            },
            Some(("page", page)) => ComponentAction::Page {
                page: page.parse().ok()?,
            },
            Some(_) => return None,
        };
        // One spelling per action: `+1` and `01` are not ours.
        (action.encode() == custom_id).then_some(action)
    }

    /// What it asks of the guild; `None` where it only shows something.
    pub fn order(self, interaction: InteractionId) -> Option<Order> {
        match self {
            ComponentAction::Previous => Some(Order::Previous),
            ComponentAction::TogglePause => Some(Order::TogglePause),
            ComponentAction::Resume => Some(Order::Resume),
            ComponentAction::Skip => Some(Order::Skip { to: None }),
            ComponentAction::Stop => Some(Order::Stop),
            ComponentAction::Loop => Some(Order::NextLoop),
            ComponentAction::Shuffle => Some(Order::Shuffle {
                seed: interaction.get(),
            }),
            ComponentAction::VolumeDown => Some(Order::VolumeBy { delta: -VOLUME_STEP }),
            ComponentAction::VolumeUp => Some(Order::VolumeBy { delta: VOLUME_STEP }),
            ComponentAction::Queue { .. } | ComponentAction::Page { .. } => None,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            ComponentAction::Previous => "previous",
            ComponentAction::TogglePause => "toggle_pause",
            ComponentAction::Resume => "resume",
            ComponentAction::Skip => "skip",
            ComponentAction::Stop => "stop",
            ComponentAction::Loop => "loop",
            ComponentAction::Shuffle => "shuffle",
            ComponentAction::Queue { .. } => "queue",
            ComponentAction::Page { .. } => "page",
            ComponentAction::VolumeDown => "volume_down",
            ComponentAction::VolumeUp => "volume_up",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_action() -> impl Strategy<Value = ComponentAction> {
        prop_oneof![
            Just(ComponentAction::Previous),
            Just(ComponentAction::TogglePause),
            Just(ComponentAction::Resume),
            Just(ComponentAction::Skip),
            Just(ComponentAction::Stop),
            Just(ComponentAction::Loop),
            Just(ComponentAction::Shuffle),
            any::<u32>().prop_map(|page| ComponentAction::Queue { page }),
            any::<u32>().prop_map(|page| ComponentAction::Page { page }),
            Just(ComponentAction::VolumeDown),
            Just(ComponentAction::VolumeUp),
        ]
    }

    proptest! {
        #[test]
        fn every_action_survives_its_custom_id(action in any_action()) {
            let id = action.encode();
            prop_assert!(id.len() <= CUSTOM_ID_LIMIT);
            prop_assert_eq!(ComponentAction::decode(&id), Some(action));
        }

        #[test]
        fn whatever_is_read_is_written_the_same_way(id in "(segue:1:)?[a-z_:0-9+]{0,110}") {
            if let Some(action) = ComponentAction::decode(&id) {
                prop_assert_eq!(action.encode(), id);
            }
        }
    }

    #[test]
    fn strangers_and_other_versions_are_not_read() {
        let strangers = [
            "",
            "segue",
            "segue:1:",
            "segue:2:skip",
            "segue:1:skip:1",
            "segue:1:queue",
            "segue:1:queue:",
            "segue:1:queue:-1",
            "segue:1:queue:01",
            "segue:1:queue:+1",
            "segue:1:queue:4294967296",
            "segue:1:page:1:2",
            "SEGUE:1:skip",
            "skip",
        ];
        for id in strangers {
            assert_eq!(ComponentAction::decode(id), None, "{id:?}");
        }
        assert_eq!(ComponentAction::decode(&format!("segue:1:{}", "x".repeat(200))), None);
    }
}
