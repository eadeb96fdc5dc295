//! The daily budget of IDENTIFYs, shared by all replicas and all restarts: Discord allows 1,000 a day to most bots, and
//! after the last it ends all sessions and resets the token
//! (<https://docs.discord.com/developers/events/gateway#session-start-limit>). A reserve is never spent.
//!
//! One document in the store: whose it is, what is left of the window, and when the window ends by the store's clock.
//! Discord's own count (`GET /gateway/bot`) replaces it whenever it says less, or when the window has ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::ids::UserId;
use crate::store::{SharedStore, StoreError};

/// Where it stands among the facts of the cluster.
pub const KEY: &str = "identify_budget";
/// Discord's window.
const WINDOW_MS: i64 = 24 * 3_600 * 1_000;
/// A window that ends later than this was written by a clock that is wrong.
const FAR_MS: i64 = WINDOW_MS + 3_600 * 1_000;
/// Who loses a race looks again; the races of a whole cluster that starts are over long before.
const TRIES: u32 = 64;

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// The bot it is counted for: another bot on the same store has a budget of its own.
    pub bot: UserId,
    /// The store's clock when it is full again, milliseconds since 1970.
    pub window_end_ms: i64,
    /// IDENTIFYs left until then.
    pub remaining: u32,
}

/// What `GET /gateway/bot` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartLimit {
    /// Of which bot.
    pub bot: UserId,
    /// Left now.
    pub remaining: u32,
    /// Until it is full again, milliseconds.
    pub reset_after_ms: u64,
}

/// Whether an IDENTIFY may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spend {
    /// It may; this is what is left then.
    Granted(Budget),
    /// Only the reserve is left.
    Refused {
        /// Until the window ends, milliseconds.
        retry_after_ms: u64,
    },
}

/// How many are never spent: one for each shard, so that the whole bot can start once more, and at least ten.
pub fn reserve(shards: u32, total: u32) -> u32 {
    // A bot of many shards has a larger total; a small total must leave something to spend.
    shards.max(10).min(total / 2)
}

/// The budget as it is known to be: what is stored, or what Discord says if that is less or newer. Pure.
pub fn resync(stored: Option<Budget>, said: StartLimit, now_ms: i64) -> Budget {
    let theirs = Budget {
        bot: said.bot,
        window_end_ms: now_ms + i64::try_from(said.reset_after_ms).unwrap_or(WINDOW_MS).min(WINDOW_MS),
        remaining: said.remaining,
    };
    match stored {
        Some(ours) if is_current(ours, said.bot, now_ms) => Budget {
            bot: said.bot,
            remaining: ours.remaining.min(theirs.remaining),
            window_end_ms: theirs.window_end_ms,
        },
        Some(_) | None => theirs,
    }
}

/// Spends one. `total`: IDENTIFYs per window; `reserve`: how many are never spent. Pure.
pub fn spend(stored: Option<Budget>, bot: UserId, total: u32, reserve: u32, now_ms: i64) -> Spend {
    let full = Budget {
        bot,
        window_end_ms: now_ms + WINDOW_MS,
        remaining: total,
    };
    let left = stored.filter(|stored| is_current(*stored, bot, now_ms)).unwrap_or(full);
    if left.remaining <= reserve {
        return Spend::Refused {
            retry_after_ms: u64::try_from(left.window_end_ms - now_ms).unwrap_or(0),
        };
    }
    Spend::Granted(Budget {
        remaining: left.remaining - 1,
        ..left
    })
}

/// What is left now. Pure.
fn remaining(stored: Option<Budget>, bot: UserId, total: u32, now_ms: i64) -> u32 {
    stored
        .filter(|stored| is_current(*stored, bot, now_ms))
        .map_or(total, |stored| stored.remaining)
}

fn is_current(stored: Budget, bot: UserId, now_ms: i64) -> bool {
    stored.bot == bot && stored.window_end_ms > now_ms && stored.window_end_ms - now_ms <= FAR_MS
}

/// Tells the store what Discord said.
pub async fn tell(store: &SharedStore, said: StartLimit) -> Result<(), StoreError> {
    change(store, |stored, now_ms| Some(resync(stored, said, now_ms))).await?;
    Ok(())
}

/// How many IDENTIFYs are left, of `total` per window.
pub async fn left(store: &SharedStore, bot: UserId, total: u32) -> Result<u32, StoreError> {
    let stored = store.meta(KEY).await?;
    let now_ms = store.now_ms().await?;
    let stored = stored.and_then(|value| serde_json::from_value(value).ok());
    Ok(remaining(stored, bot, total, now_ms))
}

/// Takes one IDENTIFY out of the budget. `Ok(Err(wait))`: only the reserve is left; ask again after that.
pub async fn take(
    store: &SharedStore,
    bot: UserId,
    total: u32,
    reserve: u32,
) -> Result<Result<Budget, Duration>, StoreError> {
    let mut refused = Duration::from_millis(WINDOW_MS.unsigned_abs());
    let taken = change(store, |stored, now_ms| {
        match spend(stored, bot, total, reserve, now_ms) {
            Spend::Granted(budget) => Some(budget),
            Spend::Refused { retry_after_ms } => {
                refused = Duration::from_millis(retry_after_ms);
                None
            }
        }
    })
    .await?;
    Ok(taken.ok_or(refused))
}

/// Replaces the document, if nobody else does at the same time; `None` leaves it.
async fn change(
    store: &SharedStore,
    mut decide: impl FnMut(Option<Budget>, i64) -> Option<Budget>,
) -> Result<Option<Budget>, StoreError> {
    for _ in 0..TRIES {
        let stored = store.meta(KEY).await?;
        let known = stored.as_ref().and_then(read);
        let Some(budget) = decide(known, store.now_ms().await?) else {
            return Ok(None);
        };
        let document = json!(budget);
        if stored.as_ref() == Some(&document) || store.put_meta(KEY, stored.as_ref(), &document).await? {
            return Ok(Some(budget));
        }
    }
    Err(StoreError::Unavailable {
        what: "taking from the IDENTIFY budget: too many at once",
        source: None,
    })
}

/// A document that cannot be read is none: Discord's own count follows at the next start.
fn read(document: &Value) -> Option<Budget> {
    serde_json::from_value(document.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOT: UserId = UserId::new(7);
    const OTHER: UserId = UserId::new(8);
    const SAID: StartLimit = StartLimit {
        bot: BOT,
        remaining: 700,
        reset_after_ms: 5_000,
    };

    fn budget(window_end_ms: i64, remaining: u32) -> Budget {
        Budget {
            bot: BOT,
            window_end_ms,
            remaining,
        }
    }

    #[test]
    fn the_lower_count_of_the_same_window_holds_and_an_old_window_is_forgotten() {
        assert_eq!(resync(None, SAID, 100), budget(5_100, 700));
        assert_eq!(resync(Some(budget(4_000, 650)), SAID, 100), budget(5_100, 650));
        assert_eq!(resync(Some(budget(4_000, 900)), SAID, 100), budget(5_100, 700));
        assert_eq!(
            resync(Some(budget(100, 1)), SAID, 100),
            budget(5_100, 700),
            "its window has ended"
        );
        let far = 101 + FAR_MS;
        assert_eq!(
            resync(Some(budget(far, 1)), SAID, 100),
            budget(5_100, 700),
            "a clock was wrong"
        );
    }

    #[test]
    fn the_reserve_is_never_spent_and_a_new_window_is_full() {
        assert_eq!(
            spend(Some(budget(500, 12)), BOT, 1_000, 11, 100),
            Spend::Granted(budget(500, 11))
        );
        assert_eq!(
            spend(Some(budget(500, 11)), BOT, 1_000, 11, 100),
            Spend::Refused { retry_after_ms: 400 }
        );
        assert_eq!(
            spend(Some(budget(500, 11)), BOT, 1_000, 11, 500),
            Spend::Granted(budget(500 + WINDOW_MS, 999))
        );
        assert_eq!(spend(None, BOT, 1_000, 11, 0), Spend::Granted(budget(WINDOW_MS, 999)));
    }

    #[test]
    fn another_bot_on_the_same_store_has_a_budget_of_its_own() {
        let theirs = Budget {
            bot: OTHER,
            ..budget(500, 11)
        };
        assert_eq!(resync(Some(theirs), SAID, 100), budget(5_100, 700));
        assert_eq!(
            spend(Some(theirs), BOT, 1_000, 11, 100),
            Spend::Granted(budget(100 + WINDOW_MS, 999))
        );
    }

    #[test]
    fn the_reserve_lets_every_shard_start_once_more() {
        assert_eq!(reserve(1, 1_000), 10);
        assert_eq!(reserve(64, 1_000), 64);
        assert_eq!(reserve(900, 1_000), 500);
    }
}
