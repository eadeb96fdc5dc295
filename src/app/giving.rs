//! Giving a shard up: what tells its loop to end, and the spans of that. They end, and are sent, before the store shows that
//! the shard is free: so the successor goes on with a trace that is there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::shard::Shard;
use crate::lifecycle::wall_ms;
use crate::telemetry::spans::{self, Beginning, Open};

/// Sending spans may delay whoever goes on with them by this much, and by nothing when the collector was silent before.
pub(super) const SEND: Duration = Duration::from_millis(200);

/// Ends the loop of a shard. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    asked: CancellationToken,
    trace: Arc<OnceLock<String>>,
}

impl Ending {
    /// Ends it, as a part of this trace.
    pub(super) fn ask(&self, trace: Option<String>) {
        if let Some(trace) = trace {
            self.trace.get_or_init(|| trace);
        }
        self.asked.cancel();
    }

    /// What completes when it is to end.
    pub(super) const fn asked(&self) -> &CancellationToken {
        &self.asked
    }
}

/// The span of giving a shard up; nothing where it is not given but lost.
pub(super) struct Giving {
    whole: Option<Open>,
    trace: Option<String>,
    step_ms: i64,
}

impl Giving {
    pub(super) fn begin(shard: &Shard, ending: &Ending, told: bool) -> Self {
        let step_ms = wall_ms();
        let begin = || {
            spans::begin(Beginning {
                name: "shard.give",
                parent: ending.trace.get().map(String::as_str),
                from_ms: step_ms,
                attributes: vec![
                    ("discord.shard.id", shard.number.into()),
                    ("segue.member.id", shard.member.id.0.as_str().into()),
                ],
                ..Beginning::default()
            })
        };
        let whole = told.then(begin);
        Self {
            trace: whole.as_ref().and_then(Open::traceparent),
            whole,
            step_ms,
        }
    }

    /// Its `traceparent`; `None` where nothing is traced.
    pub(super) fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// A part of it is done.
    pub(super) fn did(&mut self, step: &'static str) {
        let now = wall_ms();
        if let Some(trace) = &self.trace {
            spans::part(trace, step, self.step_ms).end(now);
        }
        self.step_ms = now;
    }

    /// It is done; the successor goes on with what is returned.
    pub(super) async fn end(self) -> Option<String> {
        if let Some(whole) = self.whole {
            whole.end(wall_ms());
        }
        if self.trace.is_some() {
            spans::push(SEND).await;
        }
        self.trace
    }
}
