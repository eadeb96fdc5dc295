//! C50: what a collector gets of a crash, a handover and the loss of a node: one trace each, of all pods.

use segue::model::ids::MemberId;
use segue::sim;
use segue::store::MemberState;
use serde_json::{Value, json};

use super::team::Team;
use super::tree::Tree;
use crate::harness::{Bot, Collector, Otlp, Setup, Span, eventually, within};

/// A trace is whole within this.
const WHOLE: std::time::Duration = std::time::Duration::from_secs(20);

/// Two replicas with a shard and a playing guild each, both heard from node `a`, and where their traces go. Whatever does
/// not tell a recovery is not sampled.
async fn playing(otlp: Otlp) -> (Team, Collector) {
    playing_on(2, otlp).await
}

async fn playing_on(replicas: usize, otlp: Otlp) -> (Team, Collector) {
    let collector = Collector::start(otlp).await;
    let protocol = if otlp == Otlp::Grpc { "grpc" } else { "http/protobuf" };
    let options = sim::Options {
        guilds: 2,
        shards: 2,
        max_concurrency: 2,
        nodes: vec!["a".into(), "b".into()],
        ..sim::Options::default()
    };
    let setup = |world: &_| {
        Setup::sqlite(world)
            .set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
            .set("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .set("OTEL_LOGS_EXPORTER", "none")
            .set("OTEL_TRACES_SAMPLER", "always_off")
            .set("OTEL_BSP_SCHEDULE_DELAY", "100")
    };
    let team = Team::idle(replicas, options, setup).await;
    empty(&team, &["drain", "b"], 1).await;
    for guild in &team.guilds {
        team.world.play(guild, "Base").await;
    }
    empty(&team, &["drain", "b", "--undo"], 2).await;
    (team, collector)
}

/// Says which nodes are to be empty, and waits until every replica has heard that so many times.
async fn empty(team: &Team, command: &[&str], heard: usize) {
    let (code, said) = team.setup.run_with(command).await;
    assert_eq!(code, Some(0), "{said}");
    eventually("every replica knows", || async {
        let counts: Vec<usize> = team
            .bots
            .values()
            .map(|bot| bot.count("nodes that are to be emptied"))
            .collect();
        if counts.iter().all(|count| *count >= heard) {
            Ok(())
        } else {
            Err(counts)
        }
    })
    .await;
}

/// The trace with this root, once as many spans of it came as the story has.
async fn whole(collector: &Collector, root: &str, count: usize, roles: &[(&str, &str)]) -> String {
    within(WHOLE, &format!("{count} spans of {root}"), || async {
        let all = collector.spans();
        let tree = Tree::of(&all, root, roles)?;
        if tree.spans().len() >= count {
            Ok(tree.text())
        } else {
            Err(tree.text())
        }
    })
    .await
}

/// Whoever does not lead, and the leader.
async fn victim(team: &Team) -> (String, String) {
    let leader = team.leader().await;
    let victim = team.bots.keys().find(|name| **name != leader).unwrap().clone();
    (victim, leader)
}

fn assert_only_recoveries(collector: &Collector) {
    let names = collector.names();
    for other in ["command", "play", "save", "load"] {
        let roots = |span: &Span| span.name == other && span.parent.is_empty();
        assert!(
            !collector.spans().iter().any(roots),
            "{other} is not sampled: {names:?}"
        );
    }
}

/// A line of the survivor's log has the trace's id, so that it is found.
fn assert_logged(bot: &Bot, message: &str, trace: &str) {
    let log = bot.log();
    let found = log
        .iter()
        .any(|line| line["message"] == message && line["trace_id"] == trace);
    assert!(found, "{message:?} with the trace {trace}: {log:#?}");
}

async fn crash(otlp: Otlp) -> String {
    let (mut team, collector) = playing(otlp).await;
    let (victim, leader) = victim(&team).await;
    drop(team.take(&victim).kill().await);
    team.settled().await;
    let roles = [(victim.as_str(), "the dead"), (leader.as_str(), "the survivor")];
    let text = whole(&collector, "member.lost", 12, &roles).await;
    let spans = collector.spans();
    let root = spans.iter().find(|span| span.name == "member.lost").unwrap();
    for message in [
        "declared a member dead",
        "assigned shards",
        "claimed a shard",
        "recovered",
    ] {
        assert_logged(&team.bots[&leader], message, &root.trace);
    }
    let told = team.recoveries(1).await;
    assert_eq!(told[0]["trace_id"], root.trace.as_str(), "{told:#?}");
    assert_only_recoveries(&collector);
    team.world.assert_no_violations().await;
    text
}

async fn handover(otlp: Otlp) -> String {
    let (mut team, collector) = playing(otlp).await;
    let (victim, leader) = victim(&team).await;
    let (status, log) = team.take(&victim).terminate().await;
    assert!(status.success(), "{status:?} {log:#?}");
    team.settled().await;
    let roles = [(victim.as_str(), "the leaving"), (leader.as_str(), "the staying")];
    let text = whole(&collector, "member.leaving", 14, &roles).await;
    let spans = collector.spans();
    let of = |name: &str| {
        spans
            .iter()
            .filter(|span| span.name == name)
            .max_by_key(|span| span.to_ns)
            .unwrap()
    };
    let (give, claim) = (of("shard.give"), of("claim"));
    assert!(give.to_ns <= claim.to_ns, "given, then claimed: {give:#?} {claim:#?}");
    assert_only_recoveries(&collector);
    team.world.assert_no_violations().await;
    text
}

/// The pod that told of it first, and the other one.
async fn first_to_tell(collector: &Collector, root: &str) -> (String, &'static str) {
    within(WHOLE, root, || async {
        let spans = collector.spans();
        let told = spans.iter().find(|span| span.name == root);
        let first = told.map(|told| told.resource["k8s.pod.name"].clone()).ok_or(spans)?;
        let other = if first == "a" { "b" } else { "a" };
        Ok::<_, Vec<Span>>((first, other))
    })
    .await
}

async fn node_loss(otlp: Otlp) -> String {
    let (team, collector) = playing(otlp).await;
    team.world.fault(json!({ "kind": "kill_node", "node": "a" })).await;
    let (first, other) = first_to_tell(&collector, "node.lost").await;
    let roles = [(first.as_str(), "the first"), (other, "the other")];
    let text = whole(&collector, "node.lost", 4, &roles).await;
    assert_only_recoveries(&collector);
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn c50_a_node_that_is_emptied_is_one_trace_of_all_pods_that_had_players_there() {
    let (team, collector) = playing(Otlp::Http).await;
    let (code, said) = team.setup.run_with(&["drain", "a"]).await;
    assert_eq!(code, Some(0), "{said}");
    let (first, other) = first_to_tell(&collector, "node.leaving").await;
    let roles = [(first.as_str(), "the first"), (other, "the other")];
    let text = whole(&collector, "node.leaving", 3, &roles).await;
    insta::assert_snapshot!("node_leaving", text);
    for guild in &team.guilds {
        assert_eq!(team.world.gaps(guild).await, Vec::<Value>::new(), "gaps in {guild}");
    }
    team.world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c50_a_crash_is_one_trace_that_links_to_what_the_dead_did_last() {
    let http = crash(Otlp::Http).await;
    insta::assert_snapshot!("crash", http);
    assert_eq!(crash(Otlp::Grpc).await, http, "the same over gRPC");
}

#[tokio::test(flavor = "multi_thread")]
async fn c50_a_crash_in_the_middle_of_a_handover_is_a_trace_of_its_own_that_links_to_the_handover() {
    let (mut team, collector) = playing(Otlp::Http).await;
    let (victim, leader) = victim(&team).await;
    let id = team.member(&victim).await;
    let assigned = team.bots[&leader].count("assigned shards");
    let stuck = team.take(&victim);
    stuck.freeze();
    let store = segue::store::open(&team.setup.address().to_owned().into())
        .await
        .unwrap();
    store.set_state(&MemberId(id), MemberState::Draining).await.unwrap();
    eventually("its shard is to be the other's", || async {
        let times = team.bots[&leader].count("assigned shards");
        if times > assigned { Ok(()) } else { Err(times) }
    })
    .await;
    drop(stuck.kill().await);
    team.settled().await;
    let roles = [(victim.as_str(), "the dead"), (leader.as_str(), "the survivor")];
    let text = whole(&collector, "member.lost", 11, &roles).await;
    insta::assert_snapshot!("crash_in_a_handover", text);
    let moved = whole(&collector, "member.leaving", 2, &roles).await;
    insta::assert_snapshot!("overtaken_handover", moved);
    team.world.assert_no_violations().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c50_a_handover_is_one_trace_across_both_pods() {
    let http = handover(Otlp::Http).await;
    insta::assert_snapshot!("handover", http);
    assert_eq!(handover(Otlp::Grpc).await, http, "the same over gRPC");
}

#[tokio::test(flavor = "multi_thread")]
async fn c50_a_lost_node_is_one_trace_of_all_pods_that_had_players_there() {
    let http = node_loss(Otlp::Http).await;
    insta::assert_snapshot!("node_loss", http);
    assert_eq!(node_loss(Otlp::Grpc).await, http, "the same over gRPC");
}

#[tokio::test(flavor = "multi_thread")]
async fn c50_a_replica_that_is_alone_goes_on_with_the_trace_of_its_own_leaving() {
    let (mut team, collector) = playing_on(1, Otlp::Http).await;
    let (status, log) = team.take("a").terminate().await;
    assert!(status.success(), "{status:?} {log:#?}");
    team.start("a").await;
    team.settled().await;
    insta::assert_snapshot!(
        "alone_leaving",
        whole(&collector, "member.leaving", 25, &[("a", "it")]).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn c50_a_replica_that_is_alone_tells_of_its_own_death() {
    let (mut team, collector) = playing_on(1, Otlp::Http).await;
    drop(team.take("a").kill().await);
    team.start("a").await;
    team.settled().await;
    insta::assert_snapshot!(
        "alone_crash",
        whole(&collector, "member.lost", 20, &[("a", "it")]).await
    );
}
