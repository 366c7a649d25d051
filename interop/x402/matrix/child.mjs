// Child processes that speak lines of JSON: configuration in, readiness out, then a question and an answer at a time.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const START_MS = 60_000;
const ANSWER_MS = 90_000;
const running = new Set();

export class Child {
  /** Starts `command`; `name` is for messages. */
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.process = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], ...options });
    this.lines = [];
    this.waiting = [];
    this.complaints = "";
    createInterface({ input: this.process.stdout }).on("line", line => this.#arrive({ line }));
    this.process.stderr.on("data", data => (this.complaints = (this.complaints + data).slice(-4000)));
    this.process.stdin.on("error", () => {});
    this.process.on("error", error => this.#arrive({ error }));
    this.process.on("exit", code => this.#arrive({ error: new Error(`ended with ${code}`) }));
    running.add(this);
  }

  #arrive(event) {
    const next = this.waiting.shift();
    if (next) next(event);
    else this.lines.push(event);
  }

  /** Resolves with the next line of standard output, as text. */
  async line(milliseconds = ANSWER_MS) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.name}: no answer\n${this.complaints}`)), milliseconds);
    });
    const next = this.lines.length > 0 ? this.lines.shift() : new Promise(resolve => this.waiting.push(resolve));
    const event = await Promise.race([next, late]).finally(() => clearTimeout(timer));
    if (event.error) throw new Error(`${this.name}: ${event.error.message}\n${this.complaints}`);
    return event.line;
  }

  /** Sends one line of JSON. */
  tell(value) {
    this.process.stdin.write(`${JSON.stringify(value)}\n`);
  }

  /** Sends one line of JSON and resolves with the one that comes back. */
  async ask(value) {
    this.tell(value);
    return JSON.parse(await this.line());
  }

  /** Sends the configuration and resolves when the app is ready. */
  async start(config) {
    if (config) this.tell(config);
    return JSON.parse(await this.line(START_MS));
  }

  stop() {
    running.delete(this);
    this.process.stdin.end();
    this.process.kill("SIGTERM");
  }
}

/** Starts a program that does not read its standard input: a shell does, and ends it with that. */
export function attended(name, command, args, options) {
  const script = '"$0" "$@" & trap "kill $!; exit" TERM; cat; kill $!';
  return new Child(name, "sh", ["-c", script, command, ...args], options);
}

export function stopAll() {
  for (const child of [...running]) child.stop();
}
