//! Planned moves: replicas that come, go and are restarted one after the other.

use serde_json::json;

use super::team::{SHARDS, Team};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_shards_evenly_and_one_leads() {
    let team = Team::playing(3, 6).await;
    let owners = team.owners().await;
    assert!(
        owners.values().all(|shards| shards.len() == SHARDS as usize / 3),
        "{owners:?}"
    );
    let leader = team.leader().await;
    let leading: Vec<_> = {
        let mut names = Vec::new();
        for (name, bot) in &team.bots {
            if bot.state().await.unwrap()["leader"] == true {
                names.push(name.clone());
            }
        }
        names
    };
    assert_eq!(leading, [leader]);
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_asked_to_leave_gives_its_shards_away_and_every_command_is_answered() {
    let mut team = Team::playing(3, 12).await;
    let each = team.one_of_each_shard().await;
    let leaving = team.take("b");
    let mut issued = Vec::new();
    let (status, log) = {
        let left = leaving.terminate();
        tokio::pin!(left);
        loop {
            for guild in each.values() {
                issued.push(team.world.issue(guild, "volume", json!({})).await);
            }
            tokio::select! {
                left = &mut left => break left,
                () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {}
            }
        }
    };
    assert!(status.success(), "{status:?} {log:#?}");
    team.settled().await;
    for id in &issued {
        let answer = team.world.answer(id).await;
        assert!(answer.is_acknowledged(), "{answer:#?}");
    }
    assert!(issued.len() >= each.len(), "commands were issued meanwhile");
    team.assert_unheard().await;
    let told = team.recoveries(4).await;
    assert!(
        told.iter()
            .all(|one| one["trigger"] == "drain" && one["outcome"] == "carried_on"),
        "{told:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_all_replicas_is_not_heard_and_spends_no_login() {
    let mut team = Team::playing(3, 12).await;
    for name in ["c", "b", "a"] {
        let (status, log) = team.take(name).terminate().await;
        assert!(status.success(), "{status:?} {log:#?}");
        team.start(name).await;
        team.settled().await;
    }
    for guild in team.one_of_each_shard().await.values() {
        team.answered_in(guild).await;
    }
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_joins_takes_its_share_without_a_gap() {
    let mut team = Team::playing(1, 6).await;
    assert_eq!(team.owners().await["a"].len(), SHARDS as usize);
    // Nothing is moved during a rollout: only when somebody leaves does the newcomer get its share.
    team.start("b").await;
    let (status, log) = team.take("a").terminate().await;
    assert!(status.success(), "{status:?} {log:#?}");
    team.settled().await;
    assert_eq!(team.owners().await["b"].len(), SHARDS as usize);
    team.assert_unheard().await;
}
