//! The watchdog: tasks touch a cell now and then; `/livez` names those that do not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// All cells of one process.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats(Arc<Mutex<Cells>>);

#[derive(Debug, Default)]
struct Cells {
    next: u64,
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Cell {
    key: u64,
    name: String,
    limit: Duration,
    touched: Instant,
}

/// One task's cell; dropping it takes the task off the list.
#[derive(Debug)]
#[must_use = "dropping it takes the task off the watchdog's list"]
pub struct Heartbeat {
    heartbeats: Heartbeats,
    key: u64,
}

impl Heartbeats {
    /// Watches a task that promises to touch its cell at least every `limit`.
    pub fn watch(&self, name: impl Into<String>, limit: Duration) -> Heartbeat {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.next += 1;
        let key = cells.next;
        cells.cells.push(Cell {
            key,
            name: name.into(),
            limit,
            touched: Instant::now(),
        });
        Heartbeat {
            heartbeats: self.clone(),
            key,
        }
    }

    /// The tasks that are late: name and how long they have been silent.
    pub fn stuck(&self, now: Instant) -> Vec<(String, Duration)> {
        let cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = |cell: &Cell| now.saturating_duration_since(cell.touched);
        let late = cells.cells.iter().filter(|cell| silent(cell) > cell.limit);
        late.map(|cell| (cell.name.clone(), silent(cell))).collect()
    }
}

impl Heartbeat {
    /// Says that the task is alive.
    pub fn touch(&self) {
        let mut cells = self.heartbeats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.cells.iter_mut().find(|cell| cell.key == self.key) {
            cell.touched = Instant::now();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        let mut cells = self.heartbeats.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.cells.retain(|cell| cell.key != self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_is_stuck_once_it_is_silent_for_longer_than_it_promised() {
        let heartbeats = Heartbeats::default();
        let shard = heartbeats.watch("shard 0", Duration::from_secs(10));
        let saver = heartbeats.watch("auto-save", Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(
            heartbeats.stuck(Instant::now()),
            [("shard 0".to_owned(), Duration::from_secs(11))]
        );
        shard.touch();
        assert_eq!(heartbeats.stuck(Instant::now()), []);
        tokio::time::advance(Duration::from_secs(100)).await;
        drop((shard, saver));
        assert_eq!(heartbeats.stuck(Instant::now()), []);
    }
}
