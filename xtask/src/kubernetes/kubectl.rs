//! kubectl and Helm, as the cluster's administrator.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::root;

/// The namespace and the name of the release.
pub(super) const NAMESPACE: &str = "segue-test";
pub(super) const RELEASE: &str = "segue";

/// What `KUBECONFIG` says, wherever kubectl is started: its files may be named from the folder that the user is in.
pub(super) fn account_of_user() -> Option<PathBuf> {
    let told = std::env::var_os("KUBECONFIG").filter(|told| !told.is_empty())?;
    let here = std::env::current_dir().ok()?;
    let files = std::env::split_paths(&told).map(|file| here.join(file));
    std::env::join_paths(files).ok().map(PathBuf::from)
}

/// Both programs, with the administrator's account or with whatever the user's settings say.
pub(super) struct Kubectl {
    bin: PathBuf,
    account: Option<PathBuf>,
}

impl Kubectl {
    pub(super) fn new(folder: &Path, account: Option<PathBuf>) -> Self {
        Self {
            bin: folder.join("bin"),
            account,
        }
    }

    /// What kubectl prints; the error is what it says.
    pub(super) fn ok(&self, arguments: &[&str]) -> Result<String, String> {
        self.run("kubectl", &[&["--request-timeout=20s"], arguments].concat(), None)
    }

    /// The same in the release's namespace.
    pub(super) fn here(&self, arguments: &[&str]) -> Result<String, String> {
        self.run("kubectl", &[&["--namespace", NAMESPACE], arguments].concat(), None)
    }

    /// The same with something on its standard input.
    pub(super) fn given(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        self.run(
            "kubectl",
            &[&["--namespace", NAMESPACE], arguments].concat(),
            Some(input),
        )
    }

    /// An object, or a list of them.
    pub(super) fn json(&self, arguments: &[&str]) -> Result<Value, String> {
        let text = self.here(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).map_err(|error| format!("kubectl {}: {error}", arguments.join(" ")))
    }

    /// The bot's pods.
    pub(super) fn pods(&self) -> Result<Vec<Value>, String> {
        let list = self.json(&["get", "pods", "-l", "app.kubernetes.io/component=bot"])?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Helm in the repository, in the release's namespace.
    pub(super) fn helm(&self, arguments: &[&str]) -> Result<String, String> {
        self.run("helm", &[&["--namespace", NAMESPACE], arguments].concat(), None)
    }

    fn run(&self, program: &str, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
        let failed = |error: std::io::Error| format!("{program}: {error}");
        let mut command = Command::new(self.bin.join(program));
        if let Some(account) = &self.account {
            command.env("KUBECONFIG", account);
        }
        let mut child = command
            .args(arguments)
            .current_dir(root())
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            stdin.write_all(input.as_bytes()).map_err(failed)?;
        }
        let ended = child.wait_with_output().map_err(failed)?;
        if ended.status.success() {
            return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&ended.stderr);
        Err(format!("{program} {}: {}", arguments.join(" "), words.trim()))
    }
}
