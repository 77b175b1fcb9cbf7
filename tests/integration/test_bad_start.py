#!/usr/bin/env python3
"""A node that must not start, or must not sign: each time a clear message, and the store as it was."""
import glob
import hashlib
import os
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import KAARTCTL, KAARTD, Nodes, organisation  # noqa: E402

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)


def digest(directory):
    out = {}
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if os.path.isfile(path) and not name.endswith("-shm"):
            with open(path, "rb") as file:
                out[name] = hashlib.sha256(file.read()).hexdigest()
    return out


class BadStart(unittest.TestCase):
    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.node = self.nodes.add("houten.example", areas=["GM0321"])
        self.node.start()
        self.node.load([organisation(i) for i in range(5)])
        self.assertEqual(self.node.stop(), 0)
        self.before = digest(self.node.state)

    def start(self):
        """kaartd that is expected to end by itself: (exit code, what it said)."""
        done = subprocess.run([KAARTD, "-c", self.node.config], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def check(self):
        done = subprocess.run([KAARTD, "-c", self.node.config, "--check"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=30, check=False)
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def refuses_to_start(self, *words):
        for how in (self.check, self.start):
            code, text = how()
            self.assertNotIn(code, (0, None), text)
            self.assertGreater(code, 0, f"a clean exit, not a signal: {text}")
            for word in words:
                self.assertIn(word, text)
        self.assertEqual(digest(self.node.state), self.before)

    def edit(self, old, new):
        self.node.write_config()
        with open(self.node.config, encoding="utf-8") as file:
            text = file.read()
        self.assertIn(old, text)
        text = text.replace(old, new, 1)
        with open(self.node.config, "w", encoding="utf-8") as file:
            file.write(text)
        return text[:text.index(new)].count("\n") + 1

    def test_good_configuration_passes_the_check(self):
        self.assertEqual(self.check()[0], 0)

    def test_corrupt_configuration(self):
        line = self.edit("feed public {", "feed public {{{ %%")
        self.refuses_to_start(f"{self.node.config}:{line}")

    def test_unknown_option(self):
        line = self.edit("  state =", "  sate =")
        self.refuses_to_start(f"{self.node.config}:{line}: ", "sate")

    def test_all_errors_at_once(self):
        first = self.edit('areas = { "GM0321" }', 'areas = { "GM32" }')
        with open(self.node.config, "a", encoding="utf-8") as file:
            file.write('peer a.example { url = "gopher://a.example" }\n')
        _, text = self.check()
        self.assertIn(f"{self.node.config}:{first}: ", text)
        self.assertIn("GM32", text)
        self.assertIn("gopher", text)

    def test_garbage_as_configuration(self):
        with open(self.node.config, "wb") as file:
            file.write(bytes(range(256)) * 16)
        self.refuses_to_start(self.node.config)

    def test_no_configuration(self):
        os.unlink(self.node.config)
        code, text = self.start()
        self.assertGreater(code, 0)
        self.assertIn(self.node.config, text)

    def test_missing_key(self):
        os.rename(self.node.key_file, self.node.key_file + ".away")
        self.refuses_to_start(self.node.key_file)

    def test_unreadable_key(self):
        if os.geteuid() == 0:  # root reads everything; a directory is what it cannot
            os.rename(self.node.key_file, self.node.key_file + ".away")
            os.mkdir(self.node.key_file, 0o700)
        else:
            os.chmod(self.node.key_file, 0)
        self.refuses_to_start(self.node.key_file)

    def test_world_readable_key(self):
        os.chmod(self.node.key_file, 0o644)
        self.refuses_to_start(self.node.key_file, "chmod")

    def test_broken_key(self):
        with open(self.node.key_file, "r+", encoding="ascii") as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace("+", "-", 1))
        self.refuses_to_start(self.node.key_file)

    def test_key_of_another_feed(self):
        other = os.path.join(self.node.directory, "other.key")
        subprocess.run([KAARTCTL, "keygen", "zeist.example/public", other], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.edit(self.node.key_file, other)
        self.refuses_to_start("zeist.example/public")

    def test_secrets_are_not_in_the_log(self):
        os.chmod(self.node.key_file, 0o644)
        with open(self.node.key_file, encoding="ascii") as file:
            secret = file.read().strip().rsplit("+", 1)[1]
        for how in (self.check, self.start):
            self.assertNotIn(secret, how()[1])

    def test_database_that_is_garbage(self):
        with open(self.node.database, "r+b") as file:
            file.write(b"not a database" * 100)
        self.before = digest(self.node.state)
        code, text = self.start()
        self.assertGreater(code, 0, text)
        self.assertIn("feeds.db", text)
        self.assertEqual(digest(self.node.state)["feeds.db"], self.before["feeds.db"])

    def test_reload_with_a_bad_configuration_keeps_the_old(self):
        self.node.start()
        before = self.node.checkpoint(self.node.feed, self.node.verifier)
        self.edit("licence =", "license =")
        self.node.reload(write=False)
        self.nodes.wait(lambda: "license" in self.node.tail(5), what="the complaint")
        self.assertIn("stays in force", self.node.tail(5))
        self.assertEqual(self.node.checkpoint(self.node.feed, self.node.verifier).note, before.note)
        asked = self.node.run("status")  # the daemon can still be asked, and what is wrong is said once more
        self.assertEqual(asked.returncode, 0, asked.stderr)
        self.assertIn(b"license", asked.stderr)
        self.assertIn(b"goes on with what it had loaded", asked.stderr)
        self.node.reload()
        self.nodes.wait(lambda: "reloaded" in self.node.tail(3), what="the reload")

    def test_a_second_daemon_on_the_same_state(self):
        self.node.start()
        done = subprocess.run([KAARTD, "-c", self.node.config], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=30, check=False)
        self.assertGreater(done.returncode, 0, done.stdout.decode())
        self.node.ctl("status")  # the first is reached as before
        self.node.put(organisation(77))

    @unittest.skipUnless(FAKETIME and "sanitize" not in KAARTD, "needs libfaketime, which ASan does not tolerate")
    def test_a_clock_that_went_back(self):
        self.node.environment = {"LD_PRELOAD": FAKETIME, "FAKETIME": "+3h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.node.start()
        self.node.load([organisation(20)])
        self.node.stop()
        self.node.environment = {}
        self.node.start()
        before = self.node.checkpoint(self.node.feed, self.node.verifier)
        record = organisation(21)
        done = self.node.run("put", record["kind"], record["id"], self.node.write("put.json", record["body"]))
        text = (done.stdout + done.stderr).decode("utf-8", "replace")
        self.assertNotEqual(done.returncode, 0, text)
        self.assertIn("clock", text)
        time.sleep(0.5)
        self.assertEqual(self.node.checkpoint(self.node.feed, self.node.verifier).note, before.note)
        self.assertEqual(len(self.node.lines(self.node.feed, self.node.verifier)), 6)


if __name__ == "__main__":
    tap.main()
