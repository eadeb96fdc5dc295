//! What can be written after `segue`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::flags::Flags;
use crate::model::ids::GuildId;
use crate::sim::MOST_SHARDS;

/// A self-hosted Discord music bot that does not stop when its pods do.
#[derive(Clone, Debug, Parser)]
#[command(name = "segue", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `run` when nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings for `run`.
    #[command(flatten)]
    pub flags: Flags,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run one replica of the bot (the default)
    Run(Flags),
    /// Run a cluster on this machine with a simulated Discord and Lavalink, and a page to watch and break it
    Demo(DemoArgs),
    /// Run only the simulated Discord and Lavalink, with their control API
    Sim(SimArgs),
    /// Check the token, the store and the Lavalink nodes, and say what to do
    Doctor(Flags),
    /// Show the effective settings and where each came from; secrets are masked
    Config(ConfigArgs),
    /// Show the cluster as the store knows it: members, shards, guilds, recent recoveries
    Status(StatusArgs),
    /// Let a quarantined guild go
    Release(ReleaseArgs),
    /// Ask the replica on this machine whether it is alive
    Healthcheck(Flags),
    /// Have a Lavalink node emptied before it stops: its players move to others while they play
    Drain(DrainArgs),
    /// List every metric
    MetricsCatalog(CatalogArgs),
}

/// `segue demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// How many replicas, each a process
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub replicas: u32,
    /// How many guilds that play
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub guilds: u32,
    /// Where the replicas keep state; a file in a temporary folder unless given
    #[arg(long)]
    pub store: Option<String>,
    /// Print one JSON line once all guilds play, instead of text for people
    #[arg(long)]
    pub json: bool,
    /// Once all guilds play, tell a story: quiet-evening, bad-night, rolling-update, or a file of your own
    #[arg(long, value_name = "NAME|FILE")]
    pub story: Option<String>,
}

/// `segue sim`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SimArgs {
    /// What to do; without, the simulator runs until a signal.
    #[command(subcommand)]
    pub act: Option<SimAct>,
    /// How many guilds there are at first
    #[arg(long, default_value_t = 1)]
    pub guilds: u32,
    /// How many shards Discord recommends
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_SHARDS)))]
    pub shards: u32,
    /// How many shards may identify in one window of 5 s
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_concurrency: u32,
    /// Names of the Lavalink nodes, commas between; may be empty
    #[arg(long, default_value = "a,b")]
    pub nodes: String,
    /// Where the random source starts
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Discord's address; control is on the next port, then the nodes; with port 0 all are free ones
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The host that addresses are told with, when others reach it by another name
    #[arg(long)]
    pub advertise: Option<String>,
    /// What voice server updates name, HOST:PORT, for a real Lavalink with a voice server of yours
    #[arg(long, value_name = "HOST:PORT")]
    pub voice_endpoint: Option<String>,
    /// Tell a story: a file with a line for each act, as `at 3s kill node a`
    #[arg(long, value_name = "FILE")]
    pub story: Option<PathBuf>,
    /// How long a gateway session without a socket can be resumed, in ms
    #[arg(long, default_value_t = 90_000)]
    pub session_ttl_ms: u64,
    /// How often Discord wants a heartbeat, in ms
    #[arg(long, default_value_t = 41_250, value_parser = clap::value_parser!(u64).range(1..))]
    pub heartbeat_ms: u64,
    /// How often a node says how its players do, in ms
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub stats_ms: u64,
}

/// What `segue sim` does besides running.
#[derive(Clone, Debug, Subcommand)]
pub enum SimAct {
    /// Judge a log that `GET /log` gave: print each violation as a line of JSON, and end with 1 if there is any
    Check {
        /// The file, or - for the standard input
        log: PathBuf,
    },
    /// Measure what the simulator itself costs, and print it as JSON; it drives itself over its sockets
    #[command(hide = true)]
    Measure(MeasureArgs),
}

/// `segue sim measure`.
#[derive(Clone, Debug, Args)]
pub struct MeasureArgs {
    /// Guilds of the steady state
    #[arg(long, default_value_t = 10_000)]
    pub guilds: u32,
    /// How many of them play
    #[arg(long, default_value_t = 1_000)]
    pub players: u32,
    /// Idle guilds of the start
    #[arg(long, default_value_t = 100_000)]
    pub idle: u32,
    /// Events a second to ask for
    #[arg(long, default_value_t = 20_000)]
    pub events: u32,
    /// How long each state is watched, in seconds
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
}

impl SimArgs {
    /// The nodes' names in order.
    pub fn node_names(&self) -> Vec<String> {
        let names = self.nodes.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }
}

/// `segue drain`.
#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// The node's name in `SEGUE_LAVALINK_NODES`
    pub node: String,
    /// It may be used again
    #[arg(long)]
    pub undo: bool,
    /// Settings.
    #[command(flatten)]
    pub flags: Flags,
}

/// `segue config`.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub flags: Flags,
}

/// `segue status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Settings.
    #[command(flatten)]
    pub flags: Flags,
}

/// `segue release`.
#[derive(Clone, Debug, Args)]
pub struct ReleaseArgs {
    /// The guild's id
    #[arg(value_name = "GUILD", value_parser = super::release::guild, allow_hyphen_values = true)]
    pub guild: GuildId,
    /// Settings.
    #[command(flatten)]
    pub flags: Flags,
}

/// `segue metrics-catalog`.
#[derive(Clone, Debug, Args)]
pub struct CatalogArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_has_no_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_means_run_with_its_flags() {
        let cli = Cli::try_parse_from(["segue", "--store", "sqlite:a.db"]).unwrap();
        assert!(cli.command.is_none());
        let cli = Cli::try_parse_from(["segue", "run", "--store", "sqlite:a.db"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Run(_))));
    }

    #[test]
    fn no_flag_takes_the_token_itself() {
        assert!(Cli::try_parse_from(["segue", "run", "--discord-token", "x"]).is_err());
        assert!(Cli::try_parse_from(["segue", "run", "--discord-token-file", "x"]).is_ok());
    }

    #[test]
    fn a_log_is_judged_by_name() {
        let cli = Cli::try_parse_from(["segue", "sim", "check", "a.log"]).unwrap();
        let Some(Command::Sim(sim)) = cli.command else {
            panic!("{cli:?}")
        };
        assert!(matches!(sim.act, Some(SimAct::Check { log }) if log.ends_with("a.log")));
        assert!(Cli::try_parse_from(["segue", "sim", "--guilds", "3", "check", "a.log"]).is_err());
    }

    #[test]
    fn the_simulator_may_have_no_nodes() {
        let cli = Cli::try_parse_from(["segue", "sim", "--nodes", ""]).unwrap();
        let Some(Command::Sim(sim)) = cli.command else {
            panic!("{cli:?}")
        };
        assert!(sim.node_names().is_empty());
    }

    #[test]
    fn the_simulator_recommends_no_more_shards_than_it_lets_in() {
        let with = |shards: &str| Cli::try_parse_from(["segue", "sim", "--shards", shards]);
        assert!(with("16384").is_ok());
        assert!(with("16385").is_err() && with("4294967295").is_err() && with("0").is_err());
    }
}
