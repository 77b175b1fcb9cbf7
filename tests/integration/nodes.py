"""Real nodes on loopback, for the integration tests and the demo: keys, certificates, configurations, processes.

    with Nodes() as nodes:
        houten = nodes.add("houten.example", areas=["GM0321"])
        nieuwegein = nodes.add("nieuwegein.example", areas=["GM0356"])
        nieuwegein.peers = [Peer(houten)]
        houten.start(); nieuwegein.start()
        houten.put("organization", {...})
        nodes.wait(lambda: nieuwegein.held("houten.example/public") == houten.held("houten.example/public"))

Everything lives in one temporary directory. A process that is left over is ended when the block ends, by its own id.
"""
import base64
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from cryptography import x509
from cryptography.hazmat.primitives import serialization

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
sys.path.insert(0, os.path.join(ROOT, "tests", "python"))
import kaartd_verify as kv  # noqa: E402

KAARTD = os.path.join(BUILD, "kaartd")
KAARTCTL = os.path.join(BUILD, "kaartctl")
START_S = 30  # a node that has not answered by then will not
STOP_S = 30


class Failed(Exception):
    """A command or node did not do what it must."""


def free_port():
    """A port that was free a moment ago; nodes.start tries another one if it was taken meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(directory, name):
    """A self-signed certificate for 127.0.0.1 with the openssl command: (certificate, key, pin)."""
    certificate, key = os.path.join(directory, "tls.crt"), os.path.join(directory, "tls.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:127.0.0.1,DNS:{name}", "-keyout", key, "-out", certificate],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o600)
    return certificate, key, pin_of(certificate)


def pin_of(certificate):
    with open(certificate, "rb") as file:
        public = x509.load_pem_x509_certificate(file.read()).public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256/" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


def quoted(value):
    """A value as the configuration writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "{ " + ", ".join(quoted(item) for item in value) + " }"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def section(head, options):
    lines = [f"  {name.replace('_', '-')} = {quoted(value)}" for name, value in options.items() if value is not None]
    return head + " {\n" + "\n".join(lines) + "\n}\n"


class Peer:
    """A peer section about another node; options override what is taken from it."""

    def __init__(self, node, **options):
        self.node, self.options = node, options

    def section(self):
        options = dict(url=self.node.url, feed_keys=[str(self.node.verifier)], tls_pins=[self.node.pin], areas=self.node.areas,
                       pull_every="1s", full_sync_every="1s")
        options.update(self.options)
        name = options.pop("name", self.node.name)
        return section(f"peer {name}", options)


class Node:
    def __init__(self, directory, name, areas=(), own_feed=True, **options):
        self.directory, self.name, self.areas, self.options = directory, name, list(areas), options
        self.feed, self.own_feed = f"{name}/public", own_feed
        self.peers, self.sources = [], []  # Peer objects; (name, options)
        self.extra = ""                    # more text for the configuration
        self.process = None
        self.environment = {}              # more of it, for tests under another clock
        self.state = os.path.join(directory, "state")
        self.config = os.path.join(directory, "kaartd.conf")
        self.log = os.path.join(directory, "log")
        self.key_file = os.path.join(directory, "public.key")
        os.makedirs(self.state)
        self.certificate, self.tls_key, self.pin = make_certificate(directory, name)
        self.port = free_port()
        subprocess.run([KAARTCTL, "keygen", self.feed, self.key_file], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.verifier = self.read_key().verifier

    def read_key(self):
        import feedkit
        with open(self.key_file, encoding="ascii") as file:
            return feedkit.SigningKey.parse(file.read())

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def database(self):
        return os.path.join(self.state, "feeds.db")

    # ---- configuration ----

    def config_text(self):
        node = dict(name=self.name, state=self.state, own_head=os.path.join(self.directory, "own-head"), areas=self.areas,
                    client_certificate=self.certificate, client_key=self.tls_key, guard_peers=0)
        node.update(self.options)
        parts = [section("node", node), section("feed public", dict(key=self.key_file, licence="CC0-1.0")) if self.own_feed else "",
                 section("listen public", dict(address=f"127.0.0.1:{self.port}", tls_certificate=self.certificate, tls_key=self.tls_key))]
        parts += [peer.section() for peer in self.peers]
        parts += [section(f"source {name}", options) for name, options in self.sources]
        return "\n".join(parts) + self.extra

    def write_config(self):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(self.config_text())

    # ---- the process ----

    def start(self, wait=True, write=True):
        if write:
            self.write_config()
        log = open(self.log, "ab")
        # a session of its own: Ctrl-C at the demo is ours to pass on, in order
        self.process = subprocess.Popen([KAARTD, "-c", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        start_new_session=True, env={**os.environ, **self.environment})
        log.close()
        if wait:
            self.await_answer()
        return self

    def await_answer(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            try:
                if self.source().request("/healthz")[0] in (200, 503):
                    return
            except (OSError, http.client.HTTPException, kv.Refused):
                pass
            time.sleep(0.05)
        raise Failed(f"{self.name} does not answer within {START_S} s:\n{self.tail()}")

    def stop(self):
        """SIGTERM, and the exit code."""
        return self.end(signal.SIGTERM)

    def kill(self):
        return self.end(signal.SIGKILL)

    def end(self, number):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"{self.name} did not end within {STOP_S} s:\n{self.tail()}") from None
        finally:
            self.process = None
        return code

    def reload(self, write=True):
        if write:
            self.write_config()
        self.process.send_signal(signal.SIGHUP)

    def tail(self, lines=30):
        with open(self.log, "rb") as file:
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])

    # ---- asking it ----

    def run(self, *arguments, timeout=60, stdin=None):
        """kaartctl, whatever comes of it."""
        return subprocess.run([KAARTCTL, "-c", self.config, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              input=stdin, stdin=subprocess.DEVNULL if stdin is None else None, timeout=timeout, check=False)

    def ctl(self, *arguments, timeout=60, stdin=None):
        """kaartctl that must succeed: its output."""
        done = self.run(*arguments, timeout=timeout, stdin=stdin)
        if done.returncode != 0:
            raise Failed(f"kaartctl {' '.join(map(str, arguments))} ended with {done.returncode}: "
                         f"{(done.stderr or done.stdout).decode('utf-8', 'replace')}\n{self.tail(10)}")
        return done.stdout.decode("utf-8")

    def json(self, *arguments, **named):
        return json.loads(self.ctl(*arguments, "--json", **named))

    def put(self, record, source="editor-desk", role="editor"):
        return self.ctl("put", record["kind"], record["id"], self.write("put.json", record["body"]), "--source", source, "--role", role)

    def retract(self, record, source="editor-desk"):
        return self.ctl("retract", record["kind"], record["id"], "--source", source)

    def peer_state(self, name):
        """What `kaartctl peers --json` says about one peer."""
        for peer in self.json("peers"):
            if peer["peer"] == name:
                return peer
        return None

    def refusals(self):
        """How many transfers were refused, by reason."""
        total = {}
        for peer in self.json("peers"):
            for reason, count in peer.get("refusals", {}).items():
                total[reason] = total.get(reason, 0) + count
        return total

    def write(self, name, document):
        """A file in the node's directory, for import and put."""
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            if isinstance(document, str):
                file.write(document)
            else:
                json.dump(document, file, ensure_ascii=False)
        return path

    def load(self, records, source="editor-desk", role="editor", name="import.json"):
        """Records through kaartctl import."""
        return self.ctl("import", self.write(name, records), "--source", source, "--role", role, timeout=300)

    def source(self, **options):
        """An HTTPS client for the second implementation."""
        return kv.Source(self.url, pin=self.pin, **options)

    def subscriber(self):
        return kv.Subscriber(self.feed, [self.verifier])

    def checkpoint(self, feed, verifier):
        """The checkpoint it serves of a feed, opened; None if it has none."""
        source = self.source()
        try:
            status, _, body = source.request(f"/v1/feeds/{feed}/checkpoint")
        finally:
            source.close()
        return kv.open_checkpoint(body, feed, [verifier]) if status == 200 else None

    def holds(self, other):
        """Whether it serves the state of another node's feed that that node serves."""
        mine, theirs = self.checkpoint(other.feed, other.verifier), other.checkpoint(other.feed, other.verifier)
        return mine is not None and theirs is not None and (mine.epoch, mine.size, mine.root) == (theirs.epoch, theirs.size, theirs.root)

    def lines(self, feed, verifier):
        """The live lines it serves of a feed, verified by the second implementation."""
        subscriber = kv.Subscriber(feed, [verifier])
        source = self.source()
        try:
            outcome = kv.synchronise(subscriber, source)
        finally:
            source.close()
        if outcome != "applied":
            raise Failed(f"{feed} from {self.name}: {outcome} {subscriber.reason}")
        return subscriber.lines


def organisation(number, **members):
    """A record for tests; its id says its number."""
    body = {"name": f"Stichting Proef {number}", "description": f"Verzonnen, nummer {number}.", "status": "active", **members}
    return {"kind": "organization", "id": f"00000000-0000-4000-8000-{number:012}", "body": body}


class Nodes:
    def __init__(self, keep=False):
        self.directory = tempfile.mkdtemp(prefix="kaartd-")
        self.all, self.keep = [], keep

    def add(self, name, directory=None, **options):
        path = os.path.join(self.directory, directory or name.split(".")[0])
        os.makedirs(path)
        node = Node(path, name, **options)
        self.all.append(node)
        return node

    def wait(self, condition, timeout=30, what="what was waited for", every=0.05):
        """Until condition() is true; its value. Failed after `timeout` seconds, with the last lines of every log."""
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            for node in self.all:
                if node.process and node.process.poll() is not None:
                    raise Failed(f"{node.name} ended with {node.process.returncode}:\n{node.tail()}")
            if time.monotonic() > deadline:
                logs = "".join(f"--- {node.name}\n{node.tail(15)}\n" for node in self.all)
                raise Failed(f"{what} did not come within {timeout} s\n{logs}")
            time.sleep(every)

    def close(self):
        for node in self.all:
            if node.process and node.process.poll() is None:
                node.process.kill()
                node.process.wait()
        if not self.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
