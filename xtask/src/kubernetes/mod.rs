//! `cargo xtask test kubernetes`: a real Kubernetes, the chart installed into it, and what happens to it.
//!
//! Unless told to use a cluster that is there already, one is made on this machine: one node with etcd, API server,
//! controllers, scheduler, kubelet, kube-proxy and containerd. All of it, with its mounts, its interfaces and its rules,
//! lives in namespaces of its own: when the first process in them ends, the kernel ends the rest. Discord, Lavalink and
//! MongoDB run beside the kubelet, at the node's address.

mod acts;
mod certificates;
mod components;
mod files;
mod groups;
mod kubectl;
mod lent;
mod music;
mod node;
mod processes;
mod record;
mod reinstall;
mod release;
mod said;
mod scenario;
mod store;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::image;
use crate::progress::{Progress, say};
use components::Prepared;
use kubectl::Kubectl;
use node::Node;

/// The image's name inside; never `latest`, since that is always pulled.
const IMAGE: &str = "localhost/segue:test";

/// `cargo xtask test kubernetes`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// How many replicas
    #[arg(long, default_value_t = 3)]
    replicas: u32,
    /// How many guilds play
    #[arg(long, default_value_t = 60)]
    guilds: u32,
    /// How many gateway shards there are
    #[arg(long, default_value_t = 12)]
    shards: u32,
    /// Only these acts, by a part of their names
    #[arg(long)]
    only: Option<String>,
    /// Only make the parts of the cluster, and keep them for the next run
    #[arg(long)]
    prepare: bool,
    /// Only bring the cluster up, say how it is reached, and wait until interrupted
    #[arg(long)]
    up: bool,
    /// Keep the logs of the cluster when all went well too
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    there: There,
}

/// A cluster that is there already, rather than one of our own.
#[derive(Clone, Debug, clap::Args)]
struct There {
    /// Use the cluster that KUBECONFIG names, or kubectl's own settings
    #[arg(long, requires_all = ["image", "address"], conflicts_with_all = ["prepare", "up"])]
    existing: bool,
    /// With --existing: an image of this program that the cluster can have (`cargo xtask image` makes it)
    #[arg(long, requires = "existing")]
    image: Option<String>,
    /// With --existing: an address of this machine that pods reach; a simulated Discord, Lavalink and a MongoDB without a
    /// password listen there meanwhile
    #[arg(long, requires = "existing")]
    address: Option<Ipv4Addr>,
}

/// What the first process inside is started with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Inside {
    folder: PathBuf,
    #[command(flatten)]
    args: Args,
}

/// Prepares, plays, and removes what is left. A machine that cannot says so, and nothing is run; what could not be fetched or
/// built is an error.
pub(crate) fn run(args: &Args) -> Result<ExitCode, String> {
    let progress = Progress::start();
    acts::asked(args.only.as_deref())?;
    let own = !args.there.existing;
    let parts = match components::prepare(own, progress)? {
        Prepared::Parts(parts) => parts,
        Prepared::Cannot(reason) => {
            say(&format!("skipped:\n  the real cluster: {reason}"));
            return Ok(ExitCode::SUCCESS);
        }
    };
    if args.prepare {
        return Ok(ExitCode::SUCCESS);
    }
    lent::sweep(progress);
    let folder = lent::folder();
    for inner in ["bin", "log"] {
        let path = folder.join(inner);
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let bot = image::make(true, IMAGE, &folder.join("segue.tar"), progress)?;
    // A copy: the next build puts another one in its place.
    std::fs::copy(&bot, folder.join("bin/segue")).map_err(|error| format!("{}: {error}", bot.display()))?;
    components::place(&parts, &folder)?;
    let (passed, left) = if own {
        let before = lent::Before::now();
        let passed = go_inside(&folder, args.up);
        (passed, before.left(&folder))
    } else {
        (there(&folder, args, progress), Ok(()))
    };
    conclude(passed?, args.keep, &folder, progress).and(left)?;
    progress.say("the cluster: all passed");
    Ok(ExitCode::SUCCESS)
}

/// Says how it ended. The logs stay where something failed, and nothing else does.
fn conclude(passed: bool, keep: bool, folder: &Path, progress: Progress) -> Result<(), String> {
    if passed && !keep {
        lent::remove(folder)?;
    } else {
        lent::keep_logs(folder)?;
        progress.say(&format!("the logs are in {}", folder.join("log").display()));
    }
    if passed {
        Ok(())
    } else {
        Err("the cluster: failed".to_owned())
    }
}

/// Starts this program again, with the same arguments, as the first process of new namespaces, and waits for its end. When
/// this process ends before, however it does, the kernel ends that one.
fn go_inside(folder: &Path, up: bool) -> Result<bool, String> {
    let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    // `test kubernetes …` becomes `inside-kubernetes FOLDER …`.
    let told = std::env::args_os().skip_while(|part| part != "kubernetes").skip(1);
    let mut child = Command::new("setpriv")
        .args([
            "--pdeathsig",
            "KILL",
            "--",
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--fork",
        ])
        .args(["--kill-child", "--mount-proc", "--propagation", "private", "--"])
        .arg(own)
        .arg("inside-kubernetes")
        .arg(folder)
        .args(told)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("setpriv does not start: {error}"))?;
    if up {
        let mut first = None;
        node::until("the first process inside", || {
            first = processes::child_of(child.id());
            first.map(drop).ok_or_else(|| "not yet".to_owned())
        })?;
        say(&format!(
            "KUBECONFIG={} nsenter --target {} --net {}/bin/kubectl get nodes",
            folder.join("cfg/admin.conf").display(),
            first.unwrap_or_default(),
            folder.display()
        ));
    }
    let status = child.wait().map_err(|error| format!("setpriv: {error}"))?;
    Ok(status.success())
}

/// The first process inside: brings the node up, plays all acts, and ends; what it started ends with it.
pub(crate) fn inside(inside: &Inside) -> Result<ExitCode, String> {
    let progress = Progress::start();
    let node = node::up(&inside.folder, progress)?;
    if inside.args.up {
        progress.say("the cluster stays up until this is interrupted");
        loop {
            std::thread::park();
        }
    }
    scenario::play(&node, IMAGE, &inside.args, progress)?;
    Ok(ExitCode::SUCCESS)
}

/// The same acts, as far as they can be had from outside, in somebody's cluster.
fn there(folder: &Path, args: &Args, progress: Progress) -> Result<bool, String> {
    let (Some(image), Some(address)) = (&args.there.image, &args.there.address) else {
        return Err("--existing wants --image and --address".to_owned());
    };
    let kubectl = Kubectl::new(folder, kubectl::account_of_user());
    let context = kubectl.ok(&["config", "current-context"]);
    let context = context.unwrap_or_else(|_| "what kubectl finds by itself".to_owned());
    progress.say(&format!("the cluster is {}", context.trim()));
    let node = Node::there(folder, kubectl, &address.to_string());
    let played = scenario::play(&node, image, args, progress);
    if let Err(problem) = &played {
        say(&format!("xtask: {problem}"));
    }
    Ok(played.is_ok())
}
