// The matrix: every payer against every server in front of every facilitator, on one chain. Called by
// scripts/interop-x402.

import { parseArgs } from "node:util";
import { stopAll } from "./child.mjs";
import { accounts, startChain } from "./chain.mjs";
import { channel } from "./channels.mjs";
import { charged } from "./cases.mjs";
import { Meddler } from "./meddler.mjs";
import { holdWrong, payOnce, refuse } from "./payments.mjs";
import { Report } from "./report.mjs";
import { startRoles } from "./roles.mjs";

const { values: flags } = parseArgs({
  options: {
    chain: { type: "string", default: "anvil" },
    quick: { type: "boolean", default: false },
    // Where the project, its built binaries and a Python with the packages are.
    root: { type: "string" },
    binaries: { type: "string" },
    python: { type: "string" },
  },
});

// The authorizations that are to be expired have a second to live.
const EXPIRY_MS = 2500;

async function main() {
  const roles = accounts();
  const chain = await startChain(flags.chain, { root: flags.root, binaries: flags.binaries, roles });
  console.log(`chain: ${flags.chain}, Permit2: ${chain.permit2}`);
  const { payers, servers } = await startRoles({ chain, roles, python: flags.python });
  const meddler = await Meddler.start();
  const report = new Report();
  const scene = { world: { chain, roles }, meddler, report };
  const triples = servers.flatMap(server =>
    payers.map(payer => ({ name: `${payer.kind} > ${server.kind} > ${server.facilitator.kind}`, payer, server, facilitator: server.facilitator })),
  );
  const cells = triples.flatMap(triple => Object.keys(charged).map(path => ({ triple, path, held: {} })));

  if (!flags.quick) for (const cell of cells) cell.held = await holdWrong(cell.triple, cell.path, scene);
  const expired = Date.now() + EXPIRY_MS;
  for (const { triple, path, held } of cells) {
    const paid = await payOnce(triple, path, scene);
    await refuse(triple, path, "replayed", paid, scene);
    for (const wrong of ["amount", "payTo", "asset"]) await refuse(triple, path, wrong, held[wrong], scene);
  }
  if (chain.channels) for (const triple of triples) await channel(triple, scene);
  await new Promise(resolve => setTimeout(resolve, Math.max(0, expired - Date.now())));
  for (const { triple, path, held } of cells) await refuse(triple, path, "expired", held.expired, scene);

  meddler.stop();
  report.print([...Object.keys(charged), "/batch"]);
  return report.failed === 0 ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    stopAll();
    process.exit(130);
  });
}

main()
  .catch(error => {
    console.error(error);
    return 1;
  })
  .then(status => {
    stopAll();
    process.exit(status);
  });
