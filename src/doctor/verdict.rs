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

    const fn is_careful(&self) -> bool {
        matches!(self, Self::Careful { .. })
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
        let of = |wanted: fn(&Verdict) -> bool| self.0.iter().filter(|finding| wanted(&finding.verdict)).count();
        match (of(Verdict::is_wrong), of(Verdict::is_careful)) {
            (0, 0) => f.write_str("All is well."),
            (0, 1) => f.write_str("It can work. One thing is to be looked at."),
            (0, some) => write!(f, "It can work. {some} things are to be looked at."),
            (1, _) => f.write_str("One thing has to be put right."),
            (many, _) => write!(f, "{many} things have to be put right."),
        }
    }
}

#[cfg(test)]
impl Verdict {
    /// Its kind by its first letter, and all its words.
    pub(super) fn said(&self) -> (char, String) {
        match self {
            Self::Fine(seen) => ('f', seen.clone()),
            Self::Careful { what, todo } => ('c', format!("{what} {todo}")),
            Self::Wrong { what, todo } => ('w', format!("{what} {todo}")),
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
        let first = |count: usize| Report(report.0[..count].to_vec());
        assert!(first(2).is_well());
        assert!(
            first(2)
                .to_string()
                .ends_with("It can work. One thing is to be looked at.")
        );
        assert!(first(1).to_string().ends_with("All is well."));
    }
}
