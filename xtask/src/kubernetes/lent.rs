//! What the machine lends to the cluster, and has back afterwards: folders, mount points, control groups.

use std::path::{Path, PathBuf};

use super::{groups, processes};
use crate::progress::Progress;
use crate::root;

/// Folders of the machine that the kubelet insists on. Inside they are other folders; outside they stay empty.
pub(super) const MOUNTED_ON: [&str; 4] = [
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/pods",
    "/var/log/containers",
];
/// Interfaces that exist inside only.
const INTERFACES: [&str; 2] = ["node0", "pods0"];
/// What the folder of a run is called before its process id.
const NAME: &str = "kubernetes-";

/// The folder of this run.
pub(super) fn folder() -> PathBuf {
    place().join(format!("{NAME}{}", std::process::id()))
}

fn place() -> PathBuf {
    let place = root().join("target");
    std::fs::create_dir_all(&place).ok();
    place.canonicalize().unwrap_or(place)
}

/// Removes what runs left that were ended from outside, and the logs of those that failed.
pub(super) fn sweep(progress: Progress) {
    let entries = std::fs::read_dir(place()).into_iter().flatten().flatten();
    let gone = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(NAME)?;
        let id: u32 = name.parse().ok()?;
        (!processes::is_there(id)).then_some(())
    };
    for folder in entries.map(|entry| entry.path()).filter(|path| gone(path).is_some()) {
        let left = groups::remove(&folder);
        for path in MOUNTED_ON {
            // Nothing that is in use is empty.
            std::fs::remove_dir(path).ok();
        }
        match remove(&folder) {
            Ok(()) if left.is_empty() => {}
            Ok(()) => progress.say(&format!("an earlier run left behind: {}", left.join(", "))),
            Err(error) => progress.say(&format!("an earlier run left behind: {error}")),
        }
    }
}

/// Removes the folder of a run.
pub(super) fn remove(folder: &Path) -> Result<(), String> {
    std::fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Removes all of it but the logs.
pub(super) fn keep_logs(folder: &Path) -> Result<(), String> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.symlink_metadata() {
            Ok(_) if entry.file_name() == "log" => {}
            Ok(kind) if kind.is_dir() => remove(&path)?,
            _ => std::fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?,
        }
    }
    Ok(())
}

/// The machine as it was before.
pub(super) struct Before {
    there: Vec<&'static str>,
}

impl Before {
    /// Now.
    pub(super) fn now() -> Self {
        let there = MOUNTED_ON.into_iter().filter(|path| Path::new(path).exists()).collect();
        Self { there }
    }

    /// Removes control groups and the empty folders that were not there. The error names everything that is still there:
    /// processes, mounts, interfaces too.
    pub(super) fn left(&self, folder: &Path) -> Result<(), String> {
        let mut left = groups::remove(folder);
        for path in MOUNTED_ON.into_iter().filter(|path| !self.there.contains(path)) {
            if Path::new(path).exists() && std::fs::remove_dir(path).is_err() {
                left.push(path.to_owned());
            }
        }
        left.extend(processes::mentioning(folder).map(|(id, line)| format!("process {id} ({line})")));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let within = folder.display().to_string();
        left.extend(mounts.lines().filter(|line| line.contains(&within)).map(str::to_owned));
        let interface = |name: &&str| Path::new("/sys/class/net").join(name).exists();
        left.extend(INTERFACES.into_iter().filter(interface).map(str::to_owned));
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("the cluster left behind: {}", left.join(", ")))
        }
    }
}
