//! Many replicas: what is heard and how fast people are answered when one of them, a node, or the store fails.

pub(super) mod cost;
pub(super) mod deaths;
pub(super) mod frozen;
pub(super) mod nodes;
pub(super) mod outage;
pub(super) mod roll;
mod takeovers;

use crate::figure::{Aim, Figure};
use crate::people::Served;
use crate::stage::Stage;

/// A count that is meant to be nothing.
fn none(what: &str, count: usize) -> Figure {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let value = count as f64;
    Figure::new(what, value, "", 1.0, "one would be too many", Aim::AtMost(0.0))
}

/// What never may happen, whatever fails: logins, joins, unanswered commands, lost ones, broken rules.
async fn unbothered(stage: &Stage, served: Option<Served>) -> Vec<Figure> {
    stage.keep_logs();
    let count = |number: u64| usize::try_from(number).unwrap();
    let mut figures = vec![
        none("IDENTIFYs", count(stage.since("identify").await)),
        none("op 4", count(stage.since("voice_state_update").await)),
        none("violations", stage.violations().await),
    ];
    if let Some(served) = served {
        let missed = format!("commands not acknowledged in time, of {}", served.issued);
        let (confirmed, asked) = (served.confirmed, served.asked);
        let broken = format!("tracks not kept exactly once, of {confirmed} confirmed ({asked} asked for)");
        figures.push(none(&missed, count(served.missed)));
        figures.push(none(&broken, served.broken));
    }
    figures
}
