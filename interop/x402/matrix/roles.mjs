// The apps of the matrix: who pays, who serves, who settles, in each implementation.

import { Child } from "./child.mjs";
import { CHAIN_ID, NETWORK, NETWORK_V1 } from "./chain.mjs";
import { prices } from "./cases.mjs";
import * as ours from "./ours.mjs";

const folder = new URL("..", import.meta.url).pathname;

/** The official apps; `python` is an interpreter with the packages. */
const official = {
  ts: role => new Child(`ts ${role}`, process.execPath, [`${folder}node/${role}.mjs`]),
  py: (role, { python }) => new Child(`py ${role}`, python, ["-B", `${folder}python/${role}.py`]),
};

/** Asks a facilitator what it settles. */
async function abilities({ url }) {
  const { kinds, extensions } = await (await fetch(`${url}/supported`)).json();
  const here = kinds.filter(kind => kind.x402Version === 2 && kind.network === NETWORK);
  return { extensions, schemes: here.map(kind => kind.scheme), version1: kinds.some(kind => kind.x402Version === 1 && kind.network === NETWORK_V1) };
}

/** Starts one facilitator that settles with `key`; resolves with its URL, its process and how to stop it. */
export async function startFacilitator(kind, world, key) {
  if (kind === "seamline") return { kind, ...(await ours.startFacilitator(world, key)) };
  const app = official[kind]("facilitator", world);
  const { url } = await app.start({ rpcUrl: world.chain.rpcUrl, chainId: CHAIN_ID, privateKey: key });
  return { kind, url, pid: app.process.pid, stop: () => app.stop() };
}

async function startServer(kind, world, facilitator) {
  const config = {
    facilitatorUrl: facilitator.url,
    chainId: CHAIN_ID,
    network: NETWORK,
    payTo: world.roles.payTo.address,
    token: world.token,
    prices,
    authorizerKey: world.roles.authorizer.key,
    schemes: facilitator.schemes,
  };
  const server = kind === "seamline" ? await ours.startServer(world, config) : await official[kind]("server", world).start(config);
  return { kind, url: server.url, facilitator };
}

async function startPayer(kind, role, world) {
  const { address, key } = world.roles[role];
  if (kind === "seamline") return { kind, role, address, ask: await ours.startPayer(world, { address, key }) };
  const app = official[kind]("client", world);
  await app.start({ rpcUrl: world.chain.rpcUrl, network: NETWORK, privateKey: key });
  return { kind, role, address, ask: command => app.ask(command) };
}

/** Starts all apps; resolves with payers and servers, one server of each kind per facilitator. */
export async function startRoles(world) {
  const kinds = ["ts", "py", "seamline"];
  const named = role => ({ ts: `ts${role}`, py: `py${role}`, seamline: `our${role}` });
  const [payers, facilitators] = await Promise.all([
    Promise.all(kinds.map(kind => startPayer(kind, named("Payer")[kind], world))),
    Promise.all(kinds.map(kind => startFacilitator(kind, world, world.roles[named("Settler")[kind]].key))),
  ]);
  for (const facilitator of facilitators) Object.assign(facilitator, await abilities(facilitator));
  const servers = await Promise.all(kinds.flatMap(kind => facilitators.map(facilitator => startServer(kind, world, facilitator))));
  // The command is the same service as ours: one seller and one payer are enough to see that it runs.
  const command = { kind: "command", ...(await ours.startCommand(world)) };
  Object.assign(command, await abilities(command));
  servers.push({ ...(await startServer("ts", world, command)), payers: ["ts"] });
  return { payers, servers };
}
