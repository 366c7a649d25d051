// A facilitator of the official TypeScript packages: exact (EIP-3009 and Permit2), upto, batch-settlement.

import express from "express";
import { createPublicClient, createWalletClient, defineChain, http, nonceManager } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/facilitator";
import { EIP2612_GAS_SPONSORING } from "@x402/extensions";
import { read, serve } from "./app.mjs";

const { rpcUrl, chainId, privateKey } = await read();

const chain = defineChain({
  id: chainId,
  name: "local",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [rpcUrl] } },
});
// Without the nonce manager concurrent settlements take each other's account nonce.
const account = privateKeyToAccount(privateKey, { nonceManager });
const options = { chain, transport: http(rpcUrl), pollingInterval: 20 };
const reader = createPublicClient(options);
const writer = createWalletClient({ ...options, account });

// viem's clients take these methods from their prototype: the signer needs them spelled out.
const signer = toFacilitatorEvmSigner({
  address: account.address,
  getCode: args => reader.getCode(args),
  // Simulations ask as the settling account: the upto contract lets nobody else settle.
  readContract: args => reader.readContract({ account: account.address, ...args }),
  verifyTypedData: args => reader.verifyTypedData(args),
  writeContract: args => writer.writeContract(args),
  sendTransaction: args => writer.sendTransaction(args),
  waitForTransactionReceipt: args => reader.waitForTransactionReceipt(args),
});

const network = `eip155:${chainId}`;
const facilitator = new x402Facilitator()
  .register(network, new ExactEvmScheme(signer))
  .register(network, new UptoEvmScheme(signer))
  .register(network, new BatchSettlementEvmScheme(signer))
  .registerV1("base-sepolia", new ExactEvmSchemeV1(signer))
  .registerExtension(EIP2612_GAS_SPONSORING);

const app = express();
app.use(express.json({ limit: "64kb" }));
app.get("/supported", (_, response) => response.json(facilitator.getSupported()));
for (const verb of ["verify", "settle"]) {
  app.post(`/${verb}`, async (request, response) => {
    const { paymentPayload, paymentRequirements } = request.body;
    try {
      response.json(await facilitator[verb](paymentPayload, paymentRequirements));
    } catch (error) {
      response.status(500).json({ error: String(error) });
    }
  });
}
serve(app);
