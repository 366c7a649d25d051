"""A running `seamline up --opengradient`, and its home."""

import json
import os
import signal
import subprocess
import tempfile
import threading


class Network:
    """Starts the network in a home of its own; ends it, by Ctrl-C as a person would."""

    def __init__(self, seamline):
        self.seamline = seamline
        self.home = tempfile.TemporaryDirectory(prefix="seamline-opengradient-")
        # Keys of whoever runs this have no place here; the network would refuse to start.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SEAMLINE_")}
        self.log = open(os.path.join(self.home.name, "up.log"), "w+")
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
