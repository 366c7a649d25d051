// A resource server of the official TypeScript packages: express middleware over four priced routes.

import express from "express";
import { privateKeyToAccount } from "viem/accounts";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { BatchSettlementChannelManager, BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { declareEip2612GasSponsoringExtension } from "@x402/extensions";
import { read, serve } from "./app.mjs";

const { facilitatorUrl, network, payTo, token, prices, authorizerKey, schemes } = await read();

const facilitator = new HTTPFacilitatorClient({ url: facilitatorUrl });
const channels = new BatchSettlementEvmScheme(payTo, { receiverAuthorizerSigner: privateKeyToAccount(authorizerKey) });
const server = new x402ResourceServer(facilitator)
  .register(network, new ExactEvmScheme())
  .register(network, new UptoEvmScheme())
  .register(network, channels);

const domain = { name: token.name, version: token.version };
const route = (scheme, amount, extra) => ({
  accepts: { scheme, network, payTo, price: { asset: token.address, amount, extra: { ...domain, ...extra } }, maxTimeoutSeconds: 300 },
  description: "one answer",
  mimeType: "application/json",
});

const app = express();
app.use(
  paymentMiddleware(
    {
      "GET /exact": route("exact", prices.exact),
      "GET /permit2": route("exact", prices.exact, { assetTransferMethod: "permit2" }),
      "GET /sponsored": { ...route("exact", prices.exact, { assetTransferMethod: "permit2" }), extensions: declareEip2612GasSponsoringExtension() },
      "GET /upto": route("upto", prices.ceiling, { assetTransferMethod: "permit2" }),
      // A route that the facilitator cannot settle keeps the whole server from starting.
      ...(schemes.includes("batch-settlement") && {
        "GET /batch": route("batch-settlement", prices.exact, { minDeposit: prices.deposit }),
      }),
    },
    server,
  ),
);
let served = 0;
const answer = response => response.json({ answer: 42, served: (served += 1) });
app.get("/exact", (_, response) => answer(response));
app.get("/permit2", (_, response) => answer(response));
app.get("/sponsored", (_, response) => answer(response));
app.get("/upto", (_, response) => {
  setSettlementOverrides(response, { amount: prices.charged });
  answer(response);
});
app.get("/batch", (_, response) => answer(response));
app.get("/served", (_, response) => response.json({ served }));

// Collects what the channels owe.
app.post("/collect", async (_, response) => {
  const manager = new BatchSettlementChannelManager({ scheme: channels, facilitator, receiver: payTo, token: token.address, network });
  response.json(await manager.claimAndSettle());
});
serve(app);
