//! A real replica set of three on loopback: one shared by the process, private ones to break.

#[path = "../../xtask/src/mongod.rs"]
#[expect(dead_code, reason = "tests look for it, xtask fetches it")]
mod program;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, error};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use crate::skip::skip;

/// How long a set may take until it has a primary.
const START: Duration = Duration::from_mins(1);

/// Three `mongod`. They end when this is dropped, or when the process ends in any way.
#[derive(Debug)]
pub(crate) struct ReplicaSet {
    nodes: Vec<Node>,
    _data: Option<TempDir>,
}

/// A shell that kills `mongod` and removes its data as soon as its standard input closes.
#[derive(Debug)]
struct Node {
    shell: Child,
    pid: u32,
    port: u16,
}

const SHELL: &str = r#""$0" --replSet segue --bind_ip 127.0.0.1 --port "$2" --dbpath "$1" --wiredTigerCacheSizeGB 0.25 \
    --oplogSize 64 --setParameter diagnosticDataCollectionEnabled=false --setParameter enableTestCommands=1 --logpath "$1/log" >/dev/null 2>&1 &
pid=$!; echo $pid; cat >/dev/null; kill -9 $pid 2>/dev/null; wait; rm -rf "$1"; rmdir "$3" 2>/dev/null"#;

static SHARED: OnceCell<Option<ReplicaSet>> = OnceCell::const_new();

/// The set that tests share, each with a database of its own. `None`, said aloud, when there is no `mongod`.
pub(crate) async fn shared() -> Option<&'static ReplicaSet> {
    let set = SHARED.get_or_init(ReplicaSet::start).await.as_ref();
    if set.is_none() {
        skip("MongoDB: no mongod; set SEGUE_MONGOD or run `cargo xtask test`");
    }
    set
}

/// In memory where there is plenty of it: how long a busy disk takes is not what is asked of MongoDB here. A set is a gigabyte,
/// and three are there at a time.
fn folder() -> TempDir {
    const MEMORY: &str = "/dev/shm";
    const PLENTY: u64 = 8 << 30;
    let free = rustix::fs::statvfs(MEMORY).map_or(0, |system| system.f_bavail * system.f_frsize);
    let mut named = tempfile::Builder::new();
    let named = named.prefix("segue-mongod-");
    let folder = if free >= PLENTY {
        named.tempdir_in(MEMORY)
    } else {
        named.tempdir()
    };
    folder.expect("a folder")
}

impl ReplicaSet {
    /// A set of one's own, to break.
    pub(crate) async fn private() -> Option<Self> {
        let set = Self::start().await;
        if set.is_none() {
            skip("MongoDB outages: no mongod; set SEGUE_MONGOD or run `cargo xtask test`");
        }
        set
    }

    async fn start() -> Option<Self> {
        let program = program::find()?;
        let data = folder();
        let nodes: Vec<_> = (0..3).map(|n| Node::start(&program, data.path(), n)).collect();
        let members: Vec<Bson> = (0_i32..)
            .zip(&nodes)
            .map(|(id, node)| doc! { "_id": id, "host": format!("127.0.0.1:{}", node.port) }.into())
            .collect();
        let config = doc! {
            "_id": "segue", "members": members,
            "settings": { "electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500 },
        };
        let set = Self {
            nodes,
            _data: Some(data),
        };
        let begun = Instant::now();
        let mut seen = String::new();
        while begun.elapsed() < START {
            match set.command(0, doc! { "replSetInitiate": config.clone() }).await {
                Ok(_) => break,
                Err(error) if error.to_string().contains("AlreadyInitialized") => break,
                Err(error) => seen = error.to_string(),
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert!(begun.elapsed() < START, "the set was not initiated: {seen}");
        set.primary().await;
        Some(set)
    }

    /// The address of a database in it.
    pub(crate) fn uri(&self, database: &str) -> String {
        let hosts: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        format!("mongodb://{}/{database}?replicaSet=segue", hosts.join(","))
    }

    /// Where a node listens.
    pub(crate) fn address(&self, n: usize) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.nodes[n].port).into()
    }

    /// Which node is the primary; waits until one is.
    pub(crate) async fn primary(&self) -> usize {
        let begun = Instant::now();
        loop {
            let mut seen = Vec::new();
            for n in 0..self.nodes.len() {
                match self.command(n, doc! { "hello": 1 }).await {
                    Ok(hello) if hello.get_bool("isWritablePrimary").unwrap_or(false) => return n,
                    Ok(hello) => seen.push(format!("{n}: secondary {:?}", hello.get_bool("secondary").ok())),
                    Err(error) => seen.push(format!("{n}: {error}")),
                }
            }
            assert!(begun.elapsed() < START, "no primary: {seen:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// `kill -9` of the primary. It does not come back.
    pub(crate) async fn kill_primary(&self) {
        let n = self.primary().await;
        self.nodes[n].signal(Signal::KILL);
    }

    /// Freezes every node (SIGSTOP): connections stay open, nothing answers.
    pub(crate) fn stop_all(&self) {
        self.nodes.iter().for_each(|node| node.signal(Signal::STOP));
    }

    /// Lets them go on.
    pub(crate) fn continue_all(&self) {
        self.nodes.iter().for_each(|node| node.signal(Signal::CONT));
    }

    /// The primary steps down, and nobody may be elected for `seconds`.
    pub(crate) async fn no_primary_for(&self, seconds: i32) {
        let primary = self.primary().await;
        for n in (0..self.nodes.len()).filter(|n| *n != primary) {
            self.command(n, doc! { "replSetFreeze": seconds })
                .await
                .expect("frozen");
        }
        let step_down = doc! { "replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 0, "force": true };
        self.command(primary, step_down).await.expect("stepped down");
    }

    /// For clients of this name: these commands do what they are told, and the answer says that no majority confirmed it.
    pub(crate) async fn unconfirmed(&self, app: &str, commands: &[&str]) {
        let error = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
        let data = doc! { "failCommands": commands, "appName": app, "writeConcernError": error };
        self.fail_commands("alwaysOn".into(), data).await;
    }

    /// For clients of this name: the connection is lost before the next such command does anything.
    pub(crate) async fn hangs_up_once(&self, app: &str, command: &str) {
        let data = doc! { "failCommands": [command], "appName": app, "closeConnection": true };
        self.fail_commands(doc! { "times": 1 }.into(), data).await;
    }

    /// As it is without such faults.
    pub(crate) async fn confirms_again(&self) {
        self.fail_commands("off".into(), doc! {}).await;
    }

    async fn fail_commands(&self, mode: Bson, data: Document) {
        let primary = self.primary().await;
        let fault = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        self.command(primary, fault).await.expect("the server takes faults");
    }

    async fn command(&self, n: usize, command: Document) -> error::Result<Document> {
        let uri = format!("mongodb://127.0.0.1:{}/?directConnection=true", self.nodes[n].port);
        let mut options = ClientOptions::parse(uri).await?;
        options.server_selection_timeout = Some(Duration::from_secs(2));
        options.connect_timeout = Some(Duration::from_secs(2));
        let client = Client::with_options(options)?;
        let answer = client.database("admin").run_command(command).await;
        client.shutdown().immediate(true).await;
        answer
    }
}

impl Node {
    fn start(program: &PathBuf, folder: &Path, n: usize) -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let data = folder.join(n.to_string());
        std::fs::create_dir(&data).expect("a folder");
        let mut shell = Command::new("sh")
            .args(["-c", SHELL])
            .arg(program)
            .arg(data)
            .arg(port.to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let mut line = String::new();
        let output = shell.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a pid");
        Self {
            pid: line.trim().parse().expect("a pid"),
            shell,
            port,
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).expect("a pid");
        // One that was killed before is no error.
        let _gone = kill_process(pid, signal);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}
