//! Where commands meet the parts that do the work: one small function each.

use super::args::{DemoArgs, SimArgs};
use super::exit::Exit;
use super::{Failure, Out};
use crate::config::Settings;

/// Runs one replica until it is told to stop.
pub(super) async fn run(settings: Settings) -> Result<Exit, Failure> {
    drop(settings);
    absent("run").await
}

/// Runs the demo until it is told to stop.
pub(super) async fn demo(args: DemoArgs, _out: &Out) -> Result<Exit, Failure> {
    drop(args);
    absent("demo").await
}

/// Runs the simulator until it is told to stop.
pub(super) async fn sim(args: SimArgs, _out: &Out) -> Result<Exit, Failure> {
    drop(args);
    absent("sim").await
}

/// Prints what the store knows of the cluster.
pub(super) async fn status(settings: &Settings, _json: bool, _out: &Out) -> Result<Exit, Failure> {
    let _store = &settings.store;
    absent("status").await
}

/// Lets a quarantined guild go.
pub(super) async fn release(settings: &Settings, _guild: u64, _out: &Out) -> Result<Exit, Failure> {
    let _store = &settings.store;
    absent("release").await
}

async fn absent(command: &'static str) -> Result<Exit, Failure> {
    std::future::ready(Err(Failure(format!("this build has no `segue {command}`")))).await
}
