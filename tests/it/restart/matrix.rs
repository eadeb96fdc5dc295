//! SIGTERM and SIGKILL × what else happened meanwhile.

use serde_json::json;

use super::scene::{End, Scene};
use crate::harness::Setup;

/// Both nodes lose everything, the Discord session expires, both or neither.
async fn restart(end: End, nodes: bool, session: bool) {
    let (mut scene, bot) = Scene::open(Setup::sqlite).await;
    scene.end(bot, end).await;
    if nodes {
        for node in ["a", "b"] {
            scene.world.fault(json!({ "kind": "restart_node", "node": node })).await;
        }
    }
    if session {
        scene.world.fault(json!({ "kind": "expire_session", "shard": 0 })).await;
    }
    let (_bot, recovered) = scene.again().await;
    let after = scene.aftermath(recovered).await;
    match (nodes, session) {
        (false, false) => {
            after.assert_carried_on();
            assert_eq!(scene.world.gaps(&scene.guild).await, Vec::<serde_json::Value>::new());
            assert_eq!(scene.notices().await, Vec::<String>::new());
        }
        (true, false) => {
            assert_eq!(after.recovered["outcome"], "restored");
            assert_eq!(
                (after.identifies, after.joins),
                (0, 0),
                "voice is still ours: nothing to ask Discord for"
            );
        }
        (_, true) => {
            assert_eq!(after.recovered["outcome"], if nodes { "restored" } else { "rejoined" });
            assert_eq!((after.identifies, after.joins), (1, 1));
        }
    }
    if nodes || session {
        after.assert_position(end);
        scene.assert_one_notice().await;
    }
    scene.assert_nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_everything_alive_it_is_carried_on() {
    restart(End::Killed, false, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_leave_with_everything_alive_it_is_carried_on() {
    restart(End::Asked, false, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_lavalink_restarts_it_is_restored() {
    restart(End::Killed, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_leave_while_lavalink_restarts_it_is_restored() {
    restart(End::Asked, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_discord_session_expires_it_rejoins() {
    restart(End::Killed, false, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_leave_while_the_discord_session_expires_it_rejoins() {
    restart(End::Asked, false, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_everything_else_is_lost_it_is_restored() {
    restart(End::Killed, true, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_leave_while_everything_else_is_lost_it_is_restored() {
    restart(End::Asked, true, true).await;
}

/// MongoDB has no primary for ten seconds while the bot restarts: music goes on, nothing is lost, commands work after.
async fn without_a_primary(end: End) {
    let Some(set) = crate::mongod::ReplicaSet::private().await else {
        return;
    };
    let uri = set.uri("restart");
    let (mut scene, bot) = Scene::open(|world| Setup::store(world, uri)).await;
    set.no_primary_for(10).await;
    scene.end(bot, end).await;
    let (_bot, recovered) = scene.again().await;
    let after = scene.aftermath(recovered).await;
    after.assert_carried_on();
    scene.assert_nothing_lost().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_mongodb_has_no_primary_it_is_carried_on() {
    without_a_primary(End::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_leave_while_mongodb_has_no_primary_it_is_carried_on() {
    without_a_primary(End::Asked).await;
}
