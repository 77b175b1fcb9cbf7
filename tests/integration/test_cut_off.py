#!/usr/bin/env python3
"""A connection that breaks again and again: a transfer goes on where it was, also after a restart of the subscriber, and what breaks is not the source's fault."""
import os
import socket
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation, section  # noqa: E402

RECORDS = 1500
CUT_AFTER = 40_000  # bytes of an answer, compressed; the whole feed takes several times as many


class Wire:
    """TCP from a port of ours to a node; each connection breaks after `limit` bytes towards the caller (None: never)."""

    def __init__(self, port):
        self.target, self.limit = port, None
        self.carried, self.connections = 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                caller, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                node = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                caller.close()
                continue
            threading.Thread(target=self.carry, args=(caller, node, False), daemon=True).start()
            threading.Thread(target=self.carry, args=(node, caller, True), daemon=True).start()

    def carry(self, source, sink, counted):
        total = 0
        try:
            while True:
                data = source.recv(4096)
                if not data:
                    break
                total += len(data)
                if counted:
                    self.carried += len(data)
                    if self.limit is not None and total > self.limit:
                        break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class CutOff(unittest.TestCase):
    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.houten = self.nodes.add("houten.example", areas=["GM0321"])
        self.nieuwegein = self.nodes.add("nieuwegein.example", areas=["GM0356"])
        self.houten.start()
        # descriptions that do not compress well, so that the feed is larger than one connection carries
        self.houten.load([organisation(i, description=os.urandom(100).hex()) for i in range(RECORDS)])
        self.wire = Wire(self.houten.port)
        self.addCleanup(self.wire.close)
        self.nieuwegein.peers = [Peer(self.houten, url=f"https://127.0.0.1:{self.wire.port}")]

    def synced(self):
        self.nodes.wait(lambda: self.nieuwegein.holds(self.houten), timeout=120, what="the sync")

    def whole_size(self):
        """What the first copy costs over a good connection."""
        self.nieuwegein.start()
        self.synced()
        self.assertEqual(self.nieuwegein.stop(), 0)
        carried = self.wire.carried
        for name in os.listdir(self.nieuwegein.state):
            os.unlink(os.path.join(self.nieuwegein.state, name))
        os.unlink(os.path.join(self.nieuwegein.directory, "own-head"))
        self.wire.carried = self.wire.connections = 0
        return carried

    def test_a_first_copy_in_pieces(self):
        whole = self.whole_size()
        self.assertGreater(whole, 3 * CUT_AFTER, "else nothing is cut")
        self.wire.limit = CUT_AFTER
        self.nieuwegein.start()
        self.nodes.wait(lambda: self.wire.connections >= 3, what="three connections")
        self.nieuwegein.kill()  # what was staged is on disk
        self.nieuwegein.start()
        self.synced()
        self.assertEqual(self.nieuwegein.lines(self.houten.feed, self.houten.verifier), self.houten.lines(self.houten.feed, self.houten.verifier))
        self.assertEqual(self.nieuwegein.refusals(), {}, "a broken connection is no lie")
        self.assertLess(self.wire.carried, 3 * whole, "each piece begins where the former ended")

    def test_a_delta_in_pieces(self):
        self.nieuwegein.start()
        self.synced()
        self.wire.limit, self.wire.carried = CUT_AFTER, 0
        self.houten.load([organisation(i, description=os.urandom(100).hex()) for i in range(RECORDS)])
        self.synced()
        self.assertEqual(self.nieuwegein.lines(self.houten.feed, self.houten.verifier), self.houten.lines(self.houten.feed, self.houten.verifier))
        self.assertEqual(self.nieuwegein.refusals(), {})


class Silence(unittest.TestCase):
    def test_a_peer_that_never_answers_holds_up_nobody(self):
        """It takes connections, and says nothing; it is configured first, as origin of a feed and as relay of Houten's. [SYNC-9]"""
        with Nodes() as nodes, socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
            houten = nodes.add("houten.example", areas=["GM0321"])
            nieuwegein = nodes.add("nieuwegein.example", areas=["GM0356"])
            stranger = nodes.add("silent.example", areas=["GM0999"])
            nieuwegein.extra = section("peer silent.example", dict(
                url=f"https://127.0.0.1:{silent.getsockname()[1]}", feed_keys=[str(stranger.verifier)], tls_pins=[stranger.pin], relay=True,
                pull_every="1s", push=True))
            nieuwegein.peers = [Peer(houten)]
            houten.start()
            houten.load([organisation(i) for i in range(5)])
            nieuwegein.start()
            begun = time.monotonic()
            nodes.wait(lambda: nieuwegein.holds(houten), what="the sync")
            self.assertLess(time.monotonic() - begun, 10)
            for i in range(3):
                houten.put(organisation(i, name=f"Stichting Anders {i}"))
                nodes.wait(lambda: nieuwegein.holds(houten), timeout=10, what="a change")
            begun = time.monotonic()
            self.assertEqual(nieuwegein.stop(), 0)
            self.assertLess(time.monotonic() - begun, 10, "an end does not wait for answers that do not come")


if __name__ == "__main__":
    tap.main()
