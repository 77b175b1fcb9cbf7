#!/usr/bin/env python3
"""kaartctl policy on real nodes: what is in force, errors with their lines, a dry run that comes true, and the three sums, published."""
import json
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import Nodes, Peer, organisation  # noqa: E402

SHARED, THEIRS = organisation(1), organisation(2)


class Policy(unittest.TestCase):
    """The tests run in order of name, each on what the former left."""

    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.houten = cls.nodes.add("houten.example", areas=["GM0321"])
        cls.here = cls.nodes.add("nieuwegein.example", areas=["GM0356"])
        cls.here.peers = [Peer(cls.houten)]
        cls.here.extra = '\npolicy {\n  group hours { order = { "editor", "provider" }  stale-after = "30 days" }\n}\n'
        cls.houten.start()
        cls.here.start()
        cls.houten.load([organisation(1, name="De Brug", website="https://brug.example"), THEIRS])
        cls.here.load([organisation(1, name="Brug", email="info@brug.example")])
        cls.synced()

    @classmethod
    def synced(cls):
        cls.nodes.wait(lambda: cls.here.holds(cls.houten), what="the sync")
        cls.caught_up(2)

    @classmethod
    def caught_up(cls, records):
        def ready():
            state = cls.here.json("status")["map"]
            return state["caughtUp"] and state["records"].get("organization") == records and state["policy"] == cls.here.json("policy", "show")["hash"]
        cls.nodes.wait(ready, what=f"a map of {records}")

    def supplier(self, record, field):
        done = self.here.run("get", record["id"], "--json")
        return json.loads(done.stdout)["provenance"].get(field, {}).get("feed") if done.returncode == 0 else None

    def check(self, text, name="policy.txt"):
        path = self.here.write(name, text)
        done = self.here.run("policy", "check", path)
        return done.returncode, done.stderr.decode().replace(path, name), done.stdout.decode()

    # ---- show and check ----

    def test_1_show(self):
        shown = self.here.json("policy", "show")
        text = self.here.ctl("policy", "show", "--text")
        self.assertEqual(shown["text"], text)
        self.assertEqual(shown["hash"], self.here.json("status")["map"]["policy"])
        self.assertEqual(text.splitlines()[0], "kaartd-policy/v1")
        self.assertIn("group hours stale-after=30d order=editor,provider\n", text)
        self.assertIn("origin houten.example areas=GM0321 ", text)
        places = {(place["line"], place["name"]): place for place in shown["from"]}
        self.assertEqual(len(shown["from"]), len(text.splitlines()) - 1)
        self.assertIsNone(places["group", "contact"]["file"])
        with open(self.here.config, encoding="utf-8") as file:
            lines = file.read().splitlines()
        for key, begins in ((("origin", "houten.example"), "peer houten.example"), (("group", "hours"), "  group hours"), (("origin", "nieuwegein.example"), "node")):
            self.assertEqual(places[key]["file"], self.here.config)
            self.assertTrue(lines[places[key]["at"] - 1].startswith(begins), places[key])
        for line in self.here.ctl("policy", "show").splitlines():
            if "origin houten.example" in line:
                self.assertTrue(line.startswith(f"{self.here.config}:{places['origin', 'houten.example']['at']}"))

    def test_2_check_needs_no_daemon(self):
        text = self.here.ctl("policy", "show", "--text")
        lines = text.splitlines(keepends=True)
        self.assertEqual(self.check(text)[0], 0)
        self.assertIn(self.here.json("policy", "show")["hash"], self.check(text)[2])
        for broken, line in ((text.replace("stale-after=30d", "stale-after=soon"), 5), ("".join(lines[:9] + [lines[10], "boo\n"]), 11),
                             ("".join([lines[0], lines[2], lines[1], *lines[3:]]), 2)):
            code, errors, _ = self.check(broken)
            self.assertEqual(code, 1)
            self.assertRegex(errors, rf"^policy.txt:{line}: ")
        code, errors, _ = self.check(self.here.config_text().replace("GM0321", "XX0321").replace('"editor", "provider"', '"king"'), "new.conf")
        self.assertEqual(code, 1)
        self.assertEqual(len([line for line in errors.splitlines() if line.startswith("new.conf:")]), 2)
        os.rename(self.here.key_file, self.here.key_file + ".away")  # whoever may read the configuration, but no keys
        self.addCleanup(os.rename, self.here.key_file + ".away", self.here.key_file)
        result = self.here.json("policy", "check")
        self.assertEqual((result["form"], result["text"]), ("configuration", text))

    # ---- a dry run ----

    def test_3_a_dry_run_comes_true(self):
        self.assertEqual((self.supplier(SHARED, "name"), self.supplier(SHARED, "website")), (self.here.feed, self.houten.feed))
        told = self.here.json("policy", "diff", "--suspend", "houten.example")
        self.assertEqual(told["changed"], {"records": 2, "fields": 4, "values": 4, "appear": 0, "disappear": 1})
        self.assertEqual(told["feeds"], {self.houten.feed: {"gains": 0, "loses": 4}})
        website = [change for change in told["changes"] if change["field"] == "website"]
        self.assertEqual([(change["from"]["feed"], change["from"]["role"], change["from"]["value"], change["to"]) for change in website],
                         [(self.houten.feed, "editor", "https://brug.example", None)])
        self.assertEqual(told["changed"], self.here.json("policy", "diff", "--without", "houten.example")["changed"])
        text = self.here.ctl("policy", "diff", "--suspend", "houten.example", "--limit", "1")
        self.assertIn("... and 3 more", text)
        self.assertIn("2 of 2 records would change: 4 fields", text)
        self.assertEqual(self.supplier(SHARED, "website"), self.houten.feed, "nothing was changed")
        self.here.peers = [Peer(self.houten, suspended=True)]
        self.here.reload()
        self.caught_up(1)
        self.assertEqual((self.supplier(SHARED, "website"), self.supplier(THEIRS, "name")), (None, None))

    def test_4_and_back(self):
        told = self.here.json("policy", "diff", "--resume", "houten.example")
        self.assertEqual(told["changed"], {"records": 2, "fields": 4, "values": 4, "appear": 1, "disappear": 0})
        self.here.peers = [Peer(self.houten)]
        path = self.here.write("new.conf", self.here.config_text())
        self.assertEqual(self.here.json("policy", "diff", path)["changes"], told["changes"])
        self.here.reload()
        self.caught_up(2)
        self.assertIn("nothing would change", self.here.ctl("policy", "diff", path))

    def test_5_another_order_and_a_peer_more(self):
        self.here.peers = [Peer(self.houten, areas=["GM0321", "BU03560101"]), Peer(self.houten, name="ijsselstein.example", feed_keys=[], relay=True)]
        self.here.extra = '\npolicy {\n  group identity { order = { "provider", "editor", "editor@home" } }\n}\n'
        told = self.here.json("policy", "diff", self.here.write("more.conf", self.here.config_text()))
        self.assertEqual(told["notHeld"], ["ijsselstein.example"])
        self.assertEqual([(change["field"], change["from"]["feed"], change["to"]["feed"], change["to"]["value"], change["sameValue"])
                          for change in told["changes"] if change["group"] == "identity"], [("name", self.here.feed, self.houten.feed, "De Brug", False)])
        self.assertIn("not held: ijsselstein.example/public", self.here.ctl("policy", "diff", os.path.join(self.here.directory, "more.conf")))
        self.here.peers, self.here.extra = [Peer(self.houten)], ""

    def test_6_what_is_refused(self):
        for arguments, code in ((("diff",), 2), (("diff", self.here.config, "--suspend", "houten.example"), 2), (("diff", "--suspend", "nobody.example"), 1),
                                (("diff", "--without", "nieuwegein.example"), 1), (("diff", "/nowhere"), 1), (("dance",), 2), (("diff", self.here.config, "--limit", "x"), 1)):
            done = self.here.run("policy", *arguments)
            self.assertEqual((done.returncode, done.stdout), (code, b""), arguments)
            self.assertTrue(done.stderr)

    # ---- sums ----

    def test_7_the_sums_are_published(self):
        source = self.here.source()
        self.addCleanup(source.close)
        state = self.here.json("status")["map"]

        def ready():
            status, headers, body = source.request("/v1/map/sums")
            self.assertEqual(status, 200)
            return (headers, json.loads(body)) if json.loads(body).get("map") == state["map"] else None
        headers, sums = self.nodes.wait(ready, what="the sums of now")
        self.assertEqual({name: sums[name] for name in ("node", "day", "caughtUp", "claimSet", "policy")},
                         {"node": self.here.name, "day": state["day"], "caughtUp": True, "claimSet": state["claimSet"], "policy": state["policy"]})
        self.assertEqual((headers["Content-Type"], headers["Cache-Control"], headers["API-Version"]), ("application/json", "no-cache", "1.0.0"))
        self.assertEqual(source.request("/v1/map/sums", {"If-None-Match": headers["ETag"]})[0], 304)
        self.assertEqual(source.request("/v1/map/sums", {}, "POST", b"")[0], 405)
        self.assertEqual(source.request("/v1/map/other")[0], 404)

    def test_8_two_nodes_compare(self):
        told = self.here.json("policy", "sums", "houten.example")
        self.assertEqual(told["same"], {"day": True, "claimSet": False, "policy": False, "map": False})
        self.assertEqual(told["there"]["node"], "houten.example")
        self.assertIn("do not hold the same claims", self.here.ctl("policy", "sums", "houten.example"))
        self.assertIn("both show the same map", self.here.ctl("policy", "sums", self.here.url, "--pin", self.here.pin))
        self.assertEqual(self.here.run("policy", "sums", self.here.url).returncode, 3, "neither a pin nor a CA vouches for it")
        self.assertEqual(self.here.run("policy", "sums", "nobody.example").returncode, 1)
        self.assertEqual(self.here.run("policy", "sums", "http://127.0.0.1:1").returncode, 2)


if __name__ == "__main__":
    tap.main()
