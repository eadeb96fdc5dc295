//! `segue doctor`: what is wrong with a set-up, and what to do about it.

use serde_json::json;

use crate::harness::{Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_set_up_passes() {
    let world = World::start(1).await;
    let (code, text) = Setup::sqlite(&world).run("doctor").await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("All is well.\n"), "{text}");
    assert!(!text.contains(&world.ready.token), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_told_with_what_to_do() {
    let world = World::start(1).await;
    let (code, text) = Setup::sqlite(&world).set("DISCORD_TOKEN", "wrong").run("doctor").await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains('✗') && text.contains("DISCORD_TOKEN"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_greets_nobody_is_told() {
    let world = World::start(1).await;
    let (code, text) = Setup::sqlite(&world)
        .set("SEGUE_DISCORD_GATEWAY_URL", "ws://127.0.0.1:9")
        .run("doctor")
        .await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("✗ gateway") && text.contains("SEGUE_DISCORD_GATEWAY_URL"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_dead_node_are_told_apart() {
    let world = World::start(1).await;
    world.fault(json!({ "kind": "kill_node", "node": "b" })).await;
    let urls: Vec<_> = world.ready.lavalink.iter().map(|node| node.url.clone()).collect();
    let nodes = format!(
        "a={},b={}",
        urls[0].replacen("://", "://:wrong@", 1),
        urls[1].replacen("://", "://:any@", 1)
    );
    let (code, text) = Setup::sqlite(&world)
        .set("SEGUE_LAVALINK_NODES", &nodes)
        .run("doctor")
        .await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("password"), "{text}");
    assert!(text.matches('✗').count() >= 2, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_reached_is_told() {
    let world = World::start(1).await;
    let (code, text) = Setup::store(&world, "mongodb://127.0.0.1:9/segue".into())
        .run("doctor")
        .await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("SEGUE_STORE") || text.contains("MongoDB"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubernetes_api_that_is_not_there_is_told() {
    let world = World::start(1).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let account = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:9" } }],
        "users": [{ "name": "u", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    std::fs::write(&file, account.to_string()).unwrap();
    let (code, text) = Setup::sqlite(&world)
        .set("SEGUE_CLUSTER", "kubernetes")
        .set("KUBECONFIG", &file.display().to_string())
        .run("doctor")
        .await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("✗ Kubernetes") && text.contains("KUBECONFIG"), "{text}");
}
