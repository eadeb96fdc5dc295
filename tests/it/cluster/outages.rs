//! Days on which what the replicas need is gone: MongoDB, its primary, the Kubernetes API, Discord; for one or for all.
//!
//! A store that all lose pauses nobody where a Kubernetes Lease is the witness, and everybody after eight seconds where
//! the store elects; ownership comes back unchanged in both.

use std::time::Duration;

use serde_json::{Value, json};

use super::team::{SHARDS, Team, timed};
use crate::harness::{KubeApi, Proxy, Setup, eventually};
use crate::mongod::ReplicaSet;

fn by_kubernetes(setup: Setup, api: &KubeApi) -> Setup {
    setup
        .set("SEGUE_CLUSTER", "kubernetes")
        .set("KUBECONFIG", api.kubeconfig().to_str().unwrap())
}

pub(super) async fn epochs(team: &Team) -> Vec<Value> {
    let view = team.view().await;
    let shards = view["shards"].as_array().unwrap().iter();
    shards
        .map(|shard| json!([shard["id"], shard["owner"], shard["epoch"]]))
        .collect()
}

/// Music plays, nobody lost anything, and a command is confirmed.
async fn assert_unchanged(team: &Team, before: &[Value]) {
    team.settled().await;
    assert_eq!(epochs(team).await, before, "nobody's shards moved");
    for guild in team.one_of_each_shard().await.values() {
        let said = team.world.command(guild, "volume", json!({ "level": 80 })).await;
        assert!(said.text().contains("80"), "{said:#?}");
    }
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_steps_down_or_is_killed_moves_nobody() {
    let Some(set) = ReplicaSet::private().await else { return };
    let uri = set.uri("primary");
    let team = Team::on(3, 6, |world| Setup::store(world, uri)).await;
    let before = epochs(&team).await;
    set.no_primary_for(2).await;
    set.primary().await;
    assert_unchanged(&team, &before).await;
    set.kill_primary().await;
    set.primary().await;
    assert_unchanged(&team, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_witness_an_outage_of_all_of_mongodb_pauses_nobody_and_moves_nobody() {
    let Some(set) = ReplicaSet::private().await else { return };
    let (uri, api) = (set.uri("witness"), KubeApi::start().await);
    let team = Team::on(3, 6, |world| by_kubernetes(Setup::store(world, uri), &api)).await;
    let before = epochs(&team).await;
    set.stop_all();
    eventually("the leader says that the store is down", || async {
        let lease = api.lease("segue");
        if lease["metadata"]["annotations"].to_string().contains("down") {
            Ok(())
        } else {
            Err(lease)
        }
    })
    .await;
    // Longer than the member time-out: without a witness everybody would have paused.
    let each = team.one_of_each_shard().await;
    let end = tokio::time::Instant::now() + Duration::from_mins(1);
    while tokio::time::Instant::now() < end {
        for guild in each.values() {
            let said = team.world.command(guild, "pause", json!({})).await;
            assert!(said.is_acknowledged(), "{said:#?}");
            let said = team.world.command(guild, "resume", json!({})).await;
            assert!(said.is_acknowledged(), "{said:#?}");
        }
    }
    set.continue_all();
    set.primary().await;
    assert_unchanged(&team, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_witness_all_pause_and_everything_comes_back_unchanged() {
    let Some(set) = ReplicaSet::private().await else { return };
    let uri = set.uri("pause");
    let team = Team::on(3, 6, |world| Setup::store(world, uri)).await;
    let before = epochs(&team).await;
    set.stop_all();
    refused(&team).await;
    set.continue_all();
    set.primary().await;
    confirmed(&team).await;
    assert_unchanged(&team, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_mongodb_and_the_kubernetes_api_gone_all_pause_and_everything_comes_back_unchanged() {
    let Some(set) = ReplicaSet::private().await else { return };
    let (uri, mut api) = (set.uri("both"), KubeApi::start().await);
    let team = Team::on(2, 6, |world| by_kubernetes(Setup::store(world, uri), &api)).await;
    let before = epochs(&team).await;
    api.stop().await;
    set.stop_all();
    refused(&team).await;
    api.again();
    set.continue_all();
    set.primary().await;
    confirmed(&team).await;
    assert_unchanged(&team, &before).await;
}

/// Waits until everybody acts again: a pause ends with the next renewal.
async fn confirmed(team: &Team) {
    for guild in team.one_of_each_shard().await.values() {
        eventually("commands are confirmed again", || async {
            let said = team.world.command(guild, "volume", json!({ "level": 70 })).await.text();
            if said.contains("70") { Ok(()) } else { Err(said) }
        })
        .await;
    }
}

/// Waits until a command is refused because the database cannot be reached: whoever drives the guild has paused.
async fn refused(team: &Team) {
    let guild = &team.guilds[0];
    eventually("commands are refused with a reason", || async {
        let said = team.world.command(guild, "volume", json!({ "level": 60 })).await.text();
        if said.contains("nothing was changed") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_alone_loses_the_store_is_replaced_and_joins_again() {
    let Some(set) = ReplicaSet::private().await else { return };
    let (mut team, proxy, _api) = with_one_behind_a_proxy(&set, 2).await;
    // Who leads stays, so that the one behind the proxy does not.
    let leader = team.leader().await;
    let other = if leader == "a" { "b" } else { "a" };
    drop(team.take(other).kill().await);
    team.settled().await;
    is_replaced_and_joins_again(team, proxy, Duration::from_secs(16)).await;
}

/// It keeps the Lease until it knows that the others reach the store, and whoever leads next must let pass what it said of
/// the store there: `LEADER_CUT_OFF` and `WITNESS_GRACE`, 18 s together.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_alone_loses_the_store_leaves_the_lease_is_replaced_and_joins_again() {
    let Some(set) = ReplicaSet::private().await else { return };
    let (mut team, proxy, _api) = with_one_behind_a_proxy(&set, 1).await;
    drop(team.take("a").kill().await);
    team.settled().await;
    team.start("a").await;
    assert_eq!(team.leader().await, "c");
    is_replaced_and_joins_again(team, proxy, Duration::from_secs(24)).await;
}

/// Replicas that reach the store, and `c`, which reaches it through a proxy.
async fn with_one_behind_a_proxy(set: &ReplicaSet, others: usize) -> (Team, Proxy, KubeApi) {
    let (api, primary) = (KubeApi::start().await, set.primary().await);
    let proxy = Proxy::to(set.address(primary)).await;
    let direct = |address| format!("mongodb://{address}/cut?directConnection=true");
    let mut team = Team::on(others, 6, |world| {
        by_kubernetes(Setup::store(world, direct(set.address(primary))), &api)
    })
    .await;
    let straight = team.setup.clone();
    team.setup = straight.named("c").set("SEGUE_STORE", &direct(proxy.address));
    team.start("c").await;
    team.setup = straight;
    (team, proxy, api)
}

async fn is_replaced_and_joins_again(mut team: Team, proxy: Proxy, limit: Duration) {
    let lost = team.owners().await["c"].clone();
    assert!(!lost.is_empty(), "the one behind the proxy owns shards");
    proxy.silence();
    let c = team.take("c");
    team.settled_within(limit).await;
    eventually("the one that was replaced is not ready", || async {
        let (status, said) = c.page("/readyz?verbose").await;
        if status == 503 { Ok(()) } else { Err(said) }
    })
    .await;
    proxy.cut();
    proxy.heal();
    c.logged("joining again").await;
    eventually("it is ready again", || async {
        let (status, said) = c.page("/readyz?verbose").await;
        if status == 200 { Ok(()) } else { Err(said) }
    })
    .await;
    team.bots.insert("c".to_owned(), c);
    team.settled().await;
    assert_eq!(
        team.owners().await.values().map(Vec::len).sum::<usize>(),
        SHARDS as usize
    );
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubernetes_api_that_is_gone_moves_nobody_and_a_leader_is_found_when_it_is_back() {
    let Some(set) = crate::mongod::shared().await else {
        return;
    };
    let (uri, mut api) = (set.uri("kubernetes_gone"), KubeApi::start().await);
    let team = Team::on(3, 6, |world| by_kubernetes(Setup::store(world, uri), &api)).await;
    let before = epochs(&team).await;
    api.stop().await;
    eventually("the leader gives up", || async {
        let mut leading = 0;
        for bot in team.bots.values() {
            leading += usize::from(bot.state().await.is_some_and(|state| state["leader"] == true));
        }
        if leading == 0 { Ok(()) } else { Err(leading) }
    })
    .await;
    let each = team.one_of_each_shard().await;
    for guild in each.values() {
        team.answered_in(guild).await;
    }
    api.again();
    eventually("one leads again", || async {
        let mut leading = 0;
        for bot in team.bots.values() {
            leading += usize::from(bot.state().await.is_some_and(|state| state["leader"] == true));
        }
        if leading == 1 { Ok(()) } else { Err(leading) }
    })
    .await;
    assert_unchanged(&team, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discord_that_drops_every_connection_moves_nobody() {
    let team = Team::playing(3, 6).await;
    let before = epochs(&team).await;
    for shard in 0..SHARDS {
        team.world
            .fault(json!({ "kind": "drop_gateway", "shard": shard }))
            .await;
    }
    assert_unchanged(&team, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_alone_is_cut_off_from_the_file_is_replaced_and_joins_again() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("c.cut");
    let mut team = Team::playing(2, 6).await;
    let gated = format!("{}#cut={}", team.setup.address(), cut.display());
    team.setup = team.setup.set("SEGUE_STORE", &gated);
    team.start("c").await;
    drop(team.take("b").kill().await);
    team.settled().await;
    let lost = team.owners().await["c"].clone();
    assert!(!lost.is_empty(), "the one that is to be cut off owns shards");
    let note = json!({ "kind": "note", "text": "cut off", "excuse": lost });
    team.world.post("/faults", note).await;
    std::fs::write(&cut, "").unwrap();
    let c = team.take("c");
    let (took, ()) = timed(team.settled()).await;
    assert!(took < Duration::from_secs(16), "replaced after {took:?}");
    std::fs::remove_file(&cut).unwrap();
    c.logged("joining again").await;
    team.bots.insert("c".to_owned(), c);
    for guild in team.one_of_each_shard().await.values() {
        team.answered_in(guild).await;
    }
    team.settled().await;
    team.assert_unheard().await;
}
