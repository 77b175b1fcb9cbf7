#!/usr/bin/env python3
"""A relay that lies: stands between a subscriber and an honest node, over TLS, and spoils what passes.

    lying_relay.py --upstream URL --pin sha256/... --certificate FILE --key FILE [--port N] --mode MODE

Other programs use the class; `relay.mode` may be changed while it runs. The modes are the names in MODES below. It can also be handed
streams of its own (`relay.serve`), for a feed whose origin is not among the running nodes.
"""
import argparse
import gzip
import http.server
import json
import os
import signal
import ssl
import sys
import threading
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "python"))
import feedkit  # noqa: E402
import kaartd_verify as kv  # noqa: E402


def split(stream):
    """(entries' lines, the control line), each with its LF."""
    lines = stream.splitlines(keepends=True)
    return lines[:-1], lines[-1]


def seq_of(line):
    return json.loads(line)["seq"]


# Each takes (relay, lines, control) of one response and gives the bytes to send instead.

def alter(relay, lines, control):
    """One byte of the last body that has a name: its first letter becomes another."""
    body = b"".join(lines)
    at = body.rindex(b'"name":"') + len(b'"name":"')
    return body[:at] + (b"X" if body[at:at + 1] != b"X" else b"Y") + body[at + 1:] + control


def omit(relay, lines, control):
    return b"".join(lines[:-1]) + control


def invent(relay, lines, control):
    """One more entry, at the least position that the entries leave free, so that no order is disturbed."""
    used = {seq_of(line) for line in lines}
    last = json.loads(lines[-1])
    record = dict(last, id="00000000-0000-4000-8000-000000000000", op="assert", body={"name": "Stichting Verzonnen"})
    record["seq"] = next((seq for seq in range(min(used), max(used)) if seq not in used), max(used) + 1)
    invented = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    return b"".join(sorted(lines + [invented], key=seq_of)) + control


def reorder(relay, lines, control):
    return b"".join(reversed(lines)) + control if len(lines) > 1 else b"".join(lines) + b"".join(lines) + control


def foreign(relay, lines, control):
    """Everything as it should be, but signed by a stranger under the same name."""
    note = json.loads(control)["checkpoint"].encode()
    text = note[:note.rindex(b"\n\n") + 1]
    feed = text.split(b"\n")[1].split(b" ")[1].decode()
    return b"".join(lines) + feedkit.control(feedkit.sign(text, feedkit.SigningKey(feed, bytes(range(32)))))


def truncate(relay, lines, control):
    """Cut short inside the last entry."""
    return b"".join(lines)[:-20]


def without_end(relay, lines, control):
    return b"".join(lines)


def huge(relay, lines, control):
    """An entry of 10 MB."""
    line = json.dumps(dict(json.loads(lines[-1]), op="assert", body={"name": "x" * 10_000_000})).encode()
    return b"".join(lines[:-1]) + line + b"\n" + control


def invalid_utf8(relay, lines, control):
    return b"".join(lines[:-1]) + lines[-1].replace(b'"name":"', b'"name":"\xc3\x28', 1) + control


def duplicate(relay, lines, control):
    return b"".join(lines[:-1]) + lines[-1].replace(b'"role":', b'"role":"resident","role":', 1) + control


def endless(relay, lines, control):
    """Entries that nobody signed, on and on; each is a fault of nobody's but the count's."""
    record = json.loads(lines[-1])
    made = [json.dumps(dict(record, seq=record["seq"] + 1 + i), separators=(",", ":")).encode() + b"\n" for i in range(30000)]
    return b"".join(lines) + b"".join(made) + control


MODES = {"honest": None, "alter": alter, "omit": omit, "invent": invent, "reorder": reorder, "foreign": foreign, "truncate": truncate,
         "without-end": without_end, "huge": huge, "invalid-utf8": invalid_utf8, "duplicate": duplicate, "endless": endless,
         "bomb": None, "page": None, "old": None}


class Relay:
    """Serves on a free port of 127.0.0.1. `upstream` is a kv.Source, or None if only `serve` is used."""

    def __init__(self, certificate, key, upstream=None, port=0):
        self.mode = "honest"
        self.upstream, self.lock = upstream, threading.Lock()
        self.own = {}      # feed -> (note, lines) that is served instead of upstream's
        self.snapshot = {}  # feed -> (note, lines), for mode "old"
        self.requests = 0
        relay = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def do_GET(self):
                relay.answer(self)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a subscriber that hangs up on a liar is what is wanted

        self.server = Server(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- what it knows ----

    def serve(self, feed, note, lines):
        """Serves these lines (without LF) under this note."""
        self.own[feed] = (note, list(lines))

    def remember(self, feed):
        """Takes a picture of upstream's state now, for mode "old"."""
        with self.lock:
            note = self.upstream.checkpoint(feed)
            text = dict(line.split(b" ", 1) for line in note.split(b"\n")[1:8])
            entries, note = self.upstream.changes(feed, int(text[b"epoch"]), 0)
        self.snapshot[feed] = (note, [entry.line for entry in entries])

    @staticmethod
    def stream_of(state, epoch, since):
        note, lines = state
        text = dict(line.split(b" ", 1) for line in note.split(b"\n")[1:8])
        if int(text[b"epoch"]) != epoch or since > int(text[b"size"]):
            return feedkit.control(note)
        return b"".join(line + b"\n" for line in lines if seq_of(line) >= since) + feedkit.control(note)

    # ---- answering ----

    def state_of(self, feed):
        return self.snapshot.get(feed) if self.mode == "old" and feed in self.snapshot else self.own.get(feed)

    def answer(self, handler):
        self.requests += 1
        parts = urllib.parse.urlsplit(handler.path)
        pieces = parts.path.strip("/").split("/")
        query = dict(urllib.parse.parse_qsl(parts.query))
        feed = "/".join(pieces[2:4]) if len(pieces) == 5 and pieces[:2] == ["v1", "feeds"] else None
        if handler.command != "GET" or (feed is None and parts.path != "/v1/feeds"):
            return self.send(handler, 404, b'{"title":"not found","status":404}', "application/problem+json")
        if feed is None:
            feeds = [{"feed": name, "checkpoint": state[0].decode()} for name, state in sorted(self.own.items())]
            return self.send(handler, 200, json.dumps({"feeds": feeds}).encode(), "application/json")
        if pieces[4] == "changes" and self.mode == "bomb":
            return self.bomb(handler)
        state = self.state_of(feed)
        if state is not None:
            body = state[0] if pieces[4] == "checkpoint" else self.stream_of(state, int(query["epoch"]), int(query["since"]))
            status, content_type = 200, "text/plain; charset=utf-8" if pieces[4] == "checkpoint" else "application/x-ndjson"
        elif self.upstream is None:
            return self.send(handler, 404, b'{"title":"not found","status":404}', "application/problem+json")
        else:
            with self.lock:
                status, headers, body = self.upstream.request(handler.path)
            content_type = headers.get("Content-Type", "application/octet-stream")
        if pieces[4] == "changes" and status == 200:
            if self.mode == "page":
                body, content_type = b"<!doctype html><html><body>Storing</body></html>\n", "text/html"
            else:
                body = self.spoil(body)
        return self.send(handler, status, body, content_type)

    def spoil(self, body):
        lines, control = split(body)
        change = MODES[self.mode]
        return change(self, lines, control) if change and lines else body

    @staticmethod
    def send(handler, status, body, content_type):
        try:
            handler.send_response(status)
            handler.send_header("Content-Type", content_type)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            handler.close_connection = True
        return None

    @staticmethod
    def bomb(handler):
        """1 GB of spaces as 1 MB of gzip."""
        body = gzip.compress(b" " * 100_000_000, 9) * 10
        try:
            handler.send_response(200)
            handler.send_header("Content-Type", "application/x-ndjson")
            handler.send_header("Content-Encoding", "gzip")
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        except OSError:
            handler.close_connection = True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--pin")
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mode", choices=[mode for mode in MODES if mode != "old"], default="honest")
    arguments = parser.parse_args()
    relay = Relay(arguments.certificate, arguments.key, kv.Source(arguments.upstream, arguments.pin), arguments.port).start()
    relay.mode = arguments.mode
    print(f"{relay.url} relays {arguments.upstream}: {relay.mode}", flush=True)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    relay.close()


if __name__ == "__main__":
    main()
