//! The chart is installed, music plays everywhere, and then one thing after the other happens, while people go on using the
//! bot. After each, nobody may have noticed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::Args;
use super::acts::{self, Act};
use super::kubectl::Kubectl;
use super::music::{Guild, World};
use super::node::{Node, until};
use super::release::Release;
use super::store::{Store, told};
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
}

impl Stage<'_> {
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
    };
    let placed = release.place(&world, &store);
    let went = placed.and_then(|()| perform_all(&stage, &release, node.own, args, progress));
    if went.is_err() {
        release.keep_what_pods_say();
    }
    if node.own {
        return went;
    }
    // What went wrong first is what is told.
    went.and(release.leave_no_namespace())
}

fn perform_all(
    stage: &Stage<'_>,
    release: &Release<'_>,
    own: bool,
    args: &Args,
    progress: Progress,
) -> Result<(), String> {
    let before = release.there()?;
    release.install()?;
    stage.calm(args.replicas)?;
    progress.say(&format!("{} replicas are installed and ready", args.replicas));
    release.test()?;
    release.test_without_rights()?;
    progress.say("the doctor in a pod finds nothing wrong, and without rights what it lacks");
    let guilds = stage.world.guilds()?;
    for guild in &guilds {
        stage.world.play(guild)?;
    }
    progress.say(&format!("music plays in {} guilds", guilds.len()));
    let mut noticed = Vec::new();
    for act in acts::asked(args.only.as_deref())? {
        if act.replicas > args.replicas || (act.within && !own) {
            progress.say(&format!("skipped: {}", act.name));
            continue;
        }
        let wrong = perform(stage, act, &guilds, progress)?;
        noticed.extend(wrong.into_iter().map(|wrong| format!("{}: {wrong}", act.name)));
    }
    leave_and_return(stage, release, &before, &guilds, progress)?;
    if noticed.is_empty() {
        Ok(())
    } else {
        Err(format!("people noticed:\n  {}", noticed.join("\n  ")))
    }
}

/// One act, with people who use the bot meanwhile. What they noticed.
fn perform(stage: &Stage<'_>, act: &Act, guilds: &[Guild], progress: Progress) -> Result<Vec<String>, String> {
    let (before, since) = (stage.world.moment()?, stage.store.now()?);
    let clock = Progress::start();
    let over = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        let people = scope.spawn(|| use_the_bot(stage.world, guilds, &over));
        let done = (act.run)(stage).and_then(|()| stage.calm(stage.replicas));
        over.store(true, Ordering::Relaxed);
        let used = people.join().unwrap_or_else(|_| Err("people stopped".to_owned()));
        done.and(used)
    });
    let issued = done.map_err(|error| format!("{}: {error}", act.name))?;
    stage.world.settled()?;
    let wrong = stage.world.noticed_since(&before, guilds)?;
    let verdict = match wrong.len() {
        0 => "nobody noticed".to_owned(),
        many => format!("{many} things were noticed"),
    };
    let took = clock.elapsed().as_secs_f64();
    progress.say(&format!("{}: {verdict}; {issued} commands in {took:.0} s", act.name));
    for wrong in &wrong {
        progress.say(&format!("    {wrong}"));
    }
    for death in stage.store.deaths(since)? {
        let after = (death.at.timestamp_millis() - since.timestamp_millis()).max(0);
        progress.say(&format!(
            "    {} was declared dead after {after} ms: {}",
            death.name, death.why
        ));
    }
    for line in told(&stage.store.recoveries(since)?) {
        progress.say(&format!("    {line}"));
    }
    Ok(wrong)
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

/// Uninstalling leaves nothing of the release; installing again on the same MongoDB brings every guild back.
fn leave_and_return(
    stage: &Stage<'_>,
    release: &Release<'_>,
    before: &[String],
    guilds: &[Guild],
    progress: Progress,
) -> Result<(), String> {
    let clock = Progress::start();
    release.uninstall(before)?;
    let took = clock.elapsed().as_secs_f64();
    progress.say(&format!("helm uninstall left nothing, after {took:.0} s"));
    let (then, since) = (stage.world.moment()?, stage.store.now()?);
    release.install()?;
    stage.calm(stage.replicas)?;
    for guild in guilds {
        until(&format!("music in {} again", guild.id), || stage.world.hears(guild))?;
    }
    let wrong = stage.world.noticed_since(&then, guilds)?;
    progress.say(&format!("installed again: music plays in {} guilds", guilds.len()));
    for line in told(&stage.store.recoveries(since)?) {
        progress.say(&format!("    {line}"));
    }
    for wrong in wrong {
        progress.say(&format!("    {wrong}"));
    }
    Ok(())
}
