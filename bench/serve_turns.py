"""Does a server's memory stay where it is? python3 bench/serve_turns.py build/facet MODEL [--turns 500]

Holds conversations of growing length, one turn after the other, and starts a new one when the context is full. Prints the memory
every 25 turns. The cache of prompts may fill first: from the reading behind its first eviction on, `--turns` more must not make
the memory grow by more than 5 % (and 16 MB, what allocators keep).
"""

import argparse

from serving import facet, prose

parser = argparse.ArgumentParser()
parser.add_argument("facet")
parser.add_argument("model")
parser.add_argument("--turns", type=int, default=500)
parser.add_argument("--context", type=int, default=2048)
parser.add_argument("--cache-mb", type=int, default=256)
parser.add_argument("--new-words", type=int, default=30)
options = parser.parse_args()

EVERY = 25

with facet(options.facet, options.model, "--ctx", options.context, "--cache-mb", options.cache_mb) as server:
    history, conversations, turn, full, settled = "", 0, 0, None, None
    while full is None or turn < full + options.turns:
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
            full, settled = turn, own
            print(f"turn {turn:5}  the cache of {options.cache_mb} MB is full", flush=True)

print(f"from {settled / 1e6:.1f} MB with a full cache to {own / 1e6:.1f} MB {turn - full} turns later: {100 * (own / settled - 1):+.1f} %")
raise SystemExit(own > settled + max(0.05 * settled, 16e6))
