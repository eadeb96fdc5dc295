// A listener's hands: any command to any guild, and the answer as Discord would show it.
import { el, act, span } from "/words.js";
import { message } from "/discord.js";

// In the order of the list.
const COMMANDS = new Map(Object.entries({
  play: [["query", "a link or words", true], ["when", ["", "queue", "next", "now"]]],
  pause: [], resume: [], skip: [["to", "place in the queue"]], previous: [], stop: [],
  seek: [["position", "1:23", true]], forward: [["seconds", "10"]], rewind: [["seconds", "10"]],
  volume: [["level", "0 to 200"]], loop: [["mode", ["track", "queue", "off"]]],
  queue: [["page", "1"]], nowplaying: [], shuffle: [], remove: [["from", "1", true], ["to", ""]], move: [["from", "1", true], ["to", "2", true]],
  clear: [], history: [], join: [["channel", "voice"]], leave: [], autoplay: [["on", ["true", "false"]]],
  filters: [["preset", "bassboost"]], lyrics: [["query", ""]], voteskip: [], status: [],
  "playlist save": [["name", "mine", true]], "playlist load": [["name", "mine", true]], "playlist list": [], "playlist delete": [["name", "mine", true]],
  settings: [["auto-resume", ["", "true", "false"]], ["dj-role", ""], ["volume", ""], ["announce", ["", "true", "false"]], ["leave-when-empty", ["", "true", "false"]], ["language", ""]],
}));
// A key of digits would jump to the front of an object.
COMMANDS.set("247", [["on", ["true", "false"]]]);
const NUMBERS = ["to", "from", "seconds", "level", "page", "volume"];

export class Listener {
  constructor(state) {
    this.state = state;
    this.form = document.getElementById("listener");
    this.options = document.getElementById("options");
    this.answer = document.getElementById("answer");
    this.voice = document.getElementById("voice");
    const { guild, user, command } = this.form.elements;
    Object.assign(this, { guild, user, command });
    command.append(...[...COMMANDS.keys()].map((name) => el("option", { value: name }, `/${name}`)));
    guild.addEventListener("change", () => this.people());
    user.addEventListener("change", () => this.place());
    command.addEventListener("change", () => this.ask());
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.send(); });
    this.voice.addEventListener("click", () => this.walk());
    this.ask();
  }

  get chosen() { return this.state.guilds.get(this.guild.value); }
  get person() { return this.chosen?.members.find((member) => member.id === this.user.value); }

  refresh() {
    const guilds = [...this.state.guilds.values()].sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
    const key = guilds.map((guild) => guild.id).join();
    if (key !== this.key) {
      this.key = key;
      const kept = this.guild.value;
      this.guild.replaceChildren(...guilds.map((guild) => el("option", { value: guild.id }, guild.name)));
      if (this.state.guilds.has(kept)) this.guild.value = kept;
    }
    this.people();
  }

  people() {
    const kept = this.user.value;
    const members = [...(this.chosen?.members ?? [])].sort((a, b) => (b.voice !== null) - (a.voice !== null));
    this.user.replaceChildren(...members.map((member) => el("option", { value: member.id }, member.voice ? `${member.name}, in voice` : member.name)));
    if (members.some((member) => member.id === kept)) this.user.value = kept;
    this.place();
  }

  place() {
    this.voice.textContent = this.person?.voice ? "Leave voice" : "Join voice";
    this.voice.disabled = !this.person;
  }

  ask() {
    this.options.replaceChildren(
      ...COMMANDS.get(this.command.value).map(([name, kind, required]) => {
        const field = Array.isArray(kind)
          ? el("select", { name: `option-${name}` }, ...kind.map((value) => el("option", { value }, value || "–")))
          : el("input", { name: `option-${name}`, placeholder: kind, required: required === true, maxlength: "500" });
        return el("label", {}, name, field);
      }),
    );
  }

  values() {
    const options = {};
    for (const [name] of COMMANDS.get(this.command.value)) {
      let value = this.form.elements[`option-${name}`].value.trim();
      if (!value) continue;
      if (value === "true" || value === "false") value = value === "true";
      else if (NUMBERS.includes(name) && /^\d+$/.test(value)) value = Number(value);
      options[name] = value;
    }
    return options;
  }

  send() {
    const guild = this.chosen;
    if (!guild || !this.person) return undefined;
    const channel = guild.channels.find((one) => one.kind === "text")?.id;
    const asked = `${this.person.name} used /${this.command.value}`;
    const body = { guild: guild.id, user: this.person.id, channel, name: this.command.value, options: this.values() };
    return this.run(asked, "command", body, guild);
  }

  walk() {
    const guild = this.chosen;
    if (!guild || !this.person) return;
    const channel = this.person.voice ? null : (guild.bot ?? guild.channels.find((one) => one.kind === "voice")?.id);
    act("voice", { guild: guild.id, user: this.person.id, channel }).catch((error) => this.show(el("p", { class: "said" }, error.message)));
  }

  async run(asked, path, body, guild) {
    this.show(el("div", { class: "said" }, el("p", { class: "asked" }, asked), el("p", {}, "The bot is thinking …")));
    try {
      const answer = await act(path, body);
      this.show(this.said(asked, answer, body, guild));
    } catch (error) {
      this.show(el("div", { class: "said" }, el("p", { class: "asked" }, asked), el("p", {}, `The application did not respond. (${error.message})`)));
    }
  }

  said(asked, answer, body, guild) {
    const press = (part, values) => {
      const pressed = { message: answer.message.id, user: body.user, custom_id: part.custom_id, ...(values ? { values } : {}) };
      this.run(`${asked}, then pressed ${part.label ?? part.placeholder ?? "a button"}`, "component", pressed, guild);
    };
    const took = answer.replied_ms !== null && answer.replied_ms !== undefined ? `answered in ${span(answer.replied_ms - answer.issued_ms)}` : "";
    const who = el("p", { class: "who" }, "Segue", el("i", {}, "APP"), el("small", {}, took));
    const content = answer.message ? message(answer.message, guild, press) : el("p", {}, answer.kind ? `(${answer.kind})` : "The application did not respond.");
    return el("div", { class: "said" }, el("p", { class: "asked" }, asked), who, content, answer.ephemeral ? el("p", { class: "ephemeral" }, "Only you can see this") : null);
  }

  show(node) { this.answer.replaceChildren(node); }
}
