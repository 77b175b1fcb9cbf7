#!/usr/bin/env python3
"""What a subscriber refuses: each lie gets a clear message in `kaartctl peers --json`, and leaves the store as it was."""
import json
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "demo"), os.path.join(os.path.dirname(HERE), "python")]
import feedkit  # noqa: E402
import tap  # noqa: E402
from lying_relay import Relay  # noqa: E402
from nodes import Nodes, make_certificate, organisation, section  # noqa: E402


class Lies(unittest.TestCase):
    """Lopik knows Houten only through a relay. Each test lets it lie about a new change, and then be honest again."""

    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.houten = cls.nodes.add("houten.example", areas=["GM0321"])
        cls.lopik = cls.nodes.add("lopik.example", areas=["GM0331"])
        cls.houten.start()
        cls.houten.load([organisation(i) for i in range(8)])
        directory = os.path.join(cls.nodes.directory, "relay")
        os.makedirs(directory)
        certificate, key, cls.pin = make_certificate(directory, "relay.example")
        cls.relay = Relay(certificate, key, cls.houten.source()).start()
        cls.addClassCleanup(cls.relay.close)
        cls.lopik.extra = cls.by_relay(cls.pin, cls.houten.verifier)
        cls.lopik.start()
        cls.nodes.wait(lambda: cls.lopik.holds(cls.houten), what="the honest copy")
        cls.number = 100

    @classmethod
    def by_relay(cls, pin, key):
        return section("peer relay.example", dict(url=cls.relay.url, feed_keys=[str(key)], tls_pins=[pin], relay=True, pull_every="1s",
                                                  full_sync_every="1s"))

    def refused(self, mode, *words):
        before = self.lopik.checkpoint(self.houten.feed, self.houten.verifier)
        lines = self.lopik.lines(self.houten.feed, self.houten.verifier)
        count = sum(self.lopik.refusals().values())
        self.relay.mode = mode
        try:
            Lies.number += 2
            self.houten.load([organisation(Lies.number), organisation(Lies.number + 1)])

            def complaint():
                peer = self.lopik.peer_state("relay.example")
                text = json.dumps(peer, ensure_ascii=False).lower()
                return text if sum(self.lopik.refusals().values()) > count and any(word in text for word in words) else None
            text = self.nodes.wait(complaint, what=f"the refusal of {mode} (one of {words}); refusals {self.lopik.refusals()}, "
                                                    f"said {self.lopik.peer_state('relay.example')}")
            after = self.lopik.checkpoint(self.houten.feed, self.houten.verifier)
            self.assertEqual(after.note, before.note)
            self.assertEqual(self.lopik.lines(self.houten.feed, self.houten.verifier), lines)
        finally:
            self.relay.mode = "honest"
        self.nodes.wait(lambda: self.lopik.holds(self.houten), what="the truth afterwards")
        return text

    def test_altered_byte(self):
        self.refused("alter", "root")

    def test_omitted_entry(self):
        self.refused("omit", "root")

    def test_invented_entry(self):
        self.refused("invent", "root", "size", "beyond")

    def test_reordered_entries(self):
        self.refused("reorder", "order", "stream-3")

    def test_foreign_signature(self):
        self.refused("foreign", "note-", "sign")

    def test_truncated_stream(self):
        self.refused("truncate", "stream-", "cut", "end")

    def test_stream_without_end(self):
        self.refused("without-end", "stream-", "control")

    def test_gzip_bomb(self):
        self.refused("bomb", "large", "limit", "max", "json", "more than")

    def test_entry_of_10_mb(self):
        self.refused("huge", "json-10", "65536")

    def test_invalid_utf8(self):
        self.refused("invalid-utf8", "utf-8")

    def test_duplicate_members(self):
        self.refused("duplicate", "duplicate")

    def test_more_entries_than_signed_for(self):
        self.refused("endless", "more than", "beyond", "size", "root", "entries")

    def test_page_of_html(self):
        self.refused("page", "json", "content", "html")

    def test_old_state_is_behind_and_no_fault(self):
        self.relay.remember(self.houten.feed)
        self.houten.put(organisation(50))
        self.nodes.wait(lambda: self.lopik.holds(self.houten), what="the newer state")
        count = sum(self.lopik.refusals().values())
        self.relay.mode = "old"
        try:
            self.nodes.wait(lambda: "behind" in json.dumps(self.lopik.peer_state("relay.example")).lower(), what="the word behind")
            self.assertEqual(sum(self.lopik.refusals().values()), count)
            self.assertTrue(self.lopik.holds(self.houten))
        finally:
            self.relay.mode = "honest"

    def test_wrong_pin(self):
        self.reconfigured("A" * 43 + "=", self.houten.verifier, "pin", "certificate", "peer")

    def test_key_of_another_feed(self):
        """Under that key's name the relay has no such feed; under Houten's name no key of ours signed it."""
        stranger = feedkit.SigningKey(self.houten.feed, bytes(range(32))).verifier
        self.reconfigured(self.pin.split("/", 1)[1], stranger, "note-", "sign", "key")

    def reconfigured(self, pin, key, *words):
        """Lopik's store under a section that is wrong: a message, and nothing else changes."""
        before = self.lopik.checkpoint(self.houten.feed, self.houten.verifier)
        self.lopik.extra = self.by_relay("sha256/" + pin, key)
        self.lopik.reload()
        try:
            self.nodes.wait(lambda: any(word in (self.lopik.peer_state("relay.example").get("lastError") or "").lower() for word in words)
                            or None, what=f"one of {words} in lastError, which is {self.lopik.peer_state('relay.example')}")
            self.assertEqual(self.lopik.checkpoint(self.houten.feed, self.houten.verifier).note, before.note)
        finally:
            self.lopik.extra = self.by_relay(self.pin, self.houten.verifier)
            self.lopik.reload()
        self.houten.put(organisation(60))
        self.nodes.wait(lambda: self.lopik.holds(self.houten), what="the sync under the right section")


if __name__ == "__main__":
    tap.main()
