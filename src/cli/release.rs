//! `segue release GUILD`: lets a quarantined guild go.

use crate::model::ids::GuildId;
use crate::store::{SharedStore, StoreError};

/// A guild's id as Discord shows it. The error says where to find one.
pub(super) fn guild(text: &str) -> Result<GuildId, String> {
    let number = text.trim().parse().ok().and_then(GuildId::new_checked);
    number.ok_or_else(|| {
        "a guild's id is a number like 81384788765712384 (in Discord: Developer Mode, then Copy Server ID)".to_owned()
    })
}

/// `Ok` is what was done, `Err` why there was nothing to do; for people.
pub(super) async fn release(store: &SharedStore, id: GuildId) -> Result<Result<String, String>, StoreError> {
    if store.release_guild(id).await? {
        return Ok(Ok(format!(
            "guild {id} is let go: it is loaded again at the next command there, or when its shard moves"
        )));
    }
    // One that cannot be read is there, too.
    let there = match store.guild(id).await {
        Ok(row) => row.is_some(),
        Err(StoreError::Unreadable { .. }) => true,
        Err(error) => return Err(error),
    };
    let place = store.describe();
    Ok(Err(if there {
        format!("guild {id} is not quarantined; nothing was done (`segue status` lists those that are)")
    } else {
        format!("guild {id} is not in {place}; is this the store that the replicas use?")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_snowflake_is_a_guild() {
        assert_eq!(guild(" 42 ").map(GuildId::get), Ok(42));
        for wrong in ["", "0", "-1", "abc", "1.5", "18446744073709551616", "<@42>"] {
            assert!(guild(wrong).is_err_and(|why| why.contains("Copy Server ID")), "{wrong}");
        }
    }
}
