"""Adapters between facet and peft: python3 peft_round_trip.py FACET REFERENCE_FOLDER.

facet's losses with an adapter that peft wrote, and peft's logits with one that facet wrote, on the tiny checkpoint. Needs
torch, transformers and peft; run by ctest where those are installed.
"""
import json, pathlib, subprocess, sys, tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoTokenizer, Gemma4UnifiedForConditionalGeneration

FACET, TINY = sys.argv[1], pathlib.Path(sys.argv[2])
TEXT = "<bos><|turn>user\nWhat is a licence?<turn|>\n<|turn>model\nA permission that is written down.<turn|>\n"


def facet_logits(folder, adapter):
    (folder / "case.json").write_text(json.dumps({"text": TEXT}))
    subprocess.run([FACET, "conform", TINY / "checkpoint", folder / "case.json", folder / "out.safetensors", "--max-new", "1",
                    "--adapter", adapter], check=True)
    return load_file(folder / "out.safetensors")


def peft_logits(adapter, ids):
    model = Gemma4UnifiedForConditionalGeneration.from_pretrained(TINY / "checkpoint", dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter).eval()
    for name, _ in model.named_parameters():
        assert "lora_" not in name or ".default" in name, name
    with torch.no_grad():
        return model(input_ids=ids[None].long()).logits[0]


def main():
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        (folder / "train.json").write_text(json.dumps({"text": TEXT, "first_label": 12}))
        written = folder / "adapter"
        subprocess.run([FACET, "conform", TINY / "checkpoint", folder / "train.json", folder / "grad.safetensors", "--grad",
                        "lora", "--steps", "3", "--lr", "1e-2", "--save-adapter", written], check=True)
        for adapter in (TINY / "adapter-after-3-steps", written):
            ours = facet_logits(folder, adapter)
            theirs = peft_logits(adapter, ours["input_ids"])
            worst = (ours["prompt_logits"] - theirs).abs().max().item()
            print(f"{adapter.name}: largest difference of a logit {worst:.2e}")
            assert worst < 2e-3, adapter


if __name__ == "__main__":
    main()
