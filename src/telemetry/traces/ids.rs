//! Ids of spans that are known before the spans begin. What a fence or an assignment stores is the trace that tells of it,
//! and whether there is anything to tell is known only when the store has answered.

use std::cell::Cell;

use opentelemetry::trace::{SpanContext, SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    /// What the span that begins next on this thread is called.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Random ids, and those that were given.
#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

/// While it lives, spans that begin on this thread are the one that was reserved.
pub(in crate::telemetry) struct Given(());

impl Given {
    pub(in crate::telemetry) fn new(reserved: &SpanContext) -> Self {
        NEXT.set(Some((reserved.trace_id(), reserved.span_id())));
        Self(())
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        NEXT.set(None);
    }
}

/// Ids for a root that may begin later.
pub(in crate::telemetry) fn reserve() -> (TraceId, SpanId) {
    let random = RandomIdGenerator::default();
    (random.new_trace_id(), random.new_span_id())
}
