// Version 1 of the protocol, which payers still speak to servers that offer it: our paywall does. The official clients
// fall back to it where the offer of version 2 is missing, so the meddler takes that away.

import { charged } from "./cases.mjs";
import { balances, moved, movement } from "./ledger.mjs";

export const COLUMN = "v1";

export async function version1(triple, { world, meddler, report }) {
  const { payer, server, facilitator } = triple;
  const cell = { triple: triple.name, path: COLUMN };
  if (server.kind !== "seamline" || payer.kind === "seamline") return;
  if (!facilitator.version1) return report.skip(cell, `the ${facilitator.kind} facilitator is set up without version 1`);
  const before = await balances(world.chain, world.roles);
  meddler.stand({ upstream: server.url, old: true });
  const answer = await payer.ask({ operation: "pay-v1", url: `${meddler.url}/exact` });
  const change = moved(before, await balances(world.chain, world.roles));
  const cost = charged["/exact"];
  const ok = answer.status === 200 && answer.receipt?.success === true && change === movement({ [payer.role]: -cost, payTo: cost });
  report.add(cell, "paid", ok, `${JSON.stringify(answer)}, moved: ${change}`);
}
