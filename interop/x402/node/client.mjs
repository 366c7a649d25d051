// A payer of the official TypeScript packages: pays each URL that standard input names.

import { privateKeyToAccount } from "viem/accounts";
import { createPublicClient, http } from "viem";
import { x402Client } from "@x402/core/client";
import { toClientEvmSigner } from "@x402/evm";
import { ExactEvmScheme, registerExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { decodePaymentResponseHeader, wrapFetchWithPayment } from "@x402/fetch";
import { read, write } from "./app.mjs";

const { rpcUrl, network, privateKey } = await read();
const account = privateKeyToAccount(privateKey);
const signer = toClientEvmSigner(account, createPublicClient({ transport: http(rpcUrl) }));

// The controls know only listed stablecoins: the token of a local chain is not among them.
const payer = new x402Client()
  .setSpendControls(false)
  .register(network, new ExactEvmScheme(signer))
  .register(network, new UptoEvmScheme(signer));
const pay = wrapFetchWithPayment(fetch, payer);
// One channel, and one payer that remembers it, for each salt.
const channels = new Map();
const old = registerExactEvmScheme(new x402Client().setSpendControls(false), { signer: account });
const payOld = wrapFetchWithPayment(fetch, old);

function channel(salt) {
  if (!channels.has(salt)) {
    const scheme = new BatchSettlementEvmScheme(signer, { salt, depositPolicy: { depositMultiplier: 5 } });
    const client = new x402Client().setSpendControls(false).register(network, scheme);
    channels.set(salt, { scheme, fetch: wrapFetchWithPayment(fetch, client) });
  }
  return channels.get(salt);
}

async function perform({ operation, url, salt }) {
  if (operation === "refund") return { refund: await channel(salt).scheme.refund(url) };
  const send = operation === "pay-v1" ? payOld : salt ? channel(salt).fetch : pay;
  const response = await send(url);
  const receipt = response.headers.get("payment-response") ?? response.headers.get("x-payment-response");
  return {
    status: response.status,
    body: await response.text(),
    receipt: receipt ? decodePaymentResponseHeader(receipt) : null,
  };
}

write({ address: account.address });
for (;;) {
  const command = await read();
  try {
    write(await perform(command));
  } catch (error) {
    write({ status: 0, error: error instanceof Error ? error.message : String(error) });
  }
}
