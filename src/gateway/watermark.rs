//! Up to which sequence number everything Discord sent has been processed.
//!
//! Every event that is handed on carries a [`Seen`]; dropping it says that the event's effects are durable (or that there
//! were none). A successor resumes from [`Watermark::processed`], so it is sent again whatever was not finished.
//!
//! However many tickets are out, the shard goes on reading: what they wait for is mostly the store, which comes back no sooner
//! for a session that Discord gave up. Each guild holds few of them, and who takes events takes few at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Most times that are kept until somebody asks for them.
const LAGS: usize = 64;

/// Shared between a shard's task, its handle and the tickets.
#[derive(Clone, Debug, Default)]
pub struct Watermark(Arc<Mutex<Marks>>);

#[derive(Debug, Default)]
struct Marks {
    /// Counts sessions: a ticket of another session changes nothing.
    session: u64,
    /// The highest sequence number received.
    received: u64,
    /// Sequence numbers with tickets that are still out.
    open: BTreeMap<u64, u32>,
    /// Of this session and those before.
    tickets: usize,
    /// The event that is timed, and since when.
    timed: Option<(u64, Instant)>,
    /// How long those took that were timed.
    lags: Vec<Duration>,
}

/// One event is being processed. Drop it when the event's effects are durable.
#[derive(Debug)]
#[must_use = "dropping it says that the event is processed"]
pub struct Seen {
    mark: Watermark,
    session: u64,
    seq: u64,
    finished: bool,
}

impl Watermark {
    /// A session begins at `seq`: nothing of the one before counts any more.
    pub fn restart(&self, seq: u64) {
        let mut marks = self.lock();
        marks.session += 1;
        marks.received = seq;
        marks.open.clear();
        marks.timed = None;
    }

    /// `seq` arrived and, unless there are tickets for it, needs no processing.
    pub fn receive(&self, seq: u64) {
        let mut marks = self.lock();
        marks.received = marks.received.max(seq);
    }

    /// `seq` arrived and is being processed until the ticket is dropped.
    pub fn ticket(&self, seq: u64) -> Seen {
        let mut marks = self.lock();
        marks.received = marks.received.max(seq);
        *marks.open.entry(seq).or_default() += 1;
        marks.tickets += 1;
        Seen {
            mark: self.clone(),
            session: marks.session,
            seq,
            finished: true,
        }
    }

    /// The largest sequence number up to which everything is processed.
    pub fn processed(&self) -> u64 {
        let marks = self.lock();
        marks
            .open
            .first_key_value()
            .map_or(marks.received, |(seq, _)| seq.saturating_sub(1))
    }

    /// The largest sequence number that arrived.
    pub fn received(&self) -> u64 {
        self.lock().received
    }

    /// How many tickets are out.
    pub fn tickets(&self) -> usize {
        self.lock().tickets
    }

    /// How long the events took that were timed ([`Seen::timed`]) and finished since the last call.
    pub fn lags(&self) -> Vec<Duration> {
        std::mem::take(&mut self.lock().lags)
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// From `since` until it is processed is to be told by [`Watermark::lags`], unless another one is being timed.
    pub fn timed(&self, since: Instant) {
        let mut marks = self.mark.lock();
        if marks.session == self.session && marks.timed.is_none() && marks.lags.len() < LAGS {
            marks.timed = Some((self.seq, since));
        }
    }

    /// The event is not processed and will not be by this process: Discord is to send it to the successor again.
    pub fn unprocessed(mut self) {
        self.finished = false;
    }

    /// From now on dropping it says the opposite: whoever holds it has to call [`Seen::processed`] when it is true.
    pub fn pending(mut self) -> Self {
        self.finished = false;
        self
    }

    /// While this one is held, `other` being processed moves nothing: [`Watermark::processed`] stays below both. One of a session
    /// that is over holds nothing.
    pub fn precedes(&self, other: &Self) -> bool {
        (self.session, other.seq) >= (other.session, self.seq)
    }

    /// The event's effects are durable, or there are none.
    pub fn processed(mut self) {
        self.finished = true;
    }

    /// Another ticket for the same event: it counts as processed when both say so.
    pub fn twin(&self) -> Self {
        let mut marks = self.mark.lock();
        if marks.session == self.session {
            *marks.open.entry(self.seq).or_default() += 1;
        }
        marks.tickets += 1;
        drop(marks);
        Self {
            mark: self.mark.clone(),
            session: self.session,
            seq: self.seq,
            finished: true,
        }
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let mut marks = self.mark.lock();
        marks.tickets -= 1;
        let timed = marks
            .timed
            .filter(|(seq, _)| *seq == self.seq && marks.session == self.session);
        if self.finished
            && marks.session == self.session
            && let Some(count) = marks.open.get_mut(&self.seq)
        {
            *count -= 1;
            if *count == 0 {
                marks.open.remove(&self.seq);
                if let Some((_, since)) = timed {
                    marks.lags.push(since.elapsed());
                    marks.timed = None;
                }
            }
        } else if timed.is_some() {
            // Left to the successor: it never ends here.
            marks.timed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_above_an_open_ticket_counts_as_processed() {
        let mark = Watermark::default();
        mark.restart(10);
        let eleven = mark.ticket(11);
        let twelve = mark.ticket(12);
        mark.receive(13);
        assert_eq!(mark.processed(), 10);
        drop(twelve);
        assert_eq!(mark.processed(), 10);
        drop(eleven);
        assert_eq!(mark.processed(), 13);
    }

    #[test]
    fn an_event_given_up_is_sent_to_the_successor_again() {
        let mark = Watermark::default();
        let one = mark.ticket(1);
        let two = mark.ticket(2);
        one.unprocessed();
        drop(two);
        mark.receive(3);
        assert_eq!(mark.processed(), 0);
    }

    #[test]
    fn an_event_with_two_tickets_is_processed_when_both_say_so() {
        let mark = Watermark::default();
        let one = mark.ticket(1).pending();
        let other = one.twin();
        drop(other);
        assert_eq!(mark.processed(), 0);
        one.processed();
        assert_eq!(mark.processed(), 1);
        let given_up = mark.ticket(2).pending();
        drop(given_up);
        assert_eq!(
            mark.processed(),
            1,
            "a pending ticket that is dropped was not processed"
        );
    }

    #[test]
    fn a_ticket_of_the_session_before_changes_nothing() {
        let mark = Watermark::default();
        let old = mark.ticket(2);
        mark.restart(1);
        let new = mark.ticket(2);
        drop(old);
        assert_eq!(mark.processed(), 1);
        drop(new);
        assert_eq!(mark.processed(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_event_at_a_time_is_timed_until_it_is_processed() {
        let mark = Watermark::default();
        let (one, two) = (mark.ticket(1), mark.ticket(2));
        one.timed(Instant::now());
        tokio::time::advance(Duration::from_millis(30)).await;
        two.timed(Instant::now());
        drop(two);
        assert!(mark.lags().is_empty(), "another one was timed");
        let twin = one.twin();
        drop(one);
        tokio::time::advance(Duration::from_millis(10)).await;
        drop(twin);
        assert_eq!((mark.lags(), mark.lags()), (vec![Duration::from_millis(40)], vec![]));
        let given_up = mark.ticket(3);
        given_up.timed(Instant::now());
        given_up.unprocessed();
        let next = mark.ticket(4);
        next.timed(Instant::now());
        drop(next);
        assert_eq!(
            mark.lags(),
            [Duration::ZERO],
            "one that is given up does not block the next"
        );
    }

    proptest! {
        /// Against the definition: the largest n such that no open ticket is at or below n.
        #[test]
        fn processed_is_the_largest_number_with_nothing_open_below(steps in prop::collection::vec((any::<bool>(), 0_usize..8), 1..200)) {
            let mark = Watermark::default();
            let mut open: Vec<Seen> = Vec::new();
            let mut last = 0;
            for (seq, (wanted, drops)) in steps.into_iter().enumerate() {
                let seq = seq as u64 + 1;
                if wanted { open.push(mark.ticket(seq)) } else { mark.receive(seq) }
                if !open.is_empty() && drops < 6 {
                    drop(open.swap_remove(drops % open.len()));
                }
                let expected = open.iter().map(|seen| seen.seq - 1).min().unwrap_or(seq);
                prop_assert_eq!(mark.processed(), expected);
                prop_assert!(mark.processed() >= last);
                last = mark.processed();
                prop_assert!(mark.lock().open.len() <= open.len());
            }
        }
    }
}
