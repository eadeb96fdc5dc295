//! The chart is installed, music plays everywhere, and then one thing after the other happens, while people go on using the
//! bot. After each, nobody may have noticed.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bson::DateTime;
use serde_json::{Value, json};

use super::Args;
use super::acts::{self, Act};
use super::kubectl::Kubectl;
use super::music::{Guild, World};
use super::node::{Node, until};
use super::record::Record;
use super::reinstall;
use super::release::Release;
use super::said::Said;
use super::store::{Death, Store, otherwise, told};
use crate::progress::Progress;

/// How often a command is issued while an act is on.
const EVERY: Duration = Duration::from_millis(150);

/// Everything that an act needs.
pub(super) struct Stage<'a> {
    pub(super) kubectl: &'a Kubectl,
    pub(super) world: &'a World,
    pub(super) store: &'a Store,
    pub(super) replicas: u32,
    shards: usize,
    /// When a pod was killed or deleted in this act.
    struck: RefCell<Vec<DateTime>>,
}

impl Stage<'_> {
    /// Told just before a pod is killed or deleted: from then on its death can be known.
    pub(super) fn strikes(&self) -> Result<(), String> {
        let now = self.store.now()?;
        self.struck.borrow_mut().push(now);
        Ok(())
    }

    /// The right number of pods is ready, and every shard is connected.
    pub(super) fn calm(&self, replicas: u32) -> Result<(), String> {
        until(&format!("{replicas} ready pods"), || {
            let pods = self.kubectl.pods()?;
            let ready = ready(&pods);
            if ready == replicas as usize && pods.len() == ready {
                Ok(())
            } else {
                Err(format!("{ready} of {} are ready", pods.len()))
            }
        })?;
        until("every shard", || {
            let ready = self.world.shards_ready()?;
            if ready == self.shards {
                Ok(())
            } else {
                Err(format!("{ready} of {} are ready", self.shards))
            }
        })
    }
}

/// How many pods are ready and stay.
fn ready(pods: &[Value]) -> usize {
    let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
    let is_ready = |pod: &&Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|is| is["type"] == "Ready" && is["status"] == "True");
        ready.next().is_some()
    };
    pods.iter().filter(stays).filter(is_ready).count()
}

/// All of it. What the pods said last is kept with the logs when it goes wrong.
pub(super) fn play(node: &Node, image: &str, args: &Args, progress: Progress) -> Result<(), String> {
    let store = Store::start(node)?;
    let world = World::start(node, args)?;
    let release = Release {
        kubectl: &node.kubectl,
        folder: &node.folder,
        values: Release::values(&world, image, args.replicas, args.shards),
    };
    release.make_namespace()?;
    let stage = Stage {
        kubectl: &node.kubectl,
        world: &world,
        store: &store,
        replicas: args.replicas,
        shards: args.shards as usize,
        struck: RefCell::default(),
    };
    let said = Said::start(node)?;
    let placed = release.place(&world, &store);
    let went = placed.and_then(|()| {
        let record = Record::new(&stage, said, progress)?;
        perform_all(record, &release, node.own, args)
    });
    if went.is_err() {
        release.keep_what_pods_say();
    }
    if node.own {
        return went;
    }
    // What went wrong first is what is told.
    went.and(release.leave_no_namespace())
}

fn perform_all(mut record: Record<'_>, release: &Release<'_>, own: bool, args: &Args) -> Result<(), String> {
    let (stage, progress) = (record.stage, record.progress);
    let before = release.there()?;
    release.install()?;
    stage.calm(args.replicas)?;
    progress.say(&format!("{} replicas are installed and ready", args.replicas));
    release.test()?;
    release.test_without_rights()?;
    progress.say("the doctor in a pod finds nothing wrong, and without rights what it lacks");
    for guild in &record.guilds {
        stage.world.play(guild)?;
    }
    let mut noticed = record.look()?;
    // Each shard has to log in once.
    noticed.identifies = noticed.identifies.saturating_sub(args.shards.into());
    let tale = format!("music plays in {} guilds", record.guilds.len());
    record.judge("installed", &tale, noticed.words())?;
    for act in acts::asked(args.only.as_deref())? {
        if act.replicas > args.replicas || (act.within && !own) {
            progress.say(&format!("skipped: {}", act.name));
        } else {
            perform(&mut record, act)?;
        }
    }
    reinstall::leave_and_return(&mut record, release, &before)?;
    let noticed = record.look()?;
    let tale = format!("{} commands were acknowledged in time", stage.world.acknowledged()?);
    record.judge("afterwards", &tale, noticed.words())?;
    record.end()
}

/// One act, with people who use the bot meanwhile.
fn perform(record: &mut Record<'_>, act: &Act) -> Result<(), String> {
    let (stage, progress) = (record.stage, record.progress);
    let since = stage.store.now()?;
    stage.struck.take();
    let clock = Progress::start();
    let over = AtomicBool::new(false);
    let (world, guilds) = (stage.world, &record.guilds);
    let done = std::thread::scope(|scope| {
        let people = scope.spawn(|| use_the_bot(world, guilds, &over));
        let done = (act.run)(stage).and_then(|()| stage.calm(stage.replicas));
        over.store(true, Ordering::Relaxed);
        let used = people.join().unwrap_or_else(|_| Err("people stopped".to_owned()));
        done.and(used)
    });
    let issued = done.map_err(|error| format!("{}: {error}", act.name))?;
    let mut wrong = record.look()?.words();
    let recoveries = record.recoveries()?;
    // Discord and Lavalink stay up, so there is no excuse for more.
    wrong.extend(otherwise(&recoveries, &["carried_on"]));
    let took = clock.elapsed().as_secs_f64();
    record.judge(act.name, &format!("{issued} commands in {took:.0} s"), wrong)?;
    for death in stage.store.deaths(since)? {
        progress.say(&format!("    {}", after(&death, &stage.struck.borrow(), since)));
    }
    for line in told(&recoveries) {
        progress.say(&format!("    {line}"));
    }
    Ok(())
}

/// How long it took until a death was known: from the last time that a pod was killed before it, or from the act's beginning.
fn after(death: &Death, struck: &[DateTime], began: DateTime) -> String {
    let last = struck.iter().filter(|then| **then <= death.at).max();
    let ms = |then: DateTime| death.at.timestamp_millis() - then.timestamp_millis();
    let when = last.map_or_else(
        || format!("{} ms after it began", ms(began)),
        |then| format!("{} ms after the kill", ms(*then)),
    );
    format!("{} was declared dead {when}: {}", death.name, death.why)
}

/// Commands that change what is stored and nothing that is heard, so that no silence is explained by them. How many.
fn use_the_bot(world: &World, guilds: &[Guild], over: &AtomicBool) -> Result<usize, String> {
    let modes = ["queue", "off"]
        .into_iter()
        .flat_map(|mode| std::iter::repeat_n(mode, guilds.len()));
    for (issued, (guild, mode)) in guilds.iter().cycle().zip(modes.cycle()).enumerate() {
        if over.load(Ordering::Relaxed) {
            return Ok(issued);
        }
        world.command(guild, "loop", &json!({ "mode": mode }))?;
        std::thread::sleep(EVERY);
    }
    Err("there is no guild".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_counted_from_the_kill_before_it_and_not_from_the_beginning_of_the_act() {
        let at = DateTime::from_millis;
        let death = Death {
            name: "segue-1".to_owned(),
            why: "refused".to_owned(),
            at: at(9_000),
        };
        let told = |struck: &[i64]| {
            let struck: Vec<DateTime> = struck.iter().copied().map(at).collect();
            after(&death, &struck, at(1_000))
        };
        let dead = "segue-1 was declared dead";
        assert_eq!(told(&[]), format!("{dead} 8000 ms after it began: refused"));
        assert_eq!(
            told(&[2_000, 8_700, 9_500]),
            format!("{dead} 300 ms after the kill: refused")
        );
    }
}
