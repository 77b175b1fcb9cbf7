#!/usr/bin/env python3
"""A node of 100,000 records is taken over by an empty one: verified, durable, searchable, in bounded memory.

Then one changed record must cost one small request, and a poll without news a 304 and no write. No wall-clock limits
here: what it takes in time is measured by `make bench`.
"""
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tap  # noqa: E402
from nodes import Nodes, Peer  # noqa: E402

RECORDS = int(os.environ.get("SCALE_RECORDS", "100000"))
LINE_BYTES = 1200
PEAK_MAX_MB = 150
SYLLABLES = "wan del bui ten zorg thuis hulp jeugd sport fiets taal kook mu ziek groen dorp wijk zon ster lin de berg".split()


def words(number, count):
    """Words that look like words, the same for the same number."""
    out = []
    for i in range(count):
        number = (number * 6364136223846793005 + 1442695040888963407 + i) % 2**64
        out.append(SYLLABLES[number >> 59 & 15] + SYLLABLES[number >> 52 & 15] + SYLLABLES[number >> 45 & 15])
    return " ".join(out)


def record(number, description=None):
    body = {"name": f"Stichting {words(number, 2)} nr{number}", "status": "active", "alternate_name": words(number + 7, 2),
            "email": f"info@stichting{number}.example", "website": f"https://stichting{number}.example/",
            "description": description or ""}
    missing = LINE_BYTES - len(json.dumps(body)) - 220
    if description is None:
        body["description"] = words(number + 1, missing // 13 + 1)[:missing]
    return {"kind": "organization", "id": f"00000000-0000-4000-8000-{number:012}", "body": body}


def peak_mb(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise AssertionError("no VmHWM")


def written(node):
    """What a write to the authoritative database would change."""
    marks = []
    for suffix in ("", "-wal"):
        try:
            found = os.stat(node.database + suffix)
            marks.append((found.st_size, found.st_mtime_ns))
        except FileNotFoundError:
            marks.append(None)
    return marks


class Scale(unittest.TestCase):
    def test_hundred_thousand_records(self):
        with Nodes() as nodes:
            origin = nodes.add("nieuwegein.example", areas=["GM0356"])
            subscriber = nodes.add("houten.example", areas=["GM0321"])
            subscriber.peers = [Peer(origin)]
            origin.start()
            path = os.path.join(origin.directory, "records.ndjson")
            with open(path, "w", encoding="utf-8") as file:
                for number in range(RECORDS):
                    file.write(json.dumps(record(number)) + "\n")
            started = time.monotonic()
            origin.ctl("import", path, "--source", "editor-desk", "--role", "editor", timeout=600)
            print(f"# import: {RECORDS / (time.monotonic() - started):.0f} records/s", flush=True)

            started = time.monotonic()
            subscriber.start()
            nodes.wait(lambda: subscriber.holds(origin), timeout=600, what="the full sync", every=0.2)
            print(f"# verified and durable: {RECORDS / (time.monotonic() - started):.0f} records/s", flush=True)
            self.killed_now_it_still_holds(nodes, origin, subscriber)
            last = f"nr{RECORDS - 1}"
            nodes.wait(lambda: subscriber.json("search", last), timeout=600, what="the last record in the search index", every=0.5)
            nodes.wait(lambda: subscriber.json("search", "nr0"), timeout=600, what="the first record in the search index", every=0.5)
            print(f"# searchable: {RECORDS / (time.monotonic() - started):.0f} records/s", flush=True)
            self.one_change_is_one_small_request(nodes, origin, subscriber)
            self.a_poll_without_news_writes_nothing(nodes, origin, subscriber)
            peak = peak_mb(subscriber.process)
            print(f"# subscriber's peak: {peak:.0f} MB", flush=True)
            self.assertLess(max(peak, self.first_peak), PEAK_MAX_MB)

    def killed_now_it_still_holds(self, nodes, origin, subscriber):
        self.first_peak = peak_mb(subscriber.process)
        subscriber.kill()
        subscriber.peers = []  # nobody to take it from again
        subscriber.start()
        self.assertTrue(subscriber.holds(origin))
        subscriber.stop()
        subscriber.peers = [Peer(origin)]
        subscriber.start()
        nodes.wait(lambda: self.in_step(subscriber, origin), what="the first poll after the restart")

    @staticmethod
    def in_step(subscriber, origin):
        peer = subscriber.peer_state(origin.name)
        return peer and peer["feeds"] and peer["feeds"][0]["state"] == "in step"

    def one_change_is_one_small_request(self, nodes, origin, subscriber):
        nodes.wait(lambda: self.in_step(subscriber, origin))
        before = subscriber.peer_state(origin.name)
        origin.put(record(RECORDS // 2, "Nu ook een inloopspreekuur, uniekwoord."))
        nodes.wait(lambda: subscriber.json("search", "uniekwoord") and subscriber.holds(origin), what="the change")
        after = subscriber.peer_state(origin.name)
        # one request brought it, the polls around it brought nothing; a full sync would be some 100 MB
        self.assertLess(after["bytesIn"] - before["bytesIn"], 8192)

    def a_poll_without_news_writes_nothing(self, nodes, origin, subscriber):
        nodes.wait(lambda: self.in_step(subscriber, origin))
        time.sleep(1.5)  # whatever the change set going has ended
        before, marks = subscriber.peer_state(origin.name), written(subscriber)
        nodes.wait(lambda: subscriber.peer_state(origin.name)["requests"] >= before["requests"] + 3, what="three polls")
        after = subscriber.peer_state(origin.name)
        self.assertEqual(written(subscriber), marks)
        polls = after["requests"] - before["requests"]
        self.assertLess((after["bytesIn"] - before["bytesIn"]) / polls, 1024)


if __name__ == "__main__":
    tap.main()
