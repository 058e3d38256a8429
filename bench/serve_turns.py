"""Does a server's memory stay where it is? python3 bench/serve_turns.py build/facet MODEL [--turns 500]

Holds conversations of growing length, one turn after the other, and starts a new one when the context is full. Prints the memory
every 25 turns; fails where it grows by more than 5 % (and 16 MB, what allocators keep) after the first fifth.
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

with facet(options.facet, options.model, "--ctx", options.context, "--cache-mb", options.cache_mb) as server:
    history, readings, conversations = "", [], 0
    for turn in range(1, options.turns + 1):
        history += "\n" + prose(options.new_words, turn)
        answer = server.complete(history, max_tokens=16)
        history += answer["choices"][0]["text"]
        if answer["usage"]["total_tokens"] > options.context * 0.8:
            history, conversations = "", conversations + 1
        if turn % 25 == 0 or turn == options.turns:
            own, whole = server.memory()
            readings.append((turn, own))
            cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            print(f"turn {turn:5}  own {own / 1e6:8.1f} MB  whole {whole / 1e6:8.1f} MB  conversations {conversations:4}  "
                  f"prompt {answer['usage']['prompt_tokens']:5}  cached {cached:5}", flush=True)

settled = next(own for turn, own in readings if turn >= options.turns / 5)
last = readings[-1][1]
print(f"from {settled / 1e6:.1f} MB at a fifth to {last / 1e6:.1f} MB: {100 * (last / settled - 1):+.1f} %")
raise SystemExit(last > settled + max(0.05 * settled, 16e6))
