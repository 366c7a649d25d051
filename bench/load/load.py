"""Load on one enclave: called by bench/load/run. Server and load are processes of their own on the same cores."""

import argparse
import json
import os
import platform
import re
import subprocess
import tempfile
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--enclave", required=True)
parser.add_argument("--surge", required=True)
parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
parser.add_argument("--rate", type=int, default=100, help="requests per second of the measurement of latency")
parser.add_argument("--streams", default="250,500,1000", help="streams at once")
parser.add_argument("--perf", help="record the enclave with perf in this mode only, and print where its time goes")
args = parser.parse_args()

MODES = [
    # name, mode of the server, how the load pays, whether the paywall's books are a file
    ("bare mock upstream", "bare", "free", False),
    ("and one signature", "signed", "free", False),
    ("enclave, session", "enclave", "session", False),
    ("enclave, upto per call", "enclave", "upto", False),
    ("enclave, upto per call, books on disk", "enclave", "upto", True),
]


class Server:
    def __init__(self, mode, books):
        self.folder = tempfile.TemporaryDirectory(prefix="seamline-load-")
        store = [os.path.join(self.folder.name, "paywall.redb")] if books else []
        self.process = subprocess.Popen(
            [args.enclave, mode, *store], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the server ended with {self.process.wait()}")
        self.view = json.loads(line)

    def cpu_ms(self):
        # clock_getcpuclockid(3): user and system time of all threads.
        return time.clock_gettime_ns(~self.process.pid << 3 | 2) / 1e6

    def memory_mib(self, what="VmRSS"):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith(what + ":"):
                    return int(line.split()[1]) / 1024
        return 0

    def load(self, paying, kind, connections, seconds=args.seconds, rate=0):
        before, own = self.cpu_ms(), sum(os.times()[2:4])
        ran = subprocess.run(
            [args.surge, self.view["address"], self.view["certificate"], paying, kind, str(connections), str(seconds), str(rate)],
            capture_output=True, text=True, timeout=120,
        )
        if ran.returncode:
            raise SystemExit(f"{paying} {kind} {connections}: {ran.stderr[-500:]}")
        said = json.loads(ran.stdout)
        if said["refused"]:
            raise SystemExit(f"{paying} {kind} {connections}: {said['refused']} of {said['count']} were refused")
        said["cpu_ms"] = self.cpu_ms() - before
        said["load_cpu_ms"] = (sum(os.times()[2:4]) - own) * 1e3
        said["per_s"] = said["count"] / (said["wall_us"] / 1e6)
        return said

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return f"{len(models)} × {models[0] if models else platform.machine()}, {platform.system()} {platform.release()}, load before {os.getloadavg()[0]:.2f}"


def ms(micros):
    value = micros / 1e3
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def floor():
    before = sum(os.times()[2:4])
    ours = json.loads(subprocess.run([args.enclave, "floor"], capture_output=True, text=True, check=True).stdout)
    cpu = sum(os.times()[2:4]) - before
    # Two seconds each.
    each = cpu * 1e3 / (2 * (ours["one_thread_per_s"] + ours["two_threads_per_s"]))
    print("RSA-2048 signatures per second on this machine:\n")
    print("| what | per s | CPU ms each |")
    print("|---|---|---|")
    for name, key in (("aws-lc-rs, PSS, one thread", "one_thread_per_s"), ("aws-lc-rs, PSS, two threads", "two_threads_per_s")):
        print(f"| {name} | {ours[key]} | {each:.3f} |")
    try:
        said = subprocess.run(["openssl", "speed", "-seconds", "2", "rsa2048"], capture_output=True, text=True).stdout
        version = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()[1]
        found = re.search(r"rsa\s+2048 bits\s+[\d.]+s\s+[\d.]+s(?:\s+[\d.]+s\s+[\d.]+s)?\s+([\d.]+)", said)
        if found:
            # Of processor time, not of time.
            print(f"| `openssl speed rsa2048` ({version}), PKCS #1, one thread | {float(found[1]):.0f} | {1e3 / float(found[1]):.3f} |")
    except FileNotFoundError:
        pass
    print(flush=True)
    # What two cores could sign, whatever else ran meanwhile.
    return 2e3 / each


def whole():
    print("Whole answers of a hundred words; the load runs on the same cores and its share is named:\n")
    print(f"| what | per s at 1 | at 8 | at 32 | enclave CPU ms each, at 8 | load CPU ms each | p50 ms at {args.rate} per s | p99 ms | memory MiB at rest | after |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    bare, measured = None, {}
    for name, mode, paying, books in MODES:
        server = Server(mode, books)
        try:
            rest = server.memory_mib()
            server.load(paying, "whole", 8, seconds=1)
            runs = {connections: server.load(paying, "whole", connections) for connections in (1, 8, 32)}
            steady = server.load(paying, "whole", 16, seconds=args.seconds + 2, rate=args.rate)
            after = server.memory_mib("VmHWM")
        finally:
            server.end()
        bare = bare or steady
        eight = runs[8]
        added = "" if steady is bare else f" (+{ms(steady['p99_us'] - bare['p99_us'])})"
        measured[name] = eight["per_s"]
        print(
            f"| {name} | {runs[1]['per_s']:.0f} | {eight['per_s']:.0f} | {runs[32]['per_s']:.0f} | {eight['cpu_ms'] / eight['count']:.2f} "
            f"| {eight['load_cpu_ms'] / eight['count']:.2f} | {ms(steady['p50_us'])} | {ms(steady['p99_us'])}{added} | {rest:.1f} | {after:.1f} |",
            flush=True,
        )
    return measured


def streamed():
    print("\nStreams of a hundred words at twenty words a second, all at once (5 s); between two pieces lie 50 ms at best:\n")
    print("| what | streams at once | complete | gap p50 ms | gap p99 ms | whole stream p50 ms | p99 ms | enclave CPU % of one core | memory MiB at rest | most |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, mode, paying, books in (MODES[0], MODES[2]):
        for streams in (int(number) for number in args.streams.split(",")):
            server = Server(mode, books)
            try:
                rest = server.memory_mib()
                said = server.load(paying, "paced", streams)
                most = server.memory_mib("VmHWM")
            finally:
                server.end()
            # A bare stream has a frame for each word and its end; an enclave's one more, the signed one.
            frames = said["frames"] / said["count"]
            print(
                f"| {name} | {streams} | {said['count']} ({frames:.0f} frames) | {ms(said['gap_p50_us'])} | {ms(said['gap_p99_us'])} | {ms(said['p50_us'])} | {ms(said['p99_us'])} "
                f"| {said['cpu_ms'] / said['wall_us'] * 1e5:.0f} | {rest:.1f} | {most:.1f} |",
                flush=True,
            )


def perf(wanted):
    """Records one mode under load, and sums the samples of the enclave by symbol."""
    name, mode, paying, books = next(entry for entry in MODES if entry[0] == wanted)
    server = Server(mode, books)
    try:
        server.load(paying, "whole", 8, seconds=1)
        data = os.path.join(server.folder.name, "perf.data")
        recorder = subprocess.Popen(
            ["perf", "record", "-q", "-F", "997", "-p", str(server.process.pid), "-o", data, "--", "sleep", "4"],
            stderr=subprocess.DEVNULL,
        )
        load = threading.Thread(target=server.load, args=(paying, "whole", 8, 6))
        load.start()
        recorder.wait()
        load.join()
        for sort in ("dso", "symbol"):
            said = subprocess.run(
                ["perf", "report", "-i", data, "--stdio", "--percent-limit", "0.5", "--sort", sort], capture_output=True, text=True
            ).stdout
            print(f"\n{name}, by {sort}:\n")
            for line in said.splitlines():
                if line and not line.startswith("#"):
                    # Behind the symbol there are only blanks and dashes.
                    print(line.rstrip(" -"))
    finally:
        server.end()


# The server ends with its standard input, whatever ends this.
print(f"{machine()}\n", flush=True)
if args.perf:
    perf(args.perf)
else:
    most = floor()
    rates = whole()
    print(f"\nOf {most:.0f} signatures per second, which is what two cores make and do nothing else: TLS, HTTP and the load come on top:")
    for name, rate in rates.items():
        if name != MODES[0][0]:
            print(f"- {name}: {100 * rate / most:.0f} %")
    streamed()
