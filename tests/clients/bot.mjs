// A discord.js bot for the Lavalink libraries: it only brings them their voice events.

import { Client, Events, GatewayIntentBits } from 'discord.js';

import { restOptions, sim } from './stage.mjs';

/** A client that is about to log in: libraries attach themselves before it does. */
export const newBot = () =>
  new Client({ intents: [GatewayIntentBits.Guilds, GatewayIntentBits.GuildVoiceStates], rest: restOptions });

/** Logs in and waits until all is there. */
export async function logIn(client) {
  const ready = new Promise((done) => client.once(Events.ClientReady, done));
  await client.login(sim.token);
  await ready;
}

/** Host, port and password of a node. */
export function address(name) {
  const node = sim.lavalink.find((each) => each.name === name);
  const { hostname, port } = new URL(node.url);
  return { host: hostname, port: Number(port), password: node.password };
}
