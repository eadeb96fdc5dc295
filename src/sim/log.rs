//! The append-only event log: every fact that the oracle or a test may need, one JSON object per event.
//!
//! The newest events are in memory; older ones are written to a temporary file without a name, which goes with the
//! process. Where there can be no such file, what is older is forgotten, and [`Log::first`] says from where the log is whole.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::clock::Clock;

/// One event: `{"seq":1,"at_ms":12,"kind":"identify", …}`.
pub type Event = Map<String, Value>;

/// How many events stay in memory at least.
const KEPT: usize = 20_000;
/// How many more there are before so many are written to the file: few, for whoever appends waits for it, and everybody else
/// in the simulator for them.
const SPILL: usize = 64;
/// Every so many events the file's place of one is remembered.
const STRIDE: u64 = 256;
/// How much of the file is read at once, in bytes.
const READ: usize = 1 << 16;

/// The log, shared by every part of the simulator.
#[derive(Clone, Debug)]
pub struct Log {
    clock: Clock,
    kept: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    /// The newest events, oldest first.
    recent: VecDeque<Arc<Event>>,
    /// The last `seq` given.
    last: u64,
    /// The first event that can still be had.
    first: u64,
    spilled: Option<Spilled>,
}

/// The events that are no longer in memory, in a file: one line each.
#[derive(Clone, Debug)]
struct Spilled {
    file: Arc<File>,
    bytes: u64,
    /// The `seq` of its first and its last event.
    seqs: (u64, u64),
    /// Where every [`STRIDE`]th event begins, from the first on.
    places: Arc<Vec<u64>>,
}

impl Log {
    /// An empty log.
    pub fn new(clock: Clock) -> Self {
        Self::keeping(clock, KEPT)
    }

    /// An empty log that keeps `kept` events in memory, and up to [`SPILL`] more.
    fn keeping(clock: Clock, kept: usize) -> Self {
        let inner = Inner {
            recent: VecDeque::new(),
            last: 0,
            first: 1,
            spilled: None,
        };
        Self {
            clock,
            kept,
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Appends an event; `fields` must be an object. Returns its `seq` (from 1).
    pub fn append(&self, kind: &str, fields: Value) -> u64 {
        let mut event = match fields {
            Value::Object(fields) => fields,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Event::new(),
        };
        event.insert("kind".into(), kind.into());
        self.with(|inner| {
            // Under the lock, so that no later event is of an earlier moment.
            event.insert("at_ms".into(), self.clock.now_ms().into());
            inner.last += 1;
            event.insert("seq".into(), inner.last.into());
            inner.recent.push_back(Arc::new(event));
            if inner.recent.len() >= self.kept + SPILL {
                inner.spill();
            }
            inner.last
        })
    }

    /// All events with a `seq` above `seq` that can still be had. For a long log ask for pages instead.
    pub fn since(&self, seq: u64) -> Vec<Arc<Event>> {
        let mut found = Vec::new();
        let mut after = seq;
        loop {
            let page = self.page(after, self.kept);
            let Some(last) = page.last().and_then(|event| event.get("seq")?.as_u64()) else {
                return found;
            };
            after = last;
            found.extend(page);
        }
    }

    /// The next events after `seq`, at most `limit`; empty when there are none.
    pub fn page(&self, seq: u64, limit: usize) -> Vec<Arc<Event>> {
        match self.place(seq, limit) {
            Place::Memory(events) => events,
            Place::File(spilled, after) => {
                let lines = spilled.lines(after, limit).unwrap_or_default();
                let parsed = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
                parsed.map(Arc::new).collect()
            }
        }
    }

    /// As [`Log::page`], as JSON lines, with the `seq` of the last of them.
    pub(crate) fn lines(&self, seq: u64, limit: usize) -> (String, u64) {
        match self.place(seq, limit) {
            Place::Memory(events) => {
                let last = events.last().and_then(|event| event.get("seq")?.as_u64());
                (written(&events), last.unwrap_or(seq))
            }
            Place::File(spilled, after) => {
                let lines = spilled.lines(after, limit).unwrap_or_default();
                let count = lines.bytes().filter(|byte| *byte == b'\n').count() as u64;
                (lines, after + count)
            }
        }
    }

    /// The `seq` of the first event that can still be had.
    pub fn first(&self) -> u64 {
        self.with(|inner| inner.first)
    }

    /// The last `seq` given, 0 before any.
    pub fn last(&self) -> u64 {
        self.with(|inner| inner.last)
    }

    fn place(&self, seq: u64, limit: usize) -> Place {
        self.with(|inner| {
            let after = seq.max(inner.first - 1);
            let in_memory_from = inner.last - inner.recent.len() as u64;
            if let Some(spilled) = inner.spilled.as_ref().filter(|_| after < in_memory_from) {
                return Place::File(spilled.clone(), after);
            }
            let skip = usize::try_from(after.saturating_sub(in_memory_from)).unwrap_or(usize::MAX);
            Place::Memory(inner.recent.iter().skip(skip).take(limit).cloned().collect())
        })
    }
}

/// Where the wanted events are.
enum Place {
    Memory(Vec<Arc<Event>>),
    File(Spilled, u64),
}

fn written(events: &[Arc<Event>]) -> String {
    let mut lines = String::new();
    for event in events {
        lines.push_str(&serde_json::to_string(&**event).unwrap_or_default());
        lines.push('\n');
    }
    lines
}

impl Inner {
    /// Moves the oldest [`SPILL`] events from memory into the file; without a file they are forgotten.
    fn spill(&mut self) {
        let oldest: Vec<Arc<Event>> = self.recent.drain(..SPILL).collect();
        let from = self.last - self.recent.len() as u64 - oldest.len() as u64 + 1;
        let spilled = match self.spilled.take() {
            Some(spilled) => spilled.append(&oldest),
            None => Spilled::new(from).and_then(|spilled| spilled.append(&oldest)),
        };
        match spilled {
            Ok(spilled) => self.spilled = Some(spilled),
            Err(_) => self.first = self.last - self.recent.len() as u64 + 1,
        }
    }
}

impl Spilled {
    fn new(from: u64) -> io::Result<Self> {
        Ok(Self {
            file: Arc::new(tempfile::tempfile()?),
            bytes: 0,
            seqs: (from, from - 1),
            places: Arc::default(),
        })
    }

    fn append(mut self, events: &[Arc<Event>]) -> io::Result<Self> {
        let mut lines = String::new();
        let places = Arc::make_mut(&mut self.places);
        for event in events {
            if (self.seqs.1 + 1 - self.seqs.0).is_multiple_of(STRIDE) {
                places.push(self.bytes + lines.len() as u64);
            }
            self.seqs.1 += 1;
            lines.push_str(&serde_json::to_string(&**event).unwrap_or_default());
            lines.push('\n');
        }
        self.file.write_all_at(lines.as_bytes(), self.bytes)?;
        self.bytes += lines.len() as u64;
        Ok(self)
    }

    /// At most `limit` lines after `seq`.
    fn lines(&self, seq: u64, limit: usize) -> io::Result<String> {
        let nth = (seq + 1).saturating_sub(self.seqs.0);
        let place = usize::try_from(nth / STRIDE).ok().and_then(|nth| self.places.get(nth));
        let Some(mut at) = place.copied() else {
            return Ok(String::new());
        };
        let (mut skip, mut left) = (nth % STRIDE, limit);
        let (mut found, mut chunk) = (Vec::new(), vec![0; READ]);
        while left > 0 && at < self.bytes {
            let wanted = usize::try_from(self.bytes - at).map_or(READ, |rest| rest.min(READ));
            let read = self.file.read_at(&mut chunk[..wanted], at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            at += read as u64;
            for piece in chunk[..read].split_inclusive(|byte| *byte == b'\n') {
                if left == 0 {
                    break;
                }
                let ends = piece.ends_with(b"\n");
                if skip > 0 {
                    skip -= u64::from(ends);
                } else {
                    found.extend_from_slice(piece);
                    left -= usize::from(ends);
                }
            }
        }
        String::from_utf8(found).map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(kept: usize, count: u64) -> Log {
        let log = Log::keeping(Clock::new(), kept);
        for number in 1..=count {
            assert_eq!(log.append("counted", json!({"number": number})), number);
        }
        log
    }

    fn numbers(events: &[Arc<Event>]) -> Vec<u64> {
        events.iter().map(|event| event["number"].as_u64().unwrap()).collect()
    }

    #[test]
    fn a_long_log_is_read_whole_while_only_its_end_is_in_memory() {
        let log = filled(300, 2_000);
        assert!(log.with(|inner| inner.recent.len()) < 300 + SPILL);
        assert_eq!(log.first(), 1);
        for from in [0, 1, 255, 256, 257, 1_399, 1_500, 1_999, 2_000, 9_999] {
            let wanted: Vec<u64> = (from + 1..=2_000).collect();
            assert_eq!(numbers(&log.since(from)), wanted, "after {from}");
        }
        assert_eq!(numbers(&log.page(511, 2)), [512, 513]);
        assert!(log.page(2_000, 5).is_empty());
    }

    #[test]
    fn no_event_waits_until_thousands_are_written_to_the_file() {
        let log = filled(1_000, 999);
        let in_memory = || log.with(|inner| inner.recent.len());
        for number in 1_000..50_000 {
            let before = in_memory();
            log.append("counted", json!({"number": number}));
            let written = before + 1 - in_memory();
            assert!(written <= 100, "event {number} waited for {written} others");
        }
        assert!(in_memory() < 2_000);
    }

    #[test]
    fn lines_are_the_events_and_name_the_last_of_them() {
        let log = filled(300, 2_000);
        for (after, limit) in [(0, 3), (254, 4), (1_698, 4), (1_998, 10)] {
            let (lines, last) = log.lines(after, limit);
            let read = lines.lines().map(|line| Arc::new(serde_json::from_str(line).unwrap()));
            let read: Vec<Arc<Event>> = read.collect();
            assert_eq!(numbers(&read), numbers(&log.page(after, limit)));
            assert_eq!(Some(last), numbers(&read).last().copied());
        }
        assert_eq!(log.lines(2_000, 10), (String::new(), 2_000));
    }

    #[test]
    fn a_log_without_a_file_says_from_where_it_is_whole() {
        let log = filled(10, 70);
        log.with(|inner| {
            let dropped = Arc::new(File::open("Cargo.toml").unwrap());
            let spilled = Spilled::new(1).unwrap();
            // A file that cannot be written to stands for a full disk.
            inner.spilled = Some(Spilled {
                file: dropped,
                ..spilled
            });
        });
        for number in 71..=80 {
            log.append("counted", json!({"number": number}));
        }
        assert_eq!(log.first(), 65);
        assert_eq!(numbers(&log.since(0)), (65..=80).collect::<Vec<u64>>());
    }
}
