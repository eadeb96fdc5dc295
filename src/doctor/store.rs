//! Whether the store can be opened, read and written.

use crate::config::StoreAddress;
use crate::store::{SharedStore, StoreError};

use super::fetch::causes;
use super::verdict::Verdict;

/// Where the doctor's last visit stands.
const KEY: &str = "doctor";

/// Opens it.
async fn open(address: &StoreAddress) -> Result<SharedStore, StoreError> {
    crate::store::open(&address.whole()).await
}

/// All checks of the store.
pub(super) async fn check(address: &StoreAddress) -> Verdict {
    match open(address).await {
        Ok(store) => {
            let tried = try_out(&store).await;
            store.close().await;
            match tried {
                Ok(()) => Verdict::fine(format!("{} is read and written", store.describe())),
                Err(error) => judge(address, &error),
            }
        }
        Err(error) => judge(address, &error),
    }
}

async fn try_out(store: &SharedStore) -> Result<(), StoreError> {
    store.ping().await?;
    let now = store.now_ms().await?;
    let before = store.meta(KEY).await?;
    // Losing the race against another doctor is a write that worked, too: the other's.
    store
        .put_meta(KEY, before.as_ref(), &serde_json::json!({ "at_ms": now }))
        .await
        .map(|_| ())
}

fn judge(address: &StoreAddress, error: &StoreError) -> Verdict {
    let what = format!("{address}: {}", causes(error));
    let todo = match (error, address) {
        (StoreError::Full { .. }, _) => "make room on its disk, or raise its quota",
        (StoreError::Unreadable { .. }, _) => "a newer Segue has written it: use that version, or another database",
        (_, StoreAddress::Sqlite(_)) => "let the folder exist and be writable for the bot, or set SEGUE_STORE",
        (StoreError::Refused { .. }, StoreAddress::Mongodb { .. }) => {
            "check user, password and rights (readWrite) in SEGUE_STORE; MongoDB must be a replica set"
        }
        (StoreError::Unavailable { .. } | StoreError::Unknown { .. }, StoreAddress::Mongodb { .. }) => {
            "start MongoDB, let this machine reach it, and check that its replica set has a primary"
        }
    };
    Verdict::wrong(what, todo)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn each_failure_of_the_store_says_what_to_do() {
        let sqlite = StoreAddress::Sqlite(PathBuf::from("/a.db"));
        let mongodb = StoreAddress::Mongodb {
            uri: "mongodb://u:hunter2sesame@h".into(),
            shown: "mongodb://h/segue".to_owned(),
            database: "segue".to_owned(),
        };
        let down = || StoreError::Unavailable {
            what: "ping",
            source: None,
        };
        let refused = || StoreError::Refused {
            what: "ping",
            source: "no rights".into(),
        };
        let full = || StoreError::Full { what: "write" };
        let cases = [
            (&sqlite, refused(), "writable"),
            (&sqlite, full(), "make room"),
            (&mongodb, down(), "has a primary"),
            (&mongodb, refused(), "readWrite"),
        ];
        for (address, error, expected) in cases {
            let text = format!("{:?}", judge(address, &error));
            assert!(text.contains(expected) && !text.contains("hunter2sesame"), "{text}");
        }
    }
}
