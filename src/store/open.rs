//! From the address in the settings to a store.

use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::gate::Gate;
use super::mongo::MongoStore;
use super::sqlite::SqliteStore;
use super::{SharedStore, StoreError};

/// Opens the store at `sqlite:PATH` or `mongodb://…` and makes its tables or indexes. Errors name the place and what to
/// do, never a password. May take 10 s when MongoDB does not answer.
pub async fn open(address: &SecretString) -> Result<SharedStore, StoreError> {
    let (address, gate) = Gate::of(address.expose_secret());
    gate.pass("opening the store")?;
    if let Some(path) = address.strip_prefix("sqlite:") {
        if path.is_empty() || path == ":memory:" {
            return Err(refused("the address names no file; write sqlite:PATH"));
        }
        let path = Path::new(path).to_owned();
        let store = tokio::task::spawn_blocking(move || SqliteStore::open(&path))
            .await
            .map_err(|error| StoreError::Refused {
                what: "opening the store",
                source: Box::new(error),
            })??;
        return Ok(Arc::new(store.behind(gate)));
    }
    if address.starts_with("mongodb://") || address.starts_with("mongodb+srv://") {
        return Ok(Arc::new(MongoStore::open(address).await?.behind(gate)));
    }
    Err(refused("the address must begin with sqlite: or mongodb://"))
}

/// The same for those who only look: a file that is not there is not made.
pub async fn open_existing(address: &SecretString) -> Result<SharedStore, StoreError> {
    if let Some(path) = Gate::of(address.expose_secret()).0.strip_prefix("sqlite:")
        && !path.is_empty()
        && !Path::new(path).exists()
    {
        return Err(StoreError::Refused {
            what: "opening the store",
            source: format!("there is no file {path}; has a replica run with this SEGUE_STORE?").into(),
        });
    }
    open(address).await
}

fn refused(what: &'static str) -> StoreError {
    StoreError::Refused {
        what: "opening the store",
        source: what.into(),
    }
}
