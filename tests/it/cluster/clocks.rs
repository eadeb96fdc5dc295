//! Wall clocks that are wrong: a member's, and the store's.

use std::time::Duration;

use tokio::time::Instant;

use super::outages::{assert_unchanged, by_kubernetes, epochs};
use super::preload;
use super::team::Team;
use crate::harness::{KubeApi, Setup, within};
use crate::mongod::ReplicaSet;

/// A library that tells a process the wall clock wrong by an hour once a file is there, and every other clock right.
const WRONG_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && access(getenv("CLOCK_FILE"), F_OK) == 0) now->tv_sec += 3600;
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
    // From its first moment: the library itself is a file that is there.
    team.setup = team
        .setup
        .named("c")
        .set("LD_PRELOAD", library.to_str().unwrap())
        .set("CLOCK_FILE", library.to_str().unwrap());
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

/// By the store's clock, milliseconds since 1970.
fn newest_renewal_ms(members: &[segue::store::MemberRow]) -> i64 {
    members.iter().map(|row| row.renewed_ms).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_the_store_that_jumps_by_an_hour_fences_nobody_and_moves_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (library, file) = (folder.path().join("clock.so"), folder.path().join("jumped"));
    if !preload::library(WRONG_CLOCK, &library) {
        return crate::skip::skip("a store's wrong clock: no C compiler");
    }
    let environment = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("CLOCK_FILE", file.to_str().unwrap()),
    ];
    let Some(set) = ReplicaSet::private_with(&environment).await else {
        return;
    };
    let (uri, api) = (set.uri("jump"), KubeApi::start().await);
    let address = uri.clone();
    let team = Team::on(3, 6, |world| by_kubernetes(Setup::store(world, uri), &api)).await;
    let before = epochs(&team).await;
    let store = segue::store::open(&address.into()).await.unwrap();
    let renewed_ms = newest_renewal_ms(&store.members().await.unwrap());
    std::fs::write(&file, "").unwrap();
    renewals(&team).await;
    let jumped_ms = newest_renewal_ms(&store.members().await.unwrap()) - renewed_ms;
    assert!(jumped_ms > 3_600_000, "the store's clock jumped: {jumped_ms}");
    assert_unchanged(&team, &before).await;
    // And back: an hour in which every renewal seems to be in the future.
    std::fs::remove_file(&file).unwrap();
    renewals(&team).await;
    assert_unchanged(&team, &before).await;
}
