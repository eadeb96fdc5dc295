//! The only place where the demo meets the simulator's code; everything else goes over its control API.

use serde::Serialize;

/// Where everything simulated is: the line that `segue sim` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// Discord's REST, `http://host:port`.
    pub discord_api: String,
    /// Discord's gateway, `ws://…`.
    pub discord_gateway: String,
    /// The bot's token.
    pub token: String,
    /// The nodes.
    pub lavalink: Vec<Node>,
    /// The control API.
    pub control: String,
}

/// A simulated Lavalink node.
#[derive(Clone, Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// `http://host:port`.
    pub url: String,
    /// Its password.
    pub password: String,
}

/// A running simulator.
#[derive(Debug)]
pub struct Simulation {
    /// Where everything is.
    pub ready: Ready,
}

impl Simulation {
    /// Closes everything simulated.
    #[expect(clippy::unused_async, reason = "closing sockets is asynchronous")]
    pub async fn end(self) {}
}

/// Starts Discord with one shard and `guilds` guilds, and two nodes, inside this process.
// WIRE-IN: the one stand-in of this folder, until `crate::sim` is there.
#[expect(clippy::unused_async, reason = "binding sockets is asynchronous")]
pub async fn start(guilds: u32) -> anyhow::Result<Simulation> {
    anyhow::bail!("this build has no simulator to put {guilds} guilds into")
}
