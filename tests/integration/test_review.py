#!/usr/bin/env python3
"""Editorial review at a real node: what residents say is held, shown with what it would change, approved or rejected, and bounded;
a node that is killed in the middle neither loses nor doubles anything. spec/records.md [REV]."""
import json
import os
import random
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import KAARTCTL, KAARTD, Nodes, organisation  # noqa: E402

DONE, FAILED, USAGE, UNREACHABLE, PARTLY, UNPROVEN = range(6)
PER_DAY = 20  # REVIEW_PER_DAY_MAX


class Review(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.node = cls.nodes.add("nieuwegein.example", areas=["GM0356"])
        cls.node.start()

    def run_ctl(self, *arguments, code=DONE, stdin=None):
        done = self.node.run(*arguments, stdin=stdin)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout} {done.stderr}")
        return done.stdout.decode(), done.stderr.decode()

    def submit(self, record, submitter, *arguments):
        """The number of a submission."""
        found = json.loads(self.run_ctl("review", "submit", self.node.write("submission.json", record), "--submitter", submitter, "--json",
                                        *arguments)[0])
        self.assertEqual((found["held"], found["refused"]), (1, 0), found)
        return found["submissions"][0]["number"]

    def show(self, number):
        return self.node.json("review", "show", number)

    def claims(self, record_id):
        """What the feed says about a record: {source: entry}."""
        entries = (json.loads(line) for line in self.node.lines(self.node.feed, self.node.verifier))
        return {entry["source"]: entry for entry in entries if entry["id"] == record_id}

    def put(self, record):
        self.node.put(record)
        self.nodes.wait(lambda: self.node.run("get", record["id"]).returncode == 0, what="the map")

    def on_disk(self, text):
        for directory, _, names in os.walk(self.node.directory):
            for name in names:
                if not name.startswith(("feeds.db", "map.db", "log")):
                    continue
                with open(os.path.join(directory, name), "rb") as file:
                    if text.encode() in file.read():
                        return True
        return False

    def test_from_submission_to_map(self):
        record = organisation(1)
        self.put(record)
        addition = {"kind": "organization", "id": record["id"], "body": {"partial": True, "website": "https://tuin.example", "name": "Andere naam"}}
        number = self.submit(addition, "resident-a@example.org")
        shown = self.show(number)
        self.assertEqual((shown["state"], shown["kind"], shown["id"], shown["body"]), ("waiting", "organization", record["id"], addition["body"]))
        self.assertEqual(shown["preview"]["now"]["name"], record["body"]["name"])
        effects = {field["field"]: field["effect"] for field in shown["preview"]["fields"]}
        self.assertEqual(effects, {"website": "adds", "name": "stays"})
        out, _ = self.run_ctl("review", "show", number)
        self.assertIn("is added", out)
        self.assertIn("stays as it is", out)
        self.assertEqual(list(self.claims(record["id"])), ["editor-desk"])
        self.assertIn(number, [item["number"] for item in self.node.json("review", "list")])
        out, _ = self.run_ctl("review", "approve", number, "--as-editor", "M. de Vries")
        self.assertIn("approved", out)
        self.nodes.wait(lambda: self.node.json("get", record["id"])["record"].get("website") == "https://tuin.example", what="the addition")
        self.assertEqual(self.node.json("get", record["id"])["record"]["name"], record["body"]["name"])
        entry = self.claims(record["id"])[f"resident-{number}"]
        self.assertEqual((entry["role"], entry["areas"], entry["body"]), ("resident", ["GM0356"], addition["body"]))
        shown = self.show(number)
        self.assertEqual((shown["state"], shown["editor"], shown["source"]), ("approved", "M. de Vries", f"resident-{number}"))
        self.assertNotIn("body", shown)
        self.run_ctl("review", "approve", number)
        self.assertEqual(self.show(number)["editor"], "M. de Vries")
        _, said = self.run_ctl("review", "reject", number, "--reason", "toch niet", code=FAILED)
        self.assertIn(f"retract organization {record['id']} --source resident-{number}", said)
        self.run_ctl("retract", "organization", record["id"], "--source", f"resident-{number}")
        self.nodes.wait(lambda: "website" not in self.node.json("get", record["id"])["record"], what="the retraction")

    def test_two_residents_and_a_missing_link(self):
        record = organisation(2)
        self.put(record)
        link = {"kind": "relation", "id": "00000000-0000-4000-8000-0000000000aa",
                "body": {"type": "should-link", "from_id": record["id"], "to_id": organisation(1)["id"], "description": "zelfde gebouw"}}
        numbers = [self.submit({"kind": "organization", "id": record["id"], "body": {"partial": True, "email": f"{who}@example.org"}}, who)
                   for who in ("anna", "bert")] + [self.submit(link, "anna")]
        self.assertEqual(self.node.json("status")["reviewWaiting"], len(self.node.json("review", "list")))
        self.run_ctl("review", "approve", numbers[0])
        self.nodes.wait(lambda: self.node.json("get", record["id"])["record"].get("email") == "anna@example.org", what="the first address")
        [field] = self.show(numbers[1])["preview"]["fields"]
        self.assertEqual((field["effect"], field["now"], field["said"], field["then"]), ("changes", "anna@example.org", "bert@example.org", "bert@example.org"))
        same = self.submit({"kind": "organization", "id": record["id"], "body": {"partial": True, "email": "anna@example.org"}}, "carla")
        [field] = self.show(same)["preview"]["fields"]
        self.assertEqual(field["effect"], "same")
        self.run_ctl("review", "approve", *numbers)
        claims = self.claims(record["id"])
        self.assertEqual([claims[f"resident-{number}"]["body"]["email"] for number in numbers[:2]], ["anna@example.org", "bert@example.org"])
        self.nodes.wait(lambda: self.node.run("get", link["id"]).returncode == 0, what="the link")

    def test_rejection(self):
        number = self.submit(organisation(3, name="Geheimtuin Onvindbaar"), "Jan Onvindbaar-Persoon")
        self.assertTrue(self.on_disk("Geheimtuin Onvindbaar"))
        self.assertFalse(self.on_disk("Onvindbaar-Persoon"))
        _, said = self.run_ctl("review", "reject", number, code=USAGE)
        self.assertIn("--reason", said)
        out, _ = self.run_ctl("review", "reject", number, "--reason", "bestaat niet meer", "--as-editor", "Vries")
        self.assertIn("bestaat niet meer", out)
        self.nodes.wait(lambda: not self.on_disk("Geheimtuin Onvindbaar"), what="the erasure of the words")
        shown = self.show(number)
        self.assertEqual((shown["state"], shown["reason"], shown["editor"], shown["id"]), ("rejected", "bestaat niet meer", "Vries", organisation(3)["id"]))
        self.assertEqual(shown["decided"], time.strftime("%Y-%m-%d", time.gmtime()))
        self.assertNotIn("body", shown)
        _, said = self.run_ctl("review", "approve", number, code=FAILED)
        self.assertIn("submitted anew", said)
        self.assertNotIn(number, [item["number"] for item in self.node.json("review", "list")])
        self.assertIn(number, [item["number"] for item in self.node.json("review", "list", "--all")])

    def test_import_and_put_are_held(self):
        records = [organisation(i) for i in (10, 11)]
        found = json.loads(self.run_ctl("import", self.node.write("held.json", records), "--role", "resident", "--json")[0])
        self.assertEqual((found["held"], found["added"], len(found["submissions"])), (2, 0, 2))
        dry = json.loads(self.run_ctl("import", self.node.write("held.json", records), "--role", "resident", "--dry-run", "--json")[0])
        self.assertEqual((dry["held"], dry["submissions"]), (2, []))
        out, _ = self.run_ctl("put", "organization", records[0]["id"], "email=a@example.org", "--role", "resident")
        self.assertIn("kaartctl review show", out)
        for record in records:
            self.assertEqual(self.claims(record["id"]), {})
        numbers = [item["number"] for item in found["submissions"]]
        out, said = self.run_ctl("review", "approve", numbers[0], 999999, numbers[1], code=PARTLY)
        self.assertIn("no submission 999999", said)
        self.assertEqual([self.show(number)["state"] for number in numbers], ["approved", "approved"])

    def test_wrong_input(self):
        some = organisation(20)
        large = dict(some, body=dict(some["body"], description="x" * 20000))
        person = dict(some, body=dict(some["body"], contacts=[{"name": "A. Persoon"}]))
        confirmation = {"kind": "confirmation", "id": some["id"], "body": {"run": "1"}}
        for record, message in ((large, "at most 16384 are taken"), (person, "REC-16"), (confirmation, "no source to confirm"),
                                ({"kind": "organization", "id": some["id"], "body": {"name": 5}}, "is not a string")):
            _, said = self.run_ctl("review", "submit", self.node.write("bad.json", record), "--submitter", "wrong", code=FAILED)
            self.assertIn(message, said)
        path = self.node.write("some.json", some)
        for arguments, message, code in ((["show", "0"], "is not the number", USAGE), (["show", "x"], "is not the number", USAGE), (["show", "999999"], "no submission", FAILED),
                                         (["approve"], "what is meant", USAGE), (["approve", "1", "-1"], "", USAGE), (["walk"], "what is meant", USAGE), ([], "missing", USAGE),
                                         (["reject", "999999", "--reason", "x"], "no submission", FAILED), (["reject", "1", "2", "--reason", "x"], "what is meant", USAGE),
                                         (["submit", path, "--submitter", "x" * 300], "at most 256", FAILED), (["submit", path, "--submitter", "a\nb"], "no line of", FAILED),
                                         (["submit", "/nowhere"], "cannot be read", FAILED), (["submit", path, "--feed", "secret"], "no feed", FAILED)):
            _, said = self.run_ctl("review", *arguments, code=code)
            self.assertIn(message, said, arguments)
        _, said = self.run_ctl("retract", "organization", some["id"], "--role", "resident", code=FAILED)
        self.assertIn("withdrawn by an editor", said)
        _, said = self.run_ctl("put", path, "--source", "resident-1", code=FAILED)
        self.assertIn("REV-6", said)
        self.assertIn("review list [--all]", self.run_ctl("review", "--help")[0])

    def test_nobody_floods_the_queue(self):
        records = [organisation(i) for i in range(100, 100 + PER_DAY + 5)]
        path = self.node.write("flood.json", records)
        out, said = self.run_ctl("review", "submit", path, "--submitter", "flood", "--json", code=PARTLY)
        found = json.loads(out)
        self.assertEqual((found["held"], found["refused"]), (PER_DAY, 5))
        self.assertIn("tomorrow", found["problems"][0]["message"])
        _, said = self.run_ctl("review", "submit", path, "--submitter", "flood", code=FAILED)
        self.assertIn("Too many submissions", said)
        numbers = [item["number"] for item in found["submissions"]]
        self.assertEqual(self.show(numbers[0])["sameSubmitter"], PER_DAY)
        for number in numbers:
            self.run_ctl("review", "reject", number, "--reason", "spam")
        self.submit(organisation(200), "somebody else")

    def test_a_source_is_no_resident(self):
        other = self.nodes.add("houten.example", areas=["GM0321"])
        other.sources = [("register", dict(type="json", url="https://localhost:1/", mapping=other.write("m.json", {}), role="resident"))]
        other.write_config()
        done = subprocess.run([KAARTD, "-c", other.config, "--check"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"an editor approves", done.stderr)

    def test_killed_while_approving(self):
        chance = random.Random(int(os.environ.get("KAARTD_SEED", "7")))
        numbers = {}
        for i in range(300, 312):
            numbers[self.submit(organisation(i), f"who-{i}")] = organisation(i)["id"]
        for _ in range(6):
            command = [KAARTCTL, "-c", self.node.config, "review", "approve", *map(str, numbers), "--as-editor", "Vries"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
                time.sleep(chance.uniform(0.005, 0.08))
                self.node.kill()
                process.wait(60)
            self.node.start()
            for number, record_id in numbers.items():
                self.assertEqual(self.show(number)["state"] == "approved", f"resident-{number}" in self.claims(record_id), number)
        self.nodes.wait(lambda: self.node.run("review", "approve", *numbers, "--as-editor", "Vries").returncode == 0, what="the approvals")
        entries = [json.loads(line) for line in self.node.lines(self.node.feed, self.node.verifier)]
        for number in numbers:
            self.assertEqual(sum(entry["source"] == f"resident-{number}" for entry in entries), 1)
            self.assertEqual((self.show(number)["state"], self.show(number)["editor"]), ("approved", "Vries"))


if __name__ == "__main__":
    tap.main()
