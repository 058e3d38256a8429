#!/usr/bin/env python3
"""A hub for tests: the part of huggingface.co's protocol that downloads use, and ways to misbehave.

    hub_server.py ROOT [BEHAVIOUR.json-text]

ROOT/OWNER/NAME/FILE are the repositories. Prints one line of JSON with the ports ({"hub": N, "cdn": N}) and serves until
its standard input closes. Requests are logged to ROOT/../requests.jsonl. Behaviour (all optional):

    token        only requests with this token may see anything (401 otherwise)
    gated        answer 403 with GatedRepo
    plain        serve large files from the hub itself instead of by redirect to the cdn
    redirect     where to send large files instead (a URL prefix)
    rename       {"old/name": "new/name"}: 307 on the api
    no_blobs     leave sizes and digests out of the list
    no_range     ignore Range headers
    corrupt      [FILE]: flip one bit in the middle
    truncate     {FILE: N}: announce all, close after N bytes, always
    short        {FILE: N}: announce and send N bytes only
    drop         N: close every transfer of a large file after N bytes (a bad line)
    rate         bytes per second of large files
    flaky        N: answer 503 to the first N requests
    siblings     extra raw entries in the list
    sha          the commit to announce
    announce     {FILE: ETAG}: another X-Linked-Etag at download
    tls          [CERT, KEY]: the hub speaks https
"""

import hashlib
import http.server
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse

ROOT = os.path.abspath(sys.argv[1])
BEHAVIOUR = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
LOG = open(os.path.join(ROOT, "..", "requests.jsonl"), "a", buffering=1)
LARGE = (".safetensors", ".gguf")
COMMIT = BEHAVIOUR.get("sha", "0123456789abcdef0123456789abcdef01234567")
lock = threading.Lock()
state = {"flaky": BEHAVIOUR.get("flaky", 0)}
ports = {}


def files_of(repo):
    top = os.path.join(ROOT, repo)
    for folder, _, names in os.walk(top):
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), top)


def content(repo, name):
    with open(os.path.join(ROOT, repo, name), "rb") as f:
        return f.read()


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def etag(name, data):
    return hashlib.sha256(data).hexdigest() if name.endswith(LARGE) else git_sha1(data)


def sibling(repo, name):
    entry = {"rfilename": name}
    if BEHAVIOUR.get("no_blobs"):
        return entry
    data = content(repo, name)
    entry["size"] = len(data)
    entry["blobId"] = git_sha1(data)
    if name.endswith(LARGE):
        entry["lfs"] = {"sha256": etag(name, data), "size": len(data), "pointerSize": 135}
    return entry


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_name_in_log = "hub"

    def log_message(self, *args):
        pass

    def note(self, status):
        record = {"server": self.server_name_in_log, "method": self.command, "path": self.path, "status": status,
                  "authorization": self.headers.get("Authorization"), "range": self.headers.get("Range")}
        with lock:
            LOG.write(json.dumps(record) + "\n")

    def answer(self, status, body=b"", headers=None):
        self.note(status)
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status, code, message):
        self.answer(status, message.encode(), {"X-Error-Code": code, "X-Error-Message": message})

    def may_enter(self):
        with lock:
            busy = state["flaky"] > 0
            state["flaky"] -= busy
        if busy:
            self.answer(503, b"busy")
            return False
        token = BEHAVIOUR.get("token")
        if token is not None and self.headers.get("Authorization") != "Bearer " + token:
            if self.headers.get("Authorization"):
                self.fail(401, "", "Invalid credentials in Authorization header")
            else:
                self.fail(401, "RepoNotFound", "Repository not found")
            return False
        if BEHAVIOUR.get("gated"):
            self.fail(403, "GatedRepo", "Access to model is restricted")
            return False
        return True

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.urlparse(self.path).path
        if not self.may_enter():
            return
        if path.startswith("/api/models/"):
            self.list_files(path)
        else:
            self.resolve(path)

    def list_files(self, path):
        if "/tree/" in path:  # what the official client asks for
            self.list_tree(path)
            return
        repo, _, revision = path[len("/api/models/"):].partition("/revision/")
        if repo in BEHAVIOUR.get("rename", {}):
            new = BEHAVIOUR["rename"][repo]
            self.answer(307, headers={"Location": f"/api/models/{new}/revision/{revision}?blobs=true"})
            return
        if not os.path.isdir(os.path.join(ROOT, repo)):
            self.fail(404, "RepoNotFound", "Repository not found")
        elif urllib.parse.unquote(revision) not in ("main", COMMIT, "refs/pr/1"):
            self.fail(404, "RevisionNotFound", "Invalid rev id")
        else:
            siblings = [sibling(repo, name) for name in sorted(files_of(repo))] + BEHAVIOUR.get("siblings", [])
            body = json.dumps({"id": repo, "sha": COMMIT, "siblings": siblings}).encode()
            self.answer(200, body, {"Content-Type": "application/json"})

    def list_tree(self, path):
        repo = path[len("/api/models/"):].partition("/tree/")[0]
        entries = []
        for name in sorted(files_of(repo)):
            entry = sibling(repo, name)
            item = {"type": "file", "path": name, "size": entry["size"], "oid": entry["blobId"]}
            if "lfs" in entry:
                item["lfs"] = {"oid": entry["lfs"]["sha256"], "size": entry["size"], "pointerSize": 135}
            entries.append(item)
        self.answer(200, json.dumps(entries).encode(), {"Content-Type": "application/json"})

    def resolve(self, path):
        repo, _, rest = path[1:].partition("/resolve/")
        revision, _, name = urllib.parse.unquote(rest).partition("/")
        repo = BEHAVIOUR.get("rename", {}).get(repo, repo)
        if not os.path.isfile(os.path.join(ROOT, repo, name)):
            self.fail(404, "EntryNotFound", "Entry not found")
            return
        data = content(repo, name)
        headers = {"X-Repo-Commit": COMMIT}
        if name.endswith(LARGE):
            linked = BEHAVIOUR.get("announce", {}).get(name, etag(name, data))
            headers.update({"X-Linked-Etag": f'"{linked}"', "X-Linked-Size": str(len(data))})
            if not BEHAVIOUR.get("plain"):
                prefix = BEHAVIOUR.get("redirect", f"http://localhost:{ports['cdn']}/")
                self.answer(302, headers={**headers, "Location": f"{prefix}{repo}/{urllib.parse.quote(name)}?sig=x"})
                return
        self.send_file(name, data, {**headers, "ETag": f'"{etag(name, data)}"'})

    def send_file(self, name, data, headers):
        size = len(data)
        if name in BEHAVIOUR.get("corrupt", []):
            data = data[:size // 2] + bytes([data[size // 2] ^ 1]) + data[size // 2 + 1:]
        begin, end, status = 0, size, 200
        wanted = self.headers.get("Range")
        if wanted and not BEHAVIOUR.get("no_range"):
            first, _, last = wanted[len("bytes="):].partition("-")
            begin, end, status = int(first), min(int(last) + 1 if last else size, size), 206
            if begin >= size:
                self.answer(416, headers={"Content-Range": f"bytes */{size}"})
                return
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        if name in BEHAVIOUR.get("short", {}):
            end = min(end, BEHAVIOUR["short"][name])
        stop = min(end, BEHAVIOUR.get("truncate", {}).get(name, size))
        if name.endswith(LARGE):
            stop = min(stop, begin + BEHAVIOUR.get("drop", size))
        self.note(status)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        if self.command == "HEAD":
            return
        rate = BEHAVIOUR.get("rate") if name.endswith(LARGE) else None
        step = max(1, rate // 50) if rate else 1 << 16
        for at in range(begin, max(stop, begin), step):
            self.wfile.write(data[at:min(at + step, stop)])
            if rate:
                self.wfile.flush()
                time.sleep(step / rate)
        if stop < end:
            self.close_connection = True


class Cdn(Handler):
    server_name_in_log = "cdn"

    def do_GET(self):
        repo_and_name = urllib.parse.unquote(urllib.parse.urlparse(self.path).path[1:])
        owner, name, rest = repo_and_name.split("/", 2)
        self.send_file(rest, content(owner + "/" + name, rest), {"ETag": '"cdn"'})


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # clients that are killed close their connections


def serve(handler, tls=None):
    server = Server(("127.0.0.1", 0), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


ports["cdn"] = serve(Cdn)
ports["hub"] = serve(Handler, BEHAVIOUR.get("tls"))
print(json.dumps(ports), flush=True)
sys.stdin.read()
