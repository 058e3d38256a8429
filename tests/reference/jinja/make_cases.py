#!/usr/bin/env python3
"""Writes cases.json beside it: what Python's Jinja2, set up as Transformers does, makes of values.

    pip install jinja2 && python3 make_cases.py

The tests compare with the file; this program is only needed to change it."""

import json
import pathlib
import random
import struct

import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])
    env.filters["tojson"] = lambda x, **options: json.dumps(x, ensure_ascii=False, **options)
    return env


TEMPLATES = [
    "{{ x }}",
    "{{ x ~ '' }}|{{ 'a' ~ x ~ 1.0 ~ none ~ true }}",
    "{{ x | string }}",
    "{{ x | upper }}|{{ x | lower }}|{{ x | capitalize }}",
    "{{ x | trim }}|{{ x | replace('e', 1.5) }}|{{ 'xyz' | replace('y', x) }}",
    "{{ [x, none, 1.0] | join(', ') }}|{{ [1, 2] | join(x) }}",
    "{{ '%s' | format(x) }}|{{ 'a%sb%s' | format(x, none) }}|{{ '%s and %s' % (x, true) }}",
    "{{ x | tojson }}",
    "{{ [x, x] }}{{ {'k': x} }}",
    "{% set y %}<{{ x }}>{% endset %}{{ y }}{{ y ~ x }}",
    "{{ [x] | map('string') | join }}|{{ [x] | map('upper') | list }}",
    "{{ x is none }}{{ x is boolean }}{{ x is string }}{{ x is mapping }}{{ x is sequence }}{{ x is number }}{{ x is integer }}{{ x is float }}",
    "{% macro m(v) %}{{ v }}{% endmacro %}{{ m(x) }}|{{ m([x]) ~ x }}",
]


def values(rng):
    yield from [None, True, False, 0, -1, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 2**100, -(2**127),
                2**127, 10**60, -(10**60)]
    yield from [0.0, -0.0, 1.0, -2.5, 0.1, 1e15, 1e16, 123456789012345680.0, 1e22, 1e-4, 1e-5, 5e-324, 1.7976931348623157e308,
                45955.020000000004, 1611351282.3814685, 94.95886283158103]
    for _ in range(60):
        yield rng.choice([rng.uniform(-180, 180), rng.uniform(0, 2e9), rng.gauss(0, 1) * 10 ** rng.randint(-12, 20),
                          round(rng.uniform(0, 1e5), rng.randint(0, 12))])
    yield from ["", "plain", "it's", 'say "x"', "both ' and \"", "back\\slash", "line\nbreak\ttab\r", "\x00\x1f\x7f\x80",
                "Grüße 日本 😀", "nbsp\u00a0zero\u200bjoin\u200dfeff\ufeff", "\U000e0041", "%s {} {{ }}", "None", "true"]
    yield from [[], {}, [[]], [{}], ["string", "null"], [None, True, 1.0, 1, "a"], {"a": None, "b": [False, {"c": 2.0}]},
                {"k'ey": "v\"al"}, [2**64, 1e16, -0.0], {"deep": {"deep": {"deep": [1.5, "x\ny"]}}}]


def chat_template_of(path):
    """The tokenizer.chat_template of a GGUF."""
    data = path.read_bytes()
    at = 8 + 8
    (count,) = struct.unpack_from("<Q", data, at)
    at += 8
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def text(at):
        (n,) = struct.unpack_from("<Q", data, at)
        return data[at + 8 : at + 8 + n], at + 8 + n

    def skip(kind, at):
        if kind == 8:
            return text(at)[1]
        if kind == 9:
            inner, n = struct.unpack_from("<IQ", data, at)
            at += 12
            if inner in sizes:
                return at + n * sizes[inner]
            for _ in range(n):
                at = skip(inner, at)
            return at
        return at + sizes[kind]

    for _ in range(count):
        key, at = text(at)
        (kind,) = struct.unpack_from("<I", data, at)
        at += 4
        if key == b"tokenizer.chat_template":
            return text(at)[0].decode()
        at = skip(kind, at)
    raise SystemExit(f"{path} has no chat template")


def conversations():
    def call(arguments, result="ok"):
        return [{"role": "user", "content": "x"},
                {"role": "assistant", "content": "",
                 "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}],
                 "tool_responses": [{"name": "f", "response": result}]}]

    yield call({"unit": None, "city": "Oslo"}), None
    yield call({"lat": 94.95886283158103, "lon": -18.183216676054286, "t": 1611351282.3814685, "total": 45955.020000000004}), None
    yield call({"a": [True, False, None, 1.0], "big": 2**64, "bigger": -(10**50), "o": {"n": None, "s": "None"}}), None
    yield [{"role": "user", "content": "x"}], [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": {
            "type": "object", "properties": {"city": {"type": ["string", "null"], "description": "c"},
                                             "n": {"type": "array", "items": {"type": ["integer", "null"], "maximum": 1e16}}}}}}]


def main():
    rng = random.Random(9)
    env = environment()
    cases = [{"x": x, "texts": [env.from_string(source).render(x=x) for source in TEMPLATES]} for x in values(rng)]
    chats = []
    for name in ["vocab.gguf", "chat_template_openai.jinja"]:
        path = HERE.parent / "gemma4" / name
        source = chat_template_of(path) if path.suffix == ".gguf" else path.read_text()
        template = environment().from_string(source)
        for messages, tools in conversations():
            text = template.render(messages=messages, tools=tools, add_generation_prompt=True, bos_token="<bos>")
            chats.append({"template": name, "messages": messages, "tools": tools, "text": text})
    out = {"templates": TEMPLATES, "cases": cases, "chats": chats}
    (HERE / "cases.json").write_text(json.dumps(out, ensure_ascii=True, indent=0) + "\n")


main()
