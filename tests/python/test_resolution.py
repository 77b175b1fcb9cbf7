#!/usr/bin/env python3
"""10,000 generated sets of claims through both resolvers: the daemon's and the naive one. SEED=n repeats a run, CASES=n changes the number."""
import datetime
import json
import os
import random
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import naive_resolver  # noqa: E402
import tap  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
TOOL = os.path.join(ROOT, os.environ.get("BUILD", "build"), "tests", "tools", "resolve_claims")
ORIGINS = ["nieuwegein.example", "houten.example", "utrecht.example", "zorg.example"]
IDS = ["0b6e3a52-9a3c-4f64-8d0b-3a1f0e0c9a1%d" % i for i in range(4)]
AREAS = ["GM0356", "GM0321", "GM0344", "WK035601", "WK035602", "BU03560101", "BU03210203"]
FIELDS = ["name", "phones", "email", "status", "fees", "schedules", "addresses", "themes", "description", "x-own", "wijkteam naam"]


def some(random_, items, most):
    return sorted(random_.sample(items, random_.randint(0, min(most, len(items)))))


def policy(random_):
    text = "kaartd-policy/v1\n"
    places = [role + at for role in naive_resolver.ROLES for at in ("", "@home")]
    for group in naive_resolver.GROUPS:
        after = random_.choice(["never", "%dm" % random_.randint(1, 40), "%dd" % random_.randint(1, 900)])
        order = random_.sample(places, random_.randint(0, len(places)))
        text += f"group {group} stale-after={after} order={','.join(order) or '-'}\n"
    for origin in random_.sample(ORIGINS, random_.randint(1, len(ORIGINS))):
        areas = some(random_, AREAS + ["NL"], 3)
        roles = "*" if random_.random() < 0.6 else ",".join(some(random_, naive_resolver.ROLES, 5)) or "*"
        kinds = "*" if random_.random() < 0.8 else ",".join(some(random_, naive_resolver.KINDS, 8)) or "*"
        text += (f"origin {origin} areas={','.join(areas) or '-'} roles={roles} kinds={kinds} "
                 f"steward={random_.choice(['yes', 'no'])} suspended={random_.choice(['no'] * 7 + ['yes'])}\n")
    return text


def some_day(random_, spread=900):
    return (datetime.date(2026, 11, 21) + datetime.timedelta(random_.randint(-spread, 60))).isoformat()


def instant(random_):
    """Half of them from a few, so that ties are common."""
    of_day = some_day(random_) if random_.random() < 0.5 else random_.choice(["2026-11-01", "2026-06-01"])
    return f"{of_day}T0{random_.choice('001')}:00:00.000Z"


def body(random_, kind):
    result = {name: random_.choice([None, "a", "b", ["c"], 7]) for name in some(random_, FIELDS, 6)}
    if kind == "relation":
        result.update(type=random_.choice(["same-as", "not-same-as", "part-of"]), from_id=random_.choice(IDS), to_id=random_.choice(IDS))
    elif random_.random() < 0.6:
        result["organization_id"] = random_.choice(IDS[:2] + [None])
    if random_.random() < 0.5:
        result.update(pin_reason=random_.choice(["r", "r", "r", ""]), pin_expires=random_.choice([some_day(random_, 30), "soon"]))
    if random_.random() < 0.3:
        result["partial"] = True
    return result


def claim(random_, kind, ids, seq):
    result = {"feed": random_.choice(ORIGINS + ["stranger.example"]) + random_.choice(["/public", "/public-too"]), "seq": seq,
              "leaf": random_.choice(["00", "7f", "ff"]) * 32, "kind": kind, "id": random_.choice(ids),
              "source": random_.choice(["desk", "register", "pin-contact", "pin-identity", "pin-colour", "pin-description"]),
              "role": random_.choice(naive_resolver.ROLES + ["provider", "provider", "king"]), "at": instant(random_),
              "body": body(random_, kind)}
    if random_.random() < 0.7:
        result["areas"] = some(random_, AREAS, 3)
    if random_.random() < 0.4:
        result["verified"] = some_day(random_)
    if random_.random() < 0.2:
        result["missing_since"] = some_day(random_)
    if random_.random() < 0.4:
        result["confirmed"] = {"at": instant(random_)}
        if random_.random() < 0.7:
            result["confirmed"]["verified"] = some_day(random_)
        if random_.random() < 0.2:
            result["excepted"] = True
    if random_.random() < 0.6:
        result["on_behalf_of"] = random_.choice(IDS[:3])
    if random_.random() < 0.05:
        result["invalid"] = True
    return result


def case(seed):
    random_ = random.Random(seed)
    kind = random_.choice(["organization", "service", "service", "relation", "contract", "thing"])
    count = random_.choice([0, 1, 2, 3, 4, 5, 6, 8]) if random_.random() < 0.998 else 150
    claims = [claim(random_, kind, IDS[:1], seq) for seq in random_.sample(range(1000), count)]
    for item in claims[:100] if count > 100 else []:
        item["feed"] = ORIGINS[0] + "/public"  # more than one feed may have
    return {"policy": policy(random_), "day": some_day(random_, 60), "claims": claims}


def ask(cases):
    """What the daemon's resolver says."""
    text = "".join(json.dumps(item) + "\n" for item in cases)
    done = subprocess.run([TOOL], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.decode())
    return [json.loads(line) for line in done.stdout.splitlines()]


class Resolution(unittest.TestCase):
    @unittest.skipUnless(os.access(TOOL, os.X_OK), "needs the built tool")
    def test_vectors(self):
        """spec/vectors/resolution.json, through both."""
        with open(os.path.join(ROOT, "spec", "vectors", "resolution.json"), encoding="utf-8") as file:
            vectors = json.load(file)["vectors"]
        for item, got in zip(vectors, ask([item["case"] for item in vectors])):
            self.assertEqual(item["result"], got, item["what"])
            self.assertEqual(item["result"], naive_resolver.resolve(item["case"]), item["what"])

    @unittest.skipUnless(os.access(TOOL, os.X_OK), "needs the built tool")
    def test_both_resolvers_agree(self):
        seed, count = int(os.environ.get("SEED", "20261121")), int(os.environ.get("CASES", "10000"))
        cases = [case(seed + i) for i in range(count)]
        results = ask(cases)
        self.assertEqual(len(results), count)
        for i, (item, got) in enumerate(zip(cases, results)):
            if item["claims"]:
                self.assertEqual(naive_resolver.resolve(item), got, f"SEED={seed + i} CASES=1\n{json.dumps(item, indent=1)}")
            else:
                self.assertEqual(got["fields"], {})
        # The generator reaches every rule and every standing.
        rules = {field[1] for got in results for field in got["fields"].values()}
        standings = {standing for got in results for standing in got["standings"]}
        if count >= 10000:
            self.assertEqual(rules, {"only", "pin", "fresh", "rank", "later", "leaf", "feed"})
            self.assertEqual(len(standings), 13, standings)


if __name__ == "__main__":
    tap.main()
