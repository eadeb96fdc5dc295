//! What can go wrong with a node on purpose.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::node::Node;
use super::outbox::Out;

/// Lasting misbehaviour of a node. It outlives the node's death.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(super) struct Switches {
    /// N1: voice handshakes never end.
    pub(super) swallow_voice: bool,
    /// Voice handshakes are refused with 500.
    pub(super) refuse_voice: bool,
    /// The end of a socket is not noticed.
    pub(super) half_open: bool,
    /// REST does not answer.
    pub(super) hang_rest: bool,
    /// REST answers this status to everything.
    pub(super) fail_rest: Option<u16>,
    /// N2: a resumed socket gets no message.
    pub(super) mute_socket: bool,
    /// N3: how many resumes are still answered by a new session.
    pub(super) lose_resume: u32,
    /// N13: our own hanging up is told as Discord's.
    pub(super) echo_close: bool,
    /// F28: `stats` before `ready`.
    pub(super) stats_first: bool,
    /// N4: the header `Session-Resumed` says the opposite.
    pub(super) wrong_header: bool,
    /// F16: how many events still never reach their client, and of which type.
    pub(super) lose_event: u32,
    pub(super) lost_type: Option<String>,
    /// F27: how many events still come after the next message.
    pub(super) reorder: u32,
}

/// How a fault is undone.
pub struct FaultEnd(Box<dyn FnOnce() + Send>);

impl FaultEnd {
    fn new(end: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(end))
    }

    fn nothing() -> Self {
        Self::new(|| {})
    }

    /// Undoes it.
    pub fn end(self) {
        (self.0)();
    }
}

impl fmt::Debug for FaultEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultEnd")
    }
}

/// Kinds that turn a switch.
const SWITCHED: [&str; 12] = [
    "swallow_voice",
    "refuse_voice",
    "half_open",
    "hang_rest",
    "fail_rest",
    "mute_socket",
    "lose_event",
    "lose_resume",
    "reorder",
    "stats_first",
    "echo_close",
    "wrong_header",
];
/// Kinds that happen.
const HAPPENING: [&str; 5] = [
    "kill_node",
    "restart_node",
    "drop_node_socket",
    "expire_resume",
    "malformed",
];

/// Every kind that is a node's.
pub fn fault_kinds() -> impl Iterator<Item = &'static str> {
    SWITCHED.iter().chain(HAPPENING.iter()).copied()
}

/// Begins a fault; `None` where the kind is not a node's.
pub(super) fn begin(
    nodes: &[Arc<Node>],
    tasks: &TaskTracker,
    kind: &str,
    options: &Value,
) -> Option<Result<FaultEnd, String>> {
    if !SWITCHED.contains(&kind) && !HAPPENING.contains(&kind) {
        return None;
    }
    let name = options["node"].as_str().unwrap_or_default();
    let Some(node) = nodes.iter().find(|node| node.name == name) else {
        return Some(Err(format!("no node is called {name:?}")));
    };
    Some(match kind {
        "kill_node" => Ok(kill(node, tasks)),
        "restart_node" => Ok(restart(node, tasks, options)),
        "drop_node_socket" => {
            if let Some(life) = node.life() {
                life.tell_sockets(&Out::Drop);
            }
            Ok(FaultEnd::nothing())
        }
        "malformed" => {
            malformed(node);
            Ok(FaultEnd::nothing())
        }
        "expire_resume" => {
            if let Some(life) = node.life() {
                life.expire_paused();
            }
            Ok(FaultEnd::nothing())
        }
        _ => switch(node, kind, options),
    })
}

fn kill(node: &Arc<Node>, tasks: &TaskTracker) -> FaultEnd {
    node.kill();
    let (node, tasks) = (Arc::clone(node), tasks.clone());
    FaultEnd::new(move || {
        tasks.spawn(async move { node.revive().await });
    })
}

fn restart(node: &Arc<Node>, tasks: &TaskTracker, options: &Value) -> FaultEnd {
    let down = Duration::from_millis(options["down_ms"].as_u64().unwrap_or(0));
    let graceful = options["graceful"].as_bool().unwrap_or(false);
    let node = Arc::clone(node);
    if !graceful {
        node.kill();
    }
    tasks.spawn(async move {
        node.stop().await;
        node.asleep(down).await;
        node.revive().await;
    });
    FaultEnd::nothing()
}

/// Messages that no client should fall over: not JSON, unknown, incomplete, and an exception without words.
fn malformed(node: &Node) {
    let Some(life) = node.life() else { return };
    let strange = [
        "{\"op\":".to_owned(),
        json!({"op": "firmware"}).to_string(),
        json!({"op": "playerUpdate", "guildId": "1"}).to_string(),
        json!({"op": "event", "type": "NewFangledEvent", "guildId": "1", "since": "tomorrow"}).to_string(),
        json!({"op": "event", "type": "TrackExceptionEvent", "guildId": "1", "track": null, "exception": {
            "message": null, "severity": "common", "cause": "unknown", "causeStackTrace": "",
        }})
        .to_string(),
    ];
    for text in strange {
        life.tell_sockets(&Out::Text(text));
    }
}

fn switch(node: &Arc<Node>, kind: &str, options: &Value) -> Result<FaultEnd, String> {
    let turn: fn(&mut Switches, bool) = match kind {
        "swallow_voice" => |switches, on| switches.swallow_voice = on,
        "refuse_voice" => |switches, on| switches.refuse_voice = on,
        "half_open" => |switches, on| switches.half_open = on,
        "hang_rest" => |switches, on| switches.hang_rest = on,
        "mute_socket" => |switches, on| switches.mute_socket = on,
        "echo_close" => |switches, on| switches.echo_close = on,
        "stats_first" => |switches, on| switches.stats_first = on,
        "wrong_header" => |switches, on| switches.wrong_header = on,
        "lose_event" => |switches, on| switches.lose_event = u32::from(on),
        "reorder" => |switches, on| switches.reorder = u32::from(on),
        "lose_resume" => |switches, on| switches.lose_resume = u32::from(on),
        _ => |switches, on| switches.fail_rest = on.then_some(500),
    };
    let status = match options.get("status") {
        None => None,
        Some(status) => {
            let status = status.as_u64().and_then(|status| u16::try_from(status).ok());
            Some(
                status
                    .filter(|status| (400..600).contains(status))
                    .ok_or("status must be 400 to 599")?,
            )
        }
    };
    let times = options.get("times").and_then(Value::as_u64);
    node.shared.switches.send_modify(|switches| {
        turn(switches, true);
        if kind == "fail_rest" {
            switches.fail_rest = Some(status.unwrap_or(500));
        }
        let times = times.map(|times| u32::try_from(times).unwrap_or(u32::MAX));
        match (kind, times) {
            ("lose_resume", Some(times)) => switches.lose_resume = times,
            ("lose_event", Some(times)) => switches.lose_event = times,
            ("reorder", Some(times)) => switches.reorder = times,
            _ => {}
        }
        if kind == "lose_event" {
            switches.lost_type = options["type"].as_str().map(str::to_owned);
        }
    });
    let node = Arc::clone(node);
    Ok(FaultEnd::new(move || {
        node.shared.switches.send_modify(|switches| turn(switches, false));
    }))
}
