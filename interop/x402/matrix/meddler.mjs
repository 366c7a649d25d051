// What stands between payer and server: it passes requests on, keeps the authorizations that it sees, and can show
// the payer another offer than the server made. The authorization that such an offer gets out of an honest payer is
// then put under the server's own offer: to the server it looks like a payer who signed something else than was asked.

import { createServer } from "node:http";
import { isDeepStrictEqual } from "node:util";

const HOP = new Set(["connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host", "payment-signature"]);

export const decode = header => JSON.parse(Buffer.from(header, "base64").toString("utf8"));
export const encode = value => Buffer.from(JSON.stringify(value)).toString("base64");

export class Meddler {
  /** Starts on a free port of loopback. */
  static async start() {
    const meddler = new Meddler();
    meddler.server = createServer((request, response) => {
      meddler.#pass(request, response).catch(error => response.writeHead(502).end(String(error)));
    });
    await new Promise(resolve => meddler.server.listen(0, "127.0.0.1", resolve));
    meddler.url = `http://127.0.0.1:${meddler.server.address().port}`;
    return meddler;
  }

  /**
   * From now on passes to `upstream`. With `alter`, payers see offers that it changed, and their authorizations are held;
   * with `old`, they see only offers of version 1.
   */
  stand({ upstream, alter, old }) {
    Object.assign(this, { upstream, alter, old, held: undefined, seen: undefined });
  }

  async #pass(request, response) {
    const signature = request.headers["payment-signature"];
    const restored = signature && this.#restored(signature);
    if (signature && this.alter) {
      this.held = restored;
      return response.writeHead(402, { "payment-required": encode(this.offered) }).end("{}");
    }
    const headers = Object.entries(request.headers).filter(([name]) => !HOP.has(name));
    if (signature) {
      this.seen = restored;
      headers.push(["payment-signature", restored]);
    }
    const answer = await fetch(this.upstream + request.url, { method: request.method, headers: Object.fromEntries(headers), redirect: "manual" });
    const body = Buffer.from(await answer.arrayBuffer());
    const shown = Object.fromEntries([...answer.headers].filter(([name]) => !HOP.has(name)));
    if (this.old) delete shown["payment-required"];
    if (shown["payment-required"]) {
      this.offered = decode(shown["payment-required"]);
      this.altered = structuredClone(this.offered);
      // Careful payers buy only what is sold where they asked.
      if (this.altered.resource) this.altered.resource.url = this.url + new URL(this.offered.resource.url).pathname;
      if (this.alter) this.altered.accepts.forEach(this.alter);
      shown["payment-required"] = encode(this.altered);
    }
    response.writeHead(answer.status, shown).end(body);
  }

  /** Puts the server's own offer back under an authorization for the altered one. */
  #restored(signature) {
    const payload = decode(signature);
    const index = this.altered.accepts.findIndex(offer => isDeepStrictEqual(offer, payload.accepted));
    if (index < 0) throw new Error("the payer accepted what was not offered");
    return encode({ ...payload, resource: this.offered.resource, accepted: this.offered.accepts[index] });
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }
}
