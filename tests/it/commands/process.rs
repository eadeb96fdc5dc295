//! The process around the commands: registration, refused tokens, probes, secrets.

use serde_json::json;

use super::{queue, says, stage};
use crate::harness::{Setup, World, eventually};
use segue::model::ids::MemberId;

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_registered_once_and_not_again_at_the_next_start() {
    let world = World::start(1).await;
    let setup = Setup::sqlite(&world);
    let bot = setup.ready().await;
    bot.logged("slash commands registered").await;
    drop(bot.kill().await);
    let bot = setup.ready().await;
    eventually("the second start is through", || async {
        let (status, text) = bot.page("/readyz?verbose").await;
        if status == 200 { Ok(()) } else { Err(text) }
    })
    .await;
    let puts = world.counters().await["discord"].as_object().unwrap().clone();
    let put = puts
        .iter()
        .find(|(route, _)| route.starts_with("PUT") && route.contains("commands"))
        .unwrap();
    assert_eq!(put.1, &json!(1), "{puts:#?}");
    assert_eq!(bot.count("slash commands registered"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leads_again_after_another_version_did_registers_its_commands_again() {
    let world = World::start(1).await;
    let setup = Setup::sqlite(&world);
    let bot = setup.ready().await;
    let store = segue::store::open(&setup.address().to_owned().into()).await.unwrap();
    let ours = eventually("it is stored what was registered", || async {
        store.meta("commands").await.unwrap().ok_or(())
    })
    .await;
    // An older version leads for a moment, and registers what it has.
    let (older, its) = (MemberId("older".into()), json!({ "application": "1", "hash": "older" }));
    let term = store.new_term(&older).await.unwrap();
    assert!(store.put_meta("commands", Some(&ours), &its).await.unwrap());
    assert!(store.resign(&older, term).await.unwrap());
    eventually("what was registered last is ours again", || async {
        let known = store.meta("commands").await.unwrap();
        if known.as_ref() == Some(&ours) {
            Ok(())
        } else {
            Err(known)
        }
    })
    .await;
    assert_eq!(bot.count("slash commands registered"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_one_clear_error_and_exit_code_3() {
    let world = World::start(1).await;
    let bot = Setup::sqlite(&world).set("DISCORD_TOKEN", "wrong").spawn();
    let (status, log) = bot.ended().await;
    assert_eq!(status.code(), Some(3), "{log:#?}");
    let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{log:#?}");
    assert!(
        errors[0]["message"].as_str().unwrap().contains("DISCORD_TOKEN"),
        "{errors:#?}"
    );
    let calls = world.counters().await["discord"].to_string();
    assert!(calls.len() < 400, "no storm of retries: {calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_know_yet_who_it_is_is_no_member_that_could_be_given_shards() {
    let world = World::start(1).await;
    let setup = Setup::sqlite(&world);
    let store = segue::store::open(&setup.address().to_owned().into()).await.unwrap();
    let (status, log) = setup.clone().set("DISCORD_TOKEN", "wrong").spawn().ended().await;
    assert_eq!(status.code(), Some(3), "{log:#?}");
    assert_eq!(store.members().await.unwrap(), [], "its token is refused");
    // Nobody answers there, so it waits.
    let bot = setup.set("SEGUE_DISCORD_API_URL", "http://127.0.0.1:1/").start().await;
    bot.logged("Discord does not say who the bot is; asking again").await;
    assert_eq!(store.members().await.unwrap(), [], "it knows nothing");
    let (status, log) = bot.terminate().await;
    assert!(status.success(), "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_shards_are_not_let_in_has_started_and_is_not_ready() {
    let world = World::start(1).await;
    world.fault(json!({ "kind": "withhold", "what": "ready" })).await;
    let bot = Setup::sqlite(&world).start().await;
    eventually("it has started", || async {
        match bot.page("/startupz?verbose").await {
            (200, _) => Ok(()),
            (_, text) => Err(text),
        }
    })
    .await;
    let (status, text) = bot.page("/readyz?verbose").await;
    assert_eq!(
        (status, text.as_str()),
        (503, "not ready\nwaits for: shards\n"),
        "{:#?}",
        bot.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_tell_of_a_running_replica() {
    let (world, bot, guild) = stage().await;
    queue(&world, &guild, &["One"]).await;
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(bot.page(probe).await.0, 200, "{probe}");
    }
    let metrics = bot.page("/metrics").await.1;
    for name in [
        "segue_build_info",
        "segue_command_duration_seconds",
        "segue_lavalink_node_up",
        "segue_snapshot_writes_total",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    assert!(!metrics.contains(&guild), "no guild ids in metrics");
    let page = bot.page("/").await.1;
    assert!(page.contains("1 guild plays here"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_any_line_of_a_whole_run() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let bot = Setup::sqlite(&world)
        .set("SEGUE_LOG", "debug,segue=trace")
        .ready()
        .await;
    world.listener(&guild).await;
    queue(&world, &guild, &["One"]).await;
    says(&world, &guild, "volume", json!({ "level": 20 })).await;
    world.fault(json!({ "kind": "drop_gateway", "shard": 0 })).await;
    says(&world, &guild, "volume", json!({ "level": 30 })).await;
    let log: Vec<String> = bot.kill().await.iter().map(ToString::to_string).collect();
    assert!(log.len() > 20, "{log:#?}");
    let mut secrets = vec![world.ready.token.clone()];
    secrets.extend(world.ready.lavalink.iter().map(|node| node.password.clone()));
    for secret in secrets {
        let line = log.iter().find(|line| line.contains(&secret));
        assert!(line.is_none(), "a secret: {line:?}");
    }
}
