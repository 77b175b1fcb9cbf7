#!/usr/bin/env python3
"""`make demo`: three municipalities on loopback with real TLS, as their operators would see them.

KEEP=0 ends by itself after the show, with exit code 0 only if every step came out as expected. Otherwise the nodes stay up until
Ctrl-C. Everything lives in one temporary directory that is removed at the end.
"""
import json
import os
import shlex
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "integration"), os.path.join(ROOT, "tests", "python"), HERE]
import feedkit  # noqa: E402
import kaartd_verify as kv  # noqa: E402
from contracted_care_server import ContractedCareServer  # noqa: E402
from lying_relay import Relay  # noqa: E402
from nodes import Failed, Nodes, Peer, make_certificate, section  # noqa: E402

KEEP = os.environ.get("KEEP", "1") != "0"
COLOUR = sys.stdout.isatty()
DAY_S = 86400
OUTPUT_LINES = 40  # of one command; what is longer is cut, and said so


def paint(code, text):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Show:
    """What is printed, and what came out otherwise than expected."""

    def __init__(self):
        self.step, self.unexpected, self.started = 0, [], time.monotonic()

    def heading(self, text):
        self.step += 1
        print("\n" + paint("1", f"== {self.step}. {text}"), flush=True)

    @staticmethod
    def say(text):
        print(text, flush=True)

    def command(self, node, *arguments, lines=OUTPUT_LINES, quiet=False, **named):
        """A kaartctl command as it would be typed, and what it really answers."""
        typed = shlex.join(str(argument).replace(node.base + "/", "") for argument in arguments)
        print(paint("36", f"{node.short}$ kaartctl {typed}"), flush=True)
        done = node.run(*arguments, **named)
        text = (done.stdout + done.stderr).decode("utf-8", "replace").rstrip("\n")
        if not quiet:
            shown = text.split("\n")
            for line in shown[:lines]:
                print("  " + line)
            if len(shown) > lines:
                print(f"  ... and {len(shown) - lines} lines more")
            sys.stdout.flush()
        self.expect(done.returncode == 0, f"kaartctl {typed} ends with 0 (it ended with {done.returncode}: {text})", silent=True)
        return text

    def expect(self, condition, what, silent=False):
        if not condition:
            self.unexpected.append(f"step {self.step}: {what}")
            print(paint("31", f"  NOT AS EXPECTED: {what}"), flush=True)
        elif not silent:
            print(paint("32", f"  ok: {what}"), flush=True)
        return bool(condition)


class Demo:
    def __init__(self, nodes, show):
        self.nodes, self.show = nodes, show
        self.relays = []

    def node(self, short, area):
        node = self.nodes.add(f"{short}.example", areas=[area], guard_wait="5s")
        node.short, node.base = short, self.nodes.directory
        return node

    def settle(self, who, what, condition, timeout=30):
        """Waits; a wait that ends in vain is an unexpected outcome, not the end of the show."""
        try:
            return self.nodes.wait(condition, timeout, what)
        except Failed as failed:
            self.show.expect(False, f"{who.short if who else 'all'}: {what}: {str(failed).splitlines()[0]}")
            self.show.say("\n".join("    " + line for line in str(failed).splitlines()[1:40]))
            return None

    # ---- the steps ----

    def run(self):
        self.build()
        self.load()
        self.sync()
        self.register()
        self.one_record()
        self.a_change()
        self.a_provider_disappears()
        self.liars()
        self.a_day_behind()
        self.second_implementation()

    def build(self):
        show = self.show
        show.heading("Three nodes, with keys, certificates and configurations made just now")
        self.nieuwegein = self.node("nieuwegein", "GM0356")
        self.houten = self.node("houten", "GM0321")
        self.ijsselstein = self.node("ijsselstein", "GM0353")
        self.three = [self.nieuwegein, self.houten, self.ijsselstein]
        for node in self.three:
            node.peers = [Peer(other, push=True, pull_every="2s") for other in self.three if other is not node]
            show.say(f"  {node.short:12} {node.url}  key {node.verifier}")
        base = os.path.join(self.nodes.directory, "contracted-care")
        os.makedirs(base)
        self.token = "demo-token-" + os.urandom(12).hex()
        self.token_file = self.nieuwegein.write("contracted-care.token", self.token + "\n")
        os.chmod(self.token_file, 0o600)
        self.care = ContractedCareServer(self.token).start()
        self.nieuwegein.sources = [("contracted-care", dict(
            type="json", url=self.care.url, mapping=os.path.join(ROOT, "daemon", "source", "mappings", "contracted-care.json"),
            role="contract", token_file=self.token_file, every="6h"))]
        self.nieuwegein.options["allow_plain_http"] = True
        for node in self.three:
            node.start(wait=False)
        for node in self.three:
            node.await_answer()
        show.say(f"  register     {self.care.url}  (plays Nieuwegein's contracted-care API: bearer token, ETag, pages)")
        show.say(f"  everything   {self.nodes.directory}\n")
        show.say("  The peer section by which Nieuwegein knows Houten:")
        show.say("".join("    " + line + "\n" for line in self.nieuwegein.peers[0].section().splitlines()).rstrip("\n"))

    def load(self):
        show = self.show
        show.heading("Each reads its own local map")
        for node in self.three:
            path = os.path.join(HERE, "data", f"{node.short}.json")
            text = show.command(node, "import", os.path.relpath(path, ROOT), "--source", "editor-desk", "--role", "editor", lines=8)
            expected = len(json.load(open(path, encoding="utf-8")))
            lines = node.lines(node.feed, node.verifier)
            served = sum(json.loads(line)["source"] == "editor-desk" for line in lines)
            show.expect(served == expected and text, f"{expected} records of {node.short} are signed and served ({served} are)", silent=served == expected)

    def synced(self):
        return all(a.holds(b) for a in self.three for b in self.three if a is not b)

    def sync(self):
        show = self.show
        show.heading("They exchange their feeds")
        begun = time.monotonic()
        show.expect(self.settle(None, "all hold all three feeds", self.synced, 60),
                    f"all three nodes hold all three feeds, each byte verified ({time.monotonic() - begun:.1f} s)")
        show.command(self.nieuwegein, "peers")
        show.command(self.nieuwegein, "feeds")

    def register(self):
        show = self.show
        show.heading("Nieuwegein's contracted care comes from the register")
        self.settle(self.nieuwegein, "reads the register", lambda: "contracted-care" in self.nieuwegein.ctl("search", "lister", "--json")
                    or any(source.get("lastRun") for source in json.loads(self.nieuwegein.ctl("sources", "--json"))))
        show.command(self.nieuwegein, "sources")
        show.expect(self.care.requests_with_token > 0 and self.care.pages_served > 1,
                    "the register was asked with the token, and read page by page")
        show.say("  Asked again, the register says by its ETag that nothing changed:")
        show.command(self.nieuwegein, "source", "run", "contracted-care")
        show.expect(self.care.not_modified > 0, "it answered 304")
        self.settle(None, "the contracts arrive everywhere", self.synced)

    def record_of(self, node, kind, identifier):
        """The resolved record as kaartctl get --json shows it, or None."""
        done = node.run("get", identifier, "--kind", kind, "--json")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def field_of(self, node, kind, identifier, name):
        found = self.record_of(node, kind, identifier)
        return found["record"].get(name) if found else None

    def one_record(self):
        show = self.show
        show.heading("One organisation that several sources know, and why each field says what it says")
        show.command(self.nieuwegein, "search", "lister", lines=12)
        self.lister = organisation("Lister")["id"]
        self.settle(self.nieuwegein, "the map has followed", lambda: self.record_of(self.nieuwegein, "organization", self.lister))
        show.command(self.nieuwegein, "get", self.lister)
        show.command(self.nieuwegein, "why", self.lister, lines=90)
        why = json.loads(self.nieuwegein.ctl("why", self.lister, "--json"))
        sources = set(json_values(why, ("feed", "source")))
        show.expect(len(sources) >= 3, f"{len(sources)} sources speak about it: " + ", ".join(sorted(f"{f} ({s})" for f, s in sources)))
        here, there = (self.field_of(node, "organization", self.lister, "phones") for node in (self.nieuwegein, self.houten))
        show.expect(here and there, "Nieuwegein and Houten each resolve it by their own policy", silent=True)

    def a_change(self):
        show = self.show
        show.heading("A change in Houten, and its arrival in Nieuwegein")
        record = organisation("Bibliotheek Houten", "houten")
        phones = json.dumps([{"number": "030-0000299", "type": "voice", "description": "Nieuw nummer (fictief)"}])
        begun = time.monotonic()
        show.command(self.houten, "put", record["kind"], record["id"], f"phones={phones}", "--source", "editor-desk", "--role", "editor")

        def arrived():
            return "030-0000299" in json.dumps(self.field_of(self.nieuwegein, "organization", record["id"], "phones"))
        if self.settle(self.nieuwegein, "the change arrives", arrived):
            show.expect(True, f"it stands in Nieuwegein's map {time.monotonic() - begun:.2f} s after it was typed in Houten, verified on the way")
        show.command(self.nieuwegein, "search", "bibliotheek houten", lines=4)

    def a_provider_disappears(self):
        show = self.show
        show.heading("A provider disappears from the register")
        gone = self.care.remove_one()
        show.say(f"  (the register no longer lists {gone})")
        show.command(self.nieuwegein, "source", "run", "contracted-care")
        show.command(self.nieuwegein, "sources")
        missing = json_values(json.loads(self.nieuwegein.ctl("sources", "--json")), ("missing",))
        show.expect(any(value for (value,) in missing), "it is missing, not gone: its claim stays, and says since when")
        found = [json.loads(line) for line in self.nieuwegein.lines(self.nieuwegein.feed, self.nieuwegein.verifier)]
        marked = [entry for entry in found if "missing_since" in entry]
        show.expect(marked, f"{len(marked)} claims in the signed feed carry missing_since {marked[0]['missing_since'] if marked else ''}")
        if marked:
            show.command(self.nieuwegein, "get", marked[0]["id"])
        show.say("\n  Then half of the register is gone at once:")
        before = self.nieuwegein.checkpoint(self.nieuwegein.feed, self.nieuwegein.verifier)
        self.care.remove_half()
        show.command(self.nieuwegein, "source", "run", "contracted-care")
        show.command(self.nieuwegein, "sources")
        after = self.nieuwegein.checkpoint(self.nieuwegein.feed, self.nieuwegein.verifier)
        waiting = [source["waiting"] for source in json.loads(self.nieuwegein.ctl("sources", "--json")) if source.get("waiting")]
        show.expect(waiting, "the fuse has blown: the run waits for `kaartctl source accept`")
        show.expect(before.root == after.root, "and nothing was withdrawn or marked meanwhile")
        self.care.restore()

    # ---- liars ----

    def relay(self, name, upstream=None):
        directory = os.path.join(self.nodes.directory, name)
        os.makedirs(directory)
        certificate, key, pin = make_certificate(directory, name)
        relay = Relay(certificate, key, upstream).start()
        relay.pin = pin
        self.relays.append(relay)
        return relay

    @staticmethod
    def by_relay(name, relay, key):
        """The section of a peer that is a mere relay: the key is the origin's, the pin the relay's."""
        return section(f"peer {name}", dict(url=relay.url, feed_keys=[str(key)], tls_pins=[relay.pin], relay=True, pull_every="1s",
                                            full_sync_every="1s"))

    def peer_text(self, node, name):
        """What `kaartctl peers` says about one peer, as one text."""
        for peer in json.loads(node.ctl("peers", "--json")):
            if peer["peer"] == name:
                return json.dumps(peer, ensure_ascii=False)
        return ""

    def liars(self):
        show = self.show
        show.heading("A fourth node, Lopik, knows Houten only through a relay; and the relay lies")
        self.lopik = self.node("lopik", "GM0331")
        liar = self.relay("relay.example", self.houten.source())
        self.lopik.extra = self.by_relay("relay.example", liar, self.houten.verifier)
        self.lopik.start()
        show.expect(self.settle(self.lopik, "holds Houten's feed by an honest relay", lambda: self.lopik.holds(self.houten)),
                    "while the relay is honest, Lopik holds Houten's feed")
        lies = (("alter", "alters one byte", "root"), ("omit", "leaves an entry out", "root"), ("invent", "invents an entry", ""))
        for number, (mode, what, word) in enumerate(lies):
            show.say(f"\n  The relay {what}:")
            before = self.lopik.checkpoint(self.houten.feed, self.houten.verifier)
            refusals = self.refusals(self.lopik)
            liar.mode = mode
            for extra in range(2):
                record = {"kind": "activity", "id": f"00000000-0000-4000-8000-0000000{number}{extra:04}", "body": {"name": f"Open huis {number}.{extra}", "status": "active"}}
                self.houten.put(record)
            self.settle(self.lopik, f"refuses a relay that {what}", lambda: self.refusals(self.lopik) > refusals)
            show.command(self.lopik, "peers")
            after = self.lopik.checkpoint(self.houten.feed, self.houten.verifier)
            text = self.peer_text(self.lopik, "relay.example")
            show.expect(self.refusals(self.lopik) > refusals and word in text, f"a relay that {what} is refused, with the reason")
            show.expect(after.note == before.note, "and the state that Lopik holds is the one it held before")
            liar.mode = "honest"
            show.expect(self.settle(self.lopik, "takes the truth", lambda: self.lopik.holds(self.houten)),
                        "as soon as the relay is honest again, Lopik has the truth")

    def refusals(self, node):
        return sum(sum(peer.get("refusals", {}).values()) for peer in json.loads(node.ctl("peers", "--json")))

    def a_day_behind(self):
        show = self.show
        show.heading("A relay that is a day behind")
        show.say("  Montfoort's feed is published by the second implementation (Python); one relay has today's state, the other yesterday's.")
        now = int(time.time())
        publisher = feedkit.Publisher(feedkit.SigningKey("montfoort.example/public", os.urandom(32)), epoch=now - 2 * DAY_S, clock=now - DAY_S - 60)
        for record in range(5):
            publisher.add(record=record, areas=["GM0335"])
        yesterday = publisher.note(), publisher.lines()
        publisher.clock = now - 60
        publisher.add(record=5, areas=["GM0335"])
        today = publisher.note(), publisher.lines()
        fresh, stale = self.relay("montfoort.example"), self.relay("old-hub.example")
        fresh.serve(publisher.feed, *today)
        stale.serve(publisher.feed, *yesterday)
        self.lopik.extra += self.by_relay("montfoort.example", fresh, publisher.key.verifier)
        self.lopik.reload()
        self.settle(self.lopik, "holds today's state", lambda: self.lopik.checkpoint(publisher.feed, publisher.key.verifier))
        self.lopik.extra += self.by_relay("old-hub.example", stale, publisher.key.verifier)
        self.lopik.reload()
        self.settle(self.lopik, "notices", lambda: "behind" in self.peer_text(self.lopik, "old-hub.example"))
        show.command(self.lopik, "peers")
        show.expect("behind" in self.peer_text(self.lopik, "old-hub.example"), "old-hub.example is reported as behind, not as at fault")
        head = self.lopik.checkpoint(publisher.feed, publisher.key.verifier)
        show.expect(head and head.note == today[0], "Lopik keeps today's state")

    def second_implementation(self):
        show = self.show
        show.heading("The second implementation of verification reads Houten's feed, here from Nieuwegein")
        arguments = [self.nieuwegein.url, "--key", str(self.houten.verifier), "--pin", self.nieuwegein.pin]
        print(paint("36", "anybody$ tests/python/kaartd_verify.py " + shlex.join(arguments)), flush=True)
        done = subprocess.run([sys.executable, os.path.join(ROOT, "tests", "python", "kaartd_verify.py"), *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        show.say("  " + done.stdout.decode().rstrip("\n"))
        show.expect(done.returncode == 0, "it accepts every byte")

    def close(self):
        """Ends everything that was started, cleanly: the exit codes of the nodes."""
        running = [node for node in self.nodes.all if node.process]
        codes = {node.short: node.stop() for node in running}
        for relay in self.relays:
            relay.close()
        if hasattr(self, "care"):
            self.care.close()
        return codes


def organisation(name, short="nieuwegein"):
    """A record of the demo's data by its name."""
    with open(os.path.join(HERE, "data", f"{short}.json"), encoding="utf-8") as file:
        return next(record for record in json.load(file) if record["body"].get("name") == name)


def json_values(value, names):
    """Every object of a document that has all of these members: their values, as tuples."""
    found = []
    if isinstance(value, dict):
        if all(name in value and not isinstance(value[name], (dict, list)) for name in names):
            found.append(tuple(value[name] for name in names))
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found += json_values(item, names)
    return found


def stay(demo, show):
    show.heading("The nodes stay up: Ctrl-C ends them")
    for node in demo.nodes.all:
        show.say(f"  {node.short:12} {node.url}/   kaartctl -c {node.config} peers")
    show.say(f"  kaartctl is {os.path.relpath(os.path.join(ROOT, os.environ.get('BUILD', 'build'), 'kaartctl'))}")
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    show.say("")


def main():
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    show, clean = Show(), True
    with Nodes() as nodes:
        demo = Demo(nodes, show)
        try:
            demo.run()
            if KEEP and not show.unexpected:
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
                stay(demo, show)
        except (Failed, subprocess.SubprocessError, kv.Refused, OSError) as failed:
            show.expect(False, str(failed))
        except KeyboardInterrupt:
            show.say("\n  interrupted")
            clean = False
        finally:
            try:
                codes = demo.close()
                show.expect(all(code == 0 for code in codes.values()), f"every node ended cleanly {codes}", silent=True)
            except Failed as failed:
                show.expect(False, str(failed))
    if show.unexpected:
        show.say("\n" + paint("31", f"{len(show.unexpected)} of {show.step} steps' expectations were not met:"))
        for what in show.unexpected:
            show.say("  " + what)
    elif clean:
        show.say("\n" + paint("1", f"All as expected, in {time.monotonic() - show.started:.0f} s; every node ended cleanly, nothing is left behind."))
    return 1 if show.unexpected or not clean else 0


if __name__ == "__main__":
    sys.exit(main())
