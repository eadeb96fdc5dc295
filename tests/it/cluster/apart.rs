//! One replica that alone cannot reach Discord.

use std::time::Duration;

use super::preload::Odd;
use super::team::timed;

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
    int cut = to->sa_family == AF_INET && ntohs(at->sin_port) == atoi(getenv("GATEWAY_PORT"));
    if (!cut || access(getenv("STRIKE_FILE"), F_OK) != 0) return real(fd, to, length);
    errno = ENETUNREACH;
    return -1;
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_alone_loses_discord_gives_its_shards_away() {
    let Some(odd) = Odd::under(CUTS, "a member without Discord").await else {
        return;
    };
    odd.strike().await;
    let (took, ()) = timed(odd.team.settled_within(Duration::from_secs(55))).await;
    assert!(
        took >= Duration::from_secs(30),
        "given away before it was sure, after {took:?}"
    );
    for guild in odd.team.one_of_each_shard().await.values() {
        odd.team.answered_in(guild).await;
    }
    odd.spare();
    odd.bot.logged("Discord can be reached again").await;
    odd.team.assert_unheard().await;
}
