"""Does a server's memory stay where it is? python3 bench/serve_turns.py build/facet MODEL [--turns 500]

Holds conversations of growing length, one turn after the other, and starts a new one when the context is full. Prints the memory
every 25 turns. Two things may fill first: the cache of prompts, and the buffers that only grow when a step meets more rows or a
longer context than any before it. So the base is the reading `--settle` turns behind the first eviction; from there on, `--turns`
more must not make the memory grow by more than 5 %.
"""

import argparse

from serving import facet, prose

parser = argparse.ArgumentParser()
parser.add_argument("facet")
parser.add_argument("model")
parser.add_argument("--turns", type=int, default=500)
parser.add_argument("--settle", type=int, default=400)
parser.add_argument("--context", type=int, default=2048)
parser.add_argument("--cache-mb", type=int, default=256)
parser.add_argument("--new-words", type=int, default=30)
options = parser.parse_args()

EVERY = 25

with facet(options.facet, options.model, "--ctx", options.context, "--cache-mb", options.cache_mb) as server:
    history, conversations, turn, full, base = "", 0, 0, None, None
    while full is None or turn < full + options.settle + options.turns:
        turn += 1
        history += "\n" + prose(options.new_words, turn)
        answer = server.complete(history, max_tokens=16)
        history += answer["choices"][0]["text"]
        if answer["usage"]["total_tokens"] > options.context * 0.8:
            history, conversations = "", conversations + 1
        if turn % EVERY:
            continue
        own, whole = server.memory()
        cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
        print(f"turn {turn:5}  own {own / 1e6:8.1f} MB  whole {whole / 1e6:8.1f} MB  conversations {conversations:4}  "
              f"prompt {answer['usage']['prompt_tokens']:5}  cached {cached:5}", flush=True)
        if full is None and server.metric("facet_cache_evictions_total") > 0:
            full = turn
            print(f"turn {turn:5}  the cache of {options.cache_mb} MB is full", flush=True)
        if base is None and full is not None and turn >= full + options.settle:
            base, since = own, turn

print(f"from {base / 1e6:.1f} MB at turn {since} to {own / 1e6:.1f} MB {turn - since} turns later: {100 * (own / base - 1):+.1f} %")
raise SystemExit(own > 1.05 * base)
