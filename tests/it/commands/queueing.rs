//! Commands that change the queue.

use serde_json::json;

use super::{queue, says, stage};

#[tokio::test(flavor = "multi_thread")]
async fn remove_move_shuffle_and_clear_change_the_queue_and_say_how() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["Now", "Ada", "Bea", "Cid", "Dov"]).await;
    assert!(
        says(&world, &guild, "remove", json!({ "from": 2 }))
            .await
            .contains("Bea")
    );
    assert!(
        says(&world, &guild, "move", json!({ "from": 3, "to": 1 }))
            .await
            .contains("Dov")
    );
    let text = says(&world, &guild, "queue", json!({})).await;
    assert!(
        text.find("Dov") < text.find("Ada") && text.find("Ada") < text.find("Cid") && !text.contains("Bea"),
        "{text}"
    );
    assert!(says(&world, &guild, "shuffle", json!({})).await.contains("3 tracks"));
    assert!(
        says(&world, &guild, "remove", json!({ "from": 9 }))
            .await
            .contains("no place 9")
    );
    assert!(says(&world, &guild, "clear", json!({})).await.contains("3 tracks"));
    assert!(says(&world, &guild, "shuffle", json!({})).await.contains("empty"));
    world.heard(&guild, "Now").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_has_pages() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["Now"]).await;
    says(&world, &guild, "play", json!({ "query": "sim:playlist:Long?count=25" })).await;
    let text = says(&world, &guild, "queue", json!({ "page": 3 })).await;
    assert!(text.contains("21.") && !text.contains("20."), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_holds_a_thousand_tracks_and_says_what_did_not_fit() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["Now"]).await;
    let text = says(
        &world,
        &guild,
        "play",
        json!({ "query": "sim:playlist:Huge?count=1200" }),
    )
    .await;
    assert!(text.contains("1,000") || text.contains("1000"), "{text}");
    let text = says(&world, &guild, "play", json!({ "query": "sim:More?length=5" })).await;
    assert!(text.contains("full"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_in_the_same_millisecond_are_both_applied_once() {
    let (world, _bot, guild) = stage().await;
    queue(&world, &guild, &["Now"]).await;
    let ids = futures_util::future::join_all(
        (0..8).map(|n| world.issue(&guild, "play", json!({ "query": format!("sim:T{n}?length=9") }))),
    )
    .await;
    for id in ids {
        assert!(world.answer(&id).await.is_acknowledged());
    }
    let text = says(&world, &guild, "queue", json!({})).await;
    for n in 0..8 {
        assert_eq!(text.matches(&format!("[T{n}]")).count(), 1, "{text}");
    }
}
