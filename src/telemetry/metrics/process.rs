//! The standard `process_*` metrics, read from `/proc` at each scrape.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::catalog::{Catalog, Entry};

/// Ticks per second in `/proc`; the kernel's interface to programs, the same on every Linux.
const TICKS: f64 = 100.0;

const METRICS: [(&str, &str, &str); 6] = [
    ("process_cpu_seconds", "seconds", "Processor time used, user and system"),
    ("process_resident_memory_bytes", "bytes", "Memory in use"),
    ("process_virtual_memory_bytes", "bytes", "Address space in use"),
    ("process_open_fds", "descriptors", "Open file descriptors"),
    (
        "process_max_fds",
        "descriptors",
        "How many file descriptors may be open",
    ),
    (
        "process_start_time_seconds",
        "seconds",
        "When the process started, since 1970",
    ),
];

pub(super) fn register(catalog: &mut Catalog) {
    let entries = METRICS.iter().map(|(name, unit, help)| {
        let counts = *name == "process_cpu_seconds";
        Entry {
            name: format!("{name}{}", if counts { "_total" } else { "" }),
            kind: if counts { "counter" } else { "gauge" },
            unit,
            labels: Vec::new(),
            help,
        }
    });
    catalog.collector(Box::new(Proc), entries);
}

#[derive(Debug)]
struct Proc;

impl Collector for Proc {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let values = values(
            &read("/proc/self/stat"),
            &read("/proc/self/status"),
            &read("/proc/self/limits"),
            &read("/proc/stat"),
        );
        // Reading the folder takes a descriptor itself.
        let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1));
        for (name, _, help) in METRICS {
            let value = match name {
                "process_open_fds" => u32::try_from(open).ok().map(f64::from),
                name => values
                    .iter()
                    .find(|(known, _)| *known == name)
                    .and_then(|(_, value)| *value),
            };
            let Some(value) = value else { continue };
            if name == "process_cpu_seconds" {
                let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
                ConstCounter::new(value).encode(metric)?;
            } else {
                let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What the files say; a value that is missing is left out.
fn values(stat: &str, status: &str, limits: &str, system: &str) -> [(&'static str, Option<f64>); 5] {
    // The second field is the program's name in brackets and may hold blanks; what follows it does not.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let field = |number: usize| -> Option<f64> { after_name.split(' ').nth(number - 3)?.trim().parse().ok() };
    let kibibytes = |name: &str| -> Option<f64> { word_after(status, name)?.parse::<f64>().ok().map(|k| k * 1024.0) };
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS);
    let booted = word_after(system, "btime").and_then(|word| word.parse::<f64>().ok());
    let started = field(22).zip(booted).map(|(ticks, booted)| booted + ticks / TICKS);
    let most = word_after(limits, "Max open files").and_then(|word| word.parse().ok());
    [
        ("process_cpu_seconds", cpu),
        ("process_resident_memory_bytes", kibibytes("VmRSS:")),
        ("process_virtual_memory_bytes", kibibytes("VmSize:")),
        ("process_max_fds", most),
        ("process_start_time_seconds", started),
    ]
}

fn word_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(start))?
        .split_whitespace()
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read_even_when_the_program_has_an_odd_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 1000 1000000 500";
        let status = "Name:\ta\nVmSize:\t   2048 kB\nVmRSS:\t   1024 kB\n";
        let limits =
            "Max cpu time  unlimited unlimited seconds\nMax open files            1024                 4096  files\n";
        let system = "cpu  1 2 3\nbtime 1700000000\n";
        assert_eq!(
            values(stat, status, limits, system).map(|(_, value)| value),
            [
                Some(3.0),
                Some(1_048_576.0),
                Some(2_097_152.0),
                Some(1024.0),
                Some(1_700_000_010.0)
            ]
        );
        assert_eq!(values("", "", "", "").map(|(_, value)| value), [None; 5]);
    }
}
