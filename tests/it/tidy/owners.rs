//! Which files may name which external crates, and which files are pure.

use super::all_well;
use super::source::{Source, names, rust_files};

/// Who speaks to the Kubernetes API.
const KUBERNETES: &[&str] = &[
    "src/cluster/lease.rs",
    "src/cluster/pods.rs",
    "src/cluster/pods/",
    "src/doctor/kubernetes.rs",
];

/// A crate, or a part of one, and the files and folders that may name it.
const OWNERS: &[(&str, &[&str])] = &[
    ("k8s_openapi", KUBERNETES),
    ("kube", KUBERNETES),
    ("lavalink_rs", &["src/lavalink/client.rs"]),
    ("mongodb", &["src/store/"]),
    ("rusqlite", &["src/store/"]),
    ("twilight_gateway", &["src/gateway/"]),
    ("twilight_gateway_queue", &["src/gateway/"]),
    ("twilight_http", &["src/discord/"]),
    ("axum", &["src/telemetry/http.rs", "src/sim/", "src/demo/"]),
    ("prometheus_client", &["src/telemetry/metrics/"]),
    ("opentelemetry", &["src/telemetry/"]),
    ("opentelemetry_appender_tracing", &["src/telemetry/"]),
    ("opentelemetry_sdk", &["src/telemetry/"]),
    ("opentelemetry_otlp", &["src/telemetry/"]),
    ("fluent_bundle", &["src/ui/"]),
    ("clap", &["src/cli/", "src/config/flags.rs", "src/demo/"]),
];

/// Where the environment is read. `src/demo` only asks where its own program is.
const ENVIRONMENT: &[&str] = &["src/config/", "src/demo/mod.rs"];
const ENVIRONMENT_CALLS: &[&str] = &[
    "env::var",
    "env::var_os",
    "env::vars",
    "env::vars_os",
    "env::args",
    "env::current_exe",
    "env::temp_dir",
];

/// Pure files: what goes in decides what comes out.
const PURE: &[&str] = &[
    "src/model/",
    "src/player/",
    "src/command/",
    "src/ui/",
    "src/gateway/route.rs",
    "src/gateway/reconnect.rs",
    "src/lavalink/choose.rs",
    "src/lavalink/breaker.rs",
    "src/cluster/assign.rs",
    "src/cluster/election.rs",
    "src/cluster/witness.rs",
    "src/cluster/coordinator/allot.rs",
    "src/cluster/coordinator/desk.rs",
    "src/cluster/coordinator/drain.rs",
    "src/cluster/coordinator/leadership.rs",
    "src/cluster/coordinator/leading.rs",
    "src/cluster/coordinator/others.rs",
    "src/cluster/coordinator/pace.rs",
];
/// `tokio::time::Instant` is a plain value and may be named; asking it for the time may not.
const IMPURE: &[&str] = &[
    "async",
    "await",
    "Instant::now",
    "SystemTime",
    "wall_ms",
    "std::fs",
    "TcpStream",
    "UdpSocket",
    "ToSocketAddrs",
    "thread_rng",
    "tokio",
];

fn below(path: &str, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| path == *place || (place.ends_with('/') && path.starts_with(place)))
}

fn code_of_the_bot() -> impl Iterator<Item = Source> {
    rust_files("src").into_iter().filter(|file| !file.is_test())
}

#[test]
fn an_external_crate_is_named_only_by_its_owner() {
    let mut wrong = Vec::new();
    for file in code_of_the_bot() {
        for (name, places) in OWNERS.iter().filter(|(_, places)| !below(&file.path, places)) {
            let path = format!("{name}::");
            let used = file.code().find(|(_, line)| line.contains(&path) && names(line, name));
            if let Some((number, _)) = used {
                wrong.push(format!(
                    "{}:{number}: {name} belongs to {}",
                    file.path,
                    places.join(", ")
                ));
            }
        }
    }
    all_well(
        "Ask the owner for what you need, in the project's own words, so that the crate can be replaced in one place.",
        &wrong,
    );
}

#[test]
fn the_environment_is_read_in_one_place() {
    let mut wrong = Vec::new();
    for file in code_of_the_bot().filter(|file| !below(&file.path, ENVIRONMENT)) {
        for (number, line) in file.code() {
            if ENVIRONMENT_CALLS.iter().any(|call| names(line, call)) {
                wrong.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    all_well("Make it a setting in src/config/keys.rs and pass the value in.", &wrong);
}

#[test]
fn pure_files_stay_pure() {
    let mut wrong = Vec::new();
    for file in code_of_the_bot().filter(|file| below(&file.path, PURE)) {
        for (number, line) in file.code() {
            let line = line.replace("tokio::time::Instant", "Instant");
            for word in IMPURE.iter().filter(|word| names(&line, word)) {
                wrong.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    all_well(
        "These files decide and do nothing else. Take the time as an argument, and move the I/O to the caller.",
        &wrong,
    );
}

#[test]
fn every_owner_and_every_pure_file_exists() {
    let files = rust_files("src");
    let places = OWNERS
        .iter()
        .flat_map(|(_, places)| places.iter())
        .chain(PURE)
        .chain(ENVIRONMENT);
    let wrong: Vec<String> = places
        .filter(|place| !files.iter().any(|file| below(&file.path, &[place])))
        .map(|place| (*place).to_owned())
        .collect();
    all_well(
        "No file is at these places of the tables in tests/it/tidy/owners.rs. Correct them.",
        &wrong,
    );
}
