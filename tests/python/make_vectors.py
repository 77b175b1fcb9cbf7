#!/usr/bin/env python3
"""Writes spec/vectors/{entries,trees,notes,checkpoints,streams,forks,proofs}.json; the same bytes every time.

    make_vectors.py            writes them
    make_vectors.py --check    fails if what is there differs
"""
import base64
import hashlib
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import kaartd_verify as kv  # noqa: E402
from feedkit import Publisher, SigningKey, checkpoint_text, control, next_line, sign  # noqa: E402

VECTORS = os.path.join(HERE, "..", "..", "spec", "vectors")
FEED = "houten.example/public"


def seed(label):
    return hashlib.sha256(b"kaartd vectors, not a secret: " + label.encode()).digest()


KEY = SigningKey(FEED, seed("houten"))
NEXT = SigningKey(FEED, seed("houten, the next key"))
STRANGER = SigningKey(FEED, seed("somebody else under the same name"))
OTHER = SigningKey("ijsselstein.example/public", seed("ijsselstein"))


def b64(data):
    return base64.b64encode(data).decode()


# ---- entries ----

def entries():
    base = ('{"seq":7,"op":"assert","kind":"organization","id":"0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e","source":"editor-desk",'
            '"role":"editor","at":"2026-11-21T19:04:05.123Z","body":{"name":"Wijkcentrum"}}')

    def body(text):
        return base.replace('{"name":"Wijkcentrum"}', text)

    def swap(old, new):
        assert old in base
        return base.replace(old, new)

    good = [
        ("the least that an assert can be", body("{}")),
        ("a body", base),
        ("spaces between tokens", base.replace(",", " , ").replace(":{", " : { ")),
        ("every optional member", swap('"body"', '"verified":"2026-11-01","missing_since":"2026-11-20","areas":["GM0356","WK035601","BU03560101"],'
                                       '"on_behalf_of":"7c240d49-69d4-95dd-8135-5c53f0e642f4","salt":"00112233445566778899aabbccddeeff","body"')),
        ("no areas", swap('"body"', '"areas":[],"body"')),
        ("retract", swap('"assert"', '"retract"').replace(',"body":{"name":"Wijkcentrum"}', "")),
        ("erase", swap('"assert"', '"erase"').replace(',"body":{"name":"Wijkcentrum"}', "")),
        ("members in another order", '{"body":{},"at":"2026-11-21T19:04:05.123Z","role":"editor","source":"s","id":"0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e",'
                                     '"kind":"k","op":"assert","seq":0}'),
        ("unknown kind and role", swap('"organization"', '"kind-of-the-future"').replace('"editor"', '"oracle_9"')),
        ("unknown members", swap('"body"', '"x_origin":{"a":[1,null,true]},"y":"\\u0041","body"')),
        ("the last position", swap('"seq":7', '"seq":1099511627775')),
        ("integers at the edge", body('{"a":9007199254740992,"b":-9007199254740992,"c":-0}')),
        ("numbers that are no integers", body('{"a":1.5,"b":-0.0,"c":1e3,"d":1E-400,"e":1.7976931348623157e308}')),
        ("every escape", body('{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\uDE00"}')),
        ("characters of four bytes, and U+FFFF", body('{"a":"\U0001F9D1\u200D\U0001F9BD \uFFFF \U0010FFFF"}')),
        ("DEL and C1 are no JSON control characters", body('{"a":"\x7f\x85"}')),
        ("names that differ in case only", body('{"a":1,"A":2}')),
        ("the same name in two objects", body('{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}')),
        ("depth 32", body('{"a":' + "[" * 30 + "]" * 30 + "}")),
        ("1,024 members", body("{" + ",".join(f'"m{i}":0' for i in range(1024)) + "}")),
        ("65,536 bytes", body('{"a":"' + "x" * (65536 - len(body('{"a":""}'))) + '"}')),
        ("the first and the last day", swap("2026-11-21T19:04:05.123Z", "0001-01-01T00:00:00.000Z")
         .replace('"body"', '"verified":"9999-12-31","body"')),
        ("29 February of a leap year", swap("2026-11-21T19", "2028-02-29T19")),
    ]
    bad = [
        ("JSON-1", "an overlong form", body('{"a":"~"}').encode().replace(b"~", b"\xc0\xaf")),
        ("JSON-1", "an encoded surrogate", body('{"a":"~"}').encode().replace(b"~", b"\xed\xa0\x80")),
        ("JSON-1", "beyond U+10FFFF", body('{"a":"~"}').encode().replace(b"~", b"\xf4\x90\x80\x80")),
        ("JSON-1", "a sequence that is cut short", body('{"a":"~"}').encode().replace(b"~", b"\xe2\x82")),
        ("JSON-1", "a byte that never occurs", body('{"a":"~"}').encode().replace(b"~", b"\xff")),
        ("JSON-2", "a high surrogate alone", body('{"a":"\\ud83d"}')),
        ("JSON-2", "a low surrogate alone", body('{"a":"\\ude00"}')),
        ("JSON-2", "a pair the wrong way round", body('{"a":"\\ude00\\ud83d"}')),
        ("JSON-2", "something between a pair", body('{"a":"\\ud83dx\\ude00"}')),
        ("JSON-2", "a high surrogate before another escape", body('{"a":"\\ud83d\\u0041"}')),
        ("JSON-3", "NUL by escape", body('{"a":"\\u0000"}')),
        ("JSON-4", "a raw line feed in a string", body('{"a":"x\ny"}')),
        ("JSON-4", "a NUL byte", body('{"a":"x\0y"}')),
        ("JSON-4", "a tab between tokens", body('{"a":\t1}')),
        ("JSON-4", "a carriage return before the end", body('{"a":1}\r')),
        ("JSON-5", "a duplicate member", swap('"op"', '"seq":7,"op"')),
        ("JSON-5", "a duplicate member deep inside", body('{"a":[{"b":{"c":1,"d":2,"c":1}}]}')),
        ("JSON-5", "a duplicate by escape", body('{"caf\u00e9":1,"caf\\u00e9":2}')),
        ("JSON-5", "an empty name twice", body('{"":1,"":2}')),
        ("JSON-5", "a duplicate among many", body("{" + ",".join(f'"m{i}":0' for i in range(900)) + ',"m450":1}')),
        ("JSON-6", "depth 33", body('{"a":' + "[" * 31 + "]" * 31 + "}")),
        ("JSON-7", "1,025 members", body("{" + ",".join(f'"m{i}":0' for i in range(1025)) + "}")),
        ("JSON-8", "an integer beyond 2^53", body('{"a":9007199254740993}')),
        ("JSON-8", "an integer of many digits", body('{"a":-' + "9" * 300 + "}")),
        ("JSON-8", "a number beyond a double", body('{"a":1e400}')),
        ("JSON-8", "a number that rounds beyond a double", body('{"a":1.7976931348623159e308}')),
        ("JSON-8", "a leading zero", body('{"a":01}')),
        ("JSON-8", "a leading plus", body('{"a":+1}')),
        ("JSON-8", "a point without digits", body('{"a":1.}')),
        ("JSON-8", "no digits before the point", body('{"a":.5}')),
        ("JSON-8", "NaN", body('{"a":NaN}')),
        ("JSON-8", "hexadecimal", body('{"a":0x10}')),
        ("JSON-9", "a space before", " " + base),
        ("JSON-9", "a space behind", base + " "),
        ("JSON-9", "a byte order mark", "\ufeff" + base),
        ("JSON-9", "an array", "[" + base + "]"),
        ("JSON-9", "two objects", base + base),
        ("JSON-9", "nothing", ""),
        ("JSON-9", "cut short", base[:-1]),
        ("JSON-9", "a comma before the brace", body('{"a":1,}')),
        ("JSON-9", "single quotes", body("{'a':1}")),
        ("JSON-9", "a comment", body('{"a":1/* */}')),
        ("JSON-9", "an unknown escape", body('{"a":"\\x41"}')),
        ("JSON-9", "True", body('{"a":True}')),
        ("JSON-10", "65,537 bytes", body('{"a":"' + "x" * (65537 - len(body('{"a":""}'))) + '"}')),
        ("ENTRY-2", "an escape in an envelope's name", swap('"source"', '"s\\u006furce"')),
        ("ENTRY-2", "a control member by escape", swap('"body"', '"ne\\u0078t":1,"body"')),
        ("ENTRY-2", "an escape in an envelope's value", swap('"editor"', '"\\u0065ditor"')),
        ("ENTRY-2", "an escape in an area", swap('"body"', '"areas":["\\u0047M0356"],"body"')),
        ("ENTRY-3", "seq as a string", swap('"seq":7', '"seq":"7"')),
        ("ENTRY-3", "seq negative", swap('"seq":7', '"seq":-7')),
        ("ENTRY-3", "seq minus zero", swap('"seq":7', '"seq":-0')),
        ("ENTRY-3", "seq with a fraction", swap('"seq":7', '"seq":7.0')),
        ("ENTRY-3", "seq with an exponent", swap('"seq":7', '"seq":7e0')),
        ("ENTRY-3", "seq of 2^40", swap('"seq":7', '"seq":1099511627776')),
        ("ENTRY-3", "seq null", swap('"seq":7', '"seq":null')),
    ]
    for name in ("seq", "op", "kind", "id", "source", "role", "at"):
        bad.append(("ENTRY-4", f"without {name}", swap(f'"{name}":', f'"x{name}":')))
    bad += [("ENTRY-4", f"{what}", swap(old, new)) for what, old, new in (
        ("kind with a capital", '"organization"', '"Organization"'),
        ("kind that begins with a digit", '"organization"', '"1st"'),
        ("kind of 33 bytes", '"organization"', '"' + "k" * 33 + '"'),
        ("kind empty", '"organization"', '""'),
        ("kind no string", '"organization"', '["organization"]'),
        ("id with a capital", "0b6e7a52", "0B6e7a52"),
        ("id in braces", '"0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e"', '"{0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e}"'),
        ("id without hyphens", "0b6e7a52-6d8a-5c3e-9f55-1f0a2b3c4d5e", "0b6e7a526d8a5c3e9f551f0a2b3c4d5e"),
        ("source with a space", '"editor-desk"', '"editor desk"'),
        ("role null", '"role":"editor"', '"role":null'),
        ("at without milliseconds", "19:04:05.123Z", "19:04:05Z"),
        ("at with microseconds", "19:04:05.123Z", "19:04:05.123456Z"),
        ("at with an offset", "19:04:05.123Z", "19:04:05.123+01:00"),
        ("at in lower case", "19:04:05.123Z", "19:04:05.123z"),
        ("at on 31 November", "2026-11-21", "2026-11-31"),
        ("at on 29 February of a common year", "2026-11-21", "2026-02-29"),
        ("at in the year 0", "2026-11-21", "0000-11-21"),
        ("at 24 o'clock", "T19:04:05", "T24:00:00"),
        ("at a leap second", "T19:04:05", "T23:59:60"),
        ("verified as an instant", '"body"', '"verified":"2026-11-21T00:00:00.000Z","body"'),
        ("verified null", '"body"', '"verified":null,"body"'),
        ("verified an impossible day", '"body"', '"verified":"2026-02-30","body"'),
        ("missing_since as a number", '"body"', '"missing_since":20261120,"body"'),
        ("areas as a string", '"body"', '"areas":"GM0356","body"'),
        ("areas with a number", '"body"', '"areas":["GM0356",356],"body"'),
        ("areas with three digits", '"body"', '"areas":["GM356"],"body"'),
        ("areas of another kind", '"body"', '"areas":["PV0026"],"body"'),
        ("areas in an array in the array", '"body"', '"areas":[["GM0356"]],"body"'),
        ("on_behalf_of no UUID", '"body"', '"on_behalf_of":"kvk:12345678","body"'),
        ("salt too short", '"body"', '"salt":"00112233445566778899aabbccddee","body"'),
        ("salt in capitals", '"body"', '"salt":"00112233445566778899AABBCCDDEEFF","body"'),
        ("body as an array", '{"name":"Wijkcentrum"}', '[]'),
        ("body null", '{"name":"Wijkcentrum"}', 'null'),
    )]
    bad += [
        ("ENTRY-5", "an unknown op", swap('"assert"', '"delete"')),
        ("ENTRY-5", "an op in capitals", swap('"assert"', '"ASSERT"')),
        ("ENTRY-5", "assert without body", swap(',"body":{"name":"Wijkcentrum"}', "")),
        ("ENTRY-5", "retract with body", swap('"assert"', '"retract"')),
        ("ENTRY-5", "erase with body", swap('"assert"', '"erase"')),
        ("ENTRY-6", "a member named next", swap('"body"', '"next":8,"body"')),
        ("ENTRY-6", "a member named checkpoint", swap('"body"', '"checkpoint":null,"body"')),
    ]
    out = {"good": [], "bad": []}
    for what, text in good:
        line = text.encode()
        entry = kv.parse_entry(line)
        out["good"].append({"what": what, "line_base64": b64(line), "seq": entry.seq, "op": entry.op, "kind": entry.kind, "id": entry.id,
                            "source": entry.source, "role": entry.role, "at": entry.at, "leaf": entry.leaf.hex()})
    for clause, what, text in bad:
        out["bad"].append({"what": what, "clause": clause, "line_base64": b64(text if isinstance(text, bytes) else text.encode())})
    return out


# ---- trees ----

def leaf(position, version=0):
    return kv.leaf_hash(b"leaf %d version %d" % (position, version))


def trees():
    top = 2 ** 40 - 1
    shapes = [
        ("empty", []), ("one at 0", [0]), ("one at the last position", [top]), ("both ends", [0, top]),
        ("the two sides of the root", [2 ** 39 - 1, 2 ** 39]),
        ("one under each height of 8", [0, 2 ** 8, 2 ** 16, 2 ** 24, 2 ** 32]),
        ("a full node of height 8", list(range(256))),
        ("all but one of a node of height 8", [i for i in range(256) if i != 100]),
        ("around the border of a node of height 16", [65535, 65536]),
        ("every 257th", [i * 257 for i in range(60)]),
        ("powers of two", [2 ** i for i in range(40)]),
    ]
    out = {"leaf": "SHA-256(0x00 || the text 'leaf P version V'), with P and V in decimal", "trees": [], "changes": []}
    for what, positions in shapes:
        leaves = {position: leaf(position) for position in positions}
        asked = sorted({*positions[:1], *positions[-1:], 1, top - 1})
        out["trees"].append({"what": what, "positions": positions, "version": 0, "root": kv.tree_root(leaves).hex(),
                             "paths": [{"position": position, "siblings": [s.hex() for s in kv.tree_path(leaves, position)]}
                                       for position in asked]})
    leaves = {}
    steps = [
        ("ten begin", [(i, 0) for i in range(10)]), ("one changes", [(3, 1)]), ("one dies", [(4, None)]),
        ("many far apart", [(2, 2), (300, 0), (70000, 0), (2 ** 30, 0), (top, 0)]),
        ("the far ones die", [(70000, None), (2 ** 30, None), (top, None)]),
        ("one that was not there dies", [(5000, None)]), ("nothing", []),
        ("all die", [(i, None) for i in (0, 1, 2, 3, 5, 6, 7, 8, 9, 300)]),
    ]
    for what, changes in steps:
        for position, version in changes:
            leaves.pop(position, None)
            if version is not None:
                leaves[position] = leaf(position, version)
        out["changes"].append({"what": what, "root": kv.tree_root(leaves).hex(),
                               "changes": [{"position": p, "version": v} for p, v in changes]})
    return out


# ---- notes ----

def notes():
    text = "a text\nof two lines\n".encode()
    keys = [KEY, NEXT]
    line = KEY.signature(text)
    stranger = STRANGER.signature(text)
    other = OTHER.signature(text)
    wrong = line.replace(line.split()[-1], b64(KEY.verifier.hash + bytes(64)).encode())

    def unknown(name, size=68):
        return f"\u2014 {name} {b64(bytes(size))}\n".encode()

    good = [
        ("one signature", text + b"\n" + line, [0]),
        ("two known signatures", sign(text, KEY, NEXT), [0, 1]),
        ("two signatures, one of them known", sign(text, KEY, NEXT), [1]),
        ("an unknown key first", text + b"\n" + other + line, [0]),
        ("the known name with another hash", text + b"\n" + stranger + line, [0]),
        ("the known hash under another name", text + b"\n" + KEY.signature(text, "zeist.example/public") + line, [0]),
        ("an unknown key of another algorithm, 5 bytes", text + b"\n" + unknown("witness.example", 5) + line, [0]),
        ("an unknown key's name in other letters", text + b"\n" + unknown("w\u00eftness/\u7b7e") + line, [0]),
        ("16 signatures", text + b"\n" + b"".join(unknown(f"w{i}.example") for i in range(15)) + line, [0]),
        ("an empty line in the text", sign(b"above\n\nbelow\n", KEY), [0]),
        ("a text that looks like a signature", sign(b"head\n\n" + line, KEY), [0]),
        ("8,192 bytes", sign(b"x" * (8192 - 1 - 1 - len(line)) + b"\n", KEY), [0]),
    ]
    bad = [
        ("NOTE-1", "8,193 bytes", sign(b"x" * (8193 - 1 - 1 - len(line)) + b"\n", KEY), [0]),
        ("NOTE-1", "a tab, signed", sign(b"a\ttext\n", KEY), [0]),
        ("NOTE-1", "a carriage return, signed", sign(b"a text\r\n", KEY), [0]),
        ("NOTE-1", "a NUL, signed", sign(b"a\0text\n", KEY), [0]),
        ("NOTE-1", "DEL, signed", sign(b"a\x7ftext\n", KEY), [0]),
        ("NOTE-1", "invalid UTF-8, signed", sign(b"a\xfftext\n", KEY), [0]),
        ("NOTE-1", "no LF at the end", sign(text, KEY)[:-1], [0]),
        ("NOTE-1", "cut in the middle of a signature", sign(text, KEY)[:-30], [0]),
        ("NOTE-1", "empty", b"", [0]),
        ("NOTE-2", "no empty line", text + line, [0]),
        ("NOTE-2", "only a signature", b"\n" + KEY.signature(b""), [0]),
        ("NOTE-3", "no signatures", text + b"\n", [0]),
        ("NOTE-3", "17 signatures", text + b"\n" + b"".join(unknown(f"w{i}.example") for i in range(16)) + line, [0]),
        ("NOTE-3", "a hyphen instead of the dash", text + b"\n" + line.replace("\u2014".encode(), b"-"), [0]),
        ("NOTE-3", "an unknown line that is malformed", text + b"\n" + b"something else\n" + line, [0]),
        ("NOTE-3", "two spaces", text + b"\n" + line.replace(b" ", b"  ", 1), [0]),
        ("NOTE-3", "a space at the end", text + b"\n" + line[:-1] + b" \n", [0]),
        ("NOTE-3", "an empty name", text + b"\n" + unknown("") + line, [0]),
        ("NOTE-3", "a plus in a name", text + b"\n" + unknown("a+b") + line, [0]),
        ("NOTE-3", "an unknown signature of 4 bytes", text + b"\n" + unknown("witness.example", 4) + line, [0]),
        ("NOTE-3", "an unknown signature that is no base64", text + b"\n" + "\u2014 witness.example AAAA*AAA\n".encode() + line, [0]),
        ("NOTE-3", "base64 without padding", text + b"\n" + line.replace(b"=\n", b"\n"), [0]),
        ("NOTE-3", "base64 with spare bits", text + b"\n" + spare_bits(line), [0]),
        ("NOTE-5", "a wrong signature", text + b"\n" + wrong, [0]),
        ("NOTE-5", "a wrong signature beside a right one", text + b"\n" + wrong + NEXT.signature(text), [0, 1]),
        ("NOTE-5", "a known key's signature cut to 60 bytes", text + b"\n" + f"\u2014 {FEED} {b64(KEY.verifier.hash + bytes(60))}\n".encode(), [0]),
        ("NOTE-5", "one letter of the text changed", sign(text, KEY).replace(b"two", b"too"), [0]),
        ("NOTE-5", "a line added to the text", b"more\n" + sign(text, KEY), [0]),
        ("NOTE-6", "a known key twice", text + b"\n" + line + line, [0]),
        ("NOTE-7", "an unknown key only", text + b"\n" + other, [0]),
        ("NOTE-7", "the same name, another key", text + b"\n" + stranger, [0]),
        ("NOTE-7", "no keys", text + b"\n" + line, []),
    ]
    key = str(KEY.verifier)
    name, hash_, data = key.split("+", 2)
    wrong_algorithm = b64(b"\x02" + KEY.verifier.public)
    key_texts = [
        ("the hash mistyped", f"{name}+{'0' if hash_[0] != '0' else '1'}{hash_[1:]}+{data}"),
        ("the hash in capitals", f"{name}+{hash_.upper()}+{data}"),
        ("a letter of the key changed", f"{name}+{hash_}+{data[:10]}{'A' if data[10] != 'A' else 'B'}{data[11:]}"),
        ("another name", f"utrecht.example/public+{hash_}+{data}"),
        ("a name that is no feed", f"houten.example+{kv.key_hash('houten.example', KEY.verifier.public).hex()}+{data}"),
        ("another algorithm", f"{name}+{hash_}+{wrong_algorithm}"),
        ("cut short", key[:-4]), ("a space behind", key + " "), ("the private key", str(KEY)), ("empty", ""),
    ]
    return {
        "keys": [str(item.verifier) for item in keys],
        "signing": [{"seed": item.seed.hex(), "private": str(item), "public": str(item.verifier), "text_base64": b64(text),
                     "note_base64": b64(sign(text, item))} for item in (KEY, NEXT, OTHER)],
        "bad_keys": [{"what": what, "text": bad_text} for what, bad_text in key_texts],
        "good": [{"what": what, "keys": used, "note_base64": b64(note), "text_base64": b64(note[:note.rindex(b"\n\n") + 1])}
                 for what, note, used in good],
        "bad": [{"what": what, "clause": clause, "keys": used, "note_base64": b64(note)} for clause, what, note, used in bad],
    }


def spare_bits(line):
    """The last digit before the padding with a bit set that belongs to no byte."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = line.decode()
    at = text.rindex("=") - 1
    return (text[:at] + digits[digits.index(text[at]) + 1] + text[at + 1:]).encode()


# ---- checkpoints ----

def checkpoints():
    root = kv.tree_root({0: leaf(0)})
    base = dict(feed=FEED, epoch=1763751600, size=10, live=5, floor=2, root=root, time="2026-11-21T19:04:06Z")

    def make(**changed):
        return checkpoint_text(**{**base, **changed})

    text = make()
    good = [
        ("an ordinary one", make()), ("an empty feed", make(size=0, live=0, floor=0, root=kv.ZERO)),
        ("nothing live", make(live=0, floor=10, root=kv.ZERO)), ("everything live", make(live=10)),
        ("the greatest numbers", make(epoch=2 ** 53, size=2 ** 40, live=2 ** 40, floor=2 ** 40)),
        ("epoch 0", make(epoch=0)),
    ]
    bad = [
        ("CP-1", "another version", text.replace(b"/v1", b"/v2")), ("CP-1", "a line more", text + b"extra 1\n"),
        ("CP-1", "a line less", text[:text.rindex(b"time")]), ("CP-1", "two lines exchanged", text.replace(b"size 10\nlive 5", b"live 5\nsize 10")),
        ("CP-1", "two spaces", text.replace(b"size 10", b"size  10")), ("CP-1", "a space behind", text.replace(b"size 10", b"size 10 ")),
        ("CP-1", "a leading zero", text.replace(b"size 10", b"size 010")), ("CP-1", "a sign", text.replace(b"size 10", b"size +10")),
        ("CP-1", "negative", text.replace(b"live 5", b"live -5")), ("CP-1", "an empty number", text.replace(b"floor 2", b"floor ")),
        ("CP-1", "a size beyond 2^40", make(size=2 ** 40 + 1)), ("CP-1", "a number beyond 64 bits", text.replace(b"size 10", b"size 18446744073709551626")),
        ("CP-1", "a root of 31 bytes", make(root=bytes(range(31)))), ("CP-1", "a root of 33 bytes", make(root=bytes(range(33)))),
        ("CP-1", "a root in hex", text.replace(b64(root).encode(), root.hex().encode())),
        ("CP-1", "a time with milliseconds", make(time="2026-11-21T19:04:06.000Z")), ("CP-1", "a time without Z", make(time="2026-11-21T19:04:06")),
        ("CP-1", "an impossible time", make(time="2026-11-21T19:60:06Z")), ("CP-1", "an impossible day", make(time="2026-02-29T19:00:06Z")),
        ("CP-1", "an upper-case label", text.replace(b"size", b"Size")), ("CP-1", "an empty text line", text.replace(b"\nlive", b"\n\nlive")),
        ("CP-2", "more live than positions", make(live=11)), ("CP-2", "a floor beyond the size", make(floor=11)),
        ("CP-2", "nothing live, but a root", make(live=0)), ("CP-2", "something live, but no root", make(root=kv.ZERO)),
        ("CP-3", "another feed's name", make(feed="ijsselstein.example/public")), ("CP-3", "another audience", make(feed="houten.example/professionals")),
        ("CP-1", "a feed in capitals", make(feed="Houten.example/public")), ("CP-1", "a feed without audience", make(feed="houten.example")),
    ]
    held = dict(base, size=100, live=50, floor=10)
    other_root = kv.tree_root({1: leaf(1)})
    later, earlier = "2026-11-21T20:04:06Z", "2026-11-21T18:04:06Z"
    relations = [
        ("the same", {}, "same"), ("a heartbeat", dict(time=later), "heartbeat"), ("an older heartbeat", dict(time=earlier), "behind"),
        ("grown", dict(size=101, live=51, root=other_root, time=later), "newer"),
        ("grown within the second", dict(size=101, live=51, root=other_root), "newer"),
        ("grown by a burnt position", dict(size=101, floor=100, live=40, root=other_root, time=later), "newer"),
        ("grown, floor beyond what is held", dict(size=200, floor=101, root=other_root, time=later), "full"),
        ("a higher epoch", dict(epoch=base["epoch"] + 1, size=1, live=1, floor=0, time=earlier), "full"),
        ("a lower epoch, longer and later", dict(epoch=base["epoch"] - 1, size=500, time=later), "behind"),
        ("smaller and earlier", dict(size=90, live=45, root=other_root, time=earlier), "behind"),
        ("smaller at the same second", dict(size=90, live=45, root=other_root), "behind"),
        ("smaller and later", dict(size=90, live=45, root=other_root, time=later), "fork"),
        ("smaller, with a greater floor", dict(size=90, live=45, floor=11, root=other_root, time=earlier), "fork"),
        ("another root at one size", dict(root=other_root), "fork"), ("another root at one size, later", dict(root=other_root, time=later), "fork"),
        ("another count at one size", dict(live=49), "fork"), ("another floor at one size", dict(floor=11, time=later), "fork"),
        ("grown, but earlier", dict(size=101, time=earlier), "fork"), ("grown, but the floor fell", dict(size=101, floor=9, time=later), "fork"),
    ]
    return {
        "feed": FEED, "keys": [str(KEY.verifier)],
        "good": [{"what": what, "note_base64": b64(sign(item, KEY)), **describe(item)} for what, item in good],
        "bad": [{"what": what, "clause": clause, "note_base64": b64(sign(item, KEY))} for clause, what, item in bad],
        "relations": [{"what": what, "held_base64": b64(sign(checkpoint_text(**held), KEY)),
                       "offered_base64": b64(sign(checkpoint_text(**{**held, **changed}), KEY)), "expect": expect}
                      for what, changed, expect in relations],
    }


def describe(text):
    c = kv.parse_checkpoint(text)
    return {"epoch": c.epoch, "size": c.size, "live": c.live, "floor": c.floor, "root": c.root.hex(), "time": c.time}


# ---- streams ----

def publisher(count=5, key=KEY):
    made = Publisher(key)
    for record in range(count):
        made.add(record=record)
    return made


def streams():
    feed = publisher()
    note = feed.note()
    lines = [line + b"\n" for line in feed.lines()]
    end = control(note)
    whole = b"".join(lines) + end
    spaced = b'{ "checkpoint" : ' + json.dumps(note.decode()).encode() + b" }\n"
    good = [
        ("all, to the head", 0, whole, 5, None), ("from 3", 3, b"".join(lines[3:]) + end, 2, None),
        ("nothing new", 5, end, 0, None), ("a page", 0, b"".join(lines[:2]) + next_line(2), 2, 2),
        ("the checkpoint written with escapes and spaces", 5, spaced, 0, None),
        ("a page with a gap", 0, lines[0] + lines[4] + next_line(5), 2, 5),
    ]
    earlier = feed.line(seq=5, record=9, at="2020-01-01T00:00:00.000Z") + b"\n"
    bad = [
        ("STREAM-1", "the last line without LF", 0, whole[:-1]), ("STREAM-1", "cut in the middle of an entry", 0, whole[:700]),
        ("STREAM-1", "empty", 0, b""), ("JSON-9", "an empty line", 0, lines[0] + b"\n" + end), ("JSON-9", "LF alone", 0, b"\n"),
        ("JSON-4", "CR LF", 0, whole.replace(b"\n", b"\r\n")), ("STREAM-8", "no control line", 0, b"".join(lines)),
        ("STREAM-8", "an entry behind the checkpoint", 0, whole + lines[0]), ("STREAM-8", "two checkpoints", 0, whole + end),
        ("STREAM-8", "an empty line behind the checkpoint", 0, whole + b"\n"),
        ("STREAM-8", "a checkpoint behind next", 0, lines[0] + next_line(1) + end),
        ("STREAM-3", "two entries exchanged", 0, lines[1] + lines[0] + b"".join(lines[2:]) + end),
        ("STREAM-3", "an entry twice", 0, lines[0] + lines[0] + b"".join(lines[1:]) + end),
        ("STREAM-3", "an entry below since", 3, b"".join(lines[2:]) + end), ("STREAM-3", "a time that goes back", 0, b"".join(lines) + earlier + end),
        ("STREAM-5", "next beyond the last", 0, lines[0] + next_line(2)), ("STREAM-5", "next at the last", 0, lines[0] + next_line(0)),
        ("STREAM-5", "next without an entry", 0, next_line(0)), ("STREAM-5", "next as a string", 0, lines[0] + b'{"next":"1"}\n'),
        ("STREAM-5", "next with a fraction", 0, lines[0] + b'{"next":1.0}\n'),
        ("STREAM-2", "a checkpoint that is no string", 5, b'{"checkpoint":null}\n'),
        ("ENTRY-6", "a control line with two members", 5, end[:-2] + b',"next":5}\n'),
        ("ENTRY-6", "a control line with an unknown member", 5, end[:-2] + b',"more":true}\n'),
        ("ENTRY-4", "an empty object", 5, b"{}\n"), ("ENTRY-2", "next by escape", 0, lines[0] + b'{"ne\\u0078t":1}\n'),
        ("JSON-10", "a line without end", 0, b'{"' + b"x" * 70000),
    ]
    rest = b"".join(lines[1:])
    foreign = publisher(key=OTHER)
    other_feed = Publisher(SigningKey("houten.example/professionals", KEY.seed))
    for record in range(5):
        other_feed.add(record=record)
    beyond = feed.line(seq=5, record=5) + b"\n"
    lies = [
        ("SYNC-4", "one letter changed", whole.replace(b"rbeeld 2", b"rbeeld 3")), ("SYNC-4", "an entry left out", b"".join(lines[:2] + lines[3:]) + end),
        ("SYNC-4", "the last entry left out", b"".join(lines[:4]) + end), ("SYNC-4", "everything left out", end),
        ("STREAM-4", "an entry invented at the end", b"".join(lines) + beyond + end),
        ("SYNC-4", "a space added", whole.replace(b'"body":', b'"body": ', 1)),
        ("NOTE-5", "a letter of the checkpoint changed", b"".join(lines) + control(note.replace(b"live 5", b"live 4"))),
        ("NOTE-7", "signed by another key of that name", b"".join(lines) + control(sign(feed.text(), STRANGER))),
        ("NOTE-7", "another origin's feed", b"".join(line + b"\n" for line in foreign.lines()) + control(foreign.note())),
        ("CP-3", "another audience of this origin, signed with this key", b"".join(lines) + control(sign(other_feed.text(), KEY))),
        ("SYNC-4", "an entry replaced by one that the origin never signed", lines[0].replace(b"editor-desk", b"vandalism") + rest + end),
        ("STREAM-5", "it goes on for ever", b"".join(lines) + next_line(5)),
    ]
    return {
        "feed": FEED, "keys": [str(KEY.verifier)],
        "good": [{"what": what, "since": since, "entries": count, "next": following, "stream_base64": b64(data)}
                 for what, since, data, count, following in good],
        "bad": [{"what": what, "clause": clause, "since": since, "stream_base64": b64(data)} for clause, what, since, data in bad],
        "lies": [{"what": what, "clause": clause, "stream_base64": b64(data)} for clause, what, data in lies],
    }


# ---- forks ----

def histories():
    """Subscribers, each with the streams that it is offered in turn."""
    def case(what, steps):
        return {"what": what, "steps": [{"full": full, "expect": expect, "stream_base64": b64(data)} for data, full, expect in steps]}

    first = publisher(6)
    start = (first.stream(), True, "applied")
    out = []

    two = publisher(6)
    two.add(record=6)
    three = publisher(6)
    three.add(record=7)
    out.append(case("two histories of one length", [start, (two.stream(6), False, "applied"), (three.stream(7), False, "fork"),
                                                    (two.stream(7), False, "refused")]))
    longer = publisher(6)
    longer.add(record=6)
    longer.add(record=8)
    longer.entries[2] = kv.parse_entry(longer.entries[2].line.replace(b"rbeeld", b"rbeald"))
    out.append(case("a longer history in which a held position changed, as a full sync", [start, (longer.stream(), True, "fork")]))
    out.append(case("the same as a delta: a mismatch, which proves nothing yet", [start, (longer.stream(6), False, "refused"),
                                                                                (two.stream(6), False, "applied")]))
    back = publisher(6)
    back.add(record=2, body={"name": "nieuw"})
    gone = (back.stream(6), False, "applied")
    risen = publisher(6)
    risen.add(record=9)
    risen.add(record=10)
    out.append(case("a dead position that rises again, as a full sync", [start, gone, (risen.stream(), True, "fork")]))
    restored = publisher(4)
    restored.clock += 3600
    out.append(case("restored from an old backup: shorter, but later", [start, (restored.stream(4), True, "fork")]))
    anew = Publisher(KEY, epoch=1763751600 + 86400, clock=first.clock + 86400)
    anew.add(record=0)
    out.append(case("a frozen feed thaws with a higher epoch", [start, (restored.stream(), True, "fork"), (two.stream(6), False, "refused"),
                                                               (anew.stream(1), False, "full-needed"), (anew.stream(), True, "applied")]))
    floors = publisher(6)
    floors.add(op="retract", record=1)
    floors.add(op="erase", record=2)
    kept = (floors.stream(6), False, "applied")
    floors.raise_floor(8)
    raised = floors.stream(8)
    floors.add(record=11)
    out.append(case("the floor takes tombstones away, without a line", [start, kept, (raised, False, "applied"), (floors.stream(9), False, "applied")]))
    out.append(case("below the floor: a full sync, no fault", [start, (floors.stream(6), False, "full-needed"), (floors.stream(), True, "applied")]))
    fallen = publisher(6)
    fallen.add(op="retract", record=1)
    fallen.add(op="erase", record=2)
    fallen.size += 1
    fallen.add(record=11)
    fallen.add(record=12)
    out.append(case("a floor that falls", [start, (floors.stream(), True, "applied"), (fallen.stream(), True, "fork")]))
    quiet = publisher(6)
    quiet.clock += 3600
    out.append(case("heartbeat, the same again, and one that is behind", [start, (quiet.stream(6), False, "applied"), (quiet.stream(6), False, "same"),
                                                                          (first.stream(6), False, "behind")]))
    return out


def pages():
    """[STREAM-6]: a first copy in two responses, between which an entry of the first one died."""
    made = publisher(6)
    first = b"".join(line + b"\n" for line in made.lines()[:3]) + next_line(3)
    made.add(record=1, body={"name": "vervangen, terwijl er gelezen werd"})
    return [{"what": "an entry of an earlier page that died meanwhile", "epoch": made.epoch, "live": 6,
             "pages_base64": [b64(first), b64(made.stream(3))]}]


def fork_proofs():
    """[DEATH-3] (d): a position that was dead in the shorter history, or held another entry, and is live in the longer."""
    short, long = publisher(6), publisher(6)
    long.add(record=6)
    long.entries[2] = kv.parse_entry(long.entries[2].line.replace(b"rbeeld", b"rbeald"))
    out = []
    for what, position, holds in (("a position with another leaf", 2, True), ("a position with the same leaf proves nothing", 3, False)):
        sides = []
        for side in (short, long):
            leaves = side.leaves()
            sides.append({"note_base64": b64(side.note()), "leaf": leaves.get(position, kv.ZERO).hex(),
                          "siblings": [s.hex() for s in kv.tree_path(leaves, position)]})
        out.append({"what": what, "position": position, "proves": holds, "shorter": sides[0], "longer": sides[1]})
    return out


def forks():
    return {"feed": FEED, "keys": [str(KEY.verifier)], "histories": histories(), "pages": pages(), "proofs": fork_proofs()}


# ---- proofs ----

def path_lines(label, leaves, position):
    return b"".join(b"%s %d %s\n" % (label, height, base64.b64encode(node)) for height, node in enumerate(kv.tree_path(leaves, position)) if node != kv.ZERO)


def claim_proof(made, position):
    entry = next((entry for entry in made.entries if entry.seq == position), None)
    return (b"kaartd-proof/v1\nposition %d\n" % position + (b"entry " + entry.line + b"\n" if entry else b"dead\n")
            + path_lines(b"sibling", made.leaves(), position) + b"\n" + made.note())


def fork_proof(shorter, longer, position=None):
    text = b"kaartd-fork/v1\n"
    for label, side in ((b"shorter", shorter), (b"longer", longer)):
        text += b"%s %d\n" % (label, len(side.note())) + side.note()
    if position is not None:
        text += b"position %d\n" % position
        for label, side in ((b"shorter", shorter), (b"longer", longer)):
            leaves = side.leaves()
            text += b"%s-leaf %s\n" % (label, base64.b64encode(leaves.get(position, kv.ZERO))) + path_lines(label + b"-sibling", leaves, position)
    return text


def proofs():
    feed = publisher(12)
    feed.add(record=3, body={"name": "anders"})
    proof, dead = claim_proof(feed, 5), claim_proof(feed, 3)
    first_sibling = proof[proof.index(b"sibling 0"):proof.index(b"sibling 1")]
    long, short, second, shifted = publisher(6), publisher(6), publisher(6), publisher(4)
    long.add(record=6)
    altered = publisher(6)
    altered.add(record=6)
    altered.entries[2] = kv.parse_entry(altered.entries[2].line.replace(b"rbeeld", b"rbeald"))
    second.entries[0] = kv.parse_entry(second.entries[0].line.replace(b"rbeeld", b"rbeald"))
    shifted.clock += 3600
    fork = fork_proof(short, altered, 2)
    other = Publisher(OTHER)
    other.add(record=5)
    claims = [("a live entry", proof, 5), ("a dead position", dead, 3), ("a position never used", claim_proof(feed, 2 ** 40 - 1), 2 ** 40 - 1),
              ("the only entry of a feed: no siblings", claim_proof(publisher(1), 0), 0), ("the newest entry", claim_proof(feed, 12), 12)]
    bad = [
        ("PROOF-3", "a letter of the entry changed", proof.replace(b"rbeeld 5", b"rbeeld 6")),
        ("PROOF-3", "a live entry said to be dead", proof.replace(proof[proof.index(b"entry "):proof.index(b"sibling 0")], b"dead\n")),
        ("PROOF-1", "another position", proof.replace(b"position 5", b"position 6")), ("PROOF-1", "a leading zero", proof.replace(b"position 5", b"position 05")),
        ("PROOF-1", "another version", proof.replace(b"proof/v1", b"proof/v2")), ("PROOF-1", "no entry", proof.replace(b"entry {", b"entri {")),
        ("PROOF-3", "a sibling left out", proof.replace(first_sibling, b"")), ("PROOF-2", "a sibling twice", proof.replace(first_sibling, first_sibling * 2)),
        ("PROOF-2", "a sibling at height 40", proof.replace(b"sibling 0", b"sibling 40")),
        ("PROOF-2", "a zero sibling written out", proof.replace(b"\n\nkaartd-feed", b"\nsibling 39 " + base64.b64encode(kv.ZERO) + b"\n\nkaartd-feed")),
        ("PROOF-2", "a sibling of 31 bytes", proof.replace(first_sibling, b"sibling 0 " + base64.b64encode(bytes(31)) + b"\n")),
        ("PROOF-3", "no empty line", proof.replace(b"\n\nkaartd-feed", b"\nkaartd-feed")), ("NOTE-5", "a letter of the head changed", proof.replace(b"live 12", b"live 13")),
        ("NOTE-1", "cut short", proof[:-1]), ("NOTE-3", "something behind it", proof + b"x\n"), ("NOTE-7", "another origin's feed", claim_proof(other, 0)),
        ("PROOF-1", "nothing", b""), ("PROOF-6", "too long", proof.replace(b"entry ", b"entry " + b" " * 90000)),
    ]
    forks_good = [("a position with another entry", fork, 2), ("two roots at one size", fork_proof(short, second), None),
                  ("shorter, but later", fork_proof(shifted, short), None)]
    forks_bad = [
        ("PROOF-5", "two heads of one history", fork_proof(short, long)), ("PROOF-5", "a position that did not change", fork_proof(short, altered, 1)),
        ("PROOF-5", "a position that only died", fork_proof(short, died(6), 1)), ("PROOF-5", "a position beyond the shorter one", fork_proof(short, long, 6)),
        ("PROOF-4", "the longer one first", fork_proof(altered, short, 2)), ("PROOF-4", "a size too great", fork.replace(b"shorter 2", b"shorter 3", 1)),
        ("PROOF-6", "something behind it", fork + b"x\n"), ("PROOF-5", "cut after the shorter leaf", fork[:fork.index(b"longer-leaf")]),
        ("NOTE-5", "a letter of a head changed", fork.replace(b"live 7", b"live 6", 1)), ("PROOF-5", "the other's leaf", fork.replace(fork[fork.index(b"shorter-leaf"):fork.index(b"shorter-sibling")], b"shorter-leaf " + base64.b64encode(kv.ZERO) + b"\n")),
    ]
    return {
        "feed": FEED, "keys": [str(KEY.verifier)],
        "claims": [{"what": what, "position": position, "dead": b"\ndead\n" in text, "text_base64": b64(text)} for what, text, position in claims],
        "bad": [{"what": what, "clause": clause, "text_base64": b64(text)} for clause, what, text in bad],
        "forks": [{"what": what, "position": position, "text_base64": b64(text)} for what, text, position in forks_good],
        "bad_forks": [{"what": what, "clause": clause, "text_base64": b64(text)} for clause, what, text in forks_bad],
    }


def died(count):
    made = publisher(count)
    made.add(op="retract", record=1)
    return made


def main():
    differing = []
    for make in (entries, trees, notes, checkpoints, streams, forks, proofs):
        path = os.path.join(VECTORS, make.__name__ + ".json")
        text = json.dumps(make(), indent=1, ensure_ascii=False) + "\n"
        if "--check" in sys.argv[1:]:
            with open(path, encoding="utf-8") as file:
                if file.read() != text:
                    differing.append(path)
        else:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    for path in differing:
        print(f"{path} is not what make_vectors.py makes", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
