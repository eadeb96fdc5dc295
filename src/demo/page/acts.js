// The buttons that break things. Each says what it does.
import { el, act } from "/words.js";

export class Acts {
  constructor(state) {
    this.state = state;
    this.box = document.getElementById("acts");
    this.answer = document.getElementById("acts-answer");
    this.made = "";
  }

  draw() {
    const wanted = this.wanted();
    const key = JSON.stringify(wanted);
    if (key === this.made) return;
    this.made = key;
    // Buttons stay the same elements while their number does, so that the focus stays where it is.
    while (this.box.children.length > wanted.length) this.box.lastChild.remove();
    wanted.forEach(([words, path, body, usable, look], index) => {
      const button = this.box.children[index] ?? this.box.appendChild(el("button", { type: "button" }));
      button.textContent = words;
      button.className = look;
      button.disabled = !usable;
      button.dataset.act = path;
      button.onclick = () => this.press(words, path, body);
    });
  }

  wanted() {
    const { replicas = [], nodes = [], shards = [] } = this.state;
    const the = (replica) => (replicas.length === 1 ? "the bot" : `replica ${replica.name}`);
    const up = (replica) => replica.state === "up" || replica.state === "starting";
    return [
      ...replicas.map((replica) => [`kill -9 ${the(replica)}`, "kill", { replica: replica.name }, up(replica), "danger"]),
      ...replicas.map((replica) => [`stop ${the(replica)} gently`, "stop", { replica: replica.name }, replica.state === "up", ""]),
      ...(replicas.length > 1 ? replicas.map((replica) => replica.state === "frozen"
        ? [`thaw replica ${replica.name}`, "thaw", { replica: replica.name }, true, ""]
        : [`freeze replica ${replica.name}`, "freeze", { replica: replica.name }, replica.state === "up", "danger"]) : []),
      ...(replicas.length > 1 ? [["restart all, one after the other", "roll", {}, replicas.every((replica) => replica.state === "up"), ""]] : []),
      ...nodes.map((node) => node.up ? [`kill node ${node.name}`, "kill_node", { node: node.name }, true, "danger"] : [`start node ${node.name} again`, "restart_node", { node: node.name }, true, ""]),
      ...shards.map((shard) => [shards.length === 1 ? "expire the Discord session" : `expire the session of shard ${shard.id}`, "expire_session", { shard: shard.id }, shard.connected, "danger"]),
    ];
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
