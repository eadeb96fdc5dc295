//! The one place that asks the process where it is and what its environment says.

use std::env;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

/// What the process was started with and where it stands.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The environment; what is not Unicode is left out.
    pub environment: Vec<(String, String)>,
    /// Names of ours whose values are not Unicode.
    pub not_unicode: Vec<String>,
    /// Whether log lines go to a person's terminal.
    pub terminal: bool,
    /// The user's data folder, if there is one.
    pub data_folder: Option<PathBuf>,
    /// The machine's host name.
    pub host: Option<String>,
}

impl Surroundings {
    /// Looks around.
    pub fn of_this_process() -> Self {
        let mut environment = Vec::new();
        let mut not_unicode = Vec::new();
        for (name, value) in env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => environment.push((name, value)),
                Err(_) if name.starts_with("SEGUE_") || super::keys::find(&name).is_some() => not_unicode.push(name),
                Err(_) => {}
            }
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
        Self {
            environment,
            not_unicode,
            terminal: std::io::stderr().is_terminal(),
            data_folder: etcetera::choose_base_strategy().ok().map(|base| base.data_dir()),
            host: host.ok().map(|host| host.trim().to_owned()),
        }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.trim().is_empty())
    }
}

/// Where this process runs, as Kubernetes' downward API says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Whether it runs in a pod.
    pub in_pod: bool,
    /// `POD_NAME`, or in a pod the host name.
    pub pod_name: Option<String>,
    /// `POD_NAMESPACE`.
    pub pod_namespace: Option<String>,
    /// `POD_UID`.
    pub pod_uid: Option<String>,
    /// `POD_IP`.
    pub pod_ip: Option<String>,
    /// `NODE_NAME`.
    pub node_name: Option<String>,
}

impl Place {
    pub(super) fn of(around: &Surroundings) -> Self {
        let get = |name: &str| around.get(name).map(str::to_owned);
        let in_pod = around.get("KUBERNETES_SERVICE_HOST").is_some();
        let host = in_pod.then(|| around.host.clone()).flatten();
        Self {
            in_pod,
            pod_name: get("POD_NAME").or(host),
            pod_namespace: get("POD_NAMESPACE"),
            pod_uid: get("POD_UID"),
            pod_ip: get("POD_IP"),
            node_name: get("NODE_NAME"),
        }
    }
}

/// Most bytes that a file with settings or a secret may have.
const MOST_BYTES: u64 = 1 << 20;

/// Reads a file of settings or a secret.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MOST_BYTES {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    Ok(text)
}
