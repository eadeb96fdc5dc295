//! Whether this replica alone may have lost Discord: half of its shards have had no connection for half a minute. The renewal
//! carries it, and the leader gives its shards to others while others are not without Discord too. What has no shards any more
//! knocks at the gateway's door now and then, and is one of many again once it opens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use url::Url;

use super::driven::Driven;
use super::{Process, RunError};
use crate::gateway::ShardState;

/// A shard that has been down for so long counts. Discord's own reconnects take seconds.
const DOWN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_secs(1);
/// How often one without shards knocks, and how long it waits for the door.
const KNOCK: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn start(
    process: &Arc<Process>,
    gateway_url: &str,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) {
    let (driven, stop) = (process.driven.clone(), stop.clone());
    let door = door(gateway_url);
    driven.reaches_discord(true);
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch(&driven, door) => {}
        }
        Ok(())
    });
}

async fn watch(driven: &Driven, door: Option<(String, u16)>) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut reach, mut knocked) = (Reach::default(), Instant::now());
    loop {
        looks.tick().await;
        let now = Instant::now();
        let was = reach.without;
        reach.look(connected(driven), now);
        if reach.without && reach.shards.is_empty() && now - knocked >= KNOCK {
            knocked = now;
            reach.without = !opens(door.as_ref()).await;
        }
        if was != reach.without {
            told(reach.without, reach.shards.len());
            driven.reaches_discord(!reach.without);
        }
    }
}

fn told(without: bool, shards: usize) {
    if without {
        warn!(
            shards,
            "most shards have had no connection to Discord for half a minute; others may take them"
        );
    } else {
        info!(shards, "Discord can be reached again");
    }
}

/// The shards, and whether each has a connection.
fn connected(driven: &Driven) -> impl Iterator<Item = (u32, bool)> {
    let of_all = driven.all().into_iter();
    of_all.map(|(shard, driving)| (shard, is_up(driving.guilds.around().gateway.state(), driving.ready)))
}

/// One that was never `ready` may wait long for its turn to log in, with a connection. Pure.
const fn is_up(state: ShardState, ready: bool) -> bool {
    match state {
        ShardState::Active => true,
        ShardState::Identifying | ShardState::Resuming | ShardState::Closed | ShardState::Fatal(_) => !ready,
        ShardState::Waiting | ShardState::Connecting => false,
    }
}

/// Where a TCP connection to the gateway goes.
fn door(gateway_url: &str) -> Option<(String, u16)> {
    let url = Url::parse(gateway_url).ok()?;
    let port = url.port().unwrap_or(if url.scheme() == "ws" { 80 } else { 443 });
    Some((url.host_str()?.to_owned(), port))
}

/// Without an address there is nothing to find out.
async fn opens(door: Option<&(String, u16)>) -> bool {
    let Some((host, port)) = door else { return true };
    let knock = timeout(PATIENCE, TcpStream::connect((host.as_str(), *port))).await;
    let opened = matches!(knock, Ok(Ok(_)));
    debug!(host, port, opened, "knocked at the gateway");
    opened
}

/// What was seen. Pure.
#[derive(Debug, Default)]
struct Reach {
    /// Since when each shard is down; `None`: it is up.
    shards: BTreeMap<u32, Option<Instant>>,
    without: bool,
}

impl Reach {
    fn look(&mut self, connected: impl Iterator<Item = (u32, bool)>, now: Instant) {
        let before = std::mem::take(&mut self.shards);
        let since = |shard| before.get(&shard).copied().flatten().unwrap_or(now);
        self.shards = connected
            .map(|(shard, up)| (shard, (!up).then(|| since(shard))))
            .collect();
        let down = self.shards.values().flatten().count();
        let long = self
            .shards
            .values()
            .flatten()
            .filter(|since| now - **since >= DOWN)
            .count();
        if long > 0 && long * 2 >= self.shards.len() {
            self.without = true;
        } else if !self.shards.is_empty() && down * 2 < self.shards.len() {
            self.without = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    fn look(reach: &mut Reach, up: &[bool], seconds: u64) -> bool {
        let shards = up.iter().enumerate();
        reach.look(
            shards.map(|(shard, up)| (u32::try_from(shard).unwrap(), *up)),
            after(seconds),
        );
        reach.without
    }

    #[test]
    fn half_of_the_shards_have_to_be_down_for_half_a_minute() {
        let mut reach = Reach::default();
        assert!(!look(&mut reach, &[false, false, true, true], 0));
        assert!(!look(&mut reach, &[false, false, true, true], 29));
        assert!(
            !look(&mut reach, &[false, true, true, true], 31),
            "one is less than half"
        );
        assert!(!look(&mut reach, &[false, false, true, false], 62));
        assert!(look(&mut reach, &[false, false, true, false], 92));
        assert!(
            look(&mut reach, &[false, false, true, true], 95),
            "half of them are still down"
        );
        assert!(!look(&mut reach, &[false, true, true, true], 96));
    }

    #[test]
    fn who_has_no_shards_learns_nothing_from_them() {
        let mut reach = Reach::default();
        look(&mut reach, &[false], 0);
        assert!(look(&mut reach, &[false], 30));
        assert!(look(&mut reach, &[], 31), "they were given away");
        assert!(look(&mut reach, &[], 3_600));
        assert!(!look(&mut reach, &[true], 3_601), "one came and is connected");
    }

    #[test]
    fn a_shard_is_down_without_a_connection_and_once_it_was_ready_also_while_it_logs_in_again() {
        let table = [
            (ShardState::Active, true, true),
            (ShardState::Resuming, true, false),
            (ShardState::Identifying, true, false),
            (ShardState::Identifying, false, true),
            (ShardState::Resuming, false, true),
            (ShardState::Waiting, false, false),
            (ShardState::Connecting, false, false),
            (ShardState::Connecting, true, false),
        ];
        for (state, ready, up) in table {
            assert_eq!(is_up(state, ready), up, "{state:?}, ready: {ready}");
        }
    }

    #[test]
    fn the_door_is_where_the_gateway_is() {
        assert_eq!(
            door("wss://gateway.discord.gg"),
            Some(("gateway.discord.gg".into(), 443))
        );
        assert_eq!(door("ws://127.0.0.1:4003/?v=10"), Some(("127.0.0.1".into(), 4003)));
        assert_eq!(door("nonsense"), None);
    }
}
