//! The only place where the demo meets the simulator's code; everything else goes over its control API.

use crate::sim::{self, Sim};
pub use crate::sim::{NodeReady as Node, Ready};

/// A running simulator.
#[derive(Debug)]
pub struct Simulation {
    /// Where everything is.
    pub ready: Ready,
    sim: Sim,
}

/// One shard for one replica; two for each of several, so that it is seen where they go.
pub const fn shards_for(replicas: u32) -> u32 {
    if replicas > 1 { 2 * replicas } else { 1 }
}

/// Starts Discord with `guilds` guilds on so many shards, and two nodes, inside this process. All shards may log in at
/// once: nobody wants to watch Discord's five seconds for each.
pub async fn start(guilds: u32, shards: u32) -> anyhow::Result<Simulation> {
    let options = sim::Options {
        guilds: usize::try_from(guilds)?,
        shards,
        max_concurrency: shards,
        nodes: vec!["a".to_owned(), "b".to_owned()],
        ..sim::Options::default()
    };
    let sim = sim::start(options).await?;
    Ok(Simulation {
        ready: sim.ready.clone(),
        sim,
    })
}

impl Simulation {
    /// Waits until it is broken, and answers why.
    pub async fn failed(&mut self) -> std::io::Error {
        self.sim.failed().await
    }

    /// Ends it.
    pub async fn end(self) {
        self.sim.shutdown().await;
    }
}
