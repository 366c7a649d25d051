// One-shot payments of one triple: each way to pay goes through once, and everything that is not what was asked for
// is refused with its reason while no money moves.

import { alterations, charged, prices, reasonOf } from "./cases.mjs";
import { balances, moved, movement } from "./ledger.mjs";
import { decode } from "./meddler.mjs";

export const WRONG = ["amount", "payTo", "asset", "expired"];

// Each request has an address of its own: a payer that keeps books presents, for a request that it has paid for
// before, what it has paid with before.
let asked = 0;
const fresh = path => `${path}?${(asked += 1)}`;

/** Gets, for each way to be wrong, an authorization out of the payer that is wrong in this one way. */
export async function holdWrong(triple, path, { world, meddler, report }) {
  const alter = alterations({ otherToken: world.chain.otherToken, stranger: world.roles.stranger.address });
  const held = {};
  for (const wrong of WRONG) {
    meddler.stand({ upstream: triple.server.url, alter: alter[wrong] });
    const answer = await triple.payer.ask({ operation: "pay", url: meddler.url + fresh(path) });
    held[wrong] = meddler.held;
    if (!meddler.held) report.add({ triple: triple.name, path }, wrong, false, `the payer signed nothing: ${JSON.stringify(answer)}`);
  }
  return held;
}

/** Pays once; returns the authorization that paid. */
export async function payOnce(triple, path, { world, meddler, report }) {
  const before = await balances(world.chain, world.roles);
  const servedBefore = await served(triple);
  const request = fresh(path);
  meddler.stand({ upstream: triple.server.url });
  const answer = await triple.payer.ask({ operation: "pay", url: meddler.url + request });
  const change = moved(before, await balances(world.chain, world.roles));
  const cost = charged[path] ?? BigInt(prices.exact);
  const expected = movement({ [triple.payer.role]: -cost, payTo: cost });
  const receipt = answer.receipt ?? {};
  const ok =
    answer.status === 200 &&
    answer.body.includes("42") &&
    receipt.success === true &&
    /^0x[0-9a-f]{64}$/.test(receipt.transaction) &&
    receipt.payer?.toLowerCase() === triple.payer.address.toLowerCase() &&
    (path !== "/upto" || receipt.amount === String(cost)) &&
    (await served(triple)) === servedBefore + 1 &&
    change === expected;
  report.add({ triple: triple.name, path }, "paid", ok, `${JSON.stringify(answer)}, moved: ${change}, expected: ${expected}`);
  if (ok && triple.server.kind === "seamline") await askAgain(triple, path, request, answer, { world, meddler, report });
  return meddler.seen;
}

/**
 * Our paywall gives a payer who lost the answer the same answer again, for the same request and message, where the message
 * holds what the chain does not show: ours does. Others learn what was settled; so does who leaves it out.
 */
async function askAgain(triple, path, request, first, { world, meddler, report }) {
  const before = await balances(world.chain, world.roles);
  const servedBefore = await served(triple);
  const ask = (payment) => fetch(triple.server.url + request, { headers: { "payment-signature": payment } });
  const cell = { triple: triple.name, path };
  const message = decode(meddler.seen);
  const named = message.extensions?.["payment-identifier"]?.info?.id !== undefined;
  const answer = await ask(meddler.seen);
  const body = await answer.text();
  const again = answer.status === 200 && body === first.body;
  const gone = answer.status === 409 && JSON.parse(body).code === "answer_gone" && decode(answer.headers.get("payment-response")).success;
  report.add(cell, "asked again", named ? again : gone, `${answer.status} ${body}`);
  if (triple.payer.kind === "seamline") report.add(cell, "named", named, "our payment has no identifier");
  if (named) {
    delete message.extensions;
    const stranger = await ask(Buffer.from(JSON.stringify(message)).toString("base64"));
    await stranger.arrayBuffer();
    report.add(cell, "asked by a stranger", stranger.status === 402, `${stranger.status}`);
  }
  const change = moved(before, await balances(world.chain, world.roles));
  report.add(cell, "paid no more", change === "" && (await served(triple)) === servedBefore, `moved: ${change}`);
}

/** Sends an authorization that must be refused for being `wrong`. */
export async function refuse(triple, path, wrong, authorization, { world, report }) {
  if (!authorization) return;
  const before = await balances(world.chain, world.roles);
  const servedBefore = await served(triple);
  const answer = await fetch(triple.server.url + fresh(path), { headers: { "payment-signature": authorization } });
  await answer.arrayBuffer();
  const required = answer.headers.get("payment-required");
  const receipt = answer.headers.get("payment-response");
  const reason = (receipt && decode(receipt).errorReason) ?? (required && decode(required).error);
  const change = moved(before, await balances(world.chain, world.roles));
  const expected = reasonOf(triple, path, wrong);
  // The official servers run the handler before they settle, so a payment that only fails then has been served for.
  const unserved = triple.server.kind !== "seamline" || (await served(triple)) === servedBefore;
  // The TypeScript server says 412 of a missing allowance.
  const status = answer.status === 402 || (answer.status === 412 && reason === "permit2_allowance_required");
  const ok = status && reason === expected && change === "" && unserved;
  report.add({ triple: triple.name, path }, wrong, ok, `${answer.status} ${reason}, expected: ${expected}, moved: ${change}, handler kept out: ${unserved}`);
}

async function served(triple) {
  const answer = await fetch(`${triple.server.url}/served`);
  return (await answer.json()).served;
}
