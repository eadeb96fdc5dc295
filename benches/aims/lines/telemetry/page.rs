//! The page of metrics while few and while many guilds play.

use tokio::time::{Instant, sleep};

use crate::crowd::{self, Place};
use crate::figure::{Aim, Figure, median, ms, percentile};
use crate::harness::{Bot, Setup, World};

/// What plays.
pub(super) const TITLE: &str = "Base";
/// How often it is asked for.
const ASKED: usize = 100;
/// How long it may take, in milliseconds.
const LIMIT_MS: f64 = 10.0;
/// How much it may grow: a call of a kind that was not made before adds some twenty samples, and counts get more digits. One
/// sample for each guild would be 900 more, and double it.
const GROWS: f64 = 1.1;

struct Seen {
    /// In milliseconds.
    took: Vec<f64>,
    bytes: f64,
    samples: f64,
}

/// Leaves the music playing and nobody who drives it.
pub(super) async fn figures(world: &World, setup: &Setup, places: &[Place], few: usize) -> Vec<Figure> {
    let bot = setup.ready().await;
    crowd::play(world, &places[..few], TITLE).await;
    // Past an auto-save: what happens for the first time is new on the page, whatever the number of guilds.
    sleep(super::SETTLES).await;
    let small = look(&bot).await;
    crowd::play(world, &places[few..], TITLE).await;
    sleep(super::SETTLES).await;
    let large = look(&bot).await;
    bot.kill().await;
    let figure = |what: &str, value, unit, against, of: &str, aim| Figure::new(what, value, unit, against, of, aim);
    let (worst, middle) = (percentile(&large.took, 0.99), median(&large.took));
    let of = "with 100";
    vec![
        figure(
            "/metrics with 1,000 players, p99",
            worst,
            "ms",
            LIMIT_MS,
            "the limit",
            Aim::AtMost(1.0),
        ),
        figure("the same, p50", middle, "ms", LIMIT_MS, "the limit", Aim::Told),
        figure("its size", large.bytes, "bytes", small.bytes, of, Aim::AtMost(GROWS)),
        figure("samples in it", large.samples, "samples", small.samples, of, Aim::Told),
    ]
}

/// From the question to the last byte, over loopback, on a connection that is open already.
async fn look(bot: &Bot) -> Seen {
    let (url, http) = (format!("{}/metrics", bot.http().await), reqwest::Client::new());
    let mut seen = Seen {
        took: Vec::new(),
        bytes: 0.0,
        samples: 0.0,
    };
    for _ in 0..ASKED {
        let begun = Instant::now();
        let text = http.get(&url).send().await.unwrap().text().await.unwrap();
        seen.took.push(ms(begun.elapsed()));
        #[expect(clippy::cast_precision_loss, reason = "a page of some kilobytes")]
        {
            seen.bytes = text.len() as f64;
            seen.samples = text.lines().filter(|line| !line.starts_with('#')).count() as f64;
        }
    }
    seen
}
