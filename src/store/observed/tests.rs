//! What an observer hears of real calls to a real file.

use std::sync::Mutex;

use super::*;
use crate::model::ids::Rev;
use crate::model::record::{Head, Lists};

#[derive(Debug, Default)]
struct Heard {
    calls: Mutex<Vec<(&'static str, &'static str, End)>>,
    sizes: Mutex<Vec<usize>>,
}

impl Observer for Heard {
    fn called(&self, called: Called) {
        let Called {
            collection,
            operation,
            end,
            took,
        } = called;
        assert!(took > Duration::ZERO && took < Duration::from_secs(10), "{took:?}");
        self.calls.lock().unwrap().push((collection, operation, end));
    }

    fn snapshot(&self, bytes: usize) {
        self.sizes.lock().unwrap().push(bytes);
    }
}

fn write(owner: &MemberId, epoch: Epoch, lists: Option<Lists>) -> GuildWrite {
    GuildWrite {
        id: GuildId::new(7),
        owner: owner.clone(),
        epoch,
        rev: Rev(1),
        active: false,
        ends_at_ms: None,
        head: Head::default(),
        lists,
    }
}

#[tokio::test]
async fn every_call_is_heard_of_with_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (database, cut) = (folder.path().join("segue.db"), folder.path().join("cut"));
    let address = format!("sqlite:{}#cut={}", database.display(), cut.display());
    let heard = Arc::new(Heard::default());
    let store = observed(crate::store::open(&address.into()).await.unwrap(), heard.clone());
    let me = MemberId("me".to_owned());
    store.join(MemberRow::new(me.clone(), "me".to_owned())).await.unwrap();
    let claimed = store.claim_guild(GuildId::new(7), 0, None, &me).await.unwrap();
    let epoch = claimed.ours().unwrap().epoch;
    store.write_guild(&write(&me, epoch, None)).await.unwrap();
    let stranger = MemberId("stranger".to_owned());
    store
        .write_guild(&write(&stranger, epoch, Some(Lists::default())))
        .await
        .unwrap();
    store.renew(&stranger, &Beat::default()).await.unwrap();
    std::fs::write(&cut, "").unwrap();
    store.ping().await.unwrap_err();
    let calls = heard.calls.lock().unwrap().clone();
    assert_eq!(
        calls,
        [
            ("members", "join", End::Done),
            ("guilds", "claim_guild", End::Done),
            ("guilds", "write_guild", End::Done),
            ("guilds", "write_guild", End::Lost),
            ("members", "renew", End::Lost),
            ("meta", "ping", End::Failed),
        ]
    );
    let length = |value: String| value.len();
    let alone = length(serde_json::to_string(&Head::default()).unwrap());
    let lists = length(serde_json::to_string(&Lists::default()).unwrap());
    assert_eq!(*heard.sizes.lock().unwrap(), [alone, alone + lists]);
}
