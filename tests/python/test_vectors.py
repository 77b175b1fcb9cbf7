#!/usr/bin/env python3
"""The second implementation against spec/vectors."""
import base64
import json
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import kaartd_verify as kv  # noqa: E402
import tap  # noqa: E402

VECTORS = os.path.join(HERE, "..", "..", "spec", "vectors")


def load(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as file:
        return json.load(file)


class Feed(unittest.TestCase):
    """feed.json: made by an independent implementation."""

    @classmethod
    def setUpClass(cls):
        cls.vectors = load("feed.json")
        cls.keys = [kv.VerifierKey.parse(text) for text in cls.vectors["keys"]]
        cls.feed = cls.vectors["feed"]

    def test_keys_have_their_text_form(self):
        self.assertEqual([str(key) for key in self.keys], self.vectors["keys"])

    def test_trees(self):
        for tree in self.vectors["trees"]:
            leaves = {position: kv.leaf_hash(b"leaf %d" % position) for position in tree["positions"]}
            with self.subTest(positions=tree["positions"][:3]):
                self.assertEqual(kv.tree_root(leaves).hex(), tree["root"])
                for position in list(leaves)[:3] + [7]:
                    path = kv.tree_path(leaves, position)
                    self.assertEqual(kv.root_of_path(position, leaves.get(position, kv.ZERO), path).hex(), tree["root"])

    def test_steps_of_one_subscriber(self):
        subscriber = kv.Subscriber(self.feed, self.keys, freeze=False)
        for step in self.vectors["steps"]:
            before = subscriber.held
            outcome = subscriber.offer(base64.b64decode(step["stream_base64"]), step["full"])
            self.assertEqual("refused" if outcome == "fork" else outcome, step["expect"], step["what"] + " " + subscriber.reason)
            if outcome != "applied":
                self.assertIs(subscriber.held, before)

    def test_bad_streams_are_refused(self):
        for bad in self.vectors["bad"]:
            with self.subTest(what=bad["what"]):
                subscriber = kv.Subscriber(self.feed, self.keys)
                self.assertEqual(subscriber.offer(base64.b64decode(bad["stream_base64"])), "refused")
                self.assertIsNone(subscriber.held)

    def test_proofs(self):
        for proof in self.vectors["proofs"]:
            siblings = [bytes.fromhex(text) for text in proof["siblings"]]
            line, note = proof["line"].encode(), proof["checkpoint"].encode()
            entry, _ = kv.check_proof(line, siblings, note, self.feed, self.keys)
            self.assertEqual(entry.seq, proof["position"])
            with self.assertRaises(kv.Refused):
                kv.check_proof(line.replace(b"wandelgroep", b"wandelgroeq"), siblings, note, self.feed, self.keys)


if __name__ == "__main__":
    tap.main()
