//! Scripted stories: what happens to the simulated world and when, one act on each line of a plain text.
//!
//! `word` cuts a line into words, `form` knows every act by its words, `parse` makes steps of a text and complains in
//! people's terms, `run` carries the steps out over the control API.
//!
//! The parser is a table of forms and not a grammar of combinators: each line is a flat row of words, and the same table
//! that reads an act also tells what could have stood in the place of a word that is wrong.

mod form;
mod parse;
mod run;
#[cfg(test)]
mod tests;
mod word;

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

pub use form::forms;
pub use parse::{Problem, parse};
pub use run::{Alone, Troupe, run};

/// What happens, in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    /// Where it came from: a file's path or a name.
    pub source: String,
    /// Its acts.
    pub steps: Vec<Step>,
}

/// One act and its moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Since the story began.
    pub at: Duration,
    /// The line that it stands on, from 1.
    pub line: usize,
    /// The act as it was written, for people.
    pub words: String,
    /// What to do.
    pub act: Act,
}

/// An act. Guilds and people are counted from 1: user 7 of a world with three people in each guild is the first person of
/// guild 3.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// A Lavalink node dies at once.
    KillNode(String),
    /// A dead node is started again.
    StartNode(String),
    /// A node is told to stop, closes its sockets, and is back after this time.
    RestartNode(String, Duration),
    /// A replica gets SIGKILL. Only where there are replicas.
    KillReplica(String),
    /// A replica gets SIGTERM. Only where there are replicas.
    StopReplica(String),
    /// Every replica gets SIGTERM, each after the one before is back. Only where there are replicas.
    RollReplicas,
    /// A person joins a voice channel (from 1): where the bot is, or the first, unless one is named.
    UserJoins {
        /// Who.
        user: usize,
        /// Which.
        voice: Option<usize>,
    },
    /// A person leaves voice.
    UserLeaves(usize),
    /// A person issues a slash command.
    UserRuns {
        /// Who.
        user: usize,
        /// `playlist save`.
        command: String,
        /// Its options.
        options: Map<String, Value>,
    },
    /// A person presses the newest button whose name holds this word.
    UserPresses {
        /// Who.
        user: usize,
        /// A part of the button's `custom_id`.
        button: String,
    },
    /// An admin moves the bot to another voice channel.
    MoveBot {
        /// Where.
        guild: usize,
        /// Which.
        voice: usize,
    },
    /// An admin throws the bot out of its voice channel.
    KickBot(usize),
    /// The bot is invited to a new guild.
    AddGuild,
    /// The bot is removed from a guild.
    RemoveGuild(usize),
    /// Any fault of `POST /faults`; a `guild` in it is counted as everywhere in a story.
    Fault {
        /// Its kind.
        kind: String,
        /// The rest of its body.
        fields: Map<String, Value>,
    },
    /// A word for the simulator's log.
    Note(String),
}

impl Act {
    /// Whether it is done to a replica, which a simulator alone does not have.
    pub fn needs_replicas(&self) -> bool {
        matches!(self, Self::KillReplica(_) | Self::StopReplica(_) | Self::RollReplicas)
    }

    /// Whether it goes on for a while, and other acts with it.
    fn takes_time(&self) -> bool {
        matches!(self, Self::RollReplicas)
    }

    /// The replica that it names.
    fn replica(&self) -> Option<&str> {
        if let Self::KillReplica(name) | Self::StopReplica(name) = self {
            return Some(name);
        }
        None
    }

    /// The node that it names.
    fn node(&self) -> Option<&str> {
        if let Self::KillNode(name) | Self::StartNode(name) | Self::RestartNode(name, _) = self {
            return Some(name);
        }
        let Self::Fault { fields, .. } = self else { return None };
        fields.get("node").and_then(Value::as_str)
    }
}

impl Story {
    /// What of it cannot be told in a world with these nodes and replicas (none in a simulator alone), line by line.
    pub fn problems(&self, nodes: &[String], replicas: &[String]) -> Vec<Problem> {
        let steps = self.steps.iter();
        let mut found = Vec::new();
        for step in steps {
            let lacks = |what: String| Problem {
                source: self.source.clone(),
                line: step.line,
                what,
            };
            if step.act.needs_replicas() && replicas.is_empty() {
                found.push(lacks(format!(
                    "\"{}\" is done to a replica of the bot, and only `segue demo` has those",
                    step.words
                )));
            }
            let named = [
                ("replica", step.act.replica(), replicas),
                ("node", step.act.node(), nodes),
            ];
            for (what, name, known) in named {
                let Some(name) = name.filter(|name| !known.iter().any(|each| each == name)) else {
                    continue;
                };
                if !known.is_empty() {
                    found.push(lacks(format!(
                        "there is no {what} {name}; there are {}",
                        known.join(", ")
                    )));
                } else if what == "node" {
                    found.push(lacks(format!("there is no node {name}, and no other one")));
                }
            }
        }
        found
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.at.as_secs();
        write!(f, "{:>2}:{:02} {}", seconds / 60, seconds % 60, self.words)
    }
}
