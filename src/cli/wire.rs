//! Where commands meet the parts that do the work: one small function each.

use std::sync::Arc;

use super::args::{DemoArgs, SimArgs};
use super::exit::Exit;
use super::{Failure, Out};
use crate::config::{Settings, StoreAddress};
use crate::model::ids::MemberId;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;

/// Runs one replica until it is told to stop. `warnings` are about the settings.
pub(super) async fn run(settings: Settings, warnings: Vec<String>) -> Result<Exit, Failure> {
    let member = MemberId(uuid::Uuid::now_v7().to_string());
    let metrics = Arc::new(Metrics::default());
    let telemetry = Telemetry::start(&settings.log, &settings.otel, &member.0, &metrics)
        .map_err(|error| Failure(error.to_string()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let ended = replica(settings, member, metrics).await;
    if !telemetry.flush().await {
        tracing::warn!("the last traces could not be sent");
    }
    ended
}

/// The replica itself; a refused token ends with [`Exit::TokenRefused`].
async fn replica(settings: Settings, member: MemberId, metrics: Arc<Metrics>) -> Result<Exit, Failure> {
    drop((settings, member, metrics));
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
pub(super) async fn status(_store: &StoreAddress, _json: bool, _out: &Out) -> Result<Exit, Failure> {
    absent("status").await
}

/// Lets a quarantined guild go.
pub(super) async fn release(_store: &StoreAddress, _guild: u64, _out: &Out) -> Result<Exit, Failure> {
    absent("release").await
}

async fn absent(command: &'static str) -> Result<Exit, Failure> {
    std::future::ready(Err(Failure(format!("this build has no `segue {command}`")))).await
}
