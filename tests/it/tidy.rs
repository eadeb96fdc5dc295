//! The house rules that a machine can check. Each failure says what to do.

mod documents;
mod layers;
mod owners;
mod shape;
mod source;
mod supply;

/// Fails with all that is wrong, one line each, under what the rule is for.
fn all_well(rule: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{rule}\n  {}\n", wrong.join("\n  "));
}
