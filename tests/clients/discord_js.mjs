// discord.js: a bot as most people write it.

import assert from 'node:assert/strict';

import {
  ActionRowBuilder,
  ApplicationCommandOptionType,
  ButtonBuilder,
  ButtonStyle,
  Client,
  Events,
  GatewayIntentBits,
  RESTEvents,
  Routes,
  WebhookClient,
} from 'discord.js';

import { control, fault, move, pause, place, record, refused, restOptions, row, script, sim, until } from './stage.mjs';

const intents = [GatewayIntentBits.Guilds, GatewayIntentBits.GuildVoiceStates];
const newClient = () => new Client({ intents, rest: restOptions });

script(async () => {
  const here = await place();
  await move(here.id, here.people[0], here.voices[0]);
  await wrongToken();
  const client = newClient();
  const raw = record(client, 'raw');
  const packets = (type) => raw.map((each) => each.args[0]).filter((packet) => packet.t === type);
  await login(client, packets, here);
  await selfKnowledge(client);
  await commands(client);
  await interactions(client, here);
  await lateAndTwice(client, here);
  await rateLimits(client);
  await outage(client, here);
  const voice = joinable(client, here.id);
  await voiceChannels(client, voice, here);
  await stage(client, voice, here);
  await admin(client, voice, packets, here);
  await client.destroy();
});

async function wrongToken() {
  const error = await refused(() => newClient().login(`${sim.token}x`));
  row('R7', { error: error.code }, { logged: [{ kind: 'rest', route: 'GET /gateway/bot', status: 401 }] });
  assert.equal(error.code, 'TokenInvalid');
}

async function login(client, packets, here) {
  const ready = new Promise((done) => client.once(Events.ClientReady, done));
  await client.login(sim.token);
  await ready;
  const [first] = packets('READY');
  assert.equal(first.s, 1);
  assert.ok(first.d.guilds.every((guild) => guild.unavailable));
  assert.match(first.d.resume_gateway_url, /^ws:\/\//);
  const created = packets('GUILD_CREATE').map((packet) => packet.d.id);
  assert.deepEqual([...created].sort(), first.d.guilds.map((guild) => guild.id).sort());
  const listener = client.guilds.cache.get(here.id).voiceStates.cache.get(here.people[0]);
  assert.equal(listener.channelId, here.voices[0]);
  row('G2', { session: first.d.session_id, guilds: created.length, listens: listener.channelId }, {
    logged: [
      { kind: 'voice_state', user: here.people[0], channel: listener.channelId },
      { kind: 'session_opened', session: first.d.session_id, shard: 0, shards: 1 },
    ],
  });
}

async function selfKnowledge(client) {
  const gateway = await client.rest.get(Routes.gatewayBot());
  const me = await client.rest.get(Routes.user());
  const application = await client.application.fetch();
  assert.equal(me.id, client.user.id);
  assert.equal(application.id, client.application.id);
  const limit = gateway.session_start_limit;
  assert.equal(limit.total - limit.remaining, 1);
  const asked = (route) => ({ kind: 'rest', route, status: 200 });
  row('R1', { bot: me.id, remaining: limit.remaining }, {
    logged: [
      { kind: 'identify', remaining: limit.remaining, accepted: true },
      asked('GET /gateway/bot'),
      asked('GET /users/@me'),
      asked('GET /applications/@me'),
    ],
  });
}

async function commands(client) {
  const wanted = [
    { name: 'hello', description: 'Says hello' },
    {
      name: 'slow',
      description: 'Thinks first',
      options: [{ name: 'words', description: 'To say', type: ApplicationCommandOptionType.String, required: true }],
    },
    { name: 'late', description: 'Answers too late' },
  ];
  const first = await client.application.commands.set(wanted);
  const second = await client.application.commands.set(wanted);
  const ids = (set) => [...set.keys()].sort();
  assert.deepEqual(ids(first), ids(second));
  row('R6', { commands: first.size }, {
    logged: [
      { kind: 'commands_registered', count: first.size, changed: true },
      { kind: 'commands_registered', count: second.size, changed: false },
    ],
  });
}

/** A person issues a command; what discord.js makes of it, and the interaction's id. */
async function issue(client, here, name, options = {}) {
  const arrived = new Promise((done) => client.once(Events.InteractionCreate, done));
  const { interaction } = await control('POST', `/guilds/${here.id}/commands`, {
    user: here.people[0],
    channel: here.text,
    name,
    options,
  });
  return { interaction: await arrived, id: interaction };
}

const shown = (id) => control('GET', `/interactions/${id}?wait_ms=3000`);
const answered = (id, type, status = 204) => ({ kind: 'interaction_answered', interaction: id, type, status });

async function press(client, here, message, customId) {
  const arrived = new Promise((done) => client.once(Events.InteractionCreate, done));
  const pressed = await control('POST', `/messages/${message}/components`, { user: here.people[0], custom_id: customId });
  return { interaction: await arrived, id: pressed.interaction };
}

async function interactions(client, here) {
  const hello = await issue(client, here, 'hello');
  assert.equal(hello.interaction.user.id, here.people[0]);
  const buttons = ['again', 'change'].map((id) =>
    new ButtonBuilder().setCustomId(id).setLabel(id).setStyle(ButtonStyle.Primary),
  );
  await hello.interaction.reply({ content: 'Hello', components: [new ActionRowBuilder().addComponents(buttons)] });
  const reply = await hello.interaction.fetchReply();
  assert.equal((await shown(hello.id)).message.content, 'Hello');

  const slow = await issue(client, here, 'slow', { words: 'done' });
  await slow.interaction.deferReply();
  assert.equal((await control('GET', `/interactions/${slow.id}`)).kind, 'deferred');
  await slow.interaction.editReply(slow.interaction.options.getString('words'));
  assert.equal((await shown(slow.id)).message.content, 'done');
  const follow = await slow.interaction.followUp('and more');
  await slow.interaction.editReply({ message: follow, content: 'and less' });
  await slow.interaction.deleteReply();

  const again = await press(client, here, reply.id, 'again');
  await again.interaction.deferUpdate();
  await again.interaction.editReply('Hello again');
  const change = await press(client, here, reply.id, 'change');
  await change.interaction.update('Changed');
  assert.equal((await shown(change.id)).kind, 'update');
  const messages = await control('GET', `/channels/${here.text}/messages`);
  assert.deepEqual(
    messages.map((message) => message.content),
    ['Changed', 'and less'],
  );
  row('R2', { reply: reply.id, answers: [4, 5, 6, 7] }, {
    logged: [
      { kind: 'message_created', message: reply.id, content: 'Hello' },
      answered(hello.id, 4),
      answered(slow.id, 5),
      answered(again.id, 6),
      { kind: 'message_edited', message: reply.id, content: 'Changed' },
      answered(change.id, 7),
    ],
  });
  const stranger = new WebhookClient({ id: client.application.id, token: 'nobody' }, { rest: restOptions });
  const unknown = await refused(() => stranger.editMessage('@original', 'x'));
  assert.equal(unknown.code, 10_015);
  row('R3', { follow: follow.id, unknownToken: unknown.code }, {
    logged: [
      { kind: 'interaction_written', interaction: slow.id, how: 'reply' },
      { kind: 'message_created', message: follow.id, content: 'and more' },
      { kind: 'interaction_written', interaction: slow.id, how: 'follow_up' },
      { kind: 'message_edited', message: follow.id, content: 'and less' },
      { kind: 'message_deleted', by: 'bot' },
      { kind: 'rest', route: 'PATCH /webhooks/{application}/{token}/messages/{message}', status: 404 },
    ],
  });
}

async function lateAndTwice(client, here) {
  const hello = await issue(client, here, 'hello');
  await hello.interaction.reply('once');
  const twice = await refused(() =>
    client.rest.post(Routes.interactionCallback(hello.id, hello.interaction.token), {
      body: { type: 4, data: { content: 'twice' } },
      auth: false,
    }),
  );
  const late = await issue(client, here, 'late');
  await pause(3_200);
  const tooLate = await refused(() => late.interaction.reply('late'));
  assert.deepEqual([twice.code, tooLate.code], [40_060, 10_062]);
  row('R2', { twice: twice.code, late: tooLate.code }, {
    logged: [
      answered(hello.id, 4),
      answered(hello.id, 4, 400),
      { kind: 'interaction_expired', interaction: late.id },
      answered(late.id, 4, 404),
    ],
    counted: { interactions: { late: 1 } },
  });
}

async function rateLimits(client) {
  const words = record(client.rest, RESTEvents.Debug);
  const responses = record(client.rest, RESTEvents.Response);
  for (const scope of ['user', 'shared', 'global']) {
    await fault('rate_limit', { route: 'GET /users/@me', scope, retry_after_ms: 300, for_ms: 200 });
    await client.rest.get(Routes.user());
  }
  const seen = words
    .map(({ args: [said] }) => /429[^]*Global +: (\w+)[^]*Scope +: (\w+)/.exec(said))
    .filter((found) => found)
    .map(([, global, scope]) => ({ scope, global: global === 'true' }));
  assert.deepEqual(seen, [
    { scope: 'user', global: false },
    { scope: 'shared', global: false },
    { scope: 'global', global: true },
  ]);
  const good = responses.map(({ args }) => args[1]).filter((response) => response.status === 200);
  assert.equal(good.length, 3);
  for (const response of good) {
    assert.match(response.headers.get('x-ratelimit-remaining'), /^\d+$/);
    assert.equal(response.headers.get('x-ratelimit-scope'), null);
  }
  const limited = (global) => ({ kind: 'rest_limited', route: 'GET /users/@me', global, by_fault: true });
  row('R5', { seen }, { logged: [limited(false), limited(false), limited(true)] });
}

async function outage(client, here) {
  const gone = new Promise((done) => client.once(Events.GuildUnavailable, done));
  const back = new Promise((done) => client.once(Events.GuildAvailable, done));
  const id = await fault('guild_outage', { guild: here.id });
  assert.equal((await gone).id, here.id);
  assert.equal(client.guilds.cache.get(here.id).available, false);
  await control('DELETE', `/faults/${id}`);
  assert.equal((await back).id, here.id);
  row('G28', { guild: here.id }, {
    logged: [
      { kind: 'fault_begin', what: 'guild_outage', fault: id },
      { kind: 'fault_end', what: 'guild_outage', fault: id },
    ],
  });
}

/** What discord.js gives to a voice library: op 4 out, both voice events in. */
function joinable(client, guildId) {
  const states = [];
  const servers = [];
  const adapter = client.guilds.cache.get(guildId).voiceAdapterCreator({
    onVoiceStateUpdate: (state) => states.push(state),
    onVoiceServerUpdate: (server) => servers.push(server),
    destroy: () => {},
  });
  const ask = (channelId) =>
    adapter.sendPayload({
      op: 4,
      d: { guild_id: guildId, channel_id: channelId, self_mute: false, self_deaf: true },
    });
  return { states, servers, ask };
}

/** Waits for as many states and servers as named; the last of each. */
async function voiceIs(voice, states, servers) {
  await until(`${states} voice states and ${servers} voice servers`, () =>
    voice.states.length >= states && voice.servers.length >= servers ? true : null,
  );
  assert.deepEqual([voice.states.length, voice.servers.length], [states, servers]);
  return { state: voice.states.at(-1), server: voice.servers.at(-1) };
}

const requested = (here, channel) => ({ kind: 'voice_request', guild: here.id, channel });
const botIn = (here, channel) => ({ kind: 'voice_state', guild: here.id, user: 'bot', channel });
const server = (here, fields = {}) => ({ kind: 'voice_server', guild: here.id, ...fields });

async function voiceChannels(client, voice, here) {
  const [first, second] = here.voices;
  voice.ask(first);
  const joined = await voiceIs(voice, 1, 1);
  const session = joined.state.session_id;
  assert.equal(joined.state.channel_id, first);
  await control('PATCH', `/channels/${second}`, { user_limit: 1 });
  await move(here.id, here.people[1], second);
  voice.ask(second);
  await pause(500);
  assert.deepEqual([voice.states.length, voice.servers.length], [1, 1], 'a full channel answers nothing');
  row('G22', { session, endpoint: joined.server.endpoint, full: 'nothing' }, {
    logged: [
      { kind: 'session_opened', session },
      { ...requested(here, first), session },
      botIn(here, first),
      server(here, { session, endpoint: joined.server.endpoint }),
      requested(here, second),
    ],
  });
  await control('PATCH', `/channels/${second}`, { user_limit: 0 });
  voice.ask(second);
  const changed = await voiceIs(voice, 2, 2);
  assert.notEqual(changed.server.token, joined.server.token);
  assert.equal(changed.state.channel_id, second);
  row('G23', { channel: second, newToken: true }, {
    logged: [requested(here, second), botIn(here, second), server(here, { session })],
  });
  voice.ask(null);
  const left = await voiceIs(voice, 3, 2);
  assert.equal(left.state.channel_id, null);
  row('G24', { channel: null }, { logged: [requested(here, null), botIn(here, null)] });
}

async function stage(client, voice, here) {
  const [, second] = here.voices;
  const absent = await refused(() => client.guilds.cache.get(here.id).voiceStates.fetch('@me', { force: true }));
  assert.equal(absent.code, 10_065);
  await control('PATCH', `/channels/${second}`, { kind: 'stage' });
  voice.ask(second);
  const { state } = await voiceIs(voice, 4, 3);
  assert.equal(state.suppress, true);
  const me = await until('the bot on the stage', () => {
    const own = client.guilds.cache.get(here.id).members.me.voice;
    return own.channel?.type === 13 ? own : null;
  });
  await me.setSuppressed(false);
  const speaking = await voiceIs(voice, 5, 3);
  assert.equal(speaking.state.suppress, false);
  const fetched = await client.guilds.cache.get(here.id).voiceStates.fetch('@me', { force: true });
  assert.equal(fetched.suppress, false);
  const asked = (method, status) => ({ kind: 'rest', route: `${method} /guilds/{guild}/voice-states/@me`, status });
  row('R4', { absent: absent.code, channel: fetched.channelId, suppressed: [true, false] }, {
    logged: [asked('GET', 404), botIn(here, second), botIn(here, second), asked('PATCH', 204), asked('GET', 200)],
  });
}

async function admin(client, voice, packets, here) {
  const [first] = here.voices;
  await move(here.id, 'bot', first);
  const moved = await voiceIs(voice, 6, 4);
  assert.equal(moved.state.channel_id, first);
  const id = await fault('hide_endpoint', { guild: here.id });
  const hidden = await voiceIs(voice, 6, 5);
  assert.equal(hidden.server.endpoint, null);
  await control('DELETE', `/faults/${id}`);
  const region = await voiceIs(voice, 6, 6);
  assert.ok(region.server.endpoint);
  await move(here.id, 'bot', null);
  const kicked = await voiceIs(voice, 7, 6);
  assert.equal(kicked.state.channel_id, null);
  assert.equal(packets('VOICE_SERVER_UPDATE').length, 6);
  row('G26', { moved: first, endpoints: [null, region.server.endpoint], kicked: true }, {
    logged: [
      botIn(here, first),
      server(here),
      server(here, { endpoint: null }),
      server(here, { endpoint: region.server.endpoint }),
      botIn(here, null),
    ],
  });
}
