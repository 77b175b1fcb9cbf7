#!/usr/bin/env python3
"""Erasure on real nodes: a record, and a person, are gone from every file of the node that said it and of the one that followed; what others say
of the person is blocked; and the next import does not bring them back.
"""
import glob
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation  # noqa: E402

# Fictitious.
PERSON = "Quirijna Vandersteegh-Proefpersoon"
MAIL = "q.vandersteegh@voorbeeld.example"
PHONE = "030 - 555 01 98"


def with_contact(number, name=PERSON):
    return organisation(number, contacts=[{"department": "Balie", "email": "balie@voorbeeld.example"},
                                          {"name": name, "email": MAIL, "phones": [{"number": PHONE}], "basis": "consent"}])


def professional(number):
    return {"kind": "professional", "id": f"11111111-0000-4000-8000-{number:012}",
            "body": {"name": PERSON, "description": "Verzonnen huisarts.", "basis": "consent", "status": "active"}}


class Erasure(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.houten = cls.nodes.add("houten.example", areas=["GM0321"])
        cls.nieuwegein = cls.nodes.add("nieuwegein.example", areas=["GM0356"])
        cls.nieuwegein.peers = [Peer(cls.houten)]
        cls.houten.start()
        cls.nieuwegein.start()
        cls.houten.load([organisation(i) for i in range(40)] + [with_contact(50)], source="desk")

    def assert_in_files(self, node, text, wanted, what):
        """Whether any file of the node's directory (databases, logs, own-head copy; not the inputs of this test) holds the text."""
        def found():
            hits = []
            for path in glob.glob(os.path.join(node.directory, "**"), recursive=True):
                if os.path.isfile(path) and not path.endswith(".json"):
                    with open(path, "rb") as file:
                        if text.encode() in file.read():
                            hits.append(os.path.relpath(path, node.directory))
            return hits
        if wanted:
            self.assertTrue(found(), what)
        else:
            self.nodes.wait(lambda: not found(), what=f"{what}: still in {found()}")

    def map_has(self, node, text):
        return text in node.ctl("export")

    def test_1_nothing_happens_without_yes(self):
        self.nodes.wait(lambda: self.nieuwegein.holds(self.houten) and self.map_has(self.nieuwegein, PERSON), what="the sync")
        answer = self.houten.json("subject", "find", PERSON.lower())
        self.assertEqual([(m["action"], m["own"], m["fields"]) for m in answer["matches"]], [("remove", True, ["/contacts/1/name"])])
        self.assertNotIn(PERSON, self.houten.ctl("subject", "find", PERSON))
        self.assertIn("--yes", self.houten.ctl("subject", "erase", PERSON))
        self.assertEqual(len(self.houten.json("subject", "find", "+31 30 5550198")["matches"]), 1)
        self.assertEqual(len(self.houten.json("subject", "find", MAIL.upper())["matches"]), 1)
        self.assertEqual(self.houten.run("subject", "find", "abc").returncode, 1)
        self.assertTrue(self.map_has(self.houten, PERSON))
        self.assert_in_files(self.houten, PERSON, True, "it should be there before")

    def test_2_others_claims_are_blocked_and_their_origin_named(self):
        self.nieuwegein.load([with_contact(60)], source="desk")
        self.nodes.wait(lambda: self.nieuwegein.json("subject", "find", PERSON)["matches"].__len__() == 2, what="both claims")
        answer = self.nieuwegein.json("subject", "erase", PERSON, "--yes")
        self.assertEqual(sorted((m["feed"], m["action"]) for m in answer["matches"]),
                         [("houten.example/public", "block-part"), ("nieuwegein.example/public", "remove")])
        self.assertEqual(answer["ask"], ["houten.example"])
        self.nodes.wait(lambda: not self.map_has(self.nieuwegein, PERSON), what="the map without the person")
        self.assertIn("Stichting Proef 50", self.nieuwegein.ctl("export"))  # the organisation is still there
        self.assertIn("Balie", self.nieuwegein.ctl("export"))
        self.assertNotIn(PERSON, self.nieuwegein.ctl("why", with_contact(50)["id"]))
        self.assertEqual(self.nieuwegein.run("subject", "allow", "Niemand Bekend").returncode, 1)
        # What is relayed stays as it was signed: it verifies.
        self.assertEqual(self.nieuwegein.lines(self.houten.feed, self.houten.verifier),
                         self.houten.lines(self.houten.feed, self.houten.verifier))

    def test_3_the_next_import_does_not_bring_it_back(self):
        self.nieuwegein.load([with_contact(60), with_contact(61, PERSON.upper())], source="desk")
        found = self.nieuwegein.json("subject", "find", PERSON)["matches"]
        self.assertEqual([m["feed"] for m in found], ["houten.example/public"])
        refused = self.nieuwegein.run("import", self.nieuwegein.write("p.json", [professional(1)]), "--source", "desk", "--role", "editor")
        self.assertIn(b"1 refused", refused.stdout)
        self.assertEqual([m["feed"] for m in self.nieuwegein.json("subject", "find", PERSON)["matches"]], ["houten.example/public"])

    def test_4_the_origin_erases_and_it_travels(self):
        self.houten.ctl("subject", "erase", PERSON, "--yes")
        self.assertEqual(self.houten.json("subject", "find", PERSON)["matches"], [])
        self.nodes.wait(lambda: not self.map_has(self.houten, PERSON), what="the map without the person")
        self.nodes.wait(lambda: self.nieuwegein.holds(self.houten), what="the sync")
        for text in (PERSON, MAIL, PHONE):
            self.assert_in_files(self.houten, text, False, f"{text} at its origin")
            self.assert_in_files(self.nieuwegein, text, False, f"{text} at the follower")
        self.assertIn("Stichting Proef 50", self.nieuwegein.ctl("export"))

    def test_5_a_record_is_erased(self):
        record = organisation(7)
        text = record["body"]["name"]
        self.nodes.wait(lambda: self.map_has(self.nieuwegein, text + '"'), what="the record")
        pin = {"kind": "organization", "id": record["id"],
               "body": {"name": text + " gespeld", "pin_reason": "proef", "pin_expires": "2099-01-01",
                        "derived_from": {"feed": self.houten.feed, "kind": "organization", "id": record["id"], "source": "desk"}}}
        self.houten.put(pin, source="pin-identity")
        shown = self.houten.json("erase", "organization", record["id"], "--source", "desk")
        self.assertEqual(sorted(m["source"] for m in shown["matches"]), ["desk", "pin-identity"])  # what was copied from it goes too
        self.assertTrue(shown["dryRun"])
        self.houten.ctl("erase", "organization", record["id"], "--source", "desk", "--yes")
        self.nodes.wait(lambda: self.nieuwegein.holds(self.houten), what="the sync")
        self.nodes.wait(lambda: self.nieuwegein.run("get", record["id"]).returncode != 0, what="the record gone")
        for node in (self.houten, self.nieuwegein):
            self.assert_in_files(node, text + '"', False, "the record's name")
            self.assert_in_files(node, text + " gespeld", False, "the pin's name")
        self.assertEqual(self.houten.json("erase", "organization", record["id"])["matches"], [])
        self.assertEqual(self.houten.run("erase", "organization", "NOT-AN-ID").returncode, 2)

    def test_6_a_block_is_taken_back(self):
        self.houten.put(organisation(8, description="Stichting Onbesproken Naam"))
        self.nodes.wait(lambda: self.map_has(self.nieuwegein, "Onbesproken"), what="the sync")
        self.nieuwegein.ctl("subject", "erase", "Stichting", "Onbesproken", "Naam", "--yes")
        self.nodes.wait(lambda: not self.map_has(self.nieuwegein, "Onbesproken"), what="the block")
        self.nieuwegein.ctl("subject", "allow", "stichting onbesproken naam")
        self.nodes.wait(lambda: self.map_has(self.nieuwegein, "Onbesproken"), what="the record again")


class Travelling(unittest.TestCase):
    def test_the_operator_sees_which_peers_confirmed_an_erasure(self):
        with Nodes() as nodes:
            houten, nieuwegein, utrecht = (nodes.add(f"{name}.example", areas=[area]) for name, area in
                                           (("houten", "GM0321"), ("nieuwegein", "GM0356"), ("utrecht", "GM0344")))
            houten.peers = [Peer(nieuwegein), Peer(utrecht)]
            nieuwegein.peers = [Peer(houten)]
            for node in (utrecht, nieuwegein, houten):
                node.start()
            utrecht.stop()  # it was there for the guard; it will not hear of what follows
            records = [organisation(i) for i in range(3)]
            houten.load(records, source="desk")
            nodes.wait(lambda: nieuwegein.holds(houten), what="the sync")
            self.assertIn("No erasure stands", houten.ctl("erase", "--status"))
            nieuwegein.stop()
            for record in records[:2]:
                houten.ctl("erase", "organization", record["id"], "--yes")

            def peers(name, *words):
                return [[peer["peer"] for peer in erasure[name]] for erasure in houten.json("erase", "--status", *words)["erasures"]]
            self.assertEqual(peers("confirmed"), [[], []])
            self.assertEqual([sorted(names) for names in peers("notYet")], [["nieuwegein.example", "utrecht.example"]] * 2)
            nieuwegein.start()
            nodes.wait(lambda: nieuwegein.holds(houten), what="the sync")
            houten.ctl("sync")  # the list of feeds is asked for now, not in half a minute
            nodes.wait(lambda: peers("confirmed") == [["nieuwegein.example"]] * 2, what="the confirmation")
            self.assertEqual(peers("notYet"), [["utrecht.example"]] * 2)
            self.assertEqual(len(peers("confirmed", "organization", records[1]["id"])), 1)
            self.assertEqual(peers("confirmed", "organization", records[2]["id"]), [])
            shown = houten.ctl("erase", "--status", "organization", records[0]["id"])
            for text in ("confirmed", "not yet", "nothing seen", "requested, not proven"):
                self.assertIn(text, shown)
            self.assertEqual(houten.run("erase", "--status", "--yes").returncode, 2)
            self.assertEqual(houten.run("erase", "organization").returncode, 2)


if __name__ == "__main__":
    tap.main()
