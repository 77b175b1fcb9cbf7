#!/usr/bin/env python3
"""An idle origin signs its state anew at least hourly [CP-8], and subscribers take the later time over without an entry, pulled or pushed."""
import glob
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import KAARTD, Nodes, Peer, organisation  # noqa: E402

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


@unittest.skipUnless(FAKETIME and "sanitize" not in KAARTD, "needs libfaketime, which ASan does not tolerate")
class Heartbeat(unittest.TestCase):
    def follow(self, houten_peer, nieuwegein_peer):
        """Houten sleeps for two hours; what its subscriber makes of it."""
        with Nodes() as nodes:
            houten = nodes.add("houten.example", areas=["GM0321"])
            nieuwegein = nodes.add("nieuwegein.example", areas=["GM0356"])
            houten.peers = [Peer(nieuwegein, **houten_peer)]
            nieuwegein.peers = [Peer(houten, **nieuwegein_peer)]
            nieuwegein.start()
            houten.start()
            houten.load([organisation(i) for i in range(5)])
            nodes.wait(lambda: nieuwegein.holds(houten), what="the first copy")
            before = nieuwegein.checkpoint(houten.feed, houten.verifier)
            self.assertEqual(houten.stop(), 0)
            houten.environment = {"LD_PRELOAD": FAKETIME, "FAKETIME": "+2h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            houten.start()

            def later():
                head = nieuwegein.checkpoint(houten.feed, houten.verifier)
                return head if head.note != before.note else None
            after = nodes.wait(later, what="the heartbeat at the subscriber")
            self.assertEqual((after.epoch, after.size, after.root), (before.epoch, before.size, before.root))
            self.assertGreater(after.time, before.time)
            self.assertEqual(len(nieuwegein.lines(houten.feed, houten.verifier)), 5)
            self.assertEqual(nieuwegein.refusals(), {})

    def test_it_is_pulled(self):
        self.follow(dict(pull_every="1h"), dict())

    def test_it_is_pushed(self):
        self.follow(dict(pull_every="1h", push=True), dict(url=None))

    def test_a_young_head_is_not_signed_again(self):
        with Nodes() as nodes:
            houten = nodes.add("houten.example", areas=["GM0321"])
            houten.start()
            houten.load([organisation(1)])
            before = houten.checkpoint(houten.feed, houten.verifier)
            self.assertEqual(houten.stop(), 0)
            houten.start()
            self.assertEqual(houten.stop(), 0)
            houten.start()
            self.assertEqual(houten.checkpoint(houten.feed, houten.verifier).note, before.note)


if __name__ == "__main__":
    tap.main()
