//! What the kernel says of a process: the time it had on a core, and the memory it holds.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// `/proc/PID/stat` counts in hundredths of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// How long the process ran on any core so far, in steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in brackets, may hold blanks: fields are counted behind it. 14 is user time, 15 the kernel's.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u32>().unwrap();
    TICK * (ticks(14) + ticks(15))
}

/// Waits until it ran for less than a hundredth of a second in a fifth of one.
pub(crate) async fn idle(pid: u32) {
    let begun = Instant::now();
    let mut before = cpu(pid);
    loop {
        sleep(Duration::from_millis(200)).await;
        let now = cpu(pid);
        if now.saturating_sub(before) <= TICK {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "process {pid} never rests");
        before = now;
    }
}

/// Memory that it holds, in KB (1,024 bytes): what is resident, shared libraries and the program's own code included.
pub(crate) fn resident_kb(pid: u32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// [`resident_kb`] once it has not grown by more than 16 KB for three seconds.
pub(crate) async fn settled_kb(pid: u32) -> f64 {
    let begun = Instant::now();
    let (mut highest, mut since) = (resident_kb(pid), Instant::now());
    while since.elapsed() < Duration::from_secs(3) {
        sleep(Duration::from_millis(250)).await;
        let now = resident_kb(pid);
        if now > highest + 16.0 {
            (highest, since) = (now, Instant::now());
        }
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "process {pid} grows and grows"
        );
    }
    resident_kb(pid)
}
