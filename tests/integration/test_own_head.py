#!/usr/bin/env python3
"""A node restored from an old backup must not sign a second history (spec/feed.md [GUARD]): it waits, takes its feed back from its peers, or stops and says why."""
import os
import shutil
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation  # noqa: E402


class OwnHead(unittest.TestCase):
    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.houten = self.nodes.add("houten.example", areas=["GM0321"], guard_peers=2)
        self.nieuwegein = self.nodes.add("nieuwegein.example", areas=["GM0356"])
        self.houten.peers = [Peer(self.nieuwegein, pull_every="1h")]
        self.nieuwegein.peers = [Peer(self.houten)]

    def both(self, records=20):
        self.nieuwegein.start()
        self.houten.start()
        self.nodes.wait(lambda: self.load(range(records)), what="the permission to sign")
        self.synced()

    def load(self, numbers, **members):
        """Whether the node took them: it takes nothing while it may not sign."""
        path = self.houten.write("import.json", [organisation(i, **members) for i in numbers])
        return self.houten.run("import", path, "--source", "editor-desk", "--role", "editor").returncode == 0

    def synced(self):
        self.nodes.wait(lambda: self.nieuwegein.holds(self.houten), what="the sync")

    def backup(self):
        """A copy of the state directory, of a node that stands still."""
        self.assertEqual(self.houten.stop(), 0)
        shutil.copytree(self.houten.state, self.houten.directory + "/backup")
        self.copy_of_head = self.houten.directory + "/own-head.backup"
        shutil.copy(self.houten.directory + "/own-head", self.copy_of_head)
        self.houten.start()

    def restore(self, with_copy):
        shutil.rmtree(self.houten.state)
        shutil.copytree(self.houten.directory + "/backup", self.houten.state)
        if with_copy:
            shutil.copy(self.copy_of_head, self.houten.directory + "/own-head")

    def said(self, *words):
        self.nodes.wait(lambda: all(word in self.houten.tail(200) for word in words), what=f"{words} in the log")

    def live(self):
        return len(self.houten.lines(self.houten.feed, self.houten.verifier))

    def test_an_old_backup_is_completed_by_the_peers(self):
        for with_copy in (False, True):
            with self.subTest(own_head_copy_is_old_too=with_copy):
                if with_copy:
                    self.nodes.close()
                    self.setUp()
                self.both()
                self.backup()
                self.nodes.wait(lambda: self.load(range(20, 30)), what="the permission to sign")
                self.synced()
                before = self.nieuwegein.checkpoint(self.houten.feed, self.houten.verifier)
                self.houten.kill()
                self.restore(with_copy)
                self.houten.start()
                self.nodes.wait(lambda: self.live() == 30, what="its own entries, from the peer")
                self.said("taking back: a peer holds epoch")
                self.nodes.wait(lambda: self.load([99]), what="the permission to sign")
                self.synced()
                after = self.nieuwegein.checkpoint(self.houten.feed, self.houten.verifier)
                self.assertEqual(after.epoch, before.epoch, "the history goes on")
                self.assertGreater(after.size, before.size)
                self.assertNotIn("frozen", str(self.nieuwegein.peer_state("houten.example")))

    def test_a_lost_database_is_taken_back_whole(self):
        self.both()
        before = self.nieuwegein.checkpoint(self.houten.feed, self.houten.verifier)
        self.houten.kill()
        shutil.rmtree(self.houten.state)
        os.makedirs(self.houten.state)
        self.houten.start()
        self.said("taking back", "signing: compared with 1 peer")
        self.assertEqual(self.live(), 20)
        self.nodes.wait(lambda: self.load([99]), what="the permission to sign")
        self.synced()
        self.assertEqual(self.nieuwegein.checkpoint(self.houten.feed, self.houten.verifier).epoch, before.epoch)

    def test_without_peers_a_newer_copy_stops_it(self):
        self.houten.peers = []
        self.houten.start()
        self.assertTrue(self.nodes.wait(lambda: self.load(range(5))))
        self.backup()
        self.nodes.wait(lambda: self.load(range(5, 9)))
        self.houten.kill()
        self.restore(with_copy=False)
        self.houten.start()
        self.said("stopped: the own-head copy has epoch", "restore a newer backup, or begin a new epoch")
        self.assertFalse(self.load([99]))
        self.assertEqual(self.live(), 5)  # what is held is served

    def test_it_waits_for_peers_that_do_not_answer(self):
        self.both()
        self.nieuwegein.stop()
        self.houten.kill()
        self.houten.start()
        self.assertFalse(self.load([99]))
        self.said("waiting: compared with 0 of 1 peers that may hold the feed")
        self.nieuwegein.start()
        self.nodes.wait(lambda: self.load([99]), what="the permission to sign")
        self.synced()

    def test_the_operator_can_decide(self):
        self.both()
        self.nieuwegein.stop()
        self.houten.kill()
        self.houten.start()
        self.assertFalse(self.load([99]))
        self.assertIn("the operator can decide", str(self.houten.json("status")))
        self.houten.ctl("sign", "public")
        self.assertTrue(self.load([99]))
        self.assertIn("the operator decided", str(self.houten.json("status")))

    def test_a_clone_that_signs_is_noticed(self):
        """Two nodes with one key: whoever sees a signature of the other stops."""
        self.both()
        self.houten.stop()
        clone = os.path.join(self.nodes.directory, "clone")
        shutil.copytree(self.houten.directory, clone)
        self.houten.start()
        self.nodes.wait(lambda: self.load([20]), what="the permission to sign")
        self.synced()
        # the clone signs on from the old state, and Houten happens to look at what it shows
        other = self.nodes.add("utrecht.example", areas=["GM0344"])
        text = self.houten.config_text().split("peer ")[0]  # it knows nobody who could warn it
        text = text.replace(self.houten.directory, clone).replace(str(self.houten.port), str(other.port))
        other.directory, other.state = clone, os.path.join(clone, "state")
        other.config, other.log, other.pin = os.path.join(clone, "kaartd.conf"), os.path.join(clone, "log.clone"), self.houten.pin
        with open(other.config, "w", encoding="utf-8") as file:
            file.write(text)
        other.start(write=False)
        other.load([organisation(i) for i in range(50, 55)])
        self.assertTrue(self.load([21]), "nobody knows yet")
        self.houten.peers.append(Peer(other))
        self.houten.reload()
        self.said("stopped: elsewhere there is epoch", "[GUARD-6]")
        self.assertFalse(self.load([99]))
        own = self.houten.json("status")
        self.assertIn("stopped", str(own))


if __name__ == "__main__":
    tap.main()
