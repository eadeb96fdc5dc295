//! Processes by what `/proc` says of them, and signals.

use std::path::Path;
use std::process::Command;

/// Whether there is such a process.
pub(super) fn is_there(id: u32) -> bool {
    Path::new("/proc").join(id.to_string()).exists()
}

/// The first child of a process.
pub(super) fn child_of(parent: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// The bot's process in the pod with this UID, by the control group that the kubelet put it in.
pub(super) fn of_pod(uid: &str) -> Option<u32> {
    let in_pod = |process: &u32| {
        let group = std::fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
        group.contains(uid) && arguments(*process).first().is_some_and(|program| program == "/segue")
    };
    all().find(in_pod)
}

/// A process by the end of its program's name.
pub(super) fn named(program: &str) -> Option<u32> {
    let named = |process: &u32| {
        let arguments = arguments(*process);
        arguments.first().is_some_and(|first| first.ends_with(program))
    };
    all().find(named)
}

/// Other processes with this folder in their arguments, and those.
pub(super) fn mentioning(folder: &Path) -> impl Iterator<Item = (u32, String)> {
    let folder = folder.display().to_string();
    let others = all().filter(|id| *id != std::process::id());
    others
        .map(|id| (id, arguments(id).join(" ")))
        .filter(move |(_, line)| line.contains(&folder))
}

/// Sends a signal by its name, such as `KILL`.
pub(super) fn signal(signal: &str, process: u32) -> Result<(), String> {
    let ended = Command::new("kill")
        .args(["-s", signal, &process.to_string()])
        .status()
        .map_err(|error| format!("kill: {error}"))?;
    if ended.success() {
        Ok(())
    } else {
        Err(format!("kill -s {signal} {process} ended with {ended}"))
    }
}

fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn arguments(process: u32) -> Vec<String> {
    let line = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    line.split('\0').map(str::to_owned).collect()
}
