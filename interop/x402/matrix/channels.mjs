// A payment channel of one triple: a deposit, calls paid by vouchers alone, a voucher that is sent again, the
// collection of what is owed, and the refund of the rest.

import { randomBytes } from "node:crypto";
import { prices } from "./cases.mjs";
import { balances, moved, movement } from "./ledger.mjs";
import { decode } from "./meddler.mjs";

const PATH = "/batch";
const CALLS = 3n;

export async function channel(triple, { world, meddler, report }) {
  const cell = { triple: triple.name, path: PATH };
  if (!triple.facilitator.schemes.includes("batch-settlement")) return report.skip(cell, `the ${triple.facilitator.kind} facilitator settles no channels`);
  const salt = `0x${randomBytes(32).toString("hex")}`;
  const price = BigInt(prices.exact);
  const look = () => balances(world.chain, world.roles);
  const before = await look();
  meddler.stand({ upstream: triple.server.url });

  for (let call = 1n; call <= CALLS; call += 1n) {
    const answer = await triple.payer.ask({ operation: "pay", url: meddler.url + PATH, salt });
    const receipt = answer.receipt ?? {};
    // Only the first call touches the chain.
    const transaction = call === 1n ? /^0x[0-9a-f]{64}$/.test(receipt.transaction) : receipt.transaction === "";
    const ok = answer.status === 200 && receipt.success === true && transaction && receipt.extra?.chargedAmount === prices.exact;
    report.add(cell, call === 1n ? "deposit" : "voucher", ok, JSON.stringify(answer));
    if (!ok) return;
  }
  const deposited = (await look()).escrow - before.escrow;
  const seen = moved(before, await look());
  report.add(cell, "deposited", seen === movement({ [triple.payer.role]: -deposited, escrow: deposited }) && deposited >= CALLS * price, seen);

  // Another request: for the same one our paywall would give the same answer again.
  const again = await fetch(`${triple.server.url}${PATH}?again`, { headers: { "payment-signature": meddler.seen } });
  await again.arrayBuffer();
  const reason = decode(again.headers.get("payment-required") ?? "e30=").error;
  report.add(cell, "replayed", again.status === 402 && reason === "invalid_batch_settlement_evm_cumulative_amount_mismatch", `${again.status} ${reason}`);

  const owed = CALLS * price;
  const collected = await (await fetch(`${triple.server.url}/collect`, { method: "POST" })).json();
  const afterCollect = moved(before, await look());
  const expected = movement({ [triple.payer.role]: -deposited, escrow: deposited - owed, payTo: owed });
  report.add(cell, "collected", afterCollect === expected, `${JSON.stringify(collected)}, moved: ${afterCollect}, expected: ${expected}`);

  // Our payer takes what is left by a withdrawal or leaves it for later calls.
  if (triple.payer.kind === "seamline") return;
  const refunded = await triple.payer.ask({ operation: "refund", url: triple.server.url + PATH, salt });
  const afterRefund = moved(before, await look());
  const rest = movement({ [triple.payer.role]: -owed, payTo: owed });
  report.add(cell, "refunded", refunded.refund?.success === true && afterRefund === rest, `${JSON.stringify(refunded)}, moved: ${afterRefund}, expected: ${rest}`);
}
