//! `segue status`: the cluster as the store knows it, for people.

use std::fmt::Write as _;

use comfy_table::{Table, presets};

use crate::store::status::{Status, playing_of};
use crate::store::{LeaderRow, MemberRow, RecoveryRow, ShardRow};

/// Final members are shown this long, milliseconds; the rest are only counted.
const RECENT_MS: i64 = 10 * 60 * 1_000;
/// Recoveries that are shown.
const RECOVERIES: usize = 10;

/// Everything, with ages by the store's clock.
pub(super) fn text(status: &Status, place: &str) -> String {
    let mut text = String::new();
    let facts = [
        ("store", place.to_owned()),
        ("leader", leader(status, &status.scan.leader)),
        ("guilds", guilds(status)),
    ];
    for (name, value) in facts {
        line(&mut text, format_args!("{name:<8}{value}"));
    }
    section(&mut text, members(status));
    let forgotten = status.scan.members.iter().filter(|row| !is_shown(row, status)).count();
    if forgotten > 0 {
        line(
            &mut text,
            format_args!("and {forgotten} that ended within the last day"),
        );
    }
    section(&mut text, shards(status));
    section(&mut text, quarantined(status));
    section(&mut text, recoveries(status));
    text.trim_end().to_owned()
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    writeln!(text, "{line}").ok();
}

fn section(text: &mut String, table: Option<Table>) {
    let Some(table) = table else { return };
    text.push('\n');
    for row in table.lines() {
        line(text, format_args!("{}", row.trim_end()));
    }
}

fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(head);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn leader(status: &Status, leader: &LeaderRow) -> String {
    match (&leader.holder, leader.term) {
        (Some(id), term) => format!("{}, term {term}", name(status, &id.0)),
        (None, 0) => "none yet".to_owned(),
        (None, term) => format!("none; the last term was {term}"),
    }
}

fn guilds(status: &Status) -> String {
    let counts = format!("{} playing, {} active", status.playing(), status.active);
    match status.quarantined.len() {
        0 => counts,
        aside => format!("{counts}, {aside} quarantined"),
    }
}

/// The member's name, with its id where another one bears the same; the id alone where nobody knows it.
fn name(status: &Status, id: &str) -> String {
    let members = &status.scan.members;
    let Some(row) = members.iter().find(|row| row.id.0 == id) else {
        return id.to_owned();
    };
    let namesakes = members.iter().filter(|other| other.name == row.name).count();
    if namesakes > 1 {
        format!("{} ({id})", row.name)
    } else {
        row.name.clone()
    }
}

fn is_shown(row: &MemberRow, status: &Status) -> bool {
    let ended = row.final_ms.unwrap_or(row.renewed_ms);
    !row.state.is_final() || status.scan.now_ms - ended < RECENT_MS
}

fn members(status: &Status) -> Option<Table> {
    let mut table = table([
        "member",
        "state",
        "since or seen",
        "shards",
        "playing",
        "version",
        "pages",
        "id",
    ]);
    for row in status.scan.members.iter().filter(|row| is_shown(row, status)) {
        let shards: Vec<_> = status.shards_of(row).map(|shard| shard.id.to_string()).collect();
        let state = match &row.why {
            Some(why) => format!("{}: {why}", row.state.name()),
            None => row.state.name().to_owned(),
        };
        let playing = if row.state.is_final() { 0 } else { playing_of(row) };
        table.add_row([
            row.name.clone(),
            state,
            age(status.scan.now_ms - row.final_ms.unwrap_or(row.renewed_ms)),
            or_dash(&shards.join(" ")),
            playing.to_string(),
            or_dash(&row.version),
            or_dash(row.http.as_deref().unwrap_or_default()),
            row.id.0.clone(),
        ]);
    }
    (table.row_count() > 0).then_some(table)
}

fn shards(status: &Status) -> Option<Table> {
    let mut table = table(["shard", "owner", "epoch", "moving to"]);
    for row in &status.scan.shards {
        let owner = row.owner.as_ref().map(|id| name(status, &id.0));
        table.add_row([
            row.id.to_string(),
            or_dash(&owner.unwrap_or_default()),
            row.epoch.0.to_string(),
            or_dash(&moving(status, row)),
        ]);
    }
    (table.row_count() > 0).then_some(table)
}

fn moving(status: &Status, row: &ShardRow) -> String {
    let to = row.want.as_ref().filter(|want| row.owner.as_ref() != Some(want));
    to.map(|id| name(status, &id.0)).unwrap_or_default()
}

fn quarantined(status: &Status) -> Option<Table> {
    let mut table = table(["quarantined guild", "why (`segue release GUILD` lets it go)"]);
    for one in &status.quarantined {
        table.add_row([one.guild.to_string(), one.why.clone()]);
    }
    (table.row_count() > 0).then_some(table)
}

fn recoveries(status: &Status) -> Option<Table> {
    let mut table = table([
        "recovered",
        "guild",
        "shard",
        "trigger",
        "outcome",
        "took",
        "silence",
        "trace",
    ]);
    for row in status.recoveries.iter().take(RECOVERIES) {
        table.add_row(recovery(status, row));
    }
    (table.row_count() > 0).then_some(table)
}

fn recovery(status: &Status, row: &RecoveryRow) -> [String; 8] {
    [
        age(status.scan.now_ms - row.at_ms),
        row.guild.to_string(),
        row.shard.to_string(),
        row.trigger.replace('_', " "),
        row.outcome.replace('_', " "),
        format!("{} ms", row.took_ms),
        match (row.outcome.as_str(), row.gap_ms) {
            ("failed", _) => "lasts".to_owned(),
            (_, 0) => "none".to_owned(),
            (_, gap) => format!("{gap} ms"),
        },
        or_dash(row.trace_id.as_deref().unwrap_or_default()),
    ]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// A length of time in its largest whole unit. A clock that is a little behind makes it no less than now.
fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    let (number, unit) = match seconds {
        0 => return "now".to_owned(),
        1..=119 => (seconds, "s"),
        120..=7_199 => (seconds / 60, "min"),
        7_200..=172_799 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{number} {unit} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let cases = [
            (-5_000, "now"),
            (999, "now"),
            (1_000, "1 s ago"),
            (119_999, "119 s ago"),
            (120_000, "2 min ago"),
            (7_200_000, "2 h ago"),
            (172_800_000, "2 days ago"),
        ];
        for (ms, expected) in cases {
            assert_eq!(age(ms), expected, "{ms}");
        }
    }
}
