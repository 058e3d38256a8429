#!/usr/bin/env python3
"""LoRA steps on the Gemma 3 270M shape: facet against transformers + peft, in turn, on this machine.

    bench/versus_tune.py [--build build] [--rounds 2] [--steps 2] [--tokens 512] [--only f32|bf16] [--venv DIR]

One sequence, rank 16 beside all seven projections, AdamW; with all tokens labelled and with the last 64. Prints tokens a
second of the best step of each, their ratio, and peak memory. The Python side is installed once into a virtual
environment below XDG_CACHE_HOME. Weights are random (facet synth): speed does not depend on their values.
"""
import argparse, json, os, pathlib, re, subprocess, sys

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "facet-dev" / "versus-tune"
PACKAGES = ["torch", "transformers>=5.10", "peft"]

PEER = r"""
import json, resource, sys, time, torch
from peft import LoraConfig, get_peft_model
from transformers import Gemma3ForCausalLM, Gemma3TextConfig
tokens, labelled, steps, dtype, threads = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5])
torch.set_num_threads(threads); torch.manual_seed(0)
config = Gemma3TextConfig(vocab_size=262144, hidden_size=640, intermediate_size=2048, num_hidden_layers=18,
                          num_attention_heads=4, num_key_value_heads=1, head_dim=256, sliding_window=512,
                          max_position_embeddings=32768)
torch.set_default_dtype(torch.bfloat16 if dtype == "bf16" else torch.float32)
model = Gemma3ForCausalLM(config)
model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj", "k_proj", "v_proj", "o_proj",
                                                                              "gate_proj", "up_proj", "down_proj"]))
model.train()
optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
ids = torch.tensor([[100 + i * 7919 % 261944 for i in range(tokens)]])
labels = ids.clone(); labels[:, :tokens - labelled] = -100
seconds = []
for _ in range(steps):
    start = time.perf_counter()
    loss = model(input_ids=ids, labels=labels, use_cache=False).loss
    loss.backward(); torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0); optimiser.step(); optimiser.zero_grad()
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": min(seconds), "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024e-9}))
"""


def python(venv):
    path = venv / "bin" / "python"
    if not path.exists():
        print(f"installing {', '.join(PACKAGES)} into {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([path, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return path


def facet_steps(a, model, labelled, dtype):
    out = subprocess.run([a.build / "tune_bench", model, "--tokens", str(a.tokens), "--labelled", str(labelled), "--steps",
                          str(a.steps), "--threads", str(a.threads)] + (["--bf16"] if dtype == "bf16" else []),
                         check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"([\d.]+) s  [\d.]+ tok/s  peak ([\d.]+) GB", out)
    return min(float(s) for s, _ in rows), max(float(g) for _, g in rows)


def peer_steps(a, interpreter, labelled, dtype):
    out = subprocess.run([interpreter, "-c", PEER, str(a.tokens), str(labelled), str(a.steps), dtype, str(a.threads)],
                         check=True, capture_output=True, text=True).stdout
    result = json.loads(out.strip().splitlines()[-1])
    return result["seconds"], result["gb"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "build")
    parser.add_argument("--venv", type=pathlib.Path, default=CACHE / "venv")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", choices=["f32", "bf16"])
    a = parser.parse_args()
    interpreter = python(a.venv)
    print(f"{'':22}{'facet':>14}{'transformers + peft':>22}{'ratio':>8}{'memory':>22}")
    for dtype in [a.only] if a.only else ["f32", "bf16"]:
        model = CACHE / f"270m-{dtype}.gguf"
        if not model.exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            subprocess.run([a.build / "facet", "synth", "--shape", "270m", "--type", dtype, model], check=True,
                           stdout=subprocess.DEVNULL)
        for labelled, name in [(a.tokens, "all labelled"), (64, "last 64 labelled")]:
            ours, theirs = [], []
            for _ in range(a.rounds):  # in turn: the machine's speed drifts
                ours.append(facet_steps(a, model, labelled, dtype))
                theirs.append(peer_steps(a, interpreter, labelled, dtype))
            mine, other = (min(s for s, _ in r) for r in (ours, theirs))
            memory = [max(g for _, g in r) for r in (ours, theirs)]
            print(f"{dtype + ', ' + name:22}{a.tokens / mine:8.1f} tok/s{a.tokens / other:16.1f} tok/s{other / mine:7.2f}x"
                  f"{memory[0]:8.2f} of {memory[1]:.2f} GB ({memory[0] / memory[1]:.2f})", flush=True)


if __name__ == "__main__":
    main()
