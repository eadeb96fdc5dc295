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

/// Starts Discord with one shard and `guilds` guilds, and two nodes, inside this process.
pub async fn start(guilds: u32) -> anyhow::Result<Simulation> {
    let options = sim::Options {
        guilds: usize::try_from(guilds)?,
        nodes: vec!["a".to_owned(), "b".to_owned()],
        ..sim::Options::default()
    };
    let sim = sim::start(options).await?;
    Ok(Simulation { ready: sim.ready.clone(), sim })
}

impl Simulation {
    /// Closes everything simulated.
    pub async fn end(self) {
        self.sim.shutdown().await;
    }
}
