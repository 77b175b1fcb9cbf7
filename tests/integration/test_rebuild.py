#!/usr/bin/env python3
"""The map is derived: `kaartctl rebuild`, or a map.db that was deleted, gives exactly the map that was there."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation  # noqa: E402


class Rebuild(unittest.TestCase):
    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.houten = self.nodes.add("houten.example", areas=["GM0321"])
        self.node = self.nodes.add("nieuwegein.example", areas=["GM0356"])
        self.node.peers = [Peer(self.houten)]
        self.houten.start()
        self.node.start()
        self.houten.load([organisation(i, name=f"Wat Houten zegt {i}") for i in range(40)])
        self.node.load([organisation(i) for i in range(20, 60)])
        self.nodes.wait(lambda: self.node.holds(self.houten))
        self.before = self.settled()

    def settled(self):
        """The map's sums and everything in it, once it has caught up."""
        self.nodes.wait(lambda: self.node.json("status")["map"]["caughtUp"], what="the map")
        status = self.node.json("status")["map"]
        self.assertEqual(sum(status["records"].values()), 60)
        return status, self.node.ctl("export")

    def test_rebuild_gives_the_same_map(self):
        self.node.ctl("rebuild", "--wait")
        self.assertEqual(self.settled(), self.before)
        self.assertTrue(self.node.json("search", "Houten"))

    def test_rebuild_without_waiting(self):
        self.assertEqual(self.node.json("rebuild"), {"begun": True})
        self.nodes.wait(lambda: sum(self.node.json("status")["map"]["records"].values()) == 60, what="all records")
        self.assertEqual(self.settled(), self.before)

    def test_a_map_that_was_deleted(self):
        self.node.stop()
        for suffix in ("", "-wal", "-shm"):
            try:
                os.unlink(os.path.join(self.node.state, "map.db" + suffix))
            except FileNotFoundError:
                pass
        self.node.start()
        self.nodes.wait(lambda: sum(self.node.json("status")["map"]["records"].values()) == 60, what="all records")
        self.assertEqual(self.settled(), self.before)

    def test_words_too_many(self):
        self.assertEqual(self.node.run("rebuild", "now").returncode, 2)


if __name__ == "__main__":
    tap.main()
