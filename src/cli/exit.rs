//! How the program ends.

use std::process::ExitCode;

/// How a command ended; the exit codes are a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: as asked.
    Ended,
    /// 1: something failed.
    Failed,
    /// 2: the settings or the command line are wrong.
    BadSettings,
    /// 3: Discord refused the token; starting again does not help.
    TokenRefused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ended => 0,
            Exit::Failed => 1,
            Exit::BadSettings => 2,
            Exit::TokenRefused => 3,
        })
    }
}
