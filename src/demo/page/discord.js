// A message as Discord shows it: text, embeds, buttons, selects and the newer layout parts. Text nodes only.
import { el } from "/words.js";

const MARK = /(\*\*[^*\n]+\*\*|`[^`\n]+`|\[[^\]\n]+\]\([^)\s]+\)|<[@#][!&]?\d+>|<\/[^:>]+:\d+>|<t:\d+(?::\w)?>|<a?:\w+:\d+>)/;

export function words(text, guild) {
  const parts = String(text ?? "").replaceAll(/\\([\\*_`~|>[\]()#-])/g, "$1").split(MARK);
  return parts.map((part, index) => (index % 2 ? marked(part, guild) : part));
}

function marked(part, guild) {
  if (part.startsWith("**")) return el("b", {}, part.slice(2, -2));
  if (part.startsWith("`")) return el("code", {}, part.slice(1, -1));
  if (part.startsWith("[")) return part.slice(1, part.indexOf("]("));
  if (part.startsWith("</")) return el("code", {}, `/${part.slice(2, part.lastIndexOf(":"))}`);
  if (part.startsWith("<t:")) return new Date(Number(/\d+/.exec(part)[0]) * 1000).toLocaleTimeString();
  if (part.startsWith("<:") || part.startsWith("<a:")) return part.split(":")[1];
  const id = /\d+/.exec(part)[0];
  const found = [...(guild?.members ?? []), ...(guild?.channels ?? [])].find((one) => one.id === id);
  return el("b", {}, `${part[1] === "#" ? "#" : "@"}${found?.name ?? id}`);
}

export function message(said, guild, press) {
  const box = el("div", {});
  if (said.content) box.append(el("div", { class: "text" }, ...words(said.content, guild)));
  for (const embed of said.embeds ?? []) box.append(drawEmbed(embed, guild));
  for (const part of said.components ?? []) box.append(drawPart(part, guild, press));
  return box;
}

function drawEmbed(embed, guild) {
  const box = el("div", { class: "embed" });
  if (Number.isInteger(embed.color)) box.style.borderColor = `#${embed.color.toString(16).padStart(6, "0")}`;
  if (embed.author?.name) box.append(el("div", { class: "small" }, embed.author.name));
  if (embed.title) box.append(el("div", { class: "title" }, ...words(embed.title, guild)));
  if (embed.description) box.append(el("div", { class: "text" }, ...words(embed.description, guild)));
  if (embed.fields?.length) {
    box.append(el("div", { class: "cols" }, ...embed.fields.map((field) => el("div", {}, el("b", {}, field.name), el("div", { class: "text" }, ...words(field.value, guild))))));
  }
  if (embed.footer?.text) box.append(el("div", { class: "small" }, embed.footer.text));
  return box;
}

function drawPart(part, guild, press) {
  const inner = () => (part.components ?? []).map((one) => drawPart(one, guild, press));
  switch (part.type) {
    case 1: return el("div", { class: "parts" }, ...inner());
    case 2: return drawButton(part, press);
    case 3: return drawSelect(part, press);
    case 9: return el("div", {}, ...inner(), ...(part.accessory ? [drawPart(part.accessory, guild, press)] : []));
    case 10: return el("div", { class: "text" }, ...words(part.content, guild));
    case 17: return el("div", { class: "embed" }, ...inner());
    default: return el("span", {});
  }
}

function drawButton(part, press) {
  const label = part.label ?? part.emoji?.name ?? "•";
  const words = part.label && part.emoji?.name && !part.emoji.id ? `${part.emoji.name} ${part.label}` : label;
  return el("button", { type: "button", class: `s${part.style}`, disabled: part.disabled === true || part.style === 5, onclick: () => press({ ...part, label }) }, words);
}

function drawSelect(part, press) {
  const select = el("select", { "aria-label": part.placeholder ?? "choose" }, el("option", { value: "" }, part.placeholder ?? "choose"), ...(part.options ?? []).map((one) => el("option", { value: one.value }, one.label)));
  select.addEventListener("change", () => select.value && press(part, [select.value]));
  return select;
}
