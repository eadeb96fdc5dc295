// The strips: what each guild heard, drawn on one small canvas per visible row.
import { el, clock } from "/words.js";

const SPAN = 120000;
// Paul Tol's light scheme without its reds: told apart by the colour-blind, dark text readable on all of them.
const COLOURS = ["#77aadd", "#eedd88", "#44bb99", "#99ddff", "#bbcc33", "#c5b6e6", "#aaaa00", "#dddddd"];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const narrow = matchMedia("(max-width: 820px)");

function colour(track) {
  let hash = 2166136261;
  for (let i = 0; i < track.length; i++) hash = Math.imul(hash ^ track.charCodeAt(i), 16777619);
  return COLOURS[((hash >>> 0) ^ (hash >>> 16)) % COLOURS.length & 7];
}

function positionAt(segment, at) {
  const seen = segment.as_of_ms - segment.from_ms;
  const heard = segment.position_to_ms - segment.position_from_ms;
  const speed = seen < 2000 ? 1 : heard / seen;
  return segment.position_from_ms + (at - segment.from_ms) * speed;
}

// The track's length, where its identifier says it.
function lengthOf(segment) {
  const found = /[?&]length=([\d.]+)/.exec(segment.track);
  return found ? Number(found[1]) * 1000 : null;
}

export class Strips {
  constructor(state, now) {
    Object.assign(this, { state, now, order: [], rows: new Map(), active: 0, back: 0, pointer: null, last: 0 });
    this.box = document.getElementById("strips");
    this.list = document.getElementById("rows");
    this.marks = document.getElementById("marks");
    this.tip = document.getElementById("tip");
    this.box.addEventListener("scroll", () => this.lay(), { passive: true });
    new ResizeObserver(() => { this.sizes(); this.lay(); }).observe(this.box);
    narrow.addEventListener("change", () => this.lay());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.theme());
    this.theme();
    const tick = (time) => {
      if (time - this.last >= (calm.matches ? 1000 : 66)) { this.last = time; this.draw(); }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  theme() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    this.paint = { hole: read("--hole"), soft: read("--soft"), ink: read("--ink"), bad: read("--bad") };
  }

  setGuilds() {
    this.order = [...this.state.guilds.values()].sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
    this.active = Math.min(this.active, Math.max(0, this.order.length - 1));
    this.lay();
  }

  height() { return narrow.matches ? 54 : 30; }

  // Keeps only the rows that can be seen, and some beyond.
  lay() {
    const height = this.height();
    this.list.style.height = `${this.order.length * height}px`;
    const first = Math.max(0, Math.floor((this.box.scrollTop - 24) / height) - 3);
    const until = Math.min(this.order.length, first + Math.ceil(this.box.clientHeight / height) + 7);
    for (const [index, row] of this.rows) {
      if ((index < first || index >= until || row.guild.id !== this.order[index]?.id) && !(index === this.active && row.node.contains(document.activeElement) && row.guild.id === this.order[index]?.id)) {
        row.node.remove();
        this.rows.delete(index);
      } else row.guild = this.order[index];
    }
    for (let index = first; index < until; index++) {
      if (!this.rows.has(index)) this.rows.set(index, this.row(index));
      this.rows.get(index).node.style.top = `${index * height}px`;
    }
    this.sizes();
  }

  row(index) {
    const guild = this.order[index];
    const canvas = el("canvas", { role: "slider", tabindex: index === this.active ? "0" : "-1", "aria-valuemin": "0", "aria-valuemax": "120", "aria-valuenow": "0" });
    const name = el("span", { class: "guild", title: guild.name }, guild.name);
    const [t, p, n] = [el("span", { class: "t" }), el("span", { class: "p" }), el("span", { class: "n" })];
    const node = el("div", { class: "row", role: "listitem" }, name, canvas, el("span", { class: "what" }, t, p, n));
    canvas.addEventListener("pointermove", (event) => this.point(index, event));
    canvas.addEventListener("pointerleave", () => { this.pointer = null; this.tip.hidden = true; });
    canvas.addEventListener("focus", () => { this.choose(index); this.tell(index); });
    canvas.addEventListener("blur", () => { this.tip.hidden = true; });
    canvas.addEventListener("keydown", (event) => this.key(index, event));
    this.list.append(node);
    return { guild, node, canvas, t, p, n, context: canvas.getContext("2d") };
  }

  sizes() {
    const ratio = devicePixelRatio || 1;
    for (const { canvas } of [...this.rows.values(), { canvas: this.marks }]) {
      const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
  }

  choose(index) {
    this.rows.get(this.active)?.canvas.setAttribute("tabindex", "-1");
    this.active = index;
    this.rows.get(index)?.canvas.setAttribute("tabindex", "0");
  }

  key(index, event) {
    const steps = { ArrowLeft: 2, ArrowRight: -2, PageUp: 20, PageDown: -20 };
    if (event.key in steps) this.back = Math.max(0, Math.min(120, this.back + steps[event.key]));
    else if (event.key === "Home") this.back = 120;
    else if (event.key === "End") this.back = 0;
    else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      const next = Math.max(0, Math.min(this.order.length - 1, index + (event.key === "ArrowUp" ? -1 : 1)));
      const height = this.height(), top = next * height;
      if (top < this.box.scrollTop) this.box.scrollTop = top;
      else if (top + height + 24 > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + height + 24 - this.box.clientHeight;
      this.lay();
      this.rows.get(next)?.canvas.focus({ preventScroll: true });
    } else if (event.key === "Escape") this.tip.hidden = true;
    else return;
    event.preventDefault();
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown" && event.key !== "Escape") this.tell(index);
  }

  point(index, event) {
    const box = event.currentTarget.getBoundingClientRect();
    const at = this.now() - SPAN * (1 - (event.clientX - box.left) / box.width);
    this.show(index, at, event.clientX, box);
  }

  tell(index) {
    const row = this.rows.get(index);
    if (!row) return;
    const box = row.canvas.getBoundingClientRect();
    const words = this.show(index, this.now() - this.back * 1000, box.right - (box.width * this.back) / 120, box);
    row.canvas.setAttribute("aria-valuenow", String(120 - this.back));
    row.canvas.setAttribute("aria-valuetext", `${this.back ? `${this.back} seconds ago` : "now"}: ${words.join(", ")}`);
  }

  show(index, at, x, box) {
    const words = this.describe(this.order[index], at);
    this.tip.replaceChildren(el("b", {}, words[0]), words.slice(1).join(" · "));
    this.tip.hidden = false;
    const width = this.tip.offsetWidth, height = this.tip.offsetHeight;
    this.tip.style.left = `${Math.max(8, Math.min(innerWidth - width - 8, x - width / 2))}px`;
    this.tip.style.top = `${box.top - height - 8 > 0 ? box.top - height - 8 : box.bottom + 8}px`;
    return words;
  }

  // Track, position, node and member at one moment, in words.
  describe(guild, at) {
    for (const gap of guild.gaps.values())
      if (at >= gap.from_ms && at < (gap.to_ms ?? Infinity)) return ["a gap", gap.to_ms ? `${((gap.to_ms - gap.from_ms) / 1000).toFixed(2)} s of silence` : "silence since", guild.name];
    for (const s of guild.segments.values()) {
      if (at < s.from_ms || at >= (s.to_ms ?? Infinity)) continue;
      const length = lengthOf(s);
      const owner = (this.state.owners ?? []).find((o) => o.shard === guild.shard && at >= o.from_ms && at < (o.to_ms ?? Infinity));
      const driver = owner ? `driven by ${owner.replica} (${owner.member.slice(-6)})` : "nobody at the wheel: the node plays on";
      return [s.title, `${clock(positionAt(s, at))}${length ? ` of ${clock(length)}` : ""}`, `node ${s.node}`, driver];
    }
    return ["silent", "paused, stopped or nothing queued", guild.name];
  }

  current(guild) {
    for (const s of guild.segments.values()) if (s.to_ms === null) return s;
    return null;
  }

  draw() {
    if (document.hidden || !this.state.guilds.size) return;
    const now = this.now();
    this.drawMarks(now);
    for (const row of this.rows.values()) {
      this.drawRow(row, now);
      this.drawWords(row, now);
    }
  }

  drawWords({ guild, canvas, t, p, n }, now) {
    const s = this.current(guild);
    const put = (node, words) => { if (node.textContent !== words) node.textContent = words; };
    put(t, s ? s.title : guild.bot ? "silent" : "not in voice");
    put(p, s ? clock(positionAt(s, now)) : "");
    put(n, s ? s.node : "");
    n.hidden = !s;
    const label = `${guild.name}: ${s ? s.title : "silent"}`;
    if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
  }

  drawRow({ guild, canvas, context: c }, now) {
    const ratio = devicePixelRatio || 1;
    const width = canvas.width / ratio, height = canvas.height / ratio;
    const x = (at) => width * (1 - (now - at) / SPAN);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = this.paint.hole;
    c.fillRect(0, 0, width, height);
    const parts = [...guild.segments.values()].sort((a, b) => a.from_ms - b.from_ms);
    parts.forEach((s, index) => {
      const next = parts[index + 1];
      if (s.to_ms !== null) this.drawSilence(c, s, next, x(s.to_ms), next ? x(next.from_ms) : width, height, guild);
    });
    for (const s of parts) {
      const from = Math.max(0, x(s.from_ms)), to = s.to_ms === null ? width : x(s.to_ms);
      if (to <= 0) continue;
      c.fillStyle = colour(s.track);
      c.fillRect(from, 0, to - from, height);
      this.drawTitle(c, s, from, to, height);
    }
    parts.forEach((s, index) => {
      if (index && parts[index - 1].track !== s.track) { c.fillStyle = this.paint.hole; c.fillRect(x(s.from_ms) - 1, 0, 2, height); }
    });
    for (const gap of guild.gaps.values()) this.drawGap(c, x(gap.from_ms), gap.to_ms === null ? width : x(gap.to_ms), height);
    for (const mark of this.state.marks ?? []) {
      const at = Math.round(x(mark.at_ms));
      if (at <= 0) continue;
      // Dark with a faint bright edge: seen on every track and on the dark ground, and never taken for a break.
      c.fillStyle = "rgb(255 255 255 / .45)";
      c.fillRect(at - 2, 0, 4, height);
      c.fillStyle = "#12171a";
      c.fillRect(at - 1, 0, 2, height);
    }
  }

  drawTitle(c, s, from, to, height) {
    if (to - from < 46) return;
    c.save();
    c.beginPath();
    c.rect(from + 5, 0, to - from - 10, height);
    c.clip();
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    c.fillStyle = "rgb(20 28 32 / .78)";
    c.fillText(s.title.slice(0, 80), from + 7, height / 2 + 0.5);
    c.restore();
  }

  // Silence in the middle of a track that nobody would call a gap: somebody paused or stopped it.
  drawSilence(c, before, after, from, to, height, guild) {
    const length = lengthOf(before);
    const ended = length !== null && before.position_to_ms > length - 1500;
    if (to - from < 2 || to <= 0 || (ended && (!after || after.track !== before.track)) || !guild.bot) return;
    c.save();
    c.beginPath();
    c.rect(from, 0, to - from, height);
    c.clip();
    c.strokeStyle = this.paint.soft;
    c.lineWidth = 1.2;
    c.beginPath();
    for (let step = Math.floor(Math.max(-height, from - height) / 7) * 7; step < to + height; step += 7) { c.moveTo(step, height); c.lineTo(step + height, 0); }
    c.stroke();
    c.restore();
  }

  drawGap(c, from, to, height) {
    if (to <= 0) return;
    const width = Math.max(4, to - from);
    c.fillStyle = this.paint.hole;
    c.fillRect(from, 0, width, height);
    c.globalAlpha = 0.35;
    c.fillStyle = this.paint.bad;
    c.fillRect(from, 0, width, height);
    c.globalAlpha = 1;
    c.strokeStyle = this.paint.bad;
    c.lineWidth = 2;
    c.strokeRect(from + 1, 1, Math.max(2, width - 2), height - 2);
  }

  // Times and what was killed, above the rows.
  drawMarks(now) {
    const some = this.rows.values().next().value;
    if (!some) return;
    const c = this.marks.getContext("2d"), ratio = devicePixelRatio || 1;
    const box = this.marks.getBoundingClientRect(), strip = some.canvas.getBoundingClientRect();
    const left = strip.left - box.left, width = strip.width;
    const x = (at) => left + width * (1 - (now - at) / SPAN);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, box.width, box.height);
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    const named = [];
    let free = left + width;
    const shown = (this.state.marks ?? []).filter((mark) => x(mark.at_ms) > left).reverse();
    for (const mark of shown) {
      const at = x(mark.at_ms), words = `✕ ${mark.text}`, wide = c.measureText(words).width;
      const begin = Math.min(at - 4, free - wide);
      c.fillStyle = this.paint.ink;
      c.fillRect(Math.round(at) - 1, 18, 2, 6);
      // The newest is named; an older one only where there is room beside it.
      if (begin < left || begin + wide < at - 4) continue;
      c.fillText(words, begin, 10);
      named.push([begin, begin + wide]);
      free = begin - 10;
    }
    c.fillStyle = this.paint.soft;
    for (const seconds of narrow.matches ? [120, 60] : [120, 90, 60, 30]) {
      const words = seconds === 120 ? "2 min ago" : `${seconds} s`, at = x(now - seconds * 1000), wide = c.measureText(words).width;
      const begin = seconds === 120 ? at : at - wide / 2;
      if (named.some(([from, to]) => from < begin + wide + 10 && to > begin - 10)) continue;
      c.fillText(words, begin, 10);
    }
    const words = "now", wide = c.measureText(words).width;
    if (!named.some(([, to]) => to > left + width - wide - 10)) c.fillText(words, left + width - wide, 10);
  }

  drawTable() {
    const now = this.now();
    const body = document.querySelector("#table tbody");
    const rows = this.order.map((guild) => {
      const s = this.current(guild);
      const gaps = [...guild.gaps.values()].filter((gap) => (gap.to_ms ?? now) > now - SPAN);
      const lost = gaps.reduce((sum, gap) => sum + ((gap.to_ms ?? now) - gap.from_ms), 0);
      const said = gaps.length ? `${gaps.length}, ${(lost / 1000).toFixed(2)} s in all` : "none";
      return [guild.name, s ? "playing" : "silent", s?.title ?? "", s ? clock(positionAt(s, now)) : "", s?.node ?? "", said];
    });
    while (body.rows.length > rows.length) body.lastChild.remove();
    rows.forEach((cells, index) => {
      const row = body.rows[index] ?? body.appendChild(el("tr", {}, el("th", { scope: "row" }), ...cells.slice(1).map(() => el("td"))));
      cells.forEach((words, at) => { if (row.cells[at].textContent !== words) row.cells[at].textContent = words; });
    });
  }
}
