//! A wall clock that is wrong.

use std::time::Duration;

use tokio::time::Instant;

use super::outages::epochs;
use super::preload;
use super::team::Team;
use crate::harness::within;

/// A library that tells a process the wall clock wrong by an hour, and every other clock right.
const WRONG_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += 3600;
    return result;
}
"#;

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
    let library = folder.path().join("clock.so");
    if !preload::library(WRONG_CLOCK, &library) {
        return crate::skip::skip("a wrong clock: no C compiler");
    }
    let mut team = Team::playing(2, 6).await;
    team.setup = team.setup.named("c").set("LD_PRELOAD", library.to_str().unwrap());
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
