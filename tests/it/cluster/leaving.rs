//! Lavalink's pods under Kubernetes: one whose deletion was asked for loses its players before it stops, and nobody hears it.

use serde_json::Value;

use super::team::{SOON, Team};
use crate::harness::{KubeApi, Setup, World, eventually, within};

/// The pod that node `a` is in: its address has this for a host name.
const POD: &str = "localhost";

/// Replicas in pods of a release whose Lavalink is `a`; `b` is elsewhere.
fn in_pods(world: &World, api: &KubeApi) -> Setup {
    let node = |name: &str| {
        let node = world.ready.lavalink.iter().find(|node| node.name == name).unwrap();
        let address = node.url.strip_prefix("http://").unwrap();
        format!("{name}=http://:{}@{address}", node.password)
    };
    let nodes = format!("{},{}", node("a").replacen("127.0.0.1", POD, 1), node("b"));
    Setup::sqlite(world)
        .set("SEGUE_LAVALINK_NODES", &nodes)
        .set("SEGUE_CLUSTER", "kubernetes")
        .set("KUBECONFIG", api.kubeconfig().to_str().unwrap())
        .set("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        .set("POD_NAME", "segue-0")
        .set("POD_NAMESPACE", "test")
}

/// The API of a release with a bot and a Lavalink.
async fn release() -> KubeApi {
    let api = KubeApi::start().await;
    api.put_pod("segue-0", "bot", false);
    api.put_pod(POD, "lavalink", false);
    api
}

/// The node that a guild is heard from now.
async fn node_of(team: &Team, guild: &str) -> Value {
    let audio = team.world.audio(guild).await;
    let now = audio["segments"].as_array().and_then(|all| all.last()).cloned();
    now.filter(|now| now["to_ms"].is_null()).unwrap_or_default()["node"].clone()
}

/// Waits until every guild is heard from this node.
async fn all_on(team: &Team, node: &str) {
    within(SOON, &format!("every guild is heard from {node}"), || async {
        for guild in &team.guilds {
            let on = node_of(team, guild).await;
            if on != node {
                return Err((guild.clone(), on));
            }
        }
        Ok(())
    })
    .await;
}

/// Waits until every replica says last that these are to be empty.
async fn to_be_empty(team: &Team, nodes: &str) {
    for bot in team.bots.values() {
        eventually(&format!("the nodes to be emptied are {nodes}"), || async {
            let log = bot.log();
            let told = log
                .iter()
                .rfind(|line| line["message"] == "nodes that are to be emptied")
                .cloned();
            match told {
                Some(line) if line["nodes"] == nodes => Ok(()),
                told => Err(told),
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lavalink_pod_that_is_leaving_loses_its_players_and_nobody_hears_it() {
    let api = release().await;
    let team = Team::on(2, 12, |world| in_pods(world, &api)).await;
    let mut on_a = 0;
    for guild in &team.guilds {
        on_a += usize::from(node_of(&team, guild).await == "a");
    }
    assert!(on_a > 0, "node a plays");
    api.put_pod(POD, "lavalink", true);
    all_on(&team, "b").await;
    team.assert_unheard().await;

    // Its successor has its name. The other node is emptied by an operator meanwhile, which lasts.
    api.remove_pod(POD);
    to_be_empty(&team, "{}").await;
    let (code, said) = team.setup.run_with(&["drain", "b"]).await;
    assert_eq!(code, Some(0), "{said}");
    api.put_pod(POD, "lavalink", false);
    all_on(&team, "a").await;
    to_be_empty(&team, r#"{"b"}"#).await;
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn players_stay_on_a_leaving_pod_while_there_is_no_other_node_and_move_once_there_is() {
    let api = release().await;
    let team = Team::on(1, 6, |world| in_pods(world, &api)).await;
    let (code, said) = team.setup.run_with(&["drain", "b"]).await;
    assert_eq!(code, Some(0), "{said}");
    all_on(&team, "a").await;
    let before = segments(&team).await;
    api.put_pod(POD, "lavalink", true);
    to_be_empty(&team, r#"{"a", "b"}"#).await;
    // Whatever they do then, they have done it after another second of music.
    let heard = position(&team).await;
    team.world.heard_for(&team.guilds[0], heard + 1_000).await;
    all_on(&team, "a").await;
    assert_eq!(segments(&team).await, before, "nobody moved, there or back");
    let (code, said) = team.setup.run_with(&["drain", "b", "--undo"]).await;
    assert_eq!(code, Some(0), "{said}");
    all_on(&team, "b").await;
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_starts_while_a_lavalink_pod_is_leaving_uses_the_other() {
    let api = release().await;
    api.put_pod(POD, "lavalink", true);
    // A bot's pod that leaves is nobody's node, whatever it is called.
    api.put_pod("127", "bot", true);
    let team = Team::on(1, 6, |world| in_pods(world, &api)).await;
    to_be_empty(&team, r#"{"a"}"#).await;
    all_on(&team, "b").await;
    team.assert_unheard().await;
}

/// How many pieces of sound each guild has heard.
async fn segments(team: &Team) -> Vec<usize> {
    let mut counts = Vec::new();
    for guild in &team.guilds {
        let audio = team.world.audio(guild).await;
        counts.push(audio["segments"].as_array().map_or(0, Vec::len));
    }
    counts
}

/// How much of its track the first guild has heard, in milliseconds.
async fn position(team: &Team) -> u64 {
    let audio = team.world.audio(&team.guilds[0]).await;
    let last = audio["segments"].as_array().and_then(|all| all.last()).cloned();
    last.unwrap_or_default()["position_to_ms"].as_u64().unwrap()
}
