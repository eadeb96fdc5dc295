//! Every parser of the simulator as a function of any bytes: `fuzz` and `tests/hostile` feed them. None may panic, hang, or
//! keep what it was fed.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::clock::Clock;
use super::control::Control;
use super::discord::world::{Settings, Size, World};
use super::discord::{Discord, gateway as socket};
use super::http::Call;
use super::log::Log;
use super::seam::{NodeOptions, Nodes};
use super::voice::Switchboard;
use super::{lavalink, story as stories};

/// Frames of one gateway connection, one on each line; `TOKEN`, `GUILD`, `USER`, `TEXT` and `VOICE` stand for real ones.
pub fn gateway(bytes: &[u8]) {
    let Some(ground) = Ground::new() else { return };
    let frames = ground.named(bytes);
    socket::hear(&ground.discord, frames.split(|byte| *byte == b'\n'));
}

/// One call to the control API: `METHOD /path?query`, a new line, and the body. The names of [`gateway`] may be used.
pub fn control(bytes: &[u8]) {
    let Some(ground) = Ground::new() else { return };
    let text = ground.named(bytes);
    let (head, body) = match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text.as_slice(), &[][..]),
    };
    let head = String::from_utf8_lossy(head);
    let (method, target) = head.split_once(' ').unwrap_or(("GET", &head));
    // Only waiting is left out: it takes as long as the call asks for.
    if target.contains("wait_ms") {
        return;
    }
    let call = Call::of(method, target, body);
    ground
        .runtime
        .block_on(async { drop(ground.control.answer(&call).await) });
    ground.discord.lock().tick();
}

/// A body of a player's PATCH.
pub fn patch(bytes: &[u8]) {
    lavalink::hostile::patch(bytes);
}

/// A track's identifier, or an encoded track.
///
/// # Panics
/// When a track is another one after it was written and read again.
pub fn identifier(bytes: &[u8]) {
    lavalink::hostile::identifier(&String::from_utf8_lossy(bytes));
}

/// A story.
///
/// # Panics
/// When a step's own words do not mean the same step, or a complaint names no line of the text.
pub fn story(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match stories::parse("fuzz", &text) {
        Ok(story) => {
            drop(story.problems(&["a".to_owned()], &[]));
            assert!(
                story.steps.is_sorted_by_key(|step| step.at),
                "the steps are not in order"
            );
            assert!(story.steps.iter().all(|step| !step.to_string().is_empty()));
        }
        Err(problems) => {
            let lines = text.lines().count();
            assert!(!problems.is_empty() && problems.iter().all(|problem| problem.line <= lines));
        }
    }
}

/// A small world without sockets.
struct Ground {
    runtime: Runtime,
    discord: Discord,
    control: Control,
    names: [(&'static str, String); 5],
}

impl Ground {
    fn new() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_time().build().ok()?;
        let clock = Clock::new();
        let (log, switchboard) = (Log::new(clock), Switchboard::default());
        let options = NodeOptions {
            listen: Vec::new(),
            host: "127.0.0.1".to_owned(),
            seed: 1,
            stats_ms: 60_000,
        };
        let nodes = Nodes::start(options, clock, log.clone(), switchboard.clone());
        let (nodes, audio) = runtime.block_on(nodes).ok()?;
        let settings = Settings {
            seed: 1,
            shards: 1,
            max_concurrency: 1,
            voice_endpoint: None,
            gateway_url: "ws://127.0.0.1:1".to_owned(),
            session_ttl_ms: 90_000,
            heartbeat_ms: 41_250,
        };
        let mut world = World::new(settings, clock, log.clone(), switchboard, (Arc::new(nodes), audio));
        let guild = world.create_guild(Size {
            members: 3,
            text: 1,
            voice: 2,
        });
        let known = world.guilds.get(&guild)?;
        let channel = |nth: usize| known.channels.keys().nth(nth).map(u64::to_string);
        let names = [
            ("TOKEN", world.token.clone()),
            ("GUILD", guild.to_string()),
            ("USER", known.members.keys().next()?.to_string()),
            ("TEXT", channel(0)?),
            ("VOICE", channel(1)?),
        ];
        let discord = Discord::new(world, CancellationToken::new());
        Some(Self {
            runtime,
            control: Control::new(discord.clone(), log),
            discord,
            names,
        })
    }

    /// The bytes with real names in place of those that stand for them.
    fn named(&self, bytes: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return bytes.to_vec();
        };
        let put = |text: String, (name, real): &(&str, String)| text.replace(name, real);
        self.names.iter().fold(text.to_owned(), put).into_bytes()
    }
}
