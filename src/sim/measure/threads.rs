//! What the kernel says of this process and its threads.

use std::fs;
use std::io;
use std::time::Duration;

/// The name of the simulator's threads.
pub(super) const NAME: &str = "measured-sim";

fn unread(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc does not tell {what}"))
}

/// Processor time of the simulator's threads that live.
pub(super) fn busy() -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task")? {
        let thread = thread?.path();
        // A thread may end while it is looked at.
        let Ok(name) = fs::read_to_string(thread.join("comm")) else {
            continue;
        };
        if name.trim() == NAME {
            let told = fs::read_to_string(thread.join("schedstat"))?;
            let nanoseconds = told.split(' ').next().and_then(|text| text.parse().ok());
            sum += Duration::from_nanos(nanoseconds.ok_or_else(|| unread("schedstat"))?);
        }
    }
    Ok(sum)
}

/// Resident memory of this process, in MiB.
pub(super) fn resident_mib() -> io::Result<u64> {
    let told = fs::read_to_string("/proc/self/status")?;
    let line = told.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.ok_or_else(|| unread("VmRSS"))? / 1_024)
}
