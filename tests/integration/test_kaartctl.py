#!/usr/bin/env python3
"""kaartctl at a real node: import with good and bad input, single records, proofs, export, fetch, and its exit codes."""
import json
import os
import shutil
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import tap  # noqa: E402
from nodes import KAARTCTL, Nodes, organisation  # noqa: E402

DONE, FAILED, USAGE, UNREACHABLE, PARTLY, UNPROVEN = range(6)
COMMANDS = ["status", "keygen", "key", "import", "put", "retract", "erase", "subject", "get", "why", "conflicts", "pin", "unpin", "stale", "confirm", "search", "export", "feeds", "peers", "sync", "sources",
            "source", "sign", "fetch", "prove", "verify", "review"]


def lines(output):
    return [json.loads(line) for line in output.decode().splitlines()]


class OneNode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.nodes = Nodes()
        cls.addClassCleanup(cls.nodes.close)
        cls.node = cls.nodes.add("nieuwegein.example", areas=["GM0356"])
        cls.node.start()

    def run_ctl(self, *arguments, code=DONE, stdin=None):
        """(output, what was said), after a look at the exit code."""
        done = self.node.run(*arguments, stdin=stdin)
        self.assertEqual(done.returncode, code, f"{arguments}: {done.stdout} {done.stderr}")
        return done.stdout.decode(), done.stderr.decode()

    def shown(self, record_id, code=0):
        return self.nodes.wait(lambda: self.node.run("get", record_id, "--json").returncode == code, what="the map")

    def file(self, name, text):
        path = self.node.write(name, text)
        return path


class Import(OneNode):
    def summary(self, *arguments, code=DONE, stdin=None):
        return json.loads(self.run_ctl("import", *arguments, "--json", code=code, stdin=stdin)[0])

    def test_forms_of_files(self):
        records = [organisation(i) for i in range(4)]
        bodies = [dict(r["body"], id=r["id"]) for r in records]
        forms = {
            "one.json": json.dumps(bodies[0]),
            "array.json": json.dumps(bodies, indent=1),
            "page.json": json.dumps({"total_items": 4, "contents": bodies, "last_page": True}),
            "lines.ndjson": "".join(json.dumps(body) + "\n" for body in bodies),
            "wrapped.json": json.dumps(records),
            "bom.json": "\ufeff" + json.dumps(bodies[0]),
        }
        for name, text in forms.items():
            found = self.summary(self.file(name, text), "--kind", "organization", "--source", name.split(".")[0])
            expected = 1 if name in ("one.json", "bom.json") else 4
            self.assertEqual((found["records"], found["added"], found["problems"]), (expected, expected, []), name)
            again = self.summary(self.file(name, text), "--kind", "organization", "--source", name.split(".")[0])
            self.assertEqual((again["added"], again["unchanged"]), (0, expected), name)
        found = self.summary("-", "--kind", "organization", "--source", "stdin", stdin=forms["lines.ndjson"].encode())
        self.assertEqual(found["added"], 4)

    def test_embedded_records(self):
        document = {"id": "org-1", "name": "Stichting Vol", "status": "active",
                    "identifiers": [{"scheme": "kvk", "value": "90006623"}],
                    "services": [{"id": "s-1", "name": "Dienst", "status": "active",
                                  "service_at_locations": [{"id": "sal-1", "location": {"id": "l-1", "name": "Gebouw",
                                                                                        "location_type": "physical"}}]}]}
        found = self.summary(self.file("full.json", json.dumps(document)), "--source", "full")
        self.assertEqual((found["records"], found["added"]), (4, 4))
        claims = [r for r in self.own_claims() if r["source"] == "full"]
        by_kind = {r["kind"]: r for r in claims}
        self.assertEqual(sorted(by_kind), ["location", "organization", "service", "service_at_location"])
        self.assertEqual(by_kind["service"]["body"]["organization_id"], by_kind["organization"]["id"])
        self.assertEqual(by_kind["service_at_location"]["body"], {"service_id": by_kind["service"]["id"],
                                                                  "location_id": by_kind["location"]["id"]})
        self.assertNotIn("services", by_kind["organization"]["body"])

    def own_claims(self):
        return [json.loads(line) for line in self.node.lines(self.node.feed, self.node.verifier)]

    def test_bad_records_with_their_places(self):
        text = ('{"id":"00000000-0000-4000-8000-000000000101","name":"Goed","status":"active"}\n'
                '{"id":"00000000-0000-4000-8000-000000000102","name":"Stuk\n'
                '\n'
                '{"id":"00000000-0000-4000-8000-000000000103","name":5}\n'
                '{"name":"a","name":"b"}\n'
                '[]\n'
                '{"id":"00000000-0000-4000-8000-000000000104","name":"Ook goed","email":"geen adres"}\n')
        path = self.file("bad.ndjson", text)
        found = self.summary(path, "--kind", "organization", "--source", "bad", code=PARTLY)
        self.assertEqual((found["records"], found["added"], found["refused"]), (6, 2, 4))
        places = sorted((p["line"], p["record"], p["pointer"], p["severity"]) for p in found["problems"])
        self.assertEqual(places, [(2, 2, "", "error"), (4, 3, "/name", "error"), (5, 4, "", "error"), (6, 5, "", "error"),
                                  (7, 6, "/email", "warning")])
        _, said = self.run_ctl("import", path, "--kind", "organization", "--source", "bad", code=PARTLY)
        self.assertIn(f"{path}:4: record 3 /name: is not a string", said)

    def test_strict_takes_nothing(self):
        path = self.file("strict.json", json.dumps([dict(organisation(201)["body"], id=organisation(201)["id"]), {"name": 5}]))
        size = self.size()
        found = self.summary(path, "--kind", "organization", "--source", "strict", "--strict", code=FAILED)
        self.assertEqual((found["taken"], self.size()), (False, size))
        good = self.file("good.json", json.dumps([dict(organisation(201)["body"], id=organisation(201)["id"])]))
        self.assertTrue(self.summary(good, "--kind", "organization", "--source", "strict", "--strict")["taken"])

    def test_dry_run_changes_nothing(self):
        size = self.size()
        path = self.file("dry.json", json.dumps(organisation(301)))
        found = self.summary(path, "--source", "dry", "--dry-run")
        self.assertEqual((found["added"], found["taken"], self.size()), (1, False, size))

    def size(self):
        return next((f["size"] for f in self.node.json("feeds") if f["feed"] == self.node.feed), 0)

    def test_files_that_are_none(self):
        for content, message in (("", "there is no record in it"), ("<html>", "a record was expected here"),
                                 ('{"id":"x', "the file ends in the middle of a record"), ("[1", "the file ends")):
            _, said = self.run_ctl("import", self.file("odd.json", content), "--kind", "organization", code=FAILED)
            self.assertIn(message, said)
        _, said = self.run_ctl("import", "/nowhere/file.json", code=FAILED)
        self.assertIn("cannot be read: No such file", said)

    def test_large_records(self):
        """10 MB of description: refused with its place, and the others are taken."""
        records = [organisation(401), organisation(402, description="x" * 10_000_000), organisation(403)]
        found = self.summary(self.file("large.json", json.dumps(records)), "--source", "large", code=PARTLY)
        self.assertEqual((found["added"], found["refused"]), (2, 1))
        self.assertEqual(found["problems"][0]["record"], 2)
        self.assertIn("an entry has room for 65536", found["problems"][0]["message"])

    def test_wrong_settings(self):
        path = self.file("x.json", json.dumps(organisation(1)))
        for arguments, message, code in ((["--source", "No"], "is not a name", USAGE), (["--kind", "thing"], "there is no kind", USAGE),
                                         (["--verified", "today"], "is not a day", USAGE), (["--areas", "Nieuwegein"], "is not a CBS code", USAGE),
                                         (["--feed", "secret"], "no feed", FAILED), (["--role", "provider"], "onBehalfOf is missing", FAILED),
                                         (["--what"], "is no option", USAGE), (["--source"], "wants a value", USAGE)):
            _, said = self.run_ctl("import", path, *arguments, code=code)
            self.assertIn(message, said)


class SingleRecords(OneNode):
    def test_put_get_why_retract(self):
        record = organisation(7)
        self.node.put(record)
        self.shown(record["id"])
        out, _ = self.run_ctl("put", "organization", record["id"], "email=info@proef.example", "name=Stichting Anders", "--source", "editor-desk")
        self.assertIn("changed", out)
        self.nodes.wait(lambda: self.node.json("get", record["id"])["record"]["name"] == "Stichting Anders")
        shown = self.node.json("get", record["id"])["record"]
        self.assertEqual((shown["email"], shown["description"]), ("info@proef.example", record["body"]["description"]))
        self.run_ctl("put", "organization", record["id"], "email=", "--source", "editor-desk")
        self.nodes.wait(lambda: "email" not in self.node.json("get", record["id"])["record"])
        out, _ = self.run_ctl("why", record["id"])
        self.assertIn("Stichting Anders", out)
        out, _ = self.run_ctl("retract", "organization", record["id"], "--source", "editor-desk")
        self.assertIn("retracted", out)
        self.shown(record["id"], code=FAILED)
        out, _ = self.run_ctl("retract", "organization", record["id"], "--source", "editor-desk")
        self.assertIn("absent", out)

    def test_a_word_about_one_field(self):
        record = organisation(8)
        self.node.put(record)
        self.run_ctl("put", "organization", record["id"], "website=https://proef.example", "--source", "other", "--role", "coordinator")
        self.nodes.wait(lambda: self.node.json("get", record["id"])["record"].get("website") == "https://proef.example")
        self.assertEqual(self.node.json("get", record["id"])["record"]["name"], record["body"]["name"])

    def test_put_of_a_wrapped_record(self):
        record = organisation(9)
        self.run_ctl("put", self.file("wrapped.json", json.dumps(record)))
        self.run_ctl("put", "-", stdin=json.dumps(record).encode())
        _, said = self.run_ctl("put", self.file("bare.json", json.dumps(record["body"])), code=FAILED)
        self.assertIn("name kind and id before it", said)

    def test_refusals(self):
        some = organisation(10)["id"]
        for arguments, message, code in ((["put", "thing", some, "a=b"], "there is no kind", USAGE), (["put", "organization", "x", "a=b"], "is not a record's id", USAGE),
                                         (["put", "organization", some], "what is to be said", USAGE), (["get", "x"], "is not a record's id", USAGE),
                                         (["put", "organization", some, "name=5"], "is not a string", FAILED),
                                         (["get", "00000000-0000-4000-8000-999999999999"], "Not found", FAILED),
                                         (["why", "00000000-0000-4000-8000-999999999999"], "Not found", FAILED),
                                         (["search"], "something is missing", USAGE), (["sync", "nobody.example"], "no peer", FAILED),
                                         (["source", "run", "none"], "no source", FAILED),
                                         (["sign", "secret"], "no feed", FAILED), (["sign", "x/y"], "is not an audience", USAGE), (["source", "walk", "none"], "what is meant", USAGE)):
            _, said = self.run_ctl(*arguments, code=code)
            self.assertIn(message, said)

    def test_proofs(self):
        record = organisation(11)
        self.node.put(record)
        self.shown(record["id"])
        proof, _ = self.run_ctl("prove", record["id"])
        out, _ = self.run_ctl("verify", self.file("proof", proof))
        self.assertIn(f"holds: {self.node.feed}", out)
        out, _ = self.run_ctl("verify", "-", "--key", str(self.node.verifier), "--json", stdin=proof.encode())
        self.assertEqual(json.loads(out)["entry"]["body"], record["body"])
        _, said = self.run_ctl("verify", "-", stdin=proof.replace("nummer 11", "nummer 12").encode(), code=UNPROVEN)
        self.assertIn("it does not hold", said)
        self.run_ctl("verify", "-", stdin=b"nonsense", code=UNPROVEN)
        _, said = self.run_ctl("prove", self.node.feed, code=FAILED)
        self.assertIn("no proof of two histories", said)
        self.run_ctl("put", "organization", record["id"], "url=https://x.example", "--source", "second")
        self.nodes.wait(lambda: self.node.run("prove", record["id"]).returncode == USAGE)
        self.run_ctl("prove", record["id"], "--source", "second")

    def test_export_goes_back_in(self):
        self.node.load([organisation(i) for i in range(20, 30)])
        self.shown(organisation(29)["id"])
        out, _ = self.run_ctl("export", "--kind", "organization")
        found = json.loads(self.run_ctl("import", self.file("export.ndjson", out), "--source", "copy", "--json")[0])
        self.assertEqual((found["refused"], found["added"]), (0, len(out.splitlines())))


class CommandLine(OneNode):
    def test_help_and_json(self):
        for command in COMMANDS:
            out, _ = self.run_ctl(command, "--help")
            self.assertTrue(out.startswith("usage: kaartctl"), command)
            self.assertLessEqual(max(map(len, out.splitlines()[2:])), 80, command)
        for command in ("status", "feeds", "peers", "sources", "key"):
            json.loads(self.run_ctl(command, "--json")[0])
            self.assertTrue(self.run_ctl(command)[0].strip(), command)

    def test_exit_codes(self):
        self.assertEqual(subprocess.run([KAARTCTL], capture_output=True, check=False).returncode, USAGE)
        self.assertEqual(subprocess.run([KAARTCTL, "dance"], capture_output=True, check=False).returncode, USAGE)
        self.assertEqual(subprocess.run([KAARTCTL, "-c", "/nowhere", "status"], capture_output=True, check=False).returncode, FAILED)
        stopped = self.nodes.add("stopped.example")
        stopped.write_config()
        done = stopped.run("status")
        self.assertEqual(done.returncode, UNREACHABLE)
        self.assertIn(b"Is it running?", done.stderr)

    def test_keygen(self):
        path = os.path.join(self.node.directory, "new.key")
        out, _ = self.run_ctl("keygen", "nieuwegein.example/professionals", path)
        self.assertTrue(out.startswith("nieuwegein.example/professionals+"))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        before = open(path, "rb").read()
        _, said = self.run_ctl("keygen", "nieuwegein.example/professionals", path, code=FAILED)
        self.assertIn("never overwritten", said)
        self.assertEqual(open(path, "rb").read(), before)
        self.run_ctl("keygen", "No Feed", path + "2", code=USAGE)

    def test_key_section_is_a_configuration(self):
        out, _ = self.run_ctl("key")
        other = self.nodes.add("other.example")
        other.extra = out.replace("HOST:PORT", "127.0.0.1:1")
        other.write_config()
        done = subprocess.run([KAARTCTL.replace("kaartctl", "kaartd"), "-c", other.config, "--check"], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_control_api_is_for_the_socket(self):
        source = self.node.source()
        self.addCleanup(source.close)
        for method, path in (("GET", "/control/v1/status"), ("POST", "/control/v1/import?source=a&role=editor"), ("GET", "/control/v1/export")):
            self.assertEqual(source.request(path, method=method, body=b"{}" if method == "POST" else None)[0], 404, path)


class Fetch(OneNode):
    def fetch(self, *arguments, code=DONE, key=None, url=None, pin=None):
        done = subprocess.run([KAARTCTL, "fetch", url or self.node.url, "--key", key or str(self.node.verifier), "--pin", pin or self.node.pin, *arguments],
                              capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return lines(done.stdout) if code == DONE else done.stderr.decode()

    def state(self, name):
        path = os.path.join(self.node.directory, name)
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def test_everything(self):
        records = [organisation(i) for i in range(50)]
        self.node.load(records)
        found = {line["id"]: line for line in self.fetch()}
        for record in records:
            self.assertEqual(found[record["id"]]["body"], record["body"])
            self.assertEqual(found[record["id"]]["role"], "editor")
        done = subprocess.run([KAARTCTL, "fetch", self.node.url, "--key", str(self.node.verifier), "--ca", self.node.certificate],
                              capture_output=True, check=False, timeout=60)
        self.assertEqual((done.returncode, len(lines(done.stdout))), (DONE, len(found)))

    def test_only_what_changed(self):
        state = self.state("fetched")
        self.node.load([organisation(i) for i in range(100, 150)])
        everything = self.fetch("--state", state)
        self.assertEqual(self.fetch("--state", state), [])
        self.node.put(organisation(100, name="Stichting Anders"))
        self.node.retract(organisation(101))
        changed = self.fetch("--state", state)
        self.assertEqual([line["body"]["name"] for line in changed if "body" in line], ["Stichting Anders"])
        self.assertEqual([line["deleted"] for line in changed if "deleted" in line],
                         [{"kind": "organization", "id": organisation(101)["id"], "source": "editor-desk"}])
        self.assertEqual(self.fetch("--state", state), [])
        self.assertEqual(len(self.fetch()), len(everything) - 1)

    def test_a_new_epoch(self):
        """The origin starts over: a full copy, of which only the differences are told."""
        other = self.nodes.add("houten.example", areas=["GM0321"])
        other.start()
        other.load([organisation(i) for i in range(10)])
        state = self.state("epochs")
        arguments = ["--state", state]
        self.assertEqual(len(self.fetch(*arguments, key=str(other.verifier), url=other.url, pin=other.pin)), 10)
        epoch = other.json("feeds")[0]["epoch"]
        other.stop()
        shutil.rmtree(other.state)
        os.makedirs(other.state)
        os.unlink(os.path.join(other.directory, "own-head"))
        self.nodes.wait(lambda: time.time() >= epoch + 1)  # an epoch is named by its second
        other.start()
        other.load([organisation(i) for i in range(3)])
        changed = self.fetch(*arguments, key=str(other.verifier), url=other.url, pin=other.pin)
        self.assertEqual(sorted(line["deleted"]["id"] for line in changed if "deleted" in line), [organisation(i)["id"] for i in range(3, 10)])
        self.assertEqual(self.fetch(*arguments, key=str(other.verifier), url=other.url, pin=other.pin), [])
        other.stop()

    def test_refusals(self):
        import feedkit
        state = self.state("refused")
        self.node.load([organisation(1)])
        self.assertIn("pinned public key", self.fetch(pin="sha256/" + "A" * 43 + "=", code=UNREACHABLE))
        stranger = feedkit.SigningKey(self.node.feed, bytes(range(32))).verifier
        self.assertIn("no configured key has signed it", self.fetch("--state", state, key=str(stranger), code=UNPROVEN))
        self.assertEqual(len(self.fetch("--state", state)), len(self.fetch()))
        unknown = feedkit.SigningKey("elsewhere.example/public", bytes(range(32))).verifier
        self.assertIn("does not show the feed", self.fetch(key=str(unknown), code=UNREACHABLE))
        self.assertIn("plain http is refused", self.fetch(url="http://127.0.0.1:1", code=USAGE))
        self.assertIn("--key", self.fetch(key="nonsense", code=USAGE))
        self.fetch(url="https://127.0.0.1:1", code=UNREACHABLE)

    def test_nothing_is_left_behind(self):
        directory = self.state("tmp")
        os.makedirs(directory)
        self.node.load([organisation(i) for i in range(200, 400)])
        environment = dict(os.environ, TMPDIR=directory)
        command = [KAARTCTL, "fetch", self.node.url, "--key", str(self.node.verifier), "--pin", self.node.pin]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            process.stdout.read(10)
            process.stdout.close()  # the reader goes away
            process.wait(30)
        self.assertEqual(os.listdir(directory), [])


if __name__ == "__main__":
    tap.main()
