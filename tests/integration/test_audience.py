#!/usr/bin/env python3
"""One map for each audience [RES-2]: the public map, its search, its sums and what anybody can ask come from public feeds only; the professionals'
map is another one, at the feed's node and at its readers."""
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "python")]
import feedkit  # noqa: E402
import tap  # noqa: E402
from nodes import KAARTCTL, Nodes, Peer, organisation, section  # noqa: E402

PERSON_ID = "5a0d9a0e-9f2e-4b53-8c1d-6f0f4f0c8d11"
PERSON = {"kind": "professional", "id": PERSON_ID, "body": {"name": "Persoon Verzonnen", "basis": "consent", "status": "active"}}
PROFESSIONALS = ("--audience", "professionals")


class Audience(unittest.TestCase):
    """Houten has a professionals' feed, which Nieuwegein reads."""

    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.houten, self.nieuwegein = (self.nodes.add(name, areas=[area]) for name, area in
                                        (("houten.example", "GM0321"), ("nieuwegein.example", "GM0356")))
        self.feed = "houten.example/professionals"
        key_file = os.path.join(self.houten.directory, "professionals.key")
        subprocess.run([KAARTCTL, "keygen", self.feed, key_file], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with open(key_file, encoding="ascii") as file:
            self.verifier = feedkit.SigningKey.parse(file.read()).verifier
        self.section = section("feed professionals", dict(key=key_file, readers=["nieuwegein.example"]))
        self.houten.peers = [Peer(self.nieuwegein, pull_every="1h")]
        self.nieuwegein.peers = [Peer(self.houten, feed_keys=[str(self.houten.verifier), str(self.verifier)])]

    def say(self, records, feed, expect=0):
        path = self.houten.write("records.json", records)
        done = self.houten.run("import", path, "--source", "desk", "--role", "editor", "--feed", feed)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stderr.decode("utf-8")

    def found(self, node, *options):
        return [hit["id"] for hit in node.json("search", "verzonnen", *options)]

    def exported(self, node, *options):
        return node.ctl("export", *options)

    def claim_set(self, node):
        return node.json("status")["map"].get("claimSet", node.name)

    def check_maps(self, node):
        """The person is in the professionals' map only, the organisation in the public one only."""
        place = organisation(1)["id"]
        self.nodes.wait(lambda: self.found(node, *PROFESSIONALS) == [PERSON_ID], what=f"the professionals' map of {node.name}")
        self.nodes.wait(lambda: self.found(node) == [place], what=f"the public map of {node.name}")
        self.assertEqual(node.json("get", PERSON_ID, *PROFESSIONALS)["record"]["name"], "Persoon Verzonnen")
        self.assertEqual(node.json("why", PERSON_ID, *PROFESSIONALS)["fields"][0]["feed"], self.feed)
        for command in ("get", "why"):
            self.assertEqual(node.run(command, PERSON_ID).returncode, 1)
            self.assertEqual(node.run(command, place, *PROFESSIONALS).returncode, 1)
        self.assertNotIn("Persoon", self.exported(node))
        self.assertIn(place, self.exported(node))
        self.assertIn("Persoon", self.exported(node, *PROFESSIONALS))
        self.assertNotIn(place, self.exported(node, *PROFESSIONALS))
        old = ("--older-than", "2100-01-01", "--origin", "houten.example")
        self.assertEqual([item["id"] for item in node.json("stale", *old)["stale"]], [place])
        self.assertEqual([item["id"] for item in node.json("stale", *old, *PROFESSIONALS)["stale"]], [PERSON_ID])
        self.assertEqual(node.json("conflicts", *PROFESSIONALS)["conflicts"], [])
        for name in ("map.db", "map.db-wal"):
            with open(os.path.join(node.state, name), "rb") as file:
                self.assertNotIn(b"Persoon", file.read())

    def check_nothing_outside(self, node):
        source = node.source()
        for path in ("/v1/feeds", "/v1/openapi.json", "/healthz", "/metrics", "/"):
            body = source.request(path)[2]
            self.assertNotIn(b"Persoon", body)
            self.assertNotIn(b"professionals", body)
            self.assertNotIn(PERSON_ID.encode("ascii"), body)
        for path in (f"/v1/feeds/{self.feed}/checkpoint", "/control/v1/search?q=verzonnen&audience=professionals",
                     "/control/v1/export?audience=professionals"):
            self.assertEqual(source.request(path)[0], 404)
        source.close()

    def test_each_audience_its_own_map(self):
        self.houten.extra = self.section
        for node in (self.houten, self.nieuwegein):
            node.start()
        self.say([organisation(1)], "public")
        self.nodes.wait(lambda: self.found(self.nieuwegein) == [organisation(1)["id"]], what="the organisation at Nieuwegein")
        self.houten.ctl("sync", "--wait")  # Nieuwegein's own feed, still empty, is among its claims too
        self.nodes.wait(lambda: self.claim_set(self.houten) == self.claim_set(self.nieuwegein), what="the same public claims at both")
        before = [node.json("status")["maps"]["public"] for node in (self.houten, self.nieuwegein)]
        self.say([PERSON], "professionals")
        for node, public in zip((self.houten, self.nieuwegein), before):
            self.check_maps(node)
            self.check_nothing_outside(node)
            status = node.json("status")
            self.assertEqual(status["maps"]["public"], public, "a professional changes nothing of the public map's sums")
            self.assertEqual(status["map"], public)
            self.assertEqual(status["maps"]["professionals"]["records"], {"professional": 1})
            only = node.json("status", *PROFESSIONALS)
            self.assertEqual(list(only["maps"]), ["professionals"])
            self.assertEqual(only["map"], status["maps"]["professionals"])
            self.assertIn("professionals: 1 claims", node.ctl("status"))
        sums = [node.json("status")["maps"] for node in (self.houten, self.nieuwegein)]
        for audience in ("public", "professionals"):
            self.assertEqual(sums[0][audience]["claimSet"], sums[1][audience]["claimSet"])
            self.assertNotEqual(sums[0][audience]["map"], sums[0]["public" if audience != "public" else "professionals"]["map"])
        self.houten.ctl("retract", "professional", PERSON_ID, "--source", "desk", "--feed", "professionals")
        self.nodes.wait(lambda: self.found(self.nieuwegein, *PROFESSIONALS) == [], what="the retraction at the reader")

    def test_unknown_audience(self):
        self.houten.start()
        for command in (("search", "verzonnen"), ("get", PERSON_ID), ("why", PERSON_ID), ("export",), ("status",), ("conflicts",), ("stale",)):
            done = self.houten.run(*command, *PROFESSIONALS)
            self.assertEqual(done.returncode, 1, command)
            self.assertIn(b'no map for the audience "professionals": it has public', done.stderr)

    def test_ids_are_random_and_entries_salted(self):
        """[ENTRY-15]"""
        self.houten.extra = self.section
        self.houten.start()
        guessed = "0d9a0e5a-9f2e-5b53-8c1d-6f0f4f0c8d11"  # UUIDv5
        told = self.say([{**organisation(1), "id": guessed}], "professionals", expect=1)
        self.assertIn("[ENTRY-15]", told)
        self.assertIn("uuidgen", told)
        self.assertIn("[ENTRY-15]", self.say([{**PERSON, "id": guessed}], "public", expect=1))
        self.say([{**organisation(1), "id": guessed}], "public")
        self.say([PERSON, organisation(2)], "professionals")
        self.nodes.wait(lambda: self.found(self.houten, *PROFESSIONALS), what="the professionals' map")
        for record in (PERSON, organisation(2)):
            proof = self.houten.ctl("prove", record["id"], "--feed", self.feed)
            self.assertIn('"salt":"', proof)

    def test_an_audience_comes_and_goes_with_the_configuration(self):
        path = os.path.join(self.houten.state, "map-professionals.db")
        self.houten.start()
        self.say([organisation(1)], "public")
        self.assertFalse(os.path.exists(path))
        self.houten.extra = self.section
        self.houten.reload()
        self.nodes.wait(lambda: self.houten.run("search", "x", *PROFESSIONALS).returncode == 0, what="the map of the new audience")
        self.say([PERSON], "professionals")
        self.check_maps(self.houten)
        self.houten.extra = ""
        self.houten.reload()
        self.nodes.wait(lambda: not os.path.exists(path), what="the end of the map that nobody follows")
        self.assertEqual(self.houten.run("search", "x", *PROFESSIONALS).returncode, 1)
        self.nodes.wait(lambda: self.found(self.houten) == [organisation(1)["id"]], what="the public map")
        self.houten.extra = self.section
        self.houten.reload()
        self.nodes.wait(lambda: self.houten.run("search", "x", *PROFESSIONALS).returncode == 0, what="the map once more")
        self.check_maps(self.houten)
        self.assertEqual(self.houten.stop(), 0)
        self.houten.extra = ""
        self.houten.start()
        self.assertFalse(os.path.exists(path), "what left the configuration while the node was down goes at the start")


if __name__ == "__main__":
    tap.main()
