//! The text of `/metrics`: OpenMetrics when asked for, else the older text format 0.0.4, which cannot carry exemplars.

use super::Metrics;

/// One of the two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With units and exemplars.
    OpenMetrics,
    /// Understood by everything.
    Plain,
}

impl Format {
    /// What an `Accept` header asks for.
    pub fn wanted(accept: &str) -> Self {
        let mut best = (0.0, Self::Plain);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next() {
                Some("application/openmetrics-text") => Self::OpenMetrics,
                Some("text/plain" | "text/*" | "*/*") => Self::Plain,
                Some(_) | None => continue,
            };
            let quality = parts
                .find_map(|part| part.strip_prefix("q=")?.parse::<f64>().ok())
                .unwrap_or(1.0);
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    /// The answer's `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Everything as text.
    pub fn expose(&self, format: Format) -> Result<String, std::fmt::Error> {
        self.snapshots.refresh(tokio::time::Instant::now());
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        let tidied: Vec<String> = text.lines().map(without_empty_labels).collect();
        let text = tidied.join("\n") + "\n";
        Ok(match format {
            Format::OpenMetrics => text,
            Format::Plain => plain(&text),
        })
    }
}

/// `segue_ready{} 1` is right, but `segue_ready 1` is what people look for.
fn without_empty_labels(line: &str) -> String {
    match line.split_once("{} ") {
        Some((name, value)) if !name.contains(['{', '"', ' ']) => format!("{name} {value}"),
        Some(_) | None => line.to_owned(),
    }
}

/// Turns OpenMetrics into 0.0.4: counters are declared with `_total`, units, the end mark and exemplars go.
fn plain(open: &str) -> String {
    let counters: Vec<&str> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open.len());
    for line in open.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        if let Some((word, rest)) = line.strip_prefix("# ").and_then(|comment| comment.split_once(' ')) {
            let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let total = if counters.contains(&name) { "_total" } else { "" };
            text.extend(["# ", word, " ", name, total, " ", rest, "\n"]);
        } else {
            text.extend([without_exemplar(line), "\n"]);
        }
    }
    text
}

/// A sample line up to its exemplar; quoted label values may hold anything.
fn without_exemplar(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => return line[..at].trim_end(),
            _ => {}
        }
    }
    line
}
