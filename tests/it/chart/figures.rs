//! C49, and that what is counted is right: the page of metrics against what the simulator knows.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Bot, Setup, World, within};
use segue::sim;

const RECOVERY: &str = "segue_guild_recovery_duration_seconds_bucket";
/// A collector that nobody is: spans have their names all the same.
const NOBODY: &str = "http://127.0.0.1:9";

async fn page(bot: &Bot, accept: &str) -> String {
    let url = format!("{}/metrics", bot.http().await);
    let asked = reqwest::Client::new().get(url).header("accept", accept);
    asked.send().await.unwrap().text().await.unwrap()
}

/// The value of one sample, by its name and labels as they are exposed.
fn sample(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until samples have these values, and returns the page.
async fn shows(bot: &Bot, what: &str, expected: &[(&str, f64)]) -> String {
    within(Duration::from_secs(20), what, || async {
        let text = page(bot, "text/plain").await;
        let seen: Vec<_> = expected.iter().map(|(name, _)| (*name, sample(&text, name))).collect();
        let wanted: Vec<_> = expected.iter().map(|(name, value)| (*name, Some(*value))).collect();
        if seen == wanted { Ok(text) } else { Err(seen) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn c49_a_recovery_in_the_histogram_leads_to_the_trace_that_the_status_page_names() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world).set("OTEL_EXPORTER_OTLP_ENDPOINT", NOBODY);
    let bot = setup.ready().await;
    world.play(&guild, "Alpha").await;
    bot.kill().await;
    let bot = setup.ready().await;
    let trace = within(Duration::from_secs(20), "an exemplar", || async {
        let text = page(&bot, "application/openmetrics-text").await;
        let mut buckets = text.lines().filter(|line| line.starts_with(RECOVERY));
        let named = buckets.find_map(|line| line.split_once("# {trace_id=\"")?.1.split_once('"'));
        match named {
            Some((trace, _)) => Ok(trace.to_owned()),
            None => Err(text),
        }
    })
    .await;
    assert!(
        trace.len() == 32 && trace.chars().all(|c| c.is_ascii_hexdigit()),
        "{trace}"
    );
    let state = bot.state().await.unwrap();
    let traces: Vec<&Value> = state["recoveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["trace_id"])
        .collect();
    assert_eq!(traces, [&json!(trace)], "{state:#}");
    assert!(
        !page(&bot, "text/plain").await.contains(&trace),
        "the older format cannot carry it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_of_several_shards_add_up_and_go_with_them() {
    let world = World::with(sim::Options {
        guilds: 9,
        shards: 3,
        max_concurrency: 3,
        nodes: vec!["a".into(), "b".into()],
        ..sim::Options::default()
    })
    .await;
    let setup = Setup::sqlite(&world);
    let bot = setup.named("one").ready().await;
    let text = shows(
        &bot,
        "three shards are ready",
        &[
            ("segue_gateway_shards{state=\"ready\"}", 3.0),
            ("segue_gateway_shards_expected", 3.0),
            ("segue_gateway_identifies_total", 3.0),
            ("segue_gateway_events_total{event=\"READY\"}", 3.0),
            ("segue_gateway_events_total{event=\"GUILD_CREATE\"}", 9.0),
            ("segue_lavalink_node_up{node=\"a\"}", 1.0),
            ("segue_lease_held{kind=\"shard\"}", 3.0),
            ("segue_leader", 1.0),
            ("segue_shards_unowned", 0.0),
            ("segue_draining", 0.0),
        ],
    )
    .await;
    let left = sample(&text, "segue_gateway_session_starts_remaining");
    assert_eq!(left, Some(997.0), "of a thousand: {text}");
    world.fault(json!({ "kind": "drop_gateway", "shard": 1 })).await;
    shows(
        &bot,
        "one shard connected again",
        &[
            ("segue_gateway_shards{state=\"ready\"}", 3.0),
            ("segue_gateway_reconnects_total{reason=\"io\",resumed=\"true\"}", 1.0),
            ("segue_gateway_identifies_total", 3.0),
        ],
    )
    .await;
    let other = setup.named("two").ready().await;
    let (status, log) = bot.terminate().await;
    assert!(status.success(), "{log:#?}");
    let text = shows(
        &other,
        "the other one has all of it",
        &[
            ("segue_gateway_shards{state=\"ready\"}", 3.0),
            ("segue_lease_held{kind=\"shard\"}", 3.0),
            ("segue_leader", 1.0),
            ("segue_gateway_identifies_total", 0.0),
            ("segue_gateway_events_total{event=\"RESUMED\"}", 3.0),
            ("segue_lease_fenced_total{kind=\"guild\"}", 0.0),
        ],
    )
    .await;
    let margin = sample(&text, "segue_lease_expiry_margin_seconds").unwrap();
    assert!((3.0..=8.0).contains(&margin), "{margin} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_cut_off_snapshots_grow_old_and_calls_fail() {
    let world = World::start(1).await;
    let guild = world.guilds().await[0].clone();
    let folder = tempfile::tempdir().unwrap();
    let (database, cut) = (folder.path().join("segue.db"), folder.path().join("cut"));
    let store = format!("sqlite:{}#cut={}", database.display(), cut.display());
    let setup = Setup::store(&world, store).set("SEGUE_AUTOSAVE_INTERVAL", "1s");
    let bot = setup.ready().await;
    world.play(&guild, "Alpha").await;
    let name = "segue_snapshot_max_age_seconds";
    std::fs::write(&cut, "").unwrap();
    // Within what a replica may do without the store.
    world.issue(&guild, "volume", json!({ "level": 30 })).await;
    within(Duration::from_secs(20), "its snapshot is old", || async {
        let text = page(&bot, "text/plain").await;
        match sample(&text, name) {
            Some(age) if age > 3.0 => Ok(()),
            seen => Err(seen),
        }
    })
    .await;
    let text = page(&bot, "text/plain").await;
    let failed = "segue_lease_operations_total{kind=\"member\",operation=\"renew\",outcome=\"error\"}";
    assert!(sample(&text, failed).unwrap() > 0.0, "{text}");
    std::fs::remove_file(&cut).unwrap();
    within(Duration::from_secs(30), "it is new again", || async {
        let text = page(&bot, "text/plain").await;
        let written = sample(&text, "segue_snapshot_write_duration_seconds_count");
        match sample(&text, name) {
            Some(age) if age < 3.0 && written > Some(0.0) => Ok(()),
            seen => Err((seen, text)),
        }
    })
    .await;
}
