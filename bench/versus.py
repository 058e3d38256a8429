#!/usr/bin/env python3
"""facet and llama.cpp in turn on one GGUF: A B A B, one process each time, ratios of each round.

    bench/versus.py MODEL.gguf [--prompt 512] [--gen 64] [--ctx 0] [--rounds 5] [--threads 2]

llama.cpp comes from the PyPI package llama-cpp-python, built for this machine into a scratch
environment in the cache folder at the first use (about ten minutes on two cores). What is compared:

  ready        seconds from the start of loading until the first step can run
  prompt       tokens a second while a prompt is read
  generate     tokens a second, greedy, behind --ctx tokens and the prompt's first token
  first token  seconds from nothing to the first token behind a prompt of ten tokens; facet's whole
               process counts, of llama.cpp's only what follows Python's imports
  memory       the largest resident set, of the runs of prompt and generate
"""
import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

PACKAGE = "llama-cpp-python==0.3.36"
ROOT = pathlib.Path(__file__).resolve().parent.parent
TEN_TOKENS = "The weather in the north of the country is"


def scratch_python():
    """The interpreter of an environment that has llama-cpp-python; made at the first use."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    folder = cache / "facet-dev" / "versus"
    python = folder / "bin" / "python"
    if subprocess.run([python, "-c", "import llama_cpp"], capture_output=True).returncode == 0 \
            if python.exists() else False:
        return python
    print(f"building {PACKAGE} into {folder}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    env = dict(os.environ, CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-binary", "llama-cpp-python",
                    PACKAGE], check=True, env=env)
    return python


def llama_child(options):
    """Runs inside the scratch environment; prints one JSON object."""
    import ctypes
    import llama_cpp as lc

    @lc.llama_log_callback
    def quiet(level, text, data):
        pass

    lc.llama_log_set(quiet, ctypes.c_void_p(0))
    start = time.perf_counter()
    lc.llama_backend_init()
    params = lc.llama_model_default_params()
    params.n_gpu_layers = 0
    model = lc.llama_model_load_from_file(options.model.encode(), params)
    context = lc.llama_context_default_params()
    context.n_ctx = max(512, options.ctx + options.prompt + options.gen + 64)
    context.n_batch = 2048
    context.n_ubatch = 512
    context.n_threads = context.n_threads_batch = options.threads
    if options.cache_type == "q8_0":
        context.type_k = context.type_v = lc.GGML_TYPE_Q8_0
        context.flash_attn_type = 1
    ctx = lc.llama_init_from_model(model, context)
    if not ctx:
        sys.exit("llama.cpp could not make a context")
    ready = time.perf_counter() - start
    vocab = lc.llama_model_get_vocab(model)
    size = lc.llama_vocab_n_tokens(vocab)

    def decode(tokens):
        for at in range(0, len(tokens), 2048):
            part = tokens[at:at + 2048]
            array = (lc.llama_token * len(part))(*part)
            if lc.llama_decode(ctx, lc.llama_batch_get_one(array, len(part))) != 0:
                sys.exit("llama_decode failed")

    def best():
        logits = lc.llama_get_logits_ith(ctx, -1)
        import numpy
        return int(numpy.ctypeslib.as_array(logits, shape=(size,)).argmax())

    out = {"ready": ready}
    if options.first_token:
        text = TEN_TOKENS.encode()
        array = (lc.llama_token * 64)()
        count = lc.llama_tokenize(vocab, text, len(text), array, 64, True, True)
        decode(list(array[:count]))
        best()
        out["first_token"] = time.perf_counter() - start
        print(json.dumps(out))
        return

    memory = lc.llama_get_memory(ctx)
    ids = [(i * 7919) % 4096 for i in range(max(options.prompt, options.ctx) + 1)]
    decode(ids[:8])  # warm-up
    best()
    lc.llama_memory_clear(memory, True)
    if options.prompt:
        begin = time.perf_counter()
        decode(ids[:options.prompt])
        best()
        out["prompt"] = options.prompt / (time.perf_counter() - begin)
    if options.gen:
        lc.llama_memory_clear(memory, True)
        decode(ids[:options.ctx] + [1])
        token = best()
        begin = time.perf_counter()
        for _ in range(options.gen):
            decode([token])
            token = best()
        out["generate"] = options.gen / (time.perf_counter() - begin)
    out["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(out))


def run_llama(python, options, first_token):
    command = [python, __file__, "--llama-child", options.model, "--prompt", str(options.prompt),
               "--gen", str(options.gen), "--ctx", str(options.ctx), "--threads",
               str(options.threads), "--cache-type", options.cache_type]
    if first_token:
        command.append("--first-token")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"llama.cpp failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_facet(options):
    command = [options.facet, "bench", options.model, "--prompt", str(options.prompt), "--gen",
               str(options.gen), "--ctx", str(options.ctx), "--threads", str(options.threads),
               "--cache-type", options.cache_type, "--repeat", "1", "--json"]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    out = {"ready": report["ready_seconds"], "memory": report["peak_resident_bytes"] - (256 << 20)}
    for test in report["tests"]:
        kind = test["name"].split()[0]
        out[kind] = test["per_second"]
        for limit in ("of_bandwidth", "of_int8_peak"):
            if limit in test:
                out[f"{kind} {limit}"] = test[limit]
    return out


def facet_first_token(options):
    command = [options.facet, "run", options.model, TEN_TOKENS, "--max-tokens", "1", "--temperature",
               "0", "--threads", str(options.threads)]
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--facet", default=str(ROOT / "build" / "facet"))
    parser.add_argument("--llama-python", help="an interpreter that has llama-cpp-python already")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--gen", type=int, default=64)
    parser.add_argument("--ctx", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cache-type", default="f16", choices=["f16", "q8_0"])
    parser.add_argument("--json", action="store_true", help="every round, as JSON")
    parser.add_argument("--first-token", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--llama-child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.llama_child:
        return llama_child(options)
    python = options.llama_python or scratch_python()
    run_facet(options)  # writes the packed weights where they are kept, warms the page cache
    rounds = []
    for number in range(options.rounds):
        ours = run_facet(options)
        theirs = run_llama(python, options, False)
        ours["first_token"] = facet_first_token(options)
        theirs["first_token"] = run_llama(python, options, True)["first_token"]
        rounds.append({"facet": ours, "llama.cpp": theirs})
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    if options.json:
        return print(json.dumps(rounds, indent=1))
    print(f"{'medians of ' + str(len(rounds)):14} {'facet':>12} {'llama.cpp':>12} {'ratio':>8}")
    for name, more_is_better, scale, unit in [("ready", False, 1, "s"), ("prompt", True, 1, "tok/s"),
                                              ("generate", True, 1, "tok/s"),
                                              ("first_token", False, 1, "s"),
                                              ("memory", False, 1e-9, "GB")]:
        if name not in rounds[0]["facet"]:
            continue
        a = [r["facet"][name] * scale for r in rounds]
        b = [r["llama.cpp"][name] * scale for r in rounds]
        ratio = statistics.median(x / y if more_is_better else y / x for x, y in zip(a, b))
        print(f"{name:14} {statistics.median(a):12.3f} {statistics.median(b):12.3f} {ratio:7.2f}x  "
              f"{unit}, above 1 is better for facet")
    for name in ("prompt of_int8_peak", "generate of_bandwidth"):
        if name in rounds[0]["facet"]:
            share = statistics.median(r["facet"][name] for r in rounds)
            print(f"facet's {name.replace('of_', 'at ').replace('_', ' ')}: {100 * share:.0f} %")


if __name__ == "__main__":
    main()
