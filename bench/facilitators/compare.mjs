// Facilitators side by side: the same payments, the same chain, one after the other. Called by
// bench/facilitators/run, which copies it beside the packages.

import { execFile } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs, promisify } from "node:util";
import { randomBytes } from "node:crypto";
import { erc20Abi } from "viem";
import { Child, stopAll } from "../matrix/child.mjs";
import { CHAIN_ID, NETWORK, accounts, startChain } from "../matrix/chain.mjs";
import { startFacilitator } from "../matrix/roles.mjs";

const { values: flags } = parseArgs({
  options: {
    chain: { type: "string", default: "anvil" },
    root: { type: "string" },
    binaries: { type: "string" },
    python: { type: "string" },
    load: { type: "string" },
    "x402-rs": { type: "string" },
    // Verifications per measurement of a slow facilitator; a fast one gets ten times as many.
    verifications: { type: "string", default: "400" },
    settlements: { type: "string", default: "200" },
  },
});

const AMOUNT = 1000n;
const LEVELS = [1, 8, 32];
const SETTLE_LEVEL = 10;
const WARM_UP = 100;
// Different payments that are verified in turn.
const DIFFERENT = 200;
const SIGNATURE_VALIDATOR = "0xdAcD51A54883eb67D95FAEb2BBfdC4a9a6BD2a3B";
// A facilitator that verifies this fast is given more to do, or the clock's ticks would show in its figures.
const FAST_US = 3000;

const roles = accounts();
const work = new URL(".", import.meta.url).pathname;

/** Signs `count` different EIP-3009 payments; returns a file with one request body per line. */
async function payments(name, count, chain) {
  const { account } = roles.tsPayer;
  const domain = { name: "OpenGradient", version: "1", chainId: CHAIN_ID, verifyingContract: chain.token };
  const types = {
    TransferWithAuthorization: [
      { name: "from", type: "address" },
      { name: "to", type: "address" },
      { name: "value", type: "uint256" },
      { name: "validAfter", type: "uint256" },
      { name: "validBefore", type: "uint256" },
      { name: "nonce", type: "bytes32" },
    ],
  };
  const requirements = {
    scheme: "exact",
    network: NETWORK,
    amount: String(AMOUNT),
    asset: chain.token,
    payTo: roles.payTo.address,
    maxTimeoutSeconds: 3600,
    extra: { name: "OpenGradient", version: "1" },
  };
  const validBefore = BigInt(Math.floor(Date.now() / 1000) + 3600);
  const lines = [];
  for (let index = 0; index < count; index += 1) {
    const nonce = `0x${randomBytes(32).toString("hex")}`;
    const message = { from: account.address, to: roles.payTo.address, value: AMOUNT, validAfter: 0n, validBefore, nonce };
    const signature = await account.signTypedData({ domain, types, primaryType: "TransferWithAuthorization", message });
    const authorization = Object.fromEntries(Object.entries(message).map(([key, value]) => [key, String(value)]));
    const paymentPayload = { x402Version: 2, payload: { signature, authorization }, accepted: requirements };
    lines.push(JSON.stringify({ x402Version: 2, paymentPayload, paymentRequirements: requirements }));
  }
  const path = `${work}${name}.jsonl`;
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

async function load({ url, pid }, verb, bodies, count, concurrency) {
  const args = [`${url}/${verb}`, bodies, String(count), String(concurrency), String(pid)];
  const { stdout, stderr } = await promisify(execFile)(flags.load, args);
  process.stderr.write(stderr);
  return JSON.parse(stdout);
}

async function measure(name, start, chain, verifiable) {
  const settleable = await payments(`settle-${name}`, Number(flags.settlements), chain);
  const facilitator = await start();
  const warm = await load(facilitator, "verify", verifiable, WARM_UP, 4);
  if (warm.agreed !== warm.count) throw new Error(`${name} calls good payments bad: ${JSON.stringify(warm)}`);
  const count = Number(flags.verifications) * (warm.p50_us < FAST_US * 4 ? 10 : 1);
  const verify = [];
  for (const level of LEVELS) verify.push(await load(facilitator, "verify", verifiable, count, level));
  const paid = () => chain.reader.readContract({ address: chain.token, abi: erc20Abi, functionName: "balanceOf", args: [roles.payTo.address] });
  const before = await paid();
  const settle = await load(facilitator, "settle", settleable, Number(flags.settlements), SETTLE_LEVEL);
  const arrived = ((await paid()) - before) / AMOUNT;
  facilitator.stop();
  return { name, verify, settle, arrived };
}

const milliseconds = micros => (micros / 1000).toFixed(micros < 10_000 ? 2 : 0);
const rate = ({ count, wall_us }) => Math.round((count * 1e6) / wall_us);
const cpuEach = ({ count, cpu_ms }) => (cpu_ms / count).toFixed(2);

function print(rows) {
  const table = (head, lines) => [head, head.map((_, index) => (index === 0 ? "---" : "---:")), ...lines].map(line => `| ${line.join(" | ")} |`).join("\n");
  const verify = rows.map(({ name, verify }) => {
    const cpu = verify.reduce((sum, one) => ({ count: sum.count + one.count, cpu_ms: sum.cpu_ms + one.cpu_ms }));
    return [name, cpuEach(cpu), ...verify.map(rate), ...verify.map(one => `${milliseconds(one.p50_us)} / ${milliseconds(one.p99_us)}`)];
  });
  const settle = rows.map(({ name, settle, arrived }) => [
    name, `${settle.agreed} of ${settle.count}`, String(arrived), rate(settle), milliseconds(settle.p50_us), milliseconds(settle.p99_us), milliseconds(settle.max_us), cpuEach(settle),
  ]);
  console.log(`\n\`/verify\`, exact over EIP-3009, ${cpus().length} cores shared with the chain (${flags.chain}) and the load\n`);
  console.log(table(["facilitator", "CPU ms each", ...LEVELS.map(level => `per s at ${level}`), ...LEVELS.map(level => `p50 / p99 ms at ${level}`)], verify));
  console.log(`\n\`/settle\`, ${flags.settlements} different payments at concurrency ${SETTLE_LEVEL}, a block per transaction\n`);
  console.log(table(["facilitator", "said settled", "arrived on chain", "per s", "p50 ms", "p99 ms", "max ms", "CPU ms each"], settle));
}

async function main() {
  const { root, binaries, python } = flags;
  const chain = await startChain(flags.chain, { root, binaries, roles });
  const token = { address: chain.token, name: "OpenGradient", version: "1" };
  // Ours writes every settlement to disk before it is sent, as an operator runs it; the others remember nothing.
  const world = { chain, roles, token, binaries, python, store: `${work}facilitator.redb` };
  rmSync(world.store, { force: true });
  const verifiable = await payments("verify", DIFFERENT, chain);
  const candidates = [
    ["Seamline", () => startFacilitator("seamline", world, roles.ourSettler.key)],
    ["TypeScript 2.27", () => startFacilitator("ts", world, roles.tsSettler.key)],
    ["Python 2.25", () => startFacilitator("py", world, roles.pySettler.key)],
  ];
  if (flags["x402-rs"]) candidates.push(["x402-rs 2.0.2", () => startX402Rs(chain)]);
  const rows = [];
  for (const [name, start] of candidates) {
    console.error(`measuring ${name}`);
    rows.push(await measure(name, start, chain, verifiable));
  }
  print(rows);
}

async function startX402Rs(chain) {
  // It does not start without this contract, which only signatures of undeployed wallets would reach.
  const stand = await chain.reader.getCode({ address: SIGNATURE_VALIDATOR });
  if (!stand && flags.chain === "anvil") {
    await chain.reader.request({ method: "anvil_setCode", params: [SIGNATURE_VALIDATOR, "0x00"] });
  }
  const app = new Child("x402-rs", flags["x402-rs"], []);
  const { url } = await app.start({ rpcUrl: chain.rpcUrl, chainId: CHAIN_ID, privateKey: roles.authorizer.key });
  return { url, pid: app.process.pid, stop: () => app.stop() };
}

main()
  .then(() => 0, error => (console.error(error), 1))
  .then(status => {
    stopAll();
    process.exit(status);
  });
