//! Where commands meet the parts that do the work: one small function each.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{self, SignalKind};
use tokio_util::sync::CancellationToken;

use super::args::{DemoArgs, SimArgs};
use super::exit::Exit;
use super::{Failure, Out};
use crate::app::{self, RunError};
use crate::config::Settings;
use crate::sim::story::{self, Story};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;
use crate::{demo, sim};

/// Runs one replica until it is told to stop.
pub(super) async fn run(settings: Settings, warnings: Vec<String>) -> Result<Exit, Failure> {
    let metrics = Arc::new(Metrics::default());
    let instance = uuid::Uuid::now_v7().to_string();
    let telemetry = Telemetry::start(&settings.log, &settings.otel, &instance, &metrics)
        .map_err(|error| Failure(error.to_string()))?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let stop = CancellationToken::new();
    let ended = until_signal(app::run(settings, metrics, stop.clone()), &stop).await;
    if !telemetry.flush().await {
        tracing::warn!("the last traces could not be sent");
    }
    match ended {
        Ok(()) => Ok(Exit::Ended),
        Err(RunError::TokenRefused) => {
            tracing::error!(
                "Discord refused the token; set DISCORD_TOKEN to the bot's current one (developer portal, Bot, Reset Token)"
            );
            Ok(Exit::TokenRefused)
        }
        Err(RunError::Failed(error)) => Err(Failure(format!("{error:#}"))),
        Err(error @ RunError::GatewayRefused(_)) => Err(Failure(error.to_string())),
    }
}

/// Runs the demo until it is told to stop.
pub(super) async fn demo(args: DemoArgs, _out: &Out) -> Result<Exit, Failure> {
    let args = demo::DemoArgs {
        replicas: args.replicas,
        guilds: args.guilds,
        store: args.store,
        json: args.json,
        story: args.story,
    };
    demo::run(args).await.map_err(|error| Failure(format!("{error:#}")))?;
    Ok(Exit::Ended)
}

/// Runs the simulator until it is told to stop.
pub(super) async fn sim(args: SimArgs, out: &Out) -> Result<Exit, Failure> {
    let nodes = args.node_names();
    let story = match &args.story {
        Some(file) => Some(story(file, &nodes)?),
        None => None,
    };
    let sim = sim::start(sim::Options {
        guilds: args.guilds as usize,
        shards: args.shards,
        max_concurrency: args.max_concurrency,
        nodes,
        seed: args.seed,
        listen: args.listen,
        advertise: args.advertise,
        voice_endpoint: args.voice_endpoint,
    })
    .await?;
    out.line(serde_json::to_string(&sim.ready).map_err(|error| Failure(error.to_string()))?);
    tokio::select! {
        ended = signal() => ended?,
        Err(error) = tell(story, &sim.ready.control, out) => return Err(error),
    }
    sim.shutdown().await;
    Ok(Exit::Ended)
}

/// A story that a simulator alone can tell.
fn story(file: &Path, nodes: &[String]) -> Result<Story, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| Failure(format!("{name}: {error}")))?;
    let bad = |problems: Vec<story::Problem>| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure(format!("the story cannot be told:\n{}", lines.join("\n")))
    };
    let story = story::parse(&name, &text).map_err(bad)?;
    match story.problems(nodes, &[]) {
        problems if problems.is_empty() => Ok(story),
        problems => Err(bad(problems)),
    }
}

/// Tells the story, if there is one, and then waits for ever.
async fn tell(story: Option<Story>, control: &str, out: &Out) -> Result<Infallible, Failure> {
    if let Some(story) = story {
        let told = story::run(&story, control, &story::Alone, |step| out.complain(step)).await;
        told.map_err(|error| Failure(error.to_string()))?;
    }
    std::future::pending().await
}

/// SIGINT or SIGTERM.
async fn signal() -> std::io::Result<()> {
    let mut terminate = unix::signal(SignalKind::terminate())?;
    let mut interrupt = unix::signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Runs `work`; the first signal asks it to stop.
async fn until_signal<T>(work: impl Future<Output = T>, stop: &CancellationToken) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        ended = &mut work => return ended,
        told = signal() => {
            if let Err(error) = told {
                tracing::warn!(%error, "signals cannot be heard; stopping");
            }
            tracing::info!("asked to stop; saving and leaving");
            stop.cancel();
        }
    }
    work.await
}
