//! Guilds that changed hands, as the replicas that took them say, and what was silent because a track ended just then.

use serde_json::Value;

use super::none;
use crate::figure::{Aim, Figure};
use crate::stage::Stage;

/// What a guild whose track ended meanwhile may be silent beyond its takeover.
const BEYOND_MS: f64 = 100.0;
/// How exactly a log's moment and the simulator's can be compared.
const BLUR_MS: i64 = 20;

/// One guild was taken, by the simulator's clock.
#[derive(Debug)]
struct Takeover {
    guild: String,
    from_ms: i64,
    until_ms: i64,
}

/// All of them.
pub(super) struct Takeovers {
    /// The wall clock when the simulator's was at 0.
    zero_ms: i64,
    all: Vec<Takeover>,
}

impl Takeovers {
    /// None yet.
    pub(super) async fn begin(stage: &Stage) -> Self {
        let now_ms = i64::try_from(stage.now_ms().await).unwrap();
        Self {
            zero_ms: jiff::Timestamp::now().as_millisecond() - now_ms,
            all: Vec::new(),
        }
    }

    /// What a replica logged in its life; each log is to be read once.
    pub(super) fn read(&mut self, log: &[Value]) {
        for line in log.iter().filter(|line| line["message"] == "recovered") {
            let at: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
            let until_ms = at.as_millisecond() - self.zero_ms;
            self.all.push(Takeover {
                guild: line["guild"].as_str().unwrap().to_owned(),
                from_ms: until_ms - line["took_ms"].as_i64().unwrap_or(0),
                until_ms,
            });
        }
    }

    /// Reads what the replicas that run logged, and says how long guilds between two short tracks were silent.
    pub(super) async fn silences(mut self, stage: &Stage, since_ms: u64) -> Vec<Figure> {
        for bot in stage.team.bots.values() {
            self.read(&bot.log());
        }
        let (mut within, mut outside) = (Vec::new(), 0);
        for (guild, from_ms, length_ms) in stage.gaps(&stage.short, since_ms).await {
            let (from_ms, length_ms) = (i64::try_from(from_ms).unwrap(), i64::try_from(length_ms).unwrap());
            let its = |one: &&Takeover| {
                let begins = one.from_ms - BLUR_MS..=one.until_ms + BLUR_MS;
                one.guild == guild && begins.contains(&from_ms)
            };
            if let Some(one) = self.all.iter().find(its) {
                #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
                let beyond_ms = (length_ms - (one.until_ms - one.from_ms)).max(0) as f64;
                if beyond_ms > BEYOND_MS {
                    crate::report::say(&format!(
                        "{guild} was silent for {length_ms} ms from {from_ms} ms, in {one:?}"
                    ));
                }
                within.push(beyond_ms);
            } else {
                let latest = self.all.iter().rfind(|one| one.guild == guild);
                crate::report::say(&format!(
                    "{guild} was silent for {length_ms} ms from {from_ms} ms, in no takeover; its last: {latest:?}"
                ));
                outside += 1;
            }
        }
        let mut figures = vec![none("gaps between short tracks outside of takeovers", outside)];
        if let Some(worst) = within.iter().copied().reduce(f64::max) {
            let what = format!(
                "tracks that ended in a takeover ({}): silence beyond it, worst",
                within.len()
            );
            figures.push(Figure::new(
                &what,
                worst,
                "ms",
                BEYOND_MS,
                "the limit",
                Aim::AtMost(1.0),
            ));
        }
        figures
    }
}
