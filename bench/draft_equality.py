#!/usr/bin/env python3
"""Does drafting change answers? python3 bench/draft_equality.py build/facet pebble [--generations 2000]

Two servers of one model, one with drafts and one without, get the same requests: text, pictures and sound (held-out items of
examples/pebble), 1 to 4 at a time, some with a prefix that is cached and some new. Half are greedy: every answer must be the
same to the byte. Half are sampled at temperature 1: the first tokens' frequencies of both must agree (chi-square, p > 0.001).
"""
import argparse
import base64
import collections
import concurrent.futures
import json
import math
import pathlib
import random
import subprocess
import tempfile
import urllib.request

from serving import facet

HERE = pathlib.Path(__file__).resolve().parent
SKILLS = ["speech", "reading", "seeing", "tools", "plots", "voice_edit", "code", "chat"]


def part_of(part, folder):
    """A part of the data as the API takes it."""
    if part["type"] == "text":
        return part
    path = folder / part["path"]
    data = base64.b64encode(path.read_bytes()).decode()
    if part["type"] == "audio":
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def requests_of(folder):
    """One request for each held-out item: what stands before its first answer."""
    out = []
    for skill in SKILLS:
        for line in (folder / f"{skill}-heldout.jsonl").read_text().splitlines():
            row = json.loads(line)
            message = row["messages"][0]
            content = message["content"]
            if isinstance(content, list):
                content = [part_of(part, folder) for part in content]
            out.append({"messages": [{"role": "user", "content": content}], **({"tools": row["tools"]} if "tools" in row else {})})
    return out


def ask(server, request):
    call = urllib.request.Request(server.url + "/chat/completions", json.dumps(request).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(call, timeout=600) as answer:
        return json.load(answer)


def text_of(answer):
    message = answer["choices"][0]["message"]
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or []]
    return json.dumps([message.get("content"), calls, answer["choices"][0]["finish_reason"]])


def chi_square(left, right):
    """Of two samples of categories; rare ones count together. Returns the statistic and its degrees of freedom."""
    n, m = sum(left.values()), sum(right.values())
    bins, rest = [], [0, 0]
    for key in sorted(set(left) | set(right)):
        pair = left[key], right[key]
        if sum(pair) >= 10:
            bins.append(pair)
        else:
            rest = [rest[0] + pair[0], rest[1] + pair[1]]
    if sum(rest):
        bins.append(rest)
    statistic = 0
    for a, b in bins:
        for seen, share in ((a, n / (n + m)), (b, m / (n + m))):
            expected = (a + b) * share
            statistic += (seen - expected) ** 2 / expected
    return statistic, len(bins) - 1


def probability(statistic, degrees):
    """That a chi-square variable is as large or larger (Wilson and Hilferty's approximation)."""
    if degrees == 0:
        return 1.0
    z = ((statistic / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / math.sqrt(2 / (9 * degrees))
    return 0.5 * math.erfc(z / math.sqrt(2))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("facet")
    parser.add_argument("model")
    parser.add_argument("--generations", type=int, default=2000)
    parser.add_argument("--draft", default="4", help="drafts a round of the server that drafts, or auto")
    parser.add_argument("--sampled-prompts", type=int, default=10)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--seed", type=int, default=7)
    a = parser.parse_args()
    rng = random.Random(a.seed)
    with tempfile.TemporaryDirectory() as scratch, facet(a.facet, a.model, "--draft", a.draft) as drafting, \
            facet(a.facet, a.model, "--draft", "off") as plain, concurrent.futures.ThreadPoolExecutor(8) as pool:
        folder = pathlib.Path(scratch)
        subprocess.run([HERE.parent / "examples/pebble/python", HERE.parent / "examples/pebble/make_data.py", "--split", "heldout",
                        "--count", "40", "--seed", str(a.seed), "--out", folder]
                       + [word for skill in SKILLS for word in ("--skill", skill)], check=True, stdout=subprocess.DEVNULL)
        requests = requests_of(folder)
        drafted = accepted = tokens = greedy = cached = 0
        while greedy < a.generations // 2:
            together = rng.sample(requests, rng.randint(1, 4))
            bodies = [{**r, "temperature": 0, "max_tokens": rng.randint(4, a.max_tokens)} for r in together]
            answers = [[pool.submit(ask, server, body) for body in bodies] for server in (drafting, plain)]
            for body, one, other in zip(bodies, *answers):
                one, other = one.result(), other.result()
                assert text_of(one) == text_of(other), (body["messages"][-1], text_of(one), text_of(other))
                drafted += one["timings"].get("draft_n", 0)
                accepted += one["timings"].get("draft_n_accepted", 0)
                tokens += one["usage"]["completion_tokens"]
                cached += one["usage"]["prompt_tokens_details"]["cached_tokens"] > 0
                greedy += 1
        print(f"{greedy} greedy answers are equal to the byte ({cached} with a cached prefix; {tokens} tokens, {drafted} drafts, "
              f"{accepted} accepted)", flush=True)
        assert accepted > 0, "nothing was drafted: nothing was tested"

        total, degrees = 0, 0
        each = a.generations // 2 // a.sampled_prompts
        for request in rng.sample(requests, a.sampled_prompts):
            body = {**request, "temperature": 1, "max_tokens": 6, "logprobs": True}
            counts = []
            for server in (drafting, plain):
                seeds = [rng.getrandbits(31) for _ in range(each)]
                firsts = [collections.Counter() for _ in range(4)]  # of the first tokens, by place
                for answer in pool.map(lambda seed: ask(server, {**body, "seed": seed}), seeds):
                    for place, token in zip(firsts, (answer["choices"][0]["logprobs"] or {}).get("content") or []):
                        place[token["token"]] += 1
                counts.append(firsts)
            for left, right in zip(*counts):
                if left and right:
                    statistic, free = chi_square(left, right)
                    total, degrees = total + statistic, degrees + free
        p = probability(total, degrees)
        print(f"{2 * each * a.sampled_prompts} sampled answers: chi-square {total:.1f} of {degrees} degrees of freedom, p = {p:.3f}")
        raise SystemExit(p < 0.001)


if __name__ == "__main__":
    main()
