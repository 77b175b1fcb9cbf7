#!/usr/bin/env python3
"""An origin that signs two histories (spec/feed.md section 7): noticed by whoever sees both sides, frozen at the state held, led on by a higher epoch only."""
import os
import sqlite3
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "demo"), os.path.join(os.path.dirname(HERE), "python")]
import feedkit  # noqa: E402
import tap  # noqa: E402
from lying_relay import Relay  # noqa: E402
from nodes import Nodes, make_certificate, section  # noqa: E402

FEED = "montfoort.example/public"


class Forks(unittest.TestCase):
    """Montfoort's feed is made here; Lopik pulls it from Montfoort's own server, and knows a hub that shows it as well."""

    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.lopik = self.nodes.add("lopik.example", areas=["GM0331"])
        self.key = feedkit.SigningKey(FEED, bytes(range(1, 33)))
        self.montfoort, self.hub = self.server("montfoort.example"), self.server("hub.example")
        self.hub_key = feedkit.SigningKey("hub.example/public", bytes(range(2, 34)))
        self.history = feedkit.Publisher(self.key)
        for i in range(6):
            self.history.add(record=i)

    def server(self, name):
        directory = os.path.join(self.nodes.directory, name)
        os.makedirs(directory)
        certificate, key, pin = make_certificate(directory, name)
        relay = Relay(certificate, key).start()
        relay.pin = pin
        self.addCleanup(relay.close)
        return relay

    def show(self, relay, publisher):
        relay.serve(FEED, publisher.note(self.key), publisher.lines())

    def start(self, relay_too):
        self.lopik.extra = section("peer montfoort.example", dict(url=self.montfoort.url, feed_keys=[str(self.key.verifier)],
                                                                  tls_pins=[self.montfoort.pin], pull_every="1s", full_sync_every="1s"))
        self.lopik.extra += section("peer hub.example", dict(url=self.hub.url, feed_keys=[str(self.hub_key.verifier)], relay=relay_too,
                                                             tls_pins=[self.hub.pin], pull_every="1s", full_sync_every="1s"))
        self.show(self.montfoort, self.history)
        self.lopik.start()
        self.nodes.wait(lambda: self.holds(self.history), what="the first copy")

    def head(self):
        return self.lopik.checkpoint(FEED, self.key.verifier)

    def in_files(self, text):
        """Files of Lopik's state that have the text."""
        names = [os.path.join(self.lopik.state, name) for name in os.listdir(self.lopik.state)]
        hits = []
        for name in filter(os.path.isfile, names):
            with open(name, "rb") as file:
                if text in file.read():
                    hits.append(name)
        return hits

    def holds(self, publisher):
        head = self.head()
        return head is not None and head.note == publisher.note(self.key)

    def frozen(self, *words):
        def is_frozen():
            states = [feed for peer in self.lopik.json("peers") for feed in peer["feeds"] if feed["feed"] == FEED]
            return any(feed["state"] == "frozen" for feed in states) and str(states)
        text = self.nodes.wait(is_frozen, what="the freeze")
        for word in words:
            self.assertIn(word, text)
        self.assertIn("frozen at", self.lopik.tail(200))
        with sqlite3.connect(f"file:{self.lopik.database}?mode=ro", uri=True) as database:
            reason, proof = database.execute("SELECT frozen, proof FROM feed WHERE name = ?", (FEED,)).fetchone()
        self.assertTrue(reason)
        proof = proof.encode() if isinstance(proof, str) else bytes(proof)
        self.assertTrue(proof.startswith(b"kaartd-fork/v1\n"), proof)
        return proof

    def test_two_states_at_one_size(self):
        self.start(relay_too=False)
        held = self.head()
        other = feedkit.Publisher(self.key, epoch=self.history.epoch)
        for i in range(6):
            other.add(record=i, body={"name": "another history"})
        self.show(self.montfoort, other)
        proof = self.frozen("only a higher epoch under a configured key leads on")
        self.assertNotIn(b"another history", proof, "no proof needs an entry's bytes")
        self.assertEqual(self.head().note, held.note)
        # neither history is followed any further
        self.history.add(record=9)
        self.show(self.montfoort, self.history)
        polls = self.lopik.peer_state("montfoort.example")["requests"]
        self.nodes.wait(lambda: self.lopik.peer_state("montfoort.example")["requests"] >= polls + 3, what="three polls")
        self.assertEqual(self.head().note, held.note)
        # also not after a restart, and the reason is still told
        self.assertEqual(self.lopik.stop(), 0)
        self.lopik.start()
        self.frozen("contradicts the one held")
        polls = self.lopik.peer_state("montfoort.example")["requests"]
        self.nodes.wait(lambda: self.lopik.peer_state("montfoort.example")["requests"] >= polls + 3, what="three polls")
        self.assertEqual(self.head().note, held.note)
        # a higher epoch leads on
        anew = feedkit.Publisher(self.key, epoch=self.history.epoch + 1000)
        anew.add(record=1)
        self.show(self.montfoort, anew)
        self.nodes.wait(lambda: self.holds(anew), what="the higher epoch")
        self.nodes.wait(lambda: self.lopik.peer_state("montfoort.example")["state"] == "in step", what="an ordinary life")
        anew.add(record=2)
        self.show(self.montfoort, anew)
        self.nodes.wait(lambda: self.holds(anew), what="a delta of the new epoch")

    def test_the_dead_come_alive(self):
        """A larger size under which a position lives again that was dead: only a full sync can tell."""
        self.history.add(record=2)  # position 2 is dead now
        self.history.add(record=4, body={"name": "Stichting Wil Gewist"})
        self.start(relay_too=False)
        self.nodes.wait(lambda: "Wil Gewist" in self.lopik.ctl("export"), what="the map")
        self.assertTrue(self.in_files(b"Wil Gewist"))
        other = feedkit.Publisher(self.key, epoch=self.history.epoch)
        for i in range(6):
            other.add(record=i)
        other.add(record=20)
        other.add(record=21)
        other.add(op="erase", record=4)
        self.show(self.montfoort, other)
        proof = self.frozen()
        # [DEATH-7] the head stays, the erased claim goes
        self.assertTrue(self.holds(self.history))
        self.nodes.wait(lambda: "Wil Gewist" not in self.lopik.ctl("export"), what="the map without what was erased")
        self.nodes.wait(lambda: not self.in_files(b"Wil Gewist"), what="the files without it")
        self.assertIn(b"\nposition ", proof)

    def test_a_hub_that_only_shows_it(self):
        """The hub is asked for nothing of Montfoort's; its list of feeds is enough."""
        self.start(relay_too=False)
        other = feedkit.Publisher(self.key, epoch=self.history.epoch)
        for i in range(6):
            other.add(record=i, body={"name": "what the hub was told"})
        self.show(self.hub, other)
        self.lopik.ctl("sync", "hub.example")
        self.frozen()

    def test_a_hub_that_relays_it(self):
        self.show(self.hub, self.history)
        self.start(relay_too=True)
        other = feedkit.Publisher(self.key, epoch=self.history.epoch)
        for i in range(5):
            other.add(record=i, body={"name": "what the hub was told"})
        other.clock = self.history.clock + 1000  # smaller, and later
        self.show(self.hub, other)
        self.frozen()

    def test_a_lower_epoch_is_behind(self):
        self.start(relay_too=False)
        older = feedkit.Publisher(self.key, epoch=self.history.epoch - 1000)
        for i in range(30):
            older.add(record=i)
        self.show(self.montfoort, older)
        self.nodes.wait(lambda: self.lopik.peer_state("montfoort.example")["state"] == "behind", what="the word behind")
        self.assertTrue(self.holds(self.history))
        self.assertEqual(self.lopik.refusals(), {})


if __name__ == "__main__":
    tap.main()
