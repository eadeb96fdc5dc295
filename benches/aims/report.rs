//! The figures as a table for people and as JSON for programs.

use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::figure::{Aim, Figure, Outcome};
use crate::lines::Line;

/// One line on the standard error.
#[expect(clippy::print_stderr, reason = "a tool for people")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

#[expect(clippy::print_stdout, reason = "what was asked for")]
fn print(text: &impl std::fmt::Display) {
    println!("{text}");
}

/// Names the lines.
pub(crate) fn list(lines: &[Line]) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for line in lines {
        table.add_row([line.name, line.about]);
    }
    print(&table.trim_fmt());
}

/// All figures, one row each.
pub(crate) fn table(outcomes: &[(&Line, Outcome)]) {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "line",
        "what",
        "figure",
        "held against",
        "ratio",
        "aim",
        "",
    ]);
    for (line, outcome) in outcomes {
        match outcome {
            Outcome::Measured(figures) => {
                for figure in figures {
                    table.add_row(row(line, figure));
                }
            }
            Outcome::Skipped(why) => drop(table.add_row([line.name, why, "", "", "", "", "skipped"])),
            Outcome::Failed(why) => drop(table.add_row([line.name, why, "", "", "", "", "FAILED"])),
        }
    }
    for column in [2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print(&table);
}

fn row(line: &Line, figure: &Figure) -> [String; 7] {
    let aim = match figure.aim {
        Aim::AtLeast(least) => format!("≥ {least}"),
        Aim::AtMost(most) => format!("≤ {most}"),
        Aim::Told => String::new(),
    };
    let verdict = match figure.held() {
        Some(true) => "held",
        Some(false) => "MISSED",
        None => "",
    };
    [
        line.name.to_owned(),
        figure.what.clone(),
        format!("{} {}", number(figure.value), figure.unit),
        format!("{} {}: {}", number(figure.against), figure.unit, figure.of),
        format!("{:.2}", figure.ratio()),
        aim,
        verdict.to_owned(),
    ]
}

/// Three digits that matter, and no more.
fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Writes `{"machine":{…},"lines":[{"line","what","value","unit","against","of","ratio","aim","held"}]}`.
pub(crate) fn json(outcomes: &[(&Line, Outcome)], path: &Path) {
    let lines: Vec<Value> = outcomes
        .iter()
        .flat_map(|(line, outcome)| match outcome {
            Outcome::Measured(figures) => figures.iter().map(|figure| entry(line, figure)).collect(),
            Outcome::Skipped(why) => vec![json!({ "line": line.name, "skipped": why })],
            Outcome::Failed(why) => vec![json!({ "line": line.name, "failed": why })],
        })
        .collect();
    let all = json!({ "machine": machine(), "lines": lines });
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).ok();
    }
    match std::fs::write(path, format!("{all:#}\n")) {
        Ok(()) => say(&format!("the figures as JSON: {}", path.display())),
        Err(error) => say(&format!("{}: {error}", path.display())),
    }
}

fn entry(line: &Line, figure: &Figure) -> Value {
    let aim = match figure.aim {
        Aim::AtLeast(least) => json!({ "at_least": least }),
        Aim::AtMost(most) => json!({ "at_most": most }),
        Aim::Told => Value::Null,
    };
    json!({
        "line": line.name, "what": figure.what, "value": figure.value, "unit": figure.unit, "against": figure.against,
        "of": figure.of, "ratio": figure.ratio(), "aim": aim, "held": figure.held(),
    })
}

/// On what it was measured; figures of different machines are not to be compared.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "cpu": model.map(|(_, name)| name),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load": read("/proc/loadavg").split_whitespace().next(),
    })
}
