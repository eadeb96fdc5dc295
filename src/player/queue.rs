//! The queue and the history: bounded lists, and every change of them.

use std::collections::VecDeque;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;

use crate::model::order::Refusal;
use crate::model::track::{HISTORY_LIMIT, Item, QUEUE_LIMIT};

/// Most entries that can wait: a full queue takes no new ones, but those of the history may be gone back to.
const STORED_LIMIT: usize = QUEUE_LIMIT + HISTORY_LIMIT;

/// What comes next and what was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Queue {
    upcoming: VecDeque<Item>,
    history: VecDeque<Item>,
}

impl Queue {
    /// From lists as stored; what is over what can have been stored is cut.
    pub fn new(upcoming: Vec<Item>, history: Vec<Item>) -> Self {
        let mut upcoming = VecDeque::from(upcoming);
        upcoming.truncate(STORED_LIMIT);
        let mut history = VecDeque::from(history);
        while history.len() > HISTORY_LIMIT {
            history.pop_front();
        }
        Self { upcoming, history }
    }

    /// First first.
    pub fn upcoming(&self) -> impl ExactSizeIterator<Item = &Item> {
        self.upcoming.iter()
    }

    /// Latest last.
    pub const fn history(&self) -> &VecDeque<Item> {
        &self.history
    }

    /// Entries that wait.
    pub fn len(&self) -> usize {
        self.upcoming.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.upcoming.is_empty()
    }

    /// Room for new entries, of which `out` leave it at once, after `back` entries went back into it.
    pub(super) fn room(&self, out: usize, back: usize) -> usize {
        (QUEUE_LIMIT + out).saturating_sub(self.upcoming.len() + back)
    }

    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.upcoming.pop_front();
        if self.upcoming.is_empty() {
            // Most guilds play one track and queue none: room for four is a tenth of what such a guild needs.
            self.upcoming = VecDeque::new();
        }
        item
    }

    /// To the end. Nothing is dropped: who adds new ones looks at [`Queue::room`] first.
    pub(super) fn push_back(&mut self, items: impl IntoIterator<Item = Item>) {
        self.upcoming.extend(items);
    }

    /// To the front, keeping their order.
    pub(super) fn push_front(&mut self, items: Vec<Item>) {
        for item in items.into_iter().rev() {
            self.upcoming.push_front(item);
        }
    }

    pub(super) fn remember(&mut self, item: Item) {
        self.history.push_back(item);
        if self.history.len() > HISTORY_LIMIT {
            self.history.pop_front();
        }
    }

    pub(super) fn recall(&mut self) -> Option<Item> {
        self.history.pop_back()
    }

    pub(super) fn clear(&mut self) -> usize {
        let count = self.upcoming.len();
        self.upcoming.clear();
        count
    }

    pub(super) fn shuffle(&mut self, seed: u64) {
        self.upcoming
            .make_contiguous()
            .shuffle(&mut SmallRng::seed_from_u64(seed));
    }

    /// Drops the entries before the `to`-th (from 1) and returns them.
    pub(super) fn skip_to(&mut self, to: usize) -> Result<Vec<Item>, Refusal> {
        self.index(to)?;
        Ok(self.upcoming.drain(..to - 1).collect())
    }

    /// Takes out `from..=to` (from 1, in either order; `to` may lie past the end).
    pub(super) fn remove(&mut self, from: usize, to: usize) -> Result<Vec<Item>, Refusal> {
        let (first, last) = (from.min(to), from.max(to));
        let start = self.index(first)?;
        let end = last.min(self.upcoming.len());
        Ok(self.upcoming.drain(start..end).collect())
    }

    /// Moves an entry; a `to` past the end means the end. Returns the entry and its place.
    pub(super) fn relocate(&mut self, from: usize, to: usize) -> Result<(Item, usize), Refusal> {
        let from = self.index(from)?;
        let to = to.clamp(1, self.upcoming.len()) - 1;
        let item = self.upcoming.remove(from).ok_or(Refusal::QueueEmpty)?;
        self.upcoming.insert(to, item.clone());
        Ok((item, to + 1))
    }

    fn index(&self, place: usize) -> Result<usize, Refusal> {
        match place {
            _ if self.upcoming.is_empty() => Err(Refusal::QueueEmpty),
            place if (1..=self.upcoming.len()).contains(&place) => Ok(place - 1),
            asked => Err(Refusal::NoSuchPlace {
                asked,
                len: self.upcoming.len(),
            }),
        }
    }
}
