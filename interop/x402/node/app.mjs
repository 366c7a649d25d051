// What every app of this folder has in common: its configuration is the first line of standard input, its
// readiness one line of JSON on standard output, and it ends when standard input does.

import { createInterface } from "node:readline";

const lines = createInterface({ input: process.stdin });
const waiting = [];
const arrived = [];

lines.on("line", line => {
  const next = waiting.shift();
  if (next) next(JSON.parse(line));
  else arrived.push(JSON.parse(line));
});
lines.on("close", () => process.exit(0));

/** Resolves with the next line of standard input, parsed. */
export function read() {
  if (arrived.length > 0) return Promise.resolve(arrived.shift());
  return new Promise(resolve => waiting.push(resolve));
}

/** Prints one line of JSON. */
export function write(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Listens on a free port of loopback and says where. */
export function serve(app) {
  const server = app.listen(0, "127.0.0.1", () => write({ url: `http://127.0.0.1:${server.address().port}` }));
}
