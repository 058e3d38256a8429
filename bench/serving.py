"""What the programs that measure servers share: starting one, asking it, and reading how much memory it takes."""

import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process that serves the OpenAI API at `url` (ends in /v1)."""

    def __init__(self, command, port, quiet=True):
        self.url = f"http://127.0.0.1:{port}/v1"
        output = subprocess.DEVNULL if quiet else None
        self.process = subprocess.Popen([str(c) for c in command], stdout=output, stderr=output)

    def wait(self, seconds=600):
        """Until it answers questions."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}: {self.process.args}")
            try:
                self.complete("a", max_tokens=1)
                return self
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        raise SystemExit("the server did not begin to answer")

    def __enter__(self):
        return self.wait()

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def open(self, body):
        request = urllib.request.Request(self.url + "/completions", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        return urllib.request.urlopen(request, timeout=600)

    def complete(self, prompt, **more):
        with self.open({"prompt": prompt, "temperature": 0, **more}) as answer:
            return json.load(answer)

    def first_token_seconds(self, prompt):
        """From the request to the first event of its stream that holds a choice."""
        begin = time.perf_counter()
        with self.open({"prompt": prompt, "temperature": 0, "max_tokens": 2, "stream": True}) as answer:
            for line in answer:
                if line.startswith(b"data: {") and b'"choices"' in line:
                    return time.perf_counter() - begin
        raise SystemExit("a stream without a token")

    def metric(self, name):
        """The value of one that has no labels, or the sum over its labels."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/metrics", timeout=60) as answer:
            text = answer.read().decode()
        return sum(float(v) for v in re.findall(rf"^{name}(?:{{[^}}]*}})? ([-+.\deE]+)$", text, re.M))

    def memory(self):
        """Bytes that are this process's own (anonymous), and all that it has in memory."""
        with open(f"/proc/{self.process.pid}/status") as status:
            text = status.read()
        kib = {name: int(value) for name, value in re.findall(r"(RssAnon|VmRSS):\s+(\d+) kB", text)}
        return kib["RssAnon"] * 1024, kib["VmRSS"] * 1024


def facet(binary, model, *more):
    port = free_port()
    return Server([binary, "serve", model, "--port", port, *more], port)


# Enough different words that no two prompts begin alike by chance.
WORDS = """lighthouse keeper door wind paper river mountain garden letter window shadow market bridge winter candle harbor
stone field music silver morning village engine forest bottle station summer ticket corner thunder""".split()


def prose(words, seed):
    return " ".join(WORDS[(seed * 7919 + i * (seed + 3) + i * i // 7) % len(WORDS)] for i in range(words))
