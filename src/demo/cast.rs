//! The replicas of the demo: names, orders and how each fares.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::replica::{Launch, Life, Order, keep};

/// Orders that may wait for a replica.
const ORDERS_WAITING: usize = 8;

/// From one look at a replica's readiness to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// One replica as the others of the demo see it.
#[derive(Clone, Debug)]
pub struct Actor {
    /// `a`, `b`, …
    pub name: String,
    orders: mpsc::Sender<Order>,
    life: watch::Receiver<Life>,
    cut: PathBuf,
}

impl Actor {
    /// Cuts it off from its store, or connects it again.
    pub fn cut(&self, off: bool) -> std::io::Result<()> {
        if off {
            std::fs::write(&self.cut, "")
        } else {
            std::fs::remove_file(&self.cut)
        }
    }

    /// Whether it is cut off from its store.
    pub fn is_cut(&self) -> bool {
        self.cut.exists()
    }

    /// How it fares now.
    pub fn life(&self) -> Life {
        self.life.borrow().clone()
    }

    /// Asks for something; `false` where too much is asked of it at once or it was given up.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Waits until it listens; its address. Fails where it was given up.
    pub async fn up(&self) -> anyhow::Result<String> {
        let mut life = self.life.clone();
        let found = life
            .wait_for(|life| matches!(life, Life::Up { .. } | Life::GivenUp { .. }))
            .await?;
        match &*found {
            Life::Up { http, .. } => Ok(http.clone()),
            Life::GivenUp { why } => anyhow::bail!("replica {} does not start: {why}", self.name),
            Life::Starting { .. } | Life::Frozen { .. } | Life::Stopping { .. } | Life::Down { .. } => {
                anyhow::bail!("it changed again")
            }
        }
    }

    /// Waits until it listens; its process. `None` where it is frozen, was given up, or does not listen `within`.
    pub async fn listening(&self, within: Duration) -> Option<u32> {
        let mut life = self.life.clone();
        let settled = life.wait_for(|life| match life {
            Life::Up { .. } | Life::Frozen { .. } | Life::GivenUp { .. } => true,
            Life::Starting { .. } | Life::Stopping { .. } | Life::Down { .. } => false,
        });
        match &*timeout(within, settled).await.ok()?.ok()? {
            Life::Up { pid, .. } => Some(*pid),
            Life::Frozen { .. }
            | Life::GivenUp { .. }
            | Life::Starting { .. }
            | Life::Stopping { .. }
            | Life::Down { .. } => None,
        }
    }

    /// Waits until another process than `before` listens and says that it is ready. Fails where it was given up, or after
    /// `within`.
    pub async fn ready_again(&self, before: u32, within: Duration) -> anyhow::Result<()> {
        let mut life = self.life.clone();
        let ready = async {
            loop {
                let found = life
                    .wait_for(|life| match life {
                        Life::Up { pid, .. } => *pid != before,
                        Life::GivenUp { .. } => true,
                        Life::Starting { .. } | Life::Frozen { .. } | Life::Stopping { .. } | Life::Down { .. } => {
                            false
                        }
                    })
                    .await?
                    .clone();
                let Life::Up { http, .. } = found else {
                    anyhow::bail!("replica {} does not start", self.name);
                };
                let answer = reqwest::get(format!("{http}/readyz")).await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return Ok(());
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(within, ready)
            .await
            .map_err(|_| anyhow::anyhow!("replica {} was not ready within {} s", self.name, within.as_secs()))?
    }

    /// Waits until it is given up; why.
    pub async fn given_up(&self) -> String {
        let mut life = self.life.clone();
        match life
            .wait_for(|life| matches!(life, Life::GivenUp { .. }))
            .await
            .as_deref()
        {
            Ok(Life::GivenUp { why }) => format!("replica {} does not start: {why}", self.name),
            // Nobody keeps it any more: the demo is ending.
            Ok(_) | Err(_) => std::future::pending().await,
        }
    }
}

/// All replicas. Dropping it kills them; [`Cast::leave`] lets them go in order.
#[derive(Debug)]
pub struct Cast {
    /// In order of their names.
    pub actors: Vec<Actor>,
    end: CancellationToken,
    tasks: JoinSet<()>,
}

impl Cast {
    /// Starts one replica per launch.
    pub fn start(launches: Vec<Launch>) -> Self {
        let end = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut actors = Vec::new();
        for (launch, name) in launches.into_iter().zip(names()) {
            let (orders, inbox) = mpsc::channel(ORDERS_WAITING);
            let (life, seen) = watch::channel(Life::not_yet());
            let cut = launch.cut.clone();
            tasks.spawn(keep(launch, inbox, life, end.clone()));
            actors.push(Actor {
                name,
                orders,
                life: seen,
                cut,
            });
        }
        Self { actors, end, tasks }
    }

    /// Asks all to leave and waits; those that stay too long are killed.
    pub async fn leave(mut self) {
        self.end.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// `a` to `z`, then `r27`, `r28`, …
pub fn names() -> impl Iterator<Item = String> {
    ('a'..='z')
        .map(String::from)
        .chain((27..).map(|number| format!("r{number}")))
}
