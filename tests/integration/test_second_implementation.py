#!/usr/bin/env python3
"""The second implementation accepts what kaartd serves, and rejects what anybody makes of it."""
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = os.path.join(os.path.dirname(HERE), "python")
sys.path[:0] = [HERE, os.path.dirname(HERE), PYTHON]
import feedkit  # noqa: E402
import kaartd_verify as kv  # noqa: E402
import tap  # noqa: E402
from nodes import Nodes, organisation  # noqa: E402


class Serving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.node = cls.nodes.add("houten.example", areas=["GM0321"])
        cls.node.start()
        cls.node.load([organisation(i, description="Caf\u00e9 \u201cDe Brug\u201d " + "x" * (i % 7)) for i in range(40)])
        cls.node.put(organisation(3, name="Anders"))
        cls.node.retract(organisation(4))
        cls.source = cls.node.source()
        cls.addClassCleanup(cls.source.close)
        cls.note = cls.source.checkpoint(cls.node.feed)
        cls.head = kv.open_checkpoint(cls.note, cls.node.feed, [cls.node.verifier])
        cls.stream = cls.source.get(f"/v1/feeds/{cls.node.feed}/changes?epoch={cls.head.epoch}&since=0", "HTTP-8")
        cls.lines = cls.stream.splitlines(keepends=True)

    def offer(self, stream, subscriber=None, full=False):
        subscriber = subscriber or self.node.subscriber()
        return subscriber.offer(stream, full), subscriber.reason

    def test_it_accepts_what_is_served(self):
        self.assertEqual(self.offer(self.stream), ("applied", ""))
        self.assertEqual(self.head.live, 40)
        self.assertEqual(len(self.lines), 41)

    def test_with_and_without_gzip(self):
        for gzip in (True, False):
            source = self.node.source(gzip=gzip)
            self.addCleanup(source.close)
            self.assertEqual(kv.synchronise(self.node.subscriber(), source), "applied")

    def test_a_delta(self):
        subscriber = self.node.subscriber()
        self.assertEqual(kv.synchronise(subscriber, self.source), "applied")
        self.node.put(organisation(41))
        self.assertEqual(kv.synchronise(subscriber, self.source), "applied")
        self.assertEqual(len(subscriber.live), 41)
        self.node.retract(organisation(41))
        self.assertEqual(kv.synchronise(subscriber, self.source), "applied")
        self.assertEqual(kv.synchronise(subscriber, self.source), "same")

    def test_the_entity_tag_is_the_note(self):
        import hashlib
        _, headers, body = self.source.request(f"/v1/feeds/{self.node.feed}/checkpoint")
        self.assertEqual(headers["ETag"], 'W/"' + hashlib.sha256(body).hexdigest() + '"')

    def test_another_epoch_gets_the_checkpoint_alone(self):
        body = self.source.get(f"/v1/feeds/{self.node.feed}/changes?epoch={self.head.epoch + 1}&since=0", "HTTP-8")
        entries, note, _ = kv.read_stream(body, 0)
        self.assertEqual(entries, [])
        kv.open_checkpoint(note, self.node.feed, [self.node.verifier])

    def test_the_list_of_feeds(self):
        import json
        listed = json.loads(self.source.get("/v1/feeds", "HTTP-3"))["feeds"]
        mine = [feed for feed in listed if feed["feed"] == self.node.feed]
        self.assertEqual(len(mine), 1)
        kv.open_checkpoint(mine[0]["checkpoint"].encode(), self.node.feed, [self.node.verifier])
        self.assertEqual(mine[0].get("licence"), "CC0-1.0")

    def rejects(self, stream, clause=None):
        outcome, reason = self.offer(stream)
        self.assertEqual(outcome, "refused")
        if clause:
            self.assertIn(clause, reason)

    def test_altered(self):
        for at in range(0, len(self.stream), 97):  # a bit here and there, all over it
            changed = bytearray(self.stream)
            changed[at] ^= 1
            self.rejects(bytes(changed))

    def test_shortened(self):
        for index in range(40):
            self.rejects(b"".join(self.lines[:index] + self.lines[index + 1:]))
        for size in (0, 1, 100, len(self.stream) - 1, len(self.stream) - len(self.lines[-1])):
            self.rejects(self.stream[:size])

    def test_reordered(self):
        self.rejects(b"".join([self.lines[1], self.lines[0]] + self.lines[2:]), "STREAM-3")
        self.rejects(b"".join(self.lines[:38] + [self.lines[39], self.lines[38]] + self.lines[40:]), "STREAM-3")

    def test_foreign_signed(self):
        stranger = feedkit.SigningKey(self.node.feed, bytes(32))
        text = self.note[:self.note.rindex(b"\n\n") + 1]
        self.rejects(b"".join(self.lines[:-1]) + feedkit.control(feedkit.sign(text, stranger)), "NOTE-7")
        other = feedkit.SigningKey("ijsselstein.example/public", bytes(32))
        self.rejects(b"".join(self.lines[:-1]) + feedkit.control(feedkit.sign(text, other)), "NOTE-7")

    def test_forked(self):
        """The origin's own key signs a second history: with the key in hand, as a restored backup would."""
        key = self.node.read_key()
        subscriber = self.node.subscriber()
        self.assertEqual(self.offer(self.stream, subscriber)[0], "applied")
        publisher = feedkit.Publisher(key, epoch=self.head.epoch)
        entries, _, _ = kv.read_stream(self.stream, 0)
        for entry in entries:
            publisher.add_line(entry.line.replace(b"Stichting Proef 7\"", b"Stichting Valse 7\""))
        publisher.size = self.head.size
        at_one_size = sign_state(publisher, key, self.head.time)
        self.assertEqual(self.offer(publisher.stream(note=at_one_size), subscriber, True)[0], "fork")
        thawed = self.node.subscriber()
        self.offer(self.stream, thawed)
        publisher.size += 1
        self.assertEqual(self.offer(publisher.stream(note=sign_state(publisher, key, self.head.time)), thawed, True)[0], "fork")

    def test_a_proof_of_one_claim(self):
        """What `kaartctl prove` writes, offline; and nothing that anybody makes of it."""
        text = self.node.ctl("prove", organisation(7)["id"]).encode()
        position, entry, _ = kv.check_proof_text(text, self.node.feed, [self.node.verifier])
        self.assertEqual((position, entry.id, entry.op), (7, organisation(7)["id"], "assert"))
        for at in range(0, len(text), 7):
            changed = bytearray(text)
            changed[at] ^= 1
            with self.assertRaises(kv.Refused):
                kv.check_proof_text(bytes(changed), self.node.feed, [self.node.verifier])
        path = self.node.write("proof.txt", text.decode())
        command = [sys.executable, os.path.join(PYTHON, "kaartd_verify.py"), "--proof", path, "--key", str(self.node.verifier)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        self.assertIn(organisation(7)["id"].encode(), done.stdout)

    def test_the_command(self):
        command = [sys.executable, os.path.join(PYTHON, "kaartd_verify.py"), self.node.url, "--pin", self.node.pin, "--key"]
        done = subprocess.run(command + [str(self.node.verifier)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout.decode())
        stranger = str(feedkit.SigningKey(self.node.feed, bytes(32)).verifier)
        done = subprocess.run(command + [stranger], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"NOTE-7", done.stdout)


def sign_state(publisher, key, time):
    return feedkit.sign(publisher.text(time=time), key)


if __name__ == "__main__":
    tap.main()
