//! One replica as a child process: started, watched, and started again when it ends, as Kubernetes would.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// From a replica's death to its next start.
pub const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How long a replica may take to leave when the demo ends.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
/// Ends without ever having listened, in a row, after which the demo gives up.
const FALSE_STARTS: u32 = 5;
/// Last lines of a replica's log that are kept to explain its end.
const LINES_KEPT: usize = 12;
/// Lines that may wait to be looked at; a replica that logs faster is slowed down.
const LINES_WAITING: usize = 256;

/// What to start, and with what settings.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// While this file is there, the replica is cut off from its store.
    pub cut: PathBuf,
}

/// What a replica is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Stop,
    /// SIGSTOP: it does nothing any more, and nobody is told.
    Freeze,
    /// SIGCONT.
    Thaw,
}

/// How a replica fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// A process that does not listen yet.
    Starting {
        /// Its process.
        pid: u32,
    },
    /// It serves its pages.
    Up {
        /// Its process.
        pid: u32,
        /// Where its pages are, `http://…`.
        http: String,
    },
    /// It serves its pages when it is thawed.
    Frozen {
        /// Its process.
        pid: u32,
        /// Where its pages are, `http://…`.
        http: String,
    },
    /// Asked to leave.
    Stopping {
        /// Its process.
        pid: u32,
    },
    /// It ended and is started again soon.
    Down {
        /// Whether somebody asked for it.
        asked: bool,
        /// When its process ended.
        at: Instant,
        /// What ended it, unless it exited.
        signal: Option<i32>,
    },
    /// It never got to listen; why, with the last lines of its log.
    GivenUp {
        /// For people.
        why: String,
    },
}

impl Life {
    /// Before it was ever started.
    pub fn not_yet() -> Self {
        Self::Down {
            asked: true,
            at: Instant::now(),
            signal: None,
        }
    }
}

/// Drives one replica until `end`; then it is asked to leave, and killed if it does not.
pub async fn keep(
    launch: Launch,
    mut orders: mpsc::Receiver<Order>,
    life: watch::Sender<Life>,
    end: CancellationToken,
) {
    let mut false_starts = 0;
    while !end.is_cancelled() {
        let ended = match start(&launch) {
            Ok(child) => live(child, &mut orders, &life, &end).await,
            Err(error) => Ended {
                listened: false,
                asked: false,
                at: Instant::now(),
                signal: None,
                why: format!("{error:#}"),
            },
        };
        false_starts = if ended.listened || ended.asked {
            0
        } else {
            false_starts + 1
        };
        if false_starts == FALSE_STARTS {
            life.send_replace(Life::GivenUp { why: ended.why });
            return;
        }
        life.send_replace(Life::Down {
            asked: ended.asked,
            at: ended.at,
            signal: ended.signal,
        });
        tokio::select! {
            () = sleep(RESTART_AFTER) => {}
            () = end.cancelled() => {}
        }
        while orders.try_recv().is_ok() {}
    }
}

fn start(launch: &Launch) -> anyhow::Result<Child> {
    // A new process begins connected, as a new pod does. Usually there is no such file.
    drop(std::fs::remove_file(&launch.cut));
    Command::new(&launch.program)
        .args(&launch.args)
        .env_clear()
        .envs(launch.env.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own group: a Ctrl-C in the terminal reaches the demo alone, which then ends its replicas in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", launch.program.display()))
}

struct Ended {
    listened: bool,
    asked: bool,
    at: Instant,
    signal: Option<i32>,
    why: String,
}

/// What is known of a running replica.
struct Watched<'a> {
    pid: u32,
    life: &'a watch::Sender<Life>,
    listened: bool,
    asked: bool,
    tail: VecDeque<String>,
}

async fn live(
    mut child: Child,
    orders: &mut mpsc::Receiver<Order>,
    life: &watch::Sender<Life>,
    end: &CancellationToken,
) -> Ended {
    let pid = child.id().unwrap_or_default();
    life.send_replace(Life::Starting { pid });
    let mut watched = Watched {
        pid,
        life,
        listened: false,
        asked: false,
        tail: VecDeque::new(),
    };
    let (lines, mut said) = mpsc::channel(LINES_WAITING);
    let pipes = (child.stdout.take(), child.stderr.take());
    let mut reading =
        std::pin::pin!(async { tokio::join!(read(pipes.0, lines.clone()), read(pipes.1, lines.clone())) });
    let mut read_out = false;
    let mut deadline: Option<Instant> = None;
    let status = loop {
        let overdue = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            status = child.wait() => break status,
            _ = &mut reading, if !read_out => read_out = true,
            Some(words) = said.recv() => watched.hear(words),
            Some(order) = orders.recv() => watched.obey(order),
            () = end.cancelled(), if deadline.is_none() => {
                watched.obey(Order::Stop);
                deadline = Some(Instant::now() + LEAVE_WITHIN);
            }
            () = overdue => {
                watched.obey(Order::Kill);
                deadline = Some(Instant::now() + LEAVE_WITHIN);
            }
        }
    };
    let at = Instant::now();
    // Its last words are still in the pipes.
    let last_words = async {
        tokio::select! {
            _ = &mut reading, if !read_out => {}
            () = async { while let Some(line) = said.recv().await { watched.hear(line); } } => {}
        }
    };
    // A grandchild may hold the pipes open for ever: what has not come by then is not waited for.
    let _ = timeout(Duration::from_millis(200), last_words).await;
    while let Ok(line) = said.try_recv() {
        watched.hear(line);
    }
    watched.ended(status, at)
}

impl Watched<'_> {
    fn hear(&mut self, line: String) {
        if let (false, Some(http)) = (self.listened, listening(&line)) {
            self.listened = true;
            self.life.send_replace(Life::Up { pid: self.pid, http });
        }
        if self.tail.len() == LINES_KEPT {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    fn obey(&mut self, order: Order) {
        let pid = self.pid;
        // Not borrowed while it is replaced: that would wait for ever.
        let life = self.life.borrow().clone();
        match order {
            Order::Kill => {
                self.asked = true;
                self.signal(Signal::KILL);
            }
            Order::Stop => {
                self.asked = true;
                self.signal(Signal::TERM);
                // A frozen one hears it only when it is thawed.
                self.signal(Signal::CONT);
                self.life.send_replace(Life::Stopping { pid });
            }
            Order::Freeze => {
                if let Life::Up { http, .. } = life {
                    self.signal(Signal::STOP);
                    self.life.send_replace(Life::Frozen { pid, http });
                }
            }
            Order::Thaw => {
                if let Life::Frozen { http, .. } = life {
                    self.signal(Signal::CONT);
                    self.life.send_replace(Life::Up { pid, http });
                }
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let group = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // Fails only where the process is already gone.
        let _ = group.map(|group| kill_process_group(group, signal));
    }

    fn ended(self, status: std::io::Result<ExitStatus>, at: Instant) -> Ended {
        let signal = status.as_ref().ok().and_then(ExitStatus::signal);
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let tail: Vec<String> = self.tail.into();
        Ended {
            listened: self.listened,
            asked: self.asked,
            at,
            signal,
            why: format!("it ended ({how}):\n  {}", tail.join("\n  ")),
        }
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, lines: mpsc::Sender<String>) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

/// The address in the line that a replica logs when it listens.
fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    fields.get("peer")?;
    let http = fields.get("http")?.as_str()?;
    Some(if http.starts_with("http") {
        http.to_owned()
    } else {
        format!("http://{http}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Launch {
        Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![],
            cut: "/nonexistent/cut".into(),
        }
    }

    const LISTENS: &str = r#"echo '{"level":"INFO","fields":{"message":"listening","http":"127.0.0.1:1","peer":"127.0.0.1:2"}}'; exec /bin/sleep 60"#;

    async fn until(life: &mut watch::Receiver<Life>, wanted: impl FnMut(&Life) -> bool) -> Life {
        let found = timeout(Duration::from_secs(20), life.wait_for(wanted)).await;
        found.expect("in time").expect("still kept").clone()
    }

    fn pid_of(life: &Life) -> u32 {
        match life {
            Life::Starting { pid } | Life::Up { pid, .. } | Life::Frozen { pid, .. } | Life::Stopping { pid } => *pid,
            Life::Down { .. } | Life::GivenUp { .. } => 0,
        }
    }

    #[tokio::test]
    async fn a_killed_replica_is_started_again_and_leaves_with_the_demo() {
        let (orders, inbox) = mpsc::channel(4);
        let (life, mut seen) = watch::channel(Life::not_yet());
        let end = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(keep(shell(LISTENS), inbox, life, end.clone()));
        let first = until(&mut seen, |life| matches!(life, Life::Up { .. })).await;
        orders.send(Order::Kill).await.unwrap();
        until(&mut seen, |life| {
            matches!(
                life,
                Life::Down {
                    asked: true,
                    signal: Some(9),
                    ..
                }
            )
        })
        .await;
        let second = until(&mut seen, |life| matches!(life, Life::Up { .. })).await;
        assert_ne!(pid_of(&first), pid_of(&second));
        end.cancel();
        tasks.join_next().await.unwrap().unwrap();
        let pid = Pid::from_raw(i32::try_from(pid_of(&second)).unwrap()).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err(), "the process is gone");
    }

    #[tokio::test]
    async fn a_frozen_replica_is_thawed_and_leaves_with_the_demo_even_frozen() {
        let (orders, inbox) = mpsc::channel(4);
        let (life, mut seen) = watch::channel(Life::not_yet());
        let end = CancellationToken::new();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(keep(shell(LISTENS), inbox, life, end.clone()));
        let up = until(&mut seen, |life| matches!(life, Life::Up { .. })).await;
        orders.send(Order::Freeze).await.unwrap();
        until(&mut seen, |life| matches!(life, Life::Frozen { .. })).await;
        orders.send(Order::Thaw).await.unwrap();
        assert_eq!(until(&mut seen, |life| matches!(life, Life::Up { .. })).await, up);
        orders.send(Order::Freeze).await.unwrap();
        until(&mut seen, |life| matches!(life, Life::Frozen { .. })).await;
        end.cancel();
        tasks.join_next().await.unwrap().unwrap();
        let pid = Pid::from_raw(i32::try_from(pid_of(&up)).unwrap()).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err(), "the process is gone");
    }

    #[tokio::test]
    async fn one_that_never_listens_is_given_up_with_its_last_words() {
        tokio::time::pause();
        let (_orders, inbox) = mpsc::channel(4);
        let (life, seen) = watch::channel(Life::not_yet());
        keep(
            shell("echo token refused >&2; exit 3"),
            inbox,
            life,
            CancellationToken::new(),
        )
        .await;
        let Life::GivenUp { why } = seen.borrow().clone() else {
            panic!("{:?}", seen.borrow())
        };
        assert!(why.contains("exit status: 3"), "{why}");
    }

    #[test]
    fn the_listening_line_is_known_nested_and_flat() {
        let flat = r#"{"level":"INFO","message":"listening","http":"127.0.0.1:80","peer":"x"}"#;
        assert_eq!(listening(flat).as_deref(), Some("http://127.0.0.1:80"));
        assert_eq!(listening(r#"{"fields":{"http":"GET /"}}"#), None);
        assert_eq!(listening("not json"), None);
    }
}
