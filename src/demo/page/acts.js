// The buttons that break things. Each says what it does.
import { el, act } from "/words.js";

export class Acts {
  constructor(state) {
    this.state = state;
    this.boxes = [document.getElementById("acts"), document.getElementById("acts-sessions")];
    this.answer = document.getElementById("acts-answer");
    this.made = ["", ""];
  }

  draw() {
    [this.processes(), this.sessions()].forEach((wanted, which) => {
      const key = JSON.stringify(wanted);
      if (key === this.made[which]) return;
      this.made[which] = key;
      this.fill(this.boxes[which], wanted);
    });
  }

  fill(box, wanted) {
    // Buttons stay the same elements while their number does, so that the focus stays where it is.
    while (box.children.length > wanted.length) box.lastChild.remove();
    wanted.forEach(([words, path, body, usable, look], index) => {
      const button = box.children[index] ?? box.appendChild(el("button", { type: "button" }));
      button.textContent = words;
      button.className = look;
      button.disabled = !usable;
      button.dataset.act = path;
      button.onclick = () => this.press(words, path, body);
    });
  }

  // One replica after the other, so that what is done to one stands together.
  processes() {
    const { replicas = [], nodes = [] } = this.state;
    const many = replicas.length > 1;
    const up = (replica) => ["up", "cut", "starting"].includes(replica.state);
    const of = (replica) => {
      const name = many ? `replica ${replica.name}` : "the bot";
      const body = { replica: replica.name };
      const freeze = replica.state === "frozen"
        ? [`thaw ${name}`, "thaw", body, true, ""]
        : [`freeze ${name}`, "freeze", body, replica.state === "up", "danger"];
      const cut = replica.state === "cut"
        ? [`reconnect ${name}`, "reconnect", body, true, ""]
        : [`cut ${name} off its database`, "cut", body, replica.state === "up", "danger"];
      return [[`kill -9 ${name}`, "kill", body, up(replica), "danger"], [`stop ${name} gently`, "stop", body, replica.state === "up", ""], ...(many ? [freeze, cut] : [])];
    };
    return [
      ...replicas.flatMap(of),
      ...(many ? [["restart all, one after the other", "roll", {}, replicas.every((replica) => replica.state === "up"), "whole"]] : []),
      // Two or four in a row: what follows begins a row of its own.
      ...nodes.map((node) => node.up ? [`kill node ${node.name}`, "kill_node", { node: node.name }, true, "danger"] : [`start node ${node.name} again`, "restart_node", { node: node.name }, true, ""]),
    ];
  }

  sessions() {
    const { shards = [] } = this.state;
    return shards.map((shard) => [shards.length === 1 ? "expire the Discord session" : `expire the session of shard ${shard.id}`, "expire_session", { shard: shard.id }, shard.connected, "danger"]);
  }

  async press(words, path, body) {
    this.answer.className = "answer-line";
    this.answer.textContent = `${words} …`;
    try {
      await act(path, body);
      this.answer.textContent = `Done: ${words}.`;
      clearTimeout(this.fading);
      this.fading = setTimeout(() => { this.answer.textContent = ""; }, 6000);
    } catch (error) {
      this.answer.className = "answer-line bad";
      this.answer.textContent = `${words}: ${error.message}`;
    }
  }
}
