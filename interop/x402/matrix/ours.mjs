// Our own apps: one binary, built from the project's crates, with a role each.

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child, attended } from "./child.mjs";
import { CHAIN_ID } from "./chain.mjs";
import { decode } from "./meddler.mjs";

const homes = mkdtempSync(join(tmpdir(), "seamline-interop-"));
process.on("exit", () => rmSync(homes, { recursive: true, force: true }));

const binary = ({ binaries }) => `${binaries}/examples/x402`;

export async function startFacilitator(world, key) {
  const app = new Child("our facilitator", binary(world), ["facilitator"]);
  const { chain, roles, token, store } = world;
  const config = { rpcUrl: chain.rpcUrl, chainId: CHAIN_ID, privateKey: key, deskKey: roles.ourDesk.key, token: token.address, store };
  const { url } = await app.start(config);
  return { url, pid: app.process.pid, stop: () => app.stop() };
}

/** Starts `seamline facilitator`, the command that operators run, with a wallet and a database of its own. */
export async function startCommand({ binaries, chain, token }) {
  const home = mkdtempSync(join(homes, "facilitator-"));
  const args = ["--home", home, "facilitator", "--json", "--listen", "127.0.0.1:0", "--rpc", chain.rpcUrl, "--chain-id", String(CHAIN_ID), "--asset", token.address, "--max-fee", "100", "--channels"];
  const key = randomBytes(32).toString("hex");
  const app = attended("seamline facilitator", `${binaries}/seamline`, args, { env: { ...process.env, SEAMLINE_WALLET_KEY: key } });
  const { url, signer } = JSON.parse(await app.line());
  await chain.fund(signer);
  return { url, pid: app.process.pid, stop: () => app.stop() };
}

export function startServer(world, config) {
  return new Child("our server", binary(world), ["server"]).start(config);
}

/** Starts the payer; resolves with a function that has it pay. */
export async function startPayer(world, role) {
  const plain = await start(world, role, 0);
  // A payer keeps its channels for the seller's address, wherever that sells: one payer for each channel.
  const keepers = new Map();
  let newcomer;
  return async command => {
    if (command.operation === "refund") return { error: "our payer asks for no refund" };
    // It remembers for a while what it may spend; a newcomer has to look.
    if (command.newcomer) return settled(await (newcomer ??= await start(world, role, 0)).ask(command), role);
    if (!command.salt) return settled(await plain.ask(command), role);
    if (!keepers.has(command.salt)) keepers.set(command.salt, await start(world, role, 1));
    return promised(await keepers.get(command.salt).ask(command));
  };
}

async function start(world, { key }, channels) {
  const home = mkdtempSync(join(homes, "payer-"));
  const app = new Child("our payer", binary(world), ["payer"]);
  await app.start({
    rpcUrl: world.chain.rpcUrl,
    chainId: CHAIN_ID,
    privateKey: key,
    home,
    channels,
    // The altered offers name the other token and the stranger: the payer is to sign for them.
    assets: [world.chain.token, world.chain.otherToken],
    payees: [world.roles.payTo.address, world.roles.stranger.address],
  });
  return app;
}

/** What the payer found on the chain, in the form of a server's receipt. */
function settled(answer, { address }) {
  const { state, transaction, amount } = answer;
  return { ...answer, receipt: { success: state === "settled", transaction, amount, payer: address } };
}

/** What the payer wrote in its books, in the form of a server's receipt; whether there was a transaction, the server said. */
function promised(answer) {
  const { state, amount, header } = answer;
  const { transaction } = header ? decode(header) : {};
  return { ...answer, receipt: { success: state === "charged", transaction, extra: { chargedAmount: amount } } };
}
