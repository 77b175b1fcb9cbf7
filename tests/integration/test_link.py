#!/usr/bin/env python3
"""Records that are the same, at real nodes: found, linked, shown as one, taken apart again; and all refusals in words."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation  # noqa: E402

ONE, TWO, THREE = (organisation(number)["id"] for number in (1, 2, 3))
FAILED, USAGE = 1, 2


class Linking(unittest.TestCase):
    """Nieuwegein, which pulls Houten and makes it a steward."""

    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.houten = self.nodes.add("houten.example", areas=["GM0321"])
        self.node = self.nodes.add("nieuwegein.example", areas=["GM0356"])
        self.node.peers = [Peer(self.houten, steward=True)]
        self.houten.start()
        self.node.start()
        self.say(self.node, ONE, name="Stichting De Brug", email="info@brug.example", phones='[{"number":"030 123 45 67"}]')
        self.say(self.houten, TWO, name="De Brug Houten", website="https://brug.example", phones='[{"number":"+31301234567"}]')
        self.settle()
        self.nodes.wait(lambda: self.node.run("get", TWO).returncode == 0, what="Houten's record")

    def say(self, node, record, **fields):
        node.ctl("put", "organization", record, *(f"{name}={value}" for name, value in fields.items()))

    def settle(self):
        self.nodes.wait(lambda: self.node.holds(self.houten), what="the sync")
        self.nodes.wait(lambda: self.node.json("status")["map"]["caughtUp"], what="the map")

    def shown_as(self, record):
        return self.node.json("get", record)["id"]

    def until(self, record, main):
        self.nodes.wait(lambda: self.shown_as(record) == main, what=f"{record} under {main}")
        self.settle()

    def picture(self):
        """All records, and the sum of the map."""
        self.settle()
        return self.node.ctl("export"), self.node.json("status")["map"]["map"]

    def refused(self, message, *arguments, code=FAILED):
        done = self.node.run(*arguments)
        self.assertEqual(done.returncode, code, (arguments, done.stdout, done.stderr))
        self.assertIn(message, done.stderr.decode())

    def test_found_linked_and_taken_apart(self):
        before = self.picture()
        found = self.node.json("duplicates")
        self.assertEqual([(pair["kind"], {pair["alias"]["id"], pair["main"]["id"]}) for pair in found["duplicates"]],
                         [("organization", {ONE, TWO})])
        self.assertEqual(found["duplicates"][0]["evidence"], [{"type": "phone", "value": "0301234567"}])
        text = self.node.ctl("duplicates")
        self.assertIn("kaartctl link ", text)
        self.assertIn("same phone 0301234567", text)
        self.assertEqual(self.picture(), before)                    # nothing is merged by itself

        plan = self.node.json("link", TWO, ONE, "--reason", "gefuseerd", "--dry-run")
        self.assertEqual((plan["action"], plan["type"], plan["alias"]["id"], plan["main"]["name"]),
                         ("assert", "same-as", TWO, "Stichting De Brug"))
        self.assertIn("would say: same-as", self.node.ctl("link", TWO, ONE, "--dry-run"))
        self.assertEqual(self.picture(), before)

        self.assertIn("added", self.node.ctl("link", TWO, ONE, "--reason", "gefuseerd"))
        self.until(TWO, ONE)
        one = self.node.json("get", TWO)
        self.assertEqual((one["mergedFrom"], one["parts"]), (TWO, [TWO]))
        self.assertEqual((one["record"]["name"], one["record"]["website"]), ("Stichting De Brug", "https://brug.example"))
        self.assertIn(f"{TWO} is an alias of {ONE}", self.node.ctl("get", TWO))
        self.assertIn(f"kaartctl unlink {TWO} {ONE}", self.node.ctl("why", ONE))
        self.assertIn("nothing to do", self.node.ctl("link", TWO, ONE))
        self.assertEqual(self.node.json("duplicates")["duplicates"], [])
        self.assertEqual(self.node.json("get", plan["relation"])["record"]["description"], "gefuseerd")

        self.assertIn("retracted", self.node.ctl("unlink", TWO, ONE))
        self.until(TWO, TWO)
        self.assertEqual(self.picture(), before)

        # at once one after the other: the second sees what the first said
        for _ in range(3):
            self.assertIn("added", self.node.ctl("link", ONE, TWO))
            self.assertIn("retracted", self.node.ctl("unlink", ONE, TWO))
        self.until(ONE, ONE)
        self.assertEqual(self.picture(), before)

    def test_not_the_same(self):
        self.assertIn("duplicates leaves them out", self.node.ctl("unlink", ONE, TWO, "--reason", "andere stichting"))
        self.nodes.wait(lambda: self.node.json("duplicates")["duplicates"] == [], what="the word")
        self.assertIn("nothing to do", self.node.ctl("unlink", TWO, ONE))
        self.assertEqual(self.node.json("unlink", TWO, ONE)["action"], "none")

    def test_somebody_elses_link(self):
        self.say(self.houten, ONE, name="Stichting De Brug", description="In Houten")
        self.houten.ctl("link", TWO, ONE)
        self.until(TWO, ONE)
        linked = self.picture()
        text = self.node.ctl("unlink", TWO, ONE)
        self.assertIn("against what others say", text)
        self.assertIn("same-as by houten.example/public", text)
        self.until(TWO, TWO)
        self.assertIn("takes back", self.node.ctl("link", TWO, ONE))
        self.until(TWO, ONE)
        self.assertEqual(self.picture(), linked)

    def test_refusals(self):
        self.say(self.node, THREE, name="Drie")
        service = THREE.replace("0000-4000", "0001-4000")
        self.node.ctl("put", "service", service, "name=Maaltijden", "status=active")
        self.settle()
        nobody = organisation(99)["id"]
        self.refused("a link needs two", "link", ONE, ONE)
        self.refused("There is no record", "link", ONE, nobody)
        self.refused("There is no record", "unlink", nobody, ONE)
        self.refused("only records of one kind", "link", service, ONE)
        self.refused("not a record's id", "link", "brug", ONE, code=USAGE)
        self.refused("kaartctl", "link", ONE, code=USAGE)
        self.node.ctl("link", TWO, ONE)
        self.until(TWO, ONE)
        self.refused(f"kaartctl link {THREE} {ONE}", "link", THREE, TWO)
        self.refused(f"is an alias of {ONE} already", "link", TWO, THREE)
        self.refused("a main record is no alias", "link", ONE, THREE)
        self.refused("the other way round", "link", ONE, TWO)
        self.refused("1 to 1000", "duplicates", "--limit", "0")
        self.refused("Duplicates are looked for among", "duplicates", "--kind", "contract")
        for command in ("link", "unlink", "duplicates"):
            self.assertIn("usage: kaartctl", self.node.ctl(command, "--help"))


if __name__ == "__main__":
    tap.main()
