//! A guild that kills whoever loads it, and a member that renews and does nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use segue::store::{Quarantined, SharedStore};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::preload::Odd;
use super::team::{Team, timed};
use crate::harness::eventually;

/// All deaths and takeovers of the test together.
const LIMIT: Duration = Duration::from_secs(90);

/// Whoever loads one guild of a shard is killed, as if its snapshot did it.
struct Poison {
    store: SharedStore,
    shard: u64,
    /// The guild, once it is known which one is loaded last.
    guild: Option<String>,
    /// The one that is loaded before it.
    other: Option<String>,
    killed: BTreeSet<String>,
    /// What stood in the store, one after the other.
    marks: Vec<Value>,
}

impl Poison {
    /// Kills again and again until the guild is quarantined. Returns what is quarantined then.
    async fn work(&mut self, team: &mut Team) -> Vec<Quarantined> {
        let (end, key) = (Instant::now() + LIMIT, format!("loading:{}", self.shard));
        loop {
            let aside = self.store.quarantined().await.unwrap();
            if !aside.is_empty() {
                return aside;
            }
            let mark = self.store.meta(&key).await.unwrap().unwrap_or_default();
            if self.marks.last() != Some(&mark) {
                self.marks.push(mark.clone());
            }
            let member = mark["member"].as_str().unwrap_or_default().to_owned();
            if !self.killed.contains(&member) && self.does_harm(&mark) {
                self.kill(team, member).await;
            }
            assert!(
                Instant::now() < end,
                "not in time; killed {:?}, last seen: {mark}",
                self.killed
            );
            // Often enough to meet a guild that is loaded within moments.
            sleep(Duration::from_millis(3)).await;
        }
    }

    /// Whoever loads all guilds at once loads this one, too. Who lived through it was too quick for this test.
    fn does_harm(&mut self, mark: &Value) -> bool {
        let stage = &mark["stage"];
        let Some(guild) = stage["one"].as_str().map(str::to_owned) else {
            return stage == "lived" || (stage == "all" && mark["suspect"] == "none");
        };
        let other = self.other.get_or_insert_with(|| guild.clone());
        if *other == guild {
            return false;
        }
        *self.guild.get_or_insert_with(|| guild.clone()) == guild
    }

    /// SIGKILL for a member; its replica is started again.
    async fn kill(&mut self, team: &mut Team, member: String) {
        let members = self.store.members().await.unwrap();
        let name = members.iter().find(|row| row.id.0 == member).unwrap().name.clone();
        drop(team.take(&name).kill().await);
        team.bots.insert(name.clone(), team.setup.named(&name).spawn());
        self.killed.insert(member);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guild_that_kills_three_processes_is_set_aside_until_it_is_let_go_and_the_others_play_on() {
    let mut team = Team::playing(3, 12).await;
    // Whoever loads a guild waits for its node, so that it can be met.
    let mut slow = Vec::new();
    for node in ["a", "b"] {
        slow.push(team.world.fault(json!({ "kind": "hang_rest", "node": node })).await);
    }
    let address = team.setup.address().to_owned();
    let mut harm = Poison {
        store: segue::store::open(&address.into()).await.unwrap(),
        shard: 0,
        guild: None,
        other: None,
        killed: BTreeSet::new(),
        marks: Vec::new(),
    };
    // Who is killed sooner counts as one that died of loading.
    eventually("the first owner has lived through loading", || async {
        let mark = harm.store.meta("loading:0").await.unwrap().unwrap_or_default();
        if mark["stage"] == "lived" { Ok(()) } else { Err(mark) }
    })
    .await;
    let aside = harm.work(&mut team).await;
    // The first one owned the shard and was simply killed; of the next one nobody knows of which guild it died.
    assert!(harm.killed.len() >= 4, "{:?}", harm.killed);
    let poison = harm.guild.unwrap();
    let named: Vec<String> = aside.iter().map(|one| one.guild.to_string()).collect();
    assert_eq!(named, std::slice::from_ref(&poison), "and no other: {:#?}", harm.marks);
    for fault in slow {
        let path = format!("/faults/{fault}");
        team.world.call(reqwest::Method::DELETE, &path, None).await;
    }
    team.settled().await;

    let (code, status) = team.setup.run("status").await;
    assert!(
        code == Some(0) && status.contains(&poison) && status.contains("died while it loaded"),
        "{status}"
    );
    let told = |line: &Value| {
        line["guild"] == poison.as_str() && line["message"].as_str().is_some_and(|text| text.contains("quarantine"))
    };
    assert!(
        team.bots.values().any(|bot| bot.log().iter().any(told)),
        "a log names it"
    );
    for guild in team.guilds.iter().filter(|guild| **guild != poison) {
        team.answered_in(guild).await;
        assert_eq!(team.world.gaps(guild).await, Vec::<Value>::new(), "gaps in {guild}");
    }
    let (code, said) = team.setup.run_with(&["release", &poison]).await;
    assert_eq!(code, Some(0), "{said}");
    let said = team.world.command(&poison, "volume", json!({ "level": 70 })).await;
    assert!(said.text().contains("70"), "{said:#?}");
    team.world.assert_no_violations().await;
}

/// A library under which, once a file is there, the thread that connects to a port hangs for ever: one thread, and while
/// another waits for the disk, so that the rest of the process is sure to be woken and goes on. Until then connections are
/// refused.
const HANGS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static atomic_int hung, syncing;
static int is_time(void) { return access(getenv("STRIKE_FILE"), F_OK) == 0 && !atomic_load(&hung); }
static int sync_slowly(int fd, const char *name) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (!is_time()) return real(fd);
    atomic_store(&syncing, 1);
    usleep(400000);
    int result = real(fd);
    atomic_store(&syncing, 0);
    return result;
}
int fsync(int fd) { return sync_slowly(fd, "fsync"); }
int fdatasync(int fd) { return sync_slowly(fd, "fdatasync"); }
int connect(int fd, const struct sockaddr *to, socklen_t length) {
    static int (*real)(int, const struct sockaddr *, socklen_t);
    if (!real) real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    const struct sockaddr_in *at = (const struct sockaddr_in *)to;
    if (to->sa_family != AF_INET || ntohs(at->sin_port) != atoi(getenv("GATEWAY_PORT")) || !is_time()) return real(fd, to, length);
    if (atomic_load(&syncing) && !atomic_exchange(&hung, 1)) for (;;) pause();
    errno = ECONNREFUSED;
    return -1;
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_renews_and_does_no_work_is_replaced() {
    let Some(odd) = Odd::under(HANGS, "a member that hangs").await else {
        return;
    };
    odd.strike().await;
    let (took, ()) = timed(odd.team.settled_within(Duration::from_secs(40))).await;
    assert!(took < Duration::from_secs(35), "replaced after {took:?}");
    let held = "not renewing: this process makes no progress";
    assert!(
        odd.bot.count(held) > 0,
        "it was found out by its own watchdog: {:#?}",
        odd.bot.log()
    );
    for guild in odd.team.one_of_each_shard().await.values() {
        odd.team.answered_in(guild).await;
    }
    odd.team.assert_unheard().await;
}
