// shoukaku: play, pause, seek, filters, a broken socket that resumes, and a node that does not come back.

import assert from 'node:assert/strict';

import { Connectors, Shoukaku } from 'shoukaku';

import { address, logIn, newBot } from './bot.mjs';
import { audio, fault, heal, move, pause, place, record, refused, row, script, until, world } from './stage.mjs';

const PLAYER = '/v4/sessions/{session}/players/{guild}';

script(async () => {
  const here = await place();
  await move(here.id, here.people[0], here.voices[0]);
  const client = newBot();
  const nodes = ['a', 'b'].map((name) => {
    const { host, port, password } = address(name);
    return { name, url: `${host}:${port}`, auth: password };
  });
  const shoukaku = new Shoukaku(new Connectors.DiscordJS(client), nodes, {
    resume: true,
    resumeTimeout: 30,
    reconnectTries: 3,
    reconnectInterval: 0.3,
    restTimeout: 3,
    moveOnDisconnect: true,
    nodeResolver: (all) => [...all.values()].find((node) => node.state === 1),
  });
  const told = record(shoukaku, 'ready', 'raw', 'error', 'close', 'debug', 'reconnecting');
  const of = (event, name) => told.filter((each) => each.event === event && each.args[0] === name);
  const raw = (name) => of('raw', name).map((each) => each.args[1]);
  await logIn(client);
  await until('both nodes', () => of('ready', 'a').length === 1 && of('ready', 'b').length === 1);
  const player = await heard(shoukaku, raw, here);
  await controls(shoukaku, player, here);
  await socketLost(shoukaku, of, raw, here);
  await moved(player, raw, here);
  await nodeLost(shoukaku, player, of, here);
  await shoukaku.leaveVoiceChannel(here.id);
  await until('the bot gone from voice', async () => {
    const { guilds } = await world();
    return guilds.find((guild) => guild.id === here.id).bot.voice === null;
  });
});

async function heard(shoukaku, raw, here) {
  const [ready, stats] = raw('a');
  assert.deepEqual([ready.op, ready.resumed, stats.op], ['ready', false, 'stats']);
  row('L2', { session: ready.sessionId }, { logged: [{ kind: 'node_session_open', node: 'a', session: ready.sessionId }] });
  const settings = await shoukaku.nodes.get('a').rest.updateSession(true, 30);
  assert.deepEqual(settings, { resuming: true, timeout: 30 });
  row('L4', { settings }, {
    logged: [{ kind: 'node_rest', node: 'a', session: ready.sessionId, route: 'PATCH /v4/sessions/{session}', status: 200 }],
  });
  const player = await shoukaku.joinVoiceChannel({ guildId: here.id, channelId: here.voices[0], shardId: 0 });
  assert.equal(player.node.name, 'a');
  const found = await player.node.rest.resolve('sim:Walk?length=120');
  assert.equal(found.loadType, 'track');
  const started = new Promise((done) => player.once('start', done));
  await player.playTrack({ track: { encoded: found.data.encoded } });
  assert.equal((await started).track.info.title, 'Walk');
  await until('music', async () => (await audio(here.id)).playing);
  row('G22', { channel: here.voices[0] }, {
    logged: [
      { kind: 'voice_request', guild: here.id, channel: here.voices[0] },
      { kind: 'voice_state', guild: here.id, user: 'bot', channel: here.voices[0] },
      { kind: 'voice_server', guild: here.id },
      { kind: 'frames_begin', guild: here.id, node: 'a' },
    ],
  });
  return player;
}

async function controls(shoukaku, player, here) {
  const { rest } = player.node;
  const state = async () => (await rest.getPlayer(here.id)).state;
  await player.seekTo(30_000);
  await until('a position after the seek', async () => (await state()).position >= 30_000);
  await player.setPaused(true);
  const frozen = (await state()).position;
  await until('silence', async () => !(await audio(here.id)).playing);
  assert.equal((await state()).position, frozen);
  await player.setPaused(false);
  await player.setTimescale({ speed: 2 });
  const { filters } = await rest.getPlayer(here.id);
  assert.equal(filters.timescale.speed, 2);
  const before = await state();
  await pause(1_600);
  const after = await state();
  const speed = (after.position - before.position) / (after.time - before.time);
  assert.ok(Math.abs(speed - 1) < 0.15, `the position counts output time, not ${speed}`);
  await player.clearFilters();
  await player.setGlobalVolume(30);
  const track = 'sim:Walk?length=120';
  row('L16', { frozen, speed: Math.round(speed) }, {
    logged: [{ kind: 'track_start', guild: here.id, track }],
    heard: {
      guild: here.id,
      segments: [
        { track, position_from_ms: { least: 29_900, most: 30_100 } },
        { track, lasts: { least: 1_000, most: 3_500 }, covers: { least: 2_000, most: 7_000 } },
      ],
    },
  });
  const error = await refused(() => rest.updatePlayer({ guildId: here.id, playerOptions: { track: { identifier: 'nothing' } } }));
  assert.deepEqual([error.status, error.message], [400, 'No matches found for identifier']);
  row('L15', { unknown: error.status }, {
    logged: [{ kind: 'node_rest', guild: here.id, node: 'a', route: `PATCH ${PLAYER}`, status: 400 }],
  });
}

async function socketLost(shoukaku, of, raw, here) {
  const session = shoukaku.nodes.get('a').sessionId;
  const before = await audio(here.id);
  await fault('drop_node_socket', { node: 'a' });
  await until('a second ready', () => of('ready', 'a').length === 2);
  const [, resumed] = of('ready', 'a')[1].args;
  assert.equal(resumed, true);
  assert.equal(shoukaku.nodes.get('a').sessionId, session);
  const header = of('debug', 'a').map((each) => each.args[1]).findLast((words) => words.includes('Handshake Done'));
  assert.match(header, /Resumed Header Value: true/);
  assert.match(header, /Api Version: 4/);
  const after = raw('a').slice(raw('a').findLastIndex((each) => each.op === 'ready'));
  await until('the player\'s state', () => raw('a').at(-1).op === 'playerUpdate' || after.length > 1);
  const { playing, gaps } = await audio(here.id);
  assert.deepEqual([playing, gaps], [true, before.gaps], 'nobody heard it');
  row('L1', { header }, { logged: [{ kind: 'node_session_resumed', node: 'a', session }] });
  row('L7', { session, resumed }, {
    logged: [
      { kind: 'node_session_paused', node: 'a', session },
      { kind: 'node_session_resumed', node: 'a', session },
    ],
    heard: { guild: here.id, segments: [{ track: 'sim:Walk?length=120', node: 'a', volume: 30 }] },
  });
}

async function moved(player, raw, here) {
  await move(here.id, 'bot', here.voices[1]);
  const closed = await until('the old connection closed', () =>
    raw('a').find((each) => each.type === 'WebSocketClosedEvent') ?? null,
  );
  assert.deepEqual([closed.code, closed.byRemote], [4_014, true]);
  await until('voice in the other channel', async () => {
    const { voice, state } = await player.node.rest.getPlayer(here.id);
    return state.connected && voice.channelId === here.voices[1];
  });
  await until('music again', async () => (await audio(here.id)).playing);
  row('G26', { channel: here.voices[1] }, {
    logged: [
      { kind: 'voice_state', guild: here.id, user: 'bot', channel: here.voices[1] },
      { kind: 'voice_server', guild: here.id },
    ],
  });
  row('L13', { code: closed.code, byRemote: closed.byRemote }, {
    logged: [{ kind: 'voice_closed', guild: here.id, node: 'a', code: 4_014, byRemote: true }],
  });
}

async function nodeLost(shoukaku, player, of, here) {
  const before = (await audio(here.id)).segments.at(-1);
  const id = await fault('kill_node', { node: 'a' });
  // It gives the node up, and cannot move the player by itself: it would first delete it on the node that is gone.
  await until('the node is given up', () => !shoukaku.nodes.has('a'), 20_000);
  player.node = shoukaku.nodes.get('b');
  await player.resume();
  const segment = await until('music from the other node', async () => {
    const { playing, segments } = await audio(here.id);
    return playing && segments.at(-1).node === 'b' ? segments.at(-1) : null;
  });
  assert.ok(of('close', 'a').some((each) => each.args[1] === 1_006));
  // It knows the position as of the last update, which comes every five seconds.
  assert.ok(segment.position_from_ms > before.position_to_ms - 6_000, `${JSON.stringify([before, segment])}`);
  await heal(id);
  row('L20', { closed: 1_006, moved: 'b' }, {
    logged: [{ kind: 'node_down', node: 'a' }, { kind: 'frames_begin', guild: here.id, node: 'b' }],
    heard: { guild: here.id, segments: [{ track: 'sim:Walk?length=120', node: 'b' }] },
  });
}
