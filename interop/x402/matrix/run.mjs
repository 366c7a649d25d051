// The matrix: every payer against every server in front of every facilitator, on one chain. Called by
// scripts/interop-x402.

import { parseArgs } from "node:util";
import { stopAll } from "./child.mjs";
import { accounts, startChain } from "./chain.mjs";
import { channel } from "./channels.mjs";
import { LIFETIME_S, charged } from "./cases.mjs";
import { Meddler } from "./meddler.mjs";
import { holdWrong, payOnce, refuse } from "./payments.mjs";
import { Report } from "./report.mjs";
import { startRoles } from "./roles.mjs";
import { PATH as SPONSORED, sponsored } from "./sponsored.mjs";
import { COLUMN, version1 } from "./version1.mjs";

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

async function main() {
  const roles = accounts();
  const { root, binaries, python } = flags;
  const chain = await startChain(flags.chain, { root, binaries, roles });
  console.log(`chain: ${flags.chain}, Permit2: ${chain.permit2}`);
  const token = { address: chain.token, name: "OpenGradient", version: "1" };
  const world = { chain, roles, token, binaries, python };
  const { payers, servers } = await startRoles(world);
  const meddler = await Meddler.start();
  const report = new Report();
  const scene = { world, meddler, report };
  const triples = servers.flatMap(server =>
    payers.filter(({ kind }) => server.payers?.includes(kind) ?? true).map(payer => ({ name: `${payer.kind} > ${server.kind} > ${server.facilitator.kind}`, payer, server, facilitator: server.facilitator })),
  );
  const cells = triples.flatMap(triple => Object.keys(charged).map(path => ({ triple, path, held: {} })));

  if (!flags.quick) for (const cell of cells) cell.held = await holdWrong(cell.triple, cell.path, scene);
  const expired = Date.now() + (flags.quick ? 0 : (LIFETIME_S + 1) * 1000);
  for (const { triple, path, held } of cells) {
    const paid = await payOnce(triple, path, scene);
    await refuse(triple, path, "replayed", paid, scene);
    for (const wrong of ["amount", "payTo", "asset"]) await refuse(triple, path, wrong, held[wrong], scene);
  }
  for (const triple of triples) await channel(triple, scene);
  for (const triple of triples) await version1(triple, scene);
  for (const triple of triples) await sponsored(triple, scene);
  await new Promise(resolve => setTimeout(resolve, Math.max(0, expired - Date.now())));
  for (const { triple, path, held } of cells) await refuse(triple, path, "expired", held.expired, scene);

  meddler.stop();
  report.print([...Object.keys(charged), SPONSORED, "/batch", COLUMN]);
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
