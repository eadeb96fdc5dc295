//! The command line: reads it, reads the settings, builds the runtime, ends with the right code.

pub mod args;
mod drain;
pub mod exit;
mod health;
mod release;
mod status;
mod wire;

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use crate::config::flags::Flags;
use crate::config::{self, Effective, Need, Settings, show};
use crate::doctor;
use crate::model::ids::GuildId;
use crate::store::status::Status;
use crate::store::{self, StoreError};
use crate::telemetry::metrics::Metrics;
use args::{Cli, Command};
use exit::Exit;

/// How long threads that are still busy may keep the process after all is said.
const LAST_WAIT: Duration = Duration::from_millis(200);

/// Why a command failed, for people.
#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Self(format!("{error}{}", source.unwrap_or_default()))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The standard output and error. A reader that went away is nobody's failure.
struct Out;

impl Out {
    fn line(&self, text: impl fmt::Display) {
        let Self = self;
        writeln!(std::io::stdout(), "{text}").ok();
    }

    fn complain(&self, text: impl fmt::Display) {
        let Self = self;
        writeln!(std::io::stderr(), "{text}").ok();
    }
}

/// Everything that `segue` does; the caller has chosen the crypto provider.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Out;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.complain(format_args!("segue: cannot start threads: {error}"));
            return Exit::Failed.into();
        }
    };
    let ended = runtime.block_on(Box::pin(perform(cli, &out)));
    runtime.shutdown_timeout(LAST_WAIT);
    let exit = ended.unwrap_or_else(|failure| {
        out.complain(format_args!("segue: {failure}"));
        Exit::Failed
    });
    exit.into()
}

async fn perform(cli: Cli, out: &Out) -> Result<Exit, Failure> {
    match cli.command.unwrap_or(Command::Run(cli.flags)) {
        Command::Run(flags) => {
            let mut effective = config::load(&flags, Need::Everything);
            if let Some(settings) = effective.settings.take() {
                return Box::pin(wire::run(settings, effective.warnings)).await;
            }
            complain(&effective, out);
            Ok(Exit::BadSettings)
        }
        Command::Demo(args) => Box::pin(wire::demo(args, out)).await,
        Command::Sim(args) => Box::pin(wire::sim(args, out)).await,
        Command::Doctor(flags) => match settings(&flags, Need::Everything, out) {
            Some(settings) => Box::pin(doctor(&settings, out)).await,
            None => Ok(Exit::BadSettings),
        },
        Command::Healthcheck(flags) => match settings(&flags, Need::Nothing, out) {
            Some(settings) => Ok(healthcheck(&settings, out).await),
            None => Ok(Exit::BadSettings),
        },
        Command::Drain(args) => match settings(&args.flags, Need::Nothing, out) {
            Some(settings) => Box::pin(drain::perform(&args, &settings, out)).await,
            None => Ok(Exit::BadSettings),
        },
        Command::Status(args) => match settings(&args.flags, Need::Nothing, out) {
            Some(settings) => show_status(&settings, args.json, out).await,
            None => Ok(Exit::BadSettings),
        },
        Command::Release(args) => match settings(&args.flags, Need::Nothing, out) {
            Some(settings) => let_go(&settings, args.guild, out).await,
            None => Ok(Exit::BadSettings),
        },
        Command::MetricsCatalog(args) => Ok(catalog(args.json, out)),
        Command::Config(args) => Ok(show_settings(&args, out)),
    }
}

/// The settings; `None` after all problems were printed.
fn settings(flags: &Flags, need: Need, out: &Out) -> Option<Settings> {
    let effective = config::load(flags, need);
    complain(&effective, out);
    effective.settings
}

async fn doctor(settings: &Settings, out: &Out) -> Result<Exit, Failure> {
    let report = Box::pin(doctor::examine(settings))
        .await
        .map_err(|error| Failure(error.to_string()))?;
    out.line(&report);
    Ok(if report.is_well() { Exit::Ended } else { Exit::Failed })
}

async fn healthcheck(settings: &Settings, out: &Out) -> Exit {
    match health::ask(settings.http_listen).await {
        Ok(said) => {
            out.line(said);
            Exit::Ended
        }
        Err(why) => {
            out.complain(why);
            Exit::Failed
        }
    }
}

async fn show_status(settings: &Settings, json: bool, out: &Out) -> Result<Exit, Failure> {
    let store = store::open_existing(&settings.store.whole()).await?;
    let status = Status::read(&store).await;
    store.close().await;
    let status = status?;
    if json {
        out.line(status.json());
    } else {
        out.line(status::text(&status, &store.describe()));
    }
    Ok(Exit::Ended)
}

async fn let_go(settings: &Settings, guild: GuildId, out: &Out) -> Result<Exit, Failure> {
    let store = store::open_existing(&settings.store.whole()).await?;
    let released = release::release(&store, guild).await;
    store.close().await;
    match released? {
        Ok(done) => {
            out.line(done);
            Ok(Exit::Ended)
        }
        Err(why) => {
            out.complain(format_args!("segue: {why}"));
            Ok(Exit::Failed)
        }
    }
}

fn catalog(json: bool, out: &Out) -> Exit {
    let metrics = Metrics::default();
    if json {
        out.line(serde_json::json!(metrics.catalog()));
        return Exit::Ended;
    }
    let mut table = comfy_table::Table::new();
    table
        .load_preset(comfy_table::presets::NOTHING)
        .set_header(["name", "type", "unit", "labels", "help"]);
    for entry in metrics.catalog() {
        let labels = entry.labels.join(",");
        table.add_row([entry.name.as_str(), entry.kind, entry.unit, &labels, entry.help]);
    }
    for line in table.lines() {
        out.line(line.trim_end());
    }
    Exit::Ended
}

fn complain(effective: &Effective, out: &Out) {
    for warning in &effective.warnings {
        out.complain(format_args!("warning: {warning}"));
    }
    for problem in &effective.problems {
        out.complain(format_args!("error: {problem}"));
    }
    if !effective.problems.is_empty() {
        out.complain("docs/configuration.md explains every setting; `segue config` shows what is in effect.");
    }
}

fn show_settings(args: &args::ConfigArgs, out: &Out) -> Exit {
    let effective = config::load(&args.flags, Need::Everything);
    if args.json {
        out.line(serde_json::json!({ "settings": effective.rows }));
    } else {
        out.line(show::table(&effective.rows));
    }
    complain(&effective, out);
    if effective.problems.is_empty() {
        Exit::Ended
    } else {
        Exit::BadSettings
    }
}
