//! What the bot's processes logged, those of pods that are gone too: whether one of them panicked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::kubectl::{Kubectl, NAMESPACE};
use super::node::Node;

/// How Rust begins to tell of a panic, wherever it was caught.
const PANICKED: &str = "panicked at";
/// Between two looks for new logs. A process that lives shorter than this says little.
const EVERY: Duration = Duration::from_millis(200);

/// The logs of every pod of the run.
pub(super) struct Said {
    /// Where they are kept; only of a node of ours.
    kept: Option<Kept>,
    told: BTreeSet<String>,
}

struct Kept {
    folder: PathBuf,
    over: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            keeper.join().ok();
        }
    }
}

impl Said {
    /// Begins to keep them. Of somebody's cluster there is only what kubectl can get.
    pub(super) fn start(node: &Node) -> Result<Self, String> {
        let kept = node.own.then(|| Kept::start(&node.folder)).transpose()?;
        Ok(Self {
            kept,
            told: BTreeSet::new(),
        })
    }

    /// Panics that were not told before.
    pub(super) fn new_panics(&mut self, kubectl: &Kubectl) -> Result<Vec<String>, String> {
        let logs = match &self.kept {
            Some(kept) => logs_in(&kept.folder)?,
            None => logs_of(kubectl)?,
        };
        let all = logs.iter().flat_map(|(name, log)| panics(name, log));
        Ok(all.filter(|panic| self.told.insert(panic.clone())).collect())
    }
}

impl Kept {
    fn start(folder: &Path) -> Result<Self, String> {
        let (pods, kept) = (folder.join("pods"), folder.join("log/pods-of-the-run"));
        std::fs::create_dir_all(&kept).map_err(|error| format!("{}: {error}", kept.display()))?;
        let over = Arc::new(AtomicBool::new(false));
        let (until, to) = (Arc::clone(&over), kept.clone());
        let keeper = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                keep(&pods, &to);
                std::thread::sleep(EVERY);
            }
        });
        Ok(Self {
            folder: kept,
            over,
            keeper: Some(keeper),
        })
    }
}

/// A second name for every log that is there (`NAMESPACE_POD_UID/CONTAINER/N.log`): the kubelet removes the first one with
/// the pod, and all that is written until then is under both.
fn keep(pods: &Path, to: &Path) {
    for pod in names(pods).filter(|pod| pod.starts_with(&format!("{NAMESPACE}_"))) {
        for container in names(&pods.join(&pod)) {
            let folder = pods.join(&pod).join(&container);
            let is_log = |name: &String| Path::new(name).extension().is_some_and(|extension| extension == "log");
            for log in names(&folder).filter(is_log) {
                // It is there already, or was removed just now.
                std::fs::hard_link(folder.join(&log), to.join(format!("{pod}_{container}_{log}"))).ok();
            }
        }
    }
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn logs_in(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let read = |name: String| {
        let bytes = std::fs::read(folder.join(&name)).map_err(|error| format!("{name}: {error}"))?;
        Ok((name, String::from_utf8_lossy(&bytes).into_owned()))
    };
    names(folder).map(read).collect()
}

fn logs_of(kubectl: &Kubectl) -> Result<Vec<(String, String)>, String> {
    let mut logs = Vec::new();
    for pod in kubectl.pods()? {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        logs.push((name.to_owned(), kubectl.here(&["logs", name])?));
        // Most have had no process before.
        if let Ok(log) = kubectl.here(&["logs", name, "--previous"]) {
            logs.push((format!("{name} before"), log));
        }
    }
    Ok(logs)
}

fn panics(name: &str, log: &str) -> Vec<String> {
    let told = log.lines().filter(|line| line.contains(PANICKED));
    told.map(|line| format!("{name}: {line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panic_of_a_pod_that_is_gone_is_told_and_told_once() {
        let folder = std::env::temp_dir().join(format!("segue-said-{}", std::process::id()));
        let container = folder.join(format!("pods/{NAMESPACE}_segue-0_a/segue"));
        std::fs::create_dir_all(&container).unwrap();
        std::fs::create_dir_all(folder.join("kept")).unwrap();
        std::fs::write(container.join("0.log"), "a stderr F all is well\n").unwrap();
        keep(&folder.join("pods"), &folder.join("kept"));
        let mut log = std::fs::File::options()
            .append(true)
            .open(container.join("0.log"))
            .unwrap();
        std::io::Write::write_all(&mut log, b"b stderr F thread 'tokio' panicked at src/a.rs:1:2:\n").unwrap();
        std::fs::remove_dir_all(folder.join("pods")).unwrap();
        let mut said = Said {
            kept: Some(Kept {
                folder: folder.join("kept"),
                over: Arc::default(),
                keeper: None,
            }),
            told: BTreeSet::new(),
        };
        let kubectl = Kubectl::new(&folder, None);
        let first = said.new_panics(&kubectl).unwrap();
        assert_eq!(
            first,
            [format!(
                "{NAMESPACE}_segue-0_a_segue_0.log: b stderr F thread 'tokio' panicked at src/a.rs:1:2:"
            )]
        );
        assert_eq!(said.new_panics(&kubectl).unwrap(), [""; 0]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
