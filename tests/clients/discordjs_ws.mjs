// @discordjs/ws: gateway sessions, one shard at a time. Each act takes a shard of its own, so that none waits for the
// IDENTIFY window of another.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { REST } from '@discordjs/rest';
import { WebSocketManager, WebSocketShardEvents as Event } from '@discordjs/ws';
import { Routes } from 'discord-api-types/v10';

import { control, fault, heal, move, pause, place, record, refused, restOptions, row, script, sim, until } from './stage.mjs';

const shardCount = 16;
const intents = (1 << 0) | (1 << 7);
const rest = new REST(restOptions).setToken(sim.token);

/** One shard with its session in reach: `store.session` is what would be kept in a database. */
function shard(id, options = {}, session = null) {
  const store = { session };
  const manager = new WebSocketManager({
    token: sim.token,
    intents,
    rest,
    shardCount,
    shardIds: [id],
    retrieveSessionInfo: () => store.session,
    updateSessionInfo: (_, info) => {
      store.session = info;
    },
    ...options,
  });
  const told = record(manager, ...Object.values(Event));
  const words = () => told.filter(({ event }) => event === Event.Debug).map(({ args }) => String(args[0]));
  const events = (type) => dispatched(told).filter((packet) => packet.t === type);
  const closed = () => told.filter(({ event }) => event === Event.Closed).map(({ args }) => args[0]);
  const ready = () => events('READY')[0]?.d.session_id ?? null;
  return { id, manager, store, told, words, events, closed, ready };
}

const dispatched = (told) => told.filter(({ event }) => event === Event.Dispatch).map(({ args }) => args[0]);
const onShard = (id) => place((guild) => guild.shard === id);
const closedBy = (by, code, fields = {}) => ({ kind: 'gateway_closed', by, code, ...fields });

/** Connects; the session's id. */
async function connected(one) {
  // A connection that is closed for good leaves its promise open: it is not waited for.
  void one.manager.connect().catch(() => {});
  return until(`READY for shard ${one.id}`, one.ready);
}

const sessions = (one, count) =>
  until(`READY number ${count} for shard ${one.id}`, () => one.events('READY').length >= count);
const closedWith = (one, code) => until(`close ${code}, not ${one.closed()}`, () => one.closed().includes(code));
const joins = (one, guild, channel) =>
  one.manager.send(one.id, {
    op: 4,
    d: { guild_id: guild, channel_id: channel, self_mute: false, self_deaf: false },
  });

if (process.argv[2] === 'first') script(first);
else
  script(async () => {
    // Every session counts 16 shards, so the control API's shard of a guild is the one meant here.
    await connected(shard(0));
    const zombie = await heartbeats(1);
    await refusals();
    await oddPayloads();
    await floods(6);
    await secondIdentify(7);
    await twoSessions(8);
    await secondProcess(9);
    await unknownSession(10);
    await overflow(11);
    const ahead = await wrongResumes(12);
    const victim = await stolen(14);
    const late = await expired(13);
    await zombie();
    // Each of these logs in anew some seconds later; what they spend of the budget must not be counted for the window.
    await sessions(ahead, 1);
    await sessions(victim, 2);
    await sessions(late, 2);
    await identifyWindow(2);
    await spent();
  });

async function refusals() {
  const attempt = async (code, id, options, says) => {
    const one = shard(id, options);
    void one.manager.connect().catch(() => {});
    await closedWith(one, code);
    const said = one.told.filter(({ event }) => event === Event.Error).map(({ args }) => args[0].message);
    assert.deepEqual(said, [says]);
    return closedBy('server', code);
  };
  const version = await attempt(4012, 3, { version: '9' }, 'Used an invalid API version');
  const fine = shard(3);
  const session = await connected(fine);
  const interval = fine.words().find((words) => words.startsWith('Preparing first heartbeat'));
  assert.ok(interval, 'HELLO came with an interval');
  row('G1', { version9: 4012, hello: interval }, { logged: [version, { kind: 'session_opened', session, shard: 3 }] });
  const logged = [
    await attempt(4004, 4, { token: 'Bot nobody' }, 'Authentication failed'),
    await attempt(4013, 4, { intents: 1 << 27 }, 'Used invalid intents'),
    await attempt(4014, 4, { intents: 1 << 1 }, 'Used disallowed intents'),
    await attempt(4010, 99, {}, 'Invalid shard'),
  ];
  row('G3', { codes: logged.map((each) => each.code) }, { logged });
}

async function oddPayloads() {
  const one = shard(5);
  const session = await connected(one);
  await one.manager.send(5, { op: 99, d: null });
  await closedWith(one, 4001);
  await until('a second READY or RESUMED', () => one.told.some(({ event }) => event === Event.Resumed));
  await one.manager.send(5, { op: 3, d: { since: null, afk: false, status: 'x'.repeat(5_000), activities: [] } });
  await closedWith(one, 4002);
  row('G6', { codes: one.closed() }, {
    logged: [
      closedBy('server', 4001, { session }),
      { kind: 'resume', session, outcome: 'ok' },
      closedBy('server', 4002, { session }),
    ],
  });
}

async function floods(id) {
  const one = shard(id);
  const session = await connected(one);
  const kept = { ...one.store.session };
  for (let count = 0; count < 121; count += 1) await one.manager.send(id, { op: 1, d: null });
  await closedWith(one, 4008);
  const back = shard(id, {}, kept);
  await back.manager.connect();
  assert.equal(back.store.session.sessionId, session);
  row('G7', { sent: 121, resumed: session }, {
    logged: [closedBy('server', 4008, { session }), { kind: 'resume', session, outcome: 'ok' }],
  });
}

async function secondIdentify(id) {
  const one = shard(id);
  const session = await connected(one);
  await one.manager.send(id, { op: 2, d: { token: sim.token, intents, properties: {}, shard: [id, shardCount] } });
  await closedWith(one, 4005);
  row('G5', { closed: 4005 }, { logged: [{ kind: 'session_opened', session }, closedBy('server', 4005, { session })] });
}

/** G9 and G8 at once; the returned act waits for the library to notice that its heartbeats are not acknowledged. */
async function heartbeats(id) {
  const one = shard(id);
  const session = await connected(one);
  await fault('request_heartbeat', { shard: id });
  const [latency] = await until('an acknowledged heartbeat', () => {
    const beat = one.told.find(({ event }) => event === Event.HeartbeatComplete);
    return beat ? beat.args : null;
  });
  const { sequence } = one.store.session;
  const beat = { kind: 'heartbeat_answered', shard: id, heard: sequence };
  row('G9', { session, sequence, acknowledged: latency.latency >= 0 }, { logged: [{ kind: 'fault_begin', what: 'request_heartbeat' }, beat] });
  return async () => {
    const withheld = await fault('withhold', { what: 'ack' });
    await fault('request_heartbeat', { shard: id });
    await until('the end of a connection without acknowledgements', () => one.closed().includes(4200), 50_000);
    await heal(withheld);
    await until('RESUMED', () => one.told.some(({ event }) => event === Event.Resumed));
    row('G8', { session, zombie: 4200 }, {
      logged: [beat, beat, closedBy('client', 4200, { session }), { kind: 'resume', session, outcome: 'ok' }],
    });
  };
}

/** A second session of the same shard: everything reaches both, voice credentials only the one that asked. */
async function twoSessions(id) {
  const guild = await onShard(id);
  const old = shard(id);
  const session = await connected(old);
  // The same guilds, cut into eight: another IDENTIFY key, so that no window is in the way.
  const other = shard(id % 8, { shardCount: 8 });
  const second = await connected(other);
  const same = shard(id);
  await pause(5_000);
  const third = await connected(same);
  await move(guild.id, guild.people[0], guild.voices[1]);
  const both = [old, same, other];
  const state = (one, user, channel) =>
    one.events('VOICE_STATE_UPDATE').find(({ d }) => d.user_id === user && d.channel_id === channel) ?? null;
  for (const one of both) await until('a person\'s move', () => state(one, guild.people[0], guild.voices[1]));
  row('G12', { sessions: [session, third], bothSaw: guild.people[0] }, {
    logged: [
      { kind: 'session_opened', session, shard: id, shards: shardCount },
      { kind: 'session_opened', session: third, shard: id, shards: shardCount },
      { kind: 'voice_state', user: guild.people[0], channel: guild.voices[1] },
    ],
  });
  const bot = old.events('READY')[0].d.user.id;
  await joins(old, guild.id, guild.voices[0]);
  const before = await until('the bot in voice', () => state(same, bot, guild.voices[0]));
  const mine = await until('credentials', () => old.events('VOICE_SERVER_UPDATE')[0] ?? null);
  assert.equal(before.d.session_id, session);
  await pause(200);
  assert.equal(same.events('VOICE_SERVER_UPDATE').length, 0, 'credentials are for the session that asked');
  row('G22', { session, othersGotServer: 0 }, {
    logged: [
      { kind: 'voice_request', session, channel: guild.voices[0] },
      { kind: 'voice_server', session, endpoint: mine.d.endpoint },
    ],
  });
  await joins(same, guild.id, guild.voices[0]);
  const theirs = await until('new credentials', () => same.events('VOICE_SERVER_UPDATE')[0] ?? null);
  assert.notEqual(theirs.d.token, mine.d.token);
  const moved = await until('the state of the new session', () =>
    old.events('VOICE_STATE_UPDATE').find(({ d }) => d.user_id === bot && d.session_id === third) ?? null,
  );
  row('G25', { session: moved.d.session_id, newToken: true }, {
    logged: [
      { kind: 'voice_request', session: third, channel: guild.voices[0] },
      { kind: 'voice_state', user: 'bot', channel: guild.voices[0] },
      { kind: 'voice_server', session: third, endpoint: theirs.d.endpoint },
    ],
  });
  await same.manager.destroy();
  await until('the bot gone from voice', () => state(other, bot, null));
  row('G13', { closed: 1000, voice: null }, {
    logged: [
      closedBy('client', 1000, { session: third }),
      { kind: 'session_ended', session: third, why: 'closed_by_client' },
      { kind: 'voice_state', user: 'bot', channel: null },
    ],
  });
  assert.ok(second);
}

/** The first of two processes: it stores its session where the second one finds it, and waits to be killed. */
async function first() {
  const one = shard(Number(process.argv[3]));
  await connected(one);
  console.log(JSON.stringify(one.store.session));
  await once(process.stdin, 'end');
}

async function secondProcess(id) {
  const guild = await onShard(id);
  const child = spawn(process.execPath, [process.argv[1], 'first', String(id)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(createInterface(child.stdout), 'line');
  const session = JSON.parse(line);
  // A process that is killed closes TCP without a close frame.
  child.kill('SIGKILL');
  await once(child, 'exit');
  const { sessionId, sequence } = session;
  await until('a session without a socket', async () => {
    const { shards } = await control('GET', '/world');
    return shards[id].connected === false;
  });
  const person = guild.people[0];
  for (const channel of guild.voices) await move(guild.id, person, channel);
  const two = shard(id, {}, session);
  await two.manager.connect();
  const replayed = dispatched(two.told);
  assert.deepEqual(
    replayed.map((packet) => packet.t),
    ['VOICE_STATE_UPDATE', 'VOICE_STATE_UPDATE', 'RESUMED'],
  );
  assert.deepEqual(
    replayed.map((packet) => packet.s),
    [1, 2, 3].map((step) => sequence + step),
  );
  row('G14', { sessionId, kept: replayed.length - 1 }, {
    logged: [
      { kind: 'session_opened', session: sessionId },
      closedBy('none', null, { session: sessionId }),
      ...guild.voices.map((channel) => ({ kind: 'voice_state', user: person, channel })),
    ],
  });
  await move(guild.id, person, null);
  await until('the next event', () => two.events('VOICE_STATE_UPDATE').length === 3);
  row('G15', { sessionId, sequence, replayed: replayed.map((packet) => packet.t), live: true }, {
    logged: [
      { kind: 'resume', session: sessionId, after: sequence, outcome: 'ok' },
      { kind: 'voice_state', user: person, channel: null },
    ],
  });
}

const stored = (session, fields) => ({ ...session, shardCount, resumeURL: sim.discord_gateway, ...fields });

async function unknownSession(id) {
  const one = shard(id, {}, stored({}, { sessionId: 'nobody', sequence: 1, shardId: id }));
  const session = await connected(one);
  assert.ok(one.words().some((words) => words === 'Invalid session; will attempt to resume: false'));
  row('G16', { refused: 'nobody', instead: session }, {
    logged: [
      { kind: 'resume', session: 'nobody', outcome: 'invalid' },
      { kind: 'session_opened', session, shard: id },
    ],
  });
}

/** More events than a session keeps for its replay. */
async function overflow(id) {
  const guild = await onShard(id);
  const one = shard(id);
  const lost = await connected(one);
  const kept = { ...one.store.session };
  // No code that ends a session: it is kept, and nobody comes back for it but us.
  await one.manager.destroy({ code: 4_200 });
  for (let count = 0; count < 110; count += 1) await move(guild.id, guild.people[0], guild.voices[count % 2]);
  const back = shard(id, {}, kept);
  const session = await connected(back);
  assert.notEqual(session, lost);
  row('G16', { overflowed: lost, instead: session }, { logged: [{ kind: 'resume', session: lost, outcome: 'invalid' }] });
}

/** The returned shard was told that its sequence is wrong, and identifies by itself. */
async function wrongResumes(id) {
  const one = shard(id);
  const session = await connected(one);
  const kept = { ...one.store.session };
  const ahead = shard(id, {}, stored(kept, { sequence: kept.sequence + 1_000 }));
  void ahead.manager.connect().catch(() => {});
  await closedWith(ahead, 4007);
  row('G17', { sequence: kept.sequence + 1_000, closed: 4007 }, {
    logged: [
      { kind: 'resume', session, after: kept.sequence + 1_000, outcome: 'closed' },
      closedBy('server', 4007),
    ],
  });
  const foreign = shard(id, { token: 'Bot nobody' }, kept);
  void foreign.manager.connect().catch(() => {});
  await closedWith(foreign, 4004);
  row('G18', { session, closed: 4004 }, {
    logged: [{ kind: 'resume', session, outcome: 'closed' }, closedBy('server', 4004)],
  });
  return ahead;
}

/** The returned shard has lost its session, and identifies by itself. */
async function stolen(id) {
  const victim = shard(id);
  const session = await connected(victim);
  const kept = { ...victim.store.session };
  // Once it is gone the victim must not fight for it.
  victim.store.session = null;
  const thief = shard(id, {}, kept);
  await thief.manager.connect();
  await closedWith(victim, 4000);
  assert.deepEqual(thief.closed(), []);
  row('G19', { session, victim: 4000 }, {
    logged: [{ kind: 'resume', session, outcome: 'ok' }, closedBy('server', 4000, { session, attached: false })],
  });
  return victim;
}

/** The returned shard finds its session expired, and identifies by itself. */
async function expired(id) {
  const guild = await onShard(id);
  const one = shard(id);
  const session = await connected(one);
  const watcher = shard(id % 8, { shardCount: 8 });
  await connected(watcher);
  const bot = one.events('READY')[0].d.user.id;
  const channel = () => watcher.events('VOICE_STATE_UPDATE').filter(({ d }) => d.user_id === bot).at(-1)?.d.channel_id;
  await joins(one, guild.id, guild.voices[0]);
  await until('the bot in voice', () => channel() === guild.voices[0]);
  await fault('expire_session', { shard: id });
  await until('the bot gone from voice', () => channel() === null);
  row('G20', { session, voice: null }, {
    logged: [
      { kind: 'voice_request', session },
      { kind: 'session_ended', session, why: 'expired' },
      { kind: 'voice_state', user: 'bot', channel: null },
    ],
  });
  return one;
}

async function identifyWindow(id) {
  const left = async () => (await rest.get(Routes.gatewayBot())).session_start_limit.remaining;
  const before = await left();
  const [one, two] = [shard(id), shard(id)];
  // Each has a throttle of its own and does not know of the other.
  await Promise.all([connected(one), connected(two)]);
  const hasty = [one, two].find((each) => each.words().includes('Invalid session; will attempt to resume: false'));
  assert.ok(hasty, 'one of the two was told that its IDENTIFY came too soon');
  assert.equal(before - (await left()), 3);
  const identified = (accepted) => ({ kind: 'identify', shard: id, accepted });
  row('G10', { identifies: 3, refused: 1 }, { logged: [identified(true), identified(false), identified(true)] });
}

async function spent() {
  const one = shard(15);
  const session = await connected(one);
  const late = shard(4);
  // What it knows of the budget is older than the fault.
  await late.manager.fetchGatewayInformation();
  await fault('identify_budget', { remaining: 0 });
  void late.manager.connect().catch(() => {});
  await closedWith(late, 4004);
  await closedWith(one, 4004);
  const error = await refused(() => new REST(restOptions).setToken(sim.token).get(Routes.user()));
  assert.equal(error.status, 401);
  row('G11', { closed: 4004, rest: error.status }, {
    logged: [
      { kind: 'identify', accepted: false, remaining: 0 },
      { kind: 'token_reset' },
      { kind: 'session_ended', session, why: 'token_reset' },
      { kind: 'rest', route: 'GET /users/@me', status: 401 },
    ],
  });
}
