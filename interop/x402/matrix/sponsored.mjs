// A first payment over Permit2 by a payer who has approved nothing and has no need of gas: it signs the approval too
// (EIP-2612), and the facilitator submits both at once.

import { erc20Abi } from "viem";
import { PERMIT2, PURSE } from "./chain.mjs";
import { payOnce, refuse } from "./payments.mjs";

export const PATH = "/sponsored";

export async function sponsored(triple, scene) {
  const { world, report } = scene;
  const cell = { triple: triple.name, path: PATH };
  if (!triple.facilitator.extensions.includes("eip2612GasSponsoring")) return report.skip(cell, `the ${triple.facilitator.kind} facilitator sponsors no approvals`);
  const owner = world.roles[triple.payer.role];
  const allowance = () => world.chain.reader.readContract({ address: world.token.address, abi: erc20Abi, functionName: "allowance", args: [owner.address, PERMIT2] });
  await world.chain.approve(owner, 0n);
  const { payer } = triple;
  const newcomer = payer.kind === "seamline" ? { ...payer, ask: command => payer.ask({ ...command, newcomer: true }) } : payer;
  const paid = await payOnce({ ...triple, payer: newcomer }, PATH, scene);
  // The approval was for this payment and for nothing else.
  report.add(cell, "nothing left approved", (await allowance()) === 0n, String(await allowance()));
  await refuse(triple, PATH, "replayed", paid, scene);
  await world.chain.approve(owner, PURSE);
}
