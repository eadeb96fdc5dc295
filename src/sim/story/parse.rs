//! A text as a story: every line is read, and all that is wrong is told at once, each with its file and line.

use std::fmt;

use super::form::{self, Misfit};
use super::word::words;
use super::{Step, Story};

/// How alike a word must be to be suggested.
const CLOSE_ENOUGH: f64 = 0.75;
/// The longest story that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The story's file or name.
    pub source: String,
    /// From 1; 0 is the text as a whole.
    pub line: usize,
    /// What is wrong and what was expected.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.source, self.line, self.what)
    }
}

impl std::error::Error for Problem {}

/// Reads a story; `source` is its file or name. Empty lines and comments (`# …`) are skipped; lines of the same moment keep
/// their order.
///
/// # Errors
/// Every line that is no act, in order.
pub fn parse(source: &str, text: &str) -> Result<Story, Vec<Problem>> {
    let problem = |line: usize, what: String| Problem {
        source: source.to_owned(),
        line,
        what,
    };
    if text.len() > LONGEST {
        return Err(vec![problem(0, format!("a story has at most {LONGEST} bytes"))]);
    }
    let (mut steps, mut wrong) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        match step(line, index + 1) {
            Ok(step) => steps.extend(step),
            Err(what) => wrong.push(problem(index + 1, what)),
        }
    }
    if steps.is_empty() && wrong.is_empty() {
        wrong.push(problem(
            0,
            "nothing happens in it; a line is like: at 3s kill node a".to_owned(),
        ));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    steps.sort_by_key(|step: &Step| step.at);
    Ok(Story {
        source: source.to_owned(),
        steps,
    })
}

/// A line's step; `None` where it says nothing.
fn step(line: &str, number: usize) -> Result<Option<Step>, String> {
    let words = words(line)?;
    let Some((first, rest)) = words.split_first() else {
        return Ok(None);
    };
    if first != "at" {
        return Err(format!(
            "a line begins with \"at\" and a time, as in: at 3s kill node a; not with \"{first}\""
        ));
    }
    let Some((moment, act)) = rest.split_first() else {
        return Err("a time is missing, as in: at 3s kill node a".to_owned());
    };
    let at = form::time(moment).map_err(|why| format!("\"{moment}\" is no time for a step: {why}"))?;
    let read = form::read(act).map_err(|misfit| complaint(act, &misfit))?;
    Ok(Some(Step {
        at,
        line: number,
        words: act.join(" "),
        act: read,
    }))
}

/// What to tell of words that are no act.
fn complaint(words: &[String], misfit: &Misfit) -> String {
    let before = words[..misfit.understood.min(words.len())].join(" ");
    let place = if before.is_empty() {
        String::new()
    } else {
        format!(" after \"{before}\"")
    };
    let Some(word) = words.get(misfit.understood) else {
        return format!("the line ends too early{place}; expected {}", listed(&misfit.expected));
    };
    if let (Some(why), [_]) = (&misfit.why, misfit.expected.as_slice()) {
        return format!("\"{word}\"{place}: {why}");
    }
    let fixed: Vec<&str> = misfit
        .expected
        .iter()
        .copied()
        .filter(|each| !each.starts_with('<'))
        .collect();
    let meant = nearest(word, &fixed).map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"));
    format!(
        "\"{word}\" is not understood{place}; expected {}{meant}",
        listed(&misfit.expected)
    )
}

/// What to tell of a name that is none of the known ones.
pub(super) fn among(what: &str, name: &str, known: &[&str]) -> String {
    let meant = nearest(name, known).map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"));
    format!("there is no such {what}{meant} There are {}", known.join(", "))
}

fn listed(expected: &[&str]) -> String {
    match expected {
        [] => "nothing more".to_owned(),
        [only] => (*only).to_owned(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
    }
}

fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= CLOSE_ENOUGH)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
