#!/usr/bin/env python3
"""A municipality's contracted-care API, played on loopback: bearer token, ETag, HAL pages, and the moods of real registers.

    with ContractedCareServer("token").start() as care:
        care.url            # what a source's `url` is
        care.remove_one()   # a provider disappears from the list; its name
        care.mode("html")   # from now on: normal, empty, html, broken, truncated, half, foreign, moved, error, busy, denied
        care.restore()      # as the file says, and normal

As a program it serves until Ctrl-C: contracted_care_server.py [--port N] [--token-file FILE] [--data FILE]. The same changes can then be made
by POST /_control with {"mode":"html","times":1}, {"remove":["A-1003"]}, {"change":{"A-1001":{"telefoon":"..."}}}, {"restore":true}; the file is
read again when it changes.
"""
import argparse
import copy
import hashlib
import http.server
import json
import os
import threading
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "data", "contracted-care.json")
LIST = "/v1/aanbieders"
HTML = b"<!DOCTYPE html><html><head><title>Onderhoud</title></head><body><h1>Wij zijn zo terug</h1></body></html>"


class ContractedCareServer:
    def __init__(self, token, data=DATA, port=0, page_size=5):
        self.token, self.path, self.page_size = token, data, page_size
        self.token_header = None         # instead of Authorization: Bearer
        self.lock = threading.Lock()
        self.requests, self.requests_with_token, self.pages_served, self.not_modified = 0, 0, 0, 0
        self.log = []                    # (path with query, status) of every request to the list
        self._mode, self._times, self.closed = "normal", None, False
        self._load()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}{LIST}"
        self.thread = None

    # ---- life ----

    def start(self):
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def close(self):
        self.closed = True  # connections that are still open get no answer either
        if self.thread:
            self.http.shutdown()
            self.thread.join()
            self.thread = None
        self.http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- the list ----

    def _load(self):
        self.modified = os.stat(self.path).st_mtime_ns
        with open(self.path, encoding="utf-8") as file:
            self.rows = json.load(file)

    def _reload_if_changed(self):
        if os.stat(self.path).st_mtime_ns != self.modified:
            self._load()

    def restore(self):
        """The list as the file says, and a normal mood."""
        with self.lock:
            self._load()
            self._mode, self._times = "normal", None

    def ids(self):
        with self.lock:
            return [row["aanbiederId"] for row in self.rows]

    def remove(self, *ids):
        """Providers disappear from the list; their names."""
        with self.lock:
            names = [row["naam"] for row in self.rows if row["aanbiederId"] in ids]
            self.rows = [row for row in self.rows if row["aanbiederId"] not in ids]
        return names

    def remove_one(self):
        """The last provider disappears; its name."""
        return self.remove(self.ids()[-1])[0]

    def remove_half(self):
        """Every other provider disappears; their names."""
        return self.remove(*self.ids()[1::2])

    def change(self, provider, **members):
        with self.lock:
            for row in self.rows:
                if row["aanbiederId"] == provider:
                    row.update(copy.deepcopy(members))

    def add(self, *rows):
        with self.lock:
            self.rows += copy.deepcopy(list(rows))

    def set_rows(self, rows):
        with self.lock:
            self.rows = copy.deepcopy(list(rows))

    def mode(self, name, times=None):
        """Another mood, for good or for so many requests."""
        with self.lock:
            self._mode, self._times = name, times

    # ---- answers ----

    def control(self, wish):
        if wish.get("restore"):
            self.restore()
        if "remove" in wish:
            self.remove(*wish["remove"])
        for provider, members in wish.get("change", {}).items():
            self.change(provider, **members)
        if "mode" in wish:
            self.mode(wish["mode"], wish.get("times"))

    def _take_mode(self):
        mode = self._mode
        if self._times is not None:
            self._times -= 1
            if self._times <= 0:
                self._mode, self._times = "normal", None
        return mode

    def _page(self, rows, number, total):
        first = (number - 1) * self.page_size
        links = {"self": {"href": f"{LIST}?pagina={number}"}}
        if first + self.page_size < len(rows):
            links["next"] = {"href": f"{LIST}?pagina={number + 1}"}
        return {"_embedded": {"aanbieders": rows[first:first + self.page_size]}, "_links": links, "totaal": total}

    def answer(self, path, headers):
        """(status, headers, body) of a GET for the list."""
        with self.lock:
            self.requests += 1
            self._reload_if_changed()
            mode = self._take_mode()
            given = headers.get(self.token_header) if self.token_header else headers.get("Authorization", "").removeprefix("Bearer ")
            if given != self.token or mode == "denied":
                return 401, {"WWW-Authenticate": "Bearer", "Content-Type": "application/problem+json"}, b'{"title":"Geen toegang","status":401}'
            self.requests_with_token += 1
            if mode == "error":
                return 500, {"Content-Type": "text/plain"}, b"interne fout"
            if mode == "busy":
                return 429, {"Retry-After": "1", "Content-Type": "text/plain"}, b"te veel verzoeken"
            if mode == "html":
                return 200, {"Content-Type": "text/html; charset=utf-8"}, HTML
            if mode == "moved":
                return 302, {"Location": "/elders"}, b""
            rows = [] if mode == "empty" else self.rows
            total = len(rows)
            if mode == "half":
                rows = rows[:len(rows) // 2]
            etag = '"' + hashlib.sha256(json.dumps([rows, total]).encode()).hexdigest()[:32] + '"'
            if headers.get("If-None-Match") == etag:
                self.not_modified += 1
                return 304, {"ETag": etag}, b""
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)
            number = int(query.get("pagina", ["1"])[0])
            page = self._page(rows, number, total)
            if mode == "foreign":
                page["_links"]["next"] = {"href": "http://127.0.0.1:1/v1/aanbieders?pagina=2"}
            body = json.dumps(page).encode()
            last = "next" not in page["_links"]
            if mode in ("broken", "truncated") and last:  # the pages before it are good
                body = body[:len(body) // 2]
            self.pages_served += 1
            return 200, {"Content-Type": "application/hal+json", "ETag": etag, "X-Mode": mode}, body

    def _handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, headers, body):
                self.send_response(status)
                for name, value in headers.items():
                    if name != "X-Mode":
                        self.send_header(name, value)
                cut = headers.get("X-Mode") == "truncated"  # promises more than comes
                if status != 304:
                    self.send_header("Content-Length", str(len(body) + (1000 if cut else 0)))
                self.end_headers()
                self.wfile.write(body)
                if cut:
                    self.close_connection = True

            def do_GET(self):
                if server.closed:
                    self.close_connection = True
                    return
                if urllib.parse.urlsplit(self.path).path != LIST:
                    self.reply(404, {"Content-Type": "application/problem+json"}, b'{"title":"Niet gevonden","status":404}')
                    return
                status, headers, body = server.answer(self.path, self.headers)
                with server.lock:
                    server.log.append((self.path, status))
                self.reply(status, headers, body)

            def do_POST(self):
                size = int(self.headers.get("Content-Length", "0"))
                wish = self.rfile.read(min(size, 1 << 20))
                if self.path != "/_control":
                    self.reply(404, {}, b"")
                    return
                server.control(json.loads(wish))
                self.reply(204, {}, b"")

        return Handler


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--token-file", help="bearer token; default: the token is \"demo\"")
    parser.add_argument("--data", default=DATA)
    options = parser.parse_args()
    token = "demo"
    if options.token_file:
        with open(options.token_file, encoding="utf-8") as file:
            token = file.read().strip()
    with ContractedCareServer(token, options.data, options.port) as server:
        print(f"{server.url} (Ctrl-C ends)", flush=True)
        try:
            server.http.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
