// lavalink-client: play, pause, seek, filters, a restart that resumes, and nodes that go.

import assert from 'node:assert/strict';

import { LavalinkManager } from 'lavalink-client';

import { address, logIn, newBot } from './bot.mjs';
import { audio, control, fault, heal, move, pause, place, record, row, script, until, world } from './stage.mjs';

const link = (title, seconds) => `https://music.sim/track/${title}?length=${seconds}`;

/** A library instance with one node, and everything that the node said to it. */
function library(client, nodeName, nodeOptions = {}) {
  const { host, port, password } = address(nodeName);
  const manager = new LavalinkManager({
    nodes: [
      {
        id: nodeName,
        host,
        port,
        authorization: password,
        retryDelay: 300,
        retryAmount: 60,
        autoChecks: { sourcesValidations: false, pluginValidations: false },
        ...nodeOptions,
      },
    ],
    sendToShard: (guildId, payload) => client.guilds.cache.get(guildId)?.shard?.send(payload),
    client: { id: client.user?.id ?? '0', username: 'lavalink-client' },
    autoSkip: false,
    playerOptions: { onDisconnect: { autoReconnect: false, destroyPlayer: false } },
  });
  const told = record(manager.nodeManager, 'raw', 'disconnect', 'resumed', 'error', 'connect');
  // The library goes on to change the payloads that it tells of.
  const said = [];
  manager.nodeManager.on('raw', (_, payload) => said.push(structuredClone(payload)));
  const raw = () => said;
  const events = (type, fields = {}) =>
    raw().filter((each) => each.type === type && Object.entries(fields).every(([key, value]) => each[key] === value));
  const event = (type, fields) => until(`${type} ${JSON.stringify(fields ?? {})}`, () => events(type, fields).at(-1) ?? null);
  return { manager, told, raw, events, event, node: () => manager.nodeManager.nodes.get(nodeName), nodeName };
}

async function start(lib, client) {
  await lib.manager.init({ id: client.user.id, username: 'lavalink-client' });
  return until('ready of Lavalink', () => lib.raw().find((each) => each.op === 'ready') ?? null);
}

const rest = async (lib, path, method = 'GET', body = undefined) => {
  const { response } = await lib.node().rawRequest(path, (options) => {
    options.method = method;
    if (body !== undefined) {
      options.headers['Content-Type'] = 'application/json';
      options.body = JSON.stringify(body);
    }
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: text ? JSON.parse(text) : null };
};

const PLAYER = '/v4/sessions/{session}/players/{guild}';

script(async () => {
  const guilds = (await world()).guilds.map((guild) => guild.id);
  const here = await place((guild) => guild.id === guilds[0]);
  await move(here.id, here.people[0], here.voices[0]);
  const client = newBot();
  await logIn(client);
  const lib = library(client, 'a');
  client.on('raw', (packet) => lib.manager.sendRawData(packet));
  const session = await handshakes(lib, client);
  const cleaned = await unheard(lib, guilds[1]);
  await passwords(lib, client);
  await loading(lib);
  const player = await playing(lib, here);
  await orders(lib, player, here);
  await positions(lib, player, here);
  await encoded(lib, here);
  await voices(lib, player, here);
  await kick(lib, player, here);
  const again = await restart(lib, client, session, here);
  await cleaned(again);
  await order(again, session);
  await goneForGood(client, here);
  await nodeRestart(client, here);
});

async function handshakes(lib, client) {
  const ready = await start(lib, client);
  await until('stats', () => lib.raw().length >= 2);
  const [first, second] = lib.raw();
  assert.deepEqual([first.op, second.op, ready.resumed], ['ready', 'stats', false]);
  const opened = { kind: 'node_session_open', node: 'a', session: ready.sessionId };
  row('L2', { session: ready.sessionId, first: [first.op, second.op] }, { logged: [opened] });
  const armed = await lib.node().updateSession(true, 60);
  assert.deepEqual(armed, { resuming: true, timeout: 60 });
  const unknown = await rest(lib, '/sessions/nobody', 'PATCH', {});
  assert.deepEqual([unknown.status, unknown.json.message], [404, 'Session not found']);
  const patched = (session, status) => ({ kind: 'node_rest', route: 'PATCH /v4/sessions/{session}', session, status });
  row('L4', { armed, unknown: unknown.status }, { logged: [patched(ready.sessionId, 200), patched('nobody', 404)] });
  return ready.sessionId;
}

/** A track that nobody pulls, because its player has no voice: it ends a minute later. */
async function unheard(lib, guild) {
  const before = Date.now();
  await lib.node().updatePlayer({ guildId: guild, playerOptions: { track: { identifier: 'sim:Unheard?length=300' } } });
  return async (later) => {
    const seen = () => [...lib.raw(), ...later.raw()].find((each) => each.guildId === guild && each.type === 'TrackEndEvent');
    const end = await until('cleanup', () => seen() ?? null, 80_000);
    assert.equal(end.reason, 'cleanup');
    assert.ok(Date.now() - before >= 59_000);
    row('L14', { reason: end.reason }, { logged: [{ kind: 'track_end', guild, reason: 'cleanup', track: 'sim:Unheard?length=300' }] });
  };
}

async function passwords(lib, client) {
  const wrong = library(client, 'a', { authorization: 'wrong', retryAmount: 1 });
  await wrong.manager.init({ id: client.user.id, username: 'wrong' });
  const error = await until('an error of the handshake', () =>
    wrong.told.find(({ event, args }) => event === 'error' && /401/.test(args[1]?.message)) ?? null,
  );
  const nobody = library(client, 'a', { retryAmount: 1 });
  await nobody.manager.init({ id: '0', username: 'nobody' });
  const bad = await until('an error of the handshake', () =>
    nobody.told.find(({ event, args }) => event === 'error' && /400/.test(args[1]?.message)) ?? null,
  );
  row('L1', { wrongPassword: error.args[1].message, user0: bad.args[1].message }, {
    counted: { lavalink: { 'GET /v4/websocket': { least: 3 } } },
  });
  const asked = async (headers) => {
    const { response } = await lib.node().rawRequest('/stats', (options) => {
      options.headers = headers;
    });
    return [response.status, await response.text(), response.headers.get('lavalink-api-version')];
  };
  const answers = [await asked({}), await asked({ Authorization: 'wrong' })];
  assert.deepEqual(answers, [
    [401, '', '4'],
    [403, '', '4'],
  ]);
  row('L3', { answers }, { counted: { lavalink: { 'GET /v4/stats': { least: 2 } } } });
}

async function loading(lib) {
  const load = (identifier) => rest(lib, `/loadtracks?identifier=${encodeURIComponent(identifier)}`);
  const found = await lib.node().search(link('One', 30), null);
  assert.deepEqual([found.loadType, found.tracks[0].info.duration], ['track', 30_000]);
  const list = await lib.node().search('https://music.sim/playlist/Trip?count=3', null);
  assert.deepEqual([list.loadType, list.playlist.name, list.tracks.length], ['playlist', 'Trip', 3]);
  const search = await lib.node().search({ query: 'moon', source: 'ytsearch' }, null);
  assert.equal(search.loadType, 'search');
  const empty = await load('nothing');
  assert.deepEqual([empty.status, empty.json], [200, { loadType: 'empty', data: null }]);
  const error = await load('sim:error');
  assert.deepEqual([error.status, error.json.loadType, error.json.data.message], [200, 'error', null]);
  row('L18', { types: ['track', 'playlist', 'search', 'empty', 'error'], found: search.tracks.length }, {
    counted: { lavalink: { 'GET /v4/loadtracks': { least: 5 } } },
  });
}

/** Joins and plays; the player. */
async function playing(lib, here) {
  const player = lib.manager.createPlayer({ guildId: here.id, voiceChannelId: here.voices[0], textChannelId: here.text });
  await player.connect();
  await until('credentials at the node', () => lib.raw().some((each) => each.op === 'playerUpdate' && each.state.connected));
  const { tracks } = await player.search(link('First', 60), null);
  await player.play({ clientTrack: tracks[0] });
  await lib.event('TrackStartEvent');
  await until('music', async () => (await audio(here.id)).playing);
  return player;
}

async function orders(lib, player, here) {
  const state = () => lib.node().fetchPlayer(here.id);
  const { tracks } = await player.search(link('Second', 60), null);
  await player.pause();
  assert.equal((await state()).paused, true);
  const kept = await lib.node().updatePlayer({
    guildId: here.id,
    noReplace: true,
    playerOptions: { track: { identifier: 'sim:Ignored' }, volume: 2_000 },
  });
  assert.deepEqual([kept.track.info.title, kept.volume, kept.paused], ['First', 1_000, true]);
  await player.play({ clientTrack: tracks[0], paused: false });
  await lib.event('TrackEndEvent', { reason: 'replaced' });
  assert.deepEqual([(await state()).track.info.title, (await state()).paused], ['Second', false]);
  await player.stopPlaying();
  await lib.event('TrackEndEvent', { reason: 'stopped' });
  assert.equal((await state()).track, null);
  const none = await rest(lib, `/sessions/${lib.node().sessionId}/players/${here.id}`, 'PATCH', {
    track: { identifier: 'nothing' },
  });
  assert.deepEqual([none.status, none.json.message], [400, 'No matches found for identifier']);
  const event = (kind, track, fields = {}) => ({ kind, guild: here.id, track: `sim:${track}?length=60`, ...fields });
  row('L15', { ends: ['replaced', 'stopped'], noReplace: kept.track.info.title, unknown: none.status }, {
    logged: [
      event('track_start', 'First'),
      event('track_end', 'First', { reason: 'replaced' }),
      event('track_start', 'Second'),
      event('track_end', 'Second', { reason: 'stopped' }),
      { kind: 'node_rest', guild: here.id, route: `PATCH ${PLAYER}`, status: 400 },
    ],
  });
}

async function positions(lib, player, here) {
  const state = async () => (await lib.node().fetchPlayer(here.id)).state;
  await player.setVolume(50);
  const { tracks } = await player.search(link('Clock', 100), null);
  await player.play({ clientTrack: tracks[0] });
  await until('a position', async () => (await state()).position > 300);
  await player.pause();
  const frozen = (await state()).position;
  await pause(400);
  assert.equal((await state()).position, frozen, 'a pause freezes the position');
  await player.resume();
  await player.seek(20_000);
  await until('a position after the seek', async () => (await state()).position >= 20_000);
  await player.filterManager.setSpeed(2);
  const from = [Date.now(), (await state()).position];
  await pause(1_500);
  const to = [Date.now(), (await state()).position];
  const speed = (to[1] - from[1]) / (to[0] - from[0]);
  assert.ok(Math.abs(speed - 1) < 0.15, `the position counts output time, not ${speed}`);
  await player.filterManager.setSpeed(1);
  const clock = { track: 'sim:Clock?length=100', node: 'a' };
  row('L16', { frozen, speed: Math.round(speed) }, {
    logged: [{ kind: 'track_start', guild: here.id, track: clock.track }],
    heard: {
      guild: here.id,
      segments: [
        { ...clock, position_from_ms: 0, position_to_ms: { least: 1, most: frozen }, volume: 50 },
        { ...clock, position_from_ms: { least: 19_900, most: 20_100 } },
        // Three seconds of the track in one and a half.
        { ...clock, position_from_ms: { least: 20_000 }, lasts: { least: 1_300, most: 2_200 }, covers: { least: 2_600, most: 4_400 } },
      ],
    },
  });
}

async function encoded(lib, here) {
  const now = async () => (await lib.node().fetchPlayer(here.id)).track.encoded;
  const first = await now();
  const second = await until('another encoding', async () => {
    const next = await now();
    return next !== first && next;
  });
  const decoded = (await rest(lib, `/decodetrack?encodedTrack=${encodeURIComponent(second)}`)).json;
  const library = await lib.node().decode.singleTrack(second, null);
  assert.equal(library.info.title, 'Clock');
  assert.ok(decoded.info.position >= 20_000);
  const played = await lib.node().updatePlayer({ guildId: here.id, playerOptions: { track: { encoded: second } } });
  assert.ok(played.state.position >= decoded.info.position);
  row('L17', { differ: first !== second, position: decoded.info.position }, {
    logged: [{ kind: 'track_end', guild: here.id, reason: 'replaced', track: 'sim:Clock?length=100' }],
    heard: { guild: here.id, segments: [{ track: 'sim:Clock?length=100', position_from_ms: { least: decoded.info.position - 50, most: decoded.info.position + 50 } }] },
  });
}

async function voices(lib, player, here) {
  const { voice } = await lib.node().fetchPlayer(here.id);
  const closed = () => lib.events('WebSocketClosedEvent', { guildId: here.id });
  const same = await lib.node().updatePlayer({ guildId: here.id, playerOptions: { voice } });
  assert.equal(same.state.connected, true);
  await pause(200);
  assert.equal(closed().length, 0, 'the same voice does nothing');
  const blank = await rest(lib, `/sessions/${lib.node().sessionId}/players/${here.id}`, 'PATCH', {
    voice: { ...voice, channelId: '' },
  });
  assert.equal(blank.status, 400);
  await lib.node().updatePlayer({ guildId: here.id, playerOptions: { voice: { ...voice, token: 'stale' } } });
  await until('two closes', () => closed().length === 2);
  const [own, theirs] = closed().map(({ code, byRemote }) => ({ code, byRemote }));
  assert.deepEqual([own, theirs], [
    { code: 1_000, byRemote: false },
    { code: 4_006, byRemote: true },
  ]);
  assert.equal((await lib.node().fetchPlayer(here.id)).state.connected, false);
  const close = (fields) => ({ kind: 'voice_closed', guild: here.id, node: 'a', ...fields });
  row('L11', { same: 'nothing', other: own, blank: blank.json.message }, {
    logged: [{ kind: 'node_rest', route: `PATCH ${PLAYER}`, status: 400, guild: here.id }, close(own)],
  });
  row('L12', { stale: theirs }, { logged: [close(theirs)] });
  await lib.node().updatePlayer({ guildId: here.id, playerOptions: { voice } });
  await until('voice again', async () => (await lib.node().fetchPlayer(here.id)).state.connected);
}

async function kick(lib, player, here) {
  await move(here.id, 'bot', null);
  const closed = await lib.event('WebSocketClosedEvent', { guildId: here.id, code: 4_014 });
  assert.equal(closed.byRemote, true);
  const first = (await lib.node().fetchPlayer(here.id)).state;
  await pause(500);
  const second = (await lib.node().fetchPlayer(here.id)).state;
  assert.deepEqual([first.connected, second.connected], [false, false]);
  assert.ok(second.position - first.position >= 300, 'it plays on to nobody');
  assert.equal((await audio(here.id)).playing, false);
  row('L13', { code: closed.code, byRemote: closed.byRemote, advanced: second.position - first.position }, {
    logged: [
      { kind: 'voice_state', user: 'bot', channel: null },
      { kind: 'voice_closed', guild: here.id, node: 'a', code: 4_014, byRemote: true },
    ],
  });
  player.options.voiceChannelId = here.voices[0];
  player.voiceChannelId = here.voices[0];
  await player.connect();
  await until('music again', async () => (await audio(here.id)).playing);
}

/** The bot is started again: a second library takes the session over, with what was missed. */
async function restart(lib, client, session, here) {
  const { voice } = await lib.node().fetchPlayer(here.id);
  await lib.node().updatePlayer({ guildId: here.id, playerOptions: { track: { identifier: 'sim:Short?length=2' } } });
  const early = library(client, 'a', { sessionId: session });
  const refused = await start(early, client);
  assert.deepEqual([refused.resumed, refused.sessionId === session], [false, false]);
  assert.equal((await rest(lib, `/sessions/${session}/players`)).status, 200);
  row('L9', { wanted: session, got: refused.sessionId }, {
    logged: [{ kind: 'node_session_open', node: 'a', session: refused.sessionId }],
  });
  // It would take its session back, as a process that lives does; this one is over.
  lib.manager.nodeManager.nodes.delete('a');
  const node = lib.told.find(({ event }) => event === 'raw').args[0];
  node.socket.terminate();
  await until('a paused session', async () => {
    const { sessions } = (await world()).nodes.find((each) => each.name === 'a');
    return sessions.some((each) => each.id === session && !each.connected);
  });
  const away = await rest(early, `/sessions/${session}/players`);
  assert.equal(away.status, 404);
  assert.equal((await audio(here.id)).playing, true, 'the audio goes on');
  await until('the end of the track', async () => !(await audio(here.id)).playing);
  const paused = { kind: 'node_session_paused', node: 'a', session };
  const end = { kind: 'track_end', guild: here.id, session, reason: 'finished', track: 'sim:Short?length=2' };
  row('L6', { rest: away.status, heard: 'on' }, { logged: [paused, end] });
  const again = library(client, 'a', { sessionId: session });
  const ready = await start(again, client);
  assert.deepEqual([ready.resumed, ready.sessionId], [true, session]);
  await until('an update of each player', () => again.raw().filter((each) => each.op === 'playerUpdate').length >= 2);
  const order = again.raw().map((each) => each.type ?? each.op);
  assert.equal(order[0], 'ready');
  assert.ok(order.indexOf('TrackEndEvent') < order.indexOf('playerUpdate'), `${order}`);
  const players = await again.node().fetchAllPlayers();
  assert.deepEqual(players.find((each) => each.guildId === here.id).voice.token, voice.token);
  row('L7', { session, resumed: ready.resumed, order, players: players.length }, {
    logged: [paused, end, { kind: 'node_session_resumed', node: 'a', session }],
  });
  const stats = await again.node().fetchStats();
  const node_a = (await world()).nodes.find((each) => each.name === 'a');
  assert.equal(stats.players, node_a.sessions.reduce((sum, each) => sum + each.players, 0));
  row('L21', { players: stats.players, playing: stats.playingPlayers }, {
    counted: { lavalink: { 'GET /v4/stats': { least: 3 } } },
  });
  const gone = [];
  for (let count = 0; count < 2; count += 1)
    gone.push((await rest(again, `/sessions/${session}/players/${here.id}`, 'DELETE')).status);
  assert.deepEqual(gone, [204, 204]);
  const deleted = { kind: 'node_rest', session, guild: here.id, route: `DELETE ${PLAYER}`, status: 204 };
  row('L19', { gone }, { logged: [deleted, deleted] });
  return again;
}

/** What a session was told has the order in which it happened. */
async function order(lib, session) {
  const kinds = { TrackStartEvent: 'track_start', TrackEndEvent: 'track_end', WebSocketClosedEvent: 'voice_closed' };
  const seen = lib.raw().filter((each) => kinds[each.type]);
  assert.ok(seen.length >= 2);
  row('L22', { events: seen.map((each) => each.type) }, {
    logged: seen.map((each) => ({
      kind: kinds[each.type],
      session,
      guild: each.guildId,
      ...(each.track ? { track: each.track.info.identifier } : { code: each.code }),
    })),
  });
}

async function goneForGood(client, here) {
  const lib = library(client, 'a');
  const { sessionId } = await start(lib, client);
  await lib.node().updatePlayer({ guildId: here.id, playerOptions: { track: { identifier: 'sim:Brief?length=60' } } });
  const players = async (id) => {
    const { sessions } = (await world()).nodes.find((each) => each.name === 'a');
    return sessions.find((each) => each.id === id)?.players ?? null;
  };
  assert.equal(await players(sessionId), 1);
  lib.node().socket.terminate();
  await until('the end of the session', async () => (await players(sessionId)) === null);
  const gone = { kind: 'node_session_gone', node: 'a', session: sessionId };
  row('L5', { session: sessionId, resuming: false }, { logged: [gone] });
  // Reconnecting without an id brings a new session; asking for the old one does as well.
  const late = library(client, 'a', { sessionId });
  const ready = await start(late, client);
  assert.deepEqual([ready.resumed, ready.sessionId === sessionId], [false, false]);
  await late.node().updateSession(true, 1);
  late.manager.nodeManager.nodes.delete('a');
  const node = late.told.find(({ event }) => event === 'raw').args[0];
  node.socket.terminate();
  await until('the timeout', async () => (await players(ready.sessionId)) === null);
  const last = library(client, 'a', { sessionId: ready.sessionId });
  const fresh = await start(last, client);
  assert.equal(fresh.resumed, false);
  row('L8', { wanted: [sessionId, ready.sessionId], got: fresh.sessionId }, {
    logged: [
      gone,
      { kind: 'node_session_open', session: ready.sessionId },
      { kind: 'node_session_paused', session: ready.sessionId },
      { kind: 'node_session_gone', session: ready.sessionId },
      { kind: 'node_session_open', session: fresh.sessionId },
    ],
  });
}

async function nodeRestart(client, here) {
  const lib = library(client, 'b');
  const { sessionId } = await start(lib, client);
  await lib.node().updateSession(true, 60);
  await lib.node().updatePlayer({ guildId: here.id, playerOptions: { track: { identifier: 'sim:Forgotten?length=60' } } });
  await fault('restart_node', { node: 'b', graceful: true, down_ms: 300 });
  const gone = await until('the disconnect', () => lib.told.find(({ event }) => event === 'disconnect') ?? null);
  assert.equal(gone.args[1].code, 1_001);
  const ready = await until('the next session', () =>
    lib.raw().find((each) => each.op === 'ready' && each.sessionId !== sessionId) ?? null,
  );
  assert.deepEqual(await lib.node().fetchAllPlayers(), []);
  row('L20', { code: gone.args[1].code, before: sessionId, after: ready.sessionId, players: 0 }, {
    logged: [
      { kind: 'node_session_open', node: 'b', session: sessionId },
      { kind: 'node_down', node: 'b' },
      { kind: 'node_up', node: 'b' },
      { kind: 'node_session_open', node: 'b', session: ready.sessionId },
    ],
  });
  await swallowed(lib, here);
}

/** N1: a voice PATCH to a server that cannot be reached is never answered; N7: what fails leaves a player behind. */
async function swallowed(lib, here) {
  const id = await fault('swallow_voice', { node: 'b' });
  const voice = { token: 't', endpoint: 'nowhere.sim:443', sessionId: 's', channelId: here.voices[0] };
  const session = lib.node().sessionId;
  const silent = await lib
    .node()
    .rawRequest(`/sessions/${session}/players/${here.id}`, (options) => {
      options.method = 'PATCH';
      options.headers['Content-Type'] = 'application/json';
      options.body = JSON.stringify({ voice });
      options.signal = AbortSignal.timeout(1_000);
    })
    .then(
      () => null,
      (error) => error.name,
    );
  assert.equal(silent, 'TimeoutError');
  const phantom = await lib.node().fetchPlayer(here.id);
  assert.equal(phantom.track, null);
  await heal(id);
  row('N1', { answer: silent }, {
    logged: [{ kind: 'fault_begin', what: 'swallow_voice' }],
    counted: { lavalink: { [`PATCH ${PLAYER}`]: { least: 1 } } },
  });
  row('N7', { phantom: phantom.guildId }, { counted: { lavalink: { [`GET ${PLAYER}`]: { least: 1 } } } });
}
