"""A running `seamline up --opengradient` with one enclave, and a proxy that counts what is asked of its chain."""

import collections
import http.client
import http.server
import json
import os
import signal
import subprocess
import tempfile
import threading
import urllib.parse


class Network:
    """Starts the network in a home of its own and takes all nodes but the last out of the registry.

    The SDK draws its node at random and Seamline decides: with one candidate, both ask the same enclave."""

    def __init__(self, seamline, sessions=False, log=None):
        self.seamline = seamline
        self.home = tempfile.TemporaryDirectory(prefix="seamline-opengradient-bench-")
        # Keys of whoever runs this have no place here; the network would refuse to start.
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("SEAMLINE_")}
        self.log_path = os.path.join(self.home.name, "up.log")
        env = {**self.env, "SEAMLINE_LOG": log} if log else self.env
        with open(self.log_path, "w") as said:
            self.child = subprocess.Popen(
                self.args("up", "--opengradient", "--json", *["--sessions"] * sessions), stdout=subprocess.PIPE, stderr=said, env=env, text=True
            )
        line = self.child.stdout.readline()
        if not line:
            self.child.wait()
            raise SystemExit("seamline up --opengradient did not start:\n" + open(self.log_path).read())
        self.view = json.loads(line)
        *others, self.node = self.view["nodes"]
        for node in others:
            self.run("--network", self.view["network_file"], "registry", "revoke", node["measurement"], "--json")

    def args(self, *args):
        return [self.seamline, "--home", os.path.join(self.home.name, "home"), *args]

    def run(self, *args):
        ran = subprocess.run(self.args(*args), env=self.env, capture_output=True, text=True, timeout=60)
        if ran.returncode:
            raise SystemExit(f"seamline {' '.join(args)}: {ran.stderr}")

    def folder(self, name):
        path = os.path.join(self.home.name, name)
        os.makedirs(path)
        return path

    def asked(self):
        """The requests that the enclaves have noted in their log so far, by method and route."""
        counts = collections.Counter()
        with open(self.log_path) as log:
            for line in log:
                if "seamline_enclave::access" in line:
                    fields = dict(field.split("=", 1) for field in line.split() if "=" in field)
                    counts[f"{fields['method']} {fields['route']}".replace('"', "")] += 1
        return counts

    def stop(self):
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.home.cleanup()


class CountingProxy:
    """Passes JSON-RPC on, and counts HTTP requests and the calls in them by method."""

    def __init__(self, url):
        upstream = urllib.parse.urlparse(url)
        self.requests, self.calls, self.lock = 0, collections.Counter(), threading.Lock()
        counter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            onward = None

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                asked = json.loads(body)
                with counter.lock:
                    counter.requests += 1
                    counter.calls.update(call["method"] for call in (asked if isinstance(asked, list) else [asked]))
                self.onward = self.onward or http.client.HTTPConnection(upstream.hostname, upstream.port)
                self.onward.request("POST", upstream.path or "/", body, {"content-type": "application/json"})
                answer = self.onward.getresponse()
                said = answer.read()
                self.send_response(answer.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def seen(self):
        with self.lock:
            return self.requests, self.calls.copy()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
