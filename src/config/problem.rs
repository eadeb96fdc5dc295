//! What is wrong with the settings, said so that a person can put it right. Never contains a secret's value.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A line of the TOML file, counted from 1.
    File {
        /// The TOML file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// The environment.
    Environment,
    /// A flag, with its dashes.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What is wrong with a value, and what would be right; the parsers' error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong; no full stop.
    pub what: String,
    /// What to do; no full stop.
    pub fix: String,
}

impl Wrong {
    /// Says what is wrong and what to do.
    pub fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

/// One thing that keeps the program from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key as it was written there.
    pub key: String,
    /// Where it was written.
    pub source: Source,
    /// What is wrong with it, and the fix.
    pub wrong: Wrong,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wrong { what, fix } = &self.wrong;
        match &self.source {
            Source::Default => write!(f, "{}: {what}. {fix}.", self.key),
            source @ (Source::File { .. } | Source::Environment | Source::Flag(_)) => {
                write!(f, "{} ({source}): {what}. {fix}.", self.key)
            }
        }
    }
}

/// The closest of the known names, if any is close enough to be meant.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const CLOSE_ENOUGH: f64 = 0.85;
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= CLOSE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
