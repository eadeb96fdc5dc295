//! The programs of the cluster. Kubernetes itself is built from its modules once, and kept outside of every clone.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::chart::programs::cache;
use crate::chart::root;
use crate::image::hex;
use crate::progress::Progress;

/// Kubernetes' version, which the program says of itself; that of `go.mod`.
const VERSION: &str = "v1.34.4";
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
    pub(super) node: PathBuf,
    pub(super) helm: PathBuf,
    pub(super) kubectl: PathBuf,
    pub(super) mongod: PathBuf,
}

/// Puts everything under one folder, by the names it is called by inside.
pub(super) fn place(parts: &Parts, folder: &Path) -> Result<(), String> {
    let bin = folder.join("bin");
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, bin.join(name)).map_err(|error| format!("{name}: {error}"))
    };
    for name in NAMES {
        link(&parts.node, name)?;
    }
    link(&parts.helm, "helm")?;
    link(&parts.kubectl, "kubectl")?;
    link(&parts.mongod, "mongod")
}

/// Kubernetes in one program: from the cache, or built, which takes about ten minutes on two cores the first time.
pub(super) fn node(progress: Progress) -> Result<PathBuf, String> {
    let source = root().join("tests/kubernetes/node");
    let go = Command::new("go")
        .args(["env", "GOVERSION"])
        .current_dir(&source)
        .output()
        .map_err(|error| format!("Kubernetes is built with Go, which does not start ({error})"))?;
    let flags = flags();
    let mut hash = Sha256::new();
    for file in SOURCES {
        let bytes = std::fs::read(source.join(file)).map_err(|error| format!("{file}: {error}"))?;
        hash.update(bytes);
    }
    hash.update(flags.join(" "));
    hash.update(go.stdout);
    let key = hex(&hash.finalize());
    let cache = cache().ok_or("Kubernetes: no home folder to keep it in")?;
    let target = cache.join(format!("kubernetes-{}", &key[..16]));
    if target.is_file() {
        progress.say(&format!("Kubernetes {VERSION}: {}", target.display()));
        return Ok(target);
    }
    progress.say(&format!(
        "Kubernetes {VERSION}: building it, about ten minutes the first time"
    ));
    build(&source, &flags, &target)?;
    progress.say(&format!("Kubernetes {VERSION}: built into {}", target.display()));
    Ok(target)
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

fn build(source: &Path, flags: &[String], target: &Path) -> Result<(), String> {
    let folder = target.parent().ok_or("no folder")?;
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let beside = target.with_extension(std::process::id().to_string());
    let ended = Command::new("go")
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
