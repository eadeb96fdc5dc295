//! Who the bot is and how many shards it has. Learned once and remembered in the store, so that a restart need not ask.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Process, RunError, retry};
use crate::cluster::budget::{self, StartLimit};
use crate::cluster::{self, timing};
use crate::command::{registration, registration_hash};
use crate::config::Shards;
use crate::discord::DiscordError;
use crate::gateway::session::token_hash;
use crate::lifecycle::wall_ms;
use crate::model::ids::{ApplicationId, UserId};
use crate::store::{MemberRow, Scan};

/// What was learned is asked again after this, milliseconds.
const FRESH_MS: i64 = 24 * 3_600 * 1_000;
const META: &str = "identity";
const META_COMMANDS: &str = "commands";
/// After a failure, commands are registered again after this, then twice as long each time.
const REGISTER_AGAIN: Duration = Duration::from_millis(500);

/// Who the bot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Its user.
    pub user: UserId,
    /// Its application.
    pub application: ApplicationId,
    /// Where IDENTIFY goes.
    pub gateway_url: String,
    /// Shards to run.
    pub shards: u32,
    /// Shards that may IDENTIFY at a time.
    pub max_concurrency: u32,
    /// IDENTIFYs a day.
    pub starts: u32,
    /// Of which token this was learned, hashed.
    token_hash: String,
    /// When, milliseconds since 1970.
    learned_ms: i64,
}

/// From the store if it is fresh and of this token, else from Discord. `None`: stopped meanwhile.
pub(super) async fn learn(process: &Process, stop: &CancellationToken) -> Result<Option<Identity>, RunError> {
    let hash = token_hash(&process.settings.discord_token);
    let Some(stored) = retry("read what is known of the bot", stop, || process.store.meta(META)).await? else {
        return Ok(None);
    };
    let known = stored
        .clone()
        .and_then(|value| serde_json::from_value::<Identity>(value).ok());
    let is_fresh =
        |known: &&Identity| known.token_hash == hash && (0..FRESH_MS).contains(&(wall_ms() - known.learned_ms));
    if let Some(known) = known.as_ref().filter(is_fresh) {
        return Ok(Some(adjusted(process, known.clone())));
    }
    let Some((mut identity, said)) = ask(process, hash.clone(), stop).await? else {
        return Ok(None);
    };
    let Some(scan) = retry("see who is there", stop, || process.store.scan()).await? else {
        return Ok(None);
    };
    if let Some(known) = known.filter(|_| others_run(&scan)) {
        identity = beside_others(identity, &known);
    }
    let tell = || budget::tell(&process.store, said);
    if retry("tell how many IDENTIFYs are left", stop, tell).await?.is_none() {
        return Ok(None);
    }
    let value = serde_json::to_value(&identity).map_err(anyhow::Error::from)?;
    let put = || process.store.put_meta(META, stored.as_ref(), &value);
    if retry("remember who the bot is", stop, put).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(adjusted(process, identity)))
}

/// Whether there may be replicas at work.
fn others_run(scan: &Scan) -> bool {
    let works = |row: &MemberRow| !row.state.is_final() && scan.now_ms - row.renewed_ms < timing::MEMBER_TIMEOUT;
    scan.members.iter().any(works)
}

/// What is believed while others run with what was known: replicas that count shards differently would drive guilds twice, or
/// not at all. Who starts when nobody is there takes the new number; until then it is asked for at each start.
fn beside_others(learned: Identity, known: &Identity) -> Identity {
    if learned.user != known.user || learned.shards == known.shards {
        return learned;
    }
    warn!(
        recommended = learned.shards,
        shards = known.shards,
        "Discord recommends another number of shards; it is taken when all replicas were stopped"
    );
    Identity {
        shards: known.shards,
        learned_ms: known.learned_ms,
        ..learned
    }
}

fn adjusted(process: &Process, mut identity: Identity) -> Identity {
    if let Shards::Count(count) = process.settings.shards {
        identity.shards = count;
    }
    if let Some(url) = &process.settings.discord_gateway_url {
        identity.gateway_url.clone_from(url);
    }
    identity
}

async fn ask(
    process: &Process,
    token_hash: String,
    stop: &CancellationToken,
) -> Result<Option<(Identity, StartLimit)>, RunError> {
    let mut wait = Duration::from_millis(500);
    loop {
        match once(process, token_hash.clone()).await {
            Ok(learned) => return Ok(Some(learned)),
            Err(DiscordError::TokenRefused) => return Err(RunError::TokenRefused),
            Err(error) => warn!(%error, "Discord does not say who the bot is; asking again"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(Duration::from_secs(30)),
        }
    }
}

async fn once(process: &Process, token_hash: String) -> Result<(Identity, StartLimit), DiscordError> {
    let discord = &process.discord;
    let (user, application, gateway) =
        tokio::try_join!(discord.bot_user(), discord.application_id(), discord.gateway())?;
    let limit = gateway.session_start_limit;
    let said = StartLimit {
        bot: user.id,
        remaining: limit.remaining,
        reset_after_ms: limit.reset_after,
    };
    let identity = Identity {
        user: user.id,
        application,
        gateway_url: gateway.url,
        shards: gateway.shards.max(1),
        max_concurrency: u32::from(limit.max_concurrency).max(1),
        starts: limit.total,
        token_hash,
        learned_ms: wall_ms(),
    };
    Ok((identity, said))
}

/// Registers the slash commands if they are not the ones that were registered last. Only the leader does, once in every term
/// of its own: between two of them another version may have led, and registered its own.
pub(super) fn register_commands(
    process: &Arc<Process>,
    identity: &Identity,
    mut cluster: cluster::Handle,
    tasks: &mut JoinSet<Result<(), RunError>>,
    stop: &CancellationToken,
) {
    let (process, application, stop) = (Arc::clone(process), identity.application, stop.clone());
    tasks.spawn(async move {
        let work = async {
            let (mut done, mut wait) = (None, REGISTER_AGAIN);
            while let Some(term) = leads(&mut cluster, done).await {
                if registered(&process, application).await {
                    (done, wait) = (Some(term), REGISTER_AGAIN);
                } else {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_mins(1));
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
        Ok(())
    });
}

/// Waits until this member leads, in another term than that. `None`: it has ended.
async fn leads(cluster: &mut cluster::Handle, done: Option<u64>) -> Option<u64> {
    loop {
        let view = cluster.view();
        if view.leading && done != Some(view.term) {
            return Some(view.term);
        }
        if !cluster.changed().await {
            return None;
        }
    }
}

/// Whether our commands are the ones that were registered last, if need be after having done it.
async fn registered(process: &Process, application: ApplicationId) -> bool {
    let wanted = serde_json::json!({ "application": application.to_string(), "hash": registration_hash() });
    let known = match process.store.meta(META_COMMANDS).await {
        Ok(Some(known)) if known == wanted => return true,
        Ok(known) => known,
        Err(error) => {
            warn!(%error, "cannot read which commands are registered; trying again");
            return false;
        }
    };
    if let Err(error) = process.discord.register_commands(application, &registration()).await {
        warn!(%error, "slash commands could not be registered; trying again");
        return false;
    }
    info!("slash commands registered");
    // Somebody else may have registered at the same time, and who was last is not known: then once more.
    let put = process.store.put_meta(META_COMMANDS, known.as_ref(), &wanted).await;
    put.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::MemberId;
    use crate::store::MemberState;

    #[test]
    fn while_others_run_the_number_of_shards_stays_and_is_asked_for_again() {
        let identity = |user: u64, shards: u32, learned_ms: i64| Identity {
            user: UserId::new(user),
            application: ApplicationId::new(1),
            gateway_url: String::new(),
            shards,
            max_concurrency: 1,
            starts: 1_000,
            token_hash: "new".to_owned(),
            learned_ms,
        };
        let beside = beside_others(identity(7, 3, 9_000), &identity(7, 2, 1_000));
        assert_eq!((beside.shards, beside.learned_ms), (2, 1_000));
        let same = beside_others(identity(7, 2, 9_000), &identity(7, 2, 1_000));
        assert_eq!((same.shards, same.learned_ms), (2, 9_000), "nothing is left to learn");
        let another_bot = beside_others(identity(8, 3, 9_000), &identity(7, 2, 1_000));
        assert_eq!(another_bot.shards, 3);
    }

    #[test]
    fn who_did_not_renew_for_long_or_has_left_does_not_run() {
        use MemberState::{Draining, Fenced, Gone, Live};
        for (state, renewed_ms, runs) in [
            (Live, 95_000, true),
            (Draining, 95_000, true),
            (Live, 85_000, false),
            (Gone, 99_000, false),
            (Fenced, 99_000, false),
        ] {
            let row = MemberRow {
                state,
                renewed_ms,
                ..MemberRow::new(MemberId("a".into()), "a".to_owned())
            };
            let scan = Scan {
                now_ms: 100_000,
                members: vec![row],
                ..Scan::default()
            };
            assert_eq!(others_run(&scan), runs, "{state:?} {renewed_ms}");
        }
        assert!(!others_run(&Scan::default()));
    }
}
