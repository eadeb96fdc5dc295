//! Log lines on the standard error: text for people, or one flat JSON object a line with the trace it belongs to.
//!
//! `{"timestamp":…,"level":"INFO","target":"segue::app","message":"listening","http":"127.0.0.1:8080",
//! "trace_id":…,"span_id":…,"spans":[{"name":"guild.recover","guild":"1"}]}`

use std::fmt;

use opentelemetry::trace::TraceContextExt as _;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, filter::ParseError};

use crate::config::{LogFormat, LogSettings};

/// The layer that writes lines to `writer`.
pub fn layer<S, W>(settings: &LogSettings, writer: W) -> Result<Box<dyn Layer<S> + Send + Sync>, ParseError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(&settings.filter)?;
    Ok(match settings.format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
            lines.with_filter(filter).boxed()
        }
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
            lines
                .fmt_fields(JsonFields::new())
                .event_format(Flat)
                .with_filter(filter)
                .boxed()
        }
    })
}

/// The exporter reports its failures once and by a metric; its library's own lines would repeat them every few seconds.
fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let quiet = if text.contains("opentelemetry") {
        ""
    } else {
        ",opentelemetry=off"
    };
    EnvFilter::builder().parse(format!("{text}{quiet}"))
}

/// One flat object a line.
struct Flat;

/// Names that a field of an event cannot take; such a field gets an underscore behind it.
const RESERVED: [&str; 6] = ["timestamp", "level", "target", "trace_id", "span_id", "spans"];

impl<S> FormatEvent<S, JsonFields> for Flat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), jiff::Timestamp::now().to_string().into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        event.record(&mut Fields(&mut line));
        let current = opentelemetry::Context::current();
        let span = current.span();
        if span.span_context().is_valid() {
            line.insert("trace_id".to_owned(), span.span_context().trace_id().to_string().into());
            line.insert("span_id".to_owned(), span.span_context().span_id().to_string().into());
        }
        let spans: Vec<Value> = context
            .event_scope()
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
            .map(|span| {
                let extensions = span.extensions();
                let fields = extensions.get::<FormattedFields<JsonFields>>();
                let mut object: Map<String, Value> = fields
                    .and_then(|fields| serde_json::from_str(&fields.fields).ok())
                    .unwrap_or_default();
                object.insert("name".to_owned(), span.name().into());
                Value::Object(object)
            })
            .collect();
        if !spans.is_empty() {
            line.insert("spans".to_owned(), Value::Array(spans));
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Puts an event's fields into the object.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let taken = if RESERVED.contains(&name) { "_" } else { "" };
        self.0.insert(format!("{name}{taken}"), value);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.put(field, text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogFormat, act: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let settings = LogSettings {
            filter: filter.to_owned(),
            format,
        };
        let provider = SdkTracerProvider::builder().build();
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
            .with(layer(&settings, move || writer.clone()).unwrap());
        tracing::subscriber::with_default(subscriber, act);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_is_flat_and_carries_the_trace_and_the_spans_fields() {
        let text = logged("info", LogFormat::Json, || {
            let span = tracing::info_span!("guild.recover", guild = "7");
            span.in_scope(|| tracing::info!(http = "127.0.0.1:1", level = 3, took_ms = 7, "listening \"x\"\n"));
        });
        let line: Value = serde_json::from_str(text.trim_end_matches('\n')).unwrap();
        assert_eq!(line["message"], "listening \"x\"\n");
        assert_eq!(line["http"], "127.0.0.1:1");
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["level_"], 3);
        assert_eq!(line["took_ms"], 7);
        assert_eq!(line["trace_id"].as_str().map(str::len), Some(32), "{line}");
        assert_eq!(line["span_id"].as_str().map(str::len), Some(16), "{line}");
        assert_eq!(
            line["spans"][0],
            serde_json::json!({"name": "guild.recover", "guild": "7"})
        );
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn outside_a_span_there_is_no_trace() {
        let text = logged("info", LogFormat::Json, || tracing::info!("alone"));
        assert!(!text.contains("trace_id") && !text.contains("spans"), "{text}");
    }

    #[test]
    fn the_filter_holds_and_the_exporters_library_is_quiet_unless_asked_for() {
        let act = || {
            tracing::debug!("detail");
            tracing::error!(target: "opentelemetry_sdk", "export failed");
        };
        assert_eq!(logged("info", LogFormat::Text, act), "");
        assert!(logged("debug", LogFormat::Text, act).contains("detail"));
        assert!(logged("info,opentelemetry=warn", LogFormat::Text, act).contains("export failed"));
    }
}
