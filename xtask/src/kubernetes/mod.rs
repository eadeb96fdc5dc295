//! `cargo xtask test kubernetes`: a real Kubernetes on this machine, the chart installed into it, and what happens to it.
//!
//! One node with etcd, API server, controllers, scheduler, kubelet, kube-proxy and containerd. All of it, with its mounts, its
//! interfaces and its rules, lives in namespaces of its own: when the first process in them ends, the kernel ends the rest.
//! Discord, Lavalink and MongoDB run beside the kubelet, at the node's address.

mod acts;
mod certificates;
mod components;
mod files;
mod kubectl;
mod music;
mod node;
mod scenario;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::chart::{self, programs, root};
use crate::debian;
use crate::progress::{Progress, say};
use crate::{image, mongod};

/// What is needed of Debian, and where it lies then.
const PROGRAMS: [&str; 6] = [
    "/usr/bin/containerd",
    "/usr/sbin/runc",
    "/usr/lib/cni/bridge",
    "/usr/sbin/iptables",
    "/usr/sbin/conntrack",
    "/usr/sbin/ip",
];
const PACKAGES: [&str; 6] = [
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "conntrack",
    "iproute2",
];
/// The image's name inside; never `latest`, since that is always pulled.
pub(crate) const IMAGE: &str = "localhost/segue:test";
/// Folders of the machine that the kubelet insists on. Inside they are other folders; outside they stay empty.
const MOUNTED_ON: [&str; 4] = [
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
];

/// `cargo xtask test kubernetes`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many replicas
    #[arg(long, default_value_t = 3)]
    pub(crate) replicas: u32,
    /// How many guilds play
    #[arg(long, default_value_t = 60)]
    pub(crate) guilds: u32,
    /// How many gateway shards there are
    #[arg(long, default_value_t = 12)]
    pub(crate) shards: u32,
    /// Only these acts, by a part of their names
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// Only make the parts of the cluster, and keep them for the next run
    #[arg(long)]
    prepare: bool,
    /// Keep the logs of the cluster when all went well too
    #[arg(long)]
    keep: bool,
}

/// What the first process inside is started with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Inside {
    folder: PathBuf,
    #[command(flatten)]
    args: Args,
}

/// Prepares, goes inside, and removes what is left. What cannot be had here is said, and nothing is run.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let progress = Progress::start();
    let parts = match prepare(progress) {
        Ok(parts) => parts,
        Err(reason) => {
            say(&format!("skipped:\n  the real cluster: {reason}"));
            return Ok(ExitCode::SUCCESS);
        }
    };
    if args.prepare {
        return Ok(ExitCode::SUCCESS);
    }
    let folder = root().join(format!("target/kubernetes-{}", std::process::id()));
    let folder = std::path::absolute(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    std::fs::create_dir_all(folder.join("bin")).map_err(|error| format!("{}: {error}", folder.display()))?;
    let bot = image::make(true, IMAGE, &folder.join("segue.tar"), progress)?;
    // A copy: the next build puts another one in its place.
    std::fs::copy(&bot, folder.join("bin/segue")).map_err(|error| format!("{}: {error}", bot.display()))?;
    components::place(&parts, &folder)?;
    let there: Vec<&str> = MOUNTED_ON.into_iter().filter(|path| Path::new(path).exists()).collect();
    let passed = go_inside(&folder, args);
    let left = clean(&folder, &there);
    let passed = passed?;
    if passed && !args.keep {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    } else {
        progress.say(&format!("the logs are in {}", folder.join("log").display()));
    }
    left?;
    progress.say(if passed {
        "the cluster: all passed"
    } else {
        "the cluster: failed"
    });
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that the cluster is made of; the error is why there can be none here.
fn prepare(progress: Progress) -> Result<components::Parts, String> {
    if !debian::is_root() {
        return Err("it needs root, for namespaces, mounts and interfaces".to_owned());
    }
    if Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--mount", "true"])
        .status()
        .is_ok_and(|status| !status.success())
    {
        return Err("this machine makes no namespaces".to_owned());
    }
    debian::install("containerd", &PROGRAMS, &PACKAGES, progress)?;
    if let Some(reason) = chart::install(progress)
        .into_iter()
        .find(|reason| reason.starts_with("helm"))
    {
        return Err(reason);
    }
    let (helm, kubectl) = programs::helm().zip(programs::kubectl()).ok_or("no Helm and kubectl")?;
    let mongod = mongod::install()?;
    let node = components::node(progress)?;
    Ok(components::Parts {
        node,
        helm,
        kubectl,
        mongod,
    })
}

/// Starts this program again as the first process of new namespaces, and waits for its end.
fn go_inside(folder: &Path, args: &Args) -> Result<bool, String> {
    let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let number = |name: &str, value: u32| [format!("--{name}"), value.to_string()];
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--propagation",
            "private",
            "--",
        ])
        .arg(own)
        .arg("inside-kubernetes")
        .arg(folder)
        .args(number("replicas", args.replicas))
        .args(number("guilds", args.guilds))
        .args(number("shards", args.shards));
    if let Some(only) = &args.only {
        command.args(["--only", only]);
    }
    let status = command
        .status()
        .map_err(|error| format!("unshare does not start: {error}"))?;
    Ok(status.success())
}

/// The first process inside: brings the node up, plays all acts, and ends; what it started ends with it.
pub(crate) fn inside(inside: &Inside) -> Result<ExitCode, String> {
    let progress = Progress::start();
    let node = node::up(&inside.folder, progress)?;
    scenario::play(&node, &inside.args, progress)?;
    Ok(ExitCode::SUCCESS)
}

/// Removes control groups and the empty folders that were not there before. The error names what could not be removed.
fn clean(folder: &Path, there: &[&str]) -> Result<(), String> {
    let mut left = node::remove_groups(folder);
    for path in MOUNTED_ON.into_iter().filter(|path| !there.contains(path)) {
        if Path::new(path).exists() && std::fs::remove_dir(path).is_err() {
            left.push(path.to_owned());
        }
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(format!("the cluster left behind: {}", left.join(", ")))
    }
}
