"""The origin's side of the feed protocol, for vectors and for tests that need a publisher that lies.

Made from spec/feed.md like kaartd_verify.py, which holds the half that reads. Deterministic: time and seeds are handed in.
"""
import base64
import datetime
import json
import uuid

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import kaartd_verify as kv


class SigningKey:
    def __init__(self, name, seed):
        self.name, self.seed = name, seed
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.verifier = kv.VerifierKey(name, kv.key_hash(name, public), public)

    @classmethod
    def parse(cls, text):
        prefix = "PRIVATE+KEY+"
        name, hash_, data = text.strip()[len(prefix):].split("+", 2)
        key = cls(name, base64.b64decode(data)[1:])
        assert text.startswith(prefix) and key.verifier.hash.hex() == hash_
        return key

    def __str__(self):
        return f"PRIVATE+KEY+{self.name}+{self.verifier.hash.hex()}+{base64.b64encode(bytes([1]) + self.seed).decode()}"

    def signature(self, text, name=None):
        data = self.verifier.hash + self.private.sign(text)
        return f"\u2014 {name or self.name} {base64.b64encode(data).decode()}\n".encode()


def sign(text, *keys):
    return text + b"\n" + b"".join(key.signature(text) for key in keys)


def checkpoint_text(feed, epoch, size, live, floor, root, time):
    return (f"kaartd-feed/v1\nfeed {feed}\nepoch {epoch}\nsize {size}\nlive {live}\nfloor {floor}\n"
            f"root {base64.b64encode(root).decode()}\ntime {time}\n").encode()


def control(note):
    return json.dumps({"checkpoint": note.decode()}, ensure_ascii=False).encode() + b"\n"


def next_line(since):
    return b'{"next":%d}\n' % since


def moment(second):
    return datetime.datetime.fromtimestamp(second, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


class Publisher:
    """One feed, written as its origin would; or not, if the caller so wants."""

    def __init__(self, key, epoch=1763751600, clock=1795287845):
        self.key, self.feed, self.epoch, self.clock = key, key.name, epoch, clock
        self.size = self.floor = 0
        self.entries = []  # live, as kv.Entry

    def line(self, op="assert", kind="organization", record=0, source="editor-desk", role="editor", body=None, **more):
        identifier = record if isinstance(record, str) else str(uuid.uuid5(uuid.NAMESPACE_URL, f"record {record}"))
        members = {"seq": self.size, "op": op, "kind": kind, "id": identifier, "source": source, "role": role,
                   "at": moment(self.clock) + ".000Z", **more}
        if op == "assert":
            members["body"] = {"name": f"Stichting V\u00f3\u00f3rbeeld {record}"} if body is None else body
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()

    def add(self, *arguments, **named):
        return self.add_line(self.line(*arguments, **named))

    def add_line(self, line, check=True):
        """Appends whatever it is handed; with `check` it must be an entry."""
        entry = kv.parse_entry(line) if check else kv.Entry(self.size, "assert", "", str(self.size), "", "", "", line)
        self.entries = [other for other in self.entries if other.key != entry.key] + [entry]
        self.size = entry.seq + 1
        self.clock += 1
        return entry

    def raise_floor(self, floor):
        self.floor, self.size = floor, self.size + 1
        self.entries = [entry for entry in self.entries if entry.op == "assert" or entry.seq >= floor]

    def leaves(self):
        return {entry.seq: entry.leaf for entry in self.entries}

    def text(self, **changed):
        leaves = self.leaves()
        fields = dict(feed=self.feed, epoch=self.epoch, size=self.size, live=len(leaves), floor=self.floor,
                      root=kv.tree_root(leaves), time=moment(self.clock) + "Z")
        return checkpoint_text(**{**fields, **changed})

    def note(self, *keys, **changed):
        return sign(self.text(**changed), *(keys or (self.key,)))

    def lines(self, since=0):
        return [entry.line for entry in self.entries if entry.seq >= since]

    def stream(self, since=0, note=None):
        return b"".join(line + b"\n" for line in self.lines(since)) + control(note or self.note())
