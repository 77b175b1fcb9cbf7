#!/usr/bin/env python3
"""A contracted-care register as a source of a real node: token, 304, pages, what vanishes, what returns, and the fuse."""
import json
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests", "demo")]
import tap  # noqa: E402
from contracted_care_server import ContractedCareServer  # noqa: E402
from nodes import Nodes  # noqa: E402

NAME = "contracted-care"
MAPPING = os.path.join(ROOT, "daemon", "source", "mappings", "contracted-care.json")
TOKEN = "a-token-for-tests"


class SourceCase(unittest.TestCase):
    options = {}

    def setUp(self):
        self.nodes = Nodes()
        self.addCleanup(self.nodes.close)
        self.care = ContractedCareServer(TOKEN).start()
        self.addCleanup(self.care.close)
        self.node = self.nodes.add("nieuwegein.example", areas=["GM0356"], allow_plain_http=True)
        self.token_file = self.node.write("token", TOKEN + "\n")
        os.chmod(self.token_file, 0o600)
        options = dict(type="json", url=self.care.url, mapping=MAPPING, role="contract", token_file=self.token_file, every="6h")
        options.update(self.options)
        self.node.sources = [(NAME, options)]
        self.node.start()
        self.first = self.settled()

    def settled(self):
        """The first run comes by itself, soon after the start."""
        def ran():
            status = self.status()
            return status["lastRun"] if status["state"] not in ("running", "never run") else None
        return self.nodes.wait(ran, 20, "the first run")

    def status(self):
        return self.node.json("sources")[0]

    def run_source(self, *more):
        """kaartctl source run, and its report."""
        return json.loads(self.node.run("source", "run", NAME, "--json", *more).stdout)

    def accept(self, number):
        return self.node.run("source", "accept", NAME, number, "--json")

    def live(self):
        """The source's live claims, out of the feed as a subscriber verifies it: {(kind, id): entry}."""
        found = [json.loads(line) for line in self.node.lines(self.node.feed, self.node.verifier)]
        return {(entry["kind"], entry["id"]): entry for entry in found if entry["source"] == NAME and entry["op"] == "assert"}

    def claims(self):
        return {key: entry for key, entry in self.live().items() if key[0] != "confirmation"}

    def size(self):
        return self.node.checkpoint(self.node.feed, self.node.verifier).size

    def organization(self, name):
        return next(entry for (kind, _), entry in self.live().items() if kind == "organization" and entry["body"]["name"] == name)


class Listing(SourceCase):
    def test_rows_become_records(self):
        """Token, pages, and one row as four kinds of record that refer to each other."""
        self.assertEqual((self.first["state"], self.first["rows"], self.first["pages"]), ("ok", 16, 4))
        self.assertEqual(self.first["errors"], [])
        self.assertEqual(self.care.requests, self.care.requests_with_token)
        claims = self.claims()
        self.assertEqual({kind for kind, _ in claims}, {"organization", "location", "service", "contract"})
        lister = self.organization("Lister")
        self.assertEqual(lister["role"], "contract")
        self.assertEqual(lister["areas"], ["GM0356"])
        self.assertNotIn("<p>", lister["body"]["description"])
        self.assertEqual(lister["body"]["website"], "https://www.lister.example")
        services = [entry["body"] for (kind, _), entry in claims.items() if kind == "service" and entry["body"]["organization_id"] == lister["id"]]
        self.assertEqual(sorted(body["wmo_products"] for body in services), [["02"], ["15"]])
        contract = next(entry["body"] for (kind, _), entry in claims.items()
                        if kind == "contract" and entry["body"]["organization_id"] == lister["id"])
        self.assertEqual((contract["law"], contract["buyer"], contract["begin"], contract["status"]), ("wmo", "GM0356", "2025-01-01", "active"))
        place = next(entry["body"] for (kind, _), entry in claims.items() if kind == "location" and entry["body"]["organization_id"] == lister["id"])
        self.assertAlmostEqual(place["latitude"], 52.02, delta=0.05)
        self.assertEqual(place["addresses"][0]["postal_code"], "3431 AB")

    def test_nothing_changed_costs_nothing(self):
        """A 304 on the first page, no entry beyond the day's confirmation; and the same after a restart."""
        before, pages = self.size(), self.care.pages_served
        report = self.run_source()
        self.assertEqual((report["state"], report["unchanged"] > 0), ("not-modified", True))
        self.assertEqual(self.node.stop(), 0)
        self.node.start()
        report = self.run_source()
        self.assertEqual(report["state"], "not-modified")
        self.assertEqual((self.size(), self.care.pages_served), (before, pages))
        self.assertEqual(self.care.not_modified, 2)
        confirmations = [entry for (kind, _), entry in self.live().items() if kind == "confirmation"]
        self.assertEqual(len(confirmations), 1)
        self.assertEqual(confirmations[0]["verified"], time.strftime("%Y-%m-%d", time.gmtime()))

    def test_only_differences_are_written(self):
        before = self.size()
        self.care.change("A-1001", telefoon="030-0000999")
        report = self.run_source()
        self.assertEqual((report["changed"], report["added"], report["unchanged"]), (1, 0, len(self.claims()) - 1))
        self.assertEqual(self.size(), before + 1)
        self.assertEqual(self.organization("Lister")["body"]["phones"][0]["number"], "030-0000999")

    def test_a_dry_run_shows_and_writes_nothing(self):
        before = self.size()
        self.care.change("A-1001", telefoon="030-0000999")
        gone = self.care.remove_one()
        report = self.run_source("--dry-run")
        self.assertEqual((report["dryRun"], report["changed"], report["newlyMissing"]), (True, 1, 4))
        operations = sorted(record["op"] for record in report["records"])
        self.assertEqual(operations, ["change"] + ["missing"] * 4)
        self.assertIn(gone, [record["body"].get("name") for record in report["records"]])
        self.assertEqual(self.size(), before)
        self.assertEqual(self.run_source()["changed"], 1)

    def test_a_broken_row_is_skipped_and_its_claim_stays(self):
        claims = len(self.claims())
        self.care.change("A-1002", naam="", overeenkomsten=[{"overeenkomstnummer": "NG-2026-102", "wet": "WMO", "opdrachtgever": "GM0356",
                                                             "ingangsdatum": "31-02-2026"}])
        report = self.run_source()
        self.assertEqual(report["state"], "ok")
        fields = {(error["row"], error["field"]): error["message"] for error in report["errors"]}
        self.assertIn("required", fields[2, "provider/name"])
        self.assertIn("31-02-2026", fields[2, "agreement/begin"])
        self.organization("Reinaerde")
        live = self.claims()
        self.assertNotIn("missing_since", self.organization("Reinaerde"))
        self.assertEqual(len([entry for entry in live.values() if "missing_since" in entry]), 1)  # its other agreement
        self.assertEqual(len(live), claims)

    def test_a_row_of_bad_bytes_spoils_no_other(self):
        """A lone surrogate in one row: reported; the other rows come in; what seems gone meanwhile waits."""
        self.care.change("A-1001", telefoon="030-0000999")
        self.care.change("A-1005", naam="\ud83d")
        report = self.run_source()
        self.assertEqual((report["state"], report["changed"], report["missing"]), ("waiting", 1, 0))
        self.assertEqual([error["row"] for error in report["errors"]], [5])
        self.assertIn("row 5", report["reason"])
        self.care.change("A-1005", naam="MEE")
        self.assertEqual(self.run_source()["state"], "ok")

    def test_a_better_identifier_changes_no_id(self):
        self.care.add({"aanbiederId": "A-2000", "naam": "Nieuw Voorbeeld", "vestigingen": [], "producten": [], "overeenkomsten": []})
        self.run_source()
        before = self.organization("Nieuw Voorbeeld")["id"]
        self.care.change("A-2000", kvkNummer="90000299")
        self.assertEqual(self.run_source()["changed"], 1)
        self.assertEqual(self.organization("Nieuw Voorbeeld")["id"], before)


class Vanishing(SourceCase):
    options = {"missing_for": "2s"}

    def test_missing_then_retracted_or_back(self):
        """A provider vanishes: missing with its day, over a kill -9, retracted in time; another one comes back."""
        everything = self.claims()
        gone = self.care.remove_one()
        self.assertEqual(gone, "Zorgboerderij De Groene Dag")
        report = self.run_source()
        self.assertEqual((report["state"], report["missing"], report["newlyMissing"], report["retracted"]), ("ok", 4, 4, 0))
        today = time.strftime("%Y-%m-%d", time.gmtime())
        marked = {key: entry for key, entry in self.claims().items() if "missing_since" in entry}
        self.assertEqual({entry["missing_since"] for entry in marked.values()}, {today})
        for key, entry in marked.items():  # the claim stays as it was
            self.assertEqual(entry["body"], everything[key]["body"])
        self.assertEqual(self.status()["missingCount"], 4)
        self.node.kill()
        self.node.start()
        report = self.run_source()
        self.assertEqual((report["missing"], report["retracted"]), (4, 0))
        self.care.restore()
        report = self.run_source()
        self.assertEqual((report["returned"], report["missing"]), (4, 0))
        self.assertEqual({key: entry["body"] for key, entry in self.claims().items()}, {key: entry["body"] for key, entry in everything.items()})
        self.assertFalse([entry for entry in self.claims().values() if "missing_since" in entry])
        self.care.remove_one()
        self.run_source()
        time.sleep(2.2)
        report = self.run_source()  # a 304, and yet what is due is carried out
        self.assertEqual((report["state"], report["missing"], report["retracted"]), ("not-modified", 0, 4))
        self.assertEqual(set(everything) - set(self.claims()), set(marked))


class Fuse(SourceCase):
    def assert_untouched(self, before, report, reason):
        self.assertEqual((report["state"], report["retracted"], report["newlyMissing"]), ("waiting", 0, 0))
        self.assertIn(reason, report["reason"])
        after = self.claims()
        self.assertEqual({key for key in before if key in after}, set(before))
        self.assertFalse([entry for entry in after.values() if "missing_since" in entry])

    def test_a_loss_waits_for_the_operator(self):
        before = self.claims()
        names = self.care.remove_half()
        self.care.change("A-1001", telefoon="030-0000999")
        report = self.run_source()
        self.assert_untouched(before, report, "8 of 16 records of kind organization")
        self.assertEqual(report["changed"], 1, "additions and changes apply all the same")
        status = self.status()
        self.assertEqual((status["waiting"], status["state"]), (report["run"], "waiting"))
        self.assertTrue(status["fuse"])
        again = self.run_source()
        self.assertEqual(again["waiting"], report["run"], "the same loss keeps its number")
        self.node.kill()
        self.node.start()
        self.assertNotEqual(self.accept(report["run"] + 7).returncode, 0)
        done = self.accept(report["run"])
        self.assertEqual(done.returncode, 0, done.stderr)
        accepted = json.loads(done.stdout)
        self.assertEqual((accepted["state"], accepted["retracted"]), ("accepted", report["held"]))
        left = {entry["body"]["name"] for (kind, _), entry in self.claims().items() if kind == "organization"}
        self.assertEqual(left & set(names), set())
        self.assertEqual(len(left), 8)
        self.assertIsNone(self.status()["waiting"])
        self.assertNotEqual(self.accept(report["run"]).returncode, 0)
        self.assertEqual(self.run_source()["state"], "ok")

    def test_what_returned_is_not_retracted(self):
        """Another loss is another run to accept; the old number is refused."""
        names = self.care.remove_half()
        first = self.run_source()
        self.care.restore()
        self.care.remove("A-1002", "A-1004", "A-1006")
        second = self.run_source()
        self.assertEqual((second["state"], second["waiting"]), ("waiting", second["run"]))
        self.assertNotEqual(self.accept(first["run"]).returncode, 0)
        self.assertEqual(self.accept(second["run"]).returncode, 0)
        left = {entry["body"]["name"] for (kind, _), entry in self.claims().items() if kind == "organization"}
        self.assertEqual(len(left), 13)
        self.assertEqual(len(left & set(names)), 5)

    def test_a_loss_that_heals_needs_nobody(self):
        before = self.claims()
        self.care.remove_half()
        self.run_source()
        self.care.restore()
        report = self.run_source()
        self.assertEqual((report["state"], report["waiting"], report["missing"]), ("ok", None, 0))
        self.assertEqual(before.keys(), self.claims().keys())

    def test_what_is_no_list(self):
        """Empty, HTML, broken, half, foreign: nothing is concluded from what is not there."""
        before = self.claims()
        for mode, reason in (("html", "web page"), ("broken", "no JSON"), ("half", "says it has 16 rows, but 8 came"),
                             ("foreign", "another origin"), ("empty", "the list is empty")):
            with self.subTest(mode):
                self.care.mode(mode)
                self.care.change("A-1001", telefoon=f"030-0000{len(mode):03}")  # another ETag
                self.assert_untouched(before, self.run_source(), reason)
        self.care.restore()
        self.assertEqual(self.run_source()["state"], "ok")

    def test_accepting_a_web_page_retracts_nothing(self):
        before = self.claims()
        self.care.mode("html")
        report = self.run_source()
        done = json.loads(self.accept(report["waiting"]).stdout)
        self.assertEqual((done["state"], done["retracted"]), ("accepted", 0))
        self.assertEqual(self.claims().keys(), before.keys())

    def test_accepting_an_empty_list(self):
        self.care.mode("empty")
        report = self.run_source()
        done = json.loads(self.accept(report["run"]).stdout)
        self.assertEqual((done["state"], done["retracted"]), ("accepted", report["held"]))
        self.assertEqual(self.claims(), {})
        self.care.restore()
        self.assertEqual(self.run_source()["added"], report["held"])


class Trouble(SourceCase):
    def test_refusals_and_hiccups(self):
        before = self.live()
        for mode, status in (("denied", "401"), ("moved", "redirect"), ("error", "500")):
            with self.subTest(mode):
                self.care.mode(mode)
                report = self.run_source()
                self.assertEqual(report["state"], "failed")
                self.assertIn(status, report["reason"])
        self.care.mode("truncated")
        self.care.change("A-1001", telefoon="030-0000999")
        self.assertIn(self.run_source()["state"], ("failed", "waiting"))
        self.assertEqual(before.keys(), self.live().keys())
        self.assertFalse([entry for entry in self.claims().values() if "missing_since" in entry])
        self.care.restore()
        self.care.change("A-1003", telefoon="030-0000998")
        for mode in ("busy", "error"):
            with self.subTest(mode + " once"):
                self.care.mode(mode, times=1)
                self.assertIn(self.run_source()["state"], ("ok", "not-modified"))

    def test_a_wrong_token(self):
        self.node.write("token", "another\n")
        report = self.run_source()
        self.assertEqual(report["state"], "failed")
        self.assertIn("401", report["reason"])
        self.assertNotIn("another", json.dumps(report) + self.node.tail(100))
        self.node.write("token", TOKEN + "\n")
        self.assertIn(self.run_source()["state"], ("ok", "not-modified"))

    def test_an_api_key(self):
        with open(MAPPING, encoding="utf-8") as file:
            mapping = json.load(file)
        mapping["token-header"] = "apikey"
        self.care.token_header = "apikey"
        self.assertEqual(self.run_source()["state"], "failed")
        self.node.sources[0][1]["mapping"] = self.node.write("mapping.json", mapping)
        self.reload()
        self.assertEqual(self.run_source()["state"], "ok")

    def reload(self):
        self.node.reload()
        self.nodes.wait(lambda: "reload" in self.node.tail(3), 10, "the reload")

    def test_a_faulty_mapping_says_where(self):
        before = self.live()
        with open(MAPPING, encoding="utf-8") as file:
            mapping = json.load(file)
        mapping["records"][0]["fields"]["name"]["as"] = "tekst"
        self.node.sources[0][1]["mapping"] = self.node.write("mapping.json", mapping)
        self.reload()
        report = self.run_source()
        self.assertEqual(report["state"], "failed")
        self.assertIn("/records/0/fields/name/as: must be one of", report["reason"])
        self.assertEqual(self.live(), before)

    def test_a_source_leaves_and_comes_back(self):
        """A reload without the source ends it, and its claims stay; with it, it goes on where it was."""
        before, sources = self.claims(), self.node.sources
        self.node.sources = []
        self.reload()
        self.nodes.wait(lambda: self.node.json("sources") == [], 10, "no sources")
        self.assertNotEqual(self.node.run("source", "run", NAME).returncode, 0)
        self.assertEqual(self.claims(), before)
        self.node.sources = sources
        self.reload()
        self.nodes.wait(lambda: self.node.json("sources") and self.status()["state"] != "never run", 10, "the source")
        report = self.run_source()
        self.assertEqual((report["state"], report["run"]), ("not-modified", self.first["run"] + 1))

    def test_a_register_that_is_down(self):
        self.care.close()
        report = self.run_source()
        self.assertEqual(report["state"], "failed")
        self.assertEqual(self.status()["failures"], 1)


if __name__ == "__main__":
    tap.main()
