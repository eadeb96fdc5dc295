//! What can go wrong with a node on purpose.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::node::Node;
use super::outbox::Out;

/// Lasting misbehaviour of a node. It outlives the node's death.
///
/// Faults may overlap: each is held until its own end, a switch is on while any of its kind is held, and where they have a
/// value, the newest one's counts.
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
    /// N13: our own hanging up is told as Discord's.
    pub(super) echo_close: bool,
    /// F28: `stats` before `ready`.
    pub(super) stats_first: bool,
    /// N4: the header `Session-Resumed` says the opposite.
    pub(super) wrong_header: bool,
    /// The node is dead, or waits until it may start again.
    down: bool,
    /// The faults that all this comes from, oldest first.
    held: Vec<Held>,
    /// How many there were.
    begun: u64,
}

/// A fault that lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    id: u64,
    kind: String,
    /// Of `fail_rest`.
    status: u16,
    /// How many events or resumes it still meets, where it is about those.
    left: u32,
    /// The only type of events that it meets.
    of: Option<String>,
}

/// The kind under which whatever keeps a node down is held.
const DOWN: &str = "down";

impl Switches {
    /// Holds a fault; its number.
    fn hold(&mut self, mut fault: Held) -> u64 {
        self.begun += 1;
        fault.id = self.begun;
        self.held.push(fault);
        self.settle();
        self.begun
    }

    /// Lets go of a fault.
    fn release(&mut self, id: u64) {
        self.held.retain(|held| held.id != id);
        self.settle();
    }

    fn settle(&mut self) {
        let on = |kind: &str| self.held.iter().any(|held| held.kind == kind);
        let newest = self.held.iter().rev().find(|held| held.kind == "fail_rest");
        self.fail_rest = newest.map(|held| held.status);
        self.swallow_voice = on("swallow_voice");
        self.refuse_voice = on("refuse_voice");
        self.half_open = on("half_open");
        self.hang_rest = on("hang_rest");
        self.mute_socket = on("mute_socket");
        self.echo_close = on("echo_close");
        self.stats_first = on("stats_first");
        self.wrong_header = on("wrong_header");
        self.down = on(DOWN);
    }

    /// Counts one down of what faults of a kind are still to meet, of a type where they are about types; whether there was
    /// one.
    pub(super) fn use_up(&mut self, kind: &str, of: Option<&str>) -> bool {
        let meant = |held: &&mut Held| {
            let this_type = held.of.as_deref().is_none_or(|wanted| Some(wanted) == of);
            held.kind == kind && held.left > 0 && this_type
        };
        let Some(held) = self.held.iter_mut().find(meant) else {
            return false;
        };
        held.left -= 1;
        true
    }
}

/// How a fault is undone, where there is something to undo.
pub struct FaultEnd(Option<Box<dyn FnOnce() + Send>>);

impl FaultEnd {
    fn new(end: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(end)))
    }

    /// It happened, and is over.
    fn happened() -> Self {
        Self(None)
    }

    /// Whether it lasts until it is ended. What does not has happened, and can be repeated.
    pub fn lasts(&self) -> bool {
        self.0.is_some()
    }

    /// Undoes it.
    pub fn end(self) {
        if let Some(end) = self.0 {
            end();
        }
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
    match kind {
        "kill_node" => return Some(Ok(kill(node, tasks))),
        "restart_node" => restart(node, tasks, options),
        "drop_node_socket" => {
            if let Some(life) = node.life() {
                life.tell_sockets(&Out::Drop);
            }
        }
        "malformed" => malformed(node),
        "expire_resume" => {
            if let Some(life) = node.life() {
                life.expire_paused();
            }
        }
        _ => return Some(switch(node, kind, options)),
    }
    Some(Ok(FaultEnd::happened()))
}

/// Holds a fault of a node; the number to let it go by.
fn hold(node: &Node, fault: Held) -> u64 {
    let mut id = 0;
    node.shared.switches.send_modify(|switches| id = switches.hold(fault));
    id
}

fn release(node: &Node, id: u64) {
    node.shared.switches.send_modify(|switches| switches.release(id));
}

/// Keeps a node down until [`up_again`].
fn down(node: &Node) -> u64 {
    let fault = Held {
        kind: DOWN.to_owned(),
        ..Held::default()
    };
    hold(node, fault)
}

/// What kept a node down is over: it lives again, unless something else keeps it down.
async fn up_again(node: &Node, id: u64) {
    release(node, id);
    if !node.shared.switches.borrow().down {
        node.revive().await;
        // What began meanwhile may have found it dead, and it would live on.
        if node.shared.switches.borrow().down {
            node.kill();
        }
    }
}

fn kill(node: &Arc<Node>, tasks: &TaskTracker) -> FaultEnd {
    let id = down(node);
    node.kill();
    let (node, tasks) = (Arc::clone(node), tasks.clone());
    FaultEnd::new(move || {
        tasks.spawn(async move { up_again(&node, id).await });
    })
}

/// Whoever restarts a node that is dead wants it back: that takes the place of what kept it down before.
fn restart(node: &Arc<Node>, tasks: &TaskTracker, options: &Value) {
    let down_ms = Duration::from_millis(options["down_ms"].as_u64().unwrap_or(0));
    let graceful = options["graceful"].as_bool().unwrap_or(false);
    let node = Arc::clone(node);
    let before = |switches: &mut Switches| switches.held.retain(|held| held.kind != DOWN);
    node.shared.switches.send_modify(before);
    let id = down(&node);
    if !graceful {
        node.kill();
    }
    tasks.spawn(async move {
        node.stop().await;
        node.asleep(down_ms).await;
        up_again(&node, id).await;
    });
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
    let status = match options.get("status") {
        None => 500,
        Some(status) => {
            let status = status.as_u64().and_then(|status| u16::try_from(status).ok());
            status
                .filter(|status| (400..600).contains(status))
                .ok_or("status must be 400 to 599")?
        }
    };
    let times = options["times"].as_u64().unwrap_or(1);
    let fault = Held {
        id: 0,
        kind: kind.to_owned(),
        status,
        left: u32::try_from(times).unwrap_or(u32::MAX),
        of: options["type"]
            .as_str()
            .filter(|_| kind == "lose_event")
            .map(str::to_owned),
    };
    let id = hold(node, fault);
    let node = Arc::clone(node);
    Ok(FaultEnd::new(move || release(&node, id)))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::super::{Nodes, Surroundings, Timing};
    use super::*;
    use crate::sim::audio::Audio;
    use crate::sim::clock::Clock;
    use crate::sim::log::Log;
    use crate::sim::voice::Switchboard;

    async fn nodes() -> Nodes {
        let clock = Clock::new();
        let surroundings = Surroundings {
            clock,
            log: Log::new(clock),
            switchboard: Switchboard::default(),
            audio: Audio::new(clock),
            timing: Timing::default(),
            seed: 1,
        };
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Nodes::start_in(&["a".to_owned()], &[at], None, &surroundings)
            .await
            .unwrap()
    }

    fn fault(nodes: &Nodes, mut options: Value) -> FaultEnd {
        options["node"] = json!("a");
        let kind = options["kind"].as_str().unwrap().to_owned();
        nodes.fault(&kind, &options).unwrap().unwrap()
    }

    fn switches(nodes: &Nodes) -> Switches {
        nodes.0.nodes[0].shared.switches.borrow().clone()
    }

    type Look = fn(&Switches) -> bool;

    #[tokio::test]
    async fn of_faults_that_overlap_the_last_to_end_turns_the_switch_off() {
        let nodes = nodes().await;
        let on: [(&str, Look); 8] = [
            ("swallow_voice", |switches| switches.swallow_voice),
            ("refuse_voice", |switches| switches.refuse_voice),
            ("half_open", |switches| switches.half_open),
            ("hang_rest", |switches| switches.hang_rest),
            ("mute_socket", |switches| switches.mute_socket),
            ("echo_close", |switches| switches.echo_close),
            ("stats_first", |switches| switches.stats_first),
            ("wrong_header", |switches| switches.wrong_header),
        ];
        for (kind, on) in on {
            assert!(!on(&switches(&nodes)), "{kind}");
            let (one, other) = (
                fault(&nodes, json!({"kind": kind})),
                fault(&nodes, json!({"kind": kind})),
            );
            one.end();
            assert!(on(&switches(&nodes)), "{kind}");
            other.end();
            assert!(!on(&switches(&nodes)), "{kind}");
        }
        assert_eq!(switches(&nodes).fail_rest, None);
        let first = fault(&nodes, json!({"kind": "fail_rest", "status": 503}));
        let second = fault(&nodes, json!({"kind": "fail_rest", "status": 401}));
        let third = fault(&nodes, json!({"kind": "fail_rest"}));
        assert_eq!(switches(&nodes).fail_rest, Some(500), "the newest holds");
        second.end();
        assert_eq!(switches(&nodes).fail_rest, Some(500));
        third.end();
        assert_eq!(switches(&nodes).fail_rest, Some(503), "and then the one before");
        first.end();
        assert_eq!(switches(&nodes).fail_rest, None);
        nodes.shutdown().await;
    }

    #[tokio::test]
    async fn what_several_faults_are_still_to_do_adds_up_and_ends_with_each() {
        let nodes = nodes().await;
        let shared = nodes.0.nodes[0].shared.clone();
        let ends = fault(
            &nodes,
            json!({"kind": "lose_event", "type": "TrackEndEvent", "times": 2}),
        );
        let starts = fault(&nodes, json!({"kind": "lose_event", "type": "TrackStartEvent"}));
        assert!(shared.loses_event("TrackEndEvent"));
        assert!(shared.loses_event("TrackStartEvent"));
        assert!(!shared.loses_event("TrackStartEvent"));
        assert!(!shared.loses_event("TrackStuckEvent"));
        starts.end();
        assert!(shared.loses_event("TrackEndEvent"));
        assert!(!shared.loses_event("TrackEndEvent"));
        ends.end();
        let (one, other) = (
            fault(&nodes, json!({"kind": "reorder"})),
            fault(&nodes, json!({"kind": "reorder"})),
        );
        one.end();
        assert!(shared.delays_event());
        assert!(!shared.delays_event());
        other.end();
        let resume = fault(&nodes, json!({"kind": "lose_resume", "times": 3}));
        assert!(shared.loses_resume());
        resume.end();
        assert!(!shared.loses_resume());
        nodes.shutdown().await;
    }

    fn up(nodes: &Nodes) -> bool {
        nodes.world()[0]["up"] == true
    }

    /// Time passes, and whoever waits for it has its turn.
    async fn pass(ms: u64) {
        for _ in 0..ms / 10 {
            tokio::time::advance(Duration::from_millis(10)).await;
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_several_faults_keep_down_comes_back_with_the_last() {
        let nodes = nodes().await;
        let (one, other) = (
            fault(&nodes, json!({"kind": "kill_node"})),
            fault(&nodes, json!({"kind": "kill_node"})),
        );
        one.end();
        pass(1_000).await;
        assert!(!up(&nodes), "the other still lasts");
        other.end();
        pass(1_000).await;
        assert!(up(&nodes));
        fault(&nodes, json!({"kind": "restart_node", "down_ms": 60_000}));
        fault(&nodes, json!({"kind": "kill_node"})).end();
        pass(50_000).await;
        assert!(!up(&nodes), "it is told to be down for longer");
        pass(11_000).await;
        assert!(up(&nodes));
        let killed = fault(&nodes, json!({"kind": "kill_node"}));
        fault(&nodes, json!({"kind": "restart_node", "down_ms": 50}));
        pass(1_000).await;
        assert!(up(&nodes), "it was restarted since");
        killed.end();
        pass(1_000).await;
        assert!(up(&nodes));
        nodes.shutdown().await;
    }
}
