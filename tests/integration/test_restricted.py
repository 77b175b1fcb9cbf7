#!/usr/bin/env python3
"""A feed for professionals (spec/feed.md [HTTP-8] [HTTP-9]): its readers pull it or get it pushed over mutual TLS; for everybody else it does not exist, and
nobody relays it."""
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "python")]
import feedkit  # noqa: E402
import tap  # noqa: E402
from nodes import KAARTCTL, Nodes, Peer, section  # noqa: E402

PERSON = {"kind": "professional", "id": "5a0d9a0e-9f2e-4b53-8c1d-6f0f4f0c8d11",
          "body": {"name": "Persoon Verzonnen", "basis": "consent", "status": "active"}}


class Restricted(unittest.TestCase):
    """Houten lets Nieuwegein read its professionals' feed. Nieuwegein relays what is public to IJsselstein."""

    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.houten, self.nieuwegein, self.ijsselstein = (
            self.nodes.add(name, areas=[area]) for name, area in
            (("houten.example", "GM0321"), ("nieuwegein.example", "GM0356"), ("ijsselstein.example", "GM0353")))
        self.feed = "houten.example/professionals"
        key_file = os.path.join(self.houten.directory, "professionals.key")
        subprocess.run([KAARTCTL, "keygen", self.feed, key_file], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with open(key_file, encoding="ascii") as file:
            self.verifier = feedkit.SigningKey.parse(file.read()).verifier
        self.houten.extra = section("feed professionals", dict(key=key_file, readers=["nieuwegein.example"]))
        self.keys = [str(self.houten.verifier), str(self.verifier)]

    def fill(self):
        path = self.houten.write("person.json", [PERSON])
        self.houten.ctl("import", path, "--source", "editor-desk", "--role", "editor", "--feed", "professionals")

    def size_at(self, node):
        """What a node that is asked by its operator holds of the feed."""
        for feed in node.json("feeds"):
            if feed["feed"] == self.feed and feed.get("size"):
                return feed["size"]
        return 0

    def test_readers_pull_and_nobody_else(self):
        self.houten.peers = [Peer(self.nieuwegein, pull_every="1h"), Peer(self.ijsselstein, pull_every="1h")]
        self.nieuwegein.peers = [Peer(self.houten, feed_keys=self.keys), Peer(self.ijsselstein, pull_every="1h")]
        self.ijsselstein.peers = [Peer(self.houten, feed_keys=self.keys), Peer(self.nieuwegein, relay=True)]
        for node in (self.houten, self.nieuwegein, self.ijsselstein):
            node.start()
        self.fill()
        self.nodes.wait(lambda: self.size_at(self.nieuwegein) == 1, what="the professionals' feed at its reader")
        self.nodes.wait(lambda: self.ijsselstein.holds(self.houten), what="the public feed at everybody")
        states = {feed["feed"]: feed["state"] for feed in self.ijsselstein.peer_state("houten.example")["feeds"]}
        self.assertEqual(states[self.feed], "absent")
        relayed = [feed["feed"] for feed in self.ijsselstein.peer_state("nieuwegein.example")["feeds"]]
        self.assertNotIn(self.feed, relayed, "nobody is asked to relay a restricted feed")
        self.assertEqual(self.size_at(self.ijsselstein), 0)
        for node in (self.houten, self.nieuwegein):  # a stranger, without certificate
            source = node.source()
            status, _, listing = source.request("/v1/feeds")
            self.assertEqual(status, 200)
            self.assertNotIn(b"professionals", listing)
            self.assertEqual(source.request(f"/v1/feeds/{self.feed}/checkpoint")[0], 404)
            source.close()

    def test_readers_get_it_pushed_and_nobody_else(self):
        self.houten.peers = [Peer(self.nieuwegein, push=True, pull_every="1h"), Peer(self.ijsselstein, push=True, pull_every="1h")]
        self.nieuwegein.peers = [Peer(self.houten, url=None, feed_keys=self.keys)]
        self.ijsselstein.peers = [Peer(self.houten, url=None, feed_keys=self.keys)]
        for node in (self.nieuwegein, self.ijsselstein, self.houten):
            node.start()
        self.fill()
        self.nodes.wait(lambda: self.size_at(self.nieuwegein) == 1, what="the professionals' feed at its reader")
        self.nodes.wait(lambda: self.ijsselstein.holds(self.houten), what="the public feed at everybody")
        pushes = [push["feed"] for push in self.houten.peer_state("ijsselstein.example")["pushes"]]
        self.assertIn(self.houten.feed, pushes)
        self.assertNotIn(self.feed, pushes)
        self.assertEqual(self.size_at(self.ijsselstein), 0)


if __name__ == "__main__":
    tap.main()
