//! Libraries in C that stand between a replica and its system, to give it what cannot be had otherwise.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::team::Team;
use crate::harness::{Bot, Proxy};

/// Makes a library for `LD_PRELOAD` of the source. `false` where there is no C compiler.
pub(super) fn library(source: &str, at: &Path) -> bool {
    let text = at.with_extension("c");
    std::fs::write(&text, source).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([at, &text])
        .arg("-ldl")
        .status();
    built.is_ok_and(|status| status.success())
}

/// Two replicas, one of them under a library that knows the gateway's port as `GATEWAY_PORT` and waits for the file
/// `STRIKE_FILE`. It owns shards, and is not one of the team's bots.
pub(super) struct Odd {
    pub(super) team: Team,
    pub(super) bot: Bot,
    /// Its shards, before it is struck.
    pub(super) shards: Vec<u64>,
    file: PathBuf,
    _folder: TempDir,
    _rest: Proxy,
}

impl Odd {
    /// `None`, said aloud with `what`, where there is no C compiler.
    pub(super) async fn under(source: &str, what: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (at, file) = (folder.path().join("odd.so"), folder.path().join("strike"));
        if !library(source, &at) {
            crate::skip::skip(&format!("{what}: no C compiler"));
            return None;
        }
        let mut team = Team::playing(2, 6).await;
        let gateway = team.world.ready.discord_gateway.clone();
        let address = gateway.trim_start_matches("ws://").trim_end_matches('/');
        let gateway: SocketAddr = address.parse().unwrap();
        // REST takes another way, so that the library meets only the gateway's own connections.
        let rest = Proxy::to(gateway).await;
        team.setup = team
            .setup
            .clone()
            .set("LD_PRELOAD", at.to_str().unwrap())
            .set("STRIKE_FILE", file.to_str().unwrap())
            .set("GATEWAY_PORT", &gateway.port().to_string())
            .set("SEGUE_DISCORD_API_URL", &format!("http://{}", rest.address));
        team.start("c").await;
        drop(team.take("b").kill().await);
        team.settled().await;
        let shards = team.owners().await["c"].clone();
        assert!(!shards.is_empty(), "the odd one owns shards");
        let note = json!({ "kind": "note", "text": what, "excuse": shards });
        team.world.post("/faults", note).await;
        let bot = team.take("c");
        Some(Self {
            team,
            bot,
            shards,
            file,
            _folder: folder,
            _rest: rest,
        })
    }

    /// From now on the library does what it is there for; its connections are cut.
    pub(super) async fn strike(&self) {
        std::fs::write(&self.file, "").unwrap();
        for shard in &self.shards {
            let cut = json!({ "kind": "drop_gateway", "shard": shard });
            self.team.world.fault(cut).await;
        }
    }

    /// It stops doing it.
    pub(super) fn spare(&self) {
        std::fs::remove_file(&self.file).unwrap();
    }
}
