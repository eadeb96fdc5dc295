//! The project's own tasks, run as `cargo xtask TASK`: setting up what tests need, running them, and measuring.

mod bench;
mod chart;
mod chromium;
mod clients;
mod debian;
mod failures;
mod fuzz;
mod image;
mod kubernetes;
mod lavalink;
mod mongod;
mod progress;
mod test;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// Tasks for people who work on Segue.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// One variant for each task; each has a file of its own.
#[derive(Debug, Subcommand)]
enum Task {
    /// Set up what the tests need, run all of them, and list what was skipped and why
    Test(test::Args),
    /// Build in release, measure what Segue aims for, and print what holds
    Bench(bench::Args),
    /// Feed the simulator's parsers with broken input for a while
    Fuzz(fuzz::Args),
    /// Write charts/segue/README.md from the comments in its values
    ChartDocs,
    /// Write the dashboards in charts/segue/files/dashboards from xtask/dashboards.toml
    Dashboards,
    /// Write the manifests below k8s/ from the chart
    K8sRender,
    /// Make the container image without a Docker engine
    Image(image::Args),
    /// The first process of the cluster's namespaces; `test kubernetes` starts it
    #[command(hide = true)]
    InsideKubernetes(kubernetes::Inside),
}

fn main() -> ExitCode {
    let ended = match Cli::parse().task {
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::ChartDocs => chart::docs(),
        Task::Dashboards => chart::dashboards(),
        Task::K8sRender => chart::manifests(),
        Task::Image(args) => image::run(&args),
        Task::InsideKubernetes(inside) => kubernetes::inside(&inside),
    };
    ended.unwrap_or_else(|problem| {
        progress::say(&format!("xtask: {problem}"));
        ExitCode::FAILURE
    })
}

/// The repository, wherever the task was started.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Cargo in the repository. What the Cargo that started this task said about itself is left out: build scripts would take
/// it for a change and build again.
fn cargo() -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root());
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&key);
        }
    }
    command
}
