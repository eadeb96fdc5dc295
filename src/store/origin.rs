//! Where a process runs, and what a newcomer can prove with that about the members it finds.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{MemberRow, MemberState, Origin};

/// The inode of the machine's first pid namespace (`PROC_PID_INIT_INO` of the kernel): outside containers.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

impl Origin {
    /// What this process can say of itself. Blocks for some small files of `/proc`.
    ///
    /// `machine` is set only outside containers (an image carries one machine-id for all of them), `pid_namespace` only
    /// where other people's processes can be seen (with `hidepid` a missing entry proves nothing).
    pub fn of_this_process(pod_uid: Option<String>) -> Self {
        let pid = std::process::id();
        let namespace = inode("/proc/self/ns/pid");
        let contained = pod_uid.is_some()
            || namespace != Some(FIRST_PID_NAMESPACE)
            || Path::new("/.dockerenv").exists()
            || Path::new("/run/.containerenv").exists();
        Self {
            machine: line("/etc/machine-id").filter(|_| !contained).map(|id| hashed(&id)),
            boot: line("/proc/sys/kernel/random/boot_id"),
            pid_namespace: namespace.filter(|_| Path::new("/proc/1/stat").exists()),
            pid,
            pid_start: process_start(pid),
            pod_uid,
            net_namespace: inode("/proc/self/ns/net"),
        }
    }
}

/// When a process of this pid namespace started, in clock ticks since boot. `None` when there is none, or when it has
/// ended and only waits to be reaped.
pub fn process_start(pid: u32) -> Option<u64> {
    started(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/PID/stat`: the name in parentheses may itself contain spaces and parentheses.
fn started(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X" | "x")).then(|| fields.nth(18)?.parse().ok())?
}

/// Why `other`, found alive in the store by the newcomer `me`, is dead beyond doubt; `None` when that is not known.
pub fn proves_death(
    me: &Origin,
    other: &MemberRow,
    sqlite: bool,
    process_start: impl Fn(u32) -> Option<u64>,
) -> Option<&'static str> {
    if matches!(other.state, MemberState::Fenced | MemberState::Gone) {
        return None;
    }
    let its = &other.origin;
    let same_boot = same(me.boot.as_ref(), its.boot.as_ref());
    let another_boot = me.boot.is_some() && its.boot.is_some() && !same_boot;
    let gone = same_boot
        && same(me.pid_namespace.as_ref(), its.pid_namespace.as_ref())
        && its.pid_start.is_some()
        && process_start(its.pid) != its.pid_start;
    let another_runs = same_boot
        && same(me.pid_namespace.as_ref(), its.pid_namespace.as_ref())
        && its.pid != me.pid
        && its.pid_start.is_some()
        && process_start(its.pid) == its.pid_start;
    if gone {
        Some("its process is gone")
    } else if same(me.pod_uid.as_ref(), its.pod_uid.as_ref()) && !another_runs {
        Some("another process runs in its pod")
    } else if another_boot && sqlite {
        Some("the machine was started again")
    } else if another_boot && same(me.machine.as_ref(), its.machine.as_ref()) {
        Some("its machine was started again")
    } else {
        None
    }
}

/// Both known and equal.
fn same<T: PartialEq>(a: Option<&T>, b: Option<&T>) -> bool {
    a.is_some() && a == b
}

fn line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn inode(path: &str) -> Option<u64> {
    Some(std::fs::metadata(path).ok()?.ino())
}

/// machine-id(5) asks not to show the id itself.
fn hashed(id: &str) -> String {
    let digest = Sha256::digest(format!("segue machine {id}").as_bytes());
    digest.iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::MemberId;

    fn origin() -> Origin {
        Origin {
            machine: Some("m".into()),
            boot: Some("b1".into()),
            pid_namespace: Some(7),
            pid: 100,
            pid_start: Some(5_000),
            pod_uid: None,
            net_namespace: Some(9),
        }
    }

    fn member(origin: Origin) -> MemberRow {
        MemberRow {
            origin,
            ..MemberRow::new(MemberId("old".into()), "a".into())
        }
    }

    type Change = fn(&mut Origin);
    /// What of me differs, what of the other, on SQLite, what runs under the other's pid; whether it is proven.
    type Case = (&'static str, Change, Change, bool, Option<u64>, bool);

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn death_is_proven_only_where_it_is_certain() {
        let me = || Origin {
            pid: 200,
            pid_start: Some(9_000),
            ..origin()
        };
        let pod = |o: &mut Origin| o.pod_uid = Some("p".into());
        let nothing: Change = |_| {};
        let rows: [Case; 12] = [
            ("pid is gone", nothing, nothing, false, None, true),
            ("pid was given to another", nothing, nothing, false, Some(8_888), true),
            ("it runs", nothing, nothing, true, Some(5_000), false),
            (
                "another pid namespace",
                nothing,
                |o| o.pid_namespace = Some(8),
                true,
                None,
                false,
            ),
            (
                "pid namespace unknown",
                |o| o.pid_namespace = None,
                |o| o.pid_namespace = None,
                true,
                None,
                false,
            ),
            ("start time unknown", nothing, |o| o.pid_start = None, true, None, false),
            (
                "the same pod",
                pod,
                |o| {
                    o.pod_uid = Some("p".into());
                    o.pid_namespace = Some(8);
                },
                false,
                None,
                true,
            ),
            (
                "another pod",
                pod,
                |o| {
                    o.pod_uid = Some("q".into());
                    o.pid_namespace = Some(8);
                },
                false,
                None,
                false,
            ),
            (
                "another boot, same machine",
                nothing,
                |o| o.boot = Some("b0".into()),
                false,
                Some(5_000),
                true,
            ),
            (
                "another boot, machine unknown",
                |o| o.machine = None,
                |o| {
                    o.machine = None;
                    o.boot = Some("b0".into());
                },
                false,
                None,
                false,
            ),
            (
                "another boot, machine unknown, SQLite",
                |o| o.machine = None,
                |o| {
                    o.machine = None;
                    o.boot = Some("b0".into());
                },
                true,
                None,
                true,
            ),
            ("another boot unknown", nothing, |o| o.boot = None, true, None, false),
        ];
        for (name, mine, its, sqlite, runs, proven) in rows {
            let (mut me, mut other) = (me(), origin());
            mine(&mut me);
            its(&mut other);
            let why = proves_death(&me, &member(other), sqlite, |_| runs);
            assert_eq!(why.is_some(), proven, "{name}: {why:?}");
        }
    }

    #[test]
    fn who_is_already_final_needs_no_proof() {
        let row = MemberRow {
            state: MemberState::Fenced,
            ..member(origin())
        };
        assert_eq!(proves_death(&origin(), &row, true, |_| None), None);
    }

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        let tail = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 99";
        assert_eq!(started(&format!("12 (a) R) S {tail}")), Some(4242));
        assert_eq!(started(&format!("12 (dead) Z {tail}")), None);
        assert_eq!(started("12 (cut"), None);
    }

    #[test]
    fn this_process_knows_itself_and_an_ended_child_is_gone() {
        let me = Origin::of_this_process(None);
        assert_eq!(me.pid, std::process::id());
        assert!(me.boot.is_some() && me.pid_start.is_some(), "{me:?}");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep runs");
        let its = Origin {
            pid: child.id(),
            pid_start: process_start(child.id()),
            ..me.clone()
        };
        assert_eq!(proves_death(&me, &member(its.clone()), true, process_start), None);
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert_eq!(
            proves_death(&me, &member(its), true, process_start).is_some(),
            me.pid_namespace.is_some()
        );
    }
}
