#!/usr/bin/env python3
"""A second implementation of verification: the feed protocol's reader, written from spec/feed.md and from nothing else.

As a module it checks lines, entries, trees, notes, checkpoints, streams and proofs, and plays one subscriber. As a
command it fetches one feed over HTTPS, verifies it and says what it is:

    kaartd_verify.py https://kaart.nieuwegein.example:8443 --key nieuwegein.example/public+51628027+ARcQ...

Standard library and python3-cryptography only. Comments cite the clause that a check enforces.
"""
import argparse
import base64
import binascii
import datetime
import hashlib
import http.client
import json
import re
import ssl
import sys
import urllib.parse
import zlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LINE_MAX = 65536
DEPTH_MAX = 32
MEMBERS_MAX = 1024
INTEGER_MAX = 2 ** 53
HEIGHT = 40
NOTE_MAX = 8192
SIGNATURES_MAX = 16
RESPONSE_MAX = 64 * 1024 * 1024  # of one page after decompression; the spec asks servers for some 4 MiB


class Refused(Exception):
    """Something that MUST NOT be accepted. `clause` names the requirement it breaks."""

    def __init__(self, clause, text):
        super().__init__(f"[{clause}] {text}")
        self.clause = clause


# ---- small grammars, spec section 1 ----

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
ORIGIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
AREA = re.compile(r"(?:GM[0-9]{4}|WK[0-9]{6}|BU[0-9]{8})\Z")
DECIMAL = re.compile(r"(?:0|[1-9][0-9]*)\Z")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{3})Z\Z")
MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z\Z")
SALT = re.compile(r"[0-9a-f]{32}\Z")


def is_day(text):
    if not DAY.match(text):
        return False
    try:
        datetime.date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        return False
    return True


def is_instant(text, pattern=INSTANT):
    match = pattern.match(text)
    return bool(match) and is_day(match[1]) and int(match[2]) <= 23 and int(match[3]) <= 59 and int(match[4]) <= 59


def is_feed(text):
    origin, slash, audience = text.partition("/")
    return bool(slash and ORIGIN.match(origin) and NAME.match(audience))


def decode_base64(text, clause):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(clause, "not base64") from None
    if base64.b64encode(data).decode() != text:  # padding, spare bits
        raise Refused(clause, "not canonical base64")
    return data


# ---- strict JSON, spec section 2 ----

TOKEN = re.compile(r' *(?:("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*")|'
                   r'(-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))|(true|false|null)|([{}\[\],:]))')
ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|(.))')
SIMPLE = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
LITERALS = {"true": True, "false": False, "null": None}


class _Parser:
    """One line, read once. `top` gets (raw name, raw value, value) of the outermost object's members."""

    def __init__(self, text):
        self.text = text
        self.offset = 0
        self.top = []

    def token(self):
        match = TOKEN.match(self.text, self.offset)
        if not match:
            raise Refused("JSON-9", f"no JSON at character {self.offset}")
        self.offset = match.end()
        return match

    def string(self, raw):
        if "\\" not in raw:
            return raw[1:-1]
        out, at, high = [], 1, None
        for match in ESCAPE.finditer(raw):
            gap = raw[at:match.start()]
            unit = int(match[1], 16) if match[1] else None
            low = unit is not None and 0xDC00 <= unit <= 0xDFFF
            if (high is not None) != low or (low and gap):
                raise Refused("JSON-2", "a lone surrogate")
            out.append(gap)
            at = match.end()
            if unit is None:
                out.append(SIMPLE[match[2]])
            elif unit == 0:
                raise Refused("JSON-3", "the escape \\u0000")
            elif low:
                out.append(chr(0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00)))
                high = None
            elif 0xD800 <= unit <= 0xDBFF:
                high = unit
            else:
                out.append(chr(unit))
        if high is not None:
            raise Refused("JSON-2", "a lone surrogate")
        return "".join(out) + raw[at:-1]

    def value(self, depth, match):
        if match[1]:
            return self.string(match[1])
        if match[2]:
            if not match[3]:
                if len(match[2]) > 17 or abs(int(match[2])) > INTEGER_MAX:
                    raise Refused("JSON-8", "an integer beyond 2^53")
                return int(match[2])
            number = float(match[2])
            if number in (float("inf"), float("-inf")):
                raise Refused("JSON-8", "a number beyond a double")
            return number
        if match[4]:
            return LITERALS[match[4]]
        if match[5] not in "{[":
            raise Refused("JSON-9", f"unexpected {match[5]} at character {self.offset - 1}")
        if depth >= DEPTH_MAX:
            raise Refused("JSON-6", f"nested deeper than {DEPTH_MAX}")
        return self.object(depth + 1) if match[5] == "{" else self.array(depth + 1)

    def array(self, depth):
        items = []
        match = self.token()
        if match[5] == "]":
            return items
        while True:
            items.append(self.value(depth, match))
            mark = self.token()[5]
            if mark == "]":
                return items
            if mark != ",":
                raise Refused("JSON-9", f"no comma at character {self.offset - 1}")
            match = self.token()

    def object(self, depth):
        members = {}
        match = self.token()
        if match[5] == "}":
            return members
        while True:
            if not match[1]:
                raise Refused("JSON-9", f"no member name at character {self.offset - 1}")
            name = self.string(match[1])
            if name in members:
                raise Refused("JSON-5", "a duplicate member")
            if len(members) >= MEMBERS_MAX:
                raise Refused("JSON-7", f"more than {MEMBERS_MAX} members")
            if self.token()[5] != ":":
                raise Refused("JSON-9", f"no colon at character {self.offset - 1}")
            start = self.offset
            members[name] = self.value(depth, self.token())
            if depth == 1:
                self.top.append((match[1][1:-1], self.text[start:self.offset].lstrip(" "), members[name]))
            mark = self.token()[5]
            if mark == "}":
                return members
            if mark != ",":
                raise Refused("JSON-9", f"no comma at character {self.offset - 1}")
            match = self.token()


def check_line(line):
    """The outermost members of a line (bytes, without LF) as [(raw name, raw value, value)]."""
    if len(line) > LINE_MAX:
        raise Refused("JSON-10", f"a line of {len(line)} bytes")
    if not line.startswith(b"{") or not line.endswith(b"}"):
        raise Refused("JSON-9", "the line is not one object")
    if re.search(rb"[\x00-\x1f]", line):
        raise Refused("JSON-4", "a control character")
    try:
        text = line.decode("utf-8")  # strict: no overlong forms, no surrogates
    except UnicodeDecodeError as error:
        raise Refused("JSON-1", f"invalid UTF-8 at byte {error.start}") from None
    parser = _Parser(text)
    parser.value(0, parser.token())
    if parser.offset != len(text):
        raise Refused("JSON-9", "something after the object")
    return parser.top


# ---- entry, spec section 3 ----

@dataclass(frozen=True)
class Entry:
    seq: int
    op: str
    kind: str
    id: str
    source: str
    role: str
    at: str
    line: bytes

    @property
    def key(self):
        return self.kind, self.id, self.source

    @property
    def leaf(self):
        return leaf_hash(self.line)


def _text(pattern):
    return lambda raw, value: isinstance(value, str) and "\\" not in raw and bool(pattern(value))


ENVELOPE = {
    "seq": lambda raw, value: bool(DECIMAL.match(raw)) and value < 2 ** HEIGHT,
    "op": _text(lambda value: value in ("assert", "retract", "erase")),
    "kind": _text(NAME.match),
    "id": _text(UUID.match),
    "source": _text(NAME.match),
    "role": _text(NAME.match),
    "at": _text(is_instant),
    "verified": _text(is_day),
    "missing_since": _text(is_day),
    "areas": lambda raw, value: isinstance(value, list) and "\\" not in raw
    and all(isinstance(item, str) and AREA.match(item) for item in value),
    "on_behalf_of": _text(UUID.match),
    "salt": _text(SALT.match),
    "body": lambda raw, value: isinstance(value, dict),
}
REQUIRED = ("seq", "op", "kind", "id", "source", "role", "at")
CLAUSES = {"seq": "ENTRY-3", "op": "ENTRY-5"}


def parse_entry(line, members=None):
    members = check_line(line) if members is None else members
    found = {}
    for name, raw, value in members:
        if "\\" in name:
            raise Refused("ENTRY-2", "an escape in a member's name")
        if name in ("checkpoint", "next"):
            raise Refused("ENTRY-6", f"an entry with the member {name}")
        if name in ENVELOPE:
            if not ENVELOPE[name](raw, value):
                raise Refused(CLAUSES.get(name, "ENTRY-4"), f"{name} is not what it must be")
            found[name] = value
    for name in REQUIRED:
        if name not in found:
            raise Refused("ENTRY-4", f"{name} is missing")
    if (found["op"] == "assert") != ("body" in found):
        raise Refused("ENTRY-5", f"{found['op']} {'with' if 'body' in found else 'without'} body")
    return Entry(*(found[name] for name in REQUIRED), line)


# ---- state tree, spec section 4 ----

ZERO = bytes(32)


def leaf_hash(line):
    return hashlib.sha256(b"\0" + line).digest()


def node_hash(left, right):
    return ZERO if left == ZERO and right == ZERO else hashlib.sha256(b"\1" + left + right).digest()


def levels(leaves):
    """[{index: node}] for heights 0 to 40; only what is not zero. `leaves`: {position: leaf}."""
    level = {position: leaf for position, leaf in leaves.items() if leaf != ZERO}
    out = [level]
    for _ in range(HEIGHT):
        level = {i: node_hash(level_get(out[-1], 2 * i), level_get(out[-1], 2 * i + 1)) for i in {j >> 1 for j in out[-1]}}
        out.append(level)
    return out


def level_get(level, index):
    return level.get(index, ZERO)


def tree_root(leaves):
    return level_get(levels(leaves)[HEIGHT], 0)


def tree_path(leaves, position):
    """The siblings, lowest first [TREE-4]."""
    all_levels = levels(leaves)
    return [level_get(all_levels[height], (position >> height) ^ 1) for height in range(HEIGHT)]


def root_of_path(position, leaf, siblings):
    if len(siblings) != HEIGHT or not 0 <= position < 2 ** HEIGHT:
        raise Refused("TREE-4", "a path has 40 siblings")
    node = leaf
    for height, sibling in enumerate(siblings):
        node = node_hash(sibling, node) if position >> height & 1 else node_hash(node, sibling)
    return node


# ---- notes and keys, spec section 5 ----

def key_hash(name, public):
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


@dataclass(frozen=True)
class VerifierKey:
    name: str
    hash: bytes
    public: bytes

    @classmethod
    def parse(cls, text):
        parts = text.split("+", 2)
        if len(parts) != 3 or not is_feed(parts[0]) or not re.match(r"[0-9a-f]{8}\Z", parts[1]):
            raise Refused("NOTE-9", "not a verifier key: NAME+HASH+BASE64")
        data = decode_base64(parts[2], "NOTE-9")
        if len(data) != 33 or data[0] != 1:
            raise Refused("NOTE-9", "not an Ed25519 key")
        if key_hash(parts[0], data[1:]).hex() != parts[1]:
            raise Refused("NOTE-9", "the key's hash is wrong: mistyped?")
        return cls(parts[0], bytes.fromhex(parts[1]), data[1:])

    def __str__(self):
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(b'%c' % 1 + self.public).decode()}"

    def verify(self, signature, text):
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            return False
        return True


def open_note(note, keys):
    """The signed text of a note, or Refused."""
    if len(note) > NOTE_MAX:
        raise Refused("NOTE-1", f"a note of {len(note)} bytes")
    try:
        decoded = note.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("NOTE-1", "invalid UTF-8") from None
    if re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", note):
        raise Refused("NOTE-1", "a control character")
    if not note.endswith(b"\n"):
        raise Refused("NOTE-1", "the note does not end in LF")
    text, separator, rest = decoded.rpartition("\n\n")
    if not separator or not text:
        raise Refused("NOTE-2", "no empty line before the signatures")
    text = (text + "\n").encode()
    lines = rest.split("\n")[:-1]
    if not 1 <= len(lines) <= SIGNATURES_MAX:
        raise Refused("NOTE-3", f"{len(lines)} signature lines")
    verified = set()
    for line in lines:
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or not parts[1] or "+" in parts[1] or any(c.isspace() for c in parts[1]):
            raise Refused("NOTE-3", "a malformed signature line")
        data = decode_base64(parts[2], "NOTE-3")
        if len(data) < 5:
            raise Refused("NOTE-3", "a signature too short")
        known = [key for key in keys if key.name == parts[1] and key.hash == data[:4]]
        if not known:
            continue  # [NOTE-4]
        if known[0] in verified:
            raise Refused("NOTE-6", "a key that signed twice")
        if len(data) != 68 or not known[0].verify(data[4:], text):
            raise Refused("NOTE-5", "a known key's signature is wrong")
        verified.add(known[0])
    if not verified:
        raise Refused("NOTE-7", "no known key signed it")
    return text


# ---- checkpoint, spec section 6 ----

@dataclass(frozen=True)
class Checkpoint:
    feed: str
    epoch: int
    size: int
    live: int
    floor: int
    root: bytes
    time: str
    note: bytes = b""

    @property
    def state(self):
        return self.root, self.live, self.floor


CHECKPOINT = re.compile(r"kaartd-feed/v1\nfeed ([^ \n]+)\nepoch ([^ \n]+)\nsize ([^ \n]+)\nlive ([^ \n]+)\nfloor ([^ \n]+)\n"
                        r"root ([^ \n]+)\ntime ([^ \n]+)\n\Z")


def parse_checkpoint(text, note=b""):
    match = CHECKPOINT.match(text.decode("utf-8"))
    if not match:
        raise Refused("CP-1", "not the eight lines of a checkpoint")
    feed, epoch, size, live, floor, root, time = match.groups()
    if not is_feed(feed):
        raise Refused("CP-1", "feed is no feed")
    numbers = []
    for label, digits, bound in (("epoch", epoch, 2 ** 53), ("size", size, 2 ** HEIGHT), ("live", live, 2 ** HEIGHT),
                                 ("floor", floor, 2 ** HEIGHT)):
        if not DECIMAL.match(digits) or len(digits) > 16 or int(digits) > bound:
            raise Refused("CP-1", f"{label} is no decimal up to {bound}")
        numbers.append(int(digits))
    root = decode_base64(root, "CP-1")
    if len(root) != 32 or not is_instant(time, MOMENT):
        raise Refused("CP-1", "root or time is not what it must be")
    checkpoint = Checkpoint(feed, *numbers, root, time, note)
    if checkpoint.live > checkpoint.size or checkpoint.floor > checkpoint.size or (root == ZERO) != (checkpoint.live == 0):
        raise Refused("CP-2", "size, live, floor and root contradict each other")
    return checkpoint


def open_checkpoint(note, feed, keys):
    if not keys or any(key.name != feed for key in keys):
        raise Refused("CP-3", f"keys for {feed} are needed, and no others")
    checkpoint = parse_checkpoint(open_note(note, keys), note)
    if checkpoint.feed != feed:
        raise Refused("CP-3", f"a checkpoint of {checkpoint.feed}, not of {feed}")
    return checkpoint


def relation(held, offered):
    """The table of section 10."""
    if held is None or offered.epoch > held.epoch:
        return "full"
    if offered.epoch < held.epoch:
        return "behind"
    if offered.size == held.size:
        if offered.state != held.state:
            return "fork"
        return "same" if offered.time == held.time else "heartbeat" if offered.time > held.time else "behind"
    if offered.size < held.size:
        return "fork" if offered.time > held.time or offered.floor > held.floor else "behind"
    if offered.time < held.time or offered.floor < held.floor:
        return "fork"
    return "full" if held.size < offered.floor else "newer"


# ---- change stream, spec section 8 ----

def read_stream(data, since):
    """(entries, note or None, next or None) of one response."""
    if not data.endswith(b"\n"):
        raise Refused("STREAM-1", "the stream does not end in LF")
    entries, control = [], None
    for line in data[:-1].split(b"\n"):
        if control:
            raise Refused("STREAM-8", "something after the control line")
        members = check_line(line)
        if len(members) == 1 and members[0][0] in ("checkpoint", "next"):
            control = members[0]
            continue
        entry = parse_entry(line, members)
        if entry.seq < since or (entries and entry.seq <= entries[-1].seq):
            raise Refused("STREAM-3", f"entry {entry.seq} is out of order")
        if entries and entry.at < entries[-1].at:
            raise Refused("STREAM-3", f"the time of entry {entry.seq} goes back")
        entries.append(entry)
    if not control:
        raise Refused("STREAM-8", "the stream ends without a control line")
    name, raw, value = control
    if name == "checkpoint":
        if not isinstance(value, str):
            raise Refused("STREAM-2", "checkpoint is no string")
        return entries, value.encode("utf-8"), None
    if not DECIMAL.match(raw) or not entries or value != entries[-1].seq + 1:
        raise Refused("STREAM-5", "next is not the last seq + 1")
    return entries, None, value


# ---- subscriber, spec section 10 ----

@dataclass
class Subscriber:
    """Holds one feed. `offer` answers applied, same, behind, full-needed, refused or fork; `reason` says why."""
    feed: str
    keys: list
    freeze: bool = True
    held: Checkpoint = None
    live: dict = field(default_factory=dict)  # key -> Entry
    frozen: str = ""
    reason: str = ""

    @property
    def lines(self):
        return [entry.line for entry in sorted(self.live.values(), key=lambda entry: entry.seq)]

    def since(self, full=False):
        return 0 if full or self.held is None else self.held.size

    def offer(self, data, full=False):
        """A stream as it came in one response."""
        try:
            entries, note, _ = read_stream(data, self.since(full))
            if note is None:
                raise Refused("STREAM-5", "the stream goes on")
            return self.apply(entries, note, full)
        except Refused as refused:
            self.reason = str(refused)
            return "refused"

    def apply(self, entries, note, full=False):
        """Entries of all pages, and the note of the last."""
        self.reason = ""
        offered = open_checkpoint(note, self.feed, self.keys)
        if self.frozen and offered.epoch <= self.held.epoch:
            raise Refused("DEATH-6", f"frozen: {self.frozen}")
        how = relation(self.held, offered)
        if how == "fork":
            return self._fork("DEATH-2", "two heads that cannot both be")
        if how == "behind":
            return how
        if how == "full" and self.held is not None and not full:
            return "full-needed"
        full = full or self.held is None
        if entries and entries[-1].seq >= offered.size:
            raise Refused("STREAM-4", f"entry {entries[-1].seq} lies beyond size {offered.size}")
        if how == "same" and not full:
            return how
        live = {} if full else dict(self.live)
        for entry in entries:
            live[entry.key] = entry  # [ENTRY-10]
        live = {key: entry for key, entry in live.items() if entry.op == "assert" or entry.seq >= offered.floor}  # [CP-9]
        leaves = {entry.seq: entry.leaf for entry in live.values()}
        if len(leaves) != offered.live or tree_root(leaves) != offered.root:
            raise Refused("SYNC-4" if full else "SYNC-3", "what is live has not the signed root")
        if full and self.held is not None and offered.epoch == self.held.epoch:
            before = {entry.seq: entry.leaf for entry in self.live.values()}
            for seq, leaf in leaves.items():
                if seq < self.held.size and before.get(seq) != leaf:
                    return self._fork("DEATH-5", f"position {seq} was not live, or was another entry")
        self.held, self.live, self.frozen = offered, live, ""
        return "same" if how == "same" else "applied"

    def _fork(self, clause, text):
        self.reason = f"[{clause}] {text}"
        if self.freeze:
            self.frozen = self.reason
        return "fork"


def check_proof(line, siblings, note, feed, keys):
    """A proof of one claim [TREE-5]: the entry and the checkpoint, or Refused."""
    entry = parse_entry(line)
    checkpoint = open_checkpoint(note, feed, keys)
    if root_of_path(entry.seq, entry.leaf, siblings) != checkpoint.root:
        raise Refused("TREE-5", "line and path do not lead to the signed root")
    return entry, checkpoint


# ---- proofs as text, spec section 15 ----

PROOF_MAX = 90112


class _Lines:
    """Takes a proof apart, line by line, from the front."""

    def __init__(self, text):
        if len(text) > PROOF_MAX:
            raise Refused("PROOF-6", f"a proof of {len(text)} bytes")
        self.rest = text

    def take(self, label, clause):
        """The value of the line with this label, which must come now."""
        line, newline, rest = self.rest.partition(b"\n")
        start = label.encode() + b" "
        if not newline or not line.startswith(start):
            raise Refused(clause, f"no {label} line where it must stand")
        self.rest = rest
        return line[len(start):]

    def number(self, label, clause, bound):
        digits = self.take(label, clause).decode("ascii", "replace")
        if not DECIMAL.match(digits) or len(digits) > 16 or int(digits) >= bound:
            raise Refused(clause, f"{label} is no decimal below {bound}")
        return int(digits)

    def node(self, value, clause):
        data = decode_base64(value.decode("ascii", "replace"), clause)
        if len(data) != 32:
            raise Refused(clause, "a node is 32 bytes")
        return data

    def siblings(self, label):
        """A path: heights increase, zero nodes are left out [PROOF-2]."""
        path, next_height = [ZERO] * HEIGHT, 0
        while self.rest.startswith(label.encode() + b" "):
            height, _, value = self.take(label, "PROOF-2").partition(b" ")
            digits, node = height.decode("ascii", "replace"), self.node(value, "PROOF-2")
            if not DECIMAL.match(digits) or len(digits) > 2 or not next_height <= int(digits) < HEIGHT or node == ZERO:
                raise Refused("PROOF-2", "a sibling out of order, or of zero bytes")
            path[int(digits)], next_height = node, int(digits) + 1
        return path

    def note(self, label):
        """A note behind its size [PROOF-4]."""
        size = self.number(label, "PROOF-4", NOTE_MAX + 1)
        if len(self.rest) < size:
            raise Refused("PROOF-4", "the note is cut short")
        note, self.rest = self.rest[:size], self.rest[size:]
        return note


def check_proof_text(text, feed, keys):
    """A proof of one claim: (position, entry or None if it is dead, checkpoint), or Refused."""
    lines = _Lines(text)
    if not text.startswith(b"kaartd-proof/v1\n"):
        raise Refused("PROOF-1", "not a proof of a claim")
    lines.rest = text[len(b"kaartd-proof/v1\n"):]
    position = lines.number("position", "PROOF-1", 2 ** HEIGHT)
    entry = None
    if lines.rest.startswith(b"dead\n"):
        lines.rest = lines.rest[len(b"dead\n"):]
    else:
        entry = parse_entry(lines.take("entry", "PROOF-1"))
        if entry.seq != position:
            raise Refused("PROOF-1", "the entry is of another position")
    siblings = lines.siblings("sibling")
    if not lines.rest.startswith(b"\n"):
        raise Refused("PROOF-3", "no empty line before the note")
    checkpoint = open_checkpoint(lines.rest[1:], feed, keys)
    if root_of_path(position, entry.leaf if entry else ZERO, siblings) != checkpoint.root:
        raise Refused("PROOF-3", "leaf and siblings do not lead to the signed root")
    return position, entry, checkpoint


def check_fork_text(text, feed, keys):
    """A proof of equivocation: (shorter, longer, position or None), or Refused."""
    lines = _Lines(text)
    if not text.startswith(b"kaartd-fork/v1\n"):
        raise Refused("PROOF-4", "not a proof of equivocation")
    lines.rest = text[len(b"kaartd-fork/v1\n"):]
    shorter, longer = (open_checkpoint(lines.note(label), feed, keys) for label in ("shorter", "longer"))
    if shorter.epoch != longer.epoch or shorter.size > longer.size:
        raise Refused("PROOF-4", "two epochs, or the longer one first")
    if not lines.rest:
        if relation(shorter, longer) != "fork" and relation(longer, shorter) != "fork":
            raise Refused("PROOF-5", "the two notes alone prove nothing")
        return shorter, longer, None
    position, leaves = lines.number("position", "PROOF-5", 2 ** HEIGHT), []
    for name, head in (("shorter", shorter), ("longer", longer)):
        leaves.append(lines.node(lines.take(name + "-leaf", "PROOF-5"), "PROOF-5"))
        if root_of_path(position, leaves[-1], lines.siblings(name + "-sibling")) != head.root:
            raise Refused("PROOF-5", f"the {name} path does not lead to its root")
    if lines.rest:
        raise Refused("PROOF-6", "something behind the proof")
    if position >= shorter.size or leaves[1] == ZERO or leaves[0] == leaves[1]:
        raise Refused("PROOF-5", "what is shown is no fork")
    return shorter, longer, position


# ---- fetching, spec section 9 ----

class Source:
    """One base URL. Without `pin` and `insecure` the system's authorities, or those of `ca`, decide."""

    def __init__(self, url, pin=None, ca=None, insecure=False, gzip=True):
        self.parts = urllib.parse.urlsplit(url.rstrip("/"))
        loopback = self.parts.hostname in ("127.0.0.1", "::1", "localhost")
        if self.parts.scheme != "https" and not (self.parts.scheme == "http" and loopback):
            raise Refused("HTTP-1", "https only, but on loopback")
        self.pin, self.gzip, self.connection = pin, gzip, None
        self.context = ssl.create_default_context(cafile=ca)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        if pin or insecure:
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE

    def connect(self):
        if self.parts.scheme == "http":
            self.connection = http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=30)
            return
        self.connection = http.client.HTTPSConnection(self.parts.hostname, self.parts.port, timeout=30, context=self.context)
        self.connection.connect()
        self.connection.auto_open = 0  # a new connection is made here, where its pin is looked at
        if self.pin:
            certificate = x509.load_der_x509_certificate(self.connection.sock.getpeercert(binary_form=True))
            spki = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            found = "sha256/" + base64.b64encode(hashlib.sha256(spki).digest()).decode()
            if found != self.pin:
                self.close()
                raise Refused("HTTP-1", f"the server's pin is {found}")

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def _exchange(self, method, path, body, headers):
        """The head of a response; once more on a new connection if the server had closed the old one meanwhile."""
        reused = self.connection is not None
        try:
            if not reused:
                self.connect()
            self.connection.request(method, path, body=body, headers=headers)
            return self.connection.getresponse()
        except (OSError, http.client.HTTPException):
            self.close()
            if not reused:
                raise
        return self._exchange(method, path, body, headers)

    def request(self, path, headers=None, method="GET", body=None):
        """(status, headers, body after decompression)"""
        sent = dict(headers or {})
        if self.gzip:
            sent.setdefault("Accept-Encoding", "gzip")
        response = self._exchange(method, self.parts.path + path, body, sent)
        inflate = zlib.decompressobj(31) if response.headers.get("Content-Encoding", "").lower() == "gzip" else None
        body = b""
        while True:
            piece = response.read(65536)
            if not piece:
                break
            body += inflate.decompress(piece, RESPONSE_MAX + 1 - len(body)) if inflate else piece
            if len(body) > RESPONSE_MAX:
                self.close()
                raise Refused("HTTP-7", f"more than {RESPONSE_MAX} bytes")
        if inflate and not inflate.eof and response.status == 200:
            raise Refused("STREAM-8", "the compressed response is cut short")
        return response.status, response.headers, body

    def get(self, path, clause):
        status, _, body = self.request(path)
        if status != 200:
            raise Refused(clause, f"the server answers {status}")
        return body

    def checkpoint(self, feed):
        return self.get(f"/v1/feeds/{feed}/checkpoint", "HTTP-8")

    def changes(self, feed, epoch, since, entries_max=None):
        """Entries of all pages and the note of the last."""
        entries = []
        while True:
            body = self.get(f"/v1/feeds/{feed}/changes?epoch={epoch}&since={since}", "HTTP-8")
            page, note, following = read_stream(body, since)
            if page and entries and page[0].at < entries[-1].at:
                raise Refused("STREAM-3", f"the time of entry {page[0].seq} goes back")
            entries += page
            if entries_max is not None and len(entries) > entries_max:
                raise Refused("SYNC-5", f"more than {entries_max} entries")
            if note is not None:
                return entries, note
            since = following


def synchronise(subscriber, source):
    """One exchange with one source: a delta where it can be, else a full sync. The outcome, or Refused."""
    offered = open_checkpoint(source.checkpoint(subscriber.feed), subscriber.feed, subscriber.keys)
    how = relation(subscriber.held, offered)
    if how in ("same", "behind"):
        return how
    full = how == "full"
    bound = 2 * offered.live + 10000 if full else None  # [SYNC-5]
    entries, note = source.changes(subscriber.feed, offered.epoch, subscriber.since(full), bound)
    return subscriber.apply(entries, note, full)


def tell_proof(path, keys):
    with open(path, "rb") as file:
        text = file.read(PROOF_MAX + 1)
    if text.startswith(b"kaartd-fork/"):
        shorter, longer, position = check_fork_text(text, keys[0].name, keys)
        where = "the two heads alone" if position is None else f"position {position}"
        print(f"proven: {longer.feed} signed two histories in epoch {longer.epoch}: sizes {shorter.size} and {longer.size}, by {where}")
        return 0
    position, entry, head = check_proof_text(text, keys[0].name, keys)
    print(f"proven: {head.feed} epoch {head.epoch} size {head.size} of {head.time}: position {position} "
          + (f"says {entry.op} {entry.kind} {entry.id}, source {entry.source}" if entry else "is dead"))
    return 0


def main():
    parser = argparse.ArgumentParser(description="Fetches one feed, verifies every byte of it, and says what it is.")
    parser.add_argument("url", nargs="?", help="base URL of any node that serves the feed")
    parser.add_argument("--key", action="append", required=True, help="verifier key NAME+HASH+BASE64; a second one during rotation")
    parser.add_argument("--pin", help="sha256/BASE64 of the server's public key, instead of certificate authorities")
    parser.add_argument("--ca", help="PEM file of authorities")
    parser.add_argument("--insecure", action="store_true", help="accept any certificate: the feed's own signature still decides")
    parser.add_argument("--proof", metavar="FILE", help="check what `kaartctl prove` wrote, instead of fetching")
    parser.add_argument("--lines", metavar="FILE", help="write the live entries to FILE")
    parser.add_argument("--json", action="store_true", help="for programs")
    arguments = parser.parse_args()
    if bool(arguments.url) == bool(arguments.proof):
        parser.error("give either a URL or --proof FILE")
    try:
        keys = [VerifierKey.parse(text) for text in arguments.key]
        if arguments.proof:
            return tell_proof(arguments.proof, keys)
        subscriber = Subscriber(keys[0].name, keys)
        source = Source(arguments.url, arguments.pin, arguments.ca, arguments.insecure)
        outcome = synchronise(subscriber, source)
        if outcome != "applied":
            raise Refused("SYNC-4", f"{outcome} {subscriber.reason}")
    except Refused as refused:
        print(f"refused: {refused}", file=sys.stderr)
        return 1
    except (OSError, http.client.HTTPException, zlib.error) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 2
    head = subscriber.held
    if arguments.lines:
        with open(arguments.lines, "wb") as out:
            out.writelines(line + b"\n" for line in subscriber.lines)
    facts = {"feed": head.feed, "epoch": head.epoch, "size": head.size, "live": head.live, "floor": head.floor,
             "root": base64.b64encode(head.root).decode(), "time": head.time}
    print(json.dumps(facts) if arguments.json else "verified " + " ".join(f"{k} {v}" for k, v in facts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
