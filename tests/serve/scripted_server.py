"""A facet with a scripted model, for suites of vendors' clients."""

import json
import os
import re
import signal
import struct
import subprocess
import tempfile
import zlib

MODEL = "gemma-4-12b"
THOUGHT = "<|channel>thought\n"


def call(city):
    return f'<|tool_call>call:get_weather{{city:<|"|>{city}<|"|>}}<tool_call|>'


CALL = THOUGHT + "Look.\n<channel|>Wait." + call("Oslo")
SCRIPT = [
    {"match": "CALL(.|\n)*response:get_weather", "emit": "It is cold."},
    {"match": "CALL", "emit": CALL},
    {"match": "TWO", "emit": CALL + call("Rom")},
    {"match": "FORCED", "emit": call("Oslo")},
    {"match": "JSON", "emit": '{"name":"Ada","age":36}'},
    {"match": "THINK", "emit": THOUGHT + "Deep.\n<channel|>Answer."},
    {"match": "COUNT", "emit": "one two three four five six seven eight"},
    {"match": "SLOW", "emit": "tick tack " * 200, "delay_ms": 10},
    {"emit": "Hello there."},
]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
          "required": ["name", "age"], "additionalProperties": False}


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# A red square of 64 x 64.
PNG = (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)) +
       _chunk(b"IDAT", zlib.compress((b"\0" + b"\xff\0\0" * 64) * 64)) + _chunk(b"IEND", b""))


class Server:
    """`url` is the address without a path; the key is "sk-test"."""

    def __init__(self, facet, tests):
        self.facet, self.tests = facet, tests

    def __enter__(self):
        self.script = tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False)
        self.script.write("\n".join(json.dumps(line) for line in SCRIPT))
        self.script.close()
        self.process = subprocess.Popen(
            [self.facet, "serve", "script:" + self.script.name, "--served-model-name", MODEL, "--port", "0", "--api-key", "sk-test",
             "--vocab", self.tests + "/reference/gemma4/vocab.gguf"], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            found = re.search(r"(http://127\.0\.0\.1:\d+)/v1", line)
            if found:
                self.url = found[1]
                return self
        raise SystemExit("the server did not start")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        os.unlink(self.script.name)
        assert code == 0, f"the server ended with {code}"
