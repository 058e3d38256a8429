"""facet serve beside the server of llama-cpp-python, on the same GGUF:

    python3 -m venv llama && llama/bin/pip install 'llama-cpp-python[server]'
    python3 bench/serve_versus.py build/facet MODEL.gguf --llama llama/bin/python

Time to the first token of a prompt that was not seen before, and of the same prompt with a little more behind it; then several
clients at once, in tokens per second of all together. One server runs at a time. Needs a quiet machine.
"""

import argparse
import concurrent.futures
import json
import os
import statistics
import time

from serving import Server, facet, free_port, prose

parser = argparse.ArgumentParser()
parser.add_argument("facet")
parser.add_argument("model")
parser.add_argument("--llama", help="a python that has llama-cpp-python[server]")
parser.add_argument("--words", type=int, default=2000, help="of the long prompt (each is a token or a little more)")
parser.add_argument("--more", type=int, default=20, help="words that the second request adds")
parser.add_argument("--repeat", type=int, default=3)
parser.add_argument("--clients", type=int, default=4)
parser.add_argument("--tokens", type=int, default=128)
parser.add_argument("--threads", type=int, default=os.cpu_count())
options = parser.parse_args()


def first_tokens(server):
    """Milliseconds, cold and cached: medians; and the tokens of the prompt."""
    cold, cached = [], []
    for seed in range(1, options.repeat + 1):
        prompt = prose(options.words, seed)
        cold.append(server.first_token_seconds(prompt))
        cached.append(server.first_token_seconds(prompt + " " + prose(options.more, seed + 50)))
    tokens = server.complete(prompt, max_tokens=1)["usage"]["prompt_tokens"]
    return statistics.median(cold) * 1000, statistics.median(cached) * 1000, tokens


def together(server):
    """Tokens per second of all clients."""
    def run(client):
        return server.complete(prose(40, 100 + client), max_tokens=options.tokens)["usage"]["completion_tokens"]

    run(99)  # the first answer pays for pages that are touched first
    with concurrent.futures.ThreadPoolExecutor(options.clients) as pool:
        begin = time.perf_counter()
        tokens = sum(pool.map(run, range(options.clients)))
        return tokens / (time.perf_counter() - begin)


def measure(name, server):
    with server:
        cold, cached, tokens = first_tokens(server)
        rate = together(server)
    print(f"{name:18} prompt of {tokens} tokens: first token {cold:8.1f} ms cold, {cached:7.1f} ms cached "
          f"({100 * cached / cold:.1f} %); {options.clients} clients: {rate:7.1f} tokens/s", flush=True)
    return {"cold_ms": cold, "cached_ms": cached, "prompt_tokens": tokens, "tokens_per_second": rate}


results = {"facet": measure("facet", facet(options.facet, options.model, "--ctx", 4096, "--threads", options.threads))}
if options.llama:
    port = free_port()
    command = [options.llama, "-m", "llama_cpp.server", "--model", options.model, "--port", port, "--n_ctx", 4096, "--n_threads",
               options.threads, "--n_threads_batch", options.threads]
    results["llama-cpp-python"] = measure("llama-cpp-python", Server(command, port))
    ratio = results["facet"]["tokens_per_second"] / results["llama-cpp-python"]["tokens_per_second"]
    print(f"{options.clients} clients: {ratio:.2f} times as many tokens per second")
print(json.dumps(results))
