//! Spans of a running replica, as a collector gets them, and what is set by the variables that everybody knows.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::harness::{Bot, Collector, Otlp, Setup, World, eventually};

/// What a collector that does not answer may cost at the end.
const LATER: Duration = Duration::from_secs(3);

/// Waits until spans of all these names came.
async fn came(collector: &Collector, wanted: &[&str]) {
    eventually(&format!("spans {wanted:?} came"), || async {
        let names = collector.names();
        if wanted.iter().all(|wanted| names.iter().any(|name| name == wanted)) {
            Ok(())
        } else {
            Err(names)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn command_load_play_save_and_restore_reach_a_collector() {
    let (world, collector) = (World::start(1).await, Collector::start(Otlp::Http).await);
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world)
        .set(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            &format!("{}/v1/traces", collector.url),
        )
        .set("OTEL_BSP_SCHEDULE_DELAY", "100");
    let bot = setup.ready().await;
    world.play(&guild, "One").await;
    drop(bot.kill().await);
    let _bot = setup.ready().await;
    world
        .command(&guild, "play", json!({ "query": "sim:Two?length=500", "when": "now" }))
        .await;
    came(&collector, &["command", "load", "play", "save", "restore"]).await;
}

/// Plays, is told to leave, and tells how long it took from its last word to the store until its process had ended.
async fn leaves(bot: Bot) -> (Duration, Vec<Value>) {
    let began = (jiff::Timestamp::now(), Instant::now());
    let (status, log) = bot.terminate().await;
    let took = began.1.elapsed();
    assert!(status.success(), "{status:?} {log:#?}");
    let left = log
        .iter()
        .find(|line| line["message"] == "left")
        .expect("it left the cluster");
    let left: jiff::Timestamp = left["timestamp"].as_str().unwrap().parse().unwrap();
    let until_left = Duration::try_from(left.duration_since(began.0)).unwrap_or_default();
    (took.saturating_sub(until_left), log)
}

#[tokio::test(flavor = "multi_thread")]
async fn c51_a_collector_that_never_answers_holds_neither_the_handover_nor_for_long_the_exit() {
    // Connections are taken by the system, and nobody ever reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for protocol in ["http/protobuf", "grpc"] {
        let world = World::start(1).await;
        let guild = world.guilds().await[0].clone();
        let setup = Setup::sqlite(&world)
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
            .set("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let leaving = setup.named("a").ready().await;
        world.play(&guild, "One").await;
        let staying = setup.named("b").ready().await;
        let (later, log) = leaves(leaving).await;
        assert!(later < LATER, "{protocol}: {later:?} later, {log:#?}");
        let handed = staying.logged("recovered").await;
        assert_eq!(
            (&handed["trigger"], &handed["outcome"]),
            (&json!("drain"), &json!("carried_on")),
            "{protocol}: {handed:#?}"
        );
        assert_eq!(world.gaps(&guild).await, Vec::<Value>::new(), "{protocol}");
        let (later, log) = leaves(staying).await;
        assert!(later < LATER, "{protocol}, alone: {later:?} later, {log:#?}");
        world.assert_no_violations().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c52_what_opentelemetry_documents_is_done_as_it_says() {
    let (world, collector) = (World::start(1).await, Collector::start(Otlp::Grpc).await);
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world)
        .set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &collector.url)
        .set("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
        .set("OTEL_EXPORTER_OTLP_HEADERS", "x-team=music%20night")
        .set("OTEL_SERVICE_NAME", "jukebox")
        .set(
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other,deployment.environment.name=stage",
        )
        .set("OTEL_BSP_SCHEDULE_DELAY", "100");
    let bot = setup.clone().set("OTEL_TRACES_SAMPLER", "always_off").ready().await;
    world.play(&guild, "One").await;
    came(&collector, &["shard.take"]).await;
    drop(bot.terminate().await);
    let names = collector.names();
    assert!(
        !names.iter().any(|name| name == "command"),
        "nothing but recoveries: {names:?}"
    );
    let _bot = setup.set("OTEL_TRACES_SAMPLER", "always_on").ready().await;
    world.command(&guild, "pause", json!({})).await;
    came(&collector, &["command"]).await;
    for span in collector.spans() {
        let said = ["service.name", "deployment.environment.name"].map(|key| span.resource[key].as_str());
        assert_eq!(said, ["jukebox", "stage"], "{span:#?}");
    }
    for headers in collector.headers() {
        assert_eq!(headers["x-team"], "music night");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c52_with_the_sdk_disabled_nothing_is_sent_and_nothing_has_a_trace() {
    let (world, collector) = (World::start(1).await, Collector::start(Otlp::Http).await);
    let guild = world.guilds().await[0].clone();
    let setup = Setup::sqlite(&world)
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        .set("OTEL_TRACES_SAMPLER", "always_on")
        .set("OTEL_BSP_SCHEDULE_DELAY", "100")
        .set("OTEL_SDK_DISABLED", "true");
    let bot = setup.ready().await;
    world.play(&guild, "One").await;
    drop(bot.kill().await);
    let bot = setup.ready().await;
    bot.logged("recovered").await;
    let told = eventually("the recovery is told", || async {
        let told = bot.state().await.unwrap_or_default()["recoveries"].clone();
        told.get(0).cloned().ok_or(told)
    })
    .await;
    assert_eq!(told["trace_id"], Value::Null, "{told:#?}");
    drop(bot.terminate().await);
    assert_eq!(collector.names(), Vec::<String>::new());
}
