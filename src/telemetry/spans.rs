//! Spans with times of their own, across processes: what tells a recovery. All of them are kept, whatever the sampler says of
//! others. Without a collector they cost nothing and have no name.
//!
//! A trace travels as a W3C `traceparent` (<https://www.w3.org/TR/trace-context/>) with the rows in the store.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use opentelemetry::global::{self, BoxedSpan};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    Link, Span as _, SpanContext, Status, TraceContextExt as _, TraceFlags, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::traces::{self, Given, Outlet};

/// How spans leave this process; nothing without a collector.
static OUTLET: RwLock<Option<Outlet>> = RwLock::new(None);

pub(super) fn install(outlet: Outlet) {
    *OUTLET.write().unwrap_or_else(PoisonError::into_inner) = Some(outlet);
}

fn outlet() -> Option<Outlet> {
    OUTLET.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What a span begins with.
#[derive(Clone, Debug, Default)]
pub struct Beginning<'a> {
    /// Its name.
    pub name: &'a str,
    /// What [`reserve`] gave, for a root that is known elsewhere already.
    pub reserved: Option<&'a str>,
    /// The `traceparent` it is a part of; without, it is a root.
    pub parent: Option<&'a str>,
    /// Other traces it has to do with: `traceparent` and what it is to this one.
    pub links: Vec<(&'a str, &'static str)>,
    /// When it began, milliseconds since 1970.
    pub from_ms: i64,
    /// Facts.
    pub attributes: Vec<(&'static str, Fact)>,
}

/// A fact about a span.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// Words.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<Fact> for Value {
    fn from(fact: Fact) -> Self {
        match fact {
            Fact::Text(text) => text.into(),
            Fact::Number(number) => number.into(),
            Fact::Flag(flag) => flag.into(),
        }
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Fact {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Fact {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Fact {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A span that is not over yet. Dropped, it ends at that moment.
#[derive(Debug)]
pub struct Open(BoxedSpan);

/// Begins a span.
pub fn begin(beginning: Beginning<'_>) -> Open {
    let Beginning {
        name,
        reserved,
        parent,
        links,
        from_ms,
        attributes,
    } = beginning;
    let tracer = global::tracer("segue");
    let links = links.into_iter().filter_map(|(trace, kind)| {
        let context = context_of(trace)?;
        Some(Link::new(context, vec![KeyValue::new("segue.link.kind", kind)], 0))
    });
    let builder = tracer
        .span_builder(name.to_owned())
        .with_start_time(at(from_ms))
        .with_links(links.collect())
        .with_attributes(attributes.into_iter().map(|(key, fact)| KeyValue::new(key, fact)));
    let around = parent
        .and_then(context_of)
        .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
    let _ids = reserved.and_then(context_of).map(|reserved| Given::new(&reserved));
    Open(tracer.build_with_context(builder, &around))
}

/// A part of the span that `trace`, a `traceparent`, names.
pub fn part(trace: &str, name: &str, from_ms: i64) -> Open {
    begin(Beginning {
        name,
        parent: Some(trace),
        from_ms,
        ..Beginning::default()
    })
}

/// The `traceparent` of a root that may begin later, in this process; `None` where nothing is traced.
pub fn reserve() -> Option<String> {
    outlet()?;
    let (trace, span) = traces::reserve();
    Some(traceparent(&SpanContext::new(
        trace,
        span,
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    )))
}

/// Sends what ended, for at most `limit`: before others are told to go on with it.
pub async fn push(limit: Duration) {
    if let Some(outlet) = outlet() {
        outlet.push(limit).await;
    }
}

/// Waits until there is room for more spans, as long as the collector answers; else those that do not fit are lost.
pub async fn room() {
    if let Some(outlet) = outlet() {
        outlet.room().await;
    }
}

/// Lines that are logged in `say` carry the ids of this `traceparent`.
pub fn within<T>(trace: Option<&str>, say: impl FnOnce() -> T) -> T {
    let _around = trace
        .and_then(context_of)
        .map(|context| Context::new().with_remote_span_context(context).attach());
    say()
}

/// The part of a `traceparent` that people look for.
pub fn trace_id(traceparent: &str) -> Option<String> {
    context_of(traceparent).map(|context| context.trace_id().to_string())
}

impl Open {
    /// Its `traceparent`; `None` where nothing is traced.
    pub fn traceparent(&self) -> Option<String> {
        let context = self.0.span_context();
        context.is_valid().then(|| traceparent(context))
    }

    /// Something happened within it.
    pub fn event(&mut self, name: &str, at_ms: i64) {
        self.0.add_event_with_timestamp(name.to_owned(), at(at_ms), Vec::new());
    }

    /// A fact that was not known at its beginning.
    pub fn fact(&mut self, key: &'static str, fact: impl Into<Fact>) {
        self.0.set_attribute(KeyValue::new(key, fact.into()));
    }

    /// It did not do what it was for.
    pub fn fail(&mut self, why: &str) {
        self.0.set_status(Status::error(why.to_owned()));
    }

    /// It is over.
    pub fn end(mut self, at_ms: i64) {
        self.0.end_with_timestamp(at(at_ms));
    }
}

fn traceparent(context: &SpanContext) -> String {
    format!(
        "00-{:032x}-{:016x}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags()
    )
}

fn at(ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn context_of(traceparent: &str) -> Option<SpanContext> {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let found = context.span().span_context().clone();
    found.is_valid().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_that_is_none_is_no_parent() {
        for damaged in [
            "",
            "00-0-0-00",
            "00-00000000000000000000000000000000-0000000000000000-01",
            "x",
        ] {
            assert!(context_of(damaged).is_none(), "{damaged}");
        }
        assert!(context_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").is_some());
    }

    #[test]
    fn without_a_collector_nothing_is_reserved() {
        assert_eq!(reserve(), None);
    }

    #[test]
    fn without_a_collector_a_span_has_no_name() {
        let span = begin(Beginning {
            name: "member.lost",
            from_ms: 1,
            ..Beginning::default()
        });
        assert_eq!(span.traceparent(), None);
        span.end(2);
    }
}
