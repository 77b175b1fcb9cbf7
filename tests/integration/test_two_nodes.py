#!/usr/bin/env python3
"""Two real nodes: the first copy, deltas, quiet polls, withdrawal, hints, and a peer that can only be pushed to."""
import hashlib
import hashlib
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation  # noqa: E402

RECORDS = 60


class Pulling(unittest.TestCase):
    """Nieuwegein pulls Houten once a second. The tests run in order of name, each on what the former left."""

    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.houten = cls.nodes.add("houten.example", areas=["GM0321"])
        cls.nieuwegein = cls.nodes.add("nieuwegein.example", areas=["GM0356"])
        cls.nieuwegein.peers = [Peer(cls.houten)]
        cls.houten.start()
        cls.nieuwegein.start()
        cls.houten.load([organisation(i) for i in range(RECORDS)])

    def synced(self):
        return self.nodes.wait(lambda: self.nieuwegein.holds(self.houten), what="the sync")

    def requests(self):
        return self.nieuwegein.peer_state("houten.example")["requests"]

    def there(self):
        return self.nieuwegein.lines(self.houten.feed, self.houten.verifier)

    def test_1_first_copy(self):
        self.synced()
        self.assertEqual(self.there(), self.houten.lines(self.houten.feed, self.houten.verifier))
        self.assertEqual(len(self.there()), RECORDS)

    def test_2_the_map_shows_it(self):
        record = organisation(7)
        self.nodes.wait(lambda: self.nieuwegein.run("get", record["id"], "--json").returncode == 0, what="the record in the map")
        found = self.nieuwegein.json("get", record["id"])
        self.assertEqual(found["record"]["name"], record["body"]["name"])
        self.assertEqual(found["provenance"]["name"]["feed"], self.houten.feed)
        self.nodes.wait(lambda: "Proef 7" in self.nieuwegein.ctl("search", "proef 7"), what="the record in the search")

    def test_3_one_change_is_a_delta(self):
        self.synced()
        self.houten.put(organisation(7, name="Stichting Anders"))
        before = self.nieuwegein.peer_state("houten.example")["bytesIn"]
        self.synced()
        received = self.nieuwegein.peer_state("houten.example")["bytesIn"] - before
        self.assertLess(received, 6000, "one changed record must not cost a copy of everything")
        self.assertEqual(len(self.there()), RECORDS)
        self.assertTrue(any("Stichting Anders".encode() in line for line in self.there()))

    def test_4_a_poll_without_changes_writes_nothing(self):
        self.synced()

        def files():
            out = {}
            for name in ("feeds.db", "feeds.db-wal"):
                path = os.path.join(self.nieuwegein.state, name)
                if os.path.exists(path):
                    with open(path, "rb") as file:
                        out[name] = hashlib.sha256(file.read()).hexdigest()
            return out
        self.nodes.wait(lambda: not self.changes_soon(files), what="a quiet store")  # what was written before is tidied in idle time
        before, polls = files(), self.requests()
        self.nodes.wait(lambda: self.requests() >= polls + 3, what="three polls")
        self.assertEqual(files(), before)

    @staticmethod
    def changes_soon(files):
        before = files()
        time.sleep(3)  # the log is folded in, and dead bytes overwritten, a moment after the last change
        return files() != before

    def test_5_the_answer_to_a_poll_is_304(self):
        source = self.houten.source()
        self.addCleanup(source.close)
        head = self.houten.checkpoint(self.houten.feed, self.houten.verifier)
        path = f"/v1/feeds/{self.houten.feed}/changes?epoch={head.epoch}&since={head.size}"
        status, headers, _ = source.request(path)
        self.assertEqual(status, 200)
        status, _, body = source.request(path, {"If-None-Match": headers["ETag"]})
        self.assertEqual((status, body), (304, b""))
        status, _, _ = source.request(path.replace(f"since={head.size}", "since=0"), {"If-None-Match": headers["ETag"]})
        self.assertEqual(status, 200, "[HTTP-6]: whoever lacks entries gets them")

    def test_6_a_withdrawn_claim_disappears(self):
        record = organisation(9)
        self.houten.retract(record)
        self.synced()
        lines = [line for line in self.there() if record["id"].encode() in line]
        self.assertEqual(len(lines), 1)
        self.assertIn(b'"op":"retract"', lines[0])
        self.nodes.wait(lambda: self.nieuwegein.run("get", record["id"]).returncode != 0, what="the record's end in the map")

    def test_7_after_a_restart_of_either(self):
        self.assertEqual(self.nieuwegein.stop(), 0)
        self.houten.put(organisation(100))
        self.assertEqual(self.houten.stop(), 0)
        for node in (self.houten, self.nieuwegein):  # [ENTRY-11]: what test_6 withdrew is nowhere any more
            for name in os.listdir(node.state):
                with open(os.path.join(node.state, name), "rb") as file:
                    self.assertFalse(b"nummer 9." in file.read(), f"a dead entry's bytes are still in {node.name}'s {name}")
        self.houten.start()
        self.nieuwegein.start()
        self.synced()
        self.assertEqual(self.there(), self.houten.lines(self.houten.feed, self.houten.verifier))

    def test_8_an_unknown_feed_is_404(self):
        source = self.houten.source()
        self.addCleanup(source.close)
        status, headers, _ = source.request("/v1/feeds/nobody.example/public/checkpoint")
        self.assertEqual(status, 404)
        self.assertTrue(headers["Content-Type"].startswith("application/problem+json"))
        self.assertEqual(source.request(f"/v1/feeds/{self.houten.feed}/changes?epoch=1")[0], 400)
        self.assertEqual(source.request(f"/v1/feeds/{self.houten.feed}/changes?epoch=01&since=0")[0], 400)


class Pushing(unittest.TestCase):
    def test_a_hint_makes_a_change_arrive_at_once(self):
        with Nodes() as nodes:
            houten = nodes.add("houten.example", areas=["GM0321"])
            nieuwegein = nodes.add("nieuwegein.example", areas=["GM0356"])
            houten.peers = [Peer(nieuwegein, push=True, pull_every="1h")]
            nieuwegein.peers = [Peer(houten, pull_every="1h")]
            houten.start()
            nieuwegein.start()
            houten.load([organisation(i) for i in range(5)])
            nodes.wait(lambda: nieuwegein.holds(houten), what="the first copy by a hint")
            begun = time.monotonic()
            houten.put(organisation(5))
            nodes.wait(lambda: nieuwegein.holds(houten), what="the change by a hint")
            self.assertLess(time.monotonic() - begun, 10, "a hint must not wait for the hourly pull")

    def test_a_peer_that_cannot_be_reached_pushes(self):
        with Nodes() as nodes:
            houten = nodes.add("houten.example", areas=["GM0321"])
            nieuwegein = nodes.add("nieuwegein.example", areas=["GM0356"])
            houten.peers = [Peer(nieuwegein, push=True, pull_every="1h")]
            nieuwegein.peers = [Peer(houten, url=None)]  # Houten allows outbound connections only
            houten.start()
            nieuwegein.start()
            houten.load([organisation(i) for i in range(300)])
            nodes.wait(lambda: nieuwegein.holds(houten), what="the pushed copy")
            houten.put(organisation(5, name="Stichting Anders"))
            nodes.wait(lambda: nieuwegein.holds(houten), what="the pushed change")
            self.assertEqual(nieuwegein.lines(houten.feed, houten.verifier), houten.lines(houten.feed, houten.verifier))

    def test_a_stranger_may_not_push(self):
        with Nodes() as nodes:
            houten = nodes.add("houten.example", areas=["GM0321"])
            houten.start()
            houten.load([organisation(1)])
            source = houten.source()
            note = source.checkpoint(houten.feed)
            status, _, _ = source.request(f"/v1/feeds/{houten.feed}/checkpoint", {"Content-Type": "text/plain; charset=utf-8"}, "POST", note)
            self.assertEqual(status, 404)


if __name__ == "__main__":
    tap.main()
