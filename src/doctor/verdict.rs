//! What a check found, and the list that people read.

use std::fmt;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well; what was seen.
    Fine(String),
    /// It works, but.
    Careful {
        /// What is not as it should be.
        what: String,
        /// What to do.
        todo: String,
    },
    /// It does not work.
    Wrong {
        /// What is wrong.
        what: String,
        /// What to do.
        todo: String,
    },
}

impl Verdict {
    pub(super) fn fine(seen: impl Into<String>) -> Self {
        Self::Fine(seen.into())
    }

    pub(super) fn careful(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::Careful {
            what: what.into(),
            todo: todo.into(),
        }
    }

    pub(super) fn wrong(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self::Wrong {
            what: what.into(),
            todo: todo.into(),
        }
    }

    /// Whether the bot cannot work like this.
    pub const fn is_wrong(&self) -> bool {
        matches!(self, Self::Wrong { .. })
    }
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub name: String,
    /// What was found.
    pub verdict: Verdict,
}

/// The list, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(pub Vec<Finding>);

impl Report {
    /// Whether the bot can work.
    pub fn is_well(&self) -> bool {
        !self.0.iter().any(|finding| finding.verdict.is_wrong())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .0
            .iter()
            .map(|finding| finding.name.chars().count())
            .max()
            .unwrap_or(0);
        for Finding { name, verdict } in &self.0 {
            let (mark, what, todo) = match verdict {
                Verdict::Fine(seen) => ('✓', seen, None),
                Verdict::Careful { what, todo } => ('!', what, Some(todo)),
                Verdict::Wrong { what, todo } => ('✗', what, Some(todo)),
            };
            writeln!(f, "{mark} {name:width$}  {what}")?;
            if let Some(todo) = todo {
                writeln!(f, "  {:width$}  → {todo}", "")?;
            }
        }
        let wrong = self.0.iter().filter(|finding| finding.verdict.is_wrong()).count();
        match wrong {
            0 => f.write_str("All is well."),
            1 => f.write_str("One thing has to be put right."),
            many => write!(f, "{many} things have to be put right."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_is_wrong_and_what_to_do() {
        let finding = |name: &str, verdict| Finding {
            name: name.to_owned(),
            verdict,
        };
        let report = Report(vec![
            finding("token", Verdict::fine("logged in as Ann")),
            finding("clock", Verdict::careful("3 s late", "run an NTP client")),
            finding("Lavalink a", Verdict::wrong("refuses the password", "compare it")),
        ]);
        let expected = "✓ token       logged in as Ann\n\
                        ! clock       3 s late\n\
                        \x20             → run an NTP client\n\
                        ✗ Lavalink a  refuses the password\n\
                        \x20             → compare it\n\
                        One thing has to be put right.";
        assert_eq!(report.to_string(), expected);
        assert!(!report.is_well());
        assert!(Report(report.0[..2].to_vec()).is_well());
    }
}
