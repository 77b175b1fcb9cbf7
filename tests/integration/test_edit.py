#!/usr/bin/env python3
"""The work of editors at real nodes: conflicts in their order, pins that hold and end, what is stale, what is confirmed."""
import datetime
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation  # noqa: E402

ORG = organisation(1)["id"]
FAILED, USAGE = 1, 2


def day(offset):
    return (datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=offset)).isoformat()


class Editing(unittest.TestCase):
    """Nieuwegein (home of the organisation), which pulls Houten."""

    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.houten = self.nodes.add("houten.example", areas=["GM0321"])
        self.node = self.nodes.add("nieuwegein.example", areas=["GM0356"])
        self.node.peers = [Peer(self.houten)]
        self.houten.start()
        self.node.start()

    def say(self, node, source="desk", role="editor", record=ORG, **fields):
        words = [f"{name}={value}" for name, value in fields.items()]
        node.ctl("put", "organization", record, *words, "--source", source, "--role", role)

    def here(self, field, record=ORG):
        """(value, rule) of a field in Nieuwegein's map; None if it has none."""
        done = self.node.run("get", record, "--json")
        if done.returncode != 0:
            return None
        found = self.node.json("get", record)
        return (found["record"].get(field), found["provenance"].get(field, {}).get("rule"))

    def until(self, field, value, record=ORG):
        self.nodes.wait(lambda: (self.here(field, record) or (None,))[0] == value, what=f"{field} = {value}")

    def settle(self):
        self.nodes.wait(lambda: self.node.holds(self.houten), what="the sync")
        self.nodes.wait(lambda: self.node.json("status")["map"]["caughtUp"], what="the map")

    def conflicts(self, *arguments):
        self.settle()
        return self.node.json("conflicts", *arguments)["conflicts"]

    def test_conflicts_in_order(self):
        self.say(self.node, name="De Brug", email="a@brug.example", website="https://a.example")
        self.say(self.node, source="second", email="b@brug.example")       # the same role at home: nobody's rank decides
        self.say(self.houten, name="Brug", website="https://b.example", description="Verzonnen")
        self.until("email", "b@brug.example")
        found = self.conflicts()
        self.assertEqual([(c["field"], c["sameRank"]) for c in found], [("email", True), ("website", False)])
        self.assertEqual([other["value"] for other in found[0]["others"]], ["a@brug.example"])
        self.assertEqual((found[1]["value"], found[1]["others"][0]["value"]), ("https://a.example", "https://b.example"))
        self.assertEqual([c["field"] for c in self.conflicts("--group", "identity")], ["name"])
        self.assertEqual([c["field"] for c in self.conflicts("--about", "houten.example")], ["website"])
        self.assertEqual(self.conflicts("--about", "utrecht.example"), [])
        self.assertEqual((len(self.conflicts("--limit", "1")), self.node.json("conflicts", "--limit", "1")["more"]), (1, True))
        text = self.node.ctl("conflicts")
        self.assertIn(f"kaartctl pin organization {ORG} contact --from nieuwegein.example/public --source desk", text)
        self.say(self.houten, website="https://a.example")
        self.nodes.wait(lambda: [c["field"] for c in self.conflicts()] == ["email"], what="the agreement")

    def test_a_pin_holds_until_it_goes(self):
        self.say(self.node, name="De Brug", email="a@brug.example", website="https://a.example")
        self.say(self.houten, email="houten@brug.example")
        self.settle()
        self.until("email", "a@brug.example")
        self.node.ctl("pin", "organization", ORG, "contact", "--from", "houten.example/public", "--reason", "zij belden", "--expires", "6 months")
        self.until("email", "houten@brug.example")
        self.assertEqual(self.here("email")[1], "pin")
        self.assertEqual(self.here("website"), ("https://a.example", "only"))  # the pin has only what Houten has
        pin = next(f for f in self.node.json("why", ORG)["fields"] if f["field"] == "email")
        self.assertEqual((pin["source"], pin["pinReason"], pin["hidesNewer"]), ("pin-contact", "zij belden", False))
        self.say(self.node, email="nieuw@brug.example")
        self.nodes.wait(lambda: self.conflicts()[0]["hidesNewer"], what="what the pin hides")
        self.assertIn("the pin hides something that was said after it", self.node.ctl("conflicts"))
        self.assertEqual(self.here("email")[0], "houten@brug.example")
        self.node.ctl("unpin", "organization", ORG, "contact")
        self.until("email", "nieuw@brug.example")
        self.assertIn("absent", self.node.ctl("unpin", "organization", ORG, "contact"))

    def test_a_pin_of_values_and_its_inverse(self):
        self.say(self.node, name="De Brug", email="a@brug.example")
        self.until("email", "a@brug.example")
        self.settle()
        before = self.node.json("status")["map"]["map"]
        self.node.ctl("pin", "organization", ORG, "contact", "email=vast@brug.example", "--reason", "afgesproken", "--expires", day(30))
        self.until("email", "vast@brug.example")
        self.assertNotEqual(self.node.json("status")["map"]["map"], before)
        self.node.ctl("unpin", "organization", ORG, "contact")
        self.until("email", "a@brug.example")
        self.settle()
        self.assertEqual(self.node.json("status")["map"]["map"], before)

    def test_pins_that_are_refused(self):
        self.say(self.node, name="De Brug", email="a@brug.example")
        self.say(self.node, source="second", email="b@brug.example")
        self.until("email", "b@brug.example")
        some = ["organization", ORG, "contact"]
        good = ["--reason", "r", "--expires", day(1)]
        for arguments, message, code in ((["pin", *some, "email=x@y.example", "--expires", day(1)], "has a --reason", USAGE),
                                         (["pin", *some, "email=x@y.example", "--reason", "r", "--expires", day(-1)], "is not a day ahead", USAGE),
                                         (["pin", *some, "email=x@y.example", "--reason", "r", "--expires", "soon"], "is not a day ahead", USAGE),
                                         (["pin", *some, *good], "what is to hold?", USAGE),
                                         (["pin", *some, "name=x", *good], "is a field of the group identity", USAGE),
                                         (["pin", "organization", ORG, "colour", "a=b", *good], "no field group", USAGE),
                                         (["pin", *some, "--from", "nieuwegein.example/public", *good], "choose with --source", USAGE),
                                         (["pin", *some, "--from", "houten.example/public", *good], "says nothing of the group", FAILED),
                                         (["conflicts", "--group", "colour"], "no field group", USAGE),
                                         (["stale", "--older-than", "long"], "is not a time", USAGE),
                                         (["confirm", ORG, "--verified", day(1)], "is not a day up to today", USAGE),
                                         (["confirm", ORG, "--source", "nobody"], "says nothing about", FAILED)):
            done = self.node.run(*arguments)
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertIn(message, done.stderr.decode())

    def test_stale_and_confirm(self):
        for number, age in ((1, 400), (2, 800), (3, 10)):
            self.node.ctl("put", "organization", organisation(number)["id"], f"name=Stichting {number}", "--source", "desk",
                          "--verified", day(-age))
        self.until("name", "Stichting 3", organisation(3)["id"])
        self.settle()
        found = self.node.json("stale", "--older-than", "12mo")
        self.assertEqual(([item["id"] for item in found["stale"]], found["total"]), ([organisation(2)["id"], ORG], 2))
        self.assertEqual(found["stale"][0]["verified"], day(-800))
        self.assertEqual(self.node.json("stale", "--older-than", "12mo", "--limit", "1")["total"], 2)
        self.assertEqual(self.node.json("stale", "--origin", "houten.example")["stale"], [])
        before = self.node.json("get", ORG)["record"]
        self.assertIn("changed", self.node.ctl("confirm", ORG, organisation(2)["id"], "--source", "desk"))
        self.nodes.wait(lambda: self.node.json("stale", "--older-than", "12mo")["total"] == 0, what="the confirmation")
        found = self.node.json("get", ORG)
        self.assertEqual(found["record"], before)
        self.assertEqual(found["provenance"]["name"]["verified"], day(0))


if __name__ == "__main__":
    tap.main()
