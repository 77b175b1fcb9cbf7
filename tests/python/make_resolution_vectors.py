#!/usr/bin/env python3
"""Writes spec/vectors/resolution.json: the worked examples of spec/resolution.md as cases for a resolver, with what the naive one says.

Run it after a change of the specification; test_resolution.py then holds both resolvers against it.
"""
import copy
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import naive_resolver  # noqa: E402

OUT = os.path.join(HERE, "..", "..", "spec", "vectors", "resolution.json")
ORG = "a424e4a5-ab36-5115-8520-4271b5e989c2"
OTHER = "6bcee321-0bfc-5925-8166-0012c0c7f8f2"
SERVICE = "4e3070da-7fdc-5b99-a8d1-43d6b461191d"
NIEUWEGEIN, HOUTEN = "nieuwegein.example/public", "houten.example/public"
DEFAULTS = """kaartd-policy/v1
group identity stale-after=36m order=editor@home,contract@home,provider@home,coordinator@home,import@home,editor,contract,provider,coordinator,import,resident@home,resident
group place stale-after=24m order=provider@home,editor@home,coordinator@home,contract@home,import@home,provider,editor,coordinator,contract,import,resident@home,resident
group contact stale-after=18m order=provider@home,editor@home,coordinator@home,contract@home,import@home,provider,editor,coordinator,contract,import,resident@home,resident
group hours stale-after=12m order=provider@home,coordinator@home,editor@home,contract@home,import@home,provider,coordinator,editor,contract,import,resident@home,resident
group access stale-after=18m order=contract@home,editor@home,provider@home,coordinator@home,import@home,provider,contract,editor,coordinator,import,resident@home,resident
group description stale-after=24m order=editor@home,provider@home,coordinator@home,contract@home,import@home,provider,editor,coordinator,contract,import,resident@home,resident
group classification stale-after=36m order=editor@home,coordinator@home,contract@home,provider@home,import@home,editor,coordinator,contract,provider,import,resident@home,resident
group status stale-after=12m order=provider@home,editor@home,contract@home,coordinator@home,import@home,provider,editor,contract,coordinator,import,resident@home,resident
"""
ORIGINS = """origin nieuwegein.example areas=GM0356 roles=* kinds=* steward=yes suspended=no
origin houten.example areas=GM0321 roles=editor,provider,resident kinds=* steward=no suspended=no
"""
VECTORS = []


def claim(feed, role, at, body, **members):
    result = {"feed": feed, "seq": 0, "leaf": "%02x" % (len(body) + len(feed)) * 32, "kind": "organization",
              "id": ORG, "source": "desk", "role": role, "at": at + "T10:00:00.000Z", "areas": ["GM0356" if feed == NIEUWEGEIN else "GM0321"],
              "body": body}
    result.update(members)
    return {name: value for name, value in result.items() if value is not None}


def vector(what, claims, day="2026-11-21", policy=DEFAULTS + ORIGINS):
    claims = copy.deepcopy(claims)
    for seq, item in enumerate(claims):
        item["seq"] = seq
    case = {"policy": policy, "day": day, "claims": claims}
    VECTORS.append({"what": what, "case": case, "result": naive_resolver.resolve(case)})


def phones(number):
    return [{"number": "030 000 00 0%d" % number}]


def main():
    here = claim(NIEUWEGEIN, "editor", "2026-11-01", {"name": "De Brug", "phones": phones(1)})
    there = claim(HOUTEN, "editor", "2026-11-20", {"name": "Stichting De Brug", "phones": phones(2), "website": "https://brug.example"})
    provider = claim(NIEUWEGEIN, "provider", "2026-11-10", {"name": "Brug!", "phones": phones(3)}, source="brug", on_behalf_of=ORG)
    old = dict(here, at="2025-05-20T10:00:00.000Z")
    pin = claim(NIEUWEGEIN, "editor", "2026-11-02", {"phones": phones(4), "pin_reason": "called them", "pin_expires": "2026-11-30", "name": "x"},
                source="pin-contact")
    vector("two municipalities: the home of the record goes first", [here, there])
    vector("the order in which claims are handed in does not matter", [there, here])
    vector("the provider speaks, at home", [here, there, provider])
    vector("a provider elsewhere is weighed as a resident", [here, there, dict(provider, on_behalf_of=OTHER)])
    vector("fresh on the last day", [old, there], "2026-11-20")
    vector("stale the day after", [old, there])
    vector("a confirmation makes it fresh again", [dict(old, confirmed={"at": "2026-10-02T03:00:00.000Z", "verified": "2026-10-01"}), there])
    vector("a confirmation says nothing about what the register no longer lists",
           [dict(old, missing_since="2026-09-01", confirmed={"at": "2026-10-02T03:00:00.000Z", "verified": "2026-10-01"}), there])
    vector("a pin, on its last day", [here, there, provider, pin], "2026-11-30")
    vector("the pin has expired", [here, there, provider, pin], "2026-12-01")
    vector("a pin that is not a steward's", [here, there, dict(pin, feed=HOUTEN, areas=["GM0321"])])
    vector("`verified` after `at` gains nothing", [here, dict(there, verified="9999-12-31")])
    vector("a claim of tomorrow", [here, dict(there, at="2026-11-22T00:00:00.000Z")])
    vector("the day has come", [here, dict(there, at="2026-11-22T00:00:00.000Z")], "2026-11-22")
    vector("naming another's area beside one's own does not make it home", [here, dict(there, areas=["GM0321", "GM0356"])])
    vector("naming only another's area does not count", [here, dict(there, areas=["GM0356"])])
    vector("null says: has none", [dict(here, body={"name": "De Brug", "phones": None}), there])
    vector("without areas: counts, but is nobody's home", [dict(here, areas=None), dict(there, areas=None)])
    vector("equal in all but the leaf", [dict(here, leaf="11" * 32), dict(here, leaf="22" * 32, source="other")])
    vector("equal in all but the feed's name",
           [dict(here, areas=[], leaf="11" * 32), dict(there, areas=[], at=here["at"], leaf="11" * 32)])
    vector("a neighbourhood's origin is nearer than the municipality's",
           [here, claim("wijk.example/public", "editor", "2026-11-03", {"name": "Wijknaam"}, areas=["BU03560101"])],
           policy=DEFAULTS + ORIGINS + "origin wijk.example areas=BU03560101 roles=* kinds=* steward=no suspended=no\n")
    vector("a suspended origin", [here, there], policy=DEFAULTS + ORIGINS.replace("steward=no suspended=no", "steward=no suspended=yes"))
    service = {"kind": "service", "id": SERVICE}
    vector("a provider does not take over a service by saying that it is its own",
           [claim(NIEUWEGEIN, "editor", "2026-11-01", {"name": "Maaltijden", "organization_id": ORG}, **service),
            claim(NIEUWEGEIN, "provider", "2026-11-20", {"name": "Kaper", "organization_id": OTHER}, source="kaper", on_behalf_of=OTHER, **service)])
    vector("what nobody else has: the provider's own word",
           [claim(NIEUWEGEIN, "provider", "2026-11-20", {"name": "Maaltijden", "organization_id": ORG}, source="brug", on_behalf_of=ORG, **service)])
    relation = {"kind": "relation", "id": "e0d871d0-9dea-5677-b789-48fc5b76fd2d"}
    pair = {"from_id": "00000000-0000-0000-0000-000000000001", "to_id": "00000000-0000-0000-0000-000000000002"}
    vector("only stewards link",
           [claim(NIEUWEGEIN, "editor", "2026-11-01", dict(pair, type="same-as"), **relation),
            claim(HOUTEN, "editor", "2026-11-02", dict(pair, type="not-same-as"), **relation),
            claim(HOUTEN, "editor", "2026-11-03", dict(pair, type="part-of"), source="two", **relation)])
    with open(OUT, "w", encoding="utf-8") as file:
        json.dump({"vectors": VECTORS}, file, indent=1, ensure_ascii=False)
        file.write("\n")
    print(f"{len(VECTORS)} vectors")


if __name__ == "__main__":
    main()
