// What every script stands on: where the simulator is, its control API, waiting, and the lines that the driver reads.

import assert from 'node:assert/strict';

/** The simulator's ready line. */
export const sim = JSON.parse(process.env.SEGUE_SIM ?? 'null');
if (!sim) throw new Error('SEGUE_SIM must hold the line that `segue sim` prints');

/** Where Discord's REST is, as discord.js wants it. */
export const restOptions = { api: `${sim.discord_api}/api`, version: '10' };

/** One call to the control API; its JSON, or the text when it is none. */
export async function control(method, path, body) {
  const answer = await fetch(`${sim.control}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

export const world = () => control('GET', '/world');

/** The first guild of a shard (of all, without one), with the ids that scripts need. */
export async function place(wanted = () => true) {
  const guild = (await world()).guilds.find(wanted);
  const of = (kind) => guild.channels.filter((channel) => channel.kind === kind).map((channel) => channel.id);
  return { id: guild.id, text: of('text')[0], voices: of('voice'), people: guild.members.map((member) => member.id) };
}

/** A person, or `bot`, joins, moves or leaves. */
export const move = (guild, user, channel) => control('POST', `/guilds/${guild}/voice`, { user, channel });

/** A fault begins; its id. */
export const fault = async (kind, fields = {}) => (await control('POST', '/faults', { kind, ...fields })).id;
export const heal = (id) => control('DELETE', `/faults/${id}`);

/** What people hear in a guild. */
export const audio = (guild) => control('GET', `/guilds/${guild}/audio?since_ms=0`);

/** Asks until the answer is neither false nor null nor undefined; fails with the last one seen. */
export async function until(what, ask, limitMs = 15_000) {
  const end = Date.now() + limitMs;
  let seen;
  for (;;) {
    seen = await ask();
    if (seen !== false && seen !== null && seen !== undefined) return seen;
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await pause(25);
  }
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Everything that an emitter tells of these events, in order: `{ event, args }`. */
export function record(emitter, ...events) {
  const told = [];
  for (const event of events) emitter.on(event, (...args) => told.push({ event, args }));
  return told;
}

/** The error that something throws; fails when it does not. */
export async function refused(act) {
  try {
    await act();
  } catch (error) {
    return error;
  }
  throw new Error('it was not refused');
}

/**
 * One row of the conformance list was exercised: what the client saw, and what the simulator must have logged if that is
 * true. `compared` has `logged` (events in order), `counted` (of GET /counters) or `heard` (segments of a guild's audio).
 */
export function row(id, saw, compared) {
  console.log(JSON.stringify({ row: id, saw, ...compared }));
}

/** Runs the script: its end is the process's end, whatever the client still holds open. */
export function script(act) {
  act().then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}
