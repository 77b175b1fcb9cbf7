#!/usr/bin/env python3
"""The story of one organisation, on real nodes: who is believed for what, and the map after every step written out.

De Brug is known to three municipalities, to the register of contracts, to a neighbourhood coordinator and to itself. The tests of `Story` are one story:
they run in order, each on what the former left; time passes by starting the nodes under a later clock.
"""
import datetime
import glob
import json
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "python")]
import feedkit  # noqa: E402
import tap  # noqa: E402
from nodes import KAARTCTL, KAARTD, Nodes, Peer, organisation, section  # noqa: E402

FAKETIME = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
BRUG = "6c9f0b1e-2a51-5d0e-9a3f-3f2b7c1d0e01"
CONTRACT = "6c9f0b1e-2a51-5d0e-9a3f-3f2b7c1d0e02"
LINK = "6c9f0b1e-2a51-5d0e-9a3f-3f2b7c1d0e03"
GARDEN = "6c9f0b1e-2a51-5d0e-9a3f-3f2b7c1d0e04"
NURSE, DOCTOR = "6c9f0b1e-2a51-4d0e-9a3f-3f2b7c1d0e05", "6c9f0b1e-2a51-4d0e-9a3f-3f2b7c1d0e06"
PROFESSIONALS = ("--audience", "professionals")

# Numbers are fictitious and say whose they are.
NUMBER = {who: [{"number": f"030-000000{index}"}] for index, who in enumerate(("nieuwegein", "houten", "register", "brug", "pin"), 1)}
HERE_, THERE = [{"address_1": "Voorbeeldstraat 1", "city": "Nieuwegein"}], [{"address_1": "Voorbeeldlaan 2", "city": "Houten"}]
MORNINGS, EVENINGS = [{"freq": "WEEKLY", "byday": "MO,TH", "opens_at": "09:00", "closes_at": "12:00"}], [{"freq": "WEEKLY", "byday": "FR", "opens_at": "19:00", "closes_at": "21:00"}]
# So are the person and everything that leads there.
PERSON, MAIL, MOBILE = "Wilhelmijntje Zandvoort-Verzonnen", "w.zandvoort@brug.example", "06-00000042"
DESK = {"department": "Balie", "email": "balie@brug.example"}
NAMED = {"name": PERSON, "email": MAIL, "phones": [{"number": MOBILE}], "basis": "consent"}


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
        cls.open_professionals_feed()
        for node in cls.nodes.all:
            node.start()
        cls.days = 0

    @classmethod
    def open_professionals_feed(cls):
        """Houten has a feed for professionals, which Nieuwegein reads and IJsselstein does not."""
        key_file = os.path.join(cls.houten.directory, "professionals.key")
        subprocess.run([KAARTCTL, "keygen", "houten.example/professionals", key_file], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with open(key_file, encoding="ascii") as file:
            verifier = feedkit.SigningKey.parse(file.read()).verifier
        cls.houten.extra = section("feed professionals", dict(key=key_file, readers=["nieuwegein.example"]))
        for peer in cls.nieuwegein.peers:
            if peer.node is cls.houten:
                peer.options["feed_keys"] = [str(cls.houten.verifier), str(verifier)]

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

    def expect_everywhere(self, fields, at_ijsselstein):
        for node in (self.nieuwegein, self.houten):
            self.expect(node, "houten.example", **fields)
        self.expect(self.ijsselstein, "ijsselstein.example", **at_ijsselstein)

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
        # IJsselstein never let go of it and goes before others in its own policy: there it is at home, as it says.
        Story.at_ijsselstein = {**self.stale, "name": ("Brug", "ijsselstein", "editor-desk", "rank"), "addresses": (HERE_, "ijsselstein", "editor-desk", "rank")}
        self.expect(self.ijsselstein, "ijsselstein.example", **self.at_ijsselstein)

    def test_5_an_editor_pins(self):
        """Nieuwegein's steward settles the number for ten days, in Nieuwegein; Houten did not make Nieuwegein a steward, so there nothing changes."""
        self.pin(self.day(10))
        self.expect(self.nieuwegein, "houten.example", **{**self.before_pin, "phones": (NUMBER["pin"], "nieuwegein", "pin-contact", "pin")})
        self.expect(self.houten, "houten.example", **self.before_pin)
        listed = [claim["source"] for claim in self.houten.json("why", BRUG)["notCounting"]]
        self.assertEqual(listed, ["pin-contact"], "what does not count is listed all the same")

    def pin(self, until):
        self.nieuwegein.ctl("pin", "organization", BRUG, "contact", "phones=" + json.dumps(NUMBER["pin"]), "--reason", "gebeld, dit klopt",
                            "--expires", until)

    def test_6_the_pin_expires(self):
        """On its last day it holds; on the next all is as it was. Another one is taken back on the day it was made: all is as it was, too."""
        self.pass_days(10)
        self.expect(self.nieuwegein, "houten.example", **{**self.before_pin, "phones": (NUMBER["pin"], "nieuwegein", "pin-contact", "pin")})
        self.pass_days(1)
        self.expect(self.nieuwegein, "houten.example", **self.before_pin)
        before = self.sums()
        self.pin(self.day(10))
        self.expect(self.nieuwegein, "houten.example", **{**self.before_pin, "phones": (NUMBER["pin"], "nieuwegein", "pin-contact", "pin")})
        self.assertNotEqual(self.sums(), before)
        self.nieuwegein.ctl("unpin", "organization", BRUG, "contact")
        self.expect(self.nieuwegein, "houten.example", **self.before_pin)
        self.assertEqual(self.sums()["map"], before["map"])

    def test_6_what_if_houten_did_not_count(self):
        """Nieuwegein tries out what its map would be without Houten; with Houten suspended it is what the dry run told; resumed, all is as it was."""
        before = self.sums()
        [houten] = [peer for peer in self.nieuwegein.peers if peer.node is self.houten]
        told = self.nieuwegein.json("policy", "diff", "--suspend", "houten.example")
        self.assertEqual({change["field"]: change["to"] and (change["to"]["value"], change["to"]["feed"]) for change in told["changes"]}, dict(
            name=("Brug", "ijsselstein.example/public"), addresses=(HERE_, "ijsselstein.example/public"), access=("Loop binnen.", "ijsselstein.example/public"),
            phones=None, website=None, schedules=None, themes=None))
        self.assertEqual({change["from"]["feed"] for change in told["changes"]}, {"houten.example/public"})
        self.assertEqual(self.sums(), before, "nothing was changed")
        without = dict(name=("Brug", "ijsselstein", "editor-desk", "only"), addresses=(HERE_, "ijsselstein", "editor-desk", "only"),
                       access=("Loop binnen.", "ijsselstein", "editor-desk", "only"), status=("inactive", "ijsselstein", "editor-desk", "only"))
        houten.options["suspended"] = True
        self.nieuwegein.reload()
        self.nodes.wait(lambda: self.resolved(self.nieuwegein) == (without, "ijsselstein.example"), what="the map without Houten")
        houten.options["suspended"] = False
        self.nieuwegein.reload()
        self.nodes.wait(lambda: self.resolved(self.nieuwegein) == (self.before_pin, "houten.example"), what="the map with Houten")
        self.assertEqual(self.sums(), before)

    def sums(self):
        self.settle()
        found = self.nieuwegein.json("status")["map"]
        return {name: found[name] for name in ("claimSet", "policy", "map")}

    def test_7_a_resident_adds_a_link(self):
        """It waits for an editor and is in nobody's map; approved, it is a record of its own, in the role it was said in. The organisation's is as it was."""
        link = dict(type="cooperates-with", from_id=BRUG, to_id=GARDEN, from_kind="organization", to_kind="organization")
        path = self.ijsselstein.write("submission.json", {"kind": "relation", "id": LINK, "body": link})
        [submission] = self.ijsselstein.json("review", "submit", path, "--submitter", "bewoner@voorbeeld.example")["submissions"]
        number = submission["number"]
        self.assertEqual([(item["number"], item["kind"], item["id"]) for item in self.ijsselstein.json("review", "list")], [(number, "relation", LINK)])
        self.assertEqual({field["field"]: field["effect"] for field in self.ijsselstein.json("review", "show", number)["preview"]["fields"]},
                         dict.fromkeys(link, "adds"))
        self.settle()
        for node in self.nodes.all:
            self.assertEqual(node.run("get", LINK).returncode, 1, f"held, so not in the map of {node.name}")
        self.ijsselstein.ctl("review", "approve", number, "--as-editor", "redactie")
        self.settle()
        for node in self.nodes.all:
            found = node.json("get", LINK)
            self.assertEqual({name: found["record"].get(name) for name in link}, link)
            self.assertEqual({name: found["provenance"][name]["role"] for name in link}, dict.fromkeys(link, "resident"))
            self.assertEqual(found["provenance"]["type"]["feed"], "ijsselstein.example/public")
        self.expect_everywhere(self.before_pin, self.at_ijsselstein)
        self.assertEqual(self.ijsselstein.json("review", "list"), [])
        self.assertEqual(self.ijsselstein.json("review", "show", number)["state"], "approved")

    def test_8_a_professional_joins(self):
        """Somebody is a contact of De Brug, in a claim that wins and in one that loses; a professional there, for professionals only and, by own
        publication, for everybody. A colleague is, too."""
        self.houten_speaks([DESK, NAMED])
        self.says(self.ijsselstein, "wijkteam", "editor", partial=True, contacts=[NAMED])
        nurse = dict(name=PERSON, basis="consent", title="verpleegkundige", organization_id=BRUG, email=MAIL, phones=[{"number": MOBILE}])
        self.says(self.houten, "editor-desk", "editor", NURSE, "professional", ("--feed", "professionals"), **nurse)
        self.says(self.houten, "de-brug", "editor", NURSE, "professional", **{**nurse, "basis": "own-publication"})
        self.says(self.houten, "editor-desk", "editor", DOCTOR, "professional", ("--feed", "professionals"), name="Collega Verzonnen", basis="consent",
                  organization_id=BRUG)
        self.expect_everywhere({**self.before_pin, "contacts": ([DESK, NAMED], "houten", "editor-desk", "rank")},
                               {**self.at_ijsselstein, "contacts": ([NAMED], "ijsselstein", "wijkteam", "rank")})
        for node in self.nodes.all:
            self.assertEqual(node.json("get", NURSE)["record"], {**nurse, "id": NURSE, "basis": "own-publication"})
            self.assertEqual(self.found(node, "Zandvoort"), {NURSE})
        for node in (self.houten, self.nieuwegein):
            self.nodes.wait(lambda node=node: self.found(node, "Verzonnen", *PROFESSIONALS) == {NURSE, DOCTOR}, what=f"the professionals of {node.name}")
            self.assertEqual(node.json("get", NURSE, *PROFESSIONALS)["record"], {**nurse, "id": NURSE})
        for node in self.nodes.all:
            self.assertTrue(self.files_with(node, PERSON))

    def houten_speaks(self, contacts):
        self.says(self.houten, "editor-desk", "editor", name="De Brug", phones=NUMBER["houten"], schedules=EVENINGS, access="Bel eerst.",
                  website="https://brug.example", themes=["ontmoeten"], contacts=contacts)

    @staticmethod
    def found(node, words, *options):
        return {hit["id"] for hit in node.json("search", words, *options)}

    @staticmethod
    def files_with(node, text):
        """The files of a node's that hold a text: databases with their logs, copies, the log; all but what this test handed in."""
        hits = []
        for directory, _, names in os.walk(node.directory):
            for path in (os.path.join(directory, name) for name in names if directory != node.directory or not name.endswith(".json")):
                if os.path.isfile(path):  # and no socket
                    with open(path, "rb") as file:
                        if text.encode() in file.read():
                            hits.append(os.path.relpath(path, node.directory))
        return hits

    def test_9_the_professional_is_erased(self):
        """Houten erases its own and hides the rest, IJsselstein is asked and does the same: nobody's map and none of the files know the person.
        De Brug, its desk, and the colleague stand."""
        answer = self.houten.json("subject", "erase", PERSON, "--yes")
        self.assertEqual(sorted((m["feed"], m["kind"], m["source"], m["action"]) for m in answer["matches"]), [
            ("houten.example/professionals", "professional", "editor-desk", "erase"),
            ("houten.example/public", "organization", "editor-desk", "remove"),
            ("houten.example/public", "professional", "de-brug", "erase"),
            ("ijsselstein.example/public", "organization", "wijkteam", "block-part")])
        self.assertEqual(answer["ask"], ["ijsselstein.example"])
        desk = ([DESK], "houten", "editor-desk", "only")  # IJsselstein, which named nobody else, says nothing of contacts any more
        at_houten = {**self.before_pin, "contacts": desk}
        self.expect(self.houten, "houten.example", **at_houten)
        self.assert_forgotten(self.houten)
        self.expect(self.ijsselstein, "ijsselstein.example", **{**self.at_ijsselstein, "contacts": ([NAMED], "ijsselstein", "wijkteam", "rank")})
        self.assertTrue(self.files_with(self.houten, PERSON), "IJsselstein still says it, and it is relayed as it was signed")

        answer = self.ijsselstein.json("subject", "erase", PERSON, "--yes")
        self.assertEqual([(m["feed"], m["source"], m["action"]) for m in answer["matches"]], [("ijsselstein.example/public", "wijkteam", "remove")])
        at_ijsselstein = {**self.at_ijsselstein, "contacts": desk}
        self.expect_everywhere(at_houten, at_ijsselstein)
        for node in self.nodes.all:
            self.assert_forgotten(node)
            for text in (PERSON, MAIL, MOBILE):
                self.nodes.wait(lambda node=node, text=text: not self.files_with(node, text), what=f"the end of {text} in the files of {node.name}")
        for node in (self.houten, self.nieuwegein):
            self.assertEqual(self.found(node, "Verzonnen", *PROFESSIONALS), {DOCTOR})

        self.houten_speaks([DESK, NAMED])  # whoever says it again by mistake
        self.expect_everywhere(at_houten, at_ijsselstein)
        for node in self.nodes.all:
            self.nodes.wait(lambda node=node: not self.files_with(node, PERSON), what=f"the name kept out of the files of {node.name}")

    def assert_forgotten(self, node):
        """Map, search, why and export of every audience."""
        for options in ((), PROFESSIONALS)[:1 if node is self.ijsselstein else 2]:
            self.nodes.wait(lambda options=options: node.run("get", NURSE, *options).returncode == 1, what=f"the professional gone at {node.name}")
            self.assertEqual(node.run("why", NURSE, *options).returncode, 1)
            self.assertEqual(self.found(node, "Zandvoort", *options), set())
            self.assertNotIn("Zandvoort", node.ctl("export", *options))
        self.assertNotIn("Zandvoort", node.ctl("why", BRUG))
        self.assertNotIn("Zandvoort", node.ctl("why", BRUG, "--json"))


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
