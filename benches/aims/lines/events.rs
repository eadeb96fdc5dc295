//! Gateway events per core: the bot, from its socket to the guilds, against a bare loop over twilight's `next_event`.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Line;
use crate::feed::{Client, Feed};
use crate::figure::{Aim, Figure, Outcome, median};
use crate::harness::{Setup, World};
use crate::process;

pub(crate) const LINE: Line = Line {
    name: "events",
    about: "gateway events for each second on a core, against a bare next_event loop",
    run: || Box::pin(measure()),
};

/// Events of one burst: two seconds of work, so that the kernel's hundredths of a second do not matter.
const EVENTS: u64 = 200_000;
/// Bursts of each, by turns.
const ROUNDS: usize = 5;

async fn measure() -> Outcome {
    let feed = Feed::prepare(EVENTS).await;
    let world = World::start(0).await;
    let (mut bot, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(per_second(of_bare(&feed).await));
        bot.push(per_second(of_bot(&feed, &world).await));
    }
    Outcome::Measured(vec![Figure {
        what: "events a core takes, from socket to guild".to_owned(),
        value: median(&bot),
        unit: "events/s",
        against: median(&bare),
        of: "a bare next_event loop, same events".to_owned(),
        aim: Aim::AtLeast(0.8),
    }])
}

fn per_second(cpu: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred thousand")]
    let events = EVENTS as f64;
    events / cpu.as_secs_f64()
}

async fn of_bot(feed: &Feed, world: &World) -> Duration {
    let bot = Setup::sqlite(world)
        .set("SEGUE_DISCORD_GATEWAY_URL", &feed.url())
        .spawn();
    let (cpu, client) = burst(feed, bot.pid()).await;
    bot.kill().await;
    drop(client);
    cpu
}

async fn of_bare(feed: &Feed) -> Duration {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--bare", &feed.url()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (cpu, client) = burst(feed, child.id().unwrap()).await;
    child.kill().await.unwrap();
    drop(client);
    cpu
}

/// The time on any core that a client needed for one burst. The connection has to live as long as the process: it would
/// connect again, and be taken for the next one.
async fn burst(feed: &Feed, pid: u32) -> (Duration, Client<'_>) {
    let mut client = feed.login().await;
    process::idle(pid).await;
    let before = process::cpu(pid);
    client.send_events().await;
    process::idle(pid).await;
    (process::cpu(pid).saturating_sub(before), client)
}
