"""The published SDK and Seamline side by side, on one network and one enclave: called by bench/opengradient/run.

Both clients are processes of their own that make one call after the other and are driven in turns, so that
whatever else the machine does meets both. What they ask is counted on another network of the same kind, by the
enclave's own log and by a proxy in front of the chain's endpoint, so that counting costs no measured call anything.
"""

import argparse
import collections
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time

from network import CountingProxy, Network

parser = argparse.ArgumentParser()
parser.add_argument("--seamline", required=True)
parser.add_argument("--driver", required=True)
parser.add_argument("--calls", type=int, default=200, help="steady calls of each client and kind")
parser.add_argument("--cold", type=int, default=3, help="cold starts of each client")
args = parser.parse_args()

ROUND = 20
COUNTED = 20
HERE = os.path.dirname(os.path.abspath(__file__))


class Client:
    """A driver process. Its processor time is read from outside, by the clock that the kernel keeps for it."""

    # In a network without sessions, and in one whose nodes keep them: there the SDK signs once.
    NAMES = ["SDK 1.1.4", "Seamline", "Seamline, channel"]
    SESSION = "SDK 1.1.4, session"

    def __init__(self, name, network, view=None):
        view = json.dumps(view or network.view)
        if name.startswith("SDK"):
            command = [sys.executable, os.path.join(HERE, "sdk.py"), view]
        else:
            how = ["channel"] if name.endswith("channel") else []
            command = [args.driver, view, network.folder(f"books-{time.monotonic_ns()}"), *how]
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=network.env)
        self.line()
        self.ready_s = time.monotonic() - self.started

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a client ended with {self.process.wait()}")
        return line

    def cpu_ms(self):
        # clock_getcpuclockid(3): user and system time of all of the process's threads, in nanoseconds.
        return time.clock_gettime_ns(~self.process.pid << 3 | 2) / 1e6

    def calls(self, kind, count):
        """Makes calls; returns what they took and the processor time of each, milliseconds."""
        before = self.cpu_ms()
        self.process.stdin.write(f"{kind} {count}\n")
        self.process.stdin.flush()
        said = json.loads(self.line())
        said["cpu_ms"] = (self.cpu_ms() - before) / count
        return said

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def approve(view):
    """Lets Permit2 move eighty tokens of the payer, once for all: each client could do so itself."""
    os.environ["BASE_MAINNET_RPC"] = view["rpc_url"]
    code = (
        "import opengradient as og, sys; "
        "og.LLM(sys.argv[1], rpc_url=sys.argv[2]).ensure_opg_approval(min_allowance=80, approve_amount=80)"
    )
    subprocess.run([sys.executable, "-c", code, view["funded_key"], view["rpc_url"]], check=True)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def steady(network, keeping):
    """Calls in turns: a round of each client, then the next round in the opposite order."""
    clients = {name: Client(name, network) for name in Client.NAMES}
    clients[Client.SESSION] = Client(Client.SESSION, keeping)
    measured = {(name, kind): collections.defaultdict(list) for name in clients for kind in ("plain", "stream")}
    answers = set()
    for client in clients.values():
        client.calls("plain", 3), client.calls("stream", 3)
    for turn in range(max(1, args.calls // ROUND)):
        for kind in ("plain", "stream"):
            for name in list(clients)[:: 1 if turn % 2 == 0 else -1]:
                said = clients[name].calls(kind, ROUND)
                answers.add(said["answer"])
                seen = measured[name, kind]
                seen["cpu_ms"].append(said["cpu_ms"])
                seen["latency_us"] += said["latency_us"]
                seen["first_us"] += said["first_us"]
    for client in clients.values():
        client.end()
    assert len(answers) == 1, "the clients were answered differently"
    return measured


def cold(network):
    """From the start of the process to the first answer, each time with a new process and empty books."""
    seen = {name: collections.defaultdict(list) for name in Client.NAMES}
    for _ in range(args.cold):
        for name in Client.NAMES:
            client = Client(name, network)
            said = client.calls("plain", 1)
            seen[name]["ready_ms"].append(client.ready_s * 1e3)
            seen[name]["first_ms"].append(said["latency_us"][0] / 1e3)
            seen[name]["total_ms"].append((time.monotonic() - client.started) * 1e3)
            seen[name]["cpu_ms"].append(client.cpu_ms())
            client.end()
    return seen


def counted(names, sessions):
    """Requests to the enclave and to the chain: of the first call with all that it needs, and of steady calls."""
    network = Network(args.seamline, sessions, log="seamline_enclave::access=debug")
    proxy = CountingProxy(network.view["rpc_url"])
    try:
        approve(network.view)
        rows = {}
        for name in names:
            def snapshot():
                return network.asked(), *proxy.seen()

            def between(before, after, count):
                asked, calls = after[0] - before[0], after[2] - before[2]
                return {
                    "enclave": sum(asked.values()) / count,
                    "asked": {key: value / count for key, value in asked.items()},
                    "rpc_requests": (after[1] - before[1]) / count,
                    "rpc_calls": sum(calls.values()) / count,
                    "calls": {key: value / count for key, value in calls.items()},
                }

            start = snapshot()
            client = Client(name, network, {**network.view, "rpc_url": proxy.url})
            client.calls("plain", 1)
            first = snapshot()
            rows[name, "first"] = between(start, first, 1)
            client.calls("plain", 2), client.calls("stream", 2)
            for kind in ("plain", "stream"):
                before = snapshot()
                client.calls(kind, COUNTED)
                rows[name, kind] = between(before, snapshot(), COUNTED)
            client.end()
        return rows
    finally:
        proxy.stop()
        network.stop()


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / 1024 / 1024
    load = os.getloadavg()[0]
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()
    return (
        f"{len(models)} × {models[0] if models else platform.machine()}, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, Rust {rust[1] if len(rust) > 1 else '?'}, load before {load:.2f}"
    )


def ms(value):
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def number(value):
    return f"{value:.2f}".rstrip("0").rstrip(".")


def listing(counts):
    return ", ".join(f"{number(value)} `{key}`" for key, value in sorted(counts.items(), key=lambda it: -it[1])) or "none"


def main():
    print(f"{machine()}\n", flush=True)
    requests = counted(Client.NAMES, False) | counted([Client.SESSION], True)
    with contextlib.ExitStack() as running:
        network, keeping = Network(args.seamline), Network(args.seamline, sessions=True)
        running.callback(keeping.stop)
        running.callback(network.stop)
        approve(network.view), approve(keeping.view)
        first, measured = cold(network), steady(network, keeping)

    each = max(1, args.calls // ROUND) * ROUND
    print(f"Steady calls, one after the other, {each} of each client and kind in {each // ROUND} rounds that take turns:\n")
    print("| steady call | client CPU ms, median round (least–most) | p50 ms | p99 ms | first text p50 ms | requests to the enclave | to the chain | RPC calls |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in ("plain", "stream"):
        for name in [Client.NAMES[0], Client.SESSION, *Client.NAMES[1:]]:
            seen, asked = measured[name, kind], requests[name, kind]
            cpu, latency, text = seen["cpu_ms"], seen["latency_us"], seen["first_us"]
            # Without a stream there is no text before the answer.
            early = ms(statistics.median(text) / 1e3) if kind == "stream" and text else "–"
            print(
                f"| {name}, {'streamed' if kind == 'stream' else 'whole'} | {statistics.median(cpu):.2f} ({min(cpu):.2f}–{max(cpu):.2f}) "
                f"| {ms(percentile(latency, 50) / 1e3)} | {ms(percentile(latency, 99) / 1e3)} | {early} "
                f"| {number(asked['enclave'])} | {number(asked['rpc_requests'])} | {number(asked['rpc_calls'])} |"
            )
    print(f"\nCold, a new process with empty books each time, medians of {args.cold}; requests are those of the whole first call, start included:\n")
    print("| cold | process start to ready ms | first call ms | start to answer ms | client CPU ms | requests to the enclave | to the chain | RPC calls |")
    print("|---|---|---|---|---|---|---|---|")
    for name in Client.NAMES:
        seen, asked = first[name], requests[name, "first"]
        median = {key: statistics.median(values) for key, values in seen.items()}
        print(
            f"| {name} | {ms(median['ready_ms'])} | {ms(median['first_ms'])} | {ms(median['total_ms'])} | {ms(median['cpu_ms'])} "
            f"| {number(asked['enclave'])} | {number(asked['rpc_requests'])} | {number(asked['rpc_calls'])} |"
        )
    print("\nWhat was asked, per call:\n")
    for (name, kind), asked in requests.items():
        what = {"first": "first call", "plain": "steady, whole", "stream": "steady, streamed"}[kind]
        print(f"- {name}, {what}: enclave {listing(asked['asked'])}; chain {listing(asked['calls'])}")


# Whoever ends this ends the networks too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
main()
