//! Which text each key has, and who said so: defaults < TOML file < environment < flags.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{Exposure, KEYS, Key};
use super::problem::{Problem, Source, Wrong, nearest};

/// Reads a file named by a `KEY_FILE`.
pub(super) type ReadFile<'a> = &'a dyn Fn(&Path) -> std::io::Result<String>;

/// Names with our prefix that are no settings of the bot: the one that names the file, and those of its tests.
const NOT_SETTINGS: &[&str] = &["SEGUE_CONFIG", "SEGUE_MONGOD"];

/// A value as somebody wrote it.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) text: String,
    pub(super) source: Source,
    /// The key as it was written there, for people: `SEGUE_STORE_FILE`, `store`.
    pub(super) written: String,
}

/// What all layers together say; what is wrong with them so far.
#[derive(Default)]
pub(super) struct Layers {
    pub(super) found: BTreeMap<&'static str, Found>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// One mention of a key in one layer.
struct Mention {
    key: &'static Key,
    from_file: bool,
    found: Found,
}

impl Layers {
    /// Adds the lines of a TOML file.
    pub(super) fn add_toml(&mut self, path: &Path, text: &str, read: ReadFile<'_>) {
        let line_of = |offset: usize| text.get(..offset).map_or(1, |before| before.matches('\n').count() + 1);
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let line = line_of(error.span().map_or(0, |span| span.start));
                let wrong = Wrong::new(
                    format!("not TOML ({})", error.message()),
                    "Write lines such as key = \"value\"",
                );
                self.problem("the file", file(path, line), wrong);
                return;
            }
        };
        let mut mentions = Vec::new();
        for (name, value) in table.get_ref() {
            let written = name.get_ref().to_string();
            let source = file(path, line_of(name.span().start));
            let Some((key, from_file)) = key_in_file(&written) else {
                self.unknown_in_file(&written, source);
                continue;
            };
            match text_of(key, value.get_ref()) {
                Ok(text) => mentions.push(Mention {
                    key,
                    from_file,
                    found: Found { text, source, written },
                }),
                Err(wrong) => self.problem(&written, source, wrong),
            }
        }
        self.add(mentions, read);
    }

    /// Adds what the environment says, and warns of names with our prefix that mean nothing.
    pub(super) fn add_environment(&mut self, environment: &[(String, String)], in_pod: bool, read: ReadFile<'_>) {
        let mut mentions = Vec::new();
        for (name, value) in environment {
            let source = Source::Environment;
            if let Some((key, from_file)) = key_in_environment(name) {
                mentions.push(Mention {
                    key,
                    from_file,
                    found: Found {
                        text: value.clone(),
                        source,
                        written: name.clone(),
                    },
                });
            } else if is_stray(name, in_pod) {
                let hint = nearest(name, KEYS.iter().map(|key| key.env));
                let hint = hint.map_or(String::new(), |hint| format!("; did you mean {hint}?"));
                self.warnings
                    .push(format!("{name} (environment) is not a setting{hint}"));
            }
        }
        self.add(mentions, read);
    }

    /// Adds flags: key, whether it names a file, the text.
    pub(super) fn add_flags(&mut self, flags: &[(&'static Key, bool, String)], read: ReadFile<'_>) {
        let mentions = flags.iter().map(|(key, from_file, text)| {
            let suffix = if *from_file { "-file" } else { "" };
            let flag = format!("--{}{suffix}", key.in_file().replace('_', "-"));
            if key.exposure == Exposure::Masked && !from_file && text.contains('@') {
                self.warnings.push(format!(
                    "{flag} holds a password that everybody on this machine can see in the list of processes; use {flag}-file"
                ));
            }
            Mention {
                key,
                from_file: *from_file,
                found: Found {
                    text: text.clone(),
                    source: Source::Flag(flag),
                    written: key.env.to_owned(),
                },
            }
        });
        let mentions = mentions.collect();
        self.add(mentions, read);
    }

    /// Lays one layer over the ones before it. An empty text counts as not said.
    fn add(&mut self, mentions: Vec<Mention>, read: ReadFile<'_>) {
        let mut here: BTreeMap<&'static str, String> = BTreeMap::new();
        for Mention {
            key,
            from_file,
            mut found,
        } in mentions
        {
            if found.text.trim().is_empty() {
                continue;
            }
            if let Some(other) = here.insert(key.env, found.written.clone()) {
                let wrong = Wrong::new(format!("both it and {other} are set"), "Remove one of them");
                self.problem(&found.written, found.source, wrong);
                continue;
            }
            if from_file {
                let path = PathBuf::from(found.text.trim());
                match read(&path) {
                    Ok(text) => found.text = text,
                    Err(error) => {
                        let what = format!("cannot read {} ({error})", path.display());
                        let wrong = Wrong::new(what, "Name a file that the bot may read");
                        self.problem(&found.written, found.source, wrong);
                        continue;
                    }
                }
                if found.text.trim().is_empty() {
                    let wrong = Wrong::new(format!("{} is empty", path.display()), "Put the value into it");
                    self.problem(&found.written, found.source, wrong);
                    continue;
                }
            }
            found.text = found.text.trim().to_owned();
            self.found.insert(key.env, found);
        }
    }

    pub(super) fn problem(&mut self, key: &str, source: Source, wrong: Wrong) {
        self.problems.push(Problem {
            key: key.to_owned(),
            source,
            wrong,
        });
    }

    fn unknown_in_file(&mut self, written: &str, source: Source) {
        let names: Vec<String> = KEYS.iter().map(Key::in_file).collect();
        let fix = nearest(&written.to_lowercase(), names.iter().map(String::as_str)).map_or_else(
            || "Remove it; `segue config` lists what there is".to_owned(),
            |close| format!("Perhaps {close} was meant"),
        );
        self.problem(written, source, Wrong::new("no such setting", fix));
    }
}

fn file(path: &Path, line: usize) -> Source {
    Source::File {
        path: path.to_owned(),
        line,
    }
}

fn key_in_file(written: &str) -> Option<(&'static Key, bool)> {
    KEYS.iter().find_map(|key| {
        let name = key.in_file();
        let rest = written.strip_prefix(name.as_str())?;
        match rest {
            "" => Some((key, false)),
            "_file" if key.may_come_from_a_file() => Some((key, true)),
            _ => None,
        }
    })
}

fn key_in_environment(written: &str) -> Option<(&'static Key, bool)> {
    KEYS.iter().find_map(|key| match written.strip_prefix(key.env)? {
        "" => Some((key, false)),
        "_FILE" if key.may_come_from_a_file() => Some((key, true)),
        _ => None,
    })
}

/// Kubernetes puts `SEGUE_SERVICE_HOST`, `SEGUE_PORT_8080_TCP_ADDR` and the like into a pod when a Service is called
/// `segue`; those are nobody's mistake.
fn is_stray(name: &str, in_pod: bool) -> bool {
    if !name.starts_with("SEGUE_") || NOT_SETTINGS.contains(&name) {
        return false;
    }
    let of_a_service = name.ends_with("_SERVICE_HOST")
        || name.ends_with("_PORT")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP")));
    !(in_pod && of_a_service)
}

/// A TOML value as the text that the environment would hold.
fn text_of(key: &Key, value: &DeValue<'_>) -> Result<String, Wrong> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Table(table) if key.env == "SEGUE_LAVALINK_NODES" => nodes_of(table),
        DeValue::Table(_) => Err(Wrong::new("a table where a value belongs", "Write one value in quotes")),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) => Err(Wrong::new(
            "neither a text nor a number nor true or false",
            "Write it in quotes",
        )),
    }
}

/// `[lavalink_nodes] a = "http://…"` as `a=http://…,b=…`.
fn nodes_of(table: &DeTable<'_>) -> Result<String, Wrong> {
    let mut entries = Vec::new();
    for (name, address) in table {
        let DeValue::String(address) = address.get_ref() else {
            let what = format!("the address of {} is not a text", name.get_ref());
            return Err(Wrong::new(what, "Write NAME = \"http://:PASSWORD@HOST:PORT\""));
        };
        entries.push(format!("{}={}", name.get_ref(), address.replace(',', "%2C")));
    }
    Ok(entries.join(","))
}
