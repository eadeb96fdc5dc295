//! The bot as a real process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::wait::eventually;
use super::world::World;

/// A folder in memory where the system has a place for that: how long a busy disk takes to write is not what these tests are
/// about, and a bot rightly refuses commands that its disk does not take in time.
fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// How a bot is started; the same setup starts its successor on the same store.
#[derive(Clone)]
pub(crate) struct Setup {
    program: PathBuf,
    env: BTreeMap<String, String>,
    folder: Arc<TempDir>,
}

impl Setup {
    /// On SQLite in a folder of its own, in the given world.
    pub(crate) fn sqlite(world: &World) -> Self {
        let folder = Arc::new(in_memory());
        let path: PathBuf = folder.path().join("segue.db");
        Self::on(world, format!("sqlite:{}", path.display()), folder)
    }

    /// On any store.
    pub(crate) fn store(world: &World, store: String) -> Self {
        Self::on(world, store, Arc::new(in_memory()))
    }

    fn on(world: &World, store: String, folder: Arc<TempDir>) -> Self {
        let ready = serde_json::to_value(&world.ready).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let node = |node: &Value| {
            let with_password = text(&node["url"]).replacen("://", &format!("://:{}@", text(&node["password"])), 1);
            format!("{}={with_password}", text(&node["name"]))
        };
        let nodes: Vec<String> = ready["lavalink"].as_array().unwrap().iter().map(node).collect();
        let env = [
            ("DISCORD_TOKEN", text(&ready["token"])),
            ("SEGUE_DISCORD_API_URL", text(&ready["discord_api"])),
            ("SEGUE_DISCORD_GATEWAY_URL", text(&ready["discord_gateway"])),
            ("SEGUE_LAVALINK_NODES", nodes.join(",")),
            ("SEGUE_STORE", store),
            ("SEGUE_CLUSTER", "store".to_owned()),
            ("SEGUE_HTTP_LISTEN", "127.0.0.1:0".to_owned()),
            ("SEGUE_PEER_LISTEN", "127.0.0.1:0".to_owned()),
            ("SEGUE_LOG_FORMAT", "json".to_owned()),
            ("SEGUE_LOG", "info".to_owned()),
        ];
        Self {
            program: env!("CARGO_BIN_EXE_segue").into(),
            env: env.map(|(key, value)| (key.to_owned(), value)).into(),
            folder,
        }
    }

    /// With a setting changed.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.env.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same under another name: a replica of the same cluster.
    pub(crate) fn named(&self, name: &str) -> Self {
        self.clone().set("SEGUE_NAME", name)
    }

    /// The same with another version of the program.
    pub(crate) fn with_program(&self, program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            ..self.clone()
        }
    }

    /// The store's address.
    pub(crate) fn address(&self) -> &str {
        &self.env["SEGUE_STORE"]
    }

    /// Runs another command of the program to its end: whether it succeeded, and all it printed.
    pub(crate) async fn run(&self, command: &str) -> (Option<i32>, String) {
        self.run_with(&[command]).await
    }

    /// The same with arguments.
    pub(crate) async fn run_with(&self, command: &[&str]) -> (Option<i32>, String) {
        let mut program = Command::new(&self.program);
        program
            .args(command)
            .env_clear()
            .envs(&self.env)
            .env("HOME", self.folder.path());
        let output = timeout(
            Duration::from_secs(30),
            program.stdin(Stdio::null()).kill_on_drop(true).output(),
        );
        let output = output.await.expect("the command ends").unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }

    /// Starts a bot and waits until it listens.
    pub(crate) async fn start(&self) -> Bot {
        let bot = self.spawn();
        bot.logged("listening").await;
        bot
    }

    /// Starts a bot and waits until its shards are ready.
    pub(crate) async fn ready(&self) -> Bot {
        let bot = self.start().await;
        bot.logged("ready").await;
        bot
    }

    /// Starts a bot.
    pub(crate) fn spawn(&self) -> Bot {
        let mut child = Command::new(&self.program)
            .arg("run")
            .env_clear()
            .envs(&self.env)
            .env("HOME", self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        #[expect(clippy::disallowed_methods, reason = "ends with the process whose lines it reads")]
        let reader = tokio::spawn(async move {
            let mut stderr = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = stderr.next_line().await {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap().push(value);
            }
        });
        Bot { child, lines, reader }
    }
}

/// A bot process; killed when dropped.
pub(crate) struct Bot {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    reader: JoinHandle<()>,
}

impl Bot {
    /// Every line it logged so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line with this message.
    pub(crate) async fn logged(&self, message: &str) -> Value {
        eventually(&format!("the bot logs {message:?}"), || async {
            let log = self.log();
            log.iter().find(|line| line["message"] == message).cloned().ok_or(log)
        })
        .await
    }

    /// How many lines with this message there are.
    pub(crate) fn count(&self, message: &str) -> usize {
        self.log().iter().filter(|line| line["message"] == message).count()
    }

    /// Its process id.
    #[allow(dead_code, reason = "the benchmarks, which share this file, ask for it")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// `http://host:port` of its pages.
    pub(crate) async fn http(&self) -> String {
        let line = self.logged("listening").await;
        format!("http://{}", line["http"].as_str().unwrap())
    }

    /// `GET` of one of its pages: status and text.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("{}{path}", self.http().await)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What its page tells programs; `None` when it does not answer.
    pub(crate) async fn state(&self) -> Option<Value> {
        let log = self.log();
        let line = log.iter().find(|line| line["message"] == "listening")?;
        let url = format!("http://{}/api/state", line["http"].as_str()?);
        let asked = timeout(Duration::from_secs(1), reqwest::get(url)).await.ok()?;
        asked.ok()?.json().await.ok()
    }

    /// SIGSTOP: nothing of it moves any more, and nobody is told.
    pub(crate) fn freeze(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) async fn kill(mut self) -> Vec<Value> {
        self.child.kill().await.unwrap();
        self.end().await
    }

    /// SIGTERM; returns how it ended.
    pub(crate) async fn terminate(mut self) -> (ExitStatus, Vec<Value>) {
        self.signal(rustix::process::Signal::TERM);
        let status = timeout(Duration::from_secs(30), self.child.wait())
            .await
            .expect("the bot leaves in time")
            .unwrap();
        (status, self.end().await)
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let status = timeout(Duration::from_secs(20), self.child.wait())
            .await
            .expect("the bot ends")
            .unwrap();
        (status, self.end().await)
    }

    async fn end(&mut self) -> Vec<Value> {
        let reading = &mut self.reader;
        drop(timeout(Duration::from_secs(2), reading).await);
        self.log()
    }
}

/// A test that fails tells what its bots said last.
impl Drop for Bot {
    #[expect(clippy::print_stderr, reason = "what a failed test prints is shown with it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            eprintln!("the bot's last lines, of {}:", log.len());
            for line in log.iter().rev().take(40).rev() {
                eprintln!("  {line}");
            }
        }
    }
}
