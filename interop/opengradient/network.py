"""A running `seamline up --opengradient`, and its home."""

import hashlib
import json
import os
import signal
import subprocess
import tempfile
import threading


MODELS = os.path.join(os.path.dirname(__file__), "..", "..", "spec", "vectors", "models")


class Network:
    """Starts the network in a home of its own; ends it, by Ctrl-C as a person would."""

    def __init__(self, seamline, models=()):
        self.seamline = seamline
        self.home = tempfile.TemporaryDirectory(prefix="seamline-opengradient-")
        # Keys of whoever runs this have no place here; the network would refuse to start.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SEAMLINE_")}
        self.log = open(os.path.join(self.home.name, "up.log"), "w+")
        # The network runs the models of its home.
        self.models = {}
        for name in models:
            added = self.run("model", "add", os.path.join(MODELS, f"{name}.onnx"), "--json")
            if added.returncode:
                raise SystemExit("seamline model add failed:\n" + added.stderr)
            self.models[name] = json.loads(added.stdout)["id"]
        self.child = subprocess.Popen(
            self.args("up", "--opengradient", "--dead-node", "--json"),
            stdout=subprocess.PIPE, stderr=self.log, env=self.env, text=True,
        )
        guard = threading.Timer(120, self.child.kill)
        guard.start()
        line = self.child.stdout.readline()
        guard.cancel()
        if not line:
            self.child.wait()
            self.log.seek(0)
            raise SystemExit("seamline up --opengradient did not start:\n" + self.log.read())
        self.view = json.loads(line)
        self.alive = [node for node in self.view["nodes"] if node["name"] != "dead"]
        (self.dead,) = [node for node in self.view["nodes"] if node["name"] == "dead"]

    def args(self, *args):
        return [self.seamline, "--home", os.path.join(self.home.name, "home"), *args]

    def run(self, *args, **options):
        """Runs another command in the same home; returns the finished process."""
        return subprocess.run(
            self.args(*args), env=self.env, capture_output=True, text=True, timeout=120, **options
        )

    def relay(self):
        """`seamline relay` in this home, which the network's own key pays for."""
        return Relay(self)

    def stop(self):
        self.child.send_signal(signal.SIGINT)
        try:
            status = self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise SystemExit("seamline up --opengradient did not stop")
        self.log.seek(0)
        self.said = self.log.read()
        self.log.close()
        self.home.cleanup()
        return status


class Relay:
    """A running `seamline relay` with one account holder, whose token is `token`."""

    token = "a token of the account holder"

    def __init__(self, network):
        self.network = network

    def __enter__(self):
        folder = self.network.home.name
        accounts = os.path.join(folder, "accounts.toml")
        with open(accounts, "w") as file:
            digest = hashlib.sha256(self.token.encode()).hexdigest()
            file.write(f'[[account]]\ntoken_sha256 = "{digest}"\nper_day = "20"\nper_minute = 60\nat_once = 4\n')
        self.log = open(os.path.join(folder, "relay.log"), "w+")
        self.child = subprocess.Popen(
            self.network.args(
                "--network", self.network.view["network_file"], "relay",
                "--accounts", accounts, "--max-price", "2", "--listen", "127.0.0.1:0", "--json",
            ),
            stdout=subprocess.PIPE, stderr=self.log, env=self.network.env, text=True,
        )
        guard = threading.Timer(120, self.child.kill)
        guard.start()
        line = self.child.stdout.readline()
        guard.cancel()
        if not line:
            self.child.wait()
            raise AssertionError("seamline relay did not start: " + self.said())
        self.url = json.loads(line)["url"]
        return self

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def kept(self):
        """All bytes of the relay's receipts and books, and what it said."""
        home = os.path.join(self.network.home.name, "home")
        files = [os.path.join(home, "relay.redb"), os.path.join(home, "journal.redb")]
        receipts = os.path.join(home, "receipts")
        files += [os.path.join(receipts, name) for name in os.listdir(receipts)]
        return b"".join(open(path, "rb").read() for path in files) + self.said().encode()

    def __exit__(self, *failure):
        self.child.send_signal(signal.SIGINT)
        try:
            status = self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise AssertionError("seamline relay did not stop")
        if failure == (None, None, None) and status != 0:
            raise AssertionError(f"seamline relay ended with {status}: " + self.said())
