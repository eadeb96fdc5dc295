//! The append-only event log: every fact that the oracle or a test may need, one JSON object per event.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::clock::Clock;

/// One event: `{"seq":1,"at_ms":12,"kind":"identify", …}`.
pub type Event = Map<String, Value>;

/// The log, shared by every part of the simulator.
#[derive(Clone, Debug)]
pub struct Log {
    clock: Clock,
    events: Arc<Mutex<Vec<Arc<Event>>>>,
}

impl Log {
    /// An empty log.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            events: Arc::default(),
        }
    }

    /// Appends an event; `fields` must be an object. Returns its `seq` (from 1).
    pub fn append(&self, kind: &str, fields: Value) -> u64 {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = events.len() as u64 + 1;
        let mut event = Event::new();
        event.insert("seq".into(), seq.into());
        event.insert("at_ms".into(), self.clock.now_ms().into());
        event.insert("kind".into(), kind.into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        events.push(Arc::new(event));
        seq
    }

    /// All events with a `seq` above `seq`.
    pub fn since(&self, seq: u64) -> Vec<Arc<Event>> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(seq).unwrap_or(usize::MAX).min(events.len());
        events[from..].to_vec()
    }
}
