//! The sentence on top of the page: what is now, and what the last thing that happened did to the listeners. Pure.

use serde::Serialize;

/// Two sentences; the page puts the age between `what` and `then`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Headline {
    /// What is.
    pub now: String,
    /// What happened last.
    pub last: Option<Last>,
}

/// The last thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Last {
    /// "The bot was killed".
    pub what: String,
    /// When.
    pub at_ms: u64,
    /// ": 20 guilds carried on, nobody heard a gap."
    pub then: String,
}

/// Something that happened to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// SIGKILL by the page.
    Killed {
        /// Which replica.
        replica: String,
    },
    /// SIGTERM by the page.
    Stopped {
        /// Which replica.
        replica: String,
    },
    /// SIGSTOP by the page.
    Frozen {
        /// Which replica.
        replica: String,
    },
    /// SIGCONT by the page.
    Thawed {
        /// Which replica.
        replica: String,
    },
    /// Cut off from its store by the page.
    Cut {
        /// Which replica.
        replica: String,
    },
    /// Its store is there again.
    Reconnected {
        /// Which replica.
        replica: String,
    },
    /// Every replica was stopped and started, one after the other.
    Rolled,
    /// A replica ended unasked.
    Died {
        /// Which replica.
        replica: String,
        /// What ended it, unless it exited.
        signal: Option<i32>,
    },
    /// A node was killed by the page.
    NodeKilled {
        /// Which.
        node: String,
    },
    /// A node was started again by the page.
    NodeBack {
        /// Which.
        node: String,
    },
    /// Discord forgot a session.
    SessionExpired {
        /// Which.
        shard: u64,
    },
}

impl Event {
    /// As a sentence's beginning. `only` tells that there is but one replica.
    pub fn said(&self, only: bool) -> String {
        let the = |replica: &str| {
            if only {
                "The bot".to_owned()
            } else {
                format!("Replica {replica}")
            }
        };
        match self {
            Self::Killed { replica } => format!("{} was killed", the(replica)),
            Self::Stopped { replica } => format!("{} was asked to stop", the(replica)),
            Self::Frozen { replica } => format!("{} was frozen", the(replica)),
            Self::Thawed { replica } => format!("{} was thawed", the(replica)),
            Self::Cut { replica } => format!("{} was cut off from the database", the(replica)),
            Self::Reconnected { replica } => format!("{} reaches the database again", the(replica)),
            Self::Rolled => "All replicas were asked to restart, one after the other,".to_owned(),
            Self::Died { replica, signal: None } => format!("{} ended by itself", the(replica)),
            Self::Died {
                replica,
                signal: Some(signal),
            } => format!("{} was ended by signal {signal}", the(replica)),
            Self::NodeKilled { node } => format!("Node {node} was killed"),
            Self::NodeBack { node } => format!("Node {node} was started again"),
            Self::SessionExpired { shard } => format!("Discord forgot the session of shard {shard}"),
        }
    }

    /// As a label of a line through the strips.
    pub fn label(&self, only: bool) -> String {
        let the = |replica: &str| {
            if only {
                "bot".to_owned()
            } else {
                format!("replica {replica}")
            }
        };
        match self {
            Self::Killed { replica } => format!("kill -9 {}", the(replica)),
            Self::Stopped { replica } => format!("stop {}", the(replica)),
            Self::Frozen { replica } => format!("freeze {}", the(replica)),
            Self::Thawed { replica } => format!("thaw {}", the(replica)),
            Self::Cut { replica } => format!("cut {} off", the(replica)),
            Self::Reconnected { replica } => format!("connect {}", the(replica)),
            Self::Rolled => "roll".to_owned(),
            Self::Died { replica, .. } => format!("{} died", the(replica)),
            Self::NodeKilled { node } => format!("kill node {node}"),
            Self::NodeBack { node } => format!("node {node} is back"),
            Self::SessionExpired { .. } => "session expired".to_owned(),
        }
    }
}

/// What is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scene {
    /// All guilds.
    pub guilds: usize,
    /// Those that are audible.
    pub playing: usize,
    /// All replicas, and those that run.
    pub replicas: (usize, usize),
    /// All nodes, and those that run.
    pub nodes: (usize, usize),
    /// Guilds that had a gap in the last two minutes.
    pub with_gaps: usize,
}

/// What the last event did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effect {
    /// Guilds that were audible when it happened.
    pub audible: usize,
    /// Of those, guilds with a gap since, and the longest one in milliseconds.
    pub broken: usize,
    /// The longest gap of those, in milliseconds.
    pub longest_ms: u64,
    /// Whether commands are answered.
    pub commands: Commands,
}

/// What an event did to commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Commands {
    /// No shard was taken away.
    #[default]
    Untouched,
    /// A shard that was taken away is not ready again.
    Away,
    /// Every shard is ready again.
    Back {
        /// From the event until the last of them was.
        after_ms: u64,
    },
}

/// What is, in one sentence.
pub fn now(scene: Scene) -> String {
    let Scene {
        guilds,
        playing,
        replicas: (all, up),
        nodes: (nodes, nodes_up),
        with_gaps,
    } = scene;
    if guilds == 0 {
        return "Discord and Lavalink are being simulated; no guilds yet.".to_owned();
    }
    let hear = if playing == guilds {
        format!("Music plays in all {}", count(guilds, "guild"))
    } else {
        format!("Music plays in {playing} of {}", count(guilds, "guild"))
    };
    if playing == 0 && with_gaps == 0 {
        return format!("None of {} plays music right now.", count(guilds, "guild"));
    }
    let gaps = match with_gaps {
        0 => ", and nobody heard a gap in the last two minutes".to_owned(),
        1 => "; one of them had a gap in the last two minutes".to_owned(),
        some => format!("; {some} of them had a gap in the last two minutes"),
    };
    let missing = match (all - up.min(all), nodes - nodes_up.min(nodes)) {
        (0, 0) => String::new(),
        (down, 0) if all == 1 && down == 1 => " while no bot is running".to_owned(),
        (0, down) => format!(" with {} down", count(down, "node")),
        (down, 0) => format!(" with {} down", count(down, "replica")),
        (down, lost) => format!(" with {} and {} down", count(down, "replica"), count(lost, "node")),
    };
    format!("{hear}{missing}{gaps}.")
}

/// What an event did, as the end of a sentence.
pub fn then(effect: Effect) -> String {
    let Effect {
        audible,
        broken,
        longest_ms,
        commands,
    } = effect;
    let heard = match (audible, broken) {
        (0, _) => "nothing was playing".to_owned(),
        (all, 0) => format!("{} carried on, nobody heard a gap", count(all, "guild")),
        (all, broken) => format!(
            "{} of {} carried on, {broken} heard a gap of at most {}",
            all.saturating_sub(broken),
            count(all, "guild"),
            seconds(longest_ms)
        ),
    };
    let back = match commands {
        Commands::Back { after_ms } => format!(", commands were back after {}", seconds(after_ms)),
        Commands::Away => ", commands are not back yet".to_owned(),
        Commands::Untouched => String::new(),
    };
    format!(": {heard}{back}.")
}

fn count(number: usize, word: &str) -> String {
    if number == 1 {
        format!("{number} {word}")
    } else {
        format!("{number} {word}s")
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_WELL: Scene = Scene {
        guilds: 20,
        playing: 20,
        replicas: (1, 1),
        nodes: (2, 2),
        with_gaps: 0,
    };

    #[test]
    fn what_is_reads_like_a_sentence() {
        assert_eq!(
            now(ALL_WELL),
            "Music plays in all 20 guilds, and nobody heard a gap in the last two minutes."
        );
        let alone = Scene {
            replicas: (1, 0),
            ..ALL_WELL
        };
        assert!(now(alone).starts_with("Music plays in all 20 guilds while no bot is running, and nobody"));
        let worse = Scene {
            playing: 19,
            nodes: (2, 1),
            replicas: (3, 2),
            with_gaps: 1,
            ..ALL_WELL
        };
        assert_eq!(
            now(worse),
            "Music plays in 19 of 20 guilds with 1 replica and 1 node down; one of them had a gap in the last two minutes."
        );
        assert_eq!(
            now(Scene { playing: 0, ..ALL_WELL }),
            "None of 20 guilds plays music right now."
        );
    }

    #[test]
    fn what_a_kill_did_names_guilds_gaps_and_commands() {
        let kill = Event::Killed { replica: "b".into() };
        assert_eq!(
            (kill.said(true).as_str(), kill.said(false).as_str()),
            ("The bot was killed", "Replica b was killed")
        );
        let died = |signal| Event::Died {
            replica: "b".into(),
            signal,
        };
        assert_eq!(died(None).said(false), "Replica b ended by itself");
        assert_eq!(died(Some(9)).said(false), "Replica b was ended by signal 9");
        let fine = Effect {
            audible: 7,
            commands: Commands::Back { after_ms: 310 },
            ..Effect::default()
        };
        assert_eq!(
            then(fine),
            ": 7 guilds carried on, nobody heard a gap, commands were back after 0.31 s."
        );
        let open = Effect {
            commands: Commands::Away,
            ..fine
        };
        assert_eq!(
            then(open),
            ": 7 guilds carried on, nobody heard a gap, commands are not back yet."
        );
        let broken = Effect {
            audible: 20,
            broken: 10,
            longest_ms: 845,
            commands: Commands::Untouched,
        };
        assert_eq!(
            then(broken),
            ": 10 of 20 guilds carried on, 10 heard a gap of at most 0.84 s."
        );
    }
}
