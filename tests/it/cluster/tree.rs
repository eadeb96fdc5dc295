//! A trace as text that is the same every time: ids are names, what nobody chose is left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::harness::Span;

/// What is another every time: figures, and which of two proofs came first.
const FIGURES: &[&str] = &["segue.lease.epoch", "segue.audio.gap_ms", "segue.detect.why"];
/// Of a resource, what says which process and which build it is.
const BUILD: &[&str] = &["service.instance.id", "service.version", "telemetry.sdk.version"];

/// One trace, and what its links lead to.
pub(super) struct Tree<'a> {
    all: &'a [Span],
    spans: Vec<&'a Span>,
    /// What each pod is in this story.
    roles: BTreeMap<&'a str, &'a str>,
}

impl<'a> Tree<'a> {
    /// The trace whose root has this name; exactly one is there. `roles`: a pod's name, and what it is called here.
    pub(super) fn of(all: &'a [Span], root: &str, roles: &[(&'a str, &'a str)]) -> Result<Self, String> {
        let roots: Vec<&Span> = all
            .iter()
            .filter(|span| span.name == root && span.parent.is_empty())
            .collect();
        let [root] = roots[..] else {
            let names: Vec<&String> = all.iter().map(|span| &span.name).collect();
            return Err(format!("{} roots {root:?} among {names:?}", roots.len()));
        };
        let spans = all.iter().filter(|span| span.trace == root.trace).collect();
        let roles = roles.iter().copied().collect();
        Ok(Self { all, spans, roles })
    }

    pub(super) fn spans(&self) -> &[&'a Span] {
        &self.spans
    }

    /// The tree, and the resources of its spans.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let known = |span: &&&Span| self.spans.iter().any(|other| other.id == span.parent);
        for orphan in self.spans.iter().filter(|span| !span.parent.is_empty() && !known(span)) {
            writeln!(text, "WITHOUT ITS PARENT: {}", self.line(orphan)).unwrap();
        }
        self.branch("", 0, &mut text);
        text.push('\n');
        let mut resources: Vec<String> = self.spans.iter().map(|span| self.resource(span)).collect();
        resources.sort();
        resources.dedup();
        text + &resources.join("\n") + "\n"
    }

    fn branch(&self, parent: &str, depth: usize, text: &mut String) {
        let mut children: Vec<(String, &Span)> = self
            .spans
            .iter()
            .filter(|span| span.parent == parent)
            .map(|span| (self.line(span), *span))
            .collect();
        children.sort_by(|a, b| a.0.cmp(&b.0));
        for (line, span) in children {
            writeln!(text, "{}{line}", "  ".repeat(depth)).unwrap();
            self.branch(&span.id, depth + 1, text);
        }
    }

    /// A span without its place.
    fn line(&self, span: &Span) -> String {
        let mut line = format!("{} of {}", span.name, self.pod(span));
        if span.failed {
            line.push_str(", FAILED");
        }
        for (key, value) in &span.attributes {
            write!(line, "; {key}={}", self.value(key, value)).unwrap();
        }
        if !span.events.is_empty() {
            write!(line, "; events {}", span.events.join(", ")).unwrap();
        }
        let mut links: Vec<String> = span.links.iter().map(|link| self.link(link)).collect();
        links.sort();
        for link in links {
            write!(line, "; {link}").unwrap();
        }
        line
    }

    fn value(&self, key: &str, value: &str) -> String {
        match key {
            "segue.member.id" => self.member(value),
            "segue.member.name" => self.role(value),
            "discord.guild.id" => "a guild".to_owned(),
            "discord.shard.id" => "a shard".to_owned(),
            _ if FIGURES.contains(&key) => "…".to_owned(),
            _ => value.to_owned(),
        }
    }

    fn link(&self, (trace, id, attributes): &(String, String, BTreeMap<String, String>)) -> String {
        let found = self.all.iter().find(|span| span.id == *id && span.trace == *trace);
        let to = found.map_or_else(
            || "NOTHING THAT CAME".to_owned(),
            |span| format!("{} of {}", span.name, self.pod(span)),
        );
        format!("{} → {to}", attributes["segue.link.kind"])
    }

    fn pod(&self, span: &Span) -> String {
        self.role(span.resource.get("k8s.pod.name").map_or("nobody", String::as_str))
    }

    fn role(&self, pod: &str) -> String {
        (*self.roles.get(pod).unwrap_or(&pod)).to_owned()
    }

    /// A member by what it sent of its own shards.
    fn member(&self, id: &str) -> String {
        let own = |span: &&Span| span.name == "shard.take" && span.attributes["segue.member.id"] == id;
        self.all
            .iter()
            .find(own)
            .map_or_else(|| format!("UNKNOWN {id}"), |span| self.pod(span))
    }

    fn resource(&self, span: &Span) -> String {
        let mut line = format!("resource of {}:", self.pod(span));
        for (key, value) in &span.resource {
            let value = match key.as_str() {
                "k8s.pod.name" => self.role(value),
                key if BUILD.contains(&key) => "…".to_owned(),
                _ => value.clone(),
            };
            write!(line, " {key}={value}").unwrap();
        }
        line
    }
}
