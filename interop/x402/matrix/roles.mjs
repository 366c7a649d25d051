// The apps of the matrix: who pays, who serves, who settles, in each implementation.

import { Child } from "./child.mjs";
import { CHAIN_ID, NETWORK } from "./chain.mjs";
import { prices } from "./cases.mjs";

const folder = new URL("..", import.meta.url).pathname;

/** Starts all apps; resolves with payers, servers (one per facilitator) and facilitators. */
export async function startRoles({ chain, roles, python }) {
  const node = role => new Child(`ts ${role}`, process.execPath, [`${folder}node/${role}.mjs`]);
  const snake = role => new Child(`py ${role}`, python, ["-B", `${folder}python/${role}.py`]);
  const start = { ts: node, py: snake };
  const common = { rpcUrl: chain.rpcUrl, chainId: CHAIN_ID, network: NETWORK };

  const payer = async (kind, role) => {
    const app = start[kind]("client");
    const { address } = await app.start({ ...common, privateKey: roles[role].key });
    return { kind, role, address, ask: command => app.ask(command) };
  };
  const facilitator = async (kind, role) => {
    const { url } = await start[kind]("facilitator").start({ ...common, privateKey: roles[role].key });
    return { kind, url };
  };
  const token = { address: chain.token, name: "OpenGradient", version: "1" };
  const selling = { ...common, payTo: roles.payTo.address, token, prices, authorizerKey: roles.authorizer.key };
  const server = async (kind, facilitator) => {
    const { url } = await start[kind]("server").start({ ...selling, facilitatorUrl: facilitator.url });
    return { kind, url, facilitator };
  };

  const [payers, facilitators] = await Promise.all([
    Promise.all([payer("ts", "tsPayer"), payer("py", "pyPayer")]),
    Promise.all([facilitator("ts", "tsSettler"), facilitator("py", "pySettler")]),
  ]);
  const servers = await Promise.all(["ts", "py"].flatMap(kind => facilitators.map(facilitator => server(kind, facilitator))));
  return { payers, servers };
}
