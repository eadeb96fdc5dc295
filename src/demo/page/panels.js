// Members and shards, nodes, recoveries: shared by the demo and by every replica's own page.
import { el, span, count } from "/words.js";

const KNOWN = ["detect", "fence", "claim", "resume", "load", "reconcile"];
const STATES = { up: ["up", "running"], starting: ["wait", "starting"], frozen: ["wait", "frozen"], cut: ["wait", "cut off from the database"], down: ["down", "gone, starts again"], stopping: ["wait", "stopping"] };
const OUTCOMES = {
  carried_on: ["carried on", "nobody heard anything"],
  rejoined: ["rejoined", "a short cut, same position"],
  restored: ["restored", "a gap, then the position where it stopped"],
  failed: ["failed", "silence; the queue is kept"],
};
let owned = new Map();

export function drawMembers(box, { replicas = [], shards = [] }) {
  const before = owned;
  owned = new Map(shards.map((shard) => [shard.id, shard.owner]));
  const head = el("tr", {}, el("th", { scope: "col" }, "Replica"), el("th", { scope: "col" }, "State; shards"), ...shards.map((shard) => el("th", { scope: "col", class: "shard", title: `shard ${shard.id}` }, el("span", { class: "unseen" }, "Shard "), `${shard.id}`)));
  const rows = replicas.map((replica) => {
    const [look, words] = STATES[replica.state] ?? ["wait", replica.state];
    const name = el("th", { scope: "row" }, replica.name, replica.leader ? el("small", { class: "faint" }, " ★ leads") : null);
    if (replica.member) name.append(el("br"), el("span", { class: "faint", title: `member ${replica.member}` }, `${replica.pid ? `process ${replica.pid}` : ""}`));
    const chip = el("td", {}, el("span", { class: `chip ${look}` }, words), el("br"), el("span", { class: "faint num" }, replica.state === "up" ? `${count(replica.playing, "guild")} playing` : ""));
    return el("tr", {}, name, chip, ...shards.map((shard) => shardCell(shard, replica, before)));
  });
  const orphans = shards.filter((shard) => !shard.owner);
  const note = orphans.length ? el("p", { class: "hint" }, `Nobody drives ${orphans.map((shard) => `shard ${shard.id}`).join(", ")} right now; the nodes play on by themselves.`) : "";
  box.replaceChildren(el("table", {}, el("caption", { class: "unseen" }, "Who drives which shard"), el("thead", {}, head), el("tbody", {}, ...rows)), note);
}

function shardCell(shard, replica, before) {
  if (shard.owner !== replica.name) return el("td", { class: "faint shard" }, "·");
  const moved = before.size && before.get(shard.id) !== shard.owner;
  const words = shard.ready ? "drives it" : shard.connected ? "getting ready" : "connecting";
  const title = `${replica.name} ${words}${shard.epoch ? `, owner number ${shard.epoch} of this shard` : ""}`;
  return el("td", { class: moved ? "shard arrived" : "shard", title }, el("span", { class: "owned" }, shard.ready ? "●" : "◌"), el("span", { class: "unseen" }, words), el("br"), el("small", { class: "faint num" }, shard.epoch ? `${shard.epoch}` : ""));
}

export function drawNodes(box, { nodes = [] }) {
  const most = Math.max(1, nodes.reduce((sum, node) => sum + node.players, 0));
  box.replaceChildren(
    ...nodes.map((node) => {
      const meter = el("i");
      meter.style.width = `${(100 * node.players) / most}%`;
      const chip = el("span", { class: `chip ${node.up ? "up" : "down"}` }, node.up ? "running" : "dead");
      return el("div", { class: "node" }, el("div", { class: "top" }, `Node ${node.name}`, chip, el("span", { class: "num" }, count(node.players, "player"))), el("div", { class: "meter", "aria-hidden": "true" }, meter));
    }),
  );
}

// Recoveries of one trace are one event: shown together, each guild inside.
export function drawRecoveries(box, { recoveries = [], guilds }) {
  const groups = new Map();
  for (const one of recoveries) {
    const key = one.trace_id ?? `${one.trigger} ${one.at}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const open = new Set([...box.querySelectorAll("details[open]")].map((node) => node.dataset.key));
  box.replaceChildren(...[...groups].slice(0, 12).map(([key, list]) => group(key, list, guilds, open.has(key))));
}

function group(key, list, guilds, open) {
  const slowest = list.reduce((a, b) => (b.took_ms > a.took_ms ? b : a));
  const tally = Object.entries(OUTCOMES).map(([name, words]) => [list.filter((one) => one.outcome === name).length, words[0]]);
  const said = tally.filter(([number]) => number).map(([number, words]) => `${number} ${words}`).join(", ");
  const gap = Math.max(0, ...list.map((one) => one.gap_ms ?? 0));
  const details = el("details", { open, "data-key": key }, el("summary", {}, list.length === 1 ? "The guild" : `The ${list.length} guilds`), table(list, guilds));
  return el("div", { class: "recovery" },
    el("div", { class: "say" }, el("b", {}, trigger(slowest.trigger)), el("span", {}, said), el("span", { class: "num" }, `${gap ? `longest gap ${span(gap)}` : "no gap"}, ready in ${span(slowest.took_ms)}`)),
    ...bar(slowest.phases), details);
}

export const trigger = (name) => {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

function bar(phases) {
  const all = Math.max(1, phases.reduce((sum, phase) => sum + phase.ms, 0));
  // A phase of another name takes the colour of its place, so that neighbours differ.
  const look = (phase) => `p-${KNOWN.includes(phase.name) ? phase.name : KNOWN[phases.indexOf(phase) % KNOWN.length]}`;
  const parts = phases.map((phase) => {
    const part = el("i", { class: look(phase) });
    part.style.flex = `${phase.ms / all} 0 0`;
    return part;
  });
  const names = phases.map((phase) => el("li", {}, el("i", { class: look(phase) }), `${phase.name} ${span(phase.ms)}`));
  return phases.length ? [el("div", { class: "phases", "aria-hidden": "true" }, ...parts), el("ul", { class: "phase-names", "aria-label": "Phases of the slowest" }, ...names)] : [];
}

function table(list, guilds) {
  const rows = list.map((one) => {
    const [words, meaning] = OUTCOMES[one.outcome] ?? [one.outcome, ""];
    const name = guilds?.get(one.guild)?.name ?? one.guild;
    return el("tr", {}, el("th", { scope: "row" }, name), el("td", { title: meaning }, words), el("td", { class: "num" }, one.gap_ms ? `gap ${span(one.gap_ms)}` : "no gap"), el("td", { class: "num" }, span(one.took_ms)));
  });
  return el("div", { class: "scroll" }, el("table", {}, el("tbody", {}, ...rows)));
}
