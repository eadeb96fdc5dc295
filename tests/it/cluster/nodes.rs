//! Lavalink nodes under several replicas: killed, emptied, back again.

use serde_json::{Value, json};

use super::team::Team;
use crate::harness::{eventually, within};

/// Guilds that are heard from a node now.
async fn on_node(team: &Team, node: &str) -> Vec<String> {
    let mut found = Vec::new();
    for guild in &team.guilds {
        let audio = team.world.audio(guild).await;
        let now = audio["segments"]
            .as_array()
            .and_then(|all| all.last())
            .cloned()
            .unwrap_or_default();
        if now["node"] == node && now["to_ms"].is_null() {
            found.push(guild.clone());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_nodes_guilds_go_on_elsewhere_where_they_were() {
    let team = Team::playing(3, 12).await;
    let lost = on_node(&team, "a").await;
    assert!(
        !lost.is_empty() && lost.len() < team.guilds.len(),
        "both nodes play: {lost:?}"
    );
    team.world.fault(json!({ "kind": "kill_node", "node": "a" })).await;
    for guild in &lost {
        let gap = eventually("it is heard from b", || async {
            let audio = team.world.audio(guild).await;
            let segments = audio["segments"].as_array().cloned().unwrap_or_default();
            let moved = segments
                .last()
                .is_some_and(|now| now["node"] == "b" && now["to_ms"].is_null());
            if moved { Ok(segments) } else { Err(audio) }
        })
        .await;
        let (before, after) = (&gap[gap.len() - 2], &gap[gap.len() - 1]);
        let number = |segment: &Value, key: &str| segment[key].as_i64().unwrap();
        let error = number(after, "position_from_ms") - number(before, "position_to_ms");
        assert!(error.abs() < 2_000, "position {error} ms off in {guild}: {gap:#?}");
    }
    let untouched: Vec<_> = team.guilds.iter().filter(|guild| !lost.contains(guild)).collect();
    for guild in untouched {
        assert_eq!(
            team.world.gaps(guild).await,
            Vec::<Value>::new(),
            "{guild} was on b all the time"
        );
    }
    team.world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_to_be_emptied_loses_its_players_and_nobody_hears_it() {
    let team = Team::playing(2, 12).await;
    assert!(!on_node(&team, "a").await.is_empty());
    let (code, said) = team.setup.run_with(&["drain", "a"]).await;
    assert_eq!(code, Some(0), "{said}");
    within(super::team::SOON, "node a is empty", || async {
        let left = on_node(&team, "a").await;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    team.assert_unheard().await;
    let (code, said) = team.setup.run_with(&["drain", "a", "--undo"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = team.setup.run_with(&["drain", "nowhere"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is no node"), "{said}");
}
