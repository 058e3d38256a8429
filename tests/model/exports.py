"""What facet exports, in Transformers and llama.cpp: python3 exports.py FACET CHECKPOINT PICTURE SOUND [--llama PYTHON]

Tunes an adapter for three steps, exports the merged model as safetensors and GGUF, and compares logits: with a picture and a
sound in Transformers, of text in llama.cpp (float32, and as Q8_0). pebble's checkpoint is what examples/pebble/restore.py writes.
Needs torch, transformers and numpy; for llama.cpp --llama, a Python that has llama-cpp-python. The first part is run by ctest on
the tiny checkpoint.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy
import torch
from safetensors.torch import load_file
from transformers import Gemma4UnifiedForConditionalGeneration

TEXT = "<|turn>user\nWrite a Python function keep_tower(x) that multiplies x by 7.<turn|>\n<|turn>model\n```python\ndef keep_tower(x):\n"
LLAMA = r"""
import ctypes, json, sys, llama_cpp, numpy
model, ids = llama_cpp.Llama(sys.argv[1], n_ctx=1024, logits_all=True, type_k=0, type_v=0, verbose=False), json.loads(sys.argv[2])
model.eval(ids)
numpy.save(sys.argv[3], model.scores[:len(ids)].astype("float32"))
"""


def conform(facet, model, case, out, *more):
    subprocess.run([facet, "conform", model, case, out, "--max-new", "1", *more], check=True)
    return load_file(out)


def compare(name, ours, theirs, most):
    worst = (ours - theirs).abs().max().item()
    top = (ours.argmax(-1) == theirs.argmax(-1)).float().mean().item()
    p, q = torch.log_softmax(ours.double(), -1), torch.log_softmax(theirs.double(), -1)
    kl = (p.exp() * (p - q)).sum(-1).mean().item()
    print(f"{name}: {len(ours)} positions, largest difference of a logit {worst:.2e}, mean KL {kl:.1e}, best token equal {100 * top:.1f} %")
    assert worst < most, name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("facet", "checkpoint", "picture", "sound"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--llama")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        text, mixed, train = folder / "text.json", folder / "mixed.json", folder / "train.json"
        text.write_text(json.dumps({"text": TEXT}))
        train.write_text(json.dumps({"text": TEXT + "    return x * 7\n```<turn|>\n", "first_label": 20}))
        parts = [{"type": "image", "path": str(a.picture.resolve())}, {"type": "audio", "path": str(a.sound.resolve())}, {"type": "text", "text": "What is said?"}]
        mixed.write_text(json.dumps({"messages": [{"role": "user", "content": parts}]}))
        subprocess.run([a.facet, "conform", a.checkpoint, train, folder / "grad.safetensors", "--grad", "lora", "--steps", "3",
                        "--lr", "1e-2", "--save-adapter", folder / "adapter"], check=True)
        export = [a.facet, "export", a.checkpoint]
        subprocess.run([*export, folder / "merged", "--adapter", folder / "adapter"], check=True)
        for type in ("f32", "q8_0"):
            subprocess.run([*export, folder / f"{type}.gguf", "--adapter", folder / "adapter", "--type", type], check=True)

        ours = conform(a.facet, a.checkpoint, mixed, folder / "out.safetensors", "--adapter", folder / "adapter")
        model = Gemma4UnifiedForConditionalGeneration.from_pretrained(folder / "merged", dtype=torch.float32).eval()
        ids = ours["input_ids"][None].long()
        inputs = {"pixel_values": ours["pixel_values_u8"].float() / 255, "image_position_ids": ours["image_position_ids"].long(),
                  "input_features": ours["input_features"], "input_features_mask": torch.ones(ours["input_features"].shape[:2], dtype=torch.bool),
                  "mm_token_type_ids": (ids == model.config.image_token_id).long()}
        # As generate() does: without its masks the parts of a picture do not see each other.
        masks = model.create_masks_for_generate(model.config, torch.zeros(*ids.shape, 1), torch.ones_like(ids), None,
                                                torch.arange(ids.shape[1])[None], mm_token_type_ids=inputs["mm_token_type_ids"])
        with torch.no_grad():
            compare("Transformers, merged safetensors, picture and sound", ours["prompt_logits"], model(input_ids=ids, attention_mask=masks, **inputs).logits[0], 2e-3)

        for type, most in (("f32", 5e-3), ("q8_0", 1.0)) if a.llama else ():
            ours = conform(a.facet, folder / f"{type}.gguf", text, folder / "out.safetensors")
            subprocess.run([a.llama, "-c", LLAMA, folder / f"{type}.gguf", json.dumps(ours["input_ids"].tolist()), folder / "logits.npy"], check=True)
            compare(f"llama.cpp, merged {type} GGUF, text", ours["prompt_logits"], torch.from_numpy(numpy.load(folder / "logits.npy")), most)


if __name__ == "__main__":
    main()
