//! Where commands meet the parts that do the work: one small function each.

use std::convert::Infallible;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{self, SignalKind};

use super::args::{DemoArgs, MeasureArgs, SimAct, SimArgs};
use super::exit::Exit;
use super::{Failure, Out};
use crate::app::{self, RunError, Stop};
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
    let stop = Stop::default();
    let ended = Box::pin(until_signal(app::run(settings, metrics, stop.clone()), &stop)).await;
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
    match args.act {
        Some(SimAct::Check { log }) => return check(&log, out),
        Some(SimAct::Measure(args)) => return Box::pin(measure(&args, out)).await,
        None => {}
    }
    let nodes = args.node_names();
    let story = match &args.story {
        Some(file) => Some(story(file, &nodes)?),
        None => None,
    };
    let mut sim = sim::start(sim::Options {
        guilds: args.guilds as usize,
        shards: args.shards,
        max_concurrency: args.max_concurrency,
        nodes,
        seed: args.seed,
        listen: args.listen,
        advertise: args.advertise,
        voice_endpoint: args.voice_endpoint,
        session_ttl_ms: args.session_ttl_ms,
        heartbeat_ms: args.heartbeat_ms,
        stats_ms: args.stats_ms,
    })
    .await?;
    out.line(serde_json::to_string(&sim.ready).map_err(|error| Failure(error.to_string()))?);
    let control = sim.ready.control.clone();
    tokio::select! {
        ended = signal() => ended?,
        why = sim.failed() => return Err(why.into()),
        Err(error) = tell(story, &control, out) => return Err(error),
    }
    sim.shutdown().await;
    Ok(Exit::Ended)
}

/// Judges a log alone.
fn check(log: &Path, out: &Out) -> Result<Exit, Failure> {
    let unread = |why: std::io::Error| Failure(format!("{}: {why}", log.display()));
    let found = if log == Path::new("-") {
        sim::oracle::judge(std::io::stdin().lock())
    } else {
        File::open(log).and_then(|file| sim::oracle::judge(BufReader::new(file)))
    };
    let found = found.map_err(unread)?;
    for violation in &found {
        out.line(serde_json::to_string(violation).map_err(|error| Failure(error.to_string()))?);
    }
    Ok(if found.is_empty() { Exit::Ended } else { Exit::Failed })
}

/// Measures the simulator.
async fn measure(args: &MeasureArgs, out: &Out) -> Result<Exit, Failure> {
    let wanted = sim::measure::Wanted {
        guilds: args.guilds as usize,
        players: args.players as usize,
        idle: args.idle as usize,
        events: args.events,
        watch: Duration::from_secs(u64::from(args.seconds)),
    };
    let measured = sim::measure::run(&wanted).await?;
    out.line(serde_json::to_string(&measured).map_err(|error| Failure(error.to_string()))?);
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

/// Runs `work`; the first signal asks it to stop, a second one to hurry.
async fn until_signal<T>(work: impl Future<Output = T>, stop: &Stop) -> T {
    let mut work = std::pin::pin!(work);
    for (token, words) in [
        (&stop.asked, "asked to stop; saving and leaving"),
        (&stop.hurry, "asked again; leaving without waiting for others"),
    ] {
        tokio::select! {
            ended = &mut work => return ended,
            told = signal() => {
                if let Err(error) = told {
                    tracing::warn!(%error, "signals cannot be heard; stopping");
                }
                tracing::info!("{words}");
                token.cancel();
            }
        }
    }
    work.await
}
