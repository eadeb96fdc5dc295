//! Uninstalling leaves nothing of the release; installing again on the same MongoDB brings every guild back: with Lavalink's
//! sessions as they were left nobody hears of it, and without them the music goes on where it ended.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::music::{Guild, Heard};
use super::node::until;
use super::record::Record;
use super::release::Release;
use super::store::{Recovery, otherwise, told};
use crate::progress::Progress;

/// How long Discord keeps a session that has no socket; Lavalink keeps them longer.
const RESUMABLE: Duration = Duration::from_secs(90);
/// A process that is asked to end stores where it is; so much may be lost, milliseconds.
const BEHIND_MS: u64 = 500;
/// Lavalink tells positions before they are heard, milliseconds.
const AHEAD_MS: u64 = 300;

/// Both ways, one after the other.
pub(super) fn leave_and_return(
    record: &mut Record<'_>,
    release: &Release<'_>,
    before: &[String],
) -> Result<(), String> {
    with_sessions(record, release, before)?;
    without_sessions(record, release, before)
}

fn with_sessions(record: &mut Record<'_>, release: &Release<'_>, before: &[String]) -> Result<(), String> {
    let away = uninstall(record, release, before)?;
    let recoveries = install(record, release)?;
    let resumable = away.elapsed() < RESUMABLE;
    use_every_guild(record)?;
    let mut noticed = record.look()?;
    let wanted: &[&str] = if resumable {
        &["carried_on"]
    } else {
        // Discord has forgotten the sessions, so each shard identifies, and voice is joined again.
        noticed.identifies = 0;
        noticed.gaps.clear();
        &["carried_on", "rejoined"]
    };
    let mut wrong = noticed.words();
    wrong.extend(otherwise(&recoveries, wanted));
    let tale = format!(
        "the sessions could be resumed: {resumable}, {:.0} s after the end began",
        away.elapsed().as_secs_f64()
    );
    record.judge("installed again", &tale, wrong)?;
    tell(record, &recoveries);
    Ok(())
}

fn without_sessions(record: &mut Record<'_>, release: &Release<'_>, before: &[String]) -> Result<(), String> {
    let left = heard(record)?;
    let away = uninstall(record, release, before)?;
    record.stage.world.restart_nodes()?;
    for guild in &record.guilds {
        until(&format!("silence in {}", guild.id), || {
            match record.stage.world.hears(guild) {
                Ok(()) => Err("music".to_owned()),
                Err(_) => Ok(()),
            }
        })?;
    }
    let (ended, since_ms) = (heard(record)?, record.stage.world.now_ms()?);
    let recoveries = install(record, release)?;
    let resumable = away.elapsed() < RESUMABLE;
    use_every_guild(record)?;
    let mut noticed = record.look()?;
    // One silence in each guild, since nothing played.
    let silent = noticed.gaps.len();
    if silent == record.guilds.len() {
        noticed.gaps.clear();
    }
    if !resumable {
        noticed.identifies = 0;
    }
    let mut wrong = noticed.words();
    wrong.extend(otherwise(&recoveries, &["restored"]));
    for ((guild, left), ended) in record.guilds.iter().zip(left).zip(ended) {
        let again = record.stage.world.heard_first(guild, since_ms)?;
        wrong.extend(misplaced(guild, &left, &ended, &again));
    }
    let tale = format!("{silent} silences, and each track went on where it ended");
    record.judge("installed again when Lavalink had forgotten all", &tale, wrong)?;
    tell(record, &recoveries);
    Ok(())
}

fn heard(record: &Record<'_>) -> Result<Vec<Heard>, String> {
    let of = |guild: &Guild| record.stage.world.heard(guild);
    record.guilds.iter().map(of).collect()
}

/// Returns the clock from its beginning.
fn uninstall(record: &Record<'_>, release: &Release<'_>, before: &[String]) -> Result<Progress, String> {
    let clock = Progress::start();
    release.uninstall(before)?;
    let took = clock.elapsed().as_secs_f64();
    record
        .progress
        .say(&format!("helm uninstall left nothing, after {took:.0} s"));
    Ok(clock)
}

/// Returns when every guild has music and was recovered, as MongoDB says: a player that only went on is no proof.
fn install(record: &Record<'_>, release: &Release<'_>) -> Result<Vec<Recovery>, String> {
    let stage = record.stage;
    let since = stage.store.now()?;
    release.install()?;
    stage.calm(stage.replicas)?;
    let mut recoveries = Vec::new();
    until("a recovery of every guild", || {
        recoveries = stage.store.recoveries(since)?;
        let missing = missing(&record.guilds, &recoveries);
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("none of {}", missing.join(", ")))
        }
    })?;
    for guild in &record.guilds {
        until(&format!("music in {} again", guild.id), || stage.world.hears(guild))?;
    }
    Ok(recoveries)
}

/// Guilds without a recovery.
fn missing(guilds: &[Guild], recoveries: &[Recovery]) -> Vec<String> {
    let recovered: BTreeSet<&str> = recoveries.iter().map(|one| one.guild.as_str()).collect();
    let ids = guilds.iter().map(|guild| guild.id.as_str());
    ids.filter(|id| !recovered.contains(id)).map(str::to_owned).collect()
}

/// One command in each guild, all of which must be acknowledged in time: it has an owner, not only a player.
fn use_every_guild(record: &Record<'_>) -> Result<(), String> {
    let world = record.stage.world;
    let before = world.acknowledged()?;
    for guild in &record.guilds {
        world.command(guild, "loop", &json!({ "mode": "queue" }))?;
    }
    world.settled()?;
    let (issued, acknowledged) = (record.guilds.len(), world.acknowledged()? - before);
    if u64::try_from(issued).is_ok_and(|issued| issued == acknowledged) {
        Ok(())
    } else {
        Err(format!(
            "of {issued} guilds {acknowledged} acknowledge a command in time"
        ))
    }
}

/// What is wrong with where the music goes on: it was left somewhere when the uninstallation began, and ended further on.
fn misplaced(guild: &Guild, left: &Heard, ended: &Heard, again: &Heard) -> Option<String> {
    let earliest = left.position_ms.saturating_sub(BEHIND_MS);
    let right = again.track == ended.track && (earliest..=ended.position_ms + AHEAD_MS).contains(&again.position_ms);
    (!right).then(|| {
        format!(
            "guild {}: {left:?}, ended at {ended:?}, and went on at {again:?}",
            guild.id
        )
    })
}

fn tell(record: &Record<'_>, recoveries: &[Recovery]) {
    for line in told(recoveries) {
        record.progress.say(&format!("    {line}"));
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::super::store::recovery;
    use super::*;

    #[test]
    fn a_guild_that_only_plays_on_is_missing_among_the_recovered() {
        let guilds = ["7", "8"].map(Guild::named);
        let row = doc! {
            "guild": "8", "outcome": "carried_on", "trigger": "drain", "took_ms": 90_i64, "gap_ms": 0_i64,
        };
        let recoveries = [recovery(&row).unwrap()];
        assert_eq!(missing(&guilds, &recoveries), ["7"]);
        assert_eq!(missing(&guilds[1..], &recoveries), [""; 0]);
    }

    #[test]
    fn music_goes_on_between_where_it_was_left_and_where_it_ended() {
        let at = |track: &str, position_ms| Heard {
            track: track.to_owned(),
            position_ms,
        };
        let (left, ended) = (at("a", 10_000), at("a", 15_000));
        let wrong = |again| misplaced(&Guild::named("7"), &left, &ended, &again).is_some();
        let table = [
            (at("a", 9_499), true),
            (at("a", 9_500), false),
            (at("a", 15_300), false),
            (at("a", 15_301), true),
            (at("b", 12_000), true),
            (at("a", 0), true),
        ];
        for (again, expected) in table {
            assert_eq!(wrong(again.clone()), expected, "{again:?}");
        }
    }
}
