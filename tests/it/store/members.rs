//! Members and facts.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use segue::store::{Beat, Fence, MemberState};
use serde_json::json;

use super::bed::{Bed, me, member};

pub(crate) async fn it_answers_and_its_clock_runs(bed: &Bed) {
    bed.store.ping().await.expect("answers");
    let first = bed.store.now_ms().await.expect("a time");
    let second = bed.store.now_ms().await.expect("a time");
    assert!(first > 1_700_000_000_000 && second >= first, "{first} {second}");
    assert!(bed.store.describe().contains(':'), "{}", bed.store.describe());
}

pub(crate) async fn a_member_joins_renews_and_carries_its_sequence_numbers(bed: &Bed) {
    let store = &bed.store;
    let before = store.now_ms().await.expect("a time");
    store.join(member("a")).await.expect("joins");
    let rows = store.members().await.expect("members");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].seq, 1);
    assert!(rows[0].renewed_ms >= before, "{} < {before}", rows[0].renewed_ms);
    assert_eq!(rows[0].origin, member("a").origin);
    let beat = |pairs: &[(u32, u64)]| Beat {
        shard_seq: pairs.iter().copied().collect::<BTreeMap<_, _>>(),
        ..Beat::default()
    };
    let renewed = store.renew(&me("a"), &beat(&[(0, 10), (1, 20)])).await.expect("renews");
    let renewed = renewed.expect("lives");
    assert_eq!((renewed.seq, renewed.shard_seq.len()), (2, 2));
    // A shard that was given away must not linger in the member's numbers.
    let renewed = store
        .renew(&me("a"), &beat(&[(1, 21)]))
        .await
        .expect("renews")
        .expect("lives");
    assert_eq!(renewed.shard_seq, BTreeMap::from([(1, 21)]));
    assert_eq!(store.members().await.expect("members"), [renewed]);
    assert_eq!(
        store.renew(&me("nobody"), &Beat::default()).await.expect("answers"),
        None
    );
}

pub(crate) async fn a_fenced_or_gone_member_never_renews_again(bed: &Bed) {
    let store = &bed.store;
    for name in ["a", "b"] {
        store.join(member(name)).await.expect("joins");
    }
    assert!(store.set_state(&me("b"), MemberState::Draining).await.expect("drains"));
    assert!(store.renew(&me("b"), &Beat::default()).await.expect("renews").is_some());
    assert!(store.fence(&Fence::proven(me("a"), "silent")).await.expect("fences"));
    assert!(store.set_state(&me("b"), MemberState::Gone).await.expect("goes"));
    for name in ["a", "b"] {
        assert_eq!(store.renew(&me(name), &Beat::default()).await.expect("answers"), None);
        assert!(!store.fence(&Fence::proven(me(name), "again")).await.expect("answers"));
        assert!(!store.set_state(&me(name), MemberState::Gone).await.expect("answers"));
    }
    let rows = store.members().await.expect("members");
    let states: Vec<_> = rows.iter().map(|row| (row.state, row.why.as_deref())).collect();
    assert_eq!(
        states,
        [(MemberState::Fenced, Some("silent")), (MemberState::Gone, None)]
    );
}

pub(crate) async fn only_one_of_many_fences_a_member(bed: &Bed) {
    let other = bed.another().await;
    bed.store.join(member("a")).await.expect("joins");
    let member = Fence::proven(me("a"), "silent");
    let attempts = (0..8).map(|n| if n % 2 == 0 { &bed.store } else { &other }.fence(&member));
    let won = join_all(attempts)
        .await
        .into_iter()
        .filter(|done| matches!(done, Ok(true)));
    assert_eq!(won.count(), 1);
}

pub(crate) async fn without_proof_only_who_is_overdue_is_fenced(bed: &Bed) {
    let store = &bed.store;
    store.join(member("a")).await.expect("joins");
    let fence = Fence {
        overdue_ms: Some(10_500),
        trace: Some("00-aa-bb-01".into()),
        ..Fence::proven(me("a"), "did not renew in time")
    };
    assert!(!store.fence(&fence).await.expect("answers"), "it just joined");
    bed.age_member(&me("a"), 9_000).await;
    assert!(!store.fence(&fence).await.expect("answers"), "too early");
    assert!(store.renew(&me("a"), &Beat::default()).await.expect("renews").is_some());
    bed.age_member(&me("a"), 9_000).await;
    assert!(!store.fence(&fence).await.expect("answers"), "it renewed meanwhile");
    bed.age_member(&me("a"), 1_600).await;
    let before = store.now_ms().await.expect("a time");
    assert!(store.fence(&fence).await.expect("fences"));
    assert!(!store.fence(&fence).await.expect("answers"), "only once");
    let row = store.members().await.expect("members").remove(0);
    assert_eq!(
        (row.state, row.trace.as_deref()),
        (MemberState::Fenced, Some("00-aa-bb-01"))
    );
    assert_eq!(row.why.as_deref(), Some("did not renew in time"));
    let final_ms = row.final_ms.expect("a time");
    assert!(final_ms >= before && final_ms < before + 60_000, "{before} {final_ms}");
}

pub(crate) async fn a_renewal_carries_what_plays_and_where_it_runs(bed: &Bed) {
    let store = &bed.store;
    let joined = segue::store::MemberRow {
        version: "1.2.3".into(),
        ..member("a")
    };
    store.join(joined).await.expect("joins");
    let row = store.members().await.expect("members").remove(0);
    assert_eq!(
        (row.version.as_str(), row.container_id, row.final_ms),
        ("1.2.3", None, None)
    );
    let mut beat = Beat {
        playing: BTreeMap::from([(0, 4), (7, 0)]),
        container_id: Some("containerd://1".into()),
        without_discord: true,
        ..Beat::default()
    };
    let row = store.renew(&me("a"), &beat).await.expect("renews").expect("lives");
    assert_eq!((&row.playing, &row.container_id), (&beat.playing, &beat.container_id));
    assert!(row.without_discord);
    beat.container_id = None;
    beat.without_discord = false;
    beat.playing = BTreeMap::from([(7, 1)]);
    let row = store.renew(&me("a"), &beat).await.expect("renews").expect("lives");
    assert!(!row.without_discord, "Discord is back");
    assert_eq!(row.playing, beat.playing, "a shard that was given away does not linger");
    assert_eq!(row.container_id.as_deref(), Some("containerd://1"), "and this stays");
    assert!(store.set_state(&me("a"), MemberState::Gone).await.expect("goes"));
    assert!(store.members().await.expect("members")[0].final_ms.is_some());
}

pub(crate) async fn joining_twice_with_one_id_changes_nothing(bed: &Bed) {
    bed.store.join(member("a")).await.expect("joins");
    assert!(
        bed.store
            .fence(&Fence::proven(me("a"), "silent"))
            .await
            .expect("fences")
    );
    bed.store.join(member("a")).await.expect("answers");
    let rows = bed.store.members().await.expect("members");
    assert_eq!((rows.len(), rows[0].state), (1, MemberState::Fenced));
}

pub(crate) async fn a_fact_changes_only_from_what_was_expected(bed: &Bed) {
    let store = &bed.store;
    assert_eq!(store.meta("k").await.expect("reads"), None);
    assert!(!store.put_meta("k", Some(&json!(1)), &json!(2)).await.expect("answers"));
    assert!(
        store
            .put_meta("k", None, &json!({"a": [1, null]}))
            .await
            .expect("answers")
    );
    assert!(!store.put_meta("k", None, &json!(2)).await.expect("answers"));
    assert!(
        !store
            .put_meta("k", Some(&json!({"a": [1]})), &json!(2))
            .await
            .expect("answers")
    );
    let other = bed.another().await;
    let (expected, left, right) = (json!({"a": [1, null]}), json!("left"), json!("right"));
    let (a, b) = tokio::join!(
        store.put_meta("k", Some(&expected), &left),
        other.put_meta("k", Some(&expected), &right),
    );
    let (a, b) = (a.expect("answers"), b.expect("answers"));
    assert!(a != b, "exactly one wins: {a} {b}");
    assert_eq!(
        store.meta("k").await.expect("reads"),
        Some(if a { left } else { right })
    );
}

pub(crate) async fn facts_may_contain_anything(bed: &Bed) {
    let value = json!({ "$set": { "a.b": "\u{0}", "": u64::MAX, "%24": i64::MIN, "nul\u{0}": 1.5, "x": null } });
    assert!(bed.store.put_meta("$k.\u{202e}", None, &value).await.expect("stores"));
    assert_eq!(bed.store.meta("$k.\u{202e}").await.expect("reads"), Some(value.clone()));
    assert!(
        bed.store
            .put_meta("$k.\u{202e}", Some(&value), &json!(null))
            .await
            .expect("stores")
    );
    assert_eq!(bed.store.meta("$k.\u{202e}").await.expect("reads"), Some(json!(null)));
}
