//! The number of shards is another one after a restart.

use serde_json::json;

use crate::harness::{Setup, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn music_goes_on_and_commands_are_answered_in_every_guild_when_the_number_of_shards_changes() {
    let world = World::with(segue::sim::Options {
        guilds: 4,
        max_concurrency: 16,
        nodes: vec!["a".into(), "b".into()],
        ..segue::sim::Options::default()
    })
    .await;
    let setup = Setup::sqlite(&world);
    let guilds = world.guilds().await;
    let shards: std::collections::BTreeSet<u64> =
        guilds.iter().map(|id| (id.parse::<u64>().unwrap() >> 22) % 2).collect();
    assert_eq!(shards.len(), 2, "of two shards, both have guilds");
    let mut bot = setup.clone().set("SEGUE_SHARDS", "1").ready().await;
    for guild in &guilds {
        world.play(guild, "Alpha").await;
        world
            .command(guild, "play", json!({ "query": "sim:Beta?length=500" }))
            .await;
        world.heard_for(guild, 2_500).await;
    }
    for (number, asked) in [("2", true), ("1", false)] {
        let mut ended = Vec::new();
        for guild in &guilds {
            let audio = world.audio(guild).await;
            let segments = audio["segments"].as_array().unwrap();
            ended.push((
                segments.len(),
                segments.last().unwrap()["position_to_ms"].as_u64().unwrap(),
            ));
        }
        if asked {
            let (status, log) = bot.terminate().await;
            assert!(status.success(), "{status:?} {log:#?}");
        } else {
            drop(bot.kill().await);
        }
        bot = setup.clone().set("SEGUE_SHARDS", number).spawn();
        let told = || async {
            let count = bot.count("recovered");
            if count == guilds.len() { Ok(()) } else { Err(bot.log()) }
        };
        eventually("every guild is recovered", told).await;
        for (guild, (heard, ended)) in guilds.iter().zip(ended) {
            let audio = world.heard(guild, "Alpha").await;
            let segments = audio["segments"].as_array().unwrap();
            // Where its shard resumes what it plays in, a node plays on all the while; elsewhere until voice is joined.
            if let [.., before, now] = &segments[heard - 1..] {
                let (before, after) = (&before["position_to_ms"], &now["position_from_ms"]);
                let (before, after) = (before.as_u64().unwrap(), after.as_u64().unwrap());
                assert!(
                    after + 2_500 >= ended && after <= before + 300,
                    "ended at {ended}, heard until {before}, on at {after}: {segments:#?}"
                );
            }
            let queue = world.command(guild, "queue", json!({})).await.text();
            assert!(queue.contains("Beta"), "{queue}");
            let volume = world.command(guild, "volume", json!({ "level": 60 })).await;
            assert!(volume.is_acknowledged(), "{volume:#?}");
        }
    }
    world.assert_no_violations().await;
}
