// Our own apps: one binary, built from the project's crates, with a role each.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.mjs";
import { CHAIN_ID } from "./chain.mjs";

const binary = ({ binaries }) => `${binaries}/examples/x402`;

export async function startFacilitator(world, key) {
  const app = new Child("our facilitator", binary(world), ["facilitator"]);
  const config = { rpcUrl: world.chain.rpcUrl, chainId: CHAIN_ID, privateKey: key, token: world.token.address, store: world.store };
  const { url } = await app.start(config);
  return { url, pid: app.process.pid, stop: () => app.stop() };
}

export function startServer(world, config) {
  return new Child("our server", binary(world), ["server"]).start(config);
}

/** Starts the payer; resolves with a function that has it pay. */
export async function startPayer(world, { address, key }) {
  const home = mkdtempSync(join(tmpdir(), "seamline-interop-"));
  process.on("exit", () => rmSync(home, { recursive: true, force: true }));
  const app = new Child("our payer", binary(world), ["payer"]);
  await app.start({
    rpcUrl: world.chain.rpcUrl,
    chainId: CHAIN_ID,
    privateKey: key,
    home,
    // The altered offers name the other token and the stranger: the payer is to sign for them.
    assets: [world.chain.token, world.chain.otherToken],
    payees: [world.roles.payTo.address, world.roles.stranger.address],
  });
  return async command => {
    const answer = await app.ask(command);
    // Its word on the receipt is what it read from the chain; the server's own word on the payer it does not repeat.
    if (answer.receipt) answer.receipt.payer = address;
    return answer;
  };
}
