#!/usr/bin/env python3
"""The second implementation against spec/vectors."""
import base64
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import feedkit  # noqa: E402
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


class Made(unittest.TestCase):
    """What make_vectors.py wrote: each good one must be accepted, each bad one refused for its clause."""

    def refuses(self, clause, function, *arguments):
        with self.assertRaises(kv.Refused) as caught:
            function(*arguments)
        self.assertEqual(caught.exception.clause, clause, str(caught.exception))

    def test_they_are_what_the_generator_makes(self):
        done = subprocess.run([sys.executable, "-B", os.path.join(HERE, "make_vectors.py"), "--check"], stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())

    def test_entries(self):
        vectors = load("entries.json")
        for case in vectors["good"]:
            with self.subTest(what=case["what"]):
                entry = kv.parse_entry(base64.b64decode(case["line_base64"]))
                for name in ("seq", "op", "kind", "id", "source", "role", "at"):
                    self.assertEqual(getattr(entry, name), case[name])
                self.assertEqual(entry.leaf.hex(), case["leaf"])
        for case in vectors["bad"]:
            with self.subTest(what=case["what"]):
                line = base64.b64decode(case["line_base64"])
                with self.assertRaises(kv.Refused) as caught:
                    kv.parse_entry(line)
                # Which of two clauses is broken first is a matter of order for grammar faults; the family is not.
                self.assertEqual(caught.exception.clause.split("-")[0], case["clause"].split("-")[0], str(caught.exception))

    def test_trees(self):
        vectors = load("trees.json")

        def leaf(position, version):
            return kv.leaf_hash(b"leaf %d version %d" % (position, version))
        for tree in vectors["trees"]:
            with self.subTest(what=tree["what"]):
                leaves = {position: leaf(position, tree["version"]) for position in tree["positions"]}
                self.assertEqual(kv.tree_root(leaves).hex(), tree["root"])
                for path in tree["paths"]:
                    siblings = [bytes.fromhex(text) for text in path["siblings"]]
                    found = kv.root_of_path(path["position"], leaves.get(path["position"], kv.ZERO), siblings)
                    self.assertEqual(found.hex(), tree["root"])
        leaves = {}
        for step in vectors["changes"]:
            for change in step["changes"]:
                leaves.pop(change["position"], None)
                if change["version"] is not None:
                    leaves[change["position"]] = leaf(change["position"], change["version"])
            self.assertEqual(kv.tree_root(leaves).hex(), step["root"], step["what"])

    def test_notes(self):
        vectors = load("notes.json")
        keys = [kv.VerifierKey.parse(text) for text in vectors["keys"]]
        for case in vectors["good"]:
            with self.subTest(what=case["what"]):
                text = kv.open_note(base64.b64decode(case["note_base64"]), [keys[i] for i in case["keys"]])
                self.assertEqual(text, base64.b64decode(case["text_base64"]))
        for case in vectors["bad"]:
            with self.subTest(what=case["what"]):
                self.refuses(case["clause"], kv.open_note, base64.b64decode(case["note_base64"]), [keys[i] for i in case["keys"]])
        for case in vectors["bad_keys"]:
            with self.subTest(what=case["what"]):
                self.refuses("NOTE-9", kv.VerifierKey.parse, case["text"])
        for case in vectors["signing"]:
            key = feedkit.SigningKey.parse(case["private"])
            self.assertEqual((key.seed.hex(), str(key.verifier)), (case["seed"], case["public"]))
            self.assertEqual(feedkit.sign(base64.b64decode(case["text_base64"]), key), base64.b64decode(case["note_base64"]))

    def test_checkpoints(self):
        vectors = load("checkpoints.json")
        keys = [kv.VerifierKey.parse(text) for text in vectors["keys"]]

        def opened(text):
            return kv.open_checkpoint(base64.b64decode(text), vectors["feed"], keys)
        for case in vectors["good"]:
            with self.subTest(what=case["what"]):
                found = opened(case["note_base64"])
                self.assertEqual((found.epoch, found.size, found.live, found.floor, found.root.hex(), found.time),
                                 tuple(case[name] for name in ("epoch", "size", "live", "floor", "root", "time")))
        for case in vectors["bad"]:
            with self.subTest(what=case["what"]):
                self.refuses(case["clause"], opened, case["note_base64"])
        for case in vectors["relations"]:
            with self.subTest(what=case["what"]):
                self.assertEqual(kv.relation(opened(case["held_base64"]), opened(case["offered_base64"])), case["expect"])

    def test_streams(self):
        vectors = load("streams.json")
        keys = [kv.VerifierKey.parse(text) for text in vectors["keys"]]
        for case in vectors["good"]:
            with self.subTest(what=case["what"]):
                entries, note, following = kv.read_stream(base64.b64decode(case["stream_base64"]), case["since"])
                self.assertEqual((len(entries), following, note is None), (case["entries"], case["next"], case["next"] is not None))
        for case in vectors["bad"]:
            with self.subTest(what=case["what"]):
                with self.assertRaises(kv.Refused):
                    kv.read_stream(base64.b64decode(case["stream_base64"]), case["since"])
        for case in vectors["lies"]:
            with self.subTest(what=case["what"]):
                subscriber = kv.Subscriber(vectors["feed"], keys)
                self.assertEqual(subscriber.offer(base64.b64decode(case["stream_base64"])), "refused")
                self.assertTrue(subscriber.reason.startswith(f"[{case['clause']}]"), subscriber.reason)
                self.assertIsNone(subscriber.held)

    def test_forks(self):
        vectors = load("forks.json")
        keys = [kv.VerifierKey.parse(text) for text in vectors["keys"]]
        for case in vectors["histories"]:
            with self.subTest(what=case["what"]):
                subscriber = kv.Subscriber(vectors["feed"], keys)
                for step in case["steps"]:
                    before = subscriber.held
                    outcome = subscriber.offer(base64.b64decode(step["stream_base64"]), step["full"])
                    self.assertEqual(outcome, step["expect"], subscriber.reason)
                    if outcome != "applied":
                        self.assertIs(subscriber.held, before)
        for case in vectors["pages"]:
            with self.subTest(what=case["what"]):
                entries, note, since = [], None, 0
                for page in case["pages_base64"]:
                    more, note, since = kv.read_stream(base64.b64decode(page), since)
                    entries += more
                subscriber = kv.Subscriber(vectors["feed"], keys)
                self.assertEqual(subscriber.apply(entries, note), "applied")
                self.assertEqual(len(subscriber.live), case["live"])
        for case in vectors["proofs"]:
            with self.subTest(what=case["what"]):
                leaves = []
                for side in (case["shorter"], case["longer"]):
                    head = kv.open_checkpoint(base64.b64decode(side["note_base64"]), vectors["feed"], keys)
                    leaves.append(bytes.fromhex(side["leaf"]))
                    siblings = [bytes.fromhex(text) for text in side["siblings"]]
                    self.assertEqual(kv.root_of_path(case["position"], leaves[-1], siblings), head.root)
                self.assertEqual(leaves[1] != kv.ZERO and leaves[0] != leaves[1], case["proves"])

    def test_proofs(self):
        vectors = load("proofs.json")
        feed, keys = vectors["feed"], [kv.VerifierKey.parse(text) for text in vectors["keys"]]
        for case in vectors["claims"]:
            with self.subTest(what=case["what"]):
                position, entry, _ = kv.check_proof_text(base64.b64decode(case["text_base64"]), feed, keys)
                self.assertEqual((position, entry is None), (case["position"], case["dead"]))
        for case in vectors["bad"]:
            with self.subTest(what=case["what"]):
                self.refuses(case["clause"], kv.check_proof_text, base64.b64decode(case["text_base64"]), feed, keys)
        for case in vectors["forks"]:
            with self.subTest(what=case["what"]):
                self.assertEqual(kv.check_fork_text(base64.b64decode(case["text_base64"]), feed, keys)[2], case["position"])
        for case in vectors["bad_forks"]:
            with self.subTest(what=case["what"]):
                with self.assertRaises(kv.Refused):
                    kv.check_fork_text(base64.b64decode(case["text_base64"]), feed, keys)


if __name__ == "__main__":
    tap.main()
