//! A store that can be cut off from one process alone, to show what happens then: `ADDRESS#cut=FILE`. While there is
//! such a file, every call answers that the store is unavailable, and nothing reaches it.

use std::path::PathBuf;

use super::StoreError;

/// What separates the file from the address before it.
const MARK: &str = "#cut=";

/// Open unless its file is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Option<PathBuf>);

impl Gate {
    /// The address without its gate, and the gate; without a mark it is always open.
    pub(super) fn of(address: &str) -> (&str, Self) {
        match address.rsplit_once(MARK) {
            Some((address, file)) => (address, Self(Some(file.into()))),
            None => (address, Self::default()),
        }
    }

    /// Whether a call may pass; nothing was sent if not.
    pub(super) fn pass(&self, what: &'static str) -> Result<(), StoreError> {
        match &self.0 {
            Some(file) if file.exists() => Err(StoreError::Unavailable {
                what,
                source: Some("cut off on purpose".into()),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    #[test]
    fn an_address_without_a_gate_is_left_as_it_is() {
        let (address, gate) = Gate::of("mongodb://h/segue?w=majority");
        assert_eq!(address, "mongodb://h/segue?w=majority");
        assert!(gate.0.is_none() && gate.pass("anything").is_ok());
        assert_eq!(Gate::of("sqlite:/x/segue.db#cut=/x/a").0, "sqlite:/x/segue.db");
    }

    #[tokio::test]
    async fn while_the_file_is_there_nothing_reaches_the_store_and_then_all_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (database, file) = (folder.path().join("segue.db"), folder.path().join("cut"));
        let address = format!("sqlite:{}", database.display());
        let gated = store::open(&format!("{address}#cut={}", file.display()).into())
            .await
            .unwrap();
        let other = store::open(&address.into()).await.unwrap();
        let fact = serde_json::json!(1);
        assert!(gated.put_meta("fact", None, &fact).await.unwrap());
        std::fs::write(&file, "").unwrap();
        let cut = gated.put_meta("fact", Some(&fact), &serde_json::json!(2)).await;
        assert!(matches!(cut, Err(StoreError::Unavailable { .. })), "{cut:?}");
        assert!(matches!(gated.ping().await, Err(StoreError::Unavailable { .. })));
        assert_eq!(
            other.meta("fact").await.unwrap(),
            Some(fact.clone()),
            "nothing was written"
        );
        std::fs::remove_file(&file).unwrap();
        assert_eq!(gated.meta("fact").await.unwrap(), Some(fact));
    }
}
