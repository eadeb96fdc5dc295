//! Every act by its words: the table that reads a line, and that knows what could have stood where a word is wrong.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Act;
use crate::sim::fault_kinds;

/// The latest and the longest of a story.
pub(super) const LONGEST: Duration = Duration::from_hours(365 * 24);

/// The acts. `<…>` takes one word, `<…>*` all that are left.
const FORMS: [&str; 21] = [
    "kill node <node>",
    "start node <node>",
    "restart node <node>",
    "restart node <node> for <time>",
    "kill replica <replica>",
    "stop replica <replica>",
    "roll replicas",
    "user <number> joins",
    "user <number> joins voice <number>",
    "user <number> leaves",
    "user <number> runs </command> <option=value>*",
    "user <number> presses <button>",
    "move bot in guild <number> to voice <number>",
    "kick bot in guild <number>",
    "add guild",
    "remove guild <number>",
    "expire session of shard <number>",
    "drop shard <number>",
    "drop shard <number> for <time>",
    "fault <kind> <option=value>*",
    "note <text>*",
];

/// Every form of an act, as a person writes it.
pub fn forms() -> impl Iterator<Item = &'static str> {
    FORMS.into_iter()
}

/// Why words are no act: how many were understood, and what could have come next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Words that were understood.
    pub(super) understood: usize,
    /// What would have been: words, and `<…>` for what has no fixed word.
    pub(super) expected: Vec<&'static str>,
    /// What is wrong with the word, where it is of the right kind.
    pub(super) why: Option<String>,
}

/// What the `<…>` of a form took.
#[derive(Debug, Default)]
struct Taken {
    names: Vec<String>,
    numbers: Vec<usize>,
    time: Option<Duration>,
    options: Map<String, Value>,
}

/// Reads an act.
pub(super) fn read(words: &[String]) -> Result<Act, Misfit> {
    let mut misfit = Misfit {
        understood: 0,
        expected: Vec::new(),
        why: None,
    };
    for form in FORMS {
        match fit(form, words) {
            Ok(taken) => return Ok(act(form, taken)),
            Err(other) if other.understood > misfit.understood => misfit = other,
            Err(other) if other.understood == misfit.understood => {
                misfit.expected.extend(other.expected);
                misfit.why = misfit.why.or(other.why);
            }
            Err(_) => {}
        }
    }
    misfit.expected.sort_unstable();
    misfit.expected.dedup();
    Err(misfit)
}

fn fit(form: &'static str, words: &[String]) -> Result<Taken, Misfit> {
    let mut taken = Taken::default();
    let mut rest = words.iter();
    for (place, part) in form.split(' ').enumerate() {
        let misfit = |understood, why| Misfit {
            understood,
            expected: vec![part.trim_end_matches('*')],
            why,
        };
        if part.ends_with('*') {
            for (more, word) in rest.by_ref().enumerate() {
                take(part, word, &mut taken).map_err(|why| misfit(place + more, Some(why)))?;
                if let ("fault", Some(lasts)) = (form.split(' ').next().unwrap_or_default(), word.strip_prefix("for="))
                {
                    time(lasts).map_err(|why| misfit(place + more, Some(why)))?;
                }
            }
            continue;
        }
        let Some(word) = rest.next() else {
            return Err(misfit(place, None));
        };
        if part.starts_with('<') {
            take(part, word, &mut taken).map_err(|why| misfit(place, Some(why)))?;
        } else if part != word {
            return Err(misfit(place, None));
        }
    }
    if rest.len() > 0 {
        return Err(Misfit {
            understood: words.len() - rest.len(),
            expected: vec!["the end of the line"],
            why: None,
        });
    }
    Ok(taken)
}

/// Takes a word in the place of a `<…>`.
fn take(part: &str, word: &str, taken: &mut Taken) -> Result<(), String> {
    match part {
        "<number>" => match word.parse() {
            Ok(number) => taken.numbers.push(number),
            Err(_) => return Err("a whole number is needed".to_owned()),
        },
        "<time>" => taken.time = Some(time(word)?),
        "</command>" => match word.strip_prefix('/').filter(|name| !name.is_empty()) {
            Some(name) => taken.names.push(name.to_owned()),
            None => return Err("a command begins with a slash, as in /skip".to_owned()),
        },
        "<option=value>*" => {
            let (name, value) = word.split_once('=').ok_or("an option is NAME=VALUE")?;
            taken.options.insert(name.to_owned(), value_of(value));
        }
        "<kind>" if !fault_kinds().contains(&word) => {
            return Err(super::parse::among("fault", word, &fault_kinds()));
        }
        _ => taken.names.push(word.to_owned()),
    }
    Ok(())
}

/// `90s`, `1m30s`, `500ms`.
pub(super) fn time(word: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(word).map_err(|_| "a time is written like 3s, 500ms or 1m30s".to_owned())?;
    if time > LONGEST {
        let days = LONGEST.as_secs() / 86_400;
        return Err(format!("nothing in a story is later or longer than {days}d"));
    }
    Ok(time)
}

/// Numbers and truths as such, all else as text.
fn value_of(text: &str) -> Value {
    let plain = serde_json::from_str::<Value>(text).ok();
    plain
        .filter(|value| value.is_number() || value.is_boolean() || value.is_null())
        .unwrap_or_else(|| text.into())
}

fn act(form: &'static str, mut taken: Taken) -> Act {
    let name = |taken: &Taken| taken.names.first().cloned().unwrap_or_default();
    let number = |taken: &Taken, nth: usize| taken.numbers.get(nth).copied().unwrap_or_default();
    match form {
        "kill node <node>" => Act::KillNode(name(&taken)),
        "start node <node>" => Act::StartNode(name(&taken)),
        "restart node <node>" | "restart node <node> for <time>" => {
            Act::RestartNode(name(&taken), taken.time.unwrap_or(Duration::from_secs(1)))
        }
        "kill replica <replica>" => Act::KillReplica(name(&taken)),
        "stop replica <replica>" => Act::StopReplica(name(&taken)),
        "roll replicas" => Act::RollReplicas,
        "user <number> joins" | "user <number> joins voice <number>" => Act::UserJoins {
            user: number(&taken, 0),
            voice: taken.numbers.get(1).copied(),
        },
        "user <number> leaves" => Act::UserLeaves(number(&taken, 0)),
        "user <number> runs </command> <option=value>*" => Act::UserRuns {
            user: number(&taken, 0),
            command: name(&taken),
            options: taken.options,
        },
        "user <number> presses <button>" => Act::UserPresses {
            user: number(&taken, 0),
            button: name(&taken),
        },
        "move bot in guild <number> to voice <number>" => Act::MoveBot {
            guild: number(&taken, 0),
            voice: number(&taken, 1),
        },
        "kick bot in guild <number>" => Act::KickBot(number(&taken, 0)),
        "add guild" => Act::AddGuild,
        "remove guild <number>" => Act::RemoveGuild(number(&taken, 0)),
        "expire session of shard <number>" => on_shard("expire_session", &taken),
        "drop shard <number>" | "drop shard <number> for <time>" => on_shard("drop_gateway", &taken),
        "fault <kind> <option=value>*" => {
            // `for=2s` is how long it lasts, as everywhere else in a story.
            let lasts = taken
                .options
                .get("for")
                .and_then(Value::as_str)
                .and_then(|word| time(word).ok());
            if let Some(lasts) = lasts {
                taken.options.remove("for");
                taken.options.insert("for_ms".to_owned(), milliseconds(lasts));
            }
            Act::Fault {
                kind: name(&taken),
                fields: taken.options,
            }
        }
        _ => Act::Note(taken.names.join(" ")),
    }
}

fn on_shard(kind: &str, taken: &Taken) -> Act {
    let mut fields = Map::new();
    fields.insert(
        "shard".to_owned(),
        taken.numbers.first().copied().unwrap_or_default().into(),
    );
    if let Some(time) = taken.time {
        fields.insert("for_ms".to_owned(), milliseconds(time));
    }
    Act::Fault {
        kind: kind.to_owned(),
        fields,
    }
}

fn milliseconds(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}
