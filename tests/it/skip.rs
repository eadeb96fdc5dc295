//! Tests that cannot run here say so aloud, and leave a line for the summary.

use std::io::Write as _;

/// Says why a test does nothing, and appends it to the file that `SEGUE_SKIPS` names.
pub(crate) fn skip(reason: &str) {
    #[expect(clippy::print_stderr, reason = "aloud")]
    {
        eprintln!("skipped: {reason}");
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the summary's file is given by the environment"
    )]
    let Ok(path) = std::env::var("SEGUE_SKIPS") else {
        return;
    };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    if let Ok(mut file) = file {
        writeln!(file, "{reason}").expect("the summary's file can be written");
    }
}
