//! One replica that alone cannot reach Discord.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use super::preload;
use super::team::{Team, timed};
use crate::harness::{Proxy, eventually};

/// A library under which no connection to a port can be made while a file is there.
const CUTS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int connect(int fd, const struct sockaddr *to, socklen_t length) {
    static int (*real)(int, const struct sockaddr *, socklen_t);
    if (!real) real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    const struct sockaddr_in *at = (const struct sockaddr_in *)to;
    int cut = to->sa_family == AF_INET && ntohs(at->sin_port) == atoi(getenv("CUT_PORT"));
    if (!cut || access(getenv("CUT_FILE"), F_OK) != 0) return real(fd, to, length);
    errno = ENETUNREACH;
    return -1;
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_alone_loses_discord_gives_its_shards_away() {
    let folder = tempfile::tempdir().unwrap();
    let (library, file) = (folder.path().join("cut.so"), folder.path().join("cut"));
    if !preload::library(CUTS, &library) {
        return crate::skip::skip("a member without Discord: no C compiler");
    }
    let mut team = Team::playing(2, 6).await;
    // REST takes another way, so that its calls do not count as the gateway's.
    let gateway = team.world.ready.discord_gateway.clone();
    let at: SocketAddr = gateway
        .trim_start_matches("ws://")
        .trim_end_matches('/')
        .parse()
        .unwrap();
    let proxy = Proxy::to(at).await;
    let plain = team.setup.clone();
    team.setup = plain
        .set("LD_PRELOAD", library.to_str().unwrap())
        .set("CUT_FILE", file.to_str().unwrap())
        .set("CUT_PORT", &at.port().to_string())
        .set("SEGUE_DISCORD_API_URL", &format!("http://{}", proxy.address));
    team.start("c").await;
    drop(team.take("b").kill().await);
    team.settled().await;
    let lost = team.owners().await["c"].clone();
    assert!(!lost.is_empty(), "the one that will be cut off owns shards");
    let note = json!({ "kind": "note", "text": "one is cut off", "excuse": lost });
    team.world.post("/faults", note).await;
    let c = team.take("c");
    std::fs::write(&file, "").unwrap();
    for shard in &lost {
        team.world
            .fault(json!({ "kind": "drop_gateway", "shard": shard }))
            .await;
    }
    let (took, ()) = timed(team.settled_within(Duration::from_secs(55))).await;
    assert!(
        took >= Duration::from_secs(30),
        "given away before it was sure, after {took:?}"
    );
    for guild in team.one_of_each_shard().await.values() {
        team.answered_in(guild).await;
    }
    std::fs::remove_file(&file).unwrap();
    eventually("it finds Discord again", || async {
        let found = c.count("Discord can be reached again") > 0;
        if found {
            Ok(())
        } else {
            Err(c.log().split_off(c.log().len().saturating_sub(5)))
        }
    })
    .await;
    team.assert_unheard().await;
}
