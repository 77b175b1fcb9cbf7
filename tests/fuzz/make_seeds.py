#!/usr/bin/python3
"""Writes seeds for the fuzz targets from spec/vectors: `make_seeds.py DIRECTORY` makes DIRECTORY/{entry,note,stream,proof}/*.

What fuzzing once found is kept beside this file, under seeds/.
"""
import base64
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load(name):
    with open(os.path.join(ROOT, "spec", "vectors", name), encoding="utf-8") as file:
        return json.load(file)


def decoded(cases, name):
    return [base64.b64decode(case[name]) for case in cases]


def entries():
    vectors = load("entries.json")
    return decoded(vectors["good"] + vectors["bad"], "line_base64")


def notes():
    vectors = load("notes.json")
    seeds = decoded(vectors["good"] + vectors["bad"], "note_base64") + [text.encode() for text in vectors["keys"]]
    seeds += [case["private"].encode() for case in vectors["signing"]]
    checkpoints = load("checkpoints.json")
    seeds += decoded(checkpoints["good"] + checkpoints["bad"], "note_base64")
    seeds += [note[:note.rindex(b"\n\n") + 1] for note in decoded(checkpoints["good"], "note_base64")]
    return seeds


def streams():
    vectors = load("streams.json")
    cases = vectors["good"] + vectors["bad"] + vectors["lies"]
    return [bytes([i]) + stream for i, stream in enumerate(decoded(cases, "stream_base64"))]


def siblings(prefix, path):
    return "".join(f"{prefix} {height} {base64.b64encode(bytes.fromhex(text)).decode()}\n"
                   for height, text in enumerate(path) if text != "0" * 64)


def claim(proof):
    return (f"kaartd-proof/v1\nposition {proof['position']}\nentry {proof['line']}\n"
            + siblings("sibling", proof["siblings"]) + "\n" + proof["checkpoint"]).encode()


def fork(proof):
    text = b"kaartd-fork/v1\n"
    for side in ("shorter", "longer"):
        note = base64.b64decode(proof[side]["note_base64"])
        text += b"%s %d\n%s" % (side.encode(), len(note), note)
    text += b"position %d\n" % proof["position"]
    for side in ("shorter", "longer"):
        text += f"{side}-leaf {base64.b64encode(bytes.fromhex(proof[side]['leaf'])).decode()}\n".encode()
        text += siblings(f"{side}-sibling", proof[side]["siblings"]).encode()
    return text


def proofs():
    return [claim(proof) for proof in load("feed.json")["proofs"]] + [fork(proof) for proof in load("forks.json")["proofs"]]


def main():
    for target, seeds in (("entry", entries()), ("note", notes()), ("stream", streams()), ("proof", proofs())):
        directory = os.path.join(sys.argv[1], target)
        os.makedirs(directory, exist_ok=True)
        for number, seed in enumerate(seeds):
            with open(os.path.join(directory, f"{number:03}"), "wb") as file:
                file.write(seed)


if __name__ == "__main__":
    main()
