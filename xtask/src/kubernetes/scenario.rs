//! The chart is installed, music plays everywhere, and then one thing after the other happens, while people go on using the
//! bot. After each, nobody may have noticed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::acts::{ACTS, Act};
use super::kubectl::{Kubectl, NAMESPACE, RELEASE};
use super::music::{Guild, World, recoveries, told};
use super::node::{Node, until};
use super::{Args, IMAGE};
use crate::progress::Progress;

/// How often a command is issued while an act is on.
const EVERY: Duration = Duration::from_millis(150);

/// Everything that an act needs.
pub(super) struct Stage<'a> {
    pub(super) kubectl: &'a Kubectl,
    pub(super) world: &'a World,
    pub(super) replicas: u32,
    shards: usize,
}

impl Stage<'_> {
    /// The right number of pods is ready, and every shard is connected.
    pub(super) fn calm(&self, replicas: u32) -> Result<(), String> {
        until(&format!("{replicas} ready pods"), || {
            let ready = ready(&self.kubectl.pods()?);
            if ready == replicas as usize {
                Ok(())
            } else {
                Err(format!("{ready} are ready"))
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
    let conditions = |pod: &Value| pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_ready = |pod: &&Value| {
        conditions(pod)
            .iter()
            .any(|is| is["type"] == "Ready" && is["status"] == "True")
    };
    pods.iter().filter(stays).filter(is_ready).count()
}

/// All of it.
pub(super) fn play(node: &Node, args: &Args, progress: Progress) -> Result<(), String> {
    let kubectl = &node.kubectl;
    let world = World::start(node, args)?;
    install(kubectl, &world, args)?;
    progress.say(&format!("{} replicas are installed and ready", args.replicas));
    let stage = Stage {
        kubectl,
        world: &world,
        replicas: args.replicas,
        shards: args.shards as usize,
    };
    stage.calm(args.replicas)?;
    let doctor = kubectl.helm(&["test", RELEASE, "--logs", "--timeout", "90s"]);
    doctor.map_err(|words| format!("the doctor in a pod: {words}"))?;
    let guilds = world.guilds()?;
    for guild in &guilds {
        world.play(guild)?;
    }
    progress.say(&format!("music plays in {} guilds", guilds.len()));
    let mut failed = Vec::new();
    let chosen = |act: &&Act| args.only.as_ref().is_none_or(|part| act.name.contains(part));
    for act in ACTS.iter().filter(chosen).filter(|act| act.replicas <= args.replicas) {
        let wrong = perform(&stage, act, &guilds, progress)?;
        failed.extend(wrong.into_iter().map(|wrong| format!("{}: {wrong}", act.name)));
    }
    leave_and_return(&stage, args, &guilds, progress)?;
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("people noticed:\n  {}", failed.join("\n  ")))
    }
}

/// One act, with people who use the bot meanwhile. What they noticed.
fn perform(stage: &Stage<'_>, act: &Act, guilds: &[Guild], progress: Progress) -> Result<Vec<String>, String> {
    let before = stage.world.moment()?;
    let since = Progress::start();
    let over = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        let people = scope.spawn(|| use_the_bot(stage.world, guilds, &over));
        let done = (act.run)(stage).and_then(|()| stage.calm(stage.replicas));
        over.store(true, Ordering::Relaxed);
        let used = people.join().unwrap_or_else(|_| Err("people stopped".to_owned()));
        done.and(used)
    });
    done.map_err(|error| format!("{}: {error}", act.name))?;
    stage.world.settled()?;
    let wrong = stage.world.noticed_since(&before, guilds)?;
    let verdict = if wrong.is_empty() {
        "nobody noticed".to_owned()
    } else {
        format!("{} things were noticed", wrong.len())
    };
    progress.say(&format!(
        "{}: {verdict}, after {:.0} s",
        act.name,
        since.elapsed().as_secs_f64()
    ));
    for (what, took) in recoveries(&logs(stage.kubectl, since)) {
        progress.say(&format!("    {what}: {}", told(took)));
    }
    Ok(wrong)
}

fn logs(kubectl: &Kubectl, since: Progress) -> String {
    let since = format!("--since={}s", since.elapsed().as_secs() + 1);
    let told = [
        "logs",
        "-l",
        "app.kubernetes.io/component=bot",
        "--tail=-1",
        "--max-log-requests=20",
        &since,
    ];
    kubectl.here(&told).unwrap_or_default()
}

fn use_the_bot(world: &World, guilds: &[Guild], over: &AtomicBool) -> Result<(), String> {
    let levels = (50..100).cycle();
    for (guild, level) in guilds.iter().cycle().zip(levels) {
        if over.load(Ordering::Relaxed) {
            return Ok(());
        }
        world.command(guild, "volume", &json!({ "level": level }))?;
        std::thread::sleep(EVERY);
    }
    Ok(())
}

/// What the release is installed with, as Helm reads it.
fn values(world: &World, args: &Args) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let node = |node: &Value| json!({ "name": node["name"], "url": node["url"], "existingSecret": "lavalink", "secretKey": node["name"] });
    let nodes: Vec<Value> = world.ready["lavalink"]
        .as_array()
        .into_iter()
        .flatten()
        .map(node)
        .collect();
    let (repository, tag) = IMAGE.rsplit_once(':').unwrap_or((IMAGE, ""));
    json!({
        "replicaCount": args.replicas,
        "image": { "repository": repository, "tag": tag, "pullPolicy": "Never" },
        "discord": { "existingSecret": "discord" },
        "mongodb": { "existingSecret": "mongodb" },
        "lavalink": { "external": nodes },
        "config": {
            "shards": args.shards,
            "discord_api_url": text(&world.ready["discord_api"]),
            "discord_gateway_url": text(&world.ready["discord_gateway"]),
        },
        // One machine: the spread has nothing to spread over, and nobody waits for a canary.
        "minReadySeconds": 0,
    })
}

fn install(kubectl: &Kubectl, world: &World, args: &Args) -> Result<(), String> {
    kubectl.ok(&["create", "namespace", NAMESPACE])?;
    kubectl.ok(&[
        "label",
        "namespace",
        NAMESPACE,
        "pod-security.kubernetes.io/enforce=restricted",
    ])?;
    let literal = |key: &str, value: &str| format!("--from-literal={key}={value}");
    let secret = |name: &str, literals: Vec<String>| {
        let told = ["create", "secret", "generic", name].map(str::to_owned);
        let all: Vec<String> = told.into_iter().chain(literals).collect();
        kubectl
            .here(&all.iter().map(String::as_str).collect::<Vec<_>>())
            .map(drop)
    };
    secret(
        "discord",
        vec![literal("token", world.ready["token"].as_str().unwrap_or_default())],
    )?;
    secret("mongodb", vec![literal("uri", &World::store())])?;
    let nodes = world.ready["lavalink"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    secret(
        "lavalink",
        nodes
            .map(|node| literal(&text(&node["name"]), &text(&node["password"])))
            .collect(),
    )?;
    helm_install(kubectl, world, args)
}

fn helm_install(kubectl: &Kubectl, world: &World, args: &Args) -> Result<(), String> {
    let file = std::env::temp_dir().join(format!("segue-values-{}.json", std::process::id()));
    // JSON is YAML.
    std::fs::write(&file, values(world, args).to_string()).map_err(|error| format!("values: {error}"))?;
    let path = file.display().to_string();
    let told = [
        "install",
        RELEASE,
        "charts/segue",
        "--values",
        &path,
        "--wait",
        "--timeout",
        "3m",
    ];
    let installed = kubectl.helm(&told);
    std::fs::remove_file(&file).map_err(|error| format!("values: {error}"))?;
    installed.map(drop)
}

/// Uninstalling leaves nothing of the release; installing again on the same MongoDB brings every guild back.
fn leave_and_return(stage: &Stage<'_>, args: &Args, guilds: &[Guild], progress: Progress) -> Result<(), String> {
    stage.kubectl.helm(&["uninstall", RELEASE, "--wait"])?;
    until("the end of every pod", || match stage.kubectl.pods()?.len() {
        0 => Ok(()),
        left => Err(format!("{left} are left")),
    })?;
    let kinds = "all,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies,leases,endpointslices,persistentvolumeclaims";
    until("an empty namespace", || {
        let left = stage.kubectl.here(&["get", kinds, "-o", "name"])?;
        let mine = left
            .lines()
            .filter(|name| !["configmap/kube-root-ca.crt", "serviceaccount/default"].contains(name));
        let mine: Vec<&str> = mine.collect();
        if mine.is_empty() {
            Ok(())
        } else {
            Err(format!("helm uninstall left {}", mine.join(", ")))
        }
    })?;
    progress.say("helm uninstall left nothing");
    helm_install(stage.kubectl, stage.world, args)?;
    stage.calm(args.replicas)?;
    for guild in guilds {
        until(&format!("music in {} again", guild.id), || stage.world.hears(guild))?;
    }
    progress.say(&format!("installed again: music plays in {} guilds", guilds.len()));
    Ok(())
}
