// The demo page: one stream of state (first whole, then changes), handed to the parts that draw it.
import { Strips } from "/strips.js";
import { drawMembers, drawNodes, drawRecoveries } from "/panels.js";
import { Listener } from "/listener.js";
import { Acts } from "/acts.js";
import { el, ago, clock } from "/words.js";

export const state = { guilds: new Map(), log: [], marks: [], owners: [] };
let offset = null;

// The simulator's clock, carried on between messages.
export function now() {
  return offset === null ? 0 : performance.now() + offset;
}

function setClock(nowMs) {
  const wanted = nowMs - performance.now();
  if (offset === null || Math.abs(wanted - offset) > 600) offset = wanted;
  else offset += (wanted - offset) * 0.05;
}

const $ = (id) => document.getElementById(id);
const strips = new Strips(state, now);
const listener = new Listener(state);
const acts = new Acts(state);

function mergeGuild(id, change) {
  let guild = state.guilds.get(id);
  if (!guild) {
    guild = { id, name: id, members: [], channels: [], segments: new Map(), gaps: new Map() };
    state.guilds.set(id, guild);
  }
  const { segments = [], gaps = [], withdrawn = {}, ...rest } = change;
  Object.assign(guild, rest);
  for (const from of withdrawn.segments ?? []) guild.segments.delete(from);
  for (const from of withdrawn.gaps ?? []) guild.gaps.delete(from);
  for (const segment of segments) guild.segments.set(segment.from_ms, segment);
  for (const gap of gaps) guild.gaps.set(gap.from_ms, gap);
  const old = now() - 160000;
  for (const list of [guild.segments, guild.gaps])
    for (const [from, part] of list) if (part.to_ms !== null && part.to_ms < old) list.delete(from);
}

function take(message, whole) {
  setClock(message.now_ms);
  const { guilds = {}, gone = [], log = [], now_ms, ...sections } = message;
  if (whole) {
    state.guilds.clear();
    state.log = [];
  }
  const before = state.guilds.size;
  for (const [id, change] of Object.entries(guilds)) mergeGuild(id, change);
  for (const id of gone) state.guilds.delete(id);
  state.log.push(...log);
  if (state.log.length > 400) state.log.splice(0, state.log.length - 400);
  Object.assign(state, sections);
  if (whole || before !== state.guilds.size || gone.length) strips.setGuilds();
  if (whole || Object.values(guilds).some((guild) => guild.members)) listener.refresh();
  if (sections.headline) drawHeadline();
  if (sections.replicas || sections.shards) drawMembers($("members"), state);
  if (sections.nodes) drawNodes($("nodes"), state);
  if (sections.recoveries) drawRecoveries($("recoveries"), state);
  if (sections.replicas || sections.shards || sections.nodes) acts.draw();
  if (sections.violations) drawOracle();
  if (log.length && $("log-details").open) drawLog();
}

let spoken = "";
let speaking = 0;
function drawHeadline() {
  const { now: sentence, last } = state.headline;
  $("now").textContent = sentence;
  const say = last ? `${sentence} ${last.what}${last.then}` : sentence;
  if (say !== spoken) {
    spoken = say;
    // Read aloud only what stood for a while, not every step on the way.
    clearTimeout(speaking);
    speaking = setTimeout(() => { $("spoken").textContent = say; }, 1500);
  }
  drawAge();
}

function drawAge() {
  const last = state.headline?.last;
  $("last").replaceChildren(...(last ? [el("b", {}, `${last.what} ${ago(now() - last.at_ms)}`), last.then] : ["Nothing has been broken yet: press a button and watch the strips."]));
}

function drawOracle() {
  const found = state.violations;
  $("oracle").className = found.length ? "bad" : "good";
  $("oracle").textContent = found.length
    ? `${found.length} ${found.length === 1 ? "rule was" : "rules were"} broken:`
    : "✓ Every rule has held so far.";
  $("violations").replaceChildren(
    ...found.slice(-20).map((v) => el("li", {}, `${clock(v.at_ms)} `, el("b", {}, v.rule), ` ${v.guild ?? ""} ${text(v.detail)}`)),
  );
}

const text = (value) => (typeof value === "string" ? value : JSON.stringify(value ?? ""));

function drawLog() {
  const lines = state.log.slice(-200).reverse();
  $("log").replaceChildren(
    ...lines.map(({ seq, at_ms, kind, ...rest }) => {
      const said = Object.entries(rest).map(([key, value]) => `${key}=${text(value)}`).join("  ");
      return el("li", {}, el("span", {}, clock(at_ms)), el("span", {}, kind ?? ""), el("span", {}, said));
    }),
  );
}
$("log-details").addEventListener("toggle", drawLog);
$("table-details").addEventListener("toggle", () => strips.drawTable());

function connect() {
  const stream = new EventSource("/events");
  const link = (name, words) => {
    $("link").className = `link ${name}`;
    $("link").textContent = words;
  };
  stream.onopen = () => link("live", "live");
  stream.addEventListener("whole", (event) => take(JSON.parse(event.data), true));
  stream.addEventListener("change", (event) => take(JSON.parse(event.data), false));
  stream.onerror = () => link("lost", "the demo does not answer; trying again");
}

setInterval(() => {
  if (state.headline) drawAge();
  if ($("table-details").open) strips.drawTable();
}, 1000);
connect();
