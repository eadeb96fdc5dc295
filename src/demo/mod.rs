//! `segue demo`: a simulated Discord and Lavalink, replicas as real processes, and a page to watch and break them.
//!
//! `simulator` starts the world, `cast` and `replica` keep the processes, `opening` makes the guilds play, `observer`
//! paints the `picture` from the control API, `server` shows it, `acts` carries out what its buttons ask for and what a
//! `story` says.

pub mod acts;
pub mod cast;
pub mod control;
pub mod guard;
pub mod happening;
pub mod headline;
pub mod observer;
pub mod opening;
pub mod page;
pub mod paint;
pub mod picture;
pub mod replica;
pub mod server;
pub mod show;
pub mod simulator;
pub mod story;
pub mod strips;
pub mod wire;

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use cast::Actor;
use replica::{Launch, Life};
use show::Show;
use simulator::Ready;

use crate::sim::story::Story;

/// What `segue demo` was asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Replica processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub replicas: u32,
    /// Guilds that play.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub guilds: u32,
    /// Where the replicas keep their state, as `SEGUE_STORE`; a file in the demo's own folder unless given.
    #[arg(long)]
    pub store: Option<String>,
    /// One line of JSON on standard output once all guilds play.
    #[arg(long)]
    pub json: bool,
    /// A story to tell once all guilds play: a name or a file.
    #[arg(long)]
    pub story: Option<String>,
}

/// Runs the demo until Ctrl-C or SIGTERM. No process and no folder is left, also after an error.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let ended = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    };
    let folder = tempfile::Builder::new()
        .prefix("segue-demo-")
        .tempdir()
        .context("no folder for the demo's state")?;
    let outcome = stage(&args, folder.path(), ended).await;
    folder.close().context("the demo's folder could not be removed")?;
    outcome
}

async fn stage(args: &DemoArgs, folder: &Path, ended: impl Future<Output = ()>) -> anyhow::Result<()> {
    let teller = Teller { json: args.json };
    // A story that cannot be told is told before anything is started.
    let story = args
        .story
        .as_deref()
        .map(|name| story::find(name, args.replicas))
        .transpose()?;
    let shards = simulator::shards_for(args.replicas);
    teller.say(&format!(
        "Starting a simulated Discord with {shards} shards and two simulated Lavalink nodes."
    ));
    let mut simulation = simulator::start(args.guilds, shards).await?;
    let ready = simulation.ready.clone();
    let ended = async {
        tokio::select! {
            () = ended => Ok(()),
            why = simulation.failed() => Err(why.into()),
        }
    };
    let outcome = in_world(args, folder, (&ready, story.as_ref()), teller, ended).await;
    simulation.end().await;
    outcome
}

async fn in_world(
    args: &DemoArgs,
    folder: &Path,
    (ready, story): (&Ready, Option<&Story>),
    teller: Teller,
    ended: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let show = Show::open(&ready.control, launches(args, folder, ready)?).await?;
    let outcome = tokio::select! {
        outcome = perform(&show, ready, story, teller) => outcome,
        why = anyone_given_up(&show.cast.actors) => Err(anyhow::anyhow!(why)),
        over = ended => over,
    };
    teller.say("Ending: the replicas are asked to leave.");
    show.close().await;
    outcome
}

/// Makes everything play, then stays until it is dropped.
async fn perform(show: &Show, ready: &Ready, story: Option<&Story>, teller: Teller) -> anyhow::Result<()> {
    let replicas = show.cast.actors.len();
    teller.say(&format!(
        "Starting {replicas} replica{} of the bot.",
        if replicas == 1 { "" } else { "s" }
    ));
    for actor in &show.cast.actors {
        actor.up().await?;
    }
    teller.say(&format!("The page is at {} – the guilds begin to play.", show.page));
    opening::play(&show.control, |playing, all| {
        if playing == all || playing % (all / 10).max(5) == 0 {
            teller.say(&format!("  {playing} of {all} guilds play."));
        }
    })
    .await?;
    if teller.json {
        tell_ready(show, ready)?;
    }
    teller.say(&format!(
        "Everything plays. Open {} and break something. Ctrl-C ends it all.",
        show.page
    ));
    if let Some(story) = story {
        story::tell(story, show, &ready.control, |words| teller.say(words)).await?;
    }
    std::future::pending().await
}

async fn anyone_given_up(actors: &[Actor]) -> String {
    let waiting = actors.iter().map(|actor| Box::pin(actor.given_up()));
    futures_util::future::select_all(waiting).await.0
}

/// One launch per replica: the same program, the same settings, nothing of this process's environment.
fn launches(args: &DemoArgs, folder: &Path, ready: &Ready) -> anyhow::Result<Vec<Launch>> {
    let program = std::env::current_exe().context("where this program is")?;
    let store = args
        .store
        .clone()
        .unwrap_or_else(|| format!("sqlite:{}", folder.join("segue.db").display()));
    let named = |name: String| {
        let cut = folder.join(format!("{name}.cut"));
        let mut env = settings(ready, format!("{store}#cut={}", cut.display()));
        env.push(("SEGUE_NAME".to_owned(), name));
        Launch {
            program: program.clone(),
            args: vec!["run".to_owned()],
            env,
            cut,
        }
    };
    Ok(cast::names().take(args.replicas.max(1) as usize).map(named).collect())
}

fn settings(ready: &Ready, store: String) -> Vec<(String, String)> {
    let node = |node: &simulator::Node| node.url.replacen("://", &format!("://:{}@", node.password), 1);
    let nodes: Vec<String> = ready
        .lavalink
        .iter()
        .map(|one| format!("{}={}", one.name, node(one)))
        .collect();
    [
        ("DISCORD_TOKEN", ready.token.clone()),
        ("SEGUE_DISCORD_API_URL", ready.discord_api.clone()),
        ("SEGUE_DISCORD_GATEWAY_URL", ready.discord_gateway.clone()),
        ("SEGUE_LAVALINK_NODES", nodes.join(",")),
        ("SEGUE_STORE", store),
        ("SEGUE_CLUSTER", "store".to_owned()),
        ("SEGUE_HTTP_LISTEN", "127.0.0.1:0".to_owned()),
        ("SEGUE_PEER_LISTEN", "127.0.0.1:0".to_owned()),
        ("SEGUE_LOG_FORMAT", "json".to_owned()),
        ("SEGUE_LOG", "info".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Speaks to the person at the terminal: in words, or with `json` in one line and the words beside it.
#[derive(Clone, Copy, Debug)]
struct Teller {
    json: bool,
}

impl Teller {
    fn say(self, words: &str) {
        // A terminal that is gone must not end the demo.
        drop(if self.json {
            writeln!(std::io::stderr(), "{words}")
        } else {
            writeln!(std::io::stdout(), "{words}")
        });
    }
}

/// The line for a harness.
fn tell_ready(show: &Show, ready: &Ready) -> anyhow::Result<()> {
    let replicas = show.cast.actors.iter().filter_map(|actor| match actor.life() {
        Life::Up { pid, http } => Some(json!({"name": actor.name, "pid": pid, "http": http})),
        Life::Starting { .. }
        | Life::Frozen { .. }
        | Life::Stopping { .. }
        | Life::Down { .. }
        | Life::GivenUp { .. } => None,
    });
    let replicas: Vec<_> = replicas.collect();
    writeln!(
        std::io::stdout(),
        "{}",
        json!({"sim": ready, "page": show.page, "replicas": replicas})
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_given_the_simulated_world_and_nothing_else() {
        let node = |name: &str| simulator::Node {
            name: name.into(),
            url: "http://127.0.0.1:9".into(),
            password: "p%20q".into(),
        };
        let ready = Ready {
            discord_api: "http://127.0.0.1:1".into(),
            discord_gateway: "ws://127.0.0.1:2".into(),
            token: "token".into(),
            lavalink: vec![node("a"), node("b")],
            control: "http://127.0.0.1:3".into(),
        };
        let settings = settings(&ready, "sqlite:/x".into());
        let nodes = &settings
            .iter()
            .find(|(name, _)| name == "SEGUE_LAVALINK_NODES")
            .unwrap()
            .1;
        assert_eq!(nodes, "a=http://:p%20q@127.0.0.1:9,b=http://:p%20q@127.0.0.1:9");
        assert!(
            settings
                .iter()
                .all(|(name, _)| name.starts_with("SEGUE_") || name == "DISCORD_TOKEN")
        );
    }
}
