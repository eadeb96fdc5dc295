//! The cluster's control groups, the one thing that no namespace takes with it.

use std::path::{Path, PathBuf};

use super::node::until;

/// The name of the cluster's control group: that of its folder.
pub(super) fn name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    format!("segue-{name}")
}

/// The hierarchies of control groups on this machine.
fn hierarchies() -> Vec<PathBuf> {
    let all = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    all.map(|entry| entry.path())
        .filter(|path| path.join("cgroup.procs").is_file())
        .collect()
}

/// The kubelet wants its group in every hierarchy. A group without processors and memory takes no process; and one without
/// a share for every processor would leave all pods together what one process of the machine has.
pub(super) fn make(group: &str) -> Result<(), String> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for hierarchy in hierarchies() {
        let own = hierarchy.join(group);
        std::fs::create_dir_all(&own).map_err(|error| format!("{}: {error}", own.display()))?;
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let inherited = std::fs::read(hierarchy.join(file)).unwrap_or_default();
            if own.join(file).is_file() && !inherited.is_empty() {
                std::fs::write(own.join(file), inherited).map_err(|error| format!("{file}: {error}"))?;
            }
        }
        for (file, of_one) in [("cpu.shares", 1_024), ("cpu.weight", 100)] {
            if own.join(file).is_file() {
                let share = (of_one * processors).to_string();
                std::fs::write(own.join(file), share).map_err(|error| format!("{file}: {error}"))?;
            }
        }
    }
    Ok(())
}

/// Removes the cluster's groups from outside, innermost first; what is still there.
pub(super) fn remove(folder: &Path) -> Vec<String> {
    let group = name(folder);
    let mut left = Vec::new();
    for own in hierarchies().into_iter().map(|hierarchy| hierarchy.join(&group)) {
        let gone = own.is_dir().then(|| until("an empty group", || remove_all(&own)));
        if let Some(Err(error)) = gone {
            left.push(error);
        }
    }
    left
}

fn remove_all(group: &Path) -> Result<(), String> {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_all(&entry.path())?;
        }
    }
    std::fs::remove_dir(group).map_err(|error| format!("{}: {error}", group.display()))
}
