//! `segue config`: every key, its value, and where that came from; secrets masked.

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::keys::{Exposure, Key};
use super::layers::Found;
use super::value;

/// What stands for a secret.
pub const MASK: &str = "***";

/// One key as people may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name in the environment.
    pub key: &'static str,
    /// Its value, masked; `None` when it is not set.
    pub value: Option<String>,
    /// Where it came from.
    pub source: String,
}

impl Row {
    pub(super) fn of(key: &'static Key, found: Option<&Found>) -> Self {
        Self {
            key: key.env,
            value: found.map(|found| masked(key, &found.text)),
            source: found.map_or_else(|| "default".to_owned(), source),
        }
    }
}

fn source(found: &Found) -> String {
    if found.written.ends_with("_FILE") || found.written.ends_with("_file") {
        format!("{} ({})", found.source, found.written)
    } else {
        found.source.to_string()
    }
}

/// A value without what must not be seen. What cannot be read is masked as a whole.
fn masked(key: &Key, text: &str) -> String {
    match (key.exposure, key.env) {
        (Exposure::Plain, _) => without_user(text),
        (Exposure::Masked, "SEGUE_STORE") => match value::store(text) {
            Ok(address) if text.contains('@') => address.to_string().replacen("://", &format!("://{MASK}@"), 1),
            Ok(address) => address.to_string(),
            Err(_) => MASK.to_owned(),
        },
        (Exposure::Masked, "SEGUE_LAVALINK_NODES") => value::nodes(text).map_or_else(
            |_| MASK.to_owned(),
            |nodes| {
                let shown: Vec<String> = nodes
                    .iter()
                    .map(|node| {
                        format!(
                            "{}={}",
                            node.name,
                            node.url.as_str().replacen("://", &format!("://:{MASK}@"), 1)
                        )
                    })
                    .collect();
                shown.join(",")
            },
        ),
        (Exposure::Masked | Exposure::Secret, _) => MASK.to_owned(),
    }
}

/// An address without user and password, should somebody have put them into one that needs none.
pub(super) fn without_user(text: &str) -> String {
    let Some((user, rest)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    match user.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://{MASK}@{rest}"),
        None if user.contains(':') => format!("{MASK}@{rest}"),
        None => text.to_owned(),
    }
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["key", "value", "source"]);
    for row in rows {
        table.add_row([row.key, row.value.as_deref().unwrap_or("-"), &row.source]);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}
