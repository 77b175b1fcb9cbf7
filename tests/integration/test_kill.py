#!/usr/bin/env python3
"""kill -9 at random moments: during import, pull, push and source runs, KILLS times in all.

After each restart: the databases are sound, what is served verifies to the byte, no position was ever signed twice with different content
(everything that anybody served is recorded over all rounds), and the sync completes. The seed is printed; KAARTD_SEED repeats a run.
"""
import hashlib
import http.client
import http.server
import json
import os
import random
import sqlite3
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(ROOT, "tests", "python")]
import kaartd_verify as kv  # noqa: E402
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation  # noqa: E402

ROUNDS = int(os.environ.get("KAARTD_KILLS", "56")) // 4
SEED = int(os.environ.get("KAARTD_SEED", str(time.time_ns() % 1_000_000)))
RECORDS = 250
BATCH = 40   # records of one import; imports follow each other until the node is gone
RUN_S = 0.6  # within this after its begin a node is killed: some dozens of transactions


class Record:
    """Everything a feed's origin was ever seen to have signed."""

    def __init__(self):
        self.lines, self.heads, self.lock = {}, {}, threading.Lock()
        self.conflicts = []

    def saw(self, head, entries):
        with self.lock:
            known = self.heads.setdefault((head.epoch, head.size), head.state)
            if known != head.state:
                self.conflicts.append(f"two states signed at epoch {head.epoch} size {head.size}")
            for entry in entries:
                digest = hashlib.sha256(entry.line).digest()
                if self.lines.setdefault((head.epoch, entry.seq), digest) != digest:
                    self.conflicts.append(f"position {entry.seq} signed twice with different content")


class Watcher(threading.Thread):
    """Reads, all the while, whatever a node serves of a feed, and records it."""

    def __init__(self, node, origin, record):
        super().__init__(daemon=True)
        self.node, self.origin, self.record, self.ended = node, origin, record, threading.Event()
        self.faults = []

    def run(self):
        since, epoch = 0, 0
        while not self.ended.wait(0.02):
            source = self.node.source()
            try:
                status, _, body = source.request(f"/v1/feeds/{self.origin.feed}/changes?epoch={epoch}&since={since}")
                if status != 200:
                    continue
                entries, note, following = kv.read_stream(body, since)
                if note is None:
                    since = following  # what lies before is read again when the node starts anew
                    continue
                head = kv.open_checkpoint(note, self.origin.feed, [self.origin.verifier])
                self.record.saw(head, entries)
                epoch, since = head.epoch, head.size
            except (OSError, http.client.HTTPException):
                pass  # it was killed
            except kv.Refused as refused:
                if refused.clause not in ("STREAM-1", "STREAM-8"):  # a response cut short by the kill
                    self.faults.append(str(refused))
            finally:
                source.close()

    def end(self):
        self.ended.set()
        self.join(30)


class Busy(threading.Thread):
    """Does something again and again until it fails or is ended."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.ended, self.count = work, threading.Event(), 0
        self.start()

    def run(self):
        while not self.ended.is_set() and self.work() == 0:
            self.count += 1

    def end(self):
        self.ended.set()
        self.join(60)
        Busy.total += self.count

    total = 0


class Register:
    """A register of contracts, as the source reads it."""

    def __init__(self):
        register = self
        self.rows = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"contracts": register.rows}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/contracts"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


MAPPING = {"mapping": 1, "rows": "/contracts", "records": [
    {"name": "provider", "kind": "organization", "id": {"external": "/id"},
     "fields": {"name": "/name", "description": "/description", "status": {"constant": "active"}}}]}


class Kill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(f"# seed {SEED}, {4 * ROUNDS} kills", flush=True)
        cls.random = random.Random(SEED)
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.register = Register()
        cls.addClassCleanup(cls.register.close)
        cls.origin = cls.nodes.add("houten.example", areas=["GM0321"], allow_plain_http=True)
        cls.puller = cls.nodes.add("nieuwegein.example", areas=["GM0356"])
        cls.pushed = cls.nodes.add("ijsselstein.example", areas=["GM0353"])
        cls.origin.peers = [Peer(cls.pushed, push=True, pull_every="1h")]
        cls.puller.peers = [Peer(cls.origin)]
        cls.pushed.peers = [Peer(cls.origin, url=None)]
        cls.origin.sources = [("register", dict(type="json", url=cls.register.url, mapping=cls.origin.write("mapping.json", MAPPING),
                                                role="contract", every="6h"))]
        cls.record, cls.kills, cls.version = Record(), 0, 0
        for node in cls.nodes.all:
            node.start()
        cls.watchers = [Watcher(node, cls.origin, cls.record) for node in cls.nodes.all]
        for watcher in cls.watchers:
            watcher.start()
            cls.addClassCleanup(watcher.end)
        cls.origin.load(cls.records())

    @classmethod
    def records(cls, share=0.3):
        """Some of the records, each with a content never used before."""
        cls.version += 1
        return [organisation(i, description=f"versie {cls.version} " + "x" * cls.random.randrange(400))
                for i in range(RECORDS) if cls.version == 1 or cls.random.random() < share]

    def doze(self):
        time.sleep(self.random.random() * RUN_S)

    def sound(self, node):
        connection = sqlite3.connect(f"file:{node.database}?mode=ro", uri=True)
        try:
            self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            self.assertEqual(connection.execute("PRAGMA foreign_key_check").fetchall(), [])
        finally:
            connection.close()

    def settled(self, *nodes):
        """After the restart: sound, verifiable, in step, and no second history."""
        for node in nodes:
            self.sound(node)
        for node in (self.puller, self.pushed):
            self.nodes.wait(lambda node=node: node.holds(self.origin), timeout=60, what=f"{node.name}'s sync after kill {self.kills}")
        for node in self.nodes.all:
            subscriber, source = self.origin.subscriber(), node.source()
            try:
                self.assertEqual(kv.synchronise(subscriber, source), "applied", subscriber.reason)
            finally:
                source.close()
            self.record.saw(subscriber.held, subscriber.live.values())
        self.assertEqual(self.record.conflicts, [])
        self.assertEqual([watcher.faults for watcher in self.watchers], [[]] * len(self.watchers))

    def kill(self, node):
        node.kill()
        Kill.kills += 1

    def import_some(self):
        """One kaartctl import of records whose content was never used before; its exit code."""
        chosen = self.random.sample(range(RECORDS), BATCH)
        Kill.version += 1
        records = [organisation(i, description=f"versie {self.version} van {i}") for i in chosen]
        return self.origin.run("import", self.origin.write("again.json", records), "--source", "editor-desk", "--role", "editor").returncode

    def run_source(self):
        """One source run of a register in which everything changed; its exit code."""
        Kill.version += 1
        self.register.rows = [{"id": f"rij-{i}", "name": f"Aanbieder {i}", "description": f"ronde {self.version}"} for i in range(120)]
        return self.origin.run("source", "run", "register").returncode

    def test_1_import(self):
        for _ in range(ROUNDS):
            busy = Busy(self.import_some)
            self.doze()
            self.kill(self.origin)
            busy.end()
            self.origin.start()
            self.settled(self.origin)

    def test_2_pull(self):
        for _ in range(ROUNDS):
            self.puller.stop()
            self.origin.load(self.records())
            self.puller.start(wait=False)
            self.doze()
            self.kill(self.puller)
            self.puller.start()
            self.settled(self.puller)

    def test_3_push(self):
        for number in range(ROUNDS):
            busy = Busy(self.import_some)
            self.doze()
            victim = self.pushed if number % 2 else self.origin
            self.kill(victim)
            busy.end()
            victim.start()
            self.settled(victim)

    def test_4_source_run(self):
        for _ in range(ROUNDS):
            busy = Busy(self.run_source)
            self.doze()
            self.kill(self.origin)
            busy.end()
            self.origin.start()
            self.settled(self.origin)
        self.assertEqual(self.run_source(), 0)
        self.settled(self.origin)
        lines = self.origin.lines(self.origin.feed, self.origin.verifier)
        self.assertGreaterEqual(sum(b'"source":"register"' in line and b'"kind":"organization"' in line for line in lines), 120)

    def test_5_it_was_often_enough(self):
        self.assertEqual(self.kills, 4 * ROUNDS)
        print(f"# {Busy.total} imports and runs ended before a kill; {len(self.record.lines)} positions and "
              f"{len(self.record.heads)} heads were seen signed", flush=True)
        self.assertGreater(Busy.total, self.kills // 4, "the kills came too early to meet anything")
        self.assertGreater(len(self.record.heads), self.kills)


if __name__ == "__main__":
    tap.main()
