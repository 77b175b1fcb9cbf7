#!/usr/bin/env python3
"""The story of one organisation, on real nodes: who is believed for what, and the map after every step written out.

De Brug is known to three municipalities, to the register of contracts, to a neighbourhood coordinator and to itself. The tests of `Story` are one story:
they run in order, each on what the former left; time passes by starting the nodes under a later clock.
"""
import datetime
import glob
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import KAARTD, Nodes, Peer, organisation  # noqa: E402

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
BRUG = "6c9f0b1e-2a51-5d0e-9a3f-3f2b7c1d0e01"
CONTRACT = "6c9f0b1e-2a51-5d0e-9a3f-3f2b7c1d0e02"
LINK = "6c9f0b1e-2a51-5d0e-9a3f-3f2b7c1d0e03"
GARDEN = "6c9f0b1e-2a51-5d0e-9a3f-3f2b7c1d0e04"

# Numbers are fictitious and say whose they are.
NUMBER = {who: [{"number": f"030-000000{index}"}] for index, who in enumerate(("nieuwegein", "houten", "register", "brug", "pin"), 1)}
HERE_, THERE = [{"address_1": "Voorbeeldstraat 1", "city": "Nieuwegein"}], [{"address_1": "Voorbeeldlaan 2", "city": "Houten"}]
MORNINGS, EVENINGS = [{"freq": "WEEKLY", "byday": "MO,TH", "opens_at": "09:00", "closes_at": "12:00"}], [{"freq": "WEEKLY", "byday": "FR", "opens_at": "19:00", "closes_at": "21:00"}]


@unittest.skipUnless(FAKETIME and "sanitize" not in KAARTD, "needs libfaketime, which ASan does not tolerate")
class Story(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.nieuwegein = cls.nodes.add("nieuwegein.example", areas=["GM0356"])
        cls.houten = cls.nodes.add("houten.example", areas=["GM0321"])
        cls.ijsselstein = cls.nodes.add("ijsselstein.example", areas=["GM0353"])
        for node in cls.nodes.all:
            node.peers = [Peer(other, push=True) for other in cls.nodes.all if other is not node]
            node.start()
        cls.days = 0

    # ---- telling ----

    def says(self, node, source, role, identifier=BRUG, kind="organization", more=(), **fields):
        """A source's whole claim."""
        node.ctl("put", kind, identifier, node.write("claim.json", fields), "--source", source, "--role", role, *more)

    @staticmethod
    def withdraws(node, source, role, *more):
        node.ctl("retract", "organization", BRUG, "--source", source, "--role", role, *more)

    def settle(self):
        """Until every node holds the feeds of all, and their maps have followed."""
        for one in self.nodes.all:
            for other in self.nodes.all:
                if one is not other:
                    self.nodes.wait(lambda one=one, other=other: one.holds(other), what=f"{other.feed} at {one.name}")
        self.nodes.wait(lambda: len({node.json("status")["map"]["claimSet"] for node in self.nodes.all}) == 1
                        and all(node.json("status")["map"]["caughtUp"] for node in self.nodes.all), what="the maps")

    def pass_days(self, days):
        """All nodes go on under a clock that is so many days later; never back."""
        Story.days += days
        for node in self.nodes.all:
            self.assertEqual(node.stop(), 0)
            node.environment = {"LD_PRELOAD": FAKETIME, "FAKETIME": f"+{self.days}d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        for node in self.nodes.all:
            node.start()

    def day(self, offset=0):
        return str(datetime.date.fromisoformat(self.nieuwegein.json("status")["map"]["day"]) + datetime.timedelta(days=offset))

    def resolved(self, node):
        """{field: (value, origin, source, rule)} as `why` tells it, and the home."""
        why = node.json("why", BRUG)
        return {field["field"]: (field["value"], field["feed"].split(".")[0], field["source"], field["rule"]) for field in why["fields"]}, why.get("home")

    def expect(self, node, home, **fields):
        self.settle()
        found, found_home = self.resolved(node)
        self.assertEqual(found, fields)
        self.assertEqual(found_home, home)
        shown = node.json("get", BRUG)["record"]
        for name, (value, *_) in fields.items():
            self.assertEqual(shown[name], value, "get shows what why explains")

    # ---- the story ----

    def test_1_everybody_speaks(self):
        """Each group of fields comes from somebody else: who is best placed to know."""
        brug = ("--on-behalf-of", BRUG)
        self.says(self.nieuwegein, "editor-desk", "editor", name="De Brug", description="Inloop voor iedereen.", phones=NUMBER["nieuwegein"], status="active")
        self.says(self.nieuwegein, "contracted-care", "contract", name="Stichting De Brug", phones=NUMBER["register"], access="Via het sociaal team.")
        self.says(self.nieuwegein, "de-brug", "provider", more=brug, name="Brug!", phones=NUMBER["brug"], status="active")
        self.says(self.nieuwegein, "wijk-batau", "coordinator", partial=True, schedules=MORNINGS, description="Ook koffie.")
        self.says(self.nieuwegein, "contracted-care", "contract", CONTRACT, "contract", organization_id=BRUG, buyer="GM0356", law="wmo",
                  product_codes=["02"], begin="2026-01-01", status="active")
        self.says(self.houten, "editor-desk", "editor", name="De Brug (Nieuwegein)", phones=NUMBER["houten"], schedules=EVENINGS,
                  access="Bel eerst.", website="https://brug.example", themes=["ontmoeten"])
        self.says(self.ijsselstein, "editor-desk", "editor", name="Brug", addresses=HERE_, access="Loop binnen.", status="inactive")
        self.expect(
            self.nieuwegein, "nieuwegein.example",
            name=("De Brug", "nieuwegein", "editor-desk", "rank"),                   # identity: the home's editors
            addresses=(HERE_, "ijsselstein", "editor-desk", "only"),                 # place: nobody else knows
            phones=(NUMBER["brug"], "nieuwegein", "de-brug", "rank"),                # contact: itself
            website=("https://brug.example", "houten", "editor-desk", "only"),
            schedules=(MORNINGS, "nieuwegein", "wijk-batau", "rank"),                # hours: the coordinator who is there
            access=("Via het sociaal team.", "nieuwegein", "contracted-care", "rank"),  # access: the register
            description=("Inloop voor iedereen.", "nieuwegein", "editor-desk", "rank"),
            themes=(["ontmoeten"], "houten", "editor-desk", "only"),                 # classification
            status=("active", "nieuwegein", "de-brug", "rank"))
        contract = self.houten.json("get", CONTRACT)
        self.assertEqual((contract["record"]["buyer"], contract["record"]["status"]), ("GM0356", "active"))

    def test_2_the_contract_ends(self):
        """The register has nothing to say any more; the next in the order speaks: IJsselstein, which spoke later than Houten."""
        self.says(self.nieuwegein, "contracted-care", "contract", CONTRACT, "contract", organization_id=BRUG, buyer="GM0356", law="wmo",
                  product_codes=["02"], begin="2026-01-01", end=self.day(), status="ended")
        self.withdraws(self.nieuwegein, "contracted-care", "contract")
        self.expect(
            self.nieuwegein, "nieuwegein.example",
            name=("De Brug", "nieuwegein", "editor-desk", "rank"), addresses=(HERE_, "ijsselstein", "editor-desk", "only"),
            phones=(NUMBER["brug"], "nieuwegein", "de-brug", "rank"), website=("https://brug.example", "houten", "editor-desk", "only"),
            schedules=(MORNINGS, "nieuwegein", "wijk-batau", "rank"), access=("Loop binnen.", "ijsselstein", "editor-desk", "later"),
            description=("Inloop voor iedereen.", "nieuwegein", "editor-desk", "rank"), themes=(["ontmoeten"], "houten", "editor-desk", "only"),
            status=("active", "nieuwegein", "de-brug", "rank"))
        self.assertEqual(self.ijsselstein.json("get", CONTRACT)["record"]["status"], "ended")

    def test_3_it_moves_across_the_border(self):
        """Nieuwegein lets go, the provider speaks through Houten from now on: Houten is home, at every node."""
        self.withdraws(self.nieuwegein, "editor-desk", "editor")
        self.withdraws(self.nieuwegein, "de-brug", "provider", "--on-behalf-of", BRUG)
        self.withdraws(self.nieuwegein, "wijk-batau", "coordinator")
        self.says(self.houten, "de-brug", "provider", more=("--on-behalf-of", BRUG), partial=True, phones=NUMBER["brug"], addresses=THERE)
        expected = dict(
            name=("De Brug (Nieuwegein)", "houten", "editor-desk", "rank"), addresses=(THERE, "houten", "de-brug", "rank"),
            phones=(NUMBER["brug"], "houten", "de-brug", "rank"), website=("https://brug.example", "houten", "editor-desk", "only"),
            schedules=(EVENINGS, "houten", "editor-desk", "only"), access=("Bel eerst.", "houten", "editor-desk", "rank"),
            themes=(["ontmoeten"], "houten", "editor-desk", "only"), status=("inactive", "ijsselstein", "editor-desk", "only"))
        self.expect(self.nieuwegein, "houten.example", **expected)
        self.expect(self.houten, "houten.example", **expected)

    def test_4_a_claim_goes_stale(self):
        """Nineteen months later only Houten's editors have looked again: their number is fresh, the provider's is not. Its address is, for two years."""
        self.pass_days(580)
        self.says(self.houten, "editor-desk", "editor", name="De Brug", phones=NUMBER["houten"], schedules=EVENINGS, access="Bel eerst.",
                  website="https://brug.example", themes=["ontmoeten"])
        self.stale = dict(
            name=("De Brug", "houten", "editor-desk", "rank"), addresses=(THERE, "houten", "de-brug", "rank"),
            phones=(NUMBER["houten"], "houten", "editor-desk", "fresh"), website=("https://brug.example", "houten", "editor-desk", "only"),
            schedules=(EVENINGS, "houten", "editor-desk", "only"), access=("Bel eerst.", "houten", "editor-desk", "fresh"),
            themes=(["ontmoeten"], "houten", "editor-desk", "only"), status=("inactive", "ijsselstein", "editor-desk", "only"))
        self.expect(self.nieuwegein, "houten.example", **self.stale)
        Story.before_pin = self.stale

    def test_5_an_editor_pins(self):
        """Nieuwegein's steward settles the number for ten days, in Nieuwegein; Houten did not make Nieuwegein a steward, so there nothing changes."""
        self.says(self.nieuwegein, "pin-contact", "editor", phones=NUMBER["pin"], pin_reason="gebeld, dit klopt", pin_expires=self.day(10))
        self.expect(self.nieuwegein, "houten.example", **{**self.before_pin, "phones": (NUMBER["pin"], "nieuwegein", "pin-contact", "pin")})
        self.expect(self.houten, "houten.example", **self.before_pin)
        listed = [claim["source"] for claim in self.houten.json("why", BRUG)["notCounting"]]
        self.assertEqual(listed, ["pin-contact"], "what does not count is listed all the same")

    def test_6_the_pin_expires(self):
        """On its last day it holds; on the next all is as it was."""
        self.pass_days(10)
        self.expect(self.nieuwegein, "houten.example", **{**self.before_pin, "phones": (NUMBER["pin"], "nieuwegein", "pin-contact", "pin")})
        self.pass_days(1)
        self.expect(self.nieuwegein, "houten.example", **self.before_pin)

    def test_7_a_resident_adds_a_link(self):
        """A record of its own, in the role it was said in; the organisation's record is as it was."""
        self.says(self.ijsselstein, "vraag-en-aanbod", "resident", LINK, "relation", type="cooperates-with", from_id=BRUG, to_id=GARDEN,
                  from_kind="organization", to_kind="organization")
        self.settle()
        link = self.nieuwegein.json("get", LINK)
        self.assertEqual((link["record"]["type"], link["record"]["from_id"], link["record"]["to_id"]), ("cooperates-with", BRUG, GARDEN))
        self.assertEqual((link["provenance"]["type"]["role"], link["provenance"]["type"]["feed"]), ("resident", "ijsselstein.example/public"))
        self.expect(self.nieuwegein, "houten.example", **self.before_pin)


class SameMap(unittest.TestCase):
    """Two observers with one policy: one pulls the three origins, the other everything from the first, in another order, with restarts, a kill, and
    a map that is lost on the way. Claim set, policy and map have the same sums."""

    def test_paths_orders_and_restarts_do_not_matter(self):
        with Nodes() as nodes:
            origins = [nodes.add(f"{name}.example", areas=[area]) for name, area in
                       (("nieuwegein", "GM0356"), ("houten", "GM0321"), ("ijsselstein", "GM0353"))]
            direct, relayed = (nodes.add("waarnemer.example", directory=name, own_feed=False) for name in ("direct", "relayed"))
            direct.peers = [Peer(origin) for origin in origins]
            relayed.peers = [Peer(origin, url=direct.url, tls_pins=[direct.pin]) for origin in origins]
            for node in origins + [direct]:
                node.start()
            self.talk(origins, 0)
            self.hold(nodes, direct, origins)
            relayed.start()
            self.talk(reversed(origins), 1)
            nodes.wait(lambda: relayed.json("status")["map"]["claims"] > 0, what="the first claims by the relay")
            relayed.kill()
            self.talk(origins, 2)
            direct.stop()
            for name in ("map.db", "map.db-wal", "map.db-shm"):
                if os.path.exists(os.path.join(relayed.state, name)):
                    os.unlink(os.path.join(relayed.state, name))
            direct.start()
            relayed.start()
            self.talk(reversed(origins), 3)
            for node in (direct, relayed):
                self.hold(nodes, node, origins)
            sums = nodes.wait(lambda: self.same(direct, relayed), what="the same sums")
            self.assertEqual(sums["records"], {"organization": 31})
            self.assertEqual(sums["claims"], 3 * 30)

            relayed.stop()  # another policy is another map of the same claims
            relayed.peers[1].options["suspended"] = True
            relayed.start()
            other = nodes.wait(lambda: self.caught_up(relayed, sums["claimSet"]), what="the map under another policy")
            self.assertNotEqual(other["policy"], sums["policy"])
            self.assertNotEqual(other["map"], sums["map"])
            relayed.stop()  # suspend and resume are inverses
            relayed.peers[1].options["suspended"] = False
            relayed.start()
            nodes.wait(lambda: self.same(direct, relayed), what="the former sums")

    @staticmethod
    def talk(origins, turn):
        """Each says something about some of 31 organisations, takes something back, and changes something."""
        for origin in origins:
            number = len(origin.name)
            origin.load([organisation(i, name=f"{origin.name} {turn} {i % (turn + 2)}", phones=[{"number": f"030-00{number:02}{turn}{i:02}"}])
                         for i in range(31) if (i + number) % 31 or turn < 3])
            if turn == 3:
                origin.retract(organisation((31 - number % 31) % 31))

    @staticmethod
    def hold(nodes, node, origins):
        for origin in origins:
            nodes.wait(lambda origin=origin: node.holds(origin), what=f"{origin.feed} at {node.directory}")

    @staticmethod
    def caught_up(node, claim_set):
        found = node.json("status")["map"]
        return found if found["caughtUp"] and found["claimSet"] == claim_set else None

    @staticmethod
    def same(one, other):
        a, b = (node.json("status")["map"] for node in (one, other))
        names = ("claimSet", "policy", "map", "day")
        return a if a["caughtUp"] and b["caughtUp"] and all(a[name] == b[name] for name in names) else None


if __name__ == "__main__":
    tap.main()
