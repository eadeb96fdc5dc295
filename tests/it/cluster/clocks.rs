//! A wall clock that is wrong.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::outages::epochs;
use super::preload;
use super::team::Team;
use crate::harness::{Setup, World, within};

/// A library that tells a process the wall clock wrong by `AHEAD` seconds, and every other clock right.
const WRONG_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += AHEAD;
    return result;
}
"#;

/// A clock that is an hour wrong; `None` where none can be made.
fn wrong_clock(folder: &Path, ahead: &str) -> Option<String> {
    let library = folder.join("clock.so");
    let made = preload::library(&WRONG_CLOCK.replace("AHEAD", ahead), &library);
    made.then(|| library.to_str().unwrap().to_owned())
}

/// Longer than the member time-out.
const RENEWALS: Duration = Duration::from_secs(12);

/// Everybody renews for a while.
async fn renewals(team: &Team) {
    let began = Instant::now();
    within(Duration::from_secs(30), "twelve seconds of renewals", || async {
        let view = team.view().await;
        if began.elapsed() >= RENEWALS { Ok(()) } else { Err(view) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_is_an_hour_wrong_on_one_member_fences_nobody_and_hides_no_death() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = wrong_clock(folder.path(), "3600") else {
        return crate::skip::skip("a wrong clock: no C compiler");
    };
    let mut team = Team::playing(2, 6).await;
    team.setup = team.setup.named("c").set("LD_PRELOAD", &library);
    team.start("c").await;
    drop(team.take("b").kill().await);
    team.settled().await;
    assert!(
        !team.owners().await["c"].is_empty(),
        "the one with the wrong clock owns shards"
    );
    let before = epochs(&team).await;
    renewals(&team).await;
    assert_eq!(epochs(&team).await, before, "nobody was fenced for a clock");
    let leader = team.leader().await;
    let other = if leader == "a" { "c" } else { "a" };
    drop(team.take(other).kill().await);
    team.settled().await;
    team.assert_unheard().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_stored_whose_clock_was_an_hour_behind_goes_on_where_it_was_heard_last() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = wrong_clock(folder.path(), "-3600") else {
        return crate::skip::skip("a wrong clock: no C compiler");
    };
    let world = World::start(1).await;
    let setup = Setup::sqlite(&world);
    let guild = world.guilds().await[0].clone();
    let behind = setup.clone().set("LD_PRELOAD", &library).ready().await;
    world.play(&guild, "Alpha").await;
    // Past the first renewal, so that "alive until" is not the start itself.
    world.heard_for(&guild, 2_500).await;
    drop(behind.kill().await);
    for node in ["a", "b"] {
        world.fault(json!({ "kind": "restart_node", "node": node })).await;
    }
    let bot = setup.spawn();
    let recovered = bot.logged("recovered").await;
    assert_eq!(recovered["outcome"], "restored", "{recovered}");
    let audio = world.heard(&guild, "Alpha").await;
    let [.., before, now] = audio["segments"].as_array().unwrap().as_slice() else {
        panic!("{audio:#?}")
    };
    let (heard, on) = (before["position_to_ms"].as_u64(), now["position_from_ms"].as_u64());
    let (heard, on) = (heard.unwrap(), on.unwrap());
    assert!(
        on + 2_500 >= heard && on <= heard + 300,
        "heard until {heard}, on at {on}"
    );
    world.assert_no_violations().await;
}
