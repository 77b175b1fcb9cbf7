#!/usr/bin/env python3
"""kill -9 of a process that does nothing but write to stores, at random moments, KILLS times on the same files.

tests/tools/store_torture.c appends to an own feed, and stages, commits and tidies a second store, and records whatever a reading connection
shows. After each kill: both stores verify from the bytes up; no position and no size was ever shown with two contents; nothing that was shown
is lost; and the own-head copy is not behind what was shown. The seed is printed; KAARTD_SEED repeats a run.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.dirname(HERE))
import tap  # noqa: E402

BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
TOOL = os.path.join(BUILD, "tests", "tools", "store_torture")
KILLS = int(os.environ.get("KAARTD_KILLS", "40"))
SEED = int(os.environ.get("KAARTD_SEED", str(time.time_ns() % 1_000_000)))


def fields(note):
    """The checkpoint's text as a dictionary."""
    return dict(line.split(" ", 1) for line in note.split("\n\n")[0].splitlines()[1:])


def place(note):
    f = fields(note)
    return int(f["epoch"]), int(f["size"]), f["time"]


class Served:
    """All that was ever shown: what stands at each position, and what was signed for each size."""

    def __init__(self, path):
        self.path, self.offset, self.lines, self.states, self.newest, self.rest = path, 0, {}, {}, None, b""
        self.conflicts = []
        self.pending = []

    def read(self):
        if not os.path.exists(self.path):
            return
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            new = file.read()
        self.offset += len(new)
        # A kill can cut the last record; what was cut was not shown.
        for line in new.split(b"\n")[:-1]:
            try:
                self.take(line)
            except ValueError:
                pass

    def take(self, line):
        entry = json.loads(line)
        if "next" in entry:
            return
        if "seq" in entry:
            self.pending.append((entry["seq"], line))
            return
        note = entry["checkpoint"]
        f = fields(note)
        state = (f["root"], f["live"], f["floor"])
        if self.states.setdefault((f["epoch"], f["size"]), state) != state:
            self.conflicts.append(f"two states at size {f['size']}")
        for seq, text in self.pending:
            if self.lines.setdefault((f["epoch"], seq), text) != text:
                self.conflicts.append(f"two entries at position {seq}")
        self.pending = []
        if self.newest is None or place(note) > place(self.newest):
            self.newest = note


class StoreCrash(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="kaartd-crash-")
        self.addCleanup(shutil.rmtree, self.directory, True)
        print(f"# seed {SEED}, {KILLS} kills", flush=True)

    def run_and_kill(self, chance, seed):
        process = subprocess.Popen([TOOL, self.directory, str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if chance.random() < 0.8:
            self.assertEqual(process.stdout.readline(), b"ready\n", "it did not start")
            time.sleep(chance.uniform(0, 0.4))
        else:
            time.sleep(chance.uniform(0, 0.05))  # in the middle of opening
        ended = process.poll()
        process.kill()
        _, errors = process.communicate()
        self.assertIsNone(ended, f"it ended by itself: {errors.decode()}")

    def check(self):
        done = subprocess.run([TOOL, self.directory, "check"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return json.loads(done.stdout)

    def assert_lines_known(self, path, served, epoch):
        with open(path, "rb") as file:
            for line in file.read().split(b"\n")[:-2]:
                seq = json.loads(line)["seq"]
                self.assertEqual(served.lines.get((epoch, seq), line), line, f"position {seq} has other content than was shown")

    def test_killed_at_random_moments(self):
        chance = random.Random(SEED)
        served = Served(os.path.join(self.directory, "served"))
        commits = set()
        for number in range(KILLS):
            with self.subTest(kill=number):
                self.run_and_kill(chance, chance.randrange(1 << 30))
                served.read()
                heads = self.check()
                self.assertEqual(served.conflicts, [])
                if served.newest is None:
                    continue
                self.assertGreaterEqual(place(heads["origin"]), place(served.newest), "what was shown is lost")
                self.assertEqual(place(heads["copy"]), place(heads["origin"]), "the own-head copy is not the head")
                self.assert_lines_known(os.path.join(self.directory, "origin.db.dump"), served, fields(heads["origin"])["epoch"])
                if "subscriber" in heads:
                    held = fields(heads["subscriber"])
                    commits.add(held["size"])
                    self.assertLessEqual(place(heads["subscriber"]), place(heads["origin"]))
                    known = served.states.get((held["epoch"], held["size"]))
                    if known is not None:
                        self.assertEqual(known, (held["root"], held["live"], held["floor"]))
                    self.assert_lines_known(os.path.join(self.directory, "subscriber.db.dump"), served, held["epoch"])
        print(f"# {len(served.states)} states shown, {len(commits)} committed states seen after kills", flush=True)
        self.assertGreater(len(commits), KILLS // 8, "the kills hit hardly any transfer")


if __name__ == "__main__":
    tap.main()
